"""Points as Telegraf writes them, in batches of line protocol."""
import gzip
import random

BATCH_LINES = 5_000
STEP_S = 10

# Inputs of Telegraf: measurement, the values of its further tags, and its fields: how many random digits each has.
# Random digits are the hardest that a store can meet; what stands still on real hosts stands still here too.
PERCENT, STILL = "percent", "still"
SHAPES = [
    ("cpu", [f"cpu={name}" for name in ("cpu-total", "cpu0", "cpu1", "cpu2", "cpu3")],
     {"usage_user": PERCENT, "usage_system": PERCENT, "usage_idle": PERCENT, "usage_nice": PERCENT,
      "usage_iowait": PERCENT, "usage_irq": STILL, "usage_softirq": PERCENT, "usage_steal": STILL,
      "usage_guest": STILL, "usage_guest_nice": STILL}),
    ("mem", [""], {"total": 11, "available": 10, "used": 10, "used_percent": PERCENT, "available_percent": PERCENT,
                   "active": 10, "buffered": 9, "cached": 10, "free": 10, "inactive": 10, "slab": 9, "wired": STILL,
                   "dirty": 7}),
    ("disk", [f"device={name},fstype=ext4,mode=rw,path=/mnt/{name}" for name in ("vda1", "vda15", "vdb")],
     {"total": 12, "free": 11, "used": 11, "used_percent": PERCENT, "inodes_total": 8, "inodes_free": 8,
      "inodes_used": 7, "inodes_used_percent": PERCENT}),
    ("diskio", [f"name={name}" for name in ("vda1", "vda15", "vdb")],
     {"reads": 9, "writes": 9, "read_bytes": 13, "write_bytes": 13, "read_time": 8, "write_time": 8, "io_time": 8,
      "weighted_io_time": 8, "iops_in_progress": STILL, "merged_reads": 7, "merged_writes": 7}),
    ("net", [f"interface={name}" for name in ("eth0", "eth1")],
     {"bytes_sent": 13, "bytes_recv": 13, "packets_sent": 10, "packets_recv": 10, "err_in": STILL, "err_out": STILL,
      "drop_in": 2, "drop_out": STILL, "speed": STILL}),
    ("swap", [""], {"total": 10, "used": 9, "free": 10, "used_percent": PERCENT}),
    ("system", [""], {"load1": PERCENT, "load5": PERCENT, "load15": PERCENT, "n_cpus": STILL, "n_users": 1}),
    ("processes", [""], {"blocked": STILL, "idle": 3, "running": 1, "sleeping": 3, "stopped": STILL, "total": 3,
                         "total_threads": 4, "zombies": STILL}),
]

def batches(lines):
    """Cuts (line, values) into batches: (bytes, lines, values)."""
    text, values = [], 0
    for line, count in lines:
        text.append(line)
        values += count
        if len(text) == BATCH_LINES:
            yield "\n".join(text).encode(), len(text), values
            text, values = [], 0
    if text:
        yield "\n".join(text).encode(), len(text), values


def telegraf(hosts, hours, start_s):
    """Batches of hosts that report every ten seconds, drawn as they are asked for."""
    rng = random.Random(7)
    series = [(f"{','.join([measurement, *sorted(filter(None, [*tag.split(','), f'host=host-{host:05}.example.net']))])} ",
               fields) for host in range(hosts) for measurement, tags, fields in SHAPES for tag in tags]
    return batches(
        (f"{key}{','.join(f'{name}={_value(rng, kind)}' for name, kind in fields.items())} {time_s}000000000", len(fields))
        for time_s in range(start_s, start_s + hours * 3600, STEP_S) for key, fields in series)


def _value(rng, kind):
    if kind == PERCENT:
        return repr(round(rng.random() * 100, 12))
    return "0i" if kind == STILL else f"{int(rng.random() * 10 ** kind)}i"


def month(hosts, days, step_s, start_s):
    """One field a host, for weeks."""
    rng = random.Random(8)
    return batches((f"month,host=host-{host:04} used={rng.uniform(20, 80):.2f} {time_s}000000000", 1)
                   for time_s in range(start_s, start_s + days * 86400, step_s) for host in range(hosts))


def many_series(series, start_s):
    return batches((f"many,id=id-{number:07} v=1 {start_s}000000000", 1) for number in range(series))


def recorded(folder):
    """The points of real servers in files of line protocol, each file's in its own order."""
    for path in sorted(folder.glob("*.lp.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            yield from batches((line.rstrip("\n"), line.rsplit(" ", 2)[1].count("=")) for line in lines)


def files(folder):
    """Batches that lie in files of a folder, in the order of their names."""
    for path in sorted(folder.glob("*.lp")):
        text = path.read_bytes()
        lines = text.splitlines()
        yield text, len(lines), sum(line.split(b" ", 1)[1].rsplit(b" ", 1)[0].count(b"=") for line in lines)
