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
        connection = http.client.HTTPConnection(self.address, timeout=30)
        connection.request("POST", "/query?q=CREATE+DATABASE+telegraf")
        connection.getresponse().read()
        return took

    def settle(self):
        """Gives background work its time."""
        time.sleep(self.settle_s)

    def stop(self):
        """Ends the process orderly; answers what it used."""
        self.process.send_signal(signal.SIGTERM)
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        return Usage(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)

    def data_bytes(self):
        folder = pathlib.Path(self.folder)
        # What is allocated: InfluxDB's series file has large holes.
        files = (path for part in self.data for path in (folder / part).rglob("*") if path.is_file())
        return sum(path.stat().st_blocks * 512 for path in files)


def headroom(program):
    """Seals when it stops, so that its usage holds the sealing."""
    def environment(address, folder):
        return {"HEADROOM_LISTEN": address, "HEADROOM_DATA_DIR": str(folder), "RUST_LOG": "warn"}
    return lambda folder: Server(folder, [program], environment, "/ready", 1, ["store"])


def influxdb(program):
    """Writes its cache out and compacts soon after the last write, and is given the time for it."""
    def environment(address, folder):
        return {
            "INFLUXDB_HTTP_BIND_ADDRESS": address, "INFLUXDB_BIND_ADDRESS": "127.0.0.1:0",
            "INFLUXDB_HTTP_LOG_ENABLED": "false", "INFLUXDB_REPORTING_DISABLED": "true",
            "INFLUXDB_META_DIR": str(folder / "meta"), "INFLUXDB_DATA_DIR": str(folder / "data"),
            "INFLUXDB_DATA_WAL_DIR": str(folder / "wal"), "INFLUXDB_MONITOR_STORE_ENABLED": "false",
            "INFLUXDB_DATA_CACHE_SNAPSHOT_WRITE_COLD_DURATION": "3s",
            "INFLUXDB_DATA_COMPACT_FULL_WRITE_COLD_DURATION": "5s",
        }
    return lambda folder: Server(folder, [program], environment, "/ping", 20, ["data"])
