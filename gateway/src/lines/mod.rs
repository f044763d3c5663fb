//! Line protocol: a batch's text becomes lines, and every line gets a verdict of its own.
//!
//! [`scan`] is the one way in. Its invariants:
//!
//! - A refused line never takes its neighbours along, and never panics the scanner, whatever the bytes.
//! - Blank lines and comments are passed over, yet counted: [`Line::number`] is the number an editor shows.
//! - [`Line::bytes`] is the line without its line end (`\n` or `\r\n`) and without the spaces around it, so a line
//!   can be forwarded as the client wrote it.
//! - A line is accepted only if InfluxDB 2 would store it, and as the same point.
//!
//! The crate `influxdb-line-protocol` reads the values. It is laxer than InfluxDB in some places and stricter in
//! others, so `outline` judges a line's structure first, and `parse` the rules on names and lengths after it.

mod outline;
mod parse;
mod precision;
mod refusal;
mod split;
mod value;

use std::{borrow::Cow, ops::Range};

pub use precision::{Precision, PrecisionUnknown};
pub use refusal::{Refusal, Rule};
pub use split::{RawLine, split};

/// The earliest time InfluxDB stores, in nanoseconds.
pub const TIME_MIN_NS: i64 = i64::MIN + 2;
/// The latest time InfluxDB stores, in nanoseconds.
pub const TIME_MAX_NS: i64 = i64::MAX - 1;
/// The longest series key and field key together: InfluxDB's index stores the length in 16 bits.
pub const KEY_MAX_BYTES: usize = 65_535;
/// The longest string: InfluxDB's parser takes longer ones, and its storage fails on them.
pub const STRING_MAX_BYTES: usize = 1 << 20;

/// The value of a field.
#[derive(Debug, Clone, PartialEq)]
pub enum FieldValue<'a> {
    /// `1`, `-0.5`, `1e3`; always finite.
    Float(f64),
    /// `1i`.
    Integer(i64),
    /// `1u`.
    Unsigned(u64),
    /// `"text"`, its escapes resolved.
    Text(Cow<'a, str>),
    /// `t`, `T`, `true`, `True`, `TRUE` and their opposites.
    Boolean(bool),
}

impl FieldValue<'_> {
    /// Copies what is borrowed.
    #[must_use]
    pub fn into_owned(self) -> FieldValue<'static> {
        match self {
            Self::Float(value) => FieldValue::Float(value),
            Self::Integer(value) => FieldValue::Integer(value),
            Self::Unsigned(value) => FieldValue::Unsigned(value),
            Self::Text(value) => FieldValue::Text(Cow::Owned(value.into_owned())),
            Self::Boolean(value) => FieldValue::Boolean(value),
        }
    }
}

/// What an accepted line says.
#[derive(Debug, Clone, PartialEq)]
pub struct Point<'a> {
    /// The measurement's name.
    pub measurement: Cow<'a, str>,
    /// The tags in the client's order; keys are unique.
    pub tags: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// The fields in the client's order, at least one; where a key stands twice, the later value counts.
    pub fields: Vec<(Cow<'a, str>, FieldValue<'a>)>,
    /// The time in nanoseconds since 1970, scaled from the batch's precision; `None`: the time of receipt.
    pub time_ns: Option<i64>,
}

impl Point<'_> {
    /// Copies what is borrowed.
    #[must_use]
    pub fn into_owned(self) -> Point<'static> {
        let own = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Point {
            measurement: own(self.measurement),
            tags: self
                .tags
                .into_iter()
                .map(|(key, value)| (own(key), own(value)))
                .collect(),
            fields: self
                .fields
                .into_iter()
                .map(|(key, value)| (own(key), value.into_owned()))
                .collect(),
            time_ns: self.time_ns,
        }
    }
}

/// A line that is neither blank nor a comment.
#[derive(Debug, Clone, PartialEq)]
pub struct Line<'a> {
    /// Its number in the batch, from 1; a string with newlines makes a line span several.
    pub number: usize,
    /// Where it stands in the batch's text.
    pub bytes: Range<usize>,
    /// The point, or why there is none.
    pub verdict: Result<Point<'a>, Refusal>,
}

/// Judges every line of a batch.
pub fn scan(text: &[u8], precision: Precision) -> impl Iterator<Item = Line<'_>> {
    split(text).map(move |raw| Line {
        number: raw.number,
        verdict: parse::judge(&text[raw.bytes.clone()], precision),
        bytes: raw.bytes,
    })
}

/// Finds the timestamp of an accepted line.
#[must_use]
pub fn timestamp(line: &[u8]) -> Option<Range<usize>> {
    let line = std::str::from_utf8(line).ok()?;
    outline::outline(line).ok()?.timestamp
}
