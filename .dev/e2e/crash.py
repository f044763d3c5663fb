"""The gateway is killed in the middle of a load, again and again; every line that was answered is there afterwards."""
import time

from live.services import Gateway

from .bench import expect
from .load import Load, missing

TITLE = "kill -9 of the gateway during a load"
# Early, in the middle of things, and long enough for chunks to be sealed meanwhile.
KILLED_AFTER_S = (0.3, 1.5, 4.0)


def run(bench):
    folder = bench.scratch("gateway")
    acked = {}
    for round_number, seconds in enumerate(KILLED_AFTER_S, start=1):
        with bench.step(f"round {round_number}: killed after {seconds} s, every acked line is there after the restart"):
            # A worker's numbers begin anew in each round and overwrite the same points with the same values.
            for worker, numbers in kill_during_load(bench, folder, seconds).items():
                acked.setdefault(worker, set()).update(numbers)
            with Gateway(folder) as gateway:
                lost = missing(acked, gateway.query)
                expect(not lost, f"{len(lost)} acked lines are missing, first {lost[:3]}")


def kill_during_load(bench, folder, seconds):
    with Gateway(folder) as gateway:
        with Load(gateway.url) as load:
            time.sleep(seconds)
            gateway.kill()
    expect(not load.refused, f"a push was answered {load.refused[:1]}")
    expect(load.total(), "no push was answered before the kill")
    bench.say(f"{load.total()} lines were acked")
    return load.acked
