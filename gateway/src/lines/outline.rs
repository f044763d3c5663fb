//! A line's structure: where its parts stand, and whether each is complete.
//!
//! `measurement[,key=value…] key=value[,key=value…] [timestamp]`. In the series a backslash escapes the byte behind it
//! whatever precedes it; in fields backslashes pair, as in InfluxDB's parser.

use std::ops::Range;

use super::{
    Refusal, Rule,
    value::{self, Form},
};

/// Where the parts of a well-formed line stand.
#[derive(Debug, Default)]
pub(super) struct Outline {
    /// The end of measurement and tags.
    pub(super) series_end: usize,
    /// How many tags there are.
    pub(super) tags: usize,
    /// How many fields there are.
    pub(super) fields: usize,
    /// The end of the fields.
    pub(super) fields_end: usize,
    /// The timestamp's bytes.
    pub(super) timestamp: Option<Range<usize>>,
    /// Floats that the parser wants written with a digit on both sides of the point.
    pub(super) bare_points: Vec<Range<usize>>,
}

/// Finds the parts of a line without blanks around it.
pub(super) fn outline(line: &str) -> Result<Outline, Refusal> {
    let mut outline = Outline::default();
    let bytes = line.as_bytes();
    let mut at = measurement_end(bytes)?;
    while bytes[at] == b',' {
        at = tag_end(bytes, at + 1)?;
        outline.tags += 1;
    }
    outline.series_end = at;
    at = skip_spaces(bytes, at);
    loop {
        at = field_end(line, at, &mut outline)?;
        outline.fields += 1;
        if bytes.get(at) != Some(&b',') {
            break;
        }
        at += 1;
    }
    outline.fields_end = at;
    at = skip_spaces(bytes, at);
    if at < bytes.len() {
        if !is_integer(&bytes[at..]) {
            return Err(Refusal::at(
                Rule::Timestamp,
                at,
                "what follows the fields is no timestamp; a timestamp is one whole number, and nothing stands behind it",
            ));
        }
        outline.timestamp = Some(at..bytes.len());
    }
    Ok(outline)
}

fn skip_spaces(bytes: &[u8], from: usize) -> usize {
    from + bytes[from..]
        .iter()
        .take_while(|byte| **byte == b' ')
        .count()
}

fn is_integer(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

fn missing_fields(at: usize) -> Refusal {
    Refusal::at(
        Rule::Field,
        at,
        "the line has no fields; write `measurement,tag=value field=1`",
    )
}

/// Refuses the bytes that no name may hold.
fn check_name_byte(byte: u8, at: usize, rule: Rule) -> Result<(), Refusal> {
    match byte {
        b'\t' => Err(Refusal::at(
            rule,
            at,
            "a tab stands in a name; the parts of a line are separated by spaces",
        )),
        0 => Err(Refusal::at(rule, at, "a NUL stands in a name")),
        _ => Ok(()),
    }
}

fn measurement_end(bytes: &[u8]) -> Result<usize, Refusal> {
    if bytes.first() == Some(&b',') {
        return Err(Refusal::at(
            Rule::Measurement,
            0,
            "the measurement is missing before the tags",
        ));
    }
    for at in 0..bytes.len() {
        check_name_byte(bytes[at], at, Rule::Measurement)?;
        if matches!(bytes[at], b',' | b' ') && at > 0 && bytes[at - 1] != b'\\' {
            return Ok(at);
        }
    }
    Err(missing_fields(bytes.len()))
}

/// Passes over one tag; ends at the comma or the space behind it.
fn tag_end(bytes: &[u8], start: usize) -> Result<usize, Refusal> {
    let escaped = |at: usize| at > start && bytes[at - 1] == b'\\';
    let refuse = |at, reason| Err(Refusal::at(Rule::Tag, at, reason));
    let mut at = start;
    loop {
        match bytes.get(at) {
            Some(b'=') if !escaped(at) => break,
            None | Some(b',' | b' ') if at == start => {
                return refuse(at, "a tag is missing behind the comma; write `,key=value`");
            }
            None => return refuse(at, "a tag has no value; write `key=value`"),
            Some(b',' | b' ') if !escaped(at) => {
                return refuse(at, "a tag has no value; write `key=value`");
            }
            Some(byte) => check_name_byte(*byte, at, Rule::Tag)?,
        }
        at += 1;
    }
    if at == start {
        return refuse(at, "a tag has no key; write `key=value`");
    }
    let value_start = at + 1;
    at = value_start;
    loop {
        let escaped = at > value_start && bytes[at - 1] == b'\\';
        match bytes.get(at) {
            None if at > value_start => return Err(missing_fields(at)),
            None | Some(b',' | b' ') if at == value_start => {
                return refuse(at, "a tag's value is empty; leave the tag out instead");
            }
            Some(b',' | b' ') if !escaped => return Ok(at),
            Some(b'=') if !escaped => {
                return refuse(at, "a tag's value holds an equals sign; write it as `\\=`");
            }
            Some(byte) => check_name_byte(*byte, at, Rule::Tag)?,
            None => return Err(missing_fields(at)),
        }
        at += 1;
    }
}

/// Passes over one field; ends at the comma or the space behind it, or at the line's end.
fn field_end(line: &str, start: usize, outline: &mut Outline) -> Result<usize, Refusal> {
    let bytes = line.as_bytes();
    let refuse = |at, reason| Err(Refusal::at(Rule::Field, at, reason));
    let mut at = start;
    loop {
        match bytes.get(at) {
            Some(b'=') => break,
            None if outline.fields == 0 => {
                return Err(missing_fields(at));
            }
            None | Some(b',' | b' ') if at == start => {
                return refuse(
                    at,
                    "a field is missing behind the comma; write `,key=value`",
                );
            }
            None | Some(b',' | b' ') => {
                return refuse(at, "a field has no value; write `key=value`");
            }
            Some(b'\\') if at + 1 < bytes.len() => {
                check_name_byte(bytes[at + 1], at + 1, Rule::Field)?;
                at += 2;
            }
            Some(byte) => {
                check_name_byte(*byte, at, Rule::Field)?;
                at += 1;
            }
        }
    }
    if at == start {
        return refuse(at, "a field has no key; write `key=value`");
    }
    let value_start = at + 1;
    if bytes.get(value_start) == Some(&b'"') {
        return string_end(bytes, value_start);
    }
    let end = bytes[value_start..]
        .iter()
        .position(|byte| matches!(byte, b',' | b' '))
        .map_or(bytes.len(), |length| value_start + length);
    if end == value_start {
        return refuse(end, "a field's value is empty; leave the field out instead");
    }
    if value::judge(&line[value_start..end], value_start)? == Form::BarePoint {
        outline.bare_points.push(value_start..end);
    }
    Ok(end)
}

fn string_end(bytes: &[u8], start: usize) -> Result<usize, Refusal> {
    let mut at = start + 1;
    loop {
        match bytes.get(at) {
            None => {
                return Err(Refusal::at(
                    Rule::Quotes,
                    start,
                    "the string's closing quote is missing",
                ));
            }
            Some(b'\\') => at += 2,
            Some(b'"') => break,
            Some(_) => at += 1,
        }
    }
    match bytes.get(at + 1) {
        None | Some(b',' | b' ') => Ok(at + 1),
        Some(_) => Err(Refusal::at(
            Rule::Quotes,
            at + 1,
            "text stands behind the string's closing quote; write a quote inside a string as `\\\"`",
        )),
    }
}
