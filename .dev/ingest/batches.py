"""Telegraf-shaped bodies in a folder, plain and gzipped: NNNNN.lp and NNNNN.lp.gz, as ../shared/bench/post.lua reads them."""
import dataclasses
import gzip
import pathlib
import random

START_S = 1_735_689_600
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


@dataclasses.dataclass
class Batches:
    folder: pathlib.Path
    count: int
    lines: int
    rows: int
    plain_bytes: int
    gzip_bytes: int

    def bodies(self, packed):
        """The bodies in turn, read when they are asked for."""
        for number in range(self.count):
            yield (self.folder / f"{number:05}.lp{'.gz' if packed else ''}").read_bytes()

    def describe(self):
        return (f"{self.count} batches of {self.lines // self.count} lines, {self.plain_bytes / self.lines:.0f} bytes and "
                f"{self.rows / self.lines:.1f} fields a line; gzip is {self.plain_bytes / self.gzip_bytes:.1f} times smaller")


def make(folder, count, lines_each, hosts):
    """Lines of `hosts` hosts in turns: each has one series of each input, and a step of 10 s between its points."""
    rnd = random.Random(7)
    value = {"float": lambda: repr(round(rnd.uniform(0, 100), 12)), "integer": lambda: f"{rnd.randrange(10**10)}i"}
    inputs = [(name, tags, fields.split(), kind) for name, (tags, fields, kind) in INPUTS.items()]
    made = Batches(folder, count, count * lines_each, 0, 0, 0)
    number = 0
    for batch in range(count):
        lines = []
        for _ in range(lines_each):
            turn, at = divmod(number, hosts * len(inputs))
            host, which = divmod(at, len(inputs))
            name, tags, fields, kind = inputs[which]
            series = ",".join([name, f"host=web-{host:05}.example.net", *(f"{tag}={tag}0" for tag in tags)])
            values = ",".join(f"{field}={value[kind]()}" for field in fields)
            lines.append(f"{series} {values} {START_S + turn * 10}000000000")
            made.rows += len(fields)
            number += 1
        body = ("\n".join(lines) + "\n").encode()
        packed = gzip.compress(body, 6)
        (folder / f"{batch:05}.lp").write_bytes(body)
        (folder / f"{batch:05}.lp.gz").write_bytes(packed)
        made.plain_bytes += len(body)
        made.gzip_bytes += len(packed)
    return made
