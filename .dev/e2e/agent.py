"""A Telegraf that reports exactly the points that it is given, each once, through all three outputs of telegraf/.

A point is what `peers.stored_points` makes of a stored one: (series, time in ns) and the fields' values by name.
"""
import http.server
import random
import re
import threading

from live.process import Failed, Process, wait_until
from live.services import ROOT, query

from . import peers
from .bench import expect

# Each output pushes to a bucket of its own name.
OUTPUTS = {"influxdb_v2": "telegraf.conf", "influxdb": "telegraf-influxdb.conf", "http": "telegraf-http.conf"}
WAIT_S = 90
HOSTS = ("db-1", "web-1", "web-2")
# A Tuesday: whatever follows within some days is of the same week.
START_S = 1_700_000_000
CONFIGURATION = """\
[agent]
  interval = "500ms"
  flush_interval = "500ms"
  metric_batch_size = {batch_size}
  metric_buffer_limit = 50000
  precision = "1ms"
  skip_processors_after_aggregators = true
  omit_hostname = true
  debug = true

[[inputs.prometheus]]
  urls = ["{source}"]
  metric_version = 1
  url_tag = ""
  timeout = "60s"

"""


def points(measurement, count, first=0):
    """The points `first` and up of a measurement, one a second, with values that hardly shrink under gzip."""
    chance = random.Random(first)
    return {((measurement, (("host", HOSTS[n % len(HOSTS)]),)), (START_S + n) * 1_000_000_000): {"gauge": chance.random()}
            for n in range(first, first + count)}


class Source:
    """Hands what is to be reported to the first who asks, as gauges of Prometheus."""

    def __init__(self):
        self.waiting = ""
        self.lock = threading.Lock()
        source = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = source.take().encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/metrics"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def offer(self, offered):
        families = {}
        for ((measurement, tags), time_ns), fields in offered.items():
            labels = ",".join(f'{name}="{value}"' for name, value in tags)
            sample = f"{measurement}{{{labels}}} {fields['gauge']!r} {time_ns // 1_000_000}"
            families.setdefault(measurement, [f"# TYPE {measurement} gauge"]).append(sample)
        with self.lock:
            self.waiting += "".join(f"{line}\n" for family in families.values() for line in family)

    def take(self):
        with self.lock:
            taken, self.waiting = self.waiting, ""
        return taken

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Agent(Process):
    """The Telegraf; `tokens` holds each output's."""

    def __init__(self, folder, url, tokens=None, batch_size=1000):
        self.source = Source()
        sections = [output(name, (tokens or {}).get(name, "")) for name in OUTPUTS]
        configuration = folder / "telegraf.conf"
        configuration.write_text(CONFIGURATION.format(batch_size=batch_size, source=self.source.url) + "".join(sections))
        super().__init__("telegraf", [peers.program("telegraf"), "--config", configuration], folder / "telegraf.log",
                         {"HEADROOM_GATEWAY_URL": url})

    def stop(self):
        code = super().stop()
        self.source.close()
        return code

    def report(self, reported):
        """Has the points pushed through every output."""
        self.source.offer(reported)

    def wait_answered(self, status):
        """Waits until every output was answered the status that is right for it."""
        for name, code in status.items():
            said = re.compile(rf"E! .*\boutputs\.{name}\b.*[ (]{code}[ ).]")
            self.wait_for(f"outputs.{name} is answered {code}", lambda: said.search(self.log.read_text()), WAIT_S)

    def wait_dropped(self, name, count):
        """Waits until an output has let go of so many points as if they had been taken."""
        said = re.compile(rf"\[outputs\.{name}\] +Wrote batch of (\d+) metrics")
        self.wait_for(f"outputs.{name} lets go of {count} points",
                      lambda: sum(map(int, said.findall(self.log.read_text()))) >= count, WAIT_S)


def output(name, token):
    """An output as telegraf/ configures it, with a bucket and a token of its own."""
    text = (ROOT / "telegraf" / OUTPUTS[name]).read_text()
    section = re.search(rf"^\[\[outputs\.{name}\]\]\n.*?(?=^\[\[|\Z)", text, re.MULTILINE | re.DOTALL)[0]
    section, renamed = re.subn(r'((?:bucket|database)(?: = "|=))telegraf"', rf'\g<1>{name}"', section)
    section, given = re.subn(r"\$\{HEADROOM_TOKEN:-\}", token, section)
    expect(renamed == 1 and given == 1, f"telegraf/{OUTPUTS[name]} names its bucket or its token otherwise than before")
    return section


def wait_stored(url, name, wanted, optional=None, headers=None, watched=()):
    """Waits until an output's bucket has the wanted points; answers how many of the optional ones it has beside, and
    fails if it has anything else."""
    expected = wanted | (optional or {})
    found = {}

    def everything():
        found.update(stored(url, name, headers))
        return wanted.keys() <= found.keys()

    try:
        wait_until(f"bucket {name} has {len(wanted)} points", everything, WAIT_S, watched)
    except Failed as error:
        missing = sorted(wanted.keys() - found.keys())
        raise Failed(f"{len(missing)} points are missing, first {missing[:2]}\n{error}") from error
    for key, fields in found.items():
        expect(expected.get(key) == fields, f"bucket {name} has {fields} at {key}; {expected.get(key)} was reported")
    return len(found) - len(wanted)


def stored(url, name, headers):
    """Every point of a bucket; one that no push has made yet has none."""
    found = {}
    try:
        for series in query(url, "SHOW MEASUREMENTS", name, headers=headers):
            for [measurement] in series["values"]:
                found |= peers.stored_points(url, measurement, name, headers)
    except Failed as error:
        if "database not found" not in str(error):
            raise
    return found
