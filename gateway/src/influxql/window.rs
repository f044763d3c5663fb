//! The buckets of `GROUP BY time(interval, offset)`, in whatever time zone.
//!
//! Buckets start at local multiples of the interval: a day is 23 or 25 hours long where the clocks change. A change that
//! is as long as the interval or longer does not move a bucket's ends, as in InfluxDB.

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::Tz;

/// The earliest time that a query can name.
pub(super) const TIME_MIN: i64 = i64::MIN + 2;
/// The latest time that a query can name.
pub(super) const TIME_MAX: i64 = i64::MAX - 1;

/// A span of time, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) first: i64,
    pub(super) last: i64,
}

impl Span {
    pub(super) const ALL: Self = Self {
        first: TIME_MIN,
        last: TIME_MAX,
    };

    pub(super) fn and(self, other: Self) -> Self {
        Self {
            first: self.first.max(other.first),
            last: self.last.min(other.last),
        }
    }
}

/// How time is cut into buckets; an interval of 0 makes one bucket of the whole span.
#[derive(Debug, Clone, Copy)]
pub(super) struct Windows {
    pub(super) interval: i64,
    pub(super) offset: i64,
    pub(super) zone: Option<Tz>,
    pub(super) span: Span,
}

/// Returns how far a zone is ahead of UTC at an instant.
pub(super) fn zone_offset(zone: Tz, time: i64) -> i64 {
    let utc = DateTime::from_timestamp_nanos(time).naive_utc();
    i64::from(zone.offset_from_utc_datetime(&utc).fix().local_minus_utc()) * 1_000_000_000
}

impl Windows {
    fn ahead(&self, time: i64) -> i64 {
        self.zone.map_or(0, |zone| zone_offset(zone, time))
    }

    /// Returns the start of an instant's bucket and the end, which is not in it.
    pub(super) fn of(&self, time: i64) -> (i64, i64) {
        if self.interval == 0 {
            return (self.span.first, self.span.last.saturating_add(1));
        }
        let time = time.saturating_sub(self.offset);
        let zone = self.ahead(time);
        let into = time.saturating_add(zone).rem_euclid(self.interval);
        let shift = |ahead: i64| {
            let shift = zone - ahead;
            if shift.abs() < self.interval {
                shift
            } else {
                0
            }
        };
        let mut start = if TIME_MIN + into >= time {
            TIME_MIN
        } else {
            time - into
        };
        start = start.saturating_add(shift(self.ahead(start)));
        start = start.saturating_add(self.offset);
        let rest = self.interval - into;
        let mut end = if TIME_MAX - rest <= time {
            TIME_MAX
        } else {
            time + rest
        };
        let ahead = self.ahead(end);
        let shifted = shift(ahead);
        // Repeated hours belong to the bucket before the change; skipped ones to the bucket behind it.
        if shifted > 0 || (shifted < 0 && self.ahead(end + shifted) == ahead) {
            end = end.saturating_add(shifted);
        }
        (start, end.saturating_add(self.offset))
    }

    /// Says whether no bucket cuts a stretch of this length, as they lie one behind the other from the epoch on.
    pub(super) fn keep_whole(&self, length: i64) -> bool {
        self.interval == 0
            || (self.zone.is_none() && self.interval % length == 0 && self.offset % length == 0)
    }

    /// Returns the start of the bucket behind or before one, as fill walks them.
    pub(super) fn next_start(&self, start: i64, ascending: bool, ahead: &mut i64) -> i64 {
        let step = if ascending {
            self.interval
        } else {
            -self.interval
        };
        let mut next = start.saturating_add(step);
        let now = self.ahead(next - 1);
        if self.zone.is_some() && now != *ahead {
            let shift = *ahead - now;
            if shift.abs() < self.interval {
                next += shift;
            }
            *ahead = now;
        }
        next
    }

    /// Returns how far the zone is ahead at a bucket's start; the state of [`Self::next_start`].
    pub(super) fn ahead_at(&self, start: i64) -> i64 {
        self.ahead(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000_000;

    fn windows(interval: i64, offset: i64, zone: Option<Tz>) -> Windows {
        Windows {
            interval,
            offset,
            zone,
            span: Span::ALL,
        }
    }

    #[test]
    fn offsets_move_the_buckets() {
        assert_eq!(windows(10, 0, None).of(27), (20, 30));
        assert_eq!(windows(10, 3, None).of(27), (23, 33));
        assert_eq!(windows(10, -12, None).of(-1), (-2, 8));
    }

    #[test]
    fn the_day_of_a_clock_change_has_another_length() {
        let berlin = windows(24 * HOUR, 0, Some(Tz::Europe__Berlin));
        let day = |time: &str| {
            let time: DateTime<chrono::Utc> = time.parse().expect("a time");
            let (start, end) = berlin.of(time.timestamp_nanos_opt().expect("in range"));
            (end - start) / HOUR
        };
        assert_eq!(day("2024-03-31T12:00:00Z"), 23);
        assert_eq!(day("2023-10-29T12:00:00Z"), 25);
        assert_eq!(day("2024-04-02T12:00:00Z"), 24);
    }
}
