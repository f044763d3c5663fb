//! How many series are new: counted exactly, by measurement and by token, a day (UTC) at a time.
//!
//! A series is known once a line of it was taken, and stays known for [`FORGOTTEN_AFTER_DAYS`] days after its last line.
//! Known series are never refused. A new one counts for its measurement and for the token that brought it first; with it
//! go its tags' values, so that the tag that grows fastest can be named: the one that brought the most values today that
//! the measurement had not seen. A known series takes 17 bytes of a table that is at most 7/8 full and doubles as it
//! fills: a million take 36 MB at most.

use std::sync::atomic::{AtomicU16, Ordering};

use super::{
    kept::{Row, TodayCount},
    keys::{KeyMap, Keys},
};
use crate::lines::{Parts, Refusal, Rule};

/// A series that no line came of for so long is new when it comes again.
const FORGOTTEN_AFTER_DAYS: u16 = 30;

/// How many series may be new; `None`: as many as come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SeriesLimits {
    /// In a measurement, a day.
    pub per_measurement_day: Option<u32>,
    /// From a token, a day.
    pub per_token_day: Option<u32>,
    /// Known ones, altogether.
    pub total: u32,
}

/// A known series.
#[derive(Debug)]
struct Seen {
    /// When a line of it came last, in days since 1970.
    last_day: AtomicU16,
}

/// What is counted for a measurement of a database.
#[derive(Debug, Default)]
struct Account {
    new_today: u32,
    /// Its tags, and how many values of each are new today.
    tags: Vec<(Box<str>, u32)>,
}

/// The series that are known, and today's counts.
#[derive(Debug)]
pub(super) struct Ledger {
    limits: SeriesLimits,
    /// Today, in days since 1970.
    day: u16,
    series: KeyMap<Seen>,
    accounts: KeyMap<Account>,
    tokens: KeyMap<u32>,
    /// The tags' values that are known, and the day on which each came first.
    values: KeyMap<u16>,
}

/// Where a series comes from, as keys.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    pub(super) database: u64,
    pub(super) token: u64,
}

fn value_key(account: u64, key: &str, value: &str) -> u64 {
    Keys::name(Keys::name(account, key), value)
}

impl Ledger {
    pub(super) fn new(limits: SeriesLimits) -> Self {
        Self {
            limits,
            day: 0,
            series: KeyMap::default(),
            accounts: KeyMap::default(),
            tokens: KeyMap::default(),
            values: KeyMap::default(),
        }
    }

    /// How many series are known.
    pub(super) fn len(&self) -> usize {
        self.series.len()
    }

    /// Says whether another day than today has begun. A clock that goes back within a day's time changes nothing; one
    /// that was far ahead and is set right does.
    #[inline]
    pub(super) fn is_over(&self, day: u16) -> bool {
        day > self.day || day + 1 < self.day
    }

    /// Begins a day: counts start anew, and what was not seen for long is forgotten.
    pub(super) fn begin(&mut self, day: u16) {
        self.day = day;
        self.tokens.clear();
        self.accounts.clear();
        let oldest = day.saturating_sub(FORGOTTEN_AFTER_DAYS);
        self.series
            .retain(|_, seen| *seen.last_day.get_mut() >= oldest);
        self.values.retain(|_, first_day| *first_day >= oldest);
    }

    /// The day before which what was seen last is forgotten.
    pub(super) fn oldest_day(&self) -> u16 {
        self.day.saturating_sub(FORGOTTEN_AFTER_DAYS)
    }

    /// Says whether a series is known, and notes that it was seen today.
    #[inline]
    pub(super) fn sees(&self, series: u64) -> bool {
        let Some(seen) = self.series.get(&series) else {
            return false;
        };
        // The line of memory is shared with all who look: it is written to once a day.
        if seen.last_day.load(Ordering::Relaxed) != self.day {
            seen.last_day.store(self.day, Ordering::Relaxed);
        }
        true
    }

