//! The unit of a batch's timestamps.

/// The unit of a batch's timestamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Precision {
    /// The default of every dialect.
    #[default]
    Nanoseconds,
    /// `us`, or `u` in version 1.
    Microseconds,
    /// `ms`.
    Milliseconds,
    /// `s`.
    Seconds,
    /// `m`, version 1 only.
    Minutes,
    /// `h`, version 1 only.
    Hours,
}

/// A precision that the dialect does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the precision {word:?} is unknown; use one of {known}")]
pub struct PrecisionUnknown {
    /// What the client asked for.
    pub word: String,
    /// What it may ask for.
    pub known: &'static str,
}

impl Precision {
    /// Reads the `precision` of `/write`: `n`, `ns`, `u`, `us`, `µ`, `ms`, `s`, `m`, `h`; empty is nanoseconds.
    ///
    /// # Errors
    ///
    /// Names the unknown word and those that exist.
    pub fn of_v1(word: &str) -> Result<Self, PrecisionUnknown> {
        match word {
            "" | "n" | "ns" => Ok(Self::Nanoseconds),
            "u" | "us" | "µ" => Ok(Self::Microseconds),
            "ms" => Ok(Self::Milliseconds),
            "s" => Ok(Self::Seconds),
            "m" => Ok(Self::Minutes),
            "h" => Ok(Self::Hours),
            _ => Err(PrecisionUnknown {
                word: word.to_owned(),
                known: "n, u, ms, s, m, h",
            }),
        }
    }

    /// Reads the `precision` of `/api/v2/write`: `ns`, `us`, `ms`, `s`; empty is nanoseconds.
    ///
    /// # Errors
    ///
    /// Names the unknown word and those that exist.
    pub fn of_v2(word: &str) -> Result<Self, PrecisionUnknown> {
        match word {
            "" | "ns" => Ok(Self::Nanoseconds),
            "us" => Ok(Self::Microseconds),
            "ms" => Ok(Self::Milliseconds),
            "s" => Ok(Self::Seconds),
            _ => Err(PrecisionUnknown {
                word: word.to_owned(),
                known: "ns, us, ms, s",
            }),
        }
    }

    /// Reads the `precision` of `/api/v3/write_lp`; empty is nanoseconds, and `auto` is not guessed at.
    ///
    /// # Errors
    ///
    /// Names the unknown word and those that exist.
    pub fn of_v3(word: &str) -> Result<Self, PrecisionUnknown> {
        match word {
            "" | "ns" | "n" | "nanosecond" => Ok(Self::Nanoseconds),
            "us" | "u" | "microsecond" => Ok(Self::Microseconds),
            "ms" | "millisecond" => Ok(Self::Milliseconds),
            "s" | "second" => Ok(Self::Seconds),
            _ => Err(PrecisionUnknown {
                word: word.to_owned(),
                known: "nanosecond, microsecond, millisecond, second",
            }),
        }
    }

    /// The word for it in `precision` of `/write`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Nanoseconds => "n",
            Self::Microseconds => "u",
            Self::Milliseconds => "ms",
            Self::Seconds => "s",
            Self::Minutes => "m",
            Self::Hours => "h",
        }
    }

    /// The nanoseconds in one unit.
    #[must_use]
    pub const fn unit_ns(self) -> i64 {
        match self {
            Self::Nanoseconds => 1,
            Self::Microseconds => 1_000,
            Self::Milliseconds => 1_000_000,
            Self::Seconds => 1_000_000_000,
            Self::Minutes => 60_000_000_000,
            Self::Hours => 3_600_000_000_000,
        }
    }

    /// Scales a timestamp to nanoseconds; `None` where that is beyond what InfluxDB stores.
    #[must_use]
    pub fn to_ns(self, timestamp: i64) -> Option<i64> {
        timestamp
            .checked_mul(self.unit_ns())
            .filter(|time| (super::TIME_MIN_NS..=super::TIME_MAX_NS).contains(time))
    }

    /// Scales nanoseconds down to whole units, towards the past.
    #[must_use]
    pub const fn from_ns(self, time_ns: i64) -> i64 {
        time_ns.div_euclid(self.unit_ns())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dialect_has_its_own_words() {
        assert_eq!(Precision::of_v1("n"), Ok(Precision::Nanoseconds));
        assert_eq!(Precision::of_v1("h"), Ok(Precision::Hours));
        assert_eq!(Precision::of_v2("us"), Ok(Precision::Microseconds));
        assert_eq!(Precision::of_v3("second"), Ok(Precision::Seconds));
        let error = Precision::of_v2("m").expect_err("minutes are version 1's");
        assert_eq!(
            error.to_string(),
            "the precision \"m\" is unknown; use one of ns, us, ms, s"
        );
    }

    #[test]
    fn scaling_beyond_the_range_is_refused() {
        assert_eq!(Precision::Seconds.to_ns(1), Some(1_000_000_000));
        assert_eq!(Precision::Seconds.to_ns(9_223_372_037), None);
        assert_eq!(Precision::Nanoseconds.to_ns(i64::MAX), None);
        assert_eq!(
            Precision::Nanoseconds.to_ns(i64::MAX - 1),
            Some(i64::MAX - 1)
        );
        assert_eq!(Precision::Nanoseconds.to_ns(i64::MIN + 1), None);
        assert_eq!(Precision::Hours.from_ns(-1), -1);
    }
}
