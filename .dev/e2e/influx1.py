"""A real InfluxDB 1.6 and the embedded store answer the same statements on the same points."""
import math
import random

from live import web
from live.services import ROOT, Gateway

from . import peers
from .bench import expect

TITLE = "InfluxDB 1.6 answers as the embedded store does"
STATEMENTS = ROOT / ".dev" / "e2e" / "statements.txt"
START_S = 1_700_000_100
STEP_S = 10
POINTS = 720
RELATIVE_TOLERANCE = 1e-9


def run(bench):
    influx = bench.start(peers.InfluxDB1(bench.scratch("influxdb")))
    gateway = bench.start(Gateway(bench.scratch("gateway")))
    with bench.step("both take CREATE DATABASE and the same points"):
        text = "\n".join(points())
        for url in (influx.url, gateway.url):
            answer = web.call("POST", f"{url}/query", 'q=CREATE+DATABASE+"telegraf"',
                              {"Content-Type": "application/x-www-form-urlencoded"})
            expect(answer.status == 200 and answer.json() == {"results": [{"statement_id": 0}]}, f"{url}: {answer}")
            answer = web.call("POST", f"{url}/write", text, db="telegraf")
            expect(answer.status == 204, f"{url}: {answer}")
    statements = read_statements()
    for statement in statements:
        with bench.step(statement):
            compare(statement, influx.url, gateway.url)


def read_statements():
    """The statements, one a line; {from}, {middle} and {to} are the points' first, middle and last instants in ns."""
    times = {"from": START_S, "middle": START_S + STEP_S * POINTS // 2, "to": START_S + STEP_S * POINTS}
    places = {name: f"{seconds}000000000" for name, seconds in times.items()}
    lines = STATEMENTS.read_text().splitlines()
    return [line.format(**places) for line in lines if line and not line.startswith("#")]


def compare(statement, influx, gateway):
    for epoch in ("ns", "ms", None):
        parameters = {"q": statement, "db": "telegraf"} | ({"epoch": epoch} if epoch else {})
        wanted = web.get(f"{influx}/query", **parameters)
        seen = web.get(f"{gateway}/query", **parameters)
        expect(seen.status == wanted.status, f"epoch={epoch}: status {seen}; InfluxDB's is {wanted}")
        difference = differ(wanted.json(), seen.json())
        expect(difference is None, f"epoch={epoch}: {difference}")


def differ(wanted, seen, place="answer"):
    """Where two JSON values differ, or None: numbers within 1e-9, an error's wording free, all else exactly."""
    if isinstance(wanted, dict) and isinstance(seen, dict):
        if list(wanted) != list(seen):
            return f"{place}: keys {list(seen)}; InfluxDB's are {list(wanted)}"
        pairs = [(key, wanted[key], seen[key]) for key in wanted if key != "error"]
    elif isinstance(wanted, list) and isinstance(seen, list):
        if len(wanted) != len(seen):
            return f"{place}: {len(seen)} elements {str(seen)[:200]}; InfluxDB has {len(wanted)} {str(wanted)[:200]}"
        pairs = list(zip(range(len(wanted)), wanted, seen))
    else:
        return None if equal(wanted, seen) else f"{place}: {seen!r}; InfluxDB has {wanted!r}"
    differences = (differ(left, right, f"{place}.{key}") for key, left, right in pairs)
    return next((difference for difference in differences if difference), None)


def equal(wanted, seen):
    if is_number(wanted) and is_number(seen):
        if isinstance(wanted, int) and isinstance(seen, int):
            return wanted == seen
        return math.isclose(wanted, seen, rel_tol=RELATIVE_TOLERANCE, abs_tol=0)
    return type(wanted) is type(seen) and wanted == seen


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def points():
    """Telegraf-shaped points of three hosts over two hours: floats, integers, strings, booleans, gaps and a reboot."""
    chance = random.Random(3)
    for host in ("web-1", "db-1", "cache-1"):
        received = 10_000_000
        for index in range(POINTS):
            if chance.random() < 0.03 or 200 <= index < 230 and host == "db-1":
                continue
            time_ns = (START_S + index * STEP_S) * 1_000_000_000
            idle = 60 + 30 * math.sin(index / 50) + chance.gauss(0, 3)
            received = chance.randrange(1000) if index == 500 else received + chance.randrange(200_000)
            yield from lines_of(host, index, time_ns, idle, received, chance)


def lines_of(host, index, time_ns, idle, received, chance):
    for core in ("cpu-total", "cpu0"):
        yield f"cpu,cpu={core},host={host} usage_idle={idle:.6f},usage_user={(100 - idle) * 0.7:.6f} {time_ns}"
    yield f"mem,host={host} used_percent={40 + index / 40:.4f},total=8589934592i,used={3_000_000_000 + index}i {time_ns}"
    for path in ("/", "/var/lib"):
        yield f"disk,device=vda,host={host},path={path} used_percent={50 + index / 100:.3f},free={10_000_000 - index}i {time_ns}"
    yield f"net,host={host},interface=eth0 bytes_recv={received}i,bytes_sent={received // 3}i {time_ns}"
    yield f"system,host={host} load1={abs(chance.gauss(1, 0.4)):.2f},n_cpus=4i,uptime_format=\"{index // 360}:{index % 60:02}\" {time_ns}"
    if index % 30 == 0:
        yield f"service,host={host},name=my\\ app up={'t' if index % 60 else 'f'},state=\"run, \\\"ok\\\"\" {time_ns}"
