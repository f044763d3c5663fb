"""Runs the end-to-end checks.

usage: python3 -m e2e [CHECK]…      (all of them without a name; `make e2e ONLY=telegraf`)

Each step prints PASS or FAIL; logs and pictures stay in .artefacts/e2e/CHECK. The last line counts the steps.
"""
import signal
import sys
import time

from . import alert, browser, crash, dashboards, influx1, influx2, refusals, replay, telegraf, telegraf_refused
from .bench import Bench, Counts

CHECKS = {
    "telegraf": telegraf,
    "telegraf-refused": telegraf_refused,
    "crash": crash,
    "refusals": refusals,
    "influx1": influx1,
    "influx2": influx2,
    "dashboards": dashboards,
    "replay": replay,
    "alert": alert,
    "browser": browser,
}


def main():
    names = sys.argv[1:] or list(CHECKS)
    for name in names:
        if name not in CHECKS:
            sys.exit(f"e2e: no check {name!r}; known: {', '.join(CHECKS)}\n\n{__doc__}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    counts = Counts()
    begun = time.monotonic()
    for name in names:
        print(f"\n== {name}: {CHECKS[name].TITLE}", flush=True)
        with Bench(name, counts) as bench:
            bench.guarded(CHECKS[name].run)
    for title in counts.failed:
        print(f"FAILED: {title}")
    print(f"\ne2e: {time.monotonic() - begun:.0f} s; logs in .artefacts/e2e")
    print(f"{counts.passed} passed, {len(counts.failed)} failed", flush=True)
    sys.exit(1 if counts.failed else 0)


if __name__ == "__main__":
    main()
