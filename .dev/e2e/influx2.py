"""InfluxDB 2.7 behind the gateway: pushes, an outage under load, and a forecaster that reads and writes through it."""
import time

from live import fleet
from live.process import wait_until
from live.services import ROOT, Forecaster, Gateway

from . import peers, telegraf
from .bench import expect
from .load import Load, missing

TITLE = "InfluxDB 2.7 as the upstream"
LATEST_S = 60
HOSTS = ["web-01", "database-01"]


def run(bench):
    folder = bench.scratch("influxdb")
    influx = bench.start(peers.InfluxDB2(folder, bucket="another"))
    gateway = bench.start(Gateway(bench.scratch("gateway"), **influx.settings()))
    with bench.step("what Telegraf reports as written is in InfluxDB, and /query of the gateway answers it"):
        pushes(bench, influx, gateway)
    with bench.step("InfluxDB is away under load: pushes are taken, and arrive in order when it is back"):
        influx = outage(bench, folder, influx, gateway)
    with bench.step("the forecaster trains from InfluxDB through the gateway; its forecasts arrive in the bucket"):
        forecasts(bench, influx, gateway)


def pushes(bench, influx, gateway):
    agent, report = telegraf.launch_agent(bench, bench.scratch("telegraf"), ROOT / "telegraf" / "telegraf.conf", gateway.url, "")
    time.sleep(telegraf.RUN_S)
    agent.stop()
    expected = len(report.read_text().splitlines())
    expect(expected, "Telegraf reported nothing")
    deadline = time.monotonic() + LATEST_S
    while True:
        try:
            points, _ = telegraf.compare(influx.url, report, influx.headers)
            break
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)
    telegraf.compare(gateway.url, report)
    bench.say(f"{points} points")


def outage(bench, folder, influx, gateway):
    with Load(gateway.url, pause_s=0.02) as load:
        time.sleep(2)
        influx.kill()
        before = load.total()
        overwrite(gateway, 1, 50)
        time.sleep(5)
        away = load.total() - before
        influx = bench.start(peers.InfluxDB2(folder, influx.port))
        overwrite(gateway, 50, 100)
        time.sleep(2)
    expect(away, "no push was taken while InfluxDB was away")
    expect(not load.refused, f"a push was answered {load.refused[:1]}")
    query = lambda statement: peers.query(influx.url, statement, headers=influx.headers)
    wait_until(f"{load.total()} acked lines in InfluxDB", lambda: not missing(load.acked, query), LATEST_S, [gateway], 1)
    last = lambda: query('SELECT "n" FROM "overwritten"')
    wait_until("the last of 99 overwrites of one point in InfluxDB",
               lambda: last() and last()[0]["values"][0][1] == 99, LATEST_S, [gateway], 0.5)
    bench.say(f"{load.total()} lines, {away} of them pushed during the outage")
    return influx


def overwrite(gateway, first, end):
    """Writes one point again and again: only in order does the last value win."""
    for n in range(first, end):
        gateway.write(f"overwritten n={n}i 1700000000000000000")


def forecasts(bench, influx, gateway):
    push = fleet.simulator(bench.scratch("fleet"), gateway, "fleet", "--hosts", len(HOSTS), "--days", 7, "--no-live")
    bench.start(push).wait(120)
    forecaster = bench.start(Forecaster(bench.scratch("forecaster"), gateway, HEADROOM_TRAIN_ON_START="false",
                                        HEADROOM_DISCOVERY_INTERVAL_S=2, HEADROOM_FORECAST_INTERVAL_S=2))
    fleet.wait_for_history(gateway, HOSTS)
    fleet.wait_for_hosts(forecaster, HOSTS)
    fleet.train(forecaster, HOSTS)
    query = lambda statement: peers.query(influx.url, statement, headers=influx.headers)
    arrived = lambda: query('SELECT count("q50") FROM "forecast" GROUP BY "host"')
    series = wait_until("forecasts of both hosts in the bucket", lambda: len(arrived()) == 2 and arrived(), LATEST_S, [forecaster], 1)
    for host in series:
        bench.say(f"{host['tags']['host']}: {host['values'][0][1]} forecast points")
    wait_until("forecast_quality in the bucket", lambda: query('SELECT * FROM "forecast_quality" LIMIT 1'), LATEST_S, [forecaster], 1)
    future = query(f'SELECT "q50" FROM "forecast" WHERE time > {time.time_ns()} LIMIT 1')
    expect(future, "no forecast point lies in the future")
