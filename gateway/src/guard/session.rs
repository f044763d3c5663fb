//! The guards at work on one batch.

use super::{Guard, Known, contract::Entry, kept::Row, keys::Keys, series::Origin};
use crate::lines::{Parts, Refusal};

const DAY_NS: i64 = 86_400 * 1_000_000_000;
/// Judgements that are remembered, of shapes and of series each: 18 MB at most. They are there to save work.
const REMEMBERED_MAX: usize = 900_000;

/// Where a batch comes from and goes to.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Its database.
    pub database: &'a str,
    /// The bucket in which its fields have their types.
    pub bucket: &'a str,
    /// A name of the token that it came with.
    pub client: Option<&'a str>,
    /// When it came, in nanoseconds since 1970.
    pub received_ns: i64,
}

/// Where a batch comes from and goes to, as keys.
#[derive(Debug, Clone, Copy)]
struct BatchKeys {
    origin: Origin,
    bucket: u64,
}

/// The guards at work on one batch. [`Self::finish`] keeps what it taught.
///
/// What is known is locked for a line at a time, and never while the line is taken: whoever takes it has locks of their own.
pub struct Session<'g> {
    guard: &'g Guard,
    batch: BatchKeys,
    received_ns: i64,
    /// Whether lines are looked up at all.
    looks: bool,
    rows: Vec<Row>,
    letters: Vec<u32>,
}

/// Number of a day since 1970.
pub(super) fn day_of(time_ns: i64) -> u16 {
    u16::try_from(time_ns.max(0) / DAY_NS).unwrap_or(u16::MAX)
}

impl Guard {
    /// Begins to judge a batch.
    #[must_use]
    pub fn session(&self, source: Source<'_>) -> Session<'_> {
        let (looks, holds_types, begins_day) = {
            let known = self.known.read();
            let day = day_of(source.received_ns);
            let ledger = known.ledger.as_ref();
            let begins_day = ledger
                .is_some_and(|ledger| ledger.is_over(day))
                .then_some(day);
            (known.looks(), known.types.is_some(), begins_day)
        };
        if let Some(day) = begins_day {
            self.begin_day(day);
        }
        if holds_types {
            self.note_bucket(source.bucket);
        }
        Session {
            guard: self,
            batch: BatchKeys {
                origin: Origin {
                    database: self.keys.place(source.database),
                    token: self.keys.place(source.client.unwrap_or_default()),
                },
                bucket: self.keys.place(source.bucket),
            },
            received_ns: source.received_ns,
            looks,
            rows: Vec::new(),
            letters: Vec::new(),
        }
    }
}

impl Session<'_> {
    /// Judges a line that is well formed, and takes it if the guards do: `take` has the last word, and nothing is learned
    /// of what it refuses. Fields that become floats are floats in `parts` then; whether these are as the text has them,
    /// `take` is told.
    ///
    /// # Errors
    ///
    /// Names the rule that the line breaks.
    #[inline]
    pub fn judge<T>(
        &mut self,
        parts: &mut Parts,
        text: &[u8],
        take: impl FnOnce(&Parts, bool) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let letters = self.letters.len();
        if !self.guard.float_fields.is_empty() {
            self.guard
                .float_fields
                .convert(parts, text, &mut self.letters);
        }
        let is_as_written = self.letters.len() == letters;
        let take = |parts: &Parts| take(parts, is_as_written);
        let verdict = if self.looks {
            self.look_up(parts, text, take)
        } else {
            take(parts)
        };
        if verdict.is_err() {
            self.letters.truncate(letters);
        }
        verdict
    }

    /// Keeps what the batch taught, and answers where in its text the letters stand that make integers of what is to
    /// be floats.
    #[must_use]
    pub fn finish(self) -> Vec<u32> {
        if let Some(kept) = self.guard.kept.as_ref().filter(|_| !self.rows.is_empty()) {
            kept.write(&self.rows);
        }
        self.letters
    }

    #[inline]
    fn look_up<T>(
        &mut self,
        parts: &Parts,
        text: &[u8],
        take: impl FnOnce(&Parts) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let (keys, passes) = {
            let known = self.guard.known.read();
            let keys = known.keys_of(self.batch, parts, text);
            (keys, known.passes(keys, parts, self.received_ns))
        };
        if passes {
            take(parts)
        } else {
            self.judge_anew(keys, parts, text, take)
        }
    }

