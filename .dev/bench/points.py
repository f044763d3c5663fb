"""Points as Telegraf writes them, in batches of line protocol."""
import random

BATCH_LINES = 5_000
STEP_S = 10

# Measurement, its further tag, its fields; what ends in i is a counter.
SHAPES = [
    ("cpu", ",cpu=cpu-total", ["usage_user", "usage_system", "usage_idle", "usage_nice", "usage_iowait", "usage_irq",
                               "usage_softirq", "usage_steal", "usage_guest", "usage_guest_nice"]),
    ("mem", "", ["used_percent", "available_percent", "usedi", "freei", "cachedi", "bufferedi", "activei", "inactivei"]),
    ("disk", ",device=sda1,fstype=ext4,path=/", ["used_percent", "totali", "freei", "usedi", "inodes_usedi"]),
    ("diskio", ",name=sda", ["readsi", "writesi", "read_bytesi", "write_bytesi", "io_timei", "weighted_io_timei"]),
    ("net", ",interface=eth0", ["bytes_senti", "bytes_recvi", "packets_senti", "packets_recvi", "err_ini", "drop_ini"]),
    ("system", "", ["load1", "load5", "load15", "n_usersi"]),
    ("swap", "", ["used_percent", "usedi", "freei", "totali"]),
    ("processes", "", ["runningi", "sleepingi", "totali", "total_threadsi", "zombiesi"]),
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
    return list(batches(_telegraf(hosts, hours, start_s)))


def _telegraf(hosts, hours, start_s):
    rng = random.Random(7)
    states = [[[rng.uniform(1, 90) if not field.endswith("i") else rng.randrange(10**9) for field in fields]
               for _, _, fields in SHAPES] for _ in range(hosts)]
    for time_s in range(start_s, start_s + hours * 3600, STEP_S):
        for host, state in enumerate(states):
            for (measurement, tags, fields), values in zip(SHAPES, state):
                text = []
                for index, field in enumerate(fields):
                    if field.endswith("i"):
                        values[index] += rng.randrange(5_000)
                        text.append(f"{field[:-1]}={values[index]}i")
                    else:
                        values[index] = abs(values[index] + rng.uniform(-1, 1))
                        text.append(f"{field}={values[index]:.4f}")
                yield f"{measurement}{tags},host=host-{host:04} {','.join(text)} {time_s}000000000", len(fields)


def month(hosts, days, step_s, start_s):
    """One field a host, for weeks."""
    rng = random.Random(8)
    return batches((f"month,host=host-{host:04} used={rng.uniform(20, 80):.2f} {time_s}000000000", 1)
                   for time_s in range(start_s, start_s + days * 86400, step_s) for host in range(hosts))


def many_series(series, start_s):
    return batches((f"many,id=id-{number:07} v=1 {start_s}000000000", 1) for number in range(series))
