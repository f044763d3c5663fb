//! Why a line was refused.

use std::{borrow::Cow, fmt};

/// The rule that a line broke; the label of the rejected-lines metric. A word, once given, keeps its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// The line is not UTF-8.
    Encoding,
    /// The measurement is missing or malformed.
    Measurement,
    /// A tag is malformed.
    Tag,
    /// A tag key stands twice.
    DuplicateTag,
    /// A name that InfluxDB keeps for itself.
    ReservedName,
    /// The fields are missing or malformed.
    Field,
    /// A field's value is no number, string or boolean.
    Value,
    /// A number beyond its type's range.
    NumberRange,
    /// A string's quotes do not close.
    Quotes,
    /// The timestamp is malformed.
    Timestamp,
    /// The timestamp is beyond what can be stored.
    TimeRange,
    /// A key or a string is too long.
    TooLong,
    /// The field has another type in the store.
    FieldType,
    /// The point is older than its retention policy keeps.
    Retention,
    /// The series is new, and as many new ones have come as may.
    SeriesLimit,
    /// The contract does not name the measurement.
    ContractMeasurement,
    /// A tag is missing that the contract requires.
    ContractTagRequired,
    /// The contract does not name the tag.
    ContractTag,
    /// A tag's value is not of the contract's pattern.
    ContractTagPattern,
    /// The contract does not name the field.
    ContractField,
    /// The field is of none of the contract's types.
    ContractFieldType,
    /// The point is older than the contract allows.
    ContractPast,
    /// The point lies further ahead than the contract allows.
    ContractFuture,
    /// The token may not write the measurement.
    TokenMeasurement,
    /// The token may not write points of the host.
    TokenHost,
    /// The upstream server refused the line.
    Upstream,
}

impl Rule {
    /// The word in metrics and logs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Encoding => "encoding",
            Self::Measurement => "measurement",
            Self::Tag => "tag",
            Self::DuplicateTag => "duplicate_tag",
            Self::ReservedName => "reserved_name",
            Self::Field => "field",
            Self::Value => "value",
            Self::NumberRange => "number_range",
            Self::Quotes => "quotes",
            Self::Timestamp => "timestamp",
            Self::TimeRange => "time_range",
            Self::TooLong => "too_long",
            Self::FieldType => "field_type",
            Self::Retention => "retention",
            Self::SeriesLimit => "series_limit",
            Self::ContractMeasurement => "contract_measurement",
            Self::ContractTagRequired => "contract_tag_required",
            Self::ContractTag => "contract_tag",
            Self::ContractTagPattern => "contract_tag_pattern",
            Self::ContractField => "contract_field",
            Self::ContractFieldType => "contract_field_type",
            Self::ContractPast => "contract_past",
            Self::ContractFuture => "contract_future",
            Self::TokenMeasurement => "token_measurement",
            Self::TokenHost => "token_host",
            Self::Upstream => "upstream",
        }
    }
}

/// Says why a line was refused and what would be right. The reason never repeats the line's content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    /// The rule that was broken.
    pub rule: Rule,
    /// The byte in the line where it was, from 1, blanks before the line and newlines within it counted; `None` where the
    /// whole line is meant.
    pub column: Option<usize>,
    /// What was wrong, and what would be right.
    pub reason: Cow<'static, str>,
}

impl Refusal {
    /// Refuses a line for what stands at an offset from its first byte.
    pub fn at(rule: Rule, offset: usize, reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            rule,
            column: Some(offset + 1),
            reason: reason.into(),
        }
    }

    /// Refuses a line as a whole.
    pub fn whole(rule: Rule, reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            rule,
            column: None,
            reason: reason.into(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(column) = self.column {
            write!(f, "column {column}: ")?;
        }
        f.write_str(&self.reason)
    }
}
