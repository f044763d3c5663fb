"""What must not grow: the gateway's figures with many series, a backlog and many clients; and how fast a backlog goes."""
import pathlib
import sys
import tempfile
import time

from ingest import batches, clients, programs
from live.process import free_port

SERIES_MANY = 1_000_000
CLIENTS_MANY = 1000
LATENCY_MS = 50
LINES_EACH = 1000


def sink(folder, latency_ms, port=None):
    script = pathlib.Path(__file__).with_name("sink.py")
    port = port or free_port()
    return programs.Program([sys.executable, script, port, latency_ms], port, "/metrics", log=f"{folder}/sink.log")


def once(options, made, packed, connections, **settings):
    """One run before a server that answers at once; answers the figures."""
    with tempfile.TemporaryDirectory(dir=options.scratch, prefix="flat-") as folder:
        behind = sink(folder, 0)
        program = programs.headroom(folder, behind.url, **settings)
        try:
            return figures(program, made, clients.own(program.port, made, packed, connections))
        finally:
            program.kill()
            behind.kill()


def figures(program, made, load):
    """Waits until everything is delivered."""
    while program.metric("headroom_upstream_lag_batches") > 0:
        time.sleep(0.1)
    return {"cpu": program.cpu_s() / made.lines * 1e6, "p50": load.p50_ms, "p99": load.p99_ms, "peak": program.peak_mb(), "refused": load.refused}


def show(title, found, base=None):
    share = f"  CPU {found['cpu'] / base['cpu']:.2f} × the first" if base else ""
    print(f"  {title:<44} {found['cpu']:>6.2f} CPU-s/M lines  p50 {found['p50']:>7.1f} ms  p99 {found['p99']:>7.1f} ms  peak {found['peak']:>5.0f} MB{share}",
          flush=True)


def fresh(options, name, hosts):
    folder = options.scratch / name
    folder.mkdir()
    return batches.make(folder, options.batches, LINES_EACH, hosts)


def flat(options):
    few = fresh(options, "few", 600)
    many = fresh(options, "many", SERIES_MANY // len(batches.INPUTS) + 1)
    print(few.describe())
    for packed in (False, True):
        kind = "gzip" if packed else "plain"
        base = once(options, few, packed, 8)
        show(f"{kind}, 3,600 series, 8 clients", base)
        show(f"{kind}, {min(many.lines, SERIES_MANY)} series, 8 clients", once(options, many, packed, 8), base)
        show(f"{kind}, 3,600 series, {CLIENTS_MANY} clients", once(options, few, packed, CLIENTS_MANY), base)
        backlog(options, few, packed)


def backlog(options, made, packed):
    """Fills the journal while the server behind is away; then measures taking, starting and delivering."""
    kind = "gzip" if packed else "plain"
    with tempfile.TemporaryDirectory(dir=options.scratch, prefix="backlog-") as folder:
        port = free_port()
        settings = {"HEADROOM_JOURNAL_MAX_BYTES": "40GiB"}
        program = programs.headroom(folder, f"http://127.0.0.1:{port}", **settings)
        behind = None
        try:
            while program.metric("headroom_journal_pending_bytes") < options.backlog_mb * 1e6:
                clients.own(program.port, made, packed, 8)
            held = program.metric("headroom_journal_pending_bytes")
            before = program.cpu_s()
            load = clients.own(program.port, made, packed, 8)
            taking = {"cpu": (program.cpu_s() - before) / made.lines * 1e6, "p50": load.p50_ms, "p99": load.p99_ms, "peak": program.peak_mb()}
            show(f"{kind}, {held / 1e9:.1f} GB wait, taking only", taking)
            program.kill()
            started_s = program.start()
            behind = sink(folder, LATENCY_MS, port)
            begun, cpu = time.monotonic(), program.cpu_s()
            load = clients.own(program.port, made, packed, 8)
            load_mb_s = (made.gzip_bytes if packed else made.plain_bytes) / load.seconds / 1e6
            while program.metric("headroom_upstream_lag_batches") > 0 or program.metric("headroom_upstream_up") < 1:
                time.sleep(0.2)
            taken_s, sent = time.monotonic() - begun, behind.metric("sink_bytes")
            size = made.gzip_bytes if packed else made.plain_bytes
            lines = sent / size * made.lines
            print(f"  {kind}: ready {started_s:.2f} s after a kill; {sent / 1e6:.0f} MB delivered in {taken_s:.1f} s, {lines / taken_s:.0f} lines/s with {LATENCY_MS} ms a request, "
                  f"{behind.metric('sink_most'):.0f} at once, while {made.lines / load.seconds:.0f} lines/s ({load_mb_s:.0f} MB/s) came in; "
                  f"{(program.cpu_s() - cpu) / (lines + made.lines) * 2e6:.2f} CPU-s/M lines, peak {program.peak_mb():.0f} MB", flush=True)
        finally:
            program.kill()
            if behind:
                behind.kill()


def catch_up(options):
    options.backlog_mb = min(options.backlog_mb, 1000)
    made = fresh(options, "few", options.hosts)
    print(made.describe())
    for packed in (False, True):
        backlog(options, made, packed)
