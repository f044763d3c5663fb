"""Every query of the provisioned Grafana dashboards is answered, not empty, by every kind of store, and equally by two of them."""
import json
import re
import time

from live import fleet, web
from live.process import Failed, wait_until
from live.services import ROOT, Forecaster, Gateway, query

from . import influx1, lines, peers, telegraf
from .bench import expect

TITLE = "the queries of the Grafana dashboards"
DASHBOARDS = ROOT / "docker"
# Grafana's data source asks for no finer interval than this (`timeInterval`), and a panel is about so many pixels wide.
FINEST_S = 10
PANEL_PIXELS = 600
# The intervals that Grafana rounds to, in seconds, each with the longest that is rounded down to it.
INTERVALS = [(10, 12.5), (15, 17.5), (20, 25), (30, 45), (60, 90), (120, 210), (300, 450), (600, 750), (900, 1050),
             (1200, 1500), (1800, 2700), (3600, 5400)]
HOSTS = ["web-01", "database-01"]
# A host whose name a regular expression must have escaped, and one that it means as well where it is not.
DOTTED, DECOY = "web.example.com", "web-example-com"
# Rates need what was read in two intervals at least.
SCRAPED_S = 3 * FINEST_S
DELIVERED = ("headroom_upstream_lag_batches", 'destination="influxdb1"')


def run(bench):
    queries = [(path.name, *found) for path in sorted(DASHBOARDS.rglob("*.json")) for found in read(path)]
    expect(queries, f"no dashboard with a query lies under {DASHBOARDS}")
    equal_on_both(bench, queries)
    before_influxdb2(bench, queries)


def equal_on_both(bench, queries):
    """The embedded store beside an InfluxDB 1.6 that got every batch as well, as a destination of the same gateway."""
    influx = bench.start(peers.InfluxDB1(bench.scratch("influxdb1")))
    web.call("POST", f"{influx.url}/query", 'q=CREATE+DATABASE+"telegraf"', {"Content-Type": "application/x-www-form-urlencoded"})
    folder = bench.scratch("embedded")
    settings = folder / "headroom.toml"
    settings.write_text(f'[[destination]]\nname = "influxdb1"\nurl = "{influx.url}"\nversion = 1\n')
    gateway = bench.start(Gateway(folder, HEADROOM_CONFIG=settings))
    fill(bench, folder, gateway)
    for host in (DOTTED, DECOY):
        copy(gateway, HOSTS[0], host)
    wait_until("InfluxDB 1.6 has every batch", lambda: delivered(gateway), 60, [gateway, influx])
    now_ms = time.time_ns() // 1_000_000
    for dashboard, title, statement, board in queries:
        with bench.step(f"embedded store and InfluxDB 1.6: {dashboard}: {title}"):
            for text in dict.fromkeys(expand(gateway, statement, board, now_ms, choice) for choice in CHOICES):
                filled(gateway.query(text, epoch="ms"), text)
                wanted, seen = (web.get(f"{server.url}/query", q=text, db="telegraf", epoch="ms") for server in (influx, gateway))
                difference = influx1.differ(wanted.json(), seen.json())
                expect(difference is None, f"{text}: {difference}")
    with bench.step("a host's name with dots means no other host"):
        no_other_host(influx, gateway, now_ms)


def no_other_host(influx, gateway, now_ms):
    host = {"name": "host", "type": "query", "query": 'SHOW TAG VALUES FROM "system" WITH KEY = "host"', "multi": True}
    board = {"time": {"from": "now-1h", "to": "now"}, "templating": {"list": [host]}}
    statement = 'SELECT count("load1") FROM "system" WHERE "host" =~ /^$host$/ GROUP BY "host"'
    text = expand(gateway, statement, board, now_ms, special)
    for url in (influx.url, gateway.url):
        found = [series["tags"]["host"] for series in query(url, text)]
        expect(found == [DOTTED], f"{url}: {text}: {found}")


