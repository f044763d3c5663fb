//! Writes answers as JSON, straight from the values into bytes.

use std::io::Write as _;

use chrono::{DateTime, SecondsFormat};
use chrono_tz::Tz;

use super::{Epoch, QueryAnswer, Series, StatementAnswer, Style, Table};
use crate::influxql::formula::Cell;
use crate::store::Value;

/// Numbers outside of these sizes are written with an exponent, as Go writes them.
const PLAIN_MIN: f64 = 1e-6;
const PLAIN_MAX: f64 = 1e21;

pub(super) fn write(answer: &QueryAnswer, style: &Style) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4096);
    if answer.statements.is_empty() {
        bytes.extend_from_slice(b"{}");
    } else {
        bytes.extend_from_slice(b"{\"results\":[");
        for (index, statement) in answer.statements.iter().enumerate() {
            separate(&mut bytes, index);
            let pieces: Vec<Piece<'_>> = statement.series.iter().map(Piece::whole).collect();
            result(&mut bytes, statement, &pieces, false, style);
        }
        bytes.extend_from_slice(b"]}");
    }
    bytes.push(b'\n');
    if style.pretty
        && let Ok(value) = serde_json::from_slice::<serde_json::Value>(&bytes)
        && let Ok(mut pretty) = serde_json::to_vec_pretty(&value)
    {
        pretty.push(b'\n');
        return pretty;
    }
    bytes
}

/// Some rows of a series.
#[derive(Clone, Copy)]
pub(super) struct Piece<'a> {
    pub(super) series: &'a Series,
    pub(super) from: usize,
    pub(super) to: usize,
}

impl<'a> Piece<'a> {
    pub(super) fn whole(series: &'a Series) -> Self {
        Self {
            series,
            from: 0,
            to: series.rows.len(),
        }
    }
}

/// Writes a chunk, which is a document of its own; `partial`: the statement's answer goes on.
pub(super) fn document(
    bytes: &mut Vec<u8>,
    statement: &StatementAnswer,
    piece: Option<Piece<'_>>,
    partial: bool,
    style: &Style,
) {
    bytes.extend_from_slice(b"{\"results\":[");
    result(bytes, statement, piece.as_slice(), partial, style);
    bytes.extend_from_slice(b"]}\n");
}

fn separate(bytes: &mut Vec<u8>, index: usize) {
    if index > 0 {
        bytes.push(b',');
    }
}

