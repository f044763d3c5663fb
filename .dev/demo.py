#!/usr/bin/env python3
"""Shows the whole way on this machine: simulated history, trained models, a table of forecasts, live points.

usage: demo.py      (after a release build; `make demo` does both)

Both services run on the embedded store in a throw-away folder and end, with all else that was started, on Ctrl-C.
DEMO_EXIT=1 ends after the table. Where a `telegraf` is on the PATH, this machine's own metrics join in.
"""
import contextlib
import datetime
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from live import fleet, table
from live.process import Failed, Process, outer_environment, port_in_use
from live.services import ROOT, Forecaster, Gateway, binary

HOSTS = ["web-01", "database-01", "batch-01", "cache-01", "ingest-01", "generic-01"]
# One host that degrades and one whose disk fills, so that there is something to foresee.
SCENARIOS = ["--scenario", "web-01=degrading", "--scenario", "ingest-01=disk-fill:level=87,rate=0.6,from=40,peak=96"]
DAYS = 14
GATEWAY_PORT = 8186
FORECASTER_PORT = 8187


def main():
    # A shell starts its background jobs with SIGINT ignored; this one ends on it all the same.
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, signal.default_int_handler)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="headroom-demo-"))
    try:
        with contextlib.ExitStack() as started:
            run(started, folder)
    except Failed as error:
        sys.exit(f"\ndemo: {error}")
    except KeyboardInterrupt:
        print("\ndemo: ended; everything that it started is down")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run(started, folder):
    begun = time.monotonic()
    gateway = started.enter_context(Gateway(folder, port_or_free("gateway", GATEWAY_PORT)))
    say(f"gateway on {gateway.url}, data in {folder}")
    forecaster = started.enter_context(Forecaster(
        folder, gateway, port_or_free("forecaster", FORECASTER_PORT),
        # The demo asks for the training itself, to show its progress.
        HEADROOM_TRAIN_ON_START="false", HEADROOM_DISCOVERY_INTERVAL_S=5, HEADROOM_FORECAST_INTERVAL_S=30))
    say(f"forecaster on {forecaster.url}")
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    backfill(gateway, now)
    watched = [gateway, forecaster, started.enter_context(fleet.simulator(
        folder, gateway, "fleet", "--hosts", len(HOSTS), *SCENARIOS, "--now", now, "--days", 0, "--live-interval", "10s"))]
    say(f"{len(HOSTS)} hosts go on live, a point every 10 s")
    if telegraf := own_metrics(folder, gateway):
        watched.append(started.enter_context(telegraf))
    train(forecaster)
    show(forecaster)
    addresses(gateway, forecaster)
    say(f"all of it took {time.monotonic() - begun:.0f} s")
    if os.environ.get("DEMO_EXIT", "") not in ("", "0"):
        return
    say("runs until Ctrl-C")
    while all(process.running() for process in watched):
        time.sleep(1)
    ended = next(process for process in watched if not process.running())
    raise Failed(f"{ended.name} ended with exit code {ended.child.returncode}\n{ended.tail()}")


def say(text):
    print(f"demo: {text}", flush=True)


def port_or_free(name, port):
    """The usual port, or None for any free one where somebody listens on it."""
    if not port_in_use(port):
        return port
    say(f"port {port} is in use, so the {name} takes a free one")
    return None


def backfill(gateway, now):
    """Pushes the history in the foreground, where the simulator shows its progress."""
    say(f"{DAYS} days of {len(HOSTS)} simulated hosts, a point every 5 minutes")
    code = subprocess.call(
        [binary("headroom-simulator"), "fleet", "--hosts", str(len(HOSTS)), *SCENARIOS, "--now", now, "--days", str(DAYS),
         "--step", "5m", "--no-live"], env=outer_environment() | {"HEADROOM_GATEWAY_URL": gateway.url})
    if code != 0:
        raise Failed(f"the simulator ended with exit code {code}\n{gateway.tail()}")


def own_metrics(folder, gateway):
    """A Telegraf with this machine's metrics, where there is one on the PATH."""
    program = shutil.which("telegraf")
    if not program:
        return None
    say(f"{program} adds this machine's own metrics")
    settings = {"HEADROOM_GATEWAY_URL": gateway.url, "HEADROOM_TOKEN": ""}
    return Process("telegraf", [program, "--config", ROOT / "telegraf" / "telegraf.conf"], folder / "telegraf.log", settings)


def train(forecaster):
    fleet.wait_for_hosts(forecaster, HOSTS)
    say(f"training {len(HOSTS)} hosts, one LSTM each")
    done = set()

    def progress(job):
        for host in job["hosts"]:
            if host["state"] == "done" and host["host"] not in done:
                done.add(host["host"])
                say(f"  {len(done)}/{len(HOSTS)} {host['host']} trained and backtested in {host['seconds']:.1f} s")

    fleet.train(forecaster, HOSTS, show=progress)


def show(forecaster):
    rows = []
    for host in HOSTS:
        for forecast in fleet.forecasts(forecaster, host, horizon=48):
            rows.append([host, *table.errors(forecast), *table.outlook(forecast)])
    print()
    table.show(["host", *table.ERRORS, "now", "in 4 h"], rows)
    print()
    for alert in fleet.listed(forecaster, "alerts"):
        say(f"alert: {alert['host']}: {alert['metric']} crosses {alert['threshold']:g} with p = {alert['p_cross']:.2f}")


def addresses(gateway, forecaster):
    print(f"""
  forecaster's API to try     {forecaster.url}/docs/
  gateway's API to try        {gateway.url}/docs/
  Grafana                     data source InfluxDB, language InfluxQL, URL {gateway.url}, database telegraf
  a forecast                  curl '{forecaster.url}/api/v1/hosts/ingest-01/forecasts?target=disk.used_percent%7Bpath=/data%7D'
  forecasts as points         curl -G '{gateway.url}/query' --data-urlencode 'db=telegraf' \\
                                --data-urlencode 'q=SELECT q10,q50,q90 FROM forecast WHERE time > now() GROUP BY host,metric LIMIT 3'
  alerts                      curl '{forecaster.url}/api/v1/alerts'
""", flush=True)


main()
