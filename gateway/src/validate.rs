//! Says what would become of every line of a text, and stores nothing.

use std::{
    io::{self, Write},
    sync::Arc,
};

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    guard::Contract,
    lines::{Checkpoint, FieldValue, Judged, Line, Point, Precision, Scanner},
};

/// What lines are held to.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The unit of the timestamps.
    pub precision: Precision,
    /// What may come; `None`: whatever is well formed.
    pub contract: Option<Arc<Contract>>,
    /// The time now, in nanoseconds since 1970, from which the contract's bounds count.
    pub now_ns: i64,
}

impl Rules {
    /// Holds a line that was scanned to the contract.
    fn judge<'s, 'a>(&self, mut line: Judged<'s, 'a>, text: &[u8]) -> Judged<'s, 'a> {
        if let Some(contract) = &self.contract {
            line.verdict = line.verdict.and_then(|parts| {
                contract.judge(parts, text, self.now_ns)?;
                Ok(parts)
            });
        }
        line
    }
}

/// What would become of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It would be stored.
    Accept,
    /// It would be refused.
    Reject,
}

/// One line's report.
#[derive(Debug, Serialize, ToSchema)]
pub struct LineReport<'a> {
    /// The line's number, from 1, as an editor shows.
    #[schema(example = 3)]
    pub line: usize,
    /// What would become of it.
    pub verdict: Verdict,
    /// Why it would be refused.
    pub reason: Option<String>,
    /// The byte in the line that the reason is about, from 1, blanks before the line and newlines within it counted; null
    /// where the whole line is meant.
    pub column: Option<usize>,
    /// What it says, if it is accepted.
    #[schema(inline)]
    pub point: Option<PointReport<'a>>,
}

/// What an accepted line says, in the order of the line and with what stands in it twice.
#[derive(Debug, Serialize, ToSchema)]
pub struct PointReport<'a> {
    /// The measurement's name.
    #[schema(example = "cpu")]
    pub measurement: &'a str,
    /// Key and value of every tag.
    #[schema(example = json!([["host", "web-1"]]))]
    pub tags: Vec<(&'a str, &'a str)>,
    /// Name, type and value of every field.
    #[schema(value_type = Vec<Vec<Value>>, example = json!([["usage_idle", "float", 92.5]]))]
    pub fields: Vec<(&'a str, &'static str, ReportedValue<'a>)>,
    /// The time in nanoseconds since 1970; null: the time of receipt.
    #[schema(example = 1_735_689_600_000_000_000_i64)]
    pub time_ns: Option<i64>,
}

/// A value in JSON.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum ReportedValue<'a> {
    /// A finite number.
    Float(f64),
    /// A signed integer.
    Integer(i64),
    /// An unsigned integer.
    Unsigned(u64),
    /// A text.
    Text(&'a str),
    /// A boolean.
    Boolean(bool),
}

impl<'a> LineReport<'a> {
    /// Reports on a line.
    #[must_use]
    pub fn of(line: &'a Line<'_>) -> Self {
        let refusal = line.verdict.as_ref().err();
        Self {
            line: line.number,
            verdict: if refusal.is_none() {
                Verdict::Accept
            } else {
                Verdict::Reject
            },
            reason: refusal.map(|refusal| refusal.reason.to_string()),
            column: refusal.and_then(|refusal| refusal.column),
            point: line.verdict.as_ref().ok().map(PointReport::of),
        }
    }
}

impl<'a> PointReport<'a> {
    fn of(point: &'a Point<'_>) -> Self {
        let value = |value: &'a FieldValue<'_>| match value {
            FieldValue::Float(value) => ("float", ReportedValue::Float(*value)),
            FieldValue::Integer(value) => ("integer", ReportedValue::Integer(*value)),
            FieldValue::Unsigned(value) => ("unsigned", ReportedValue::Unsigned(*value)),
            FieldValue::Text(value) => ("string", ReportedValue::Text(value)),
            FieldValue::Boolean(value) => ("boolean", ReportedValue::Boolean(*value)),
        };
        let fields = point.fields.iter().map(|(name, written)| {
            let (kind, value) = value(written);
            (name.as_ref(), kind, value)
        });
        Self {
            measurement: &point.measurement,
            tags: point
                .tags
                .iter()
                .map(|(key, value)| (key.as_ref(), value.as_ref()))
                .collect(),
            fields: fields.collect(),
            time_ns: point.time_ns,
        }
    }
}

/// How a report is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ReportFormat {
    /// `NAME:LINE:COLUMN: reason` for every refused line.
    #[default]
    Text,
    /// One JSON object for every line that is neither blank nor a comment.
    Json,
}

/// How many lines there were, and how many of them would be refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// All lines, blanks and comments aside.
    pub lines: usize,
    /// Those that would be refused.
    pub rejected: usize,
}

