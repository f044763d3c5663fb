//! What an accepted line says: its parts with their escapes resolved.

use std::borrow::Cow;

use super::{
    FieldType,
    parts::{FieldSpan, Parts, Span, TagSpan},
    value,
};

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

impl<'a> Point<'a> {
    /// Builds the point of a line that was judged to be good UTF-8.
    #[must_use]
    pub fn of(parts: &Parts, text: &'a [u8]) -> Self {
        Self {
            measurement: parts.measurement_name(text),
            tags: parts
                .tags
                .iter()
                .map(|tag| (tag.key_name(text), tag.value_text(text)))
                .collect(),
            fields: parts
                .fields
                .iter()
                .map(|field| (field.key_name(text), field.value_in(text)))
                .collect(),
            time_ns: parts.time_ns,
        }
    }
}

impl Parts {
    /// The measurement's name.
    #[must_use]
    pub fn measurement_name<'a>(&self, text: &'a [u8]) -> Cow<'a, str> {
        unescaped(self.measurement, text, b", ")
    }
}

impl TagSpan {
    /// The key's name.
    #[must_use]
    pub fn key_name(self, text: &[u8]) -> Cow<'_, str> {
        unescaped(self.key, text, b", =")
    }

    /// What the value says.
    #[must_use]
    pub fn value_text(self, text: &[u8]) -> Cow<'_, str> {
        unescaped(self.value, text, b", =")
    }
}

impl FieldSpan {
    /// The key's name.
    #[must_use]
    pub fn key_name(self, text: &[u8]) -> Cow<'_, str> {
        unescaped(self.key, text, b", =\"")
    }

    /// Reads the value of a field that was judged to be good.
    #[must_use]
    pub fn value_in<'a>(&self, text: &'a [u8]) -> FieldValue<'a> {
        let bytes = self.value.of(text);
        let number = &bytes[..bytes.len() - 1];
        match self.field_type {
            FieldType::Float => FieldValue::Float(value::float(bytes).unwrap_or_default()),
            FieldType::Integer => FieldValue::Integer(
                value::integer(number)
                    .and_then(Result::ok)
                    .unwrap_or_default(),
            ),
            FieldType::Unsigned => {
                FieldValue::Unsigned(value::unsigned(number).unwrap_or_default())
            }
            FieldType::Boolean => FieldValue::Boolean(value::boolean(bytes).unwrap_or_default()),
            FieldType::Text => {
                let within = Span {
                    start: self.value.start + 1,
                    end: self.value.end - 1,
                };
                FieldValue::Text(unescaped(within, text, b"\"\\"))
            }
        }
    }
}

/// Takes the backslashes away that stand before one of `escaped`; all others are text.
fn unescaped<'a>(span: Span, text: &'a [u8], escaped: &[u8]) -> Cow<'a, str> {
    let text = String::from_utf8_lossy(span.of(text));
    if !text.contains('\\') {
        return text;
    }
    let mut resolved = String::with_capacity(text.len());
    let mut rest = text.as_ref();
    while let Some(at) = rest.find('\\') {
        let behind = &rest[at + 1..];
        let skip = usize::from(
            !behind
                .bytes()
                .next()
                .is_some_and(|byte| escaped.contains(&byte)),
        );
        resolved.push_str(&rest[..at + skip]);
        // An escaped byte is ASCII, and is text even if it is a backslash.
        let kept = usize::from(skip == 0);
        resolved.push_str(&behind[..kept]);
        rest = &behind[kept..];
    }
    resolved.push_str(rest);
    Cow::Owned(resolved)
}
