"""The real servers beside the project's own, and what is asked of any server that answers InfluxQL."""
import functools
import subprocess
import sys

from live import web
from live.process import Failed, Process, free_port
from live.services import ROOT, query

ORG = "headroom"
BUCKET = "telegraf"
INFLUX2_TOKEN = "e2e-influxdb-0123456789abcdef"


@functools.cache
def program(name):
    """The path of a real server's program, built or installed first where that is needed."""
    shown = subprocess.run([sys.executable, ROOT / ".dev" / "servers.py", name], check=True, capture_output=True, text=True)
    return shown.stdout.split()[1]


class InfluxDB2(Process):
    """InfluxDB 2.7, set up with an organisation, a bucket and a token; the same folder and port start it again."""

    def __init__(self, folder, port=None, bucket=BUCKET):
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.headers = {"Authorization": f"Token {INFLUX2_TOKEN}"}
        super().__init__("influxdb2", [program("influxdb2"), "run", "--bolt-path", folder / "bolt", "--engine-path",
                                       folder / "engine", "--sqlite-path", folder / "sqlite", "--http-bind-address",
                                       f"127.0.0.1:{self.port}", "--reporting-disabled"], folder / "influxdb2.log")
        self.wait_for("InfluxDB 2 answers /health", lambda: web.reachable(f"{self.url}/health"), 60)
        if web.get(f"{self.url}/api/v2/setup").json()["allowed"]:
            self.set_up(bucket)

    def set_up(self, bucket):
        answer = web.call("POST", f"{self.url}/api/v2/setup", {
            "username": "headroom", "password": "headroom-e2e", "org": ORG, "bucket": bucket, "token": INFLUX2_TOKEN})
        if answer.status != 201:
            raise Failed(f"InfluxDB 2's setup was answered {answer}")

    def settings(self):
        """What a gateway in front of this server is told."""
        return {"HEADROOM_INFLUX_URL": self.url, "HEADROOM_INFLUX_TOKEN": INFLUX2_TOKEN, "HEADROOM_INFLUX_ORG": ORG,
                "HEADROOM_INFLUX_BUCKET": BUCKET}


class InfluxDB1(Process):
    """InfluxDB 1.6, without authentication."""

    def __init__(self, folder, port=None):
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        settings = {"INFLUXDB_META_DIR": folder / "meta", "INFLUXDB_DATA_DIR": folder / "data",
                    "INFLUXDB_DATA_WAL_DIR": folder / "wal", "INFLUXDB_HTTP_BIND_ADDRESS": f"127.0.0.1:{self.port}",
                    "INFLUXDB_BIND_ADDRESS": f"127.0.0.1:{free_port()}", "INFLUXDB_REPORTING_DISABLED": "true",
                    "INFLUXDB_MONITOR_STORE_ENABLED": "false"}
        super().__init__("influxdb1", [program("influxdb1"), "run"], folder / "influxdb1.log", settings)
        self.wait_for("InfluxDB 1 answers /ping", lambda: web.reachable(f"{self.url}/ping"), 60)


class NodeExporter(Process):
    """Prometheus' node exporter on this machine."""

    def __init__(self, folder):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}/metrics"
        super().__init__("node-exporter", [program("node-exporter"), f"--web.listen-address=127.0.0.1:{port}"],
                         folder / "node-exporter.log")
        self.wait_for("the node exporter answers", lambda: web.reachable(self.url), 30)


def stored_points(url, measurement, database=BUCKET, headers=None):
    """Every point of a measurement by (series, time in ns), each its fields' values by name."""
    rows = {}
    for series in query(url, f'SELECT * FROM "{measurement}" GROUP BY *', database, headers=headers):
        tags = tuple(sorted((key, value) for key, value in series.get("tags", {}).items() if value != ""))
        for row in series["values"]:
            fields = dict(zip(series["columns"], row))
            rows[((measurement, tags), fields.pop("time"))] = fields
    return rows


def field_types(url, measurement, database=BUCKET, headers=None):
    """The types of a measurement's fields, by name."""
    types = {}
    for series in query(url, f'SHOW FIELD KEYS FROM "{measurement}"', database, headers=headers):
        for name, kind in series["values"]:
            types.setdefault(name, set()).add(kind)
    return types


def count(url, measurement, field, database=BUCKET, where="", headers=None):
    """How many points of a measurement have the field."""
    series = query(url, f'SELECT count("{field}") FROM "{measurement}"{where}', database, headers=headers)
    return series[0]["values"][0][1] if series else 0