    /// Says whether a series that is not known may come.
    ///
    /// # Errors
    ///
    /// Names the limit, and the tag that grows fastest.
    pub(super) fn check(&self, origin: Origin, parts: &Parts, text: &[u8]) -> Result<(), Refusal> {
        let measurement = parts.measurement_name(text);
        let account = Keys::name(origin.database, &measurement);
        let new_here = self
            .accounts
            .get(&account)
            .map_or(0, |account| account.new_today);
        let new_by_token = self.tokens.get(&origin.token).copied().unwrap_or(0);
        let limits = &self.limits;
        let over = if self.series.len() >= limits.total as usize {
            format!(
                "{} series are known, and no more may be (HEADROOM_SERIES_MAX)",
                limits.total
            )
        } else if let Some(limit) = limits
            .per_measurement_day
            .filter(|limit| new_here >= *limit)
        {
            format!(
                "measurement {measurement:?} has had its {limit} new series of this day (HEADROOM_SERIES_PER_MEASUREMENT_DAY)"
            )
        } else if let Some(limit) = limits.per_token_day.filter(|limit| new_by_token >= *limit) {
            format!(
                "this token has brought its {limit} new series of this day (HEADROOM_SERIES_PER_TOKEN_DAY)"
            )
        } else {
            return Ok(());
        };
        let offender = self.fastest(account, parts, text);
        Err(Refusal::whole(
            Rule::SeriesLimit,
            format!("the series is new, and {over}; {offender}; known series go on"),
        ))
    }

    /// Says which of a measurement's tags grows fastest.
    fn fastest(&self, account: u64, parts: &Parts, text: &[u8]) -> String {
        let tags = self.accounts.get(&account).map(|account| &account.tags[..]);
        let fastest = tags
            .unwrap_or_default()
            .iter()
            .rev()
            .max_by_key(|(_, new_values)| *new_values);
        if let Some((key, new_values)) = fastest.filter(|(_, new_values)| *new_values > 0) {
            return format!(
                "its tag {key:?} grows fastest, by {new_values} values today: leave that tag out, or raise the limit"
            );
        }
        let new_here = parts.tags.iter().find(|tag| {
            let key = value_key(account, &tag.key_name(text), &tag.value_text(text));
            !self.values.contains_key(&key)
        });
        match new_here {
            Some(tag) => format!(
                "its tag {:?} has a new value: leave that tag out, or raise the limit",
                tag.key_name(text)
            ),
            None => {
                "no tag has a new value, only their combination is new: raise the limit".to_owned()
            }
        }
    }

    /// Counts a series that [`Self::check`] let in, and adds the rows that keep it. Of several batches that are judged in
    /// the same moment each may have been let in for the last place: a limit is exceeded by so many at most.
    pub(super) fn add(
        &mut self,
        series: u64,
        origin: Origin,
        parts: &Parts,
        text: &[u8],
        rows: &mut Vec<Row>,
    ) {
        let day = self.day;
        let key = Keys::name(origin.database, &parts.measurement_name(text));
        self.know(series, day);
        *self.tokens.entry(origin.token).or_default() += 1;
        let account = self.accounts.entry(key).or_default();
        account.new_today += 1;
        rows.push(Row::Series {
            key: series,
            account: key,
            token: origin.token,
            day,
        });
        for tag in &parts.tags {
            let name = tag.key_name(text);
            let value = value_key(key, &name, &tag.value_text(text));
            if self.values.contains_key(&value) {
                continue;
            }
            self.values.insert(value, day);
            match account.tags.iter_mut().find(|(known, _)| **known == *name) {
                Some((_, new_values)) => *new_values += 1,
                None => account.tags.push((name.as_ref().into(), 1)),
            }
            rows.push(Row::TagValue {
                key: value,
                account: key,
                tag: name.into_owned(),
                day,
            });
        }
    }

    /// Takes a series for known that was there before anybody counted.
    pub(super) fn know(&mut self, series: u64, last_day: u16) {
        self.series.entry(series).or_insert(Seen {
            last_day: AtomicU16::new(last_day),
        });
    }

    /// Takes a tag's value for known.
    pub(super) fn know_value(&mut self, key: u64, first_day: u16) {
        self.values.entry(key).or_insert(first_day);
    }

    /// Takes up a day's counts where they were left.
    pub(super) fn resume(&mut self, day: u16, counts: Vec<TodayCount>) {
        self.day = day;
        for count in counts {
            match count {
                TodayCount::Measurement { account, new } => {
                    self.accounts.entry(account).or_default().new_today = new;
                }
                TodayCount::Token { token, new } => {
                    self.tokens.insert(token, new);
                }
                TodayCount::Tag { account, tag, new } => {
                    let account = self.accounts.entry(account).or_default();
                    account.tags.push((tag.into(), new));
                }
            }
        }
    }

    /// The series of which a line came on a day and none since.
    pub(super) fn seen_on(&self, day: u16) -> Vec<u64> {
        let seen = self
            .series
            .iter()
            .filter(|(_, seen)| seen.last_day.load(Ordering::Relaxed) == day);
        seen.map(|(key, _)| *key).collect()
    }

    /// Today, in days since 1970.
    pub(super) fn day(&self) -> u16 {
        self.day
    }
}
