//! The verdicts on a batch's lines, gathered.

use std::ops::Range;

use super::RefusedLine;
use crate::{
    access::Bounds,
    guard::Session,
    lines::{Parts, Refusal, Rule, Scanner},
    store::{Batch, Intake},
};

/// What became of a batch's lines.
#[derive(Default)]
pub(super) struct Verdicts<'a> {
    /// How many are accepted.
    pub(super) accepted: usize,
    /// What these say, where somebody wants it.
    pub(super) batch: Option<Batch<'a>>,
    /// The lines that are not.
    pub(super) refused: Vec<RefusedLine>,
    /// Where these stand in the text.
    pub(super) ranges: Vec<Range<u32>>,
    /// How many lines there are, if the batch can be sent to an InfluxDB as it came.
    pub(super) verbatim_lines: Option<u32>,
}

impl<'a> Verdicts<'a> {
    /// Judges every line of a text.
    pub(super) fn alone(
        text: &'a [u8],
        mut scanner: Scanner<'a>,
        bounds: Option<&Bounds>,
        guards: &mut Session<'_>,
    ) -> Self {
        let mut verdicts = Self::default();
        let mut untimed = 0_usize;
        while let Some(line) = scanner.next_line() {
            let verdict = within(line.verdict, bounds, text, line.bytes.start);
            let is_untimed = verdict.and_then(|parts| {
                guards.judge(parts, text, |parts, _| Ok(parts.time_ns.is_none()))
            });
            match is_untimed {
                Ok(is_untimed) => {
                    verdicts.accepted += 1;
                    untimed += usize::from(is_untimed);
                }
                Err(refusal) => verdicts.refuse(line.number, &line.bytes, refusal),
            }
        }
        let is_verbatim = verdicts.refused.is_empty() && untimed == 0 && scanner.reads_alike();
        // The limit on decompressed bodies keeps numbers of lines, and offsets, within 32 bits.
        verdicts.verbatim_lines = is_verbatim.then_some(verdicts.accepted as u32);
        verdicts
    }

    /// Judges every line of a text, and has the good ones taken, whose types must be those in the store.
    pub(super) fn with_intake(
        text: &'a [u8],
        mut scanner: Scanner<'a>,
        bounds: Option<&Bounds>,
        guards: &mut Session<'_>,
        mut intake: Intake<'a>,
    ) -> Self {
        let mut verdicts = Self::default();
        while let Some(line) = scanner.next_line() {
            let verdict = within(line.verdict, bounds, text, line.bytes.start);
            let taken = verdict.and_then(|parts| {
                guards.judge(parts, text, |parts, is_as_written| {
                    intake
                        .take(parts, is_as_written.then(|| line.bytes.clone()))
                        .map_err(|conflict| Refusal::whole(Rule::FieldType, conflict.to_string()))
                })
            });
            match taken {
                Ok(()) => verdicts.accepted += 1,
                Err(refusal) => verdicts.refuse(line.number, &line.bytes, refusal),
            }
        }
        verdicts.batch = Some(intake.finish());
        verdicts
    }

    fn refuse(&mut self, number: usize, bytes: &Range<usize>, refusal: Refusal) {
        self.ranges.push(bytes.start as u32..bytes.end as u32);
        self.refused.push(RefusedLine { number, refusal });
    }
}

/// Holds an accepted line, which begins at `start`, to what its token may write.
fn within<'p>(
    verdict: Result<&'p mut Parts, Refusal>,
    bounds: Option<&Bounds>,
    text: &[u8],
    start: usize,
) -> Result<&'p mut Parts, Refusal> {
    let parts = verdict?;
    match bounds {
        None => Ok(parts),
        Some(bounds) => bounds.check_line(parts, text, start).map(|()| parts),
    }
}
