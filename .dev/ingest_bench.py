#!/usr/bin/env python3
"""Measures the gateway in front of VictoriaMetrics beside vmagent in front of the same, and prints both and their ratio.

usage: ingest_bench.py [--lines N] [--batches N] [--connections N,…] [--rounds N]

Every push differs, and a run ends when VictoriaMetrics has counted every row. A forwarder's CPU is counted from its
start until then, user and system; the client's and VictoriaMetrics' own are not. Both forwarders get the same bodies, in
turns. The gateway answers 204 after its sync (fdatasync); vmagent answers before anything is on disk.
"""
import argparse
import gzip
import http.client
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from live.process import free_port  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[1]
GATEWAY = ROOT / "target" / "release" / "headroom-gateway"
START_S = 1_735_689_600
TICKS = os.sysconf("SC_CLK_TCK")
INPUTS = {
    "cpu": (("cpu",), "usage_user usage_system usage_idle usage_nice usage_iowait usage_irq usage_softirq usage_steal "
            "usage_guest usage_guest_nice", "float"),
    "mem": ((), "total available used active buffered cached free inactive slab wired dirty", "integer"),
    "disk": (("device", "fstype", "path"), "total free used inodes_total inodes_free inodes_used", "integer"),
    "diskio": (("name",), "reads writes read_bytes write_bytes read_time write_time io_time weighted_io_time "
               "iops_in_progress merged_reads merged_writes", "integer"),
    "net": (("interface",), "bytes_sent bytes_recv packets_sent packets_recv err_in err_out drop_in drop_out", "integer"),
    "system": ((), "load1 load5 load15", "float"),
}


def batches(count, lines_each):
    """Bodies of Telegraf-shaped lines, plain and gzipped, and the rows (fields) of all of them."""
    rnd = random.Random(7)
    value = {"float": lambda: repr(round(rnd.uniform(0, 100), 12)), "integer": lambda: f"{rnd.randrange(10**10)}i"}
    plain, packed, rows, number = [], [], 0, 0
    for _ in range(count):
        lines = []
        for _ in range(lines_each):
            host, step = number % 600, number // 600
            name, (tags, fields, kind) = list(INPUTS.items())[step % len(INPUTS)]
            fields = fields.split()
            series = ",".join([name, f"host=web-{host:05}.example.net", *(f"{tag}={tag}0" for tag in tags)])
            values = ",".join(f"{field}={value[kind]()}" for field in fields)
            lines.append(f"{series} {values} {START_S + step * 10}000000000")
            rows += len(fields)
            number += 1
        body = ("\n".join(lines) + "\n").encode()
        plain.append(body)
        packed.append(gzip.compress(body, 6))
    return plain, packed, rows


class Server:
    """A program on a port of its own, with its CPU time and peak memory."""

    def __init__(self, arguments, port, ready, environment=None):
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(arguments, env=os.environ | (environment or {}), stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(self.url + ready, timeout=1).close()
                return
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise
                time.sleep(0.05)

    def cpu_s(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def peak_mb(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024

    def metric(self, name):
        with urllib.request.urlopen(self.url + "/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        return next((float(line.split()[-1]) for line in lines if line.startswith(name)), 0.0)

    def stop(self):
        self.process.kill()
        self.process.wait()


def push(port, path, bodies, headers, connections):
    """Posts every body once; answers how long each took, in ms."""
    taken_ms, queue, lock = [], iter(bodies), threading.Lock()

    def work():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while True:
            with lock:
                body = next(queue, None)
            if body is None:
                return
            begun = time.monotonic()
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status not in (200, 204):
                sys.exit(f"a push was answered {answer.status}")
            taken_ms.append((time.monotonic() - begun) * 1000)

    threads = [threading.Thread(target=work) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(taken_ms)


def run(name, bodies, is_gzip, rows, lines, connections):
    """One run of a forwarder before a VictoriaMetrics of its own."""
    with tempfile.TemporaryDirectory(dir=ROOT / "target") as folder:
        store_port, port = free_port(), free_port()
        store = Server(["victoria-metrics", f"-storageDataPath={folder}/vm", f"-httpListenAddr=127.0.0.1:{store_port}",
                        "-retentionPeriod=100y"], store_port, "/health")
        if name == "vmagent":
            forwarder = Server(["vmagent", f"-httpListenAddr=127.0.0.1:{port}", f"-remoteWrite.tmpDataPath={folder}/agent",
                                f"-remoteWrite.url={store.url}/api/v1/write"], port, "/health")
            counter = "vm_rows_inserted_total{type=\"promremotewrite\"}"
        else:
            forwarder = Server([GATEWAY], port, "/ready", {
                "HEADROOM_LISTEN": f"127.0.0.1:{port}", "HEADROOM_DATA_DIR": f"{folder}/gateway", "RUST_LOG": "warn",
                "HEADROOM_INFLUX_URL": store.url, "HEADROOM_INFLUX_VERSION": "1"})
            counter = "vm_rows_inserted_total{type=\"influx\"}"
        try:
            headers = {"Content-Type": "text/plain; charset=utf-8"} | ({"Content-Encoding": "gzip"} if is_gzip else {})
            begun = time.monotonic()
            taken_ms = push(port, "/write?db=telegraf", bodies, headers, connections)
            pushed_s = time.monotonic() - begun
            while store.metric(counter) < rows:
                if time.monotonic() - begun > 300:
                    sys.exit(f"{name}: {store.metric(counter):.0f} of {rows} rows arrived")
                time.sleep(0.1)
            return {"cpu": forwarder.cpu_s() / lines * 1e6, "lines_s": lines / pushed_s, "peak": forwarder.peak_mb(),
                    "drained_s": time.monotonic() - begun, "p50": statistics.median(taken_ms),
                    "p99": taken_ms[int(len(taken_ms) * 0.99)]}
        finally:
            forwarder.stop()
            store.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=1000, help="lines a batch")
    parser.add_argument("--batches", type=int, default=1000)
    parser.add_argument("--connections", default="8")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    for program in ("vmagent", "victoria-metrics"):
        if not shutil.which(program):
            sys.exit(f"ingest_bench: {program} is missing; it is in Debian's package victoria-metrics")
    plain, packed, rows = batches(options.batches, options.lines)
    lines = options.batches * options.lines
    size = sum(map(len, plain))
    print(f"{options.batches} batches of {options.lines} lines, {size / lines:.0f} bytes and {rows / lines:.1f} fields a line; "
          f"gzip is {size / sum(map(len, packed)):.1f} times smaller")
    print("              conn  forwarder  CPU-s/M lines  lines/s   p50 ms   p99 ms  drained s  peak MB")
    for connections in map(int, options.connections.split(",")):
        for kind, bodies in (("plain", plain), ("gzip", packed)):
            best = {}
            for _ in range(options.rounds):
                for name in ("vmagent", "headroom"):
                    figures = run(name, bodies, kind == "gzip", rows, lines, connections)
                    if name not in best or figures["cpu"] < best[name]["cpu"]:
                        best[name] = figures
            for name, figures in best.items():
                print(f"  {kind:<10} {connections:>5}  {name:<9} {figures['cpu']:>14.2f} {figures['lines_s']:>8.0f} {figures['p50']:>8.1f} "
                      f"{figures['p99']:>8.1f} {figures['drained_s']:>10.1f} {figures['peak']:>8.0f}")
            print(f"  {kind:<10} {connections:>5}  lines a CPU-second: {best['vmagent']['cpu'] / best['headroom']['cpu']:.2f} × vmagent's", flush=True)


if __name__ == "__main__":
    main()
