//! A host's state as line protocol: the measurements, tags, fields and types that Telegraf 1.37 writes on Linux.
//!
//! Measurements: `cpu` (total and cores), `mem`, `swap` (two lines), `disk` a file system, `diskio` a device, `net` an
//! interface, `system` (three lines), `processes`. Telegraf writes unsigned numbers as integers (`i`), so this does too.

use influxdb_line_protocol::LineProtocolBuilder;

use crate::{
    counter::Counters,
    host::Host,
    profile::{Disk, GIB},
    signal::{Cpu, Flows},
};

/// The builder between two lines.
pub type Lines = LineProtocolBuilder<Vec<u8>>;

/// Bytes of a typical packet.
const PACKET_BYTES: f64 = 780.0;

/// Bytes of a typical read or write.
const IO_BYTES: f64 = 24_000.0;

/// ext4 keeps this share of a file system for root.
const RESERVED_SHARE: f64 = 0.05;

/// A host with the sums of its counters.
#[derive(Debug, Clone)]
pub struct Agent {
    host: Host,
    counters: Counters,
}

impl Agent {
    /// Creates the agent of a host.
    #[must_use]
    pub fn new(host: Host) -> Self {
        Self {
            host,
            counters: Counters::default(),
        }
    }

    /// Answers the host that the agent reports.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Writes what the host reports at an instant: nothing while it is down.
    #[must_use]
    pub fn write(&mut self, lines: Lines, time_s: i64) -> Lines {
        if !self.host.reports(time_s) {
            return lines;
        }
        let sums = self.counters.at(&self.host, time_s);
        let moment = Moment {
            host: &self.host,
            time_s,
            sums,
        };
        let lines = moment.cpu(lines);
        let lines = moment.memory(lines);
        let lines = moment.swap(lines);
        let lines = moment.disks(lines);
        let lines = moment.network(lines);
        let lines = moment.system(lines);
        moment.processes(lines)
    }
}

struct Moment<'a> {
    host: &'a Host,
    time_s: i64,
    sums: Flows,
}

