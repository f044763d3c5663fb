"""Every query of the provisioned Grafana dashboards is answered, not empty, by both kinds of store."""
import json
import re
import time

from live import fleet
from live.process import Failed
from live.services import ROOT, Forecaster, Gateway

from . import peers
from .bench import expect

TITLE = "the queries of the Grafana dashboards"
DASHBOARDS = ROOT / "docker"
PAST_S = 2 * 86400
# Grafana's default for a panel of about 600 pixels over this range, rounded as it rounds.
INTERVAL = "5m"
HOSTS = ["web-01", "database-01"]


def run(bench):
    queries = [(path.name, *found) for path in sorted(DASHBOARDS.rglob("*.json")) for found in read(path)]
    expect(queries, f"no dashboard with a query lies under {DASHBOARDS}")
    influx = bench.start(peers.InfluxDB2(bench.scratch("influxdb")))
    for kind, settings in (("embedded", {}), ("InfluxDB 2.7", influx.settings())):
        folder = bench.scratch(kind.replace(" ", "-"))
        gateway = bench.start(Gateway(folder, **settings))
        fill(bench, folder, gateway)
        for dashboard, title, statement, variables in queries:
            with bench.step(f"{kind}: {dashboard}: {title}"):
                answered(gateway, statement, variables)


def fill(bench, folder, gateway):
    """Two hosts with a history and forecasts."""
    bench.start(fleet.simulator(folder, gateway, "fleet", "--hosts", len(HOSTS), "--days", 7, "--no-live")).wait(120)
    fleet.wait_for_history(gateway, HOSTS)
    forecaster = bench.start(Forecaster(folder, gateway, HEADROOM_TRAIN_ON_START="false", HEADROOM_FORECAST_INTERVAL_S=2,
                                        HEADROOM_DISCOVERY_INTERVAL_S=2))
    fleet.wait_for_hosts(forecaster, HOSTS)
    fleet.train(forecaster, HOSTS)
    written = 'SELECT last("q50") FROM "forecast" GROUP BY "host"'
    forecaster.wait_for("forecasts of both hosts in the store", lambda: len(gateway.query(written)) == len(HOSTS), 90)
    forecaster.stop()


def read(path):
    """The queries of a dashboard: (where, statement, the dashboard's variables)."""
    dashboard = json.loads(path.read_text())
    dashboard = dashboard.get("dashboard", dashboard)
    variables = dashboard.get("templating", {}).get("list", [])
    found = [(f"variable ${variable['name']}", statement_of(variable["query"]), variables)
             for variable in variables if variable["type"] == "query"]
    for panel in panels(dashboard.get("panels", [])):
        for target in panel.get("targets", []):
            statement = target.get("query")
            if not statement:
                raise Failed(f"{path.name}: {panel.get('title')}: a target without the text of its query cannot be checked")
            found.append((f"{panel.get('title')} {target.get('refId', '')}".strip(), statement, variables))
    return found


def statement_of(query):
    return query.get("query", "") if isinstance(query, dict) else query


def panels(rows):
    for panel in rows:
        yield panel
        yield from panels(panel.get("panels", []))


def answered(gateway, statement, variables):
    text = expand(gateway, statement, variables)
    series = gateway.query(text, epoch="ms")
    filled = [row for one in series for row in one["values"] if any(value is not None for value in row[1:] or row)]
    expect(filled, f"the answer is empty: {text}")


def expand(gateway, statement, variables):
    """Puts the values in place of the variables as Grafana's InfluxDB data source does."""
    now_ms = time.time_ns() // 1_000_000
    # The dashboards look into the future, where the forecasts are.
    text = statement.replace("$timeFilter", f"time >= {now_ms - PAST_S * 1000}ms and time <= {now_ms + 8 * 3600 * 1000}ms")
    text = re.sub(r"\$(__interval_ms|\{__interval_ms\})", "300000", text)
    text = re.sub(r"\$(__interval|interval|\{__interval\}|\{interval\})(?!\w)", INTERVAL, text)
    for variable in variables:
        name = variable["name"]
        if not re.search(rf"\$({name}\b|\{{{name}\b)", text):
            continue
        value = value_of(gateway, variable, variables)
        text = re.sub(rf"\$(?:{name}\b|\{{{name}(?::\w+)?\}})", lambda _: value, text)
    left = re.search(r"\$\{?\w+", text.replace("$/", "/"))
    expect(not left, f"{left and left[0]} is no known variable in {text}")
    return text


def value_of(gateway, variable, variables):
    """All values of a variable as one alternation where it takes several, else the first."""
    kind = variable["type"]
    if kind == "query":
        series = gateway.query(expand(gateway, statement_of(variable["query"]), variables[:variables.index(variable)]))
        values = [row[-1] for one in series for row in one["values"]]
    elif kind in ("custom", "interval"):
        values = [value.strip() for value in statement_of(variable["query"]).split(",")]
    else:
        values = [variable.get("current", {}).get("value") or statement_of(variable.get("query", ""))]
    if pattern := variable.get("regex"):
        values = [value for value in values if re.search(pattern.strip("/"), value)]
    expect(values, f"the variable ${variable['name']} has no value")
    if variable.get("multi") or variable.get("includeAll"):
        return f"({'|'.join(map(escape, values))})"
    return values[0]


def escape(value):
    """Escapes what a regular expression of InfluxQL takes for its own."""
    return re.sub(r"([\\^$.*+?()\[\]{}/|])", r"\\\1", value)
