//! Spans of time such as `7d`, in nanoseconds.

use serde::{Deserialize, Deserializer, de::Error};

const UNITS: [(&str, i64); 5] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
];

/// A span of time that is not negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Age(pub(super) i64);

impl Age {
    fn parse(text: &str) -> Option<Self> {
        let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
        let (_, unit_ns) = UNITS
            .iter()
            .find(|(unit, _)| *unit == &text[digits.len()..])?;
        let number: i64 = digits.parse().ok().filter(|number| *number >= 0)?;
        number.checked_mul(*unit_ns).map(Self)
    }
}

impl<'de> Deserialize<'de> for Age {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            D::Error::custom(format!(
                "{text:?} is no span of time; write a whole number and ms, s, m, h or d, such as 90s, 36h or 7d"
            ))
        })
    }
}

/// Writes a span with its two largest units: `3d 4h`.
pub(super) fn written(span_ns: i64) -> String {
    let first = UNITS.iter().position(|(_, unit_ns)| span_ns >= *unit_ns);
    let Some(first) = first else {
        return format!("{span_ns}ns");
    };
    let (unit, unit_ns) = UNITS[first];
    let whole = format!("{}{unit}", span_ns / unit_ns);
    match UNITS.get(first + 1) {
        Some((next, next_ns)) if span_ns % unit_ns >= *next_ns => {
            format!("{whole} {}{next}", span_ns % unit_ns / next_ns)
        }
        _ => whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_written() {
        for (text, again) in [
            ("90s", "1m 30s"),
            ("36h", "1d 12h"),
            ("7d", "7d"),
            ("5ms", "5ms"),
            ("0s", "0ns"),
        ] {
            assert_eq!(written(Age::parse(text).expect(text).0), again);
        }
        for text in ["", "d", "-1d", "1.5h", "1w", "7 d", "999999999d"] {
            assert_eq!(Age::parse(text), None, "{text}");
        }
    }
}
