//! The scanner on any bytes: no panic, lines in order, faults with a column, and nothing that depends on where it paused.
//!
//! The first byte chooses the precision, the second one where the scanner pauses.

#![no_main]

use headroom_gateway::lines::{Precision, Scanner, scan};
use libfuzzer_sys::fuzz_target;

const PRECISIONS: [Precision; 6] = [
    Precision::Nanoseconds,
    Precision::Microseconds,
    Precision::Milliseconds,
    Precision::Seconds,
    Precision::Minutes,
    Precision::Hours,
];

fuzz_target!(|data: &[u8]| {
    let [choice, pause, text @ ..] = data else {
        return;
    };
    let precision = PRECISIONS[usize::from(*choice) % PRECISIONS.len()];
    let lines: Vec<_> = scan(text, precision).collect();
    let mut end = 0;
    for line in &lines {
        assert!(line.bytes.start >= end && line.bytes.end <= text.len() && !line.bytes.is_empty());
        end = line.bytes.end;
        match &line.verdict {
            Ok(point) => assert!(!point.fields.is_empty() && !point.measurement.is_empty()),
            Err(refusal) => {
                let column = refusal.column.expect("every fault of the text has one");
                let newline = text[..line.bytes.start]
                    .iter()
                    .rposition(|byte| *byte == b'\n');
                let first = newline.map_or(0, |newline| newline + 1);
                // Blanks behind the line are not its own, and yet what is missing is missed behind them.
                let columns = line.bytes.start - first + 1..=text.len() - first + 1;
                assert!(columns.contains(&column), "{refusal}");
            }
        }
    }
    let mut scanner = Scanner::new(text, precision);
    let before = usize::from(*pause) % (lines.len() + 1);
    for _ in 0..before {
        assert!(scanner.next_line().is_some());
    }
    let mut resumed = Scanner::resume(text, precision, scanner.checkpoint());
    for line in &lines[before..] {
        let again = resumed
            .next_line()
            .expect("as many lines as in one go")
            .into_line();
        assert_eq!(&again, line);
    }
    assert!(resumed.next_line().is_none());
});
