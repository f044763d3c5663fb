#!/usr/bin/env python3
"""Measures the forecaster before a real gateway: retrains of a fleet, fresh forecasts under load, memory.

usage: forecast_bench.py [--hosts N] [--served N] [--days N] [--served-days N] [--workers N] [--rate N] [--seconds N] [--keep FOLDER]

1. The simulator writes the history of N hosts, and all of them are retrained in one job, their base included.
2. For the memory and the load, the fleet grows to `--served` hosts: the others have `--served-days` of history and
   *copies* of the trained models, one of their own profile each. Live points of all of them go on coming.
3. After a restart every host is asked once, and the first round over all hosts awaited; then forecasts of all targets of
   a host drawn at random are asked for at a fixed rate. A request's time counts from the instant at which it was due,
   whether a connection was free or not, to the last byte of its answer.

With `--keep` everything stays in that folder; the next run with it begins at step 3, its history carried on to the present.

Processor time is that of the whole process, user and system; memory is resident, which files in the page cache are not.
"""
import argparse
import contextlib
import datetime
import http.client
import json
import os
import pathlib
import queue
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from live import fleet
from live.process import Failed, outer_environment
from live.services import Forecaster, Gateway, binary

TICKS = os.sysconf("SC_CLK_TCK")
DAY_S = 86_400
# What a kept folder knows of the run that made it.
KEPT = "fleet.json"
# More than the service ever answers at a time at this rate, so that none waits for another.
CONNECTIONS = 32


