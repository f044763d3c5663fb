"""Measures how the gateway takes load, beside its peers on the same load in the same run: `make bench-ingest`.

usage: python3 -m ingest [side-by-side | flat | catch-up] [OPTION]…

side-by-side  the gateway before VictoriaMetrics, beside vmagent before the same, and InfluxDB 1 and the gateway's own store by themselves. A
              program's CPU is counted, user and system, from its start until its queue is empty and it idles; the client's, and that of a
              server behind, are not. The gateway answers 204 after its sync (fdatasync); vmagent answers before anything is on disk.
flat          the gateway's figures again with many series, with a backlog in the journal, and with many clients.
catch-up      a server behind that takes 50 ms for every request: what is taken meanwhile, and how fast a backlog goes.

The client `own` posts every body once, and a run ends when every row has been counted at the far end. The client `wrk` posts for a while with
../shared/bench/post.lua; then what the server behind counted is held to what the program says it took.
"""
import argparse
import pathlib
import shutil
import sys
import tempfile
import time

from ingest import batches, clients, flat, programs

ROWS_METRIC = {"headroom": 'vm_rows_inserted_total{type="influx"}', "vmagent": 'vm_rows_inserted_total{type="promremotewrite"}'}
ARRIVE_S = 600


def arrived(store, metric, wanted):
    """Waits until the server behind has counted the rows; with `None`, until it counts no more."""
    begun, before = time.monotonic(), -1.0
    while True:
        rows = store.metric(metric)
        if wanted is not None and rows >= wanted or wanted is None and rows == before:
            return rows
        if time.monotonic() - begun > ARRIVE_S:
            sys.exit(f"ingest: {rows:.0f} of {wanted} rows arrived")
        before = rows
        time.sleep(0.1 if wanted is not None else 3)


def run(name, made, packed, connections, options):
    """One run of a program in a folder of its own; answers its figures."""
    with tempfile.TemporaryDirectory(dir=options.scratch, prefix="run-") as folder:
        store = programs.victoria(folder) if name in ROWS_METRIC else None
        try:
            program = {"headroom": lambda: programs.headroom(folder, store.url), "vmagent": lambda: programs.vmagent(folder, store.url),
                       "influxdb": lambda: programs.influxdb(folder), "own store": lambda: programs.headroom(folder)}[name]()
            try:
                return measure(name, program, store, made, packed, connections, options)
            finally:
                program.kill()
        finally:
            if store:
                store.kill()


def measure(name, program, store, made, packed, connections, options):
    begun = time.monotonic()
    if options.client == "wrk":
        load = clients.wrk(program.port, made, packed, connections, options.seconds)
    else:
        load = clients.own(program.port, made, packed, connections)
    wanted = made.rows if options.client == "own" else None
    if store:
        rows = arrived(store, ROWS_METRIC[name], wanted)
    else:
        program.wait_idle()
        rows = taken(name, program, made)
    drained_s = time.monotonic() - begun
    lines = rows * made.lines / made.rows
    if wanted and round(lines) != made.lines:
        sys.exit(f"ingest: {name} counts {lines:.0f} of {made.lines} lines")
    return {"cpu": program.cpu_s() / lines * 1e6, "lines_s": lines / load.seconds, "peak": program.peak_mb(), "drained_s": drained_s,
            "p50": load.p50_ms, "p99": load.p99_ms}


def taken(name, program, made):
    """The rows that a program without a server behind it says it has."""
    lines = programs.influxdb_points(program) if name == "influxdb" else program.metric("headroom_lines_accepted_total")
    return lines * made.rows / made.lines


def side_by_side(options):
    made = batches.make(options.scratch, options.batches, options.lines, options.hosts)
    print(made.describe())
    print("              conn  program    CPU-s/M lines  lines/s   p50 ms   p99 ms  drained s  peak MB")
    for connections in map(int, options.connections.split(",")):
        for kind in options.kinds.split(","):
            best = {}
            for _ in range(options.rounds):
                for name in options.programs.split(","):
                    figures = run(name, made, kind == "gzip", connections, options)
                    if name not in best or figures["cpu"] < best[name]["cpu"]:
                        best[name] = figures
            for name, figures in best.items():
                print(f"  {kind:<10} {connections:>5}  {name:<9} {figures['cpu']:>14.2f} {figures['lines_s']:>8.0f} {figures['p50']:>8.1f} "
                      f"{figures['p99']:>8.1f} {figures['drained_s']:>10.1f} {figures['peak']:>8.0f}")
            ours = best.get("headroom")
            for name, figures in best.items():
                if ours and name != "headroom":
                    print(f"  {kind:<10} {connections:>5}  lines a CPU-second: {figures['cpu'] / ours['cpu']:.2f} × {name}'s, "
                          f"memory {ours['peak'] / figures['peak']:.2f} ×", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", default="side-by-side", choices=["side-by-side", "flat", "catch-up"])
    parser.add_argument("--client", default="own", choices=["own", "wrk"])
    parser.add_argument("--seconds", type=int, default=10, help="of a run of wrk")
    parser.add_argument("--lines", type=int, default=1000, help="lines a batch")
    parser.add_argument("--batches", type=int, default=1000)
    parser.add_argument("--hosts", type=int, default=600)
    parser.add_argument("--connections", default="8")
    parser.add_argument("--kinds", default="plain,gzip")
    parser.add_argument("--programs", default="vmagent,headroom")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--backlog-mb", type=int, default=10_000, help="of flat: what waits in the journal")
    options = parser.parse_args()
    for program in ("vmagent", "victoria-metrics"):
        if not shutil.which(program):
            sys.exit(f"ingest: {program} is missing; it is in Debian's package victoria-metrics")
    with tempfile.TemporaryDirectory(dir=programs.ROOT / "target", prefix="ingest-") as scratch:
        options.scratch = pathlib.Path(scratch)
        {"side-by-side": side_by_side, "flat": flat.flat, "catch-up": flat.catch_up}[options.what](options)


main()
