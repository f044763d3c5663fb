"""The programs that take the load: each on a free loopback port, with its CPU time, its peak memory and what it has taken."""
import json
import os
import pathlib
import subprocess
import time
import urllib.request

from live.process import free_port

ROOT = pathlib.Path(__file__).resolve().parents[2]
GATEWAY = ROOT / "target" / "release" / "headroom-gateway"
TICKS = os.sysconf("SC_CLK_TCK")
# A server counts as idle when it takes less than this share of a core for a while.
IDLE_SHARE, IDLE_S = 0.05, 3


class Program:
    def __init__(self, arguments, port, ready, environment=None, log=None):
        self.port, self.url = port, f"http://127.0.0.1:{port}"
        self.arguments, self.ready, self.environment = arguments, ready, environment or {}
        self.log = log
        self.start()

    def start(self):
        """Starts; answers the seconds until it is ready."""
        begun = time.monotonic()
        output = open(self.log, "ab") if self.log else subprocess.DEVNULL
        self.process = subprocess.Popen([str(word) for word in self.arguments], env=os.environ | self.environment, stdout=output, stderr=output)
        while True:
            try:
                urllib.request.urlopen(self.url + self.ready, timeout=5).close()
                return time.monotonic() - begun
            except OSError:
                if self.process.poll() is not None or time.monotonic() - begun > 120:
                    raise
                time.sleep(0.02)

    def cpu_s(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def peak_mb(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024

    def metric(self, name):
        with urllib.request.urlopen(self.url + "/metrics", timeout=60) as answer:
            lines = answer.read().decode().splitlines()
        return next((float(line.split()[-1]) for line in lines if line.startswith(name)), 0.0)

    def wait_idle(self):
        while True:
            before = self.cpu_s()
            time.sleep(IDLE_S)
            if self.cpu_s() - before < IDLE_SHARE * IDLE_S:
                return

    def kill(self):
        self.process.kill()
        self.process.wait()


def victoria(folder, port=None):
    port = port or free_port()
    return Program(["victoria-metrics", f"-storageDataPath={folder}/vm", f"-httpListenAddr=127.0.0.1:{port}", "-retentionPeriod=100y"], port, "/health")


def vmagent(folder, store):
    port = free_port()
    return Program(["vmagent", f"-httpListenAddr=127.0.0.1:{port}", f"-remoteWrite.tmpDataPath={folder}/agent",
                    f"-remoteWrite.url={store}/api/v1/write"], port, "/health")


def headroom(folder, upstream=None, **settings):
    port = free_port()
    environment = {"HEADROOM_LISTEN": f"127.0.0.1:{port}", "HEADROOM_DATA_DIR": f"{folder}/gateway", "RUST_LOG": "warn"}
    if upstream:
        environment |= {"HEADROOM_INFLUX_URL": upstream, "HEADROOM_INFLUX_VERSION": "1"}
    return Program([GATEWAY], port, "/ready", environment | {name: str(value) for name, value in settings.items()}, f"{folder}/gateway.log")


def influxdb(folder):
    port = free_port()
    program = Program(["influxd"], port, "/ping", {
        "INFLUXDB_HTTP_BIND_ADDRESS": f"127.0.0.1:{port}", "INFLUXDB_BIND_ADDRESS": "127.0.0.1:0", "INFLUXDB_HTTP_LOG_ENABLED": "false",
        "INFLUXDB_REPORTING_DISABLED": "true", "INFLUXDB_META_DIR": f"{folder}/meta", "INFLUXDB_DATA_DIR": f"{folder}/data",
        "INFLUXDB_DATA_WAL_DIR": f"{folder}/wal", "INFLUXDB_MONITOR_STORE_ENABLED": "false", "INFLUXDB_DATA_MAX_SERIES_PER_DATABASE": "0"})
    urllib.request.urlopen(f"{program.url}/query", b"q=CREATE+DATABASE+telegraf").close()
    return program


def influxdb_points(program):
    """The points that InfluxDB says it was asked to write."""
    with urllib.request.urlopen(f"{program.url}/query?q=SHOW+STATS+FOR+'write'", timeout=60) as answer:
        series = json.load(answer)["results"][0]["series"]
    return sum(one["values"][0][one["columns"].index("pointReq")] for one in series if "pointReq" in one["columns"])