fn result(
    bytes: &mut Vec<u8>,
    statement: &StatementAnswer,
    pieces: &[Piece<'_>],
    partial: bool,
    style: &Style,
) {
    // Writing into a vector cannot fail.
    let _ = write!(bytes, "{{\"statement_id\":{}", statement.id);
    if !pieces.is_empty() {
        bytes.extend_from_slice(b",\"series\":[");
        for (index, piece) in pieces.iter().enumerate() {
            separate(bytes, index);
            write_piece(bytes, piece, statement.zone, style);
        }
        bytes.push(b']');
    }
    if let Some(warning) = &statement.warning {
        bytes.extend_from_slice(b",\"messages\":[{\"level\":\"warning\",\"text\":");
        push_text(bytes, warning);
        bytes.extend_from_slice(b"}]");
    }
    if partial {
        bytes.extend_from_slice(b",\"partial\":true");
    }
    if let Some(error) = &statement.error {
        bytes.extend_from_slice(b",\"error\":");
        push_text(bytes, error);
    }
    bytes.push(b'}');
}

fn write_piece(bytes: &mut Vec<u8>, piece: &Piece<'_>, zone: Option<Tz>, style: &Style) {
    let series = piece.series;
    bytes.push(b'{');
    if !series.name.is_empty() {
        bytes.extend_from_slice(b"\"name\":");
        push_text(bytes, &series.name);
        bytes.push(b',');
    }
    if !series.tags.is_empty() {
        bytes.extend_from_slice(b"\"tags\":{");
        for (index, (key, value)) in series.tags.iter().enumerate() {
            separate(bytes, index);
            push_text(bytes, key);
            bytes.push(b':');
            push_text(bytes, value);
        }
        bytes.extend_from_slice(b"},");
    }
    bytes.extend_from_slice(b"\"columns\":[");
    for (index, column) in series.columns.iter().enumerate() {
        separate(bytes, index);
        push_text(bytes, column);
    }
    bytes.push(b']');
    if series.rows.len() > 0 {
        bytes.extend_from_slice(b",\"values\":[");
        match &series.rows {
            Table::Timed(rows) => {
                for (index, row) in rows[piece.from..piece.to].iter().enumerate() {
                    separate(bytes, index);
                    bytes.push(b'[');
                    push_time(bytes, row.time, zone, style.epoch);
                    for cell in &row.cells {
                        bytes.push(b',');
                        push_cell(bytes, cell);
                    }
                    bytes.push(b']');
                }
            }
            Table::Plain(rows) => {
                for (index, row) in rows[piece.from..piece.to].iter().enumerate() {
                    separate(bytes, index);
                    bytes.push(b'[');
                    for (index, cell) in row.iter().enumerate() {
                        separate(bytes, index);
                        push_cell(bytes, cell);
                    }
                    bytes.push(b']');
                }
            }
        }
        bytes.push(b']');
    }
    if piece.to < series.rows.len() {
        bytes.extend_from_slice(b",\"partial\":true");
    }
    bytes.push(b'}');
}

fn push_time(bytes: &mut Vec<u8>, time: i64, zone: Option<Tz>, epoch: Epoch) {
    match epoch {
        Epoch::Nanoseconds(unit) => {
            let _ = write!(bytes, "{}", time / unit);
        }
        Epoch::Rfc3339 => {
            let utc = DateTime::from_timestamp_nanos(time);
            let text = match zone {
                Some(zone) => utc
                    .with_timezone(&zone)
                    .to_rfc3339_opts(SecondsFormat::Nanos, true),
                None => utc.to_rfc3339_opts(SecondsFormat::Nanos, true),
            };
            bytes.push(b'"');
            bytes.extend_from_slice(trimmed(&text).as_bytes());
            bytes.push(b'"');
        }
    }
}

/// Takes the zeros off a time's fraction.
fn trimmed(text: &str) -> String {
    let Some((seconds, rest)) = text.split_once('.') else {
        return text.to_owned();
    };
    let digits = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let (fraction, zone) = rest.split_at(digits);
    match fraction.trim_end_matches('0') {
        "" => format!("{seconds}{zone}"),
        fraction => format!("{seconds}.{fraction}{zone}"),
    }
}

fn push_cell(bytes: &mut Vec<u8>, cell: &Cell) {
    match cell {
        None => bytes.extend_from_slice(b"null"),
        Some(Value::Float(value)) => push_float(bytes, *value),
        Some(Value::Integer(value)) => {
            let _ = write!(bytes, "{value}");
        }
        Some(Value::Unsigned(value)) => {
            let _ = write!(bytes, "{value}");
        }
        Some(Value::Boolean(value)) => {
            let _ = write!(bytes, "{value}");
        }
        Some(Value::Text(text)) => push_text(bytes, text),
    }
}

fn push_float(bytes: &mut Vec<u8>, value: f64) {
    let size = value.abs();
    let _ = if size != 0.0 && !(PLAIN_MIN..PLAIN_MAX).contains(&size) {
        write!(bytes, "{value:e}")
    } else {
        write!(bytes, "{value}")
    };
}

/// Returns a float as answers have it.
pub(in crate::influxql) fn number_text(value: f64) -> String {
    value.to_string()
}

/// Writes a JSON string.
pub(super) fn push_text(bytes: &mut Vec<u8>, text: &str) {
    // A string always serialises.
    let _ = serde_json::to_writer(bytes, text);
}
