"""The two clients: our own, which posts every body once, and wrk, which posts for a while."""
import dataclasses
import http.client
import pathlib
import queue
import re
import shutil
import statistics
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = ROOT.parent / "shared" / "bench" / "post.lua"
PATH = "/write?db=telegraf"
UNITS_MS = {"us": 1e-3, "ms": 1, "s": 1e3, "m": 6e4}


@dataclasses.dataclass
class Load:
    seconds: float
    p50_ms: float
    p99_ms: float
    refused: int = 0


def own(port, batches, packed, connections):
    """Posts every body once; a push that is turned away for now is sent again."""
    headers = {"Content-Type": "text/plain; charset=utf-8"} | ({"Content-Encoding": "gzip"} if packed else {})
    waiting, taken_ms, failed = queue.Queue(maxsize=64), [], []

    def work():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        while (body := waiting.get()) is not None:
            begun = time.monotonic()
            while True:
                connection.request("POST", PATH, body, headers)
                answer = connection.getresponse()
                answer.read()
                if answer.status != 503:
                    break
                failed.append(503)
                time.sleep(0.05)
            if answer.status not in (200, 204):
                failed.append(answer.status)
            taken_ms.append((time.monotonic() - begun) * 1000)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(connections)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for body in batches.bodies(packed):
        waiting.put(body)
    for _ in threads:
        waiting.put(None)
    for thread in threads:
        thread.join()
    if set(failed) - {503}:
        sys.exit(f"ingest: pushes were answered {sorted(set(failed))}")
    taken_ms.sort()
    return Load(time.monotonic() - begun, statistics.median(taken_ms), taken_ms[int(len(taken_ms) * 0.99)], len(failed))


def wrk(port, batches, packed, connections, seconds):
    """wrk with the shared script, which posts the bodies in turns until time is up."""
    if not shutil.which("wrk"):
        sys.exit("ingest: wrk is missing; it is a Debian package")
    threads = min(2, connections)
    begun = time.monotonic()
    outcome = subprocess.run(
        ["wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "--latency", "-s", SCRIPT, f"http://127.0.0.1:{port}", "--",
         batches.folder, str(batches.count), "gz" if packed else "plain", PATH], capture_output=True, text=True, check=True)
    if "Non-2xx" in outcome.stdout or "status" in outcome.stdout:
        print(outcome.stdout, file=sys.stderr)
        sys.exit("ingest: pushes were not taken")
    latency = lambda part: next(float(number) * UNITS_MS[unit] for number, unit in re.findall(rf"{part}%\s+([\d.]+)(us|ms|s|m)\b", outcome.stdout))
    return Load(time.monotonic() - begun, latency(50), latency(99))
