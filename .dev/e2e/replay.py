"""Recorded metrics of real servers: every line arrives, every host gets a model, and the errors are said."""
import collections
import gzip
import time

from live import fleet, table
from live.process import Failed
from live.services import ROOT, Forecaster, Gateway

from . import peers
from .bench import expect

TITLE = "real input: nab and bitbrains"
DATA = ROOT.parent / "shared" / "data" / "metrics" / "lp"
RECORDINGS = {"nab": "nab.lp.gz", "bitbrains": "bitbrains_2013-08-01_21d.lp.gz"}
TARGETS = {
    "nab": """
default_targets = true
[[target]]
measurement = "elb"
field = "request_count"
kind = "rate"
[[target]]
measurement = "diskio"
field = "write_bytes_5m"
kind = "rate"
by = ["name"]
[[target]]
measurement = "net"
field = "bytes_recv_5m"
kind = "rate"
by = ["interface"]
""",
    "bitbrains": """
default_targets = true
[[target]]
measurement = "diskio"
field = "read_bytes_rate"
kind = "rate"
by = ["name"]
[[target]]
measurement = "diskio"
field = "write_bytes_rate"
kind = "rate"
by = ["name"]
""",
}


def run(bench):
    if not DATA.is_dir():
        raise Failed(f"the recordings are not in {DATA}")
    for name, recording in RECORDINGS.items():
        replay(bench, name, DATA / recording)


def replay(bench, name, recording):
    folder = bench.scratch(name)
    gateway = bench.start(Gateway(folder))
    counts, hosts = census(recording)
    with bench.step(f"{name}: each of {sum(counts.values())} lines arrives"):
        begun = time.monotonic()
        push = bench.start(fleet.simulator(folder, gateway, "replay", recording, "--align-hosts"))
        push.wait(240)
        bench.say(f"pushed in {time.monotonic() - begun:.1f} s")
        for (measurement, field), count in sorted(counts.items()):
            seen = peers.count(gateway.url, measurement, field)
            expect(seen == count, f"{measurement}.{field}: {count} lines were pushed, {seen} points are there")
    with bench.step(f"{name}: each of {len(hosts)} hosts gets a model, with its errors"):
        settings = folder / "forecaster.toml"
        settings.write_text(TARGETS[name])
        forecaster = bench.start(Forecaster(folder, gateway, HEADROOM_CONFIG=settings, HEADROOM_TRAIN_ON_START="false"))
        fleet.wait_for_hosts(forecaster, hosts)
        begun = time.monotonic()
        fleet.train(forecaster, timeout_s=900)
        bench.say(f"trained {len(hosts)} hosts in {time.monotonic() - begun:.1f} s")
        report(bench, forecaster, hosts)
    forecaster.stop()
    gateway.stop()


def census(recording):
    """How many lines have each measurement's first field, and which hosts there are."""
    counts = collections.Counter()
    hosts = set()
    with gzip.open(recording, "rt", encoding="utf-8") as file:
        for text in file:
            head, fields, _ = text.split(" ")
            counts[(head.split(",", 1)[0], fields.split("=", 1)[0])] += 1
            hosts.add(text.split("host=", 1)[1].split(" ", 1)[0].split(",", 1)[0])
    return counts, hosts


def report(bench, forecaster, hosts):
    """Prints each target's errors beside seasonal naive's."""
    rows = []
    for host in sorted(hosts):
        for forecast in fleet.forecasts(forecaster, host):
            rows.append((host, forecast))
    expect({host for host, _ in rows} == set(hosts), "a host has no forecast")
    table.show(["host", *table.ERRORS], [[host, *table.errors(forecast)] for host, forecast in rows], bench.say)
    missing = [forecast for _, forecast in rows if (forecast["metrics"] or {}).get("mae") is None]
    bench.say(f"{len(rows)} targets, {len(missing)} of them without errors (constant or too short)")
