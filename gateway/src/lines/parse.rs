//! One line's text becomes a point.

use std::borrow::Cow;

use influxdb_line_protocol::{EscapedStr, FieldValue as Parsed, ParsedLine, parse_lines};

use super::{
    FieldValue, KEY_MAX_BYTES, Point, Precision, Refusal, Rule, STRING_MAX_BYTES,
    outline::{Outline, outline},
    value,
};

/// Tag keys that InfluxDB keeps for its own columns.
const RESERVED_TAGS: [&str; 3] = ["time", "_field", "_measurement"];

/// Judges one line without blanks around it.
pub(super) fn judge(line: &[u8], precision: Precision) -> Result<Point<'_>, Refusal> {
    let line = std::str::from_utf8(line).map_err(|error| {
        Refusal::at(
            Rule::Encoding,
            error.valid_up_to(),
            "the line is not UTF-8 from here on",
        )
    })?;
    let outline = outline(line)?;
    let time_ns = timestamp(line, &outline, precision)?;
    let mut point = if outline.bare_points.is_empty() {
        point_of(&line[..outline.fields_end], &outline)?
    } else {
        point_of(&with_digits(line, &outline), &outline)?.into_owned()
    };
    point.time_ns = time_ns;
    check_names(&point, &outline)?;
    Ok(point)
}

fn timestamp(line: &str, outline: &Outline, precision: Precision) -> Result<Option<i64>, Refusal> {
    let Some(range) = outline.timestamp.clone() else {
        return Ok(None);
    };
    let start = range.start;
    line[range]
        .parse()
        .ok()
        .and_then(|timestamp| precision.to_ns(timestamp))
        .map(Some)
        .ok_or_else(|| {
            Refusal::at(
                Rule::TimeRange,
                start,
                "the timestamp is outside the years 1677 to 2262; check the precision of the request",
            )
        })
}

/// The measurement, tags and fields as the parser wants floats written.
fn with_digits(line: &str, outline: &Outline) -> String {
    let mut text = String::with_capacity(outline.fields_end + outline.bare_points.len());
    let mut copied = 0;
    for range in &outline.bare_points {
        text.push_str(&line[copied..range.start]);
        text.push_str(&value::with_digits(&line[range.clone()]));
        copied = range.end;
    }
    text.push_str(&line[copied..outline.fields_end]);
    text
}

fn point_of<'a>(text: &'a str, outline: &Outline) -> Result<Point<'a>, Refusal> {
    // The outline has found one line; where the parser sees another structure, backslashes read in two ways.
    let two_readings = || {
        Refusal::whole(
            Rule::Field,
            "backslashes before a separator can be read in two ways; a name may not end in a backslash",
        )
    };
    let mut lines = parse_lines(text);
    let parsed = lines.next().ok_or_else(two_readings)?;
    let parsed = parsed.map_err(|error| match error {
        influxdb_line_protocol::Error::EndsWithBackslash => {
            Refusal::whole(Rule::Tag, "a name or a tag's value ends in a backslash")
        }
        _ => two_readings(),
    })?;
    let tags = parsed.series.tag_set.iter().flatten().count();
    if tags != outline.tags || parsed.field_set.len() != outline.fields || lines.next().is_some() {
        return Err(two_readings());
    }
    Ok(convert(parsed))
}

fn convert(parsed: ParsedLine<'_>) -> Point<'_> {
    Point {
        measurement: text(parsed.series.measurement),
        tags: parsed
            .series
            .tag_set
            .into_iter()
            .flatten()
            .map(|(key, value)| (text(key), text(value)))
            .collect(),
        fields: parsed
            .field_set
            .into_iter()
            .map(|(key, value)| (text(key), field_value(value)))
            .collect(),
        time_ns: None,
    }
}

fn text(escaped: EscapedStr<'_>) -> Cow<'_, str> {
    match escaped {
        EscapedStr::SingleSlice(slice) => Cow::Borrowed(slice),
        EscapedStr::CopiedValue(copied) => Cow::Owned(copied),
    }
}

fn field_value(value: Parsed<'_>) -> FieldValue<'_> {
    match value {
        Parsed::F64(value) => FieldValue::Float(value),
        Parsed::I64(value) => FieldValue::Integer(value),
        Parsed::U64(value) => FieldValue::Unsigned(value),
        Parsed::String(value) => FieldValue::Text(text(value)),
        Parsed::Boolean(value) => FieldValue::Boolean(value),
    }
}

fn check_names(point: &Point<'_>, outline: &Outline) -> Result<(), Refusal> {
    for (index, (key, _)) in point.tags.iter().enumerate() {
        if RESERVED_TAGS.contains(&key.as_ref()) {
            return Err(Refusal::whole(
                Rule::ReservedName,
                format!("the tag key {key:?} is reserved; rename the tag"),
            ));
        }
        if point.tags[..index].iter().any(|(other, _)| other == key) {
            return Err(Refusal::whole(
                Rule::DuplicateTag,
                "a tag key stands twice; a series has one value for each key",
            ));
        }
    }
    for (key, value) in &point.fields {
        if key == "time" {
            return Err(Refusal::whole(
                Rule::ReservedName,
                "the field key \"time\" is reserved; rename the field",
            ));
        }
        if outline.series_end + key.len() > KEY_MAX_BYTES {
            return Err(Refusal::whole(
                Rule::TooLong,
                format!("measurement, tags and field key together are over {KEY_MAX_BYTES} bytes"),
            ));
        }
        if matches!(value, FieldValue::Text(text) if text.len() > STRING_MAX_BYTES) {
            return Err(Refusal::whole(
                Rule::TooLong,
                format!("a string is over {STRING_MAX_BYTES} bytes"),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