def delivered(gateway):
    name, label = DELIVERED
    lag = [line for line in web.get(f"{gateway.url}/metrics").text().splitlines() if line.startswith(f"{name}{{{label}")]
    expect(lag, f"/metrics has no {name} of {label}")
    return float(lag[0].split()[-1]) == 0


def before_influxdb2(bench, queries):
    influx = bench.start(peers.InfluxDB2(bench.scratch("influxdb2")))
    folder = bench.scratch("forwarding")
    gateway = bench.start(Gateway(folder, **influx.settings()))
    fill(bench, folder, gateway)
    now_ms = time.time_ns() // 1_000_000
    for dashboard, title, statement, board in queries:
        with bench.step(f"InfluxDB 2.7: {dashboard}: {title}"):
            text = expand(gateway, statement, board, now_ms, every)
            filled(gateway.query(text, epoch="ms"), text)


def fill(bench, folder, gateway):
    """Two hosts with a history and forecasts, and what gateway and forecaster say of themselves, read by Telegraf."""
    bench.start(fleet.simulator(folder, gateway, "fleet", "--hosts", len(HOSTS), "--days", 7, "--no-live")).wait(120)
    fleet.wait_for_history(gateway, HOSTS)
    forecaster = bench.start(Forecaster(folder, gateway, HEADROOM_TRAIN_ON_START="false", HEADROOM_FORECAST_INTERVAL_S=2,
                                        HEADROOM_DISCOVERY_INTERVAL_S=2))
    fleet.wait_for_hosts(forecaster, HOSTS)
    fleet.train(forecaster, HOSTS)
    written = 'SELECT last("q50") FROM "forecast" GROUP BY "host"'
    forecaster.wait_for("forecasts of both hosts in the store", lambda: len(gateway.query(written)) == len(HOSTS), 90)
    # A refused line has the rules of refusal in the metrics.
    gateway.call("POST", "/api/v2/write", "cpu,host=web-01", 400, bucket="telegraf", org="headroom")
    agent, _ = telegraf.launch_agent(bench, folder, ROOT / "telegraf" / "telegraf.conf", gateway.url, "",
                                     beside=ROOT / "telegraf" / "telegraf-headroom.conf", HEADROOM_FORECASTER_URL=forecaster.url)
    time.sleep(SCRAPED_S)
    agent.stop()
    forecaster.stop()


def copy(gateway, host, name):
    """Writes all points of a host once more under another host's name."""
    for measurement in [row[0] for series in gateway.query("SHOW MEASUREMENTS") for row in series["values"]]:
        types = peers.field_types(gateway.url, measurement)
        found = gateway.query(f'SELECT * FROM "{measurement}" WHERE "host" = \'{host}\' GROUP BY *')
        rows = [lines.write(measurement, series["tags"] | {"host": name}, dict(zip(series["columns"], row)), types)
                for series in found for row in series["values"]]
        if rows:
            gateway.write(rows)


def read(path):
    """The queries of a dashboard: (where, statement, the dashboard)."""
    dashboard = json.loads(path.read_text())
    found = [(f"variable ${variable['name']}", statement_of(variable["query"]), dashboard)
             for variable in variables_of(dashboard) if variable["type"] == "query"]
    for panel in panels(dashboard.get("panels", [])):
        for target in panel.get("targets", []):
            statement = target.get("query")
            if not statement:
                raise Failed(f"{path.name}: {panel.get('title')}: a target without the text of its query cannot be checked")
            found.append((f"{panel.get('title')} {target.get('refId', '')}".strip(), statement, dashboard))
    return found


def variables_of(dashboard):
    return dashboard.get("templating", {}).get("list", [])


def statement_of(query):
    return query.get("query", "") if isinstance(query, dict) else query


def panels(rows):
    for panel in rows:
        yield panel
        yield from panels(panel.get("panels", []))


