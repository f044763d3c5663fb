//! Where the parts of a line stand in the text, and the rules that hold between them.

use std::ops::Range;

use super::{FieldType, KEY_MAX_BYTES, Refusal, Rule};

/// Tag keys that InfluxDB keeps for its own columns.
const RESERVED_TAGS: [&[u8]; 4] = [b"time", b"_field", b"_measurement", b"\0"];
/// What InfluxDB puts between a series key and a field key, and counts with them.
const KEY_SEPARATOR_BYTES: usize = 4;
/// Up to here every tag is compared with every other one; more are sorted.
const TAGS_FEW: usize = 8;

/// A range of bytes in a text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    /// Its first byte.
    pub start: usize,
    /// The byte behind its last.
    pub end: usize,
}

impl Span {
    /// The bytes it covers.
    #[inline]
    #[must_use]
    pub fn of(self, text: &[u8]) -> &[u8] {
        &text[self.start..self.end]
    }

    /// How many bytes it covers.
    #[must_use]
    pub fn len(self) -> usize {
        self.end - self.start
    }

    /// Whether it covers none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}

impl From<Span> for Range<usize> {
    fn from(span: Span) -> Self {
        span.start..span.end
    }
}

/// A tag, as it is escaped in the text.
#[derive(Debug, Clone, Copy)]
pub struct TagSpan {
    /// Its key.
    pub key: Span,
    /// Its value.
    pub value: Span,
}

/// A field, as it is escaped in the text.
#[derive(Debug, Clone, Copy)]
pub struct FieldSpan {
    /// Its key.
    pub key: Span,
    /// Its value, a text's quotes and a number's letter included.
    pub value: Span,
    /// What the value is.
    pub field_type: FieldType,
}

/// The parts of an accepted line.
#[derive(Debug, Default)]
pub struct Parts {
    /// Where the line's first byte stands, which may be a blank before the measurement: columns count from it.
    pub line_start: usize,
    /// The measurement.
    pub measurement: Span,
    /// The tags in the client's order.
    pub tags: Vec<TagSpan>,
    /// Whether these stand in the order of their keys.
    pub tags_are_sorted: bool,
    /// The fields in the client's order.
    pub fields: Vec<FieldSpan>,
    /// The timestamp's bytes; `None`: the line has none.
    pub timestamp: Option<Span>,
    /// The timestamp in nanoseconds since 1970.
    pub time_ns: Option<i64>,
}

/// Spreads a checksum over 64 bits: checksums are linear, and their sums would meet too often.
fn spread(checksum: u32) -> u64 {
    let mixed = (u64::from(checksum) ^ 0x9E37_79B9_7F4A_7C15).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    (mixed ^ (mixed >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93)
}

impl Parts {
    pub(super) fn clear(&mut self) {
        self.tags.clear();
        self.fields.clear();
        self.timestamp = None;
        self.time_ns = None;
    }

    /// Measurement and tags.
    #[must_use]
    pub fn series(&self) -> Span {
        Span {
            start: self.measurement.start,
            end: self
                .tags
                .last()
                .map_or(self.measurement.end, |tag| tag.value.end),
        }
    }

    /// A number for the line's series: the same for measurement and tags in whatever order, and for others rarely the same.
    ///
    /// Bytes are taken as they stand in the text: what must be escaped can be written in one way only, and a backslash
    /// anywhere else is text.
    #[must_use]
    pub fn series_hash(&self, text: &[u8]) -> u32 {
        let tags = self.tags.iter().map(|tag| {
            let key_and_value = &text[tag.key.start..tag.value.end];
            spread(crc32c::crc32c(key_and_value))
        });
        let measurement = spread(crc32c::crc32c(self.measurement.of(text)));
        let sum = tags.fold(measurement.rotate_left(32), u64::wrapping_add);
        (sum >> 32) as u32 ^ sum as u32
    }

    /// Holds the names of a line to the rules on lengths, reserved names and repetitions.
    pub(super) fn check(&mut self, text: &[u8]) -> Result<(), Refusal> {
        let series_bytes = self.series().len();
        let longest = KEY_MAX_BYTES.saturating_sub(series_bytes + KEY_SEPARATOR_BYTES);
        for field in &self.fields {
            if field.key.len() > longest {
                return Err(Refusal::at(
                    Rule::TooLong,
                    field.key.start - self.line_start,
                    format!(
                        "measurement, tags and this field key together are over {KEY_MAX_BYTES} bytes"
                    ),
                ));
            }
            if field.key.of(text) == b"time" {
                return Err(Refusal::at(
                    Rule::ReservedName,
                    field.key.start - self.line_start,
                    "the field key \"time\" is reserved; rename the field",
                ));
            }
        }
        for tag in &self.tags {
            if RESERVED_TAGS.contains(&tag.key.of(text)) {
                return Err(Refusal::at(
                    Rule::ReservedName,
                    tag.key.start - self.line_start,
                    "this tag key is reserved, as are time, _field and _measurement; rename the tag",
                ));
            }
        }
        // Telegraf sorts its tags, and nothing in order repeats itself.
        self.tags_are_sorted = self
            .tags
            .is_sorted_by(|one, next| one.key.of(text) < next.key.of(text));
        if self.tags_are_sorted {
            return Ok(());
        }
        match self.repeated_tag(text) {
            None => Ok(()),
            Some(key) => Err(Refusal::at(
                Rule::DuplicateTag,
                key.start - self.line_start,
                "this tag key stands twice; a series has one value for each key",
            )),
        }
    }

    fn repeated_tag(&self, text: &[u8]) -> Option<Span> {
        if self.tags.len() <= TAGS_FEW {
            return self.tags.iter().enumerate().find_map(|(index, tag)| {
                let mut before = self.tags[..index].iter();
                before
                    .any(|other| other.key.of(text) == tag.key.of(text))
                    .then_some(tag.key)
            });
        }
        let mut keys: Vec<Span> = self.tags.iter().map(|tag| tag.key).collect();
        keys.sort_by_key(|key| (key.of(text), key.start));
        let repeated = keys
            .windows(2)
            .filter(|pair| pair[0].of(text) == pair[1].of(text));
        repeated.map(|pair| pair[1]).min_by_key(|key| key.start)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use crate::lines::{Precision, Scanner};

    fn hash(line: &str) -> u32 {
        let mut scanner = Scanner::new(line.as_bytes(), Precision::Nanoseconds);
        let judged = scanner.next_line().expect("a line");
        judged.verdict.expect("good").series_hash(line.as_bytes())
    }

    #[test]
    fn a_series_has_one_hash_and_others_have_others() {
        assert_eq!(hash("m,a=1,b=2 f=1 1"), hash("m,b=2,a=1 g=2i 2"));
        assert_eq!(hash(r"m\ x,a=\,\= f=1"), hash(r"m\ x,a=\,\= f=2"));
        let mut seen = HashSet::new();
        for measurement in ["m", "n"] {
            for tags in [
                "", ",a=1", ",a=2", ",b=1", ",a=1,b=2", ",a=2,b=1", ",a=12", ",ab=1",
            ] {
                assert!(
                    seen.insert(hash(&format!("{measurement}{tags} f=1"))),
                    "{measurement}{tags}"
                );
            }
        }
        for host in 0..10_000 {
            seen.insert(hash(&format!(
                "cpu,cpu=cpu0,host=web-{host:05}.example.net f=1"
            )));
        }
        assert!(
            seen.len() >= 10_016 - 2,
            "{} of 10016 are told apart",
            seen.len()
        );
    }
}
