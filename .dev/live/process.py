"""Programs that are started, watched and ended by their process id."""
import os
import pathlib
import signal
import socket
import subprocess
import time

STOP_TIMEOUT_S = 20


class Failed(Exception):
    """A program or a check that did not do what it should; the message says what was seen."""


def free_port():
    """A port of the loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def port_in_use(port):
    """Whether somebody listens on the port already."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def outer_environment():
    """The caller's environment without settings of Headroom, which would reach services that they are not meant for."""
    return {name: value for name, value in os.environ.items() if not name.startswith("HEADROOM_")}


class Process:
    """One program in a process group of its own, its output in a log file."""

    def __init__(self, name, arguments, log, environment=None, cwd=None):
        self.name = name
        self.log = pathlib.Path(log)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log, "ab") as output:
            self.child = subprocess.Popen(
                [str(argument) for argument in arguments], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True, cwd=cwd,
                env=outer_environment() | {name: str(value) for name, value in (environment or {}).items()})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def wait_for(self, what, check, timeout_s):
        """Waits until `check` answers something true; ends the program where it never does."""
        try:
            return wait_until(what, check, timeout_s, [self])
        except BaseException:
            self.stop()
            raise

    def running(self):
        return self.child.poll() is None

    def stop(self):
        """Asks the group to end and returns the exit code; kills what has not ended in time."""
        if self.running():
            self.signal(signal.SIGTERM)
            try:
                self.child.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.child.returncode

    def kill(self):
        """Ends the group at once, as a power cut would."""
        self.signal(signal.SIGKILL)
        self.child.wait()

    def signal(self, number):
        if self.running():
            os.killpg(self.child.pid, number)

    def wait(self, timeout_s):
        """Waits for the program's own end and fails if that is not a success."""
        try:
            code = self.child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name} had not ended after {timeout_s} s\n{self.tail()}") from None
        if code != 0:
            raise Failed(f"{self.name} ended with exit code {code}\n{self.tail()}")

    def tail(self, lines=15):
        """The end of the log, indented."""
        text = self.log.read_text(errors="replace").splitlines()[-lines:]
        return "".join(f"    {self.log.name}: {line}\n" for line in text)


def wait_until(what, check, timeout_s, watched=(), pause_s=0.2):
    """Calls `check` until it answers something true; fails when time is up or a watched process has ended."""
    deadline = time.monotonic() + timeout_s
    while True:
        answer = check()
        if answer:
            return answer
        for process in watched:
            if not process.running():
                raise Failed(f"{process.name} ended with exit code {process.child.returncode} while waiting for {what}\n"
                             f"{process.tail()}")
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {timeout_s} s\n" + "".join(process.tail() for process in watched))
        time.sleep(pause_s)
