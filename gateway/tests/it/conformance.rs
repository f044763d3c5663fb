//! The verdicts and points of InfluxDB 2 itself, compared with ours.
//!
//! Every line that differs must show one of the [`DIFFERENCES`] in its bytes, and each of these must really occur: the list
//! is the one in `lines`, and it can neither grow nor go stale unnoticed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{BufRead, BufReader},
    ops::Range,
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
    error: Option<String>,
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
    /// A comment ends at its newline here; there it may take lines along.
    Comment,
    /// InfluxDB 3 refuses what is not UTF-8.
    NotUtf8,
    /// The storage cannot keep what the parser took: a field without a key, or with one that ends in a backslash; a field `time`.
    Poison,
    /// The parser itself dies.
    Panic,
    /// The tags behind an escaped comma become part of the measurement.
    TagsLost,
    /// What stands behind a closing quote becomes part of the string.
    TextBehindQuote,
}

const DIFFERENCES: [Difference; 7] = [
    Difference::CrLf,
    Difference::Comment,
    Difference::NotUtf8,
    Difference::Poison,
    Difference::Panic,
    Difference::TagsLost,
    Difference::TextBehindQuote,
];

/// What the recorded inputs lack, with what InfluxDB 2.7.12's parser makes of it: points with one field `f` that is their time.
const COMMENTS: [(&str, &[(&str, i64)]); 6] = [
    ("# a quote = \"\nm f=1 1\nn f=2 2", &[]),
    ("# a quote = \"\nm f=1 1\n# \"\nn f=2 2", &[("n", 2)]),
    ("# two = \"\"\nm f=1 1", &[("m", 1)]),
    ("# without an equals sign\"\nm f=1 1", &[("m", 1)]),
    ("#a-blank=\"\nm f=1 1", &[("m", 1)]),
    ("# a backslash \\\nm f=1 1\nn f=2 2", &[("n", 2)]),
];