    /// Judges a line that holds something that was not judged before.
    #[cold]
    fn judge_anew<T>(
        &mut self,
        keys: LineKeys,
        parts: &Parts,
        text: &[u8],
        take: impl FnOnce(&Parts) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let (entry, generation) =
            self.guard
                .known
                .read()
                .check(keys, self.batch, self.received_ns, parts, text)?;
        let taken = take(parts)?;
        let mut known = self.guard.known.write();
        known.learn(keys, self.batch, parts, text, &mut self.rows)?;
        if known.generation == generation {
            known.remember(keys, entry);
        }
        Ok(taken)
    }
}

/// What a line is known by, as far as somebody looks at it.
#[derive(Debug, Clone, Copy)]
struct LineKeys {
    shape: Option<u64>,
    series: Option<u64>,
}

impl Known {
    /// Says whether anything of a line is looked at.
    fn looks(&self) -> bool {
        self.contract.is_some() || self.types.is_some() || self.ledger.is_some()
    }

    #[inline]
    fn keys_of(&self, batch: BatchKeys, parts: &Parts, text: &[u8]) -> LineKeys {
        let looks_at_shapes = self.contract.is_some() || self.types.is_some();
        let looks_at_series = self.contract.is_some() || self.ledger.is_some();
        LineKeys {
            shape: looks_at_shapes.then(|| Keys::shape(batch.bucket, parts, text)),
            series: looks_at_series.then(|| Keys::series(batch.origin.database, parts, text)),
        }
    }

    /// Says whether all that a line holds was judged to be good before.
    #[inline]
    fn passes(&self, keys: LineKeys, parts: &Parts, received_ns: i64) -> bool {
        let entry = match keys.shape.map(|shape| self.shapes.get(&shape)) {
            Some(Some(entry)) => *entry,
            Some(None) => return false,
            None => Entry::OTHER,
        };
        let Some(series) = keys.series else {
            return true;
        };
        if let Some(contract) = &self.contract
            && (!self.clean.contains(&series)
                || contract.check_time(entry, parts, received_ns).is_err())
        {
            return false;
        }
        self.ledger
            .as_ref()
            .is_none_or(|ledger| ledger.sees(series))
    }

    /// Holds a line to the contract and to the limits of new series; answers the contract's entry for it, and the
    /// generation in which it was found.
    fn check(
        &self,
        keys: LineKeys,
        batch: BatchKeys,
        received_ns: i64,
        parts: &Parts,
        text: &[u8],
    ) -> Result<(Entry, u64), Refusal> {
        let entry = match &self.contract {
            Some(contract) => contract.judge(parts, text, received_ns)?,
            None => Entry::OTHER,
        };
        if let (Some(ledger), Some(series)) = (&self.ledger, keys.series)
            && !ledger.sees(series)
        {
            ledger.check(batch.origin, parts, text)?;
        }
        Ok((entry, self.generation))
    }

    /// Learns a line's series and types, if the types may be: another batch may have come before.
    fn learn(
        &mut self,
        keys: LineKeys,
        batch: BatchKeys,
        parts: &Parts,
        text: &[u8],
        rows: &mut Vec<Row>,
    ) -> Result<(), Refusal> {
        let new_fields = match &self.types {
            Some(types) => types.check(batch.bucket, parts, text)?,
            None => Vec::new(),
        };
        if let (Some(ledger), Some(series)) = (&mut self.ledger, keys.series)
            && !ledger.sees(series)
        {
            ledger.add(series, batch.origin, parts, text, rows);
        }
        if let Some(types) = &mut self.types {
            let taken = types.add(batch.bucket, &new_fields);
            rows.extend(new_fields[..taken].iter().map(|field| Row::Field {
                bucket: batch.bucket,
                key: field.key,
                kinds: field.kinds,
            }));
        }
        Ok(())
    }

    /// Remembers that a line's shape and series are good.
    fn remember(&mut self, keys: LineKeys, entry: Entry) {
        if let Some(shape) = keys.shape {
            if self.shapes.len() >= REMEMBERED_MAX {
                self.shapes.clear();
            }
            self.shapes.insert(shape, entry);
        }
        if let Some(series) = keys.series.filter(|_| self.contract.is_some()) {
            if self.clean.len() >= REMEMBERED_MAX {
                self.clean.clear();
            }
            self.clean.insert(series);
        }
    }
}
