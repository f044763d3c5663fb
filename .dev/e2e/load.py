"""A load of small pushes from several threads that knows which lines were answered with 204."""
import gzip
import itertools
import threading

from live import web

WORKERS = 4
LINES_A_PUSH = 50
# Far from now, and one instant a line: no two lines fall together.
START_NS = 1_700_000_000_000_000_000


class Load:
    """Pushes `load,worker=W n=Ni` until it is stopped; `acked[W]` holds each n that was answered with 204."""

    def __init__(self, url, pause_s=0.0):
        self.url = url
        self.pause_s = pause_s
        self.acked = {str(worker): set() for worker in range(WORKERS)}
        self.refused = []
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.push, args=(worker,), daemon=True) for worker in self.acked]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def total(self):
        return sum(len(numbers) for numbers in self.acked.values())

    def push(self, worker):
        """One worker's loop; it ends with the first push that is not answered, which may or may not be there."""
        for first in itertools.count(0, LINES_A_PUSH):
            if self.stopping.wait(self.pause_s):
                return
            numbers = range(first, first + LINES_A_PUSH)
            text = "\n".join(f"load,worker={worker} n={n}i {START_NS + n}" for n in numbers).encode()
            packed = first // LINES_A_PUSH % 2 == 0
            try:
                answer = web.call("POST", f"{self.url}/api/v2/write", gzip.compress(text, 1) if packed else text,
                                  {"Content-Encoding": "gzip"} if packed else {}, bucket="telegraf", org="headroom")
            except OSError:
                return
            if answer.status == 204:
                self.acked[worker].update(numbers)
            else:
                self.refused.append(answer)


def missing(acked, query):
    """The acked lines that `query` does not answer, as (worker, n)."""
    lost = []
    for worker, numbers in acked.items():
        series = query(f"SELECT \"n\" FROM \"load\" WHERE \"worker\" = '{worker}'")
        found = {row[1] for row in series[0]["values"]} if series else set()
        lost += [(worker, n) for n in sorted(numbers - found)]
    return lost
