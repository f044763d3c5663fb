"""The embedded store beside InfluxDB 1.x, on the same points in one run: `make bench`.

usage: python3 -m bench [--hosts N] [--hours N] [--series N] [--gateway PROGRAM] [--influxd PROGRAM] [--recorded FOLDER]

Ingest: Telegraf-shaped batches over HTTP until all is answered, and until the store is sealed (Headroom) or compacted
(InfluxDB); CPU and memory are those of the whole process, from its start to its end. Queries: medians over one kept
connection, the whole answer read. Ratios are InfluxDB's figure over Headroom's: above 1, Headroom is better.
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile

from bench import load, points
from bench.server import Server, headroom, influxdb

MONTH_HOSTS = 100
MONTH_DAYS = 30
MONTH_STEP_S = 60
START_S = 1_735_689_600


def ask(server, q):
    return load.median_ms(server, {"db": "telegraf", "epoch": "ms", "q": q})


def measure(make, args, folder):
    """Runs everything against one server; answers its figures by name."""
    figures = {}
    server = make(folder)
    figures["start-up, empty, s"] = server.start()
    batches = points.telegraf(args.hosts, args.hours, START_S)
    lines, values, seconds = load.push(server, batches)
    figures["lines/s answered"] = lines / seconds
    figures["values/s answered"] = values / seconds
    server.settle()
    usage = server.stop()
    figures["lines per CPU-s, sealed"] = lines / usage.cpu_s
    figures["peak memory, MB"] = usage.memory_mb
    figures["bytes per value"] = server.data_bytes() / values
    figures["start-up, loaded, s"] = server.start()
    span = f"time >= {START_S}s AND time < {START_S + args.hours * 3600}s"
    figures["mean by 5 m, one host, ms"] = ask(
        server, f"SELECT mean(usage_idle) FROM cpu WHERE host = 'host-0001' AND {span} GROUP BY time(5m)")
    figures["max by 5 m, all hosts, ms"] = ask(
        server, f"SELECT max(usage_user) FROM cpu WHERE {span} GROUP BY time(5m)")
    load.push(server, points.month(MONTH_HOSTS, MONTH_DAYS, MONTH_STEP_S, START_S))
    load.push(server, points.many_series(args.series, START_S))
    server.settle()
    month = f"time >= {START_S}s AND time < {START_S + MONTH_DAYS * 86400}s"
    figures["30 d mean by 1 h, 100 hosts, ms"] = ask(
        server, f"SELECT mean(used) FROM month WHERE {month} GROUP BY time(1h), host")
    figures[f"SHOW TAG VALUES, {args.series} series, ms"] = ask(
        server, 'SHOW TAG VALUES FROM "many" WITH KEY = "id"')
    server.stop()
    return figures


def recorded(make, folder, data):
    """Loads the recorded points and answers the sum of the medians of the 20 dashboard queries."""
    server = make(folder)
    server.start()
    subprocess.run([sys.executable, data / "load.py", server.url, data], check=True, stdout=subprocess.DEVNULL)
    server.settle()
    total = load.dashboard_ms(data / "latency.py", server.url)
    server.stop()
    return {"20 dashboard queries, sum of medians, ms": total}


def main():
    arguments = argparse.ArgumentParser(usage=__doc__.split("\n")[2])
    arguments.add_argument("--hosts", type=int, default=100)
    arguments.add_argument("--hours", type=int, default=1)
    arguments.add_argument("--series", type=int, default=100_000)
    arguments.add_argument("--gateway", default="target/release/headroom-gateway")
    arguments.add_argument("--influxd", default="influxd")
    arguments.add_argument("--recorded", type=pathlib.Path, default=pathlib.Path("../shared/data/influxql"))
    args = arguments.parse_args()
    servers: dict[str, Server] = {"headroom": headroom(args.gateway), "influxdb": influxdb(args.influxd)}
    found = {}
    for name, make in servers.items():
        print(f"bench: {name}", file=sys.stderr)
        with tempfile.TemporaryDirectory(prefix=f"bench-{name}-") as folder:
            found[name] = measure(make, args, pathlib.Path(folder))
        if args.recorded.exists():
            with tempfile.TemporaryDirectory(prefix=f"bench-{name}-") as folder:
                found[name] |= recorded(make, pathlib.Path(folder), args.recorded)
    print(f"{args.hosts} hosts x {args.hours} h at 10 s\n")
    print(f"{'':44} {'headroom':>12} {'influxdb':>12} {'ratio':>7}")
    for figure, ours in found["headroom"].items():
        theirs = found["influxdb"][figure]
        ratio = ours / theirs if "/s" in figure or "per CPU-s" in figure else theirs / ours
        print(f"{figure:44} {ours:12.2f} {theirs:12.2f} {ratio:7.2f}")


main()
