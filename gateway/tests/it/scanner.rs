//! What holds of the scanner whatever the text, and beside the crate `influxdb-line-protocol`.

use std::{
    borrow::Cow,
    collections::HashSet,
    fs::File,
    io::{BufRead, BufReader},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::read::MultiGzDecoder;
use headroom_gateway::{
    body, influxql,
    lines::{
        FieldType, FieldValue, Point, Precision, Refusal, Rule, Scanner, Span, TIME_MAX_NS,
        TIME_MIN_NS, scan,
    },
};
use influxdb_line_protocol::{FieldValue as Crates, LineProtocolBuilder, ParsedLine, parse_lines};
use proptest::{collection::vec, prelude::*, sample::select};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

use crate::support::shared;

/// What lines are made of, the well-formed parts and those that break them.
const PIECES: [&str; 40] = [
    "m",
    "cpu",
    ",",
    ",host=a",
    ",t=b",
    "=",
    " ",
    " f=1",
    " g=2i",
    ",h=\"x y\"",
    "\"",
    "\\",
    "\\\"",
    "\\ ",
    "\\,",
    "\\=",
    "f=",
    "1",
    "-",
    ".5",
    "1.",
    "e5",
    "i",
    "u",
    "t",
    "true",
    "NaN",
    "1e400",
    " 17",
    " 1735689600000000000",
    "9223372036854775807",
    "#",
    "\t",
    "\0",
    "\r",
    "é",
    "\u{1f600}",
    "time=1",
    ",time=a",
    "k=v",
];

/// What InfluxDB passes over before a line, and between its parts.
const BLANKS: [char; 3] = [' ', '\t', '\0'];

fn line() -> impl Strategy<Value = String> {
    let free = vec(select(&PIECES[..]), 1..12).prop_map(|pieces| pieces.concat());
    let near = (
        vec(select(&PIECES[..]), 0..3),
        vec(select(&PIECES[..]), 0..3),
    )
        .prop_map(|(before, behind)| {
            format!("m,a=b{} f=1,g=\"x\"{} 17", before.concat(), behind.concat())
        });
    prop_oneof![free, near]
}

pub(crate) fn text() -> impl Strategy<Value = String> {
    vec(
        (
            line(),
            select(&["\n", "\r\n", "\n\n", "\n# it's \"odd\n"][..]),
        ),
        0..6,
    )
    .prop_map(|lines| {
        lines
            .into_iter()
            .flat_map(|(line, end)| [line, end.to_owned()])
            .collect()
    })
}

/// A name that survives being written: no newline, no backslash, which the builder writes as it stands.
fn name() -> impl Strategy<Value = String> {
    "[a-z_éß😀,= \"'#/.:-]{0,8}[a-z]".prop_filter("not reserved", |name| name != "time")
}

fn value() -> impl Strategy<Value = FieldValue<'static>> {
    prop_oneof![
        any::<f64>()
            .prop_filter("finite", |value| value.is_finite())
            .prop_map(FieldValue::Float),
        any::<i64>().prop_map(FieldValue::Integer),
        any::<u64>().prop_map(FieldValue::Unsigned),
        any::<bool>().prop_map(FieldValue::Boolean),
        "[a-z\"\\\\\n ,=é]{0,12}".prop_map(|text| FieldValue::Text(text.into())),
    ]
}

fn point() -> impl Strategy<Value = Point<'static>> {
    let tags = prop::collection::btree_map(name(), name(), 0..4);
    let fields = vec((name(), value()), 1..5);
    let time = prop::option::of(-1_000_000_000_000_i64..4_000_000_000_000_000_000);
    (name(), tags, fields, time).prop_map(|(measurement, tags, fields, time_ns)| Point {
        // An equals sign behind a comma would be a tag that was lost.
        measurement: measurement
            .replace('=', "")
            .trim_start_matches([' ', '#', ','])
            .to_owned()
            .into(),
        tags: tags
            .into_iter()
            .map(|(key, value)| (key.into(), value.into()))
            .collect(),
        fields: fields
            .into_iter()
            .map(|(key, value)| (key.into(), value))
            .collect(),
        time_ns,
    })
}