/// A point in a form that compares: tags sorted by key, as InfluxDB keeps them.
#[derive(Debug, Clone, PartialEq)]
struct Comparable {
    name: String,
    tags: Vec<(String, String)>,
    fields: Vec<(String, &'static str, String)>,
    time_ns: i64,
}

/// A line with its place in the input.
type Judged = (Range<usize>, Result<Comparable, Refusal>);

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

fn cases_about_comments() -> impl Iterator<Item = Case> {
    COMMENTS.into_iter().map(|(input, stored)| {
        let stored = stored.iter().map(|(name, time)| Stored {
            name: STANDARD.encode(name),
            tags: None,
            fields: vec![(STANDARD.encode("f"), "float".to_owned(), time.to_string())],
            time: *time,
        });
        Case {
            id: "about comments".to_owned(),
            input_b64: STANDARD.encode(input),
            precision: "ns".to_owned(),
            default_time_ns: 0,
            influxdb_v2: "accept".to_owned(),
            error: None,
            points: Some(stored.collect()),
        }
    })
}

/// The reasons for which a case may differ; `None` where one of its lines has none.
fn differences(case: &Case, input: &[u8], lines: &[Judged]) -> Option<BTreeSet<Difference>> {
    let stored: Vec<_> = case.points.iter().flatten().collect();
    let refused = lines
        .iter()
        .find_map(|(bytes, verdict)| Some((&input[bytes.clone()], verdict.as_ref().err()?)));
    let one = match (case.influxdb_v2.as_str(), refused) {
        ("panic", Some((line, refusal))) => is_misread(line, refusal).then_some(Difference::Panic),
        ("reject", None) => only_cr_is_refused(case, input).then_some(Difference::CrLf),
        ("accept", None) if cr_ends_a_text(input, lines, &stored) => Some(Difference::CrLf),
        ("accept", None) => takes_lines_along(input, lines, &stored).then_some(Difference::Comment),
        ("accept", Some(_)) if lines.len() == stored.len() => {
            let pairs = lines.iter().zip(stored);
            let reasons = pairs.filter_map(|((bytes, verdict), stored)| match verdict {
                Ok(point) if *point == theirs(stored) => None,
                Ok(_) => Some(None),
                Err(refusal) => Some(refused_alone(&input[bytes.clone()], refusal, stored)),
            });
            return reasons.collect();
        }
        _ => None,
    };
    one.map(|one| BTreeSet::from([one]))
}

/// Why we refuse a line that InfluxDB stores.
fn refused_alone(line: &[u8], refusal: &Refusal, stored: &Stored) -> Option<Difference> {
    let at = &line[refusal.column? - 1..];
    let before = &line[..refusal.column? - 1];
    let is_poison = stored
        .fields
        .iter()
        .any(|(key, _, value)| key.is_empty() || text(key) == "time" || value.starts_with("ERR "));
    match refusal.rule {
        Rule::Encoding => std::str::from_utf8(line)
            .is_err()
            .then_some(Difference::NotUtf8),
        Rule::ReservedName => (at.starts_with(b"time=") && is_poison).then_some(Difference::Poison),
        Rule::Field => {
            let has_no_key = at.starts_with(b"=");
            (has_no_key || is_misread(line, refusal) && is_poison).then_some(Difference::Poison)
        }
        Rule::Measurement => {
            let comma_is_escaped = before.windows(2).any(|pair| pair == b"\\,");
            let is_lost = stored.tags.iter().flatten().next().is_none();
            (at.starts_with(b"=") && comma_is_escaped && is_lost).then_some(Difference::TagsLost)
        }
        Rule::Quotes => is_misread(line, refusal).then_some(Difference::TextBehindQuote),
        _ => None,
    }
}

/// Says whether a line is refused where InfluxDB's parser loses its way: at a field key that ends in a backslash, or behind a
/// closing quote.
fn is_misread(line: &[u8], refusal: &Refusal) -> bool {
    let (before, at) = line.split_at(refusal.column.map_or(0, |column| column - 1));
    match refusal.rule {
        Rule::Field => at.starts_with(b"\\="),
        Rule::Quotes => before.ends_with(b"\"") && !matches!(at, [] | [b',' | b' ', ..]),
        _ => false,
    }
}

/// Says whether all that InfluxDB refuses are lines that end in a CR.
fn only_cr_is_refused(case: &Case, input: &[u8]) -> bool {
    let error = case.error.as_deref().unwrap_or_default();
    let mut refused = error.split("unable to parse '").skip(1);
    has_cr_lf(input) && refused.all(|line| line.contains("\r': "))
}

/// Says whether InfluxDB stores our points, but that a CR behind a text makes the closing quote a part of it.
fn cr_ends_a_text(input: &[u8], lines: &[Judged], stored: &[&Stored]) -> bool {
    let in_influxdb = lines.iter().map(|(bytes, point)| {
        let mut point = point.clone().ok()?;
        if input[bytes.end..].starts_with(b"\r\n")
            && let Some((_, "string", value)) = point.fields.last_mut()
        {
            value.push('"');
        }
        Some(point)
    });
    let in_influxdb: Option<Vec<_>> = in_influxdb.collect();
    has_cr_lf(input) && in_influxdb == Some(stored.iter().map(|point| theirs(point)).collect())
}

fn has_cr_lf(input: &[u8]) -> bool {
    input.windows(2).any(|pair| pair == b"\r\n")
}

/// Says whether InfluxDB stores our points but those behind a comment that goes on there.
fn takes_lines_along(input: &[u8], lines: &[Judged], stored: &[&Stored]) -> bool {
    let place = |text: &[u8], byte| memchr::memchr(byte, text).unwrap_or(text.len());
    let goes_on = |comment: &[u8]| {
        let fields = &comment[place(comment, b' ')..];
        let value = &fields[place(fields, b'=')..];
        memchr::memchr_iter(b'"', value).count() % 2 == 1 || comment.ends_with(b"\\")
    };
    let first = input
        .split_inclusive(|byte| *byte == b'\n')
        .scan(0, |end, line| {
            *end += line.len();
            Some((*end, line.trim_ascii_start()))
        })
        .find(|(_, line)| {
            let comment = line.strip_suffix(b"\n").unwrap_or(line);
            comment.starts_with(b"#") && goes_on(comment)
        });
    let Some((end, _)) = first else {
        return false;
    };
    let mut left = stored.iter().map(|point| theirs(point)).peekable();
    for (bytes, verdict) in lines {
        let Ok(point) = verdict else {
            return false;
        };
        if left.next_if_eq(point).is_none() && bytes.start < end {
            return false;
        }
    }
    left.peek().is_none()
}

#[test]
fn verdicts_and_points_are_those_of_influxdb() {
    let Some(path) = shared("data/line-protocol/influxdb-v2-verdicts.jsonl.gz") else {
        return;
    };
    let recorded = BufReader::new(MultiGzDecoder::new(File::open(path).expect("readable")));
    let recorded = recorded
        .lines()
        .map(|case| -> Case { serde_json::from_str(&case.expect("text")).expect("a case") });
    let (mut total, mut differing) = (0, 0);
    let mut reasons = BTreeMap::<Difference, usize>::new();
    for case in recorded.chain(cases_about_comments()) {
        let input = STANDARD.decode(&case.input_b64).expect("base64");
        let precision = Precision::of_v2(&case.precision).expect("a precision");
        // A line without a time gets the time of receipt, in whole units there.
        let now_ns = precision.from_ns(case.default_time_ns) * precision.unit_ns();
        total += 1;
        let lines: Vec<Judged> = scan(&input, precision)
            .map(|line| (line.bytes, line.verdict.map(|point| ours(point, now_ns))))
            .collect();
        // InfluxDB judges a batch as a whole; we accept it if no line is refused.
        let points: Result<Vec<_>, _> = lines.iter().map(|(_, verdict)| verdict.clone()).collect();
        let agrees = match &points {
            Ok(points) => {
                let stored: Vec<_> = case.points.iter().flatten().map(theirs).collect();
                case.influxdb_v2 == "accept" && *points == stored
            }
            Err(_) => case.influxdb_v2 == "reject",
        };
        if !agrees {
            let found = differences(&case, &input, &lines);
            let shown = String::from_utf8_lossy(&input);
            let found = found.filter(|found| !found.is_empty()).unwrap_or_else(|| {
                panic!(
                    "{}: InfluxDB says {}, we say {points:?}: {shown:?}",
                    case.id, case.influxdb_v2
                )
            });
            differing += 1;
            for reason in found {
                *reasons.entry(reason).or_default() += 1;
            }
        }
    }
    println!(
        "{} of {total} cases agree; in the others: {reasons:?}",
        total - differing
    );
    for reason in DIFFERENCES {
        assert!(
            reasons.contains_key(&reason),
            "{reason:?} no longer occurs; take it off the list"
        );
    }
}
