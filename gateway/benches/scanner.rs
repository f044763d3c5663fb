//! The scanner beside the crate `influxdb-line-protocol`: the same lines, the same work, one thread.
//!
//! `cargo bench -p headroom-gateway --bench scanner` prints MB/s of both and their ratio, twice: for the verdict on every
//! line, and for the points built as well. The rounds of both take turns, and the best one counts: what disturbs a round
//! only makes it longer.

mod telegraf;

use std::{hint::black_box, time::Instant};

use headroom_gateway::lines::{Precision, Scanner, scan};
use influxdb_line_protocol::parse_lines;
use telegraf::telegraf_lines;

const ROUNDS: usize = 40;

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
