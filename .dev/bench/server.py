"""The servers: started on a free loopback port in a folder of their own, and ended with their usage known."""
import dataclasses
import http.client
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time


TICKS = os.sysconf("SC_CLK_TCK")
# A second in which a process uses less is one of rest.
IDLE_CPU_S = 0.05


@dataclasses.dataclass
class Usage:
    cpu_s: float
    memory_mb: float


class Server:
    def __init__(self, folder, command, environment, ready, settle_s, data):
        self.folder = folder
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{found.getsockname()[1]}"
        self.url = f"http://{self.address}"
        self.environment = os.environ | environment(self.address, folder)
        command = command if isinstance(command, list) else command(self.address, folder)
        self.command, self.ready, self.settle_s, self.data = command, ready, settle_s, data
        self.process = None
        self._turn = threading.Lock()

    def next_of(self, batches):
        with self._turn:
            return next(batches, None)

    def start(self):
        """Starts; answers the seconds until it is ready."""
        started = time.perf_counter()
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(self.command, env=self.environment, stdout=log, stderr=log)
        while True:
            try:
                connection = http.client.HTTPConnection(self.address, timeout=5)
                connection.request("GET", self.ready)
                if connection.getresponse().status < 300:
                    break
            except OSError:
                pass
            if self.process.poll() is not None:
                sys.exit(f"bench: {self.command[0]} ended; see {self.folder / 'log'}")
            time.sleep(0.01)
        took = time.perf_counter() - started
        if self.ready != "/health":
            connection = http.client.HTTPConnection(self.address, timeout=30)
            connection.request("POST", "/query?q=CREATE+DATABASE+telegraf")
            connection.getresponse().read()
        return took

    def settle(self):
        """Gives background work its time: until the process has done nothing for a while."""
        idle_s, last = 0, self.cpu_s()
        while idle_s < self.settle_s:
            time.sleep(1)
            now = self.cpu_s()
            idle_s = idle_s + 1 if now - last < IDLE_CPU_S else 0
            last = now

    def cpu_s(self):
        """CPU-seconds so far, those of the system for it included."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def stop(self):
        """Ends the process orderly; answers what it used."""
        self.process.send_signal(signal.SIGTERM)
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        return Usage(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)

    def kill(self):
        """Ends the process as a crash does."""
        self.process.kill()
        self.process.wait()

    def data_bytes(self):
        folder = pathlib.Path(self.folder)
        # What is allocated: InfluxDB's series file has large holes.
        files = (path for part in self.data for path in (folder / part).rglob("*") if path.is_file())
        return sum(path.stat().st_blocks * 512 for path in files)


def headroom(program):
    """Seals when it stops, so that its usage holds the sealing."""
    def environment(address, folder):
        return {"HEADROOM_LISTEN": address, "HEADROOM_DATA_DIR": str(folder), "RUST_LOG": "warn"}
    return lambda folder: Server(folder, [program], environment, "/ready", 2, ["store"])


def influxdb(program):
    """Writes its cache out and compacts soon after the last write, and is given the time for it."""
    def environment(address, folder):
        return {
            "INFLUXDB_HTTP_BIND_ADDRESS": address, "INFLUXDB_BIND_ADDRESS": "127.0.0.1:0",
            "INFLUXDB_HTTP_LOG_ENABLED": "false", "INFLUXDB_REPORTING_DISABLED": "true",
            "INFLUXDB_META_DIR": str(folder / "meta"), "INFLUXDB_DATA_DIR": str(folder / "data"),
            "INFLUXDB_DATA_WAL_DIR": str(folder / "wal"), "INFLUXDB_MONITOR_STORE_ENABLED": "false",
            "INFLUXDB_DATA_MAX_SERIES_PER_DATABASE": "0", "INFLUXDB_DATA_MAX_VALUES_PER_TAG": "0",
            "INFLUXDB_DATA_CACHE_SNAPSHOT_WRITE_COLD_DURATION": "3s",
            "INFLUXDB_DATA_COMPACT_FULL_WRITE_COLD_DURATION": "5s",
        }
    return lambda folder: Server(folder, [program], environment, "/ping", 12, ["data"])


def victoriametrics(program):
    """Merges parts for some seconds after the last write, and is given the time for it."""
    def command(address, folder):
        return [program, f"-httpListenAddr={address}", f"-storageDataPath={folder}", "-retentionPeriod=100y",
                "-loggerLevel=ERROR", "-search.maxUniqueTimeseries=5000000", "-search.maxTagValues=5000000"]
    return lambda folder: Server(folder, command, lambda *_: {}, "/health", 8, ["data", "indexdb"])