impl Moment<'_> {
    fn time_ns(&self) -> i64 {
        self.time_s * 1_000_000_000
    }

    fn cpu(&self, mut lines: Lines) -> Lines {
        let all = self.host.cpu(self.time_s);
        lines = self.cpu_line(lines, "cpu-total", &all);
        for number in 0..self.host.shape.cores {
            let core = self.host.core(self.time_s, number, &all);
            lines = self.cpu_line(lines, &format!("cpu{number}"), &core);
        }
        lines
    }

    fn cpu_line(&self, lines: Lines, name: &str, cpu: &Cpu) -> Lines {
        lines
            .measurement("cpu")
            .tag("cpu", name)
            .tag("host", &self.host.name)
            .field("usage_user", cpu.user)
            .field("usage_system", cpu.system)
            .field("usage_idle", cpu.idle())
            .field("usage_nice", cpu.nice)
            .field("usage_iowait", cpu.iowait)
            .field("usage_irq", 0.0)
            .field("usage_softirq", cpu.softirq)
            .field("usage_steal", 0.0)
            .field("usage_guest", 0.0)
            .field("usage_guest_nice", 0.0)
            .timestamp(self.time_ns())
            .close_line()
    }

    fn memory(&self, lines: Lines) -> Lines {
        let total = self.host.shape.memory_bytes;
        let used = total * self.host.memory_percent(self.time_s) / 100.0;
        let available = total - used;
        let free = available * 0.35;
        let cached = available * 0.6 + total * 0.02;
        let swap_total = swap_total(self.host);
        let swap_free = swap_total * (1.0 - self.host.swap_percent(self.time_s) / 100.0);
        lines
            .measurement("mem")
            .tag("host", &self.host.name)
            .field("total", pages(total))
            .field("available", pages(available))
            .field("used", pages(used))
            .field("used_percent", 100.0 * used / total)
            .field("available_percent", 100.0 * available / total)
            .field("active", pages(used * 0.6 + cached * 0.3))
            .field("buffered", pages(available * 0.05))
            .field("cached", pages(cached))
            .field("commit_limit", pages(total / 2.0 + swap_total))
            .field("committed_as", pages(used * 1.3))
            .field("dirty", pages(total * 0.000_3))
            .field("free", pages(free))
            .field("high_free", 0_i64)
            .field("high_total", 0_i64)
            .field("huge_pages_free", 0_i64)
            .field("huge_page_size", 2_097_152_i64)
            .field("huge_pages_total", 0_i64)
            .field("inactive", pages(used * 0.25 + cached * 0.6))
            .field("low_free", 0_i64)
            .field("low_total", 0_i64)
            .field("mapped", pages(used * 0.08))
            .field("page_tables", pages(used * 0.004))
            .field("shared", pages(total * 0.01))
            .field("slab", pages(total * 0.03))
            .field("sreclaimable", pages(total * 0.02))
            .field("sunreclaim", pages(total * 0.01))
            .field("swap_cached", 0_i64)
            .field("swap_free", pages(swap_free))
            .field("swap_total", pages(swap_total))
            .field("vmalloc_chunk", 0_i64)
            .field("vmalloc_total", 35_184_372_087_808_i64)
            .field("vmalloc_used", 42_614_784_i64)
            .field("write_back", 0_i64)
            .field("write_back_tmp", 0_i64)
            .timestamp(self.time_ns())
            .close_line()
    }

    fn swap(&self, lines: Lines) -> Lines {
        let total = swap_total(self.host);
        let percent = self.host.swap_percent(self.time_s);
        let used = pages(total * percent / 100.0);
        lines
            .measurement("swap")
            .tag("host", &self.host.name)
            .field("total", pages(total))
            .field("used", used)
            .field("free", pages(total) - used)
            .field("used_percent", percent)
            .timestamp(self.time_ns())
            .close_line()
            .measurement("swap")
            .tag("host", &self.host.name)
            .field("in", (self.sums.swapped * 0.2) as i64)
            .field("out", self.sums.swapped as i64)
            .timestamp(self.time_ns())
            .close_line()
    }

    fn disks(&self, mut lines: Lines) -> Lines {
        for disk in &self.host.shape.disks {
            lines = self.disk(lines, disk);
            lines = self.diskio(lines, disk);
        }
        lines
    }

    fn disk(&self, lines: Lines, disk: &Disk) -> Lines {
        let writable = disk.size_bytes * (1.0 - RESERVED_SHARE);
        let percent = self.host.disk_percent(disk, self.time_s);
        let used = pages(writable * percent / 100.0);
        let free = pages(writable) - used;
        let inodes = (disk.size_bytes / 16_384.0) as i64;
        let inodes_used = (inodes as f64 * percent / 100.0 * 0.11) as i64;
        lines
            .measurement("disk")
            .tag("device", &disk.device)
            .tag("fstype", "ext4")
            .tag("host", &self.host.name)
            .tag("mode", "rw")
            .tag("path", &disk.path)
            .field("total", pages(disk.size_bytes))
            .field("free", free)
            .field("used", used)
            .field("used_percent", 100.0 * used as f64 / (used + free) as f64)
            .field("inodes_total", inodes)
            .field("inodes_free", inodes - inodes_used)
            .field("inodes_used", inodes_used)
            .field(
                "inodes_used_percent",
                100.0 * inodes_used as f64 / inodes as f64,
            )
            .timestamp(self.time_ns())
            .close_line()
    }

    fn diskio(&self, lines: Lines, disk: &Disk) -> Lines {
        let read = self.sums.read * disk.io_share;
        let written = self.sums.written * disk.io_share;
        let now = self.host.flows(self.time_s);
        let operations = (now.read + now.written) * disk.io_share / IO_BYTES;
        // A device serves an operation in a fifth of a millisecond, and slower the more there are.
        let busy_ms = |operations: f64| operations * 0.2;
        let wait_ms = 0.2 + operations / 4000.0;
        lines
            .measurement("diskio")
            .tag("host", &self.host.name)
            .tag("name", &disk.device)
            .field("reads", (read / IO_BYTES) as i64)
            .field("writes", (written / IO_BYTES) as i64)
            .field("read_bytes", sectors(read))
            .field("write_bytes", sectors(written))
            .field("read_time", (read / IO_BYTES * 0.6) as i64)
            .field("write_time", (written / IO_BYTES * 1.4) as i64)
            .field("io_time", busy_ms((read + written) / IO_BYTES) as i64)
            .field(
                "weighted_io_time",
                ((read * 0.6 + written * 1.4) / IO_BYTES) as i64,
            )
            .field("iops_in_progress", (operations / 400.0) as i64)
            .field("merged_reads", (read / IO_BYTES * 0.02) as i64)
            .field("merged_writes", (written / IO_BYTES * 0.4) as i64)
            .field("io_await", wait_ms)
            .field("io_svctm", 0.2)
            .field("io_util", (busy_ms(operations) / 10.0).min(100.0))
            .timestamp(self.time_ns())
            .close_line()
    }

    fn network(&self, lines: Lines) -> Lines {
        let (received, sent) = (self.sums.received, self.sums.sent);
        lines
            .measurement("net")
            .tag("host", &self.host.name)
            .tag("interface", "eth0")
            .field("bytes_sent", sent as i64)
            .field("bytes_recv", received as i64)
            .field("packets_sent", (sent / PACKET_BYTES) as i64)
            .field("packets_recv", (received / PACKET_BYTES) as i64)
            .field("err_in", 0_i64)
            .field("err_out", 0_i64)
            .field("drop_in", (received / PACKET_BYTES / 4e6) as i64)
            .field("drop_out", 0_i64)
            .field("speed", 10_000_i64)
            .timestamp(self.time_ns())
            .close_line()
    }

    fn system(&self, lines: Lines) -> Lines {
        let load = |window_s| (self.host.load(self.time_s, window_s) * 100.0).round() / 100.0;
        let cores = i64::from(self.host.shape.cores);
        let users = i64::from(self.host.cpu(self.time_s).user > 30.0) + 1;
        let uptime_s = self.time_s - self.host.booted_s(self.time_s);
        let tagged = |lines: Lines| lines.measurement("system").tag("host", &self.host.name);
        let lines = tagged(lines)
            .field("load1", load(60))
            .field("load5", load(300))
            .field("load15", load(900))
            .field("n_cpus", cores)
            .field("n_physical_cpus", (cores / 2).max(1))
            .field("n_users", users)
            .field("n_unique_users", 1_i64)
            .timestamp(self.time_ns())
            .close_line();
        let lines = tagged(lines)
            .field("uptime", uptime_s)
            .timestamp(self.time_ns())
            .close_line();
        tagged(lines)
            .field("uptime_format", uptime(uptime_s).as_str())
            .timestamp(self.time_ns())
            .close_line()
    }

    fn processes(&self, lines: Lines) -> Lines {
        let cores = f64::from(self.host.shape.cores);
        let cpu = self.host.cpu(self.time_s);
        let running = ((100.0 - cpu.idle()) / 100.0 * cores).ceil() as i64;
        let blocked = (cpu.iowait / 4.0) as i64;
        let sleeping = 90 + (self.host.demand(self.time_s) * 60.0) as i64;
        let idle = 40 + i64::from(self.host.shape.cores) * 6;
        let total = running + blocked + sleeping + idle;
        lines
            .measurement("processes")
            .tag("host", &self.host.name)
            .field("blocked", blocked)
            .field("dead", 0_i64)
            .field("idle", idle)
            .field("paging", 0_i64)
            .field("running", running)
            .field("sleeping", sleeping)
            .field("stopped", 0_i64)
            .field("total", total)
            .field("total_threads", total * 3)
            .field("unknown", 0_i64)
            .field("zombies", 0_i64)
            .timestamp(self.time_ns())
            .close_line()
    }
}

fn swap_total(host: &Host) -> f64 {
    (host.shape.memory_bytes / 4.0).min(4.0 * GIB)
}

/// Rounds bytes down to whole pages, as the kernel counts them.
fn pages(bytes: f64) -> i64 {
    (bytes / 4096.0) as i64 * 4096
}

/// Rounds bytes down to whole sectors.
fn sectors(bytes: f64) -> i64 {
    (bytes / 512.0) as i64 * 512
}

/// Formats an uptime as Telegraf does: `12 days,  3:04`.
fn uptime(seconds: i64) -> String {
    let (days, hours, minutes) = (seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60);
    let clock = format!("{hours:2}:{minutes:02}");
    match days {
        0 => clock,
        1 => format!("1 day, {clock}"),
        _ => format!("{days} days, {clock}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_uptime_reads_as_telegraf_writes_it() {
        assert_eq!(uptime(59), " 0:00");
        assert_eq!(uptime(86400 + 3600 * 13 + 60 * 7), "1 day, 13:07");
        assert_eq!(uptime(12 * 86400 + 3 * 3600 + 4 * 60), "12 days,  3:04");
    }
}