/// Writes points as the crate does.
fn build(points: &[Point<'_>]) -> String {
    let mut lines = LineProtocolBuilder::new();
    for point in points {
        let mut line = lines.measurement(&point.measurement);
        for (key, value) in &point.tags {
            line = line.tag(key, value);
        }
        macro_rules! field {
            ($line:expr, $field:expr) => {
                match &$field.1 {
                    FieldValue::Float(value) => $line.field(&$field.0, *value),
                    FieldValue::Integer(value) => $line.field(&$field.0, *value),
                    FieldValue::Unsigned(value) => $line.field(&$field.0, *value),
                    FieldValue::Boolean(value) => $line.field(&$field.0, *value),
                    FieldValue::Text(value) => $line.field(&$field.0, value.as_ref()),
                }
            };
        }
        let (first, others) = point.fields.split_first().expect("a field");
        let line = others
            .iter()
            .fold(field!(line, first), |line, other| field!(line, other));
        lines = match point.time_ns {
            Some(time) => line.timestamp(time).close_line(),
            None => line.close_line(),
        };
    }
    String::from_utf8(lines.build()).expect("UTF-8")
}

fn of_crate(line: &ParsedLine<'_>) -> Point<'static> {
    let own = |text: &dyn ToString| Cow::Owned(text.to_string());
    Point {
        measurement: own(&line.series.measurement),
        tags: line
            .series
            .tag_set
            .iter()
            .flatten()
            .map(|(key, value)| (own(key), own(value)))
            .collect(),
        fields: line
            .field_set
            .iter()
            .map(|(key, value)| {
                let value = match value {
                    Crates::F64(value) => FieldValue::Float(*value),
                    Crates::I64(value) => FieldValue::Integer(*value),
                    Crates::U64(value) => FieldValue::Unsigned(*value),
                    Crates::Boolean(value) => FieldValue::Boolean(*value),
                    Crates::String(value) => FieldValue::Text(own(value)),
                };
                (own(key), value)
            })
            .collect(),
        time_ns: line.timestamp,
    }
}

/// Says whether the crate takes a line that we refuse, by what it reads into the line.
fn crate_is_laxer(line: &str, refusal: &Refusal, theirs: &Point<'_>) -> bool {
    let before = &line[..refusal.column.map_or(0, |column| column - 1)];
    let mut tags = theirs.tags.iter();
    let mut fields = theirs.fields.iter();
    match refusal.rule {
        // It does not look at these at all.
        Rule::DuplicateTag => {
            let keys: HashSet<_> = tags.map(|(key, _)| key).collect();
            keys.len() < theirs.tags.len()
        }
        Rule::ReservedName => {
            let reserved = ["time", "_field", "_measurement", "\0"];
            tags.any(|(key, _)| reserved.contains(&key.as_ref()))
                || fields.any(|(key, _)| key.trim_start_matches(BLANKS) == "time")
        }
        Rule::NumberRange => fields
            .any(|(_, value)| matches!(value, FieldValue::Float(value) if value.is_infinite())),
        Rule::TimeRange => theirs
            .time_ns
            .is_some_and(|time| !(TIME_MIN_NS..=TIME_MAX_NS).contains(&time)),
        // A comma without a value before it, and an equals sign in a value, are text to it.
        Rule::Tag => tags.any(|(key, value)| key.contains(',') || value.contains('=')),
        // So is a comma in a field's key; and one behind a single field it passes over.
        Rule::Field => {
            fields.any(|(key, _)| key.contains(','))
                || theirs.fields.len() == 1 && before.ends_with(',')
        }
        // The tags behind an escaped comma become part of the measurement, as in InfluxDB.
        Rule::Measurement => {
            let tag = theirs.measurement.split_once(',');
            tag.is_some_and(|(_, tag)| tag.contains('='))
        }
        _ => false,
    }
}

/// Says whether the crate refuses a line that we take, by the line's parts.
fn crate_is_stricter(line: &str) -> bool {
    let mut scanner = Scanner::new(line.as_bytes(), Precision::Nanoseconds);
    let judged = scanner.next_line().expect("a line");
    let parts = judged.verdict.expect("it is taken");
    let text = |span: Span| &line[span.start..span.end];
    // Numbers have digits on both sides of the point.
    let has_bare_point = parts.fields.iter().any(|field| {
        let number = text(field.value).trim_start_matches('-');
        field.field_type == FieldType::Float
            && (number.starts_with('.') || number.ends_with('.') || number.contains(".e"))
    });
    // A blank has a timestamp behind it.
    let ends_in_blank = parts.timestamp.is_none() && line.ends_with(' ');
    // Only spaces are blanks within a line, and tabs, like NULs in a measurement, end a name.
    let strings = parts
        .fields
        .iter()
        .filter(|field| field.field_type == FieldType::Text);
    let in_strings: usize = strings
        .map(|field| text(field.value).matches(&BLANKS[1..]).count())
        .sum();
    let has_other_blank = line.matches(&BLANKS[1..]).count() > in_strings;
    // Backslashes pair in every name, and a name may not end in one.
    let with_end = Span {
        end: parts.series().end + 1,
        ..parts.series()
    };
    let mut ends = ["\\\\,", "\\\\ ", "\\\\="].into_iter();
    let name_ends_in_pair = ends.any(|end| text(with_end).contains(end));
    has_bare_point || ends_in_blank || has_other_blank || name_ends_in_pair
}

/// A point without what the crate reads in another way where it takes a line as well: backslashes that pair in a name or escape
/// a field key's quote, and NULs before the fields.
fn as_both_read(mut point: Point<'_>) -> Point<'_> {
    let bare = |name: &mut Cow<'_, str>| *name = name.replace('\\', "").into();
    bare(&mut point.measurement);
    for (key, value) in &mut point.tags {
        bare(key);
        bare(value);
    }
    for (key, _) in &mut point.fields {
        bare(key);
    }
    if let Some((key, _)) = point.fields.first_mut() {
        *key = key.trim_start_matches('\0').to_owned().into();
    }
    point
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn what_was_built_is_scanned_and_built_again(points in vec(point(), 0..6)) {
        let text = build(&points);
        let scanned: Result<Vec<_>, _> = scan(text.as_bytes(), Precision::Nanoseconds).map(|line| line.verdict).collect();
        prop_assert_eq!(scanned.as_ref(), Ok(&points), "{}", text);
        prop_assert_eq!(build(&scanned.expect("just compared")), text);
    }

    #[test]
    fn differences_from_the_crate_are_explained_by_rules(line in line()) {
        let ours = scan(line.as_bytes(), Precision::Nanoseconds).next();
        let theirs = parse_lines(&line).next();
        match (ours.map(|line| line.verdict), theirs) {
            (None, theirs) => {
                let passed = line.trim_start_matches(BLANKS);
                prop_assert!(passed.is_empty() || passed.starts_with('#'));
                // A NUL is no blank to the crate.
                let blanks = &line[..line.len() - passed.len()];
                prop_assert!(theirs.is_none() || blanks.contains('\0'), "{:?}", theirs);
            }
            (Some(Ok(point)), Some(Ok(parsed))) => {
                let theirs = of_crate(&parsed);
                if line.contains("\\\\") || line.contains("\\\"") || line.contains(" \0") {
                    prop_assert_eq!(as_both_read(point), as_both_read(theirs));
                } else {
                    prop_assert_eq!(point, theirs);
                }
            }
            (Some(Ok(_)), theirs) => prop_assert!(crate_is_stricter(&line), "refused by the crate alone: {:?}", theirs),
            (Some(Err(refusal)), Some(Ok(parsed))) => prop_assert!(
                crate_is_laxer(&line, &refusal, &of_crate(&parsed)),
                "refused by us alone: {}", refusal
            ),
            (Some(Err(_)), _) => {}
        }
    }

    #[test]
    fn every_split_of_a_text_at_a_lines_end_gives_the_same_verdicts(text in text()) {
        let verdicts = |text: &str| -> Vec<(String, bool)> {
            scan(text.as_bytes(), Precision::Nanoseconds)
                .map(|line| (text[line.bytes].to_owned(), line.verdict.is_ok()))
                .collect()
        };
        let whole = verdicts(&text);
        for line in scan(text.as_bytes(), Precision::Nanoseconds) {
            let end = text[line.bytes.end..].find('\n').map_or(text.len(), |newline| line.bytes.end + newline + 1);
            let mut parts = verdicts(&text[..end]);
            parts.extend(verdicts(&text[end..]));
            prop_assert_eq!(&parts, &whole, "split at {}", end);
        }
    }

    #[test]
    fn numbers_are_those_that_an_editor_shows(text in text()) {
        for line in scan(text.as_bytes(), Precision::Nanoseconds) {
            let newlines = text[..line.bytes.start].matches('\n').count();
            prop_assert_eq!(line.number, newlines + 1);
        }
    }

    #[test]
    fn no_bytes_panic_and_lines_never_overlap(mut text in vec(any::<u8>(), 0..400), pieces in vec((0..400_usize, select(&PIECES[..])), 0..40)) {
        for (at, piece) in pieces {
            let at = at.min(text.len());
            text.splice(at..at, piece.bytes());
        }
        let mut end = 0;
        for line in scan(&text, Precision::Hours) {
            prop_assert!(line.bytes.start >= end && line.bytes.end <= text.len() && !line.bytes.is_empty());
            end = line.bytes.end;
            if let Err(refusal) = line.verdict {
                let column = refusal.column.expect("every fault of the text has one");
                let newline = text[..line.bytes.start].iter().rposition(|byte| *byte == b'\n');
                let first = newline.map_or(0, |newline| newline + 1);
                let columns = line.bytes.start - first + 1..=text.len() - first + 1;
                prop_assert!(columns.contains(&column), "{}", refusal);
            }
        }
    }
}

/// A bounded run over mutations of the recorded inputs: what a fuzzer does, on every machine.
#[test]
fn no_mutation_of_a_recorded_input_panics() {
    let Some(path) = shared("data/line-protocol/influxdb-v2-verdicts.jsonl.gz") else {
        return;
    };
    let file = File::open(path).expect("readable");
    let mut random = SmallRng::seed_from_u64(11);
    let inputs: Vec<Vec<u8>> = BufReader::new(MultiGzDecoder::new(file))
        .lines()
        .map(|line| {
            let case: serde_json::Value = serde_json::from_str(&line.expect("text")).expect("JSON");
            STANDARD
                .decode(case["input_b64"].as_str().expect("text"))
                .expect("base64")
        })
        .collect();
    for input in &inputs {
        let mut text = input.clone();
        for _ in 0..random.random_range(1..6) {
            let at = random.random_range(0..=text.len());
            match random.random_range(0..3) {
                0 => text.truncate(at),
                1 => {
                    let other = &inputs[random.random_range(0..inputs.len())];
                    let from = random.random_range(0..=other.len());
                    text.splice(at..at, other[from..].iter().copied().take(64));
                }
                _ => {
                    let piece = PIECES[random.random_range(0..PIECES.len())];
                    text.splice(at..at, piece.bytes());
                }
            }
        }
        let lines = scan(&text, Precision::Microseconds).count();
        assert!(lines <= text.split(|byte| *byte == b'\n').count());
        let _ = body::decode(&text, 1 << 20);
        if let Ok(text) = str::from_utf8(&text) {
            let _ = influxql::parse(text, &serde_json::Map::new());
        }
    }
}
