//! What an agent sends, for the benchmarks.

use std::fmt::Write;

use rand::{RngExt, SeedableRng, rngs::SmallRng};

const HOSTS: usize = 500;

/// Lines as Telegraf's usual inputs write them: some 240 bytes and eleven fields each.
pub(crate) fn telegraf_lines() -> (String, usize) {
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
