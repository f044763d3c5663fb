//! Line protocol: a batch's text becomes lines, and every line gets a verdict of its own.
//!
//! [`scan`] is the one way in. Its invariants:
//!
//! - A refused line never takes its neighbours along, and never panics the scanner, whatever the bytes.
//! - Blank lines and comments are passed over, yet counted: [`Line::number`] is the number an editor shows.
//! - A refusal's column counts bytes from the first byte of the line, blanks before the measurement included, from 1. A line that
//!   spans several rows, because a string or a name holds a newline, has the number of its first row, and its columns count on
//!   across the rows, a newline being one byte: number and column together are one place.
//! - [`Line::bytes`] is the line without its line end (`\n` or `\r\n`) and without the spaces around it, so a line
//!   can be forwarded as the client wrote it.
//! - A line is accepted only if InfluxDB 2 would store it, and as the same point.
//!
//! The text is passed once: `separators` finds the bytes that may separate something, `scanner` walks over them from
//! line to line, `series`, `fields` and `value` judge the parts, `parts` what holds between them. [`Scanner`] stops there,
//! without an allocation; [`scan`] goes on to build a [`Point`] of every accepted line. `key` writes by what a series is known.
//!
//! # Where a verdict differs from InfluxDB 2's, on purpose
//!
//! - CR LF ends a line, where InfluxDB takes the CR for text behind a number.
//! - A comment ends at its newline; in InfluxDB an odd quote behind a blank and an equals sign makes it swallow the lines
//!   behind it, and a backslash before the newline the next one.
//! - A line that is not UTF-8 is refused, because InfluxDB 3 refuses it.
//! - What InfluxDB's parser takes and its storage cannot keep is refused: a field `time`, a string over 1 MiB, a field
//!   without a key or with one that ends in a backslash, a value that is none, a line that makes the parser panic.
//! - What its parser takes and loses is refused: tags behind an escaped comma (`m\,t=a`), text behind a closing quote.

mod separators;

mod scanner;

mod series;

mod field_type;
mod fields;

mod value;

mod parts;

mod point;

mod key;

mod precision;

mod refusal;

#[cfg(test)]
mod tests;

use std::ops::Range;

pub use field_type::FieldType;
pub(crate) use key::push_series_key;
pub use key::series_key;
pub use parts::{FieldSpan, Parts, Span, TagSpan};
pub use point::{FieldValue, Point};
pub use precision::{Precision, PrecisionUnknown};
pub use refusal::{Refusal, Rule};
pub use scanner::{Checkpoint, Judged, Scanner};

/// The earliest time InfluxDB stores, in nanoseconds.
pub const TIME_MIN_NS: i64 = i64::MIN + 2;
/// The latest time InfluxDB stores, in nanoseconds.
pub const TIME_MAX_NS: i64 = i64::MAX - 1;
/// The longest series key and field key together: InfluxDB's index stores the length in 16 bits.
pub const KEY_MAX_BYTES: usize = 65_535;
/// The longest string: InfluxDB's parser takes longer ones, and its storage fails on them.
pub const STRING_MAX_BYTES: usize = 1 << 20;

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

/// Judges every line of a batch, and builds the points of the good ones.
pub fn scan(text: &[u8], precision: Precision) -> impl Iterator<Item = Line<'_>> {
    let mut scanner = Scanner::new(text, precision);
    std::iter::from_fn(move || scanner.next_line().map(Judged::into_line))
}
