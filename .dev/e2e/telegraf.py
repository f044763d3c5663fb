"""A real Telegraf pushes through each of its outputs with the configurations of telegraf/."""
import pathlib
import re
import time

from live.process import Process
from live.services import ROOT, Gateway

from . import lines, peers
from .bench import expect

TITLE = "Telegraf's three outputs, and a scraped node exporter"
CONFIGURATIONS = ["telegraf.conf", "telegraf-influxdb.conf", "telegraf-http.conf", "telegraf-prometheus.conf"]
TOKEN = "e2e-telegraf-write-0123456789abcdef"
READ = {"Authorization": f"Token {TOKEN}"}
# Three intervals give the inputs that report differences (cpu) two reports.
RUN_S = 5
PACE = {"interval": "1s", "flush_interval": "1s", "flush_jitter": "0s", "collection_jitter": "0s"}
REPORTING = """\
[[outputs.file]]
  files = ["{report}"]
  data_format = "influx"
"""


def run(bench):
    exporter = bench.start(peers.NodeExporter(bench.scratch("node-exporter")))
    agents = [launch(bench, name, exporter) for name in CONFIGURATIONS]
    time.sleep(RUN_S)
    for name, gateway, agent, report in agents:
        with bench.step(f"{name}: every metric is found with its value and type"):
            code = agent.stop()
            expect(code == 0, f"telegraf ended with {code}\n{agent.tail()}")
            points, series = compare(gateway.url, report, READ)
            bench.say(f"{points} points of {series} series")


def launch(bench, name, exporter):
    """Starts a gateway that wants a token, and a Telegraf that pushes to it and writes down what it pushed."""
    folder = bench.scratch(pathlib.Path(name).stem)
    tokens = folder / "tokens"
    tokens.write_text(f"{TOKEN} read,write\n")
    gateway = bench.start(Gateway(folder, HEADROOM_TOKENS_FILE=tokens))
    agent, report = launch_agent(bench, folder, ROOT / "telegraf" / name, gateway.url, TOKEN,
                                 NODE_EXPORTER_URL=exporter.url)
    return name, gateway, agent, report


def launch_agent(bench, folder, configuration, url, token, beside=None, **more):
    """Starts Telegraf with one of the configurations, at a faster pace, and with a file of what it pushed beside it.

    `beside` is a further configuration."""
    report = folder / "reported.lp"
    copy = folder / "telegraf.conf"
    copy.write_text(paced(configuration.read_text()) + REPORTING.format(report=report))
    settings = {"HEADROOM_GATEWAY_URL": url, "HEADROOM_TOKEN": token} | more
    program = [peers.program("telegraf"), "--config", copy, *(["--config", beside] if beside else [])]
    return bench.start(Process("telegraf", program, folder / "telegraf.log", settings)), report


def paced(text):
    """The configuration with the agent's own intervals shortened."""
    for name, value in PACE.items():
        text = re.sub(rf'^( *{name} *= *)".*"', rf'\g<1>"{value}"', text, count=1, flags=re.MULTILINE)
    return text


def compare(url, report, headers=None):
    """Finds every point that Telegraf wrote down in the answers of /query; returns how many points and series."""
    points = [lines.parse(line) for line in report.read_text().splitlines()]
    expect(points, f"Telegraf wrote nothing down in {report}")
    stored = {}
    for measurement in sorted({point.measurement for point in points}):
        stored.update(peers.stored_points(url, measurement, headers=headers))
        types = peers.field_types(url, measurement, headers=headers)
        for point in points:
            if point.measurement == measurement:
                compare_types(point, types)
    for point in points:
        row = stored.get((point.series(), point.time_ns))
        expect(row is not None, f"{point.series()} at {point.time_ns} was reported as written and is not there")
        for name, (_, value) in point.fields.items():
            expect(row.get(name) == value, f"{point.series()} {name}: {value!r} was pushed, {row.get(name)!r} is there")
    return len(points), len({point.series() for point in points})


def compare_types(point, types):
    for name, (kind, _) in point.fields.items():
        expect(kind in types.get(name, ()), f"{point.measurement}.{name} was pushed as {kind}; it is {types.get(name)}")