/// Writes the report on a whole text.
///
/// # Errors
///
/// Fails if the report cannot be written.
pub fn write_report(
    name: &str,
    text: &[u8],
    rules: &Rules,
    format: ReportFormat,
    mut out: impl Write,
) -> io::Result<Tally> {
    let mut tally = Tally::default();
    let mut scanner = Scanner::new(text, rules.precision);
    while let Some(line) = scanner.next_line() {
        let judged = rules.judge(line, text);
        tally.lines += 1;
        tally.rejected += usize::from(judged.verdict.is_err());
        match (format, &judged.verdict) {
            (ReportFormat::Json, _) => write_json(&judged.into_line(), &mut out)?,
            (ReportFormat::Text, Ok(_)) => {}
            (ReportFormat::Text, Err(refusal)) => {
                let column = refusal.column.unwrap_or(1);
                writeln!(out, "{name}:{}:{column}: {}", judged.number, refusal.reason)?;
            }
        }
    }
    out.flush()?;
    Ok(tally)
}

/// Writes the JSON report on the lines from a place on, up to about `size_bytes` of it; answers where to go on, or `None`
/// behind the last line.
///
/// # Errors
///
/// Fails only if memory cannot be written to.
pub fn json_from(
    text: &[u8],
    rules: &Rules,
    checkpoint: Checkpoint,
    size_bytes: usize,
) -> io::Result<(Vec<u8>, Option<Checkpoint>)> {
    let mut report = Vec::with_capacity(size_bytes);
    let mut scanner = Scanner::resume(text, rules.precision, checkpoint);
    while report.len() < size_bytes {
        match scanner.next_line() {
            Some(line) => write_json(&rules.judge(line, text).into_line(), &mut report)?,
            None => return Ok((report, None)),
        }
    }
    Ok((report, Some(scanner.checkpoint())))
}

fn write_json(line: &Line<'_>, mut out: impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut out, &LineReport::of(line))?;
    out.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# c\nm,b=1,a=2 f=1,n=2i,f=t,u=3u,s=\"x\ny\" 5\n\nm f=oops\nm f=1";

    fn in_seconds() -> Rules {
        Rules {
            precision: Precision::Seconds,
            contract: None,
            now_ns: 0,
        }
    }

    #[test]
    fn json_has_one_object_a_line_with_everything_in_its_order() {
        let mut report = Vec::new();
        let tally = write_report(
            "-",
            TEXT.as_bytes(),
            &in_seconds(),
            ReportFormat::Json,
            &mut report,
        );
        assert_eq!(
            tally.expect("memory"),
            Tally {
                lines: 3,
                rejected: 1
            }
        );
        let lines: Vec<serde_json::Value> = String::from_utf8(report)
            .expect("UTF-8")
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        assert_eq!(
            lines[0],
            serde_json::json!({
                "line": 2, "verdict": "accept", "reason": null, "column": null,
                "point": {
                    "measurement": "m",
                    "tags": [["b", "1"], ["a", "2"]],
                    "fields": [
                        ["f", "float", 1.0], ["n", "integer", 2], ["f", "boolean", true], ["u", "unsigned", 3], ["s", "string", "x\ny"],
                    ],
                    "time_ns": 5_000_000_000_i64,
                },
            })
        );
        assert_eq!(
            (&lines[1]["line"], &lines[1]["column"]),
            (&5.into(), &5.into())
        );
        assert_eq!(
            (&lines[1]["verdict"], &lines[1]["point"]),
            (&"reject".into(), &serde_json::Value::Null)
        );
        assert_eq!(lines[2]["point"]["time_ns"], serde_json::Value::Null);
    }

    #[test]
    fn text_names_file_line_and_column_of_what_is_refused() {
        let mut report = Vec::new();
        write_report(
            "a.lp",
            TEXT.as_bytes(),
            &in_seconds(),
            ReportFormat::Text,
            &mut report,
        )
        .expect("memory");
        let report = String::from_utf8(report).expect("UTF-8");
        assert!(
            report.starts_with("a.lp:5:5: the value is no number"),
            "{report}"
        );
        assert_eq!(report.lines().count(), 1);
    }

    #[test]
    fn a_report_in_parts_is_the_report() {
        let mut whole = Vec::new();
        write_report(
            "-",
            TEXT.as_bytes(),
            &in_seconds(),
            ReportFormat::Json,
            &mut whole,
        )
        .expect("memory");
        let (mut parts, mut checkpoint) = (Vec::new(), Some(Checkpoint::default()));
        while let Some(from) = checkpoint {
            let (part, next) = json_from(TEXT.as_bytes(), &in_seconds(), from, 1).expect("memory");
            parts.extend(part);
            checkpoint = next;
        }
        assert_eq!(parts, whole);
    }
}
