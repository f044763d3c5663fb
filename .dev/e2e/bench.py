"""The room that a check runs in: its folder, what it started, and the steps that it passed or failed."""
import contextlib
import shutil
import time
import traceback

from live.process import Failed
from live.services import ROOT

ARTEFACTS = ROOT / ".artefacts" / "e2e"
# Of one failure on the screen.
SHOWN_CHARS = 2000


class Counts:
    """How many steps passed, and which failed."""

    def __init__(self):
        self.passed = 0
        self.failed = []


class Bench(contextlib.ExitStack):
    """Ends what was entered into it, in the opposite order; keeps the logs of its folder as artefacts."""

    def __init__(self, name, counts):
        super().__init__()
        self.name = name
        self.counts = counts
        self.artefacts = ARTEFACTS / name
        shutil.rmtree(self.artefacts, ignore_errors=True)
        self.artefacts.mkdir(parents=True)
        self.folder = self.artefacts / "data"
        self.callback(self.tidy)

    def start(self, process):
        """Takes charge of a process (or any context) and hands it back."""
        return self.enter_context(process)

    def scratch(self, name):
        """A throw-away folder of this check; the logs in it outlive it."""
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def tidy(self):
        for log in self.folder.glob("*/*.log"):
            kept = "-".join(log.relative_to(self.folder).parts)
            log.replace(self.artefacts / kept)
        shutil.rmtree(self.folder, ignore_errors=True)

    def say(self, text):
        print(f"     {text}", flush=True)

    @contextlib.contextmanager
    def step(self, title):
        """One counted step: what is raised inside it is its failure, and the check goes on behind it."""
        begun = time.monotonic()
        try:
            yield
        except (Exception, AssertionError) as error:
            self.fail(title, error)
        else:
            self.counts.passed += 1
            print(f"PASS {title} ({time.monotonic() - begun:.1f} s)", flush=True)

    def fail(self, title, error):
        self.counts.failed.append(f"{self.name}: {title}")
        text = str(error) if isinstance(error, (Failed, AssertionError)) else repr(error)
        if len(text) > SHOWN_CHARS:
            text = f"{text[:SHOWN_CHARS]}…\n     (all of it in {self.artefacts}/failures.txt)"
        print(f"FAIL {title}\n     {text}", flush=True)
        with open(self.artefacts / "failures.txt", "a", encoding="utf-8") as file:
            file.write(f"{title}\n{''.join(traceback.format_exception(error))}\n")

    def guarded(self, run):
        """Runs the check; what it raises outside of a step is a failure of its own."""
        try:
            run(self)
        except Exception as error:
            self.fail("runs to its end", error)


def expect(condition, message):
    """Fails with the message unless the condition holds."""
    if not condition:
        raise Failed(message)
