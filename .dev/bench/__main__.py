"""The embedded store beside InfluxDB 1.x and VictoriaMetrics, on the same points in one run: `make bench-store`.

usage: python3 -m bench [--hosts N] [--hours N] [--series N] [--days N] [--only NAME,…] [--servers NAME,…] [--gateway PROGRAM] [--data FOLDER] [--batches FOLDER]

Ingest: Telegraf-shaped batches over HTTP until all is answered, and until the store is sealed (Headroom) or has merged
what it merges (the others). CPU and memory are those of the whole server from its start to its end; the client's are
not counted, and its speed bounds that of all servers. Headroom answers when a batch is synced to the disk, InfluxDB when it is written to a
file that it syncs, VictoriaMetrics when it is in memory. Real points: those of the folder with recorded servers. Queries: medians over one
kept connection, the whole answer read; VictoriaMetrics is asked in PromQL what the others are in InfluxQL.
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile

from bench import load, points
from bench.server import Server, headroom, influxdb, victoriametrics

MONTH_HOSTS = 100
MONTH_DAYS = 30
MONTH_STEP_S = 60
STREAMED_DAYS = 14
START_S = 1_735_689_600
# Figures of which more is better.
MORE = ("lines per CPU-s", "values/s")


def ask(server, name, influxql, promql, path="/api/v1/query_range"):
    """Asks for the same in the server's language."""
    if name == "victoria":
        return load.promql_ms(server, path, promql)
    return load.median_ms(server, {"db": "telegraf", "epoch": "ms", "q": influxql})


def span_of(seconds, step):
    return {"start": START_S, "end": START_S + seconds - 1, "step": step}


def ingest(name, make, args, folder):
    """Points of many hosts: what taking them costs, and what they cost on disk; then two queries of them."""
    figures = {}
    server = make(folder)
    figures["start-up, empty, s"] = server.start()
    lines, values, seconds = load.push(server, points.telegraf(args.hosts, args.hours, START_S))
    figures["values/s, as fast as the client"] = values / seconds
    server.settle()
    usage = server.stop()
    figures["lines per CPU-s, sealed"] = lines / usage.cpu_s
    figures["peak memory, MB"] = usage.memory_mb
    figures["bytes per value, random digits"] = server.data_bytes() / values
    figures["start-up, loaded, s"] = server.start()
    influxql_span = f"time >= {START_S}s AND time < {START_S + args.hours * 3600}s"
    figures["mean by 5 m, one host, ms"] = ask(
        server, name,
        f"SELECT mean(usage_idle) FROM cpu WHERE host = 'host-00001.example.net' AND {influxql_span} GROUP BY time(5m)",
        {"query": 'avg(avg_over_time(cpu_usage_idle{host="host-00001.example.net"}[5m]))'}
        | span_of(args.hours * 3600, 300))
    figures["max by 5 m, all hosts, ms"] = ask(
        server, name, f"SELECT max(usage_user) FROM cpu WHERE {influxql_span} GROUP BY time(5m)",
        {"query": "max(max_over_time(cpu_usage_user[5m]))"} | span_of(args.hours * 3600, 300))
    server.stop()
    return figures


def files(name, make, args, folder):
    """Batches made elsewhere: what taking them costs, and what they cost on disk."""
    server = make(folder)
    server.start()
    lines, values, _ = load.push(server, points.files(args.batches))
    server.settle()
    usage = server.stop()
    return {"lines per CPU-s, sealed, batches of files": lines / usage.cpu_s,
            "peak memory, batches of files, MB": usage.memory_mb,
            "bytes per value, batches of files": server.data_bytes() / values}


def month(name, make, args, folder):
    """A month by the minute, and many series."""
    server = make(folder)
    server.start()
    load.push(server, points.month(MONTH_HOSTS, args.days, MONTH_STEP_S, START_S))
    load.push(server, points.many_series(args.series, START_S))
    server.settle()
    # What is sealed at the end is there from the next start on.
    server.stop()
    figures = {f"start-up, {args.series} series, s": server.start()}
    whole = f"time >= {START_S}s AND time < {START_S + args.days * 86400}s"
    figures[f"{args.days} d mean by 1 h, {MONTH_HOSTS} hosts, ms"] = ask(
        server, name, f"SELECT mean(used) FROM month WHERE {whole} GROUP BY time(1h), host",
        {"query": "avg_over_time(month_used[1h])"} | span_of(args.days * 86400, 3600))
    figures[f"tag values, {args.series} series, ms"] = ask(
        server, name, 'SHOW TAG VALUES FROM "many" WITH KEY = "id"',
        {"start": START_S - 3600, "end": START_S + 3600}, "/api/v1/label/id/values")
    server.stop()
    return figures


def real(name, make, args, folder):
    """The points of real servers: bytes on disk."""
    server = make(folder)
    server.start()
    _, values, _ = load.push(server, points.recorded(args.data / "metrics" / "lp"))
    server.settle()
    server.stop()
    return {"bytes per value, real points": server.data_bytes() / values}


