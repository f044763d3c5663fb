//! The verdicts and points of InfluxDB 2 itself, compared with ours.
//!
//! What differs must belong to one of [`DIFFERENCES`], and each of these must really occur: the list is the one in
//! `lines`, and it can neither grow nor go stale unnoticed.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::read::MultiGzDecoder;
use headroom_gateway::lines::{FieldValue, Point, Precision, Refusal, Rule, scan};
use serde::Deserialize;

use crate::support::shared;

#[derive(Deserialize)]
struct Case {
    id: String,
    input_b64: String,
    precision: String,
    default_time_ns: i64,
    influxdb_v2: String,
    points: Option<Vec<Stored>>,
}

/// A point as InfluxDB 2 parsed it, texts in base64.
#[derive(Deserialize)]
struct Stored {
    name: String,
    tags: Option<Vec<(String, String)>>,
    fields: Vec<(String, String, String)>,
    time: i64,
}

/// Why we differ on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Difference {
    /// CR LF ends a line here; there the CR is text behind a value.
    CrLf,
    /// InfluxDB 3 refuses what is not UTF-8.
    NotUtf8,
    /// The storage cannot keep what the parser took: no field key or one cut in two ways, a value that is none, a field
    /// `time`.
    Poison,
    /// The parser itself dies.
    Panic,
    /// The tags behind an escaped comma become part of the measurement.
    TagsLost,
    /// What stands behind a closing quote becomes part of the string.
    TextBehindQuote,
}

const DIFFERENCES: [Difference; 6] = [
    Difference::CrLf,
    Difference::NotUtf8,
    Difference::Poison,
    Difference::Panic,
    Difference::TagsLost,
    Difference::TextBehindQuote,
];

/// A point in a form that compares: tags sorted by key, as InfluxDB keeps them.
#[derive(Debug, PartialEq)]
struct Comparable {
    name: String,
    tags: Vec<(String, String)>,
    fields: Vec<(String, &'static str, String)>,
    time_ns: i64,
}

fn text(encoded: &str) -> String {
    String::from_utf8_lossy(&STANDARD.decode(encoded).expect("base64")).into_owned()
}

fn theirs(point: &Stored) -> Comparable {
    let value = |kind: &str, value: &str| match kind {
        "string" => ("string", text(value)),
        "float" => (
            "float",
            value
                .parse::<f64>()
                .map_or_else(|_| value.to_owned(), |value| value.to_string()),
        ),
        "int" => ("integer", value.to_owned()),
        "uint" => ("unsigned", value.to_owned()),
        _ => ("boolean", value.to_owned()),
    };
    let fields = point.fields.iter().map(|(key, kind, written)| {
        let (kind, value) = value(kind, written);
        (text(key), kind, value)
    });
    Comparable {
        name: text(&point.name),
        tags: point
            .tags
            .iter()
            .flatten()
            .map(|(key, value)| (text(key), text(value)))
            .collect(),
        fields: fields.collect(),
        time_ns: point.time,
    }
}

fn ours(point: Point<'_>, now_ns: i64) -> Comparable {
    let mut tags: Vec<_> = point
        .tags
        .iter()
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect();
    tags.sort();
    let fields = point.fields.into_iter().map(|(key, value)| {
        let (kind, value) = match value {
            FieldValue::Float(value) => ("float", value.to_string()),
            FieldValue::Integer(value) => ("integer", value.to_string()),
            FieldValue::Unsigned(value) => ("unsigned", value.to_string()),
            FieldValue::Text(value) => ("string", value.into_owned()),
            FieldValue::Boolean(value) => ("boolean", value.to_string()),
        };
        (key.into_owned(), kind, value)
    });
    Comparable {
        name: point.measurement.into_owned(),
        tags,
        fields: fields.collect(),
        time_ns: point.time_ns.unwrap_or(now_ns),
    }
}

/// The reason for which a case may differ, if there is one.
fn difference(case: &Case, input: &[u8], refusal: Option<&Refusal>) -> Option<Difference> {
    let stored = case.points.iter().flatten();
    let is_poison = stored
        .flat_map(|point| &point.fields)
        .any(|(key, _, value)| key.is_empty() || text(key) == "time" || value.starts_with("ERR "));
    match refusal {
        _ if case.influxdb_v2 == "panic" => refusal.map(|_| Difference::Panic),
        Some(Refusal {
            rule: Rule::Encoding,
            ..
        }) => Some(Difference::NotUtf8),
        Some(_) if is_poison => Some(Difference::Poison),
        Some(Refusal {
            rule: Rule::Measurement,
            ..
        }) => Some(Difference::TagsLost),
        Some(Refusal {
            rule: Rule::Quotes, ..
        }) => Some(Difference::TextBehindQuote),
        None if input.windows(2).any(|pair| pair == b"\r\n") => Some(Difference::CrLf),
        _ => None,
    }
}

#[test]
fn verdicts_and_points_are_those_of_influxdb() {
    let Some(path) = shared("data/line-protocol/influxdb-v2-verdicts.jsonl.gz") else {
        return;
    };
    let cases = BufReader::new(MultiGzDecoder::new(File::open(path).expect("readable")));
    let (mut total, mut differing) = (0, BTreeMap::<Difference, usize>::new());
    for case in cases.lines() {
        let case: Case = serde_json::from_str(&case.expect("text")).expect("a case");
        let input = STANDARD.decode(&case.input_b64).expect("base64");
        let precision = Precision::of_v2(&case.precision).expect("a precision");
        // A line without a time gets the time of receipt, in whole units there.
        let now_ns = precision.from_ns(case.default_time_ns) * precision.unit_ns();
        total += 1;
        // InfluxDB judges a batch as a whole; we accept it if no line is refused.
        let points: Result<Vec<_>, _> = scan(&input, precision)
            .map(|line| line.verdict.map(|point| ours(point, now_ns)))
            .collect();
        let agrees = match &points {
            Ok(points) => {
                let stored: Vec<_> = case.points.iter().flatten().map(theirs).collect();
                case.influxdb_v2 == "accept" && *points == stored
            }
            Err(_) => case.influxdb_v2 == "reject",
        };
        if !agrees {
            let reason = difference(&case, &input, points.as_ref().err());
            let shown = String::from_utf8_lossy(&input);
            let reason = reason.unwrap_or_else(|| {
                panic!(
                    "{}: InfluxDB says {}, we say {points:?}: {shown:?}",
                    case.id, case.influxdb_v2
                )
            });
            *differing.entry(reason).or_default() += 1;
        }
    }
    println!(
        "{} of {total} cases agree; the others: {differing:?}",
        total - differing.values().sum::<usize>()
    );
    for reason in DIFFERENCES {
        assert!(
            differing.contains_key(&reason),
            "{reason:?} no longer occurs; take it off the list"
        );
    }
}
