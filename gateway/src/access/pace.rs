//! How fast a token may push.
//!
//! A bucket of lines and one of bytes fill at the token's rates, up to ten seconds' worth. A push is let in while there is
//! something in both, and takes what it has, even if that is more: a batch larger than the bucket is never refused for ever,
//! and those behind it wait until the debt is paid. Over time the rate is kept exactly.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// What may come at once after a pause: Telegraf sends what it gathered in ten seconds.
const BURST_S: f64 = 10.0;

/// Rates; `None` is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rates {
    /// Lines a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lines_per_s: Option<u32>,
    /// Bytes of line protocol a second, decompressed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_s: Option<u32>,
}

/// A push came too early.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limited {
    /// Of what there was too much: `lines` or `bytes`.
    pub of: &'static str,
    /// The rate.
    pub per_s: u32,
    /// When it may come again.
    pub after: Duration,
}

/// How fast a token pushes.
#[derive(Debug, Default)]
pub struct Pace {
    rates: Rates,
    levels: Mutex<Option<Levels>>,
}

/// What is in the buckets; below zero is debt.
#[derive(Debug, Clone, Copy)]
struct Levels {
    lines: f64,
    bytes: f64,
    at: Instant,
}

impl Pace {
    /// Begins with full buckets.
    #[must_use]
    pub fn new(rates: Rates) -> Self {
        Self {
            rates,
            levels: Mutex::new(None),
        }
    }

    /// The rates that are kept.
    #[must_use]
    pub fn rates(&self) -> Rates {
        self.rates
    }

    /// Says whether a push may come now.
    ///
    /// # Errors
    ///
    /// Says when it may.
    pub fn admit(&self, now: Instant) -> Result<(), Limited> {
        if self.rates == Rates::default() {
            return Ok(());
        }
        let levels = *self.fill(&mut self.levels.lock(), now);
        for (of, rate, level) in [
            ("lines", self.rates.lines_per_s, levels.lines),
            ("bytes", self.rates.bytes_per_s, levels.bytes),
        ] {
            if let Some(per_s) = rate
                && level <= 0.0
            {
                let after = Duration::from_secs_f64((1.0 - level) / f64::from(per_s.max(1)));
                return Err(Limited { of, per_s, after });
            }
        }
        Ok(())
    }

    /// Takes what a push has.
    pub fn charge(&self, now: Instant, lines: u64, bytes: u64) {
        if self.rates != Rates::default() {
            let mut levels = self.levels.lock();
            let levels = self.fill(&mut levels, now);
            levels.lines -= lines as f64;
            levels.bytes -= bytes as f64;
        }
    }

    /// Brings the buckets up to now.
    fn fill<'a>(&self, levels: &'a mut Option<Levels>, now: Instant) -> &'a mut Levels {
        let most = |rate: Option<u32>| rate.map_or(f64::MAX, |rate| f64::from(rate) * BURST_S);
        let (lines_most, bytes_most) = (most(self.rates.lines_per_s), most(self.rates.bytes_per_s));
        let levels = levels.get_or_insert(Levels {
            lines: lines_most,
            bytes: bytes_most,
            at: now,
        });
        let passed_s = now.saturating_duration_since(levels.at).as_secs_f64();
        levels.lines = (levels.lines + passed_s * lines_most / BURST_S).min(lines_most);
        levels.bytes = (levels.bytes + passed_s * bytes_most / BURST_S).min(bytes_most);
        levels.at = now.max(levels.at);
        levels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(lines_per_s: Option<u32>, bytes_per_s: Option<u32>) -> Pace {
        Pace::new(Rates {
            lines_per_s,
            bytes_per_s,
        })
    }

    #[test]
    fn a_large_batch_is_taken_and_its_debt_is_waited_for() {
        let (pace, start) = (pace(Some(10), None), Instant::now());
        let at = |s: u64| start + Duration::from_secs(s);
        assert_eq!(pace.admit(at(0)), Ok(()));
        pace.charge(at(0), 1000, 1 << 30);
        let limited = pace.admit(at(0)).expect_err("900 in debt");
        assert_eq!((limited.of, limited.per_s), ("lines", 10));
        assert_eq!(limited.after.as_secs(), 90);
        assert!(pace.admit(at(90)).is_err());
        assert_eq!(pace.admit(at(91)), Ok(()));
    }

    #[test]
    fn ten_seconds_worth_may_come_at_once_and_no_more_is_saved_up() {
        let (pace, start) = (pace(None, Some(100)), Instant::now());
        let later = start + Duration::from_hours(1);
        pace.charge(start, 5, 1);
        pace.charge(later, 5, 999);
        assert_eq!(pace.admit(later), Ok(()));
        pace.charge(later, 5, 1);
        assert_eq!(pace.admit(later).expect_err("empty").of, "bytes");
    }

    #[test]
    fn over_time_the_rate_is_kept() {
        let (pace, start) = (pace(Some(50), None), Instant::now());
        let mut taken = 0;
        for tenth in 0..1000 {
            let now = start + Duration::from_millis(tenth * 100);
            if pace.admit(now).is_ok() {
                pace.charge(now, 30, 0);
                taken += 30;
            }
        }
        // 100 s at 50 a second, the ten seconds of the beginning, and the last batch.
        assert!((5400..=5530).contains(&taken), "{taken}");
    }

    #[test]
    fn without_rates_nothing_is_limited() {
        let (pace, now) = (pace(None, None), Instant::now());
        pace.charge(now, u64::MAX, u64::MAX);
        assert_eq!(pace.admit(now), Ok(()));
    }
}