def main():
    args = arguments()
    folder = args.keep or pathlib.Path(tempfile.mkdtemp(prefix="headroom-forecast-bench-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with contextlib.ExitStack() as started:
            run(started, folder, args)
    except Failed as error:
        sys.exit(f"bench: {error}")
    finally:
        if not args.keep:
            shutil.rmtree(folder, ignore_errors=True)


def arguments():
    parser = argparse.ArgumentParser(usage=__doc__.split("\n")[2].removeprefix("usage: "))
    parser.add_argument("--hosts", type=int, default=100, help="hosts that are trained")
    parser.add_argument("--served", type=int, default=1000, help="hosts that are served")
    parser.add_argument("--days", type=int, default=14, help="history of the trained hosts")
    parser.add_argument("--served-days", type=int, default=8, help="history of the hosts that are only served")
    parser.add_argument("--workers", type=int, default=2, help="hosts trained at a time")
    parser.add_argument("--rate", type=float, default=50.0, help="requests a second")
    parser.add_argument("--seconds", type=int, default=60, help="how long they go on")
    parser.add_argument("--keep", type=pathlib.Path, help="a folder that stays, and that the next run goes on with")
    return parser.parse_args()


def run(started, folder, args):
    say(f"load of this machine now: {' '.join(f'{load:.1f}' for load in os.getloadavg())} on {os.cpu_count()} cores")
    now = datetime.datetime.now(datetime.timezone.utc)
    gateway = started.enter_context(Gateway(folder))
    settings = {"HEADROOM_TRAIN_ON_START": "false", "HEADROOM_TRAIN_WORKERS": args.workers,
                "HEADROOM_HISTORY_DAYS": args.days}
    kept = folder / KEPT
    if kept.exists():
        made = json.loads(kept.read_text())
        args.served = made["served"]
        gap = now - datetime.datetime.fromisoformat(made["until"])
        backfill(gateway, args.served, gap / datetime.timedelta(days=1) + 0.01, now)
    else:
        prepare(folder, gateway, settings, args, now)
    kept.write_text(json.dumps({"served": args.served, "until": now.isoformat()}))
    started.enter_context(fleet.simulator(folder, gateway, "fleet", "--hosts", args.served, "--now", stamp(now), "--days", 0,
                                          "--live-interval", "10s"))
    forecaster = started.enter_context(Forecaster(folder, gateway, **settings))
    names = found(forecaster, args.served)
    say(f"started with {args.served} models: {resident_mb(forecaster):.0f} MB resident")
    serve(forecaster, gateway, names, args)


def prepare(folder, gateway, settings, args, now):
    """Trains the first hosts, and gives the others their history and models."""
    backfill(gateway, args.hosts, args.days, now)
    with Forecaster(folder, gateway, HEADROOM_DISCOVERY_INTERVAL_S=10, **settings) as forecaster:
        names = found(forecaster, args.hosts)
        retrain(forecaster, gateway, names, args)
    backfill(gateway, args.served, args.served_days, now)
    copy_models(folder / "forecaster" / "registry", names, heard_of(gateway))


def say(text):
    print(f"bench: {text}", flush=True)


def backfill(gateway, hosts, days, now):
    begun = time.monotonic()
    command = [binary("headroom-simulator"), "fleet", "--hosts", str(hosts), "--days", f"{days:.3f}", "--step", "5m", "--now",
               stamp(now), "--no-live"]
    made = subprocess.run(command, env=outer_environment() | {"HEADROOM_GATEWAY_URL": gateway.url}, check=False,
                          capture_output=True, text=True)
    if made.returncode != 0:
        raise Failed(f"the simulator ended with exit code {made.returncode}\n{made.stderr[-600:]}")
    say(f"{days:.3g} days of {hosts} hosts in {time.monotonic() - begun:.0f} s: {made.stdout.strip()}")


def stamp(now):
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def found(forecaster, count):
    """The hosts' names, once all of them are known, and the models are read."""
    def all_known():
        hosts = fleet.listed(forecaster, "hosts")
        return [host["host"] for host in hosts] if len(hosts) >= count else None
    return forecaster.wait_for(f"{count} hosts are known", all_known, 300)


def retrain(forecaster, gateway, names, args):
    before = (cpu_s(forecaster), cpu_s(gateway))
    begun = time.monotonic()
    job = fleet.train(forecaster, names, timeout_s=7200)
    wall_s = time.monotonic() - begun
    own_s, gateway_s = cpu_s(forecaster) - before[0], cpu_s(gateway) - before[1]
    taken = sorted(host["seconds"] for host in job["hosts"])
    say(f"retrain of {len(names)} hosts, {args.days} days, {args.workers} workers: {wall_s:.0f} s, the fleet's base included")
    say(f"  processor time {own_s:.0f} s here and {gateway_s:.0f} s in the gateway; one host {statistics.median(taken):.1f} s "
        f"(median), {taken[-1]:.1f} s (longest)")
    say(f"  hosts per core and day: {len(names) * DAY_S / (own_s + gateway_s):.0f} by processor time, "
        f"{len(names) * DAY_S / (wall_s * min(args.workers, os.cpu_count() or 1)):.0f} by the clock")
    say(f"  peak memory {peak_mb(forecaster):.0f} MB")


def heard_of(gateway):
    """The names of all hosts that have sent anything."""
    series = gateway.query('SHOW TAG VALUES FROM "cpu" WITH KEY = "host"')
    return [name for _, name in series[0]["values"]]


def copy_models(registry, trained, served):
    """Gives every further host a copy of the model of a trained one with the same profile."""
    by_profile = {}
    for name in trained:
        by_profile.setdefault(profile(name), []).append(name)
    for place, name in enumerate(sorted(set(served) - set(trained))):
        sources = by_profile.get(profile(name), trained)
        source, target = registry / sources[place % len(sources)], registry / name
        shutil.copytree(source, target)
        for manifest in target.glob("*/manifest.json"):
            text = json.loads(manifest.read_text())
            manifest.write_text(json.dumps(text | {"host": name}))


def profile(name):
    return name.rsplit("-", 1)[0]


def serve(forecaster, gateway, names, args):
    for name in names:
        ask(connected(forecaster.port), name)
    forecaster.wait_for("the first round over all hosts has ended", lambda: last_round_s(forecaster) > 0, 600)
    say(f"every host asked, and the first round done: {resident_mb(forecaster):.0f} MB resident")
    before = (cpu_s(forecaster), cpu_s(gateway))
    taken, targets = load(forecaster.port, names, args.rate, args.seconds)
    own_s, gateway_s = cpu_s(forecaster) - before[0], cpu_s(gateway) - before[1]
    taken_ms = sorted(1000 * seconds for seconds in taken)
    at = lambda share: taken_ms[min(int(share * len(taken_ms)), len(taken_ms) - 1)]  # noqa: E731
    say(f"{len(taken)} forecasts of all targets of a host ({statistics.mean(targets):.1f} targets) at {args.rate:g}/s: "
        f"p50 {at(0.5):.1f} ms, p90 {at(0.9):.1f} ms, p99 {at(0.99):.1f} ms, longest {taken_ms[-1]:.1f} ms")
    say(f"  processor time a forecast: {1000 * own_s / len(taken):.1f} ms here, rounds and looks for hosts included; "
        f"{1000 * gateway_s / len(taken):.1f} ms in the gateway, live points included")
    say(f"  {args.served} hosts served: {resident_mb(forecaster):.0f} MB resident, {peak_mb(forecaster):.0f} MB at most")


def load(port, names, rate, seconds):
    """Asks at a fixed rate, whatever the answers do; returns the seconds that each took, and the targets in each."""
    due = queue.SimpleQueue()
    taken, targets, failures = [], [], []

    def work():
        connection = connected(port)
        while (asked := due.get()) is not None:
            at, name = asked
            try:
                answer = ask(connection, name)
            except (OSError, Failed) as error:
                failures.append(error)
                continue
            taken.append(time.perf_counter() - at)
            targets.append(answer.count(b'"data_until"'))

    workers = [threading.Thread(target=work) for _ in range(CONNECTIONS)]
    for worker in workers:
        worker.start()
    draw = random.Random(1)
    begun = time.perf_counter()
    for number in range(int(rate * seconds)):
        at = begun + number / rate
        time.sleep(max(0.0, at - time.perf_counter()))
        due.put((at, draw.choice(names)))
    for _ in workers:
        due.put(None)
    for worker in workers:
        worker.join()
    if failures:
        raise Failed(f"{len(failures)} of {int(rate * seconds)} requests failed, the first with: {failures[0]}")
    return taken, targets


def connected(port):
    return http.client.HTTPConnection("127.0.0.1", port, timeout=60)


def ask(connection, name):
    """The answer as it came: reading it here would take the time of those that are measured."""
    connection.request("GET", f"/api/v1/hosts/{name}/forecasts")
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != 200:
        raise Failed(f"the forecast of {name} was answered {answer.status}: {text[:300]!r}")
    return text


def last_round_s(forecaster):
    text = forecaster.call("GET", "/metrics").text()
    return float(text.split("\nheadroom_last_round_success_timestamp_seconds ")[1].split()[0])


def cpu_s(process):
    fields = pathlib.Path(f"/proc/{process.child.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_mb(process):
    return status_kb(process, "VmRSS") / 1024


def peak_mb(process):
    return status_kb(process, "VmHWM") / 1024


def status_kb(process, name):
    status = pathlib.Path(f"/proc/{process.child.pid}/status").read_text()
    return int(status.split(f"{name}:")[1].split()[0])


main()