def filled(series, text):
    rows = [row for one in series for row in one["values"] if any(value is not None for value in row[1:] or row)]
    expect(rows, f"the answer is empty: {text}")


def every(variable, values):
    """All values where a variable may have them, as it says or as one alternation; else the first."""
    if variable.get("includeAll"):
        return variable.get("allValue") or alternation(values)
    return alternation(values) if variable.get("multi") else values[0]


def one(variable, values):
    """The first value, which one that may have several has escaped."""
    return escape(values[0]) if variable.get("multi") else values[0]


def several(variable, values):
    """The last two values where a variable may have several, else the last."""
    return alternation(values[-2:]) if variable.get("multi") else values[-1]


def special(variable, values):
    """The value alone that has the most to escape in a regular expression: a path, a name with dots."""
    value = max(values, key=lambda value: len(escape(value)) - len(value))
    return alternation([value]) if variable.get("multi") else value


def alternation(values):
    return f"({'|'.join(map(escape, values))})"


CHOICES = [every, one, several, special]


def expand(gateway, statement, dashboard, now_ms, choice, known=None):
    """Puts chosen values in place of the variables as Grafana's InfluxDB data source does."""
    start_ms, end_ms = (now_ms + offset_ms(dashboard["time"][end]) for end in ("from", "to"))
    interval_s = interval(start_ms, end_ms)
    text = statement.replace("$timeFilter", f"time >= {start_ms}ms and time <= {end_ms}ms")
    text = re.sub(r"\$(__interval_ms|\{__interval_ms\})", str(1000 * interval_s), text)
    text = re.sub(r"\$(__interval|interval|\{__interval\}|\{interval\})(?!\w)", f"{interval_s}s", text)
    variables = variables_of(dashboard) if known is None else known
    for variable in variables:
        name = variable["name"]
        if not re.search(rf"\$({name}\b|\{{{name}\b)", text):
            continue
        value = choice(variable, values_of(gateway, variable, dashboard, now_ms, choice))
        text = re.sub(rf"\$(?:{name}\b|\{{{name}(?::\w+)?\}})", lambda _: value, text)
    left = re.search(r"\$\{?\w+", text.replace("$/", "/"))
    expect(not left, f"{left and left[0]} is no known variable in {text}")
    return text


def offset_ms(text):
    """How far `now`, `now-24h` or `now+8h` lies from now."""
    found = re.fullmatch(r"now(?:([+-]\d+)([mhd]))?", text)
    expect(found, f"{text!r} is no time that is understood here")
    return int(found[1]) * {"m": 60_000, "h": 3_600_000, "d": 86_400_000}[found[2]] if found[1] else 0


def interval(start_ms, end_ms):
    wanted_s = max((end_ms - start_ms) / 1000 / PANEL_PIXELS, FINEST_S)
    return next(seconds for seconds, longest_s in INTERVALS if wanted_s < longest_s)


def values_of(gateway, variable, dashboard, now_ms, choice):
    """The values that a variable may have, beside those that were chosen for the variables before it."""
    kind = variable["type"]
    if kind == "query":
        variables = variables_of(dashboard)
        before = variables[:variables.index(variable)]
        series = gateway.query(expand(gateway, statement_of(variable["query"]), dashboard, now_ms, choice, before))
        values = [row[-1] for one in series for row in one["values"]]
    elif kind in ("custom", "interval"):
        values = [value.strip() for value in statement_of(variable["query"]).split(",")]
    else:
        values = [variable.get("current", {}).get("value") or statement_of(variable.get("query", ""))]
    if pattern := variable.get("regex"):
        values = [value for value in values if re.search(pattern.strip("/"), value)]
    expect(values, f"the variable ${variable['name']} has no value")
    return values


def escape(value):
    """Escapes what a regular expression of InfluxQL takes for its own."""
    return re.sub(r"([\\^$.*+?()\[\]{}/|])", r"\\\1", value)
