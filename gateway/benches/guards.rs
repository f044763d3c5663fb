//! What the guards cost: the time a line takes to be judged without and with each of them, one thread.
//!
//! `cargo bench -p headroom-gateway --bench guards` prints nanoseconds a line, the best of several rounds, and then what a
//! million known series take.

mod telegraf;

use std::{fmt::Write, fs, hint::black_box, time::Instant};

use headroom_gateway::{
    guard::{Contract, Guard, GuardOptions, SeriesLimits, Source},
    lines::{Precision, Scanner},
};
use telegraf::telegraf_lines;

const ROUNDS: usize = 40;
const SERIES: usize = 1_000_000;
const BATCH_LINES: usize = 5_000;
const NOW_NS: i64 = 1_735_689_600_000_000_000;

const CONTRACT: &str = r#"
other_measurements = "refuse"
max_past = "7d"
max_future = "10m"
[[measurement]]
name = "cpu"
other_tags = "refuse"
tags.host = { required = true, pattern = "web-[0-9]+.example.net" }
tags.cpu = { pattern = "cpu(-total|[0-9]+)" }
fields."usage_*" = "float"
[[measurement]]
name = "*"
tags.host = { required = true }
"#;

fn judge(guard: &Guard, text: &[u8]) -> usize {
    let mut session = guard.session(Source {
        database: "telegraf",
        bucket: "telegraf",
        client: None,
        received_ns: NOW_NS,
    });
    let mut scanner = Scanner::new(text, Precision::Nanoseconds);
    let mut accepted = 0;
    while let Some(line) = scanner.next_line() {
        let verdict = line
            .verdict
            .and_then(|parts| session.judge(parts, text, |_, _| Ok(())));
        accepted += usize::from(verdict.is_ok());
    }
    black_box(session.finish());
    accepted
}

const SERIES_LIMITS: SeriesLimits = SeriesLimits {
    per_measurement_day: Some(u32::MAX),
    per_token_day: Some(u32::MAX),
    total: u32::MAX,
};

fn resident_mb() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().split(' ').next()?.parse::<f64>().ok());
    kilobytes.unwrap_or(f64::NAN) / 1024.0
}

fn main() {
    let (text, lines) = telegraf_lines();
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("contract.toml");
    fs::write(&file, CONTRACT).expect("writable");
    let contract = || Some(Contract::read(&file).expect("valid"));
    let floats = |text: &str| text.parse().expect("valid");
    let base = GuardOptions::default;
    println!(
        "{lines} lines, {} bytes each on average",
        text.len() / lines
    );
    for (name, options) in [
        ("no guard", base()),
        (
            "float fields, none here",
            GuardOptions {
                float_fields: floats("other.*"),
                ..base()
            },
        ),
        (
            "float fields, a fifth",
            GuardOptions {
                float_fields: floats("diskio.*"),
                ..base()
            },
        ),
        (
            "types",
            GuardOptions {
                holds_types: true,
                ..base()
            },
        ),
        (
            "series limits",
            GuardOptions {
                series: Some(SERIES_LIMITS),
                ..base()
            },
        ),
        (
            "contract",
            GuardOptions {
                contract: contract(),
                ..base()
            },
        ),
        (
            "all of them",
            GuardOptions {
                float_fields: floats("other.*"),
                contract: contract(),
                series: Some(SERIES_LIMITS),
                holds_types: true,
            },
        ),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let guard = Guard::open(folder.path(), options).expect("a folder");
        let mut best = f64::INFINITY;
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            assert_eq!(judge(&guard, text.as_bytes()), lines, "{name}");
            best = best.min(begun.elapsed().as_secs_f64());
        }
        println!("{name:<24} {:5.0} ns a line", best * 1e9 / lines as f64);
    }
    a_million_series();
}

/// Prints what a million series take, and how long it takes to learn and to know them.
fn a_million_series() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = || GuardOptions {
        series: Some(SERIES_LIMITS),
        ..GuardOptions::default()
    };
    let guard = Guard::open(folder.path(), options()).expect("a folder");
    let batch = |from: usize| {
        let mut text = String::new();
        for id in from..from + BATCH_LINES {
            writeln!(text, "app,host=web-{},id={id} f=1", id % 1000).expect("memory");
        }
        text
    };
    let before = resident_mb();
    for (what, times) in [("learned", 1), ("known", 3)] {
        let mut best = f64::INFINITY;
        for _ in 0..times {
            let mut seconds = 0.0;
            for from in (0..SERIES).step_by(BATCH_LINES) {
                let text = batch(from);
                let begun = Instant::now();
                assert_eq!(judge(&guard, text.as_bytes()), BATCH_LINES);
                seconds += begun.elapsed().as_secs_f64();
            }
            best = best.min(seconds);
        }
        println!(
            "{SERIES} series, {what:<8} {:5.0} ns a line",
            best * 1e9 / SERIES as f64
        );
    }
    println!(
        "{:.0} MB for them and a million values of a tag",
        resident_mb() - before
    );
    drop(guard);
    let begun = Instant::now();
    let guard = Guard::open(folder.path(), options()).expect("a folder");
    assert_eq!(guard.usage().series, SERIES);
    println!(
        "{:.1} s to read them at a start",
        begun.elapsed().as_secs_f64()
    );
}
