//! The verdicts on a batch's lines, and what a destination needs to know of the batch, gathered.

use std::ops::Range;

use super::{RefusedLine, bounds::check_line};
use crate::{
    access::Bounds,
    guard::Session,
    lines::{Parts, Refusal, Rule, Scanner},
    store::{Batch, Intake, Unfit},
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
    /// The series of the accepted lines, hashed, in order, each once; empty where there are too many to keep.
    pub(super) series: Vec<u32>,
    /// How many accepted lines have no timestamp.
    untimed: usize,
}

/// More series than this are not kept apart: a batch of so many would hold up hardly less if they were.
const SERIES_MOST: usize = 1 << 16;

/// What a destination needs to know of an accepted line.
struct Noted {
    is_untimed: bool,
    series: u32,
}

impl Noted {
    fn of(parts: &Parts, text: &[u8]) -> Self {
        Self {
            is_untimed: parts.time_ns.is_none(),
            series: parts.series_hash(text),
        }
    }
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
        while let Some(line) = scanner.next_line() {
            let verdict = within(line.verdict, bounds, text);
            let noted = verdict
                .and_then(|parts| guards.judge(parts, text, |parts, _| Ok(Noted::of(parts, text))));
            match noted {
                Ok(noted) => {
                    verdicts.accepted += 1;
                    verdicts.note(&noted);
                }
                Err(refusal) => verdicts.refuse(line.number, &line.bytes, refusal),
            }
        }
        verdicts.close(&scanner);
        verdicts
    }

    /// Judges every line of a text, and has the good ones taken, whose types must be those in the store; what a
    /// destination needs is noted only where there is one.
    pub(super) fn with_intake(
        text: &'a [u8],
        mut scanner: Scanner<'a>,
        bounds: Option<&Bounds>,
        guards: &mut Session<'_>,
        mut intake: Intake<'a>,
        for_destinations: bool,
    ) -> Self {
        let mut verdicts = Self::default();
        while let Some(line) = scanner.next_line() {
            let verdict = within(line.verdict, bounds, text);
            let taken = verdict.and_then(|parts| {
                guards.judge(parts, text, |parts, is_as_written| {
                    intake
                        .take(parts, is_as_written.then(|| line.bytes.clone()))
                        .map(|()| for_destinations.then(|| Noted::of(parts, text)))
                        .map_err(|unfit| refusal_of(&unfit))
                })
            });
            match taken {
                Ok(noted) => {
                    verdicts.accepted += 1;
                    if let Some(noted) = noted {
                        verdicts.note(&noted);
                    }
                }
                Err(refusal) => verdicts.refuse(line.number, &line.bytes, refusal),
            }
        }
        verdicts.batch = Some(intake.finish());
        if for_destinations {
            verdicts.close(&scanner);
        }
        verdicts
    }

    fn note(&mut self, line: &Noted) {
        self.untimed += usize::from(line.is_untimed);
        // An agent writes its series in turns; those that are split over several lines stand together.
        if self.series.last() != Some(&line.series) {
            self.series.push(line.series);
        }
    }

    /// Says of the whole batch what a destination needs to know.
    fn close(&mut self, scanner: &Scanner<'_>) {
        let is_verbatim = self.refused.is_empty() && self.untimed == 0 && scanner.reads_alike();
        // The limit on decompressed bodies keeps numbers of lines, and offsets, within 32 bits.
        self.verbatim_lines = is_verbatim.then_some(self.accepted as u32);
        self.series.sort_unstable();
        self.series.dedup();
        if self.series.len() > SERIES_MOST {
            self.series = Vec::new();
        }
    }

    fn refuse(&mut self, number: usize, bytes: &Range<usize>, refusal: Refusal) {
        self.ranges.push(bytes.start as u32..bytes.end as u32);
        self.refused.push(RefusedLine { number, refusal });
    }
}

/// Says why the store does not take a line.
fn refusal_of(unfit: &Unfit) -> Refusal {
    let rule = match unfit {
        Unfit::Type(_) => Rule::FieldType,
        Unfit::Expired(_) => Rule::Retention,
    };
    Refusal::whole(rule, unfit.to_string())
}

/// Holds an accepted line to what its token may write.
fn within<'p>(
    verdict: Result<&'p mut Parts, Refusal>,
    bounds: Option<&Bounds>,
    text: &[u8],
) -> Result<&'p mut Parts, Refusal> {
    let parts = verdict?;
    match bounds {
        None => Ok(parts),
        Some(bounds) => check_line(bounds, parts, text).map(|()| parts),
    }
}
