//! The scanner beside the crate `influxdb-line-protocol`: the same lines, the same work, one thread.
//!
//! `cargo bench -p headroom-gateway --bench scanner` prints MB/s of both and their ratio, twice: for the verdict on every
//! line, and for the points built as well. The rounds of both take turns, and the best one counts: what disturbs a round
//! only makes it longer.

use std::{fmt::Write, hint::black_box, time::Instant};

use headroom_gateway::lines::{Precision, Scanner, scan};
use influxdb_line_protocol::parse_lines;
use rand::{RngExt, SeedableRng, rngs::SmallRng};

const HOSTS: usize = 500;
const ROUNDS: usize = 40;

/// Lines as Telegraf's usual inputs write them: some 240 bytes and eleven fields each.
fn telegraf_lines() -> (String, usize) {
    let mut random = SmallRng::seed_from_u64(7);
    let mut text = String::new();
    let mut lines = 0;
    let mut line = |series: &str, fields: &[&str], integers: bool| {
        let mut separator = ' ';
        text.push_str(series);
        for field in fields {
            if integers {
                let value: u32 = random.random_range(1..u32::MAX);
                write!(text, "{separator}{field}={value}i").expect("memory");
            } else {
                let value: f64 = random.random_range(0.0..100.0);
                write!(text, "{separator}{field}={value:.12}").expect("memory");
            }
            separator = ',';
        }
        text.push_str(" 1735689600000000000\n");
        lines += 1;
    };
    for host in 0..HOSTS {
        let host = format!("host=web-{host:05}.example.net");
        for cpu in ["cpu-total", "cpu0", "cpu1"] {
            line(
                &format!("cpu,cpu={cpu},{host}"),
                &[
                    "usage_user",
                    "usage_system",
                    "usage_idle",
                    "usage_nice",
                    "usage_iowait",
                    "usage_irq",
                    "usage_softirq",
                    "usage_steal",
                    "usage_guest",
                    "usage_guest_nice",
                ],
                false,
            );
        }
        for disk in ["vda1", "vdb"] {
            line(
                &format!("diskio,{host},name={disk}"),
                &[
                    "reads",
                    "writes",
                    "read_bytes",
                    "write_bytes",
                    "read_time",
                    "write_time",
                    "io_time",
                    "weighted_io_time",
                    "iops_in_progress",
                    "merged_reads",
                    "merged_writes",
                ],
                true,
            );
            line(
                &format!("disk,device={disk},fstype=ext4,{host},mode=rw,path=/mnt/{disk}"),
                &[
                    "total",
                    "free",
                    "used",
                    "inodes_total",
                    "inodes_free",
                    "inodes_used",
                ],
                true,
            );
        }
        line(
            &format!("system,{host}"),
            &["load1", "load5", "load15"],
            false,
        );
        line(
            &format!("mem,{host}"),
            &[
                "total",
                "available",
                "used",
                "active",
                "buffered",
                "cached",
                "free",
                "inactive",
                "slab",
                "wired",
                "dirty",
            ],
            true,
        );
    }
    text.push_str("system,host=web-1 uptime_format=\"12 days,  3:04\" 1735689600000000000\n");
    (text, lines + 1)
}

/// Prints the best MB/s of ours and the crate's, and their ratio.
fn compare(
    what: &str,
    text: &str,
    lines: usize,
    ours: impl Fn(&str) -> usize,
    theirs: impl Fn(&str) -> usize,
) {
    let best = |work: &dyn Fn(&str) -> usize, so_far: f64| {
        let begun = Instant::now();
        assert_eq!(
            black_box(work(black_box(text))),
            lines,
            "every line is accepted"
        );
        so_far.max(text.len() as f64 / 1e6 / begun.elapsed().as_secs_f64())
    };
    let (mut own, mut other) = (0.0, 0.0);
    for _ in 0..ROUNDS {
        own = best(&ours, own);
        other = best(&theirs, other);
    }
    println!(
        "{what:<22} headroom {own:6.0} MB/s   influxdb-line-protocol {other:6.0} MB/s   {:.1} ×",
        own / other
    );
}

fn main() {
    let (text, lines) = telegraf_lines();
    println!(
        "{lines} lines, {} bytes each on average",
        text.len() / lines
    );
    compare(
        "verdicts",
        &text,
        lines,
        |text| {
            let mut scanner = Scanner::new(text.as_bytes(), Precision::Nanoseconds);
            let mut accepted = 0;
            while let Some(line) = scanner.next_line() {
                accepted += usize::from(line.verdict.is_ok());
            }
            accepted
        },
        |text| parse_lines(text).flatten().count(),
    );
    compare(
        "verdicts and points",
        &text,
        lines,
        |text| {
            scan(text.as_bytes(), Precision::Nanoseconds)
                .filter(|line| black_box(line).verdict.is_ok())
                .count()
        },
        |text| {
            parse_lines(text)
                .filter(|line| black_box(line).is_ok())
                .count()
        },
    );
}
