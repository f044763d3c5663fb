//! The verdicts on a batch's lines, gathered.

use std::ops::Range;

use super::RefusedLine;
use crate::{
    lines::{Point, Refusal, Rule, Scanner},
    store::TypeConflict,
};

/// What became of a batch's lines.
#[derive(Default)]
pub(super) struct Verdicts<'a> {
    /// How many are accepted.
    pub(super) accepted: usize,
    /// The points of these, where somebody wants them.
    pub(super) points: Vec<Point<'a>>,
    /// The lines that are not.
    pub(super) refused: Vec<RefusedLine>,
    /// Where these stand in the text.
    pub(super) ranges: Vec<Range<u32>>,
    /// How many lines there are, if the batch can be sent to an InfluxDB as it came.
    pub(super) verbatim_lines: Option<u32>,
}

impl<'a> Verdicts<'a> {
    /// Judges every line.
    pub(super) fn alone(mut scanner: Scanner<'a>) -> Self {
        let mut verdicts = Self::default();
        let mut untimed = 0_usize;
        while let Some(line) = scanner.next_line() {
            match line.verdict {
                Ok(parts) => {
                    verdicts.accepted += 1;
                    untimed += usize::from(parts.time_ns.is_none());
                }
                Err(refusal) => verdicts.refuse(line.number, &line.bytes, refusal),
            }
        }
        let is_verbatim = verdicts.refused.is_empty() && untimed == 0 && scanner.reads_alike();
        // The limit on decompressed bodies keeps numbers of lines, and offsets, within 32 bits.
        verdicts.verbatim_lines = is_verbatim.then_some(verdicts.accepted as u32);
        verdicts
    }

    /// Judges every line, holds its types to `claim_types`, and keeps the points.
    pub(super) fn with_points(
        mut scanner: Scanner<'a>,
        claim_types: impl Fn(&Point<'_>) -> Result<(), TypeConflict>,
    ) -> Self {
        let mut verdicts = Self::default();
        while let Some(judged) = scanner.next_line() {
            let line = judged.into_line();
            let point = line.verdict.and_then(|point| match claim_types(&point) {
                Ok(()) => Ok(point),
                Err(conflict) => Err(Refusal::whole(Rule::FieldType, conflict.to_string())),
            });
            match point {
                Ok(point) => verdicts.points.push(point),
                Err(refusal) => verdicts.refuse(line.number, &line.bytes, refusal),
            }
        }
        verdicts.accepted = verdicts.points.len();
        verdicts
    }

    fn refuse(&mut self, number: usize, bytes: &Range<usize>, refusal: Refusal) {
        self.ranges.push(bytes.start as u32..bytes.end as u32);
        self.refused.push(RefusedLine { number, refusal });
    }
}