def dashboards(name, make, args, folder):
    """The recorded points, and the 20 queries of dashboards."""
    if name == "victoria":
        return {}
    server, data = make(folder), args.data / "influxql"
    server.start()
    subprocess.run([sys.executable, data / "load.py", server.url, data], check=True, stdout=subprocess.DEVNULL)
    server.settle()
    total, median = load.dashboard_ms(data / "latency.py", server.url)
    server.stop()
    return {"20 dashboard queries, sum of medians, ms": total, "20 dashboard queries, median, ms": median}


def streamed(name, make, args, folder):
    """One long answer in chunks: when it begins, and the memory of the whole server over it."""
    if name == "victoria":
        return {}
    server = make(folder)
    server.start()
    rows, _, _ = load.push(server, points.month(MONTH_HOSTS, STREAMED_DAYS, MONTH_STEP_S, START_S))
    server.settle()
    server.stop()
    server.start()
    first_ms, size_mb = load.stream(server, {"db": "telegraf", "epoch": "ns", "chunked": "true", "q": "SELECT used FROM month"})
    usage = server.stop()
    return {f"first byte of {rows} rows in chunks, ms": first_ms, "bytes of that answer, MB": size_mb,
            "peak memory over it, MB": usage.memory_mb}


def replay(name, make, args, folder):
    """A start after a kill, with all points in the journal alone: how fast it is read."""
    if name != "headroom":
        return {}
    server = make(folder)
    # So much that nothing is sealed before the kill, nor while the journal is read.
    server.environment |= {"HEADROOM_STORE_MEMORY_MAX_BYTES": "16GiB", "HEADROOM_JOURNAL_MAX_BYTES": "64GiB"}
    empty_s = server.start()
    lines, _, _ = load.push(server, points.telegraf(args.hosts, args.hours, START_S))
    server.kill()
    journal_mb = sum(path.stat().st_size for path in (folder / "journal").rglob("*") if path.is_file()) / 1e6
    loaded_s, cpu_s = server.start(), server.cpu_s()
    usage = server.stop()
    return {"replayed lines": lines, "journal, MB": journal_mb, "start-up with them, s": loaded_s,
            "replayed lines/s": lines / (loaded_s - empty_s), "replayed lines per CPU-s": lines / cpu_s,
            "peak memory, replay and seal, MB": usage.memory_mb}


PARTS = {"ingest": ingest, "files": files, "real": real, "dashboards": dashboards, "month": month, "streamed": streamed, "replay": replay}


def main():
    arguments = argparse.ArgumentParser(usage=__doc__.split("\n")[2])
    arguments.add_argument("--hosts", type=int, default=100)
    arguments.add_argument("--hours", type=int, default=1)
    arguments.add_argument("--days", type=int, default=MONTH_DAYS)
    arguments.add_argument("--series", type=int, default=100_000)
    arguments.add_argument("--only", default=",".join(PARTS), help="parts of the run: " + ", ".join(PARTS))
    arguments.add_argument("--servers", default="headroom,influxdb,victoria", help="which of them run; headroom always does")
    arguments.add_argument("--gateway", default="target/release/headroom-gateway")
    arguments.add_argument("--influxd", default="influxd")
    arguments.add_argument("--victoria", default="victoria-metrics")
    arguments.add_argument("--batches", type=pathlib.Path, help="a folder of batches of line protocol, NAME.lp, for the part files")
    arguments.add_argument("--data", type=pathlib.Path, default=pathlib.Path("../shared/data"))
    args = arguments.parse_args()
    servers: dict[str, Server] = {"headroom": headroom(args.gateway), "influxdb": influxdb(args.influxd),
                                  "victoria": victoriametrics(args.victoria)}
    found = {name: {} for name in servers}
    servers = {name: make for name, make in servers.items() if name == "headroom" or name in args.servers.split(",")}
    for part in args.only.split(","):
        if part == "files" and not args.batches:
            continue
        if part in ("real", "dashboards") and not args.data.exists():
            print(f"bench: {args.data} is not there; {part} is left out", file=sys.stderr)
            continue
        for name, make in servers.items():
            print(f"bench: {part}, {name}", file=sys.stderr)
            with tempfile.TemporaryDirectory(prefix=f"bench-{name}-") as folder:
                found[name] |= PARTS[part](name, make, args, pathlib.Path(folder))
    show(args, found)


def show(args, found):
    """Prints the figures, and the others' over Headroom's: above 1, Headroom is better."""
    print(f"{args.hosts} hosts x {args.hours} h at 10 s\n")
    print(f"{'':44} {'headroom':>12} {'influxdb':>12} {'victoria':>12} {'/ influx':>9} {'/ victoria':>11}")
    for figure, ours in found["headroom"].items():
        row = f"{figure:44} {ours:12.2f}"
        ratios = ""
        for other, width in (("influxdb", 9), ("victoria", 11)):
            theirs = found[other].get(figure)
            row += f" {theirs:12.2f}" if theirs is not None else f" {'-':>12}"
            if theirs is None:
                ratios += f" {'-':>{width}}"
                continue
            ratio = ours / theirs if figure.startswith(MORE) else theirs / ours
            ratios += f" {ratio:{width}.2f}"
        print(row + ratios)


main()
