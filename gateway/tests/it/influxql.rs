//! The answers of a real InfluxDB 1.6 to recorded queries, and the printer against the parser.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
    path::PathBuf,
};

use flate2::read::MultiGzDecoder;
use headroom_gateway::{
    influxql::{
        QueryLimits, QueryRequest,
        answer::{Chunks, Epoch, Format, Style, chunk_rows},
        execute, parse, stream,
    },
    lines::{Precision, scan},
    store::{Batch, Store, StoreOptions},
};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

/// The share of the recorded answers without a note that must agree; a note says what may differ.
const PLAIN_SHARE_MIN: f64 = 0.99;
/// The recorded answers that differ, as the README says.
const DIFFERING: [&str; 18] = [
    "mathfn-025",
    "mathfn-035",
    "order_limit-003",
    "order_limit-039",
    "raw-033",
    "raw-049",
    "selector-007",
    "selector-016",
    "selector-050",
    "selector-051",
    "selector-077",
    "selector-078",
    "selector-079",
    "subquery-031",
    "subquery-041",
    "where-025",
    "where-118",
    "where-151",
];
/// The rows without a note, and those with one, beside the categories.
const PLAIN: &str = "without note";
const NOTED: &str = "with a note";
const NOW_NS: i64 = 1_790_000_000_000_000_000;

fn data() -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/influxql");
    folder.is_dir().then_some(folder)
}

fn unpacked(folder: &std::path::Path, name: &str) -> String {
    let file = std::fs::File::open(folder.join(name)).expect("the recorded file");
    let mut text = String::new();
    MultiGzDecoder::new(file)
        .read_to_string(&mut text)
        .expect("gzip of text");
    text
}

fn load(store: &Store, folder: &std::path::Path) {
    store.create_database("telegraf").expect("a database");
    store.create_database("rp_test").expect("a database");
    store
        .create_policy("rp_test", "rollup", 0, false)
        .expect("a policy");
    let files = [
        ("points.lp.gz", "telegraf", None),
        ("points_rp_autogen.lp.gz", "rp_test", None),
        ("points_rp_rollup.lp.gz", "rp_test", Some("rollup")),
    ];
    for (sequence, (name, database, policy)) in files.into_iter().enumerate() {
        let text = unpacked(folder, name);
        let points =
            scan(text.as_bytes(), Precision::Nanoseconds).filter_map(|line| line.verdict.ok());
        let batch = Batch::of_points(points);
        store
            .apply(sequence as u64 + 1, database, policy, 0, &batch)
            .expect("the store takes points");
    }
}

fn near(want: &Value, got: &Value) -> bool {
    match (want, got) {
        (Value::Number(want), Value::Number(got)) => {
            if let (Some(want), Some(got)) = (want.as_i64(), got.as_i64()) {
                return want == got;
            }
            let (Some(want), Some(got)) = (want.as_f64(), got.as_f64()) else {
                return false;
            };
            (want - got).abs() <= 1e-9 * want.abs().max(got.abs())
        }
        (Value::Array(want), Value::Array(got)) => {
            want.len() == got.len() && want.iter().zip(got).all(|(want, got)| near(want, got))
        }
        (Value::Object(want), Value::Object(got)) => {
            want.len() == got.len()
                && want.iter().all(|(key, value)| {
                    got.get(key).is_some_and(|found| {
                        key == "error" || key == "messages" || near(value, found)
                    })
                })
        }
        _ => want == got,
    }
}

/// The rows of CSV; numbers are as JSON has them.
fn csv(text: &str) -> Value {
    let cell = |text: &str| match text.parse::<Value>() {
        Ok(number @ Value::Number(_)) => number,
        _ => json!(text),
    };
    let mut reader = csv::ReaderBuilder::new();
    let reader = reader.has_headers(false).flexible(true);
    let records = reader.from_reader(text.as_bytes()).into_records();
    let row = |record: csv::StringRecord| -> Value { record.iter().map(cell).collect() };
    records.map(|record| row(record.expect("CSV"))).collect()
}

/// Compares as the recording's own script does: parsed JSON; a sequence of documents; the rows of CSV.
fn agrees(row: &Value, status: u16, body: &[u8]) -> bool {
    if row["status"].as_u64() != Some(u64::from(status)) {
        return false;
    }
    let documents = |bytes: &[u8]| {
        serde_json::Deserializer::from_slice(bytes)
            .into_iter::<Value>()
            .collect::<Result<Vec<_>, _>>()
            .ok()
    };
    let Value::String(want) = &row["body"] else {
        return documents(body).is_some_and(|got| got.len() == 1 && near(&row["body"], &got[0]));
    };
    if row["content_type"]
        .as_str()
        .is_some_and(|kind| kind.contains("csv"))
    {
        let (want, got) = (csv(want), csv(&String::from_utf8_lossy(body)));
        let is_error = |rows: &Value| rows[0] == json!(["error"]);
        return near(&want, &got) || (is_error(&want) && is_error(&got));
    }
    match (documents(want.as_bytes()), documents(body)) {
        (Some(want), Some(got)) => near(&Value::Array(want), &Value::Array(got)),
        (None, Some(got)) => got
            .iter()
            .any(|document| document.to_string().contains("\"error\"")),
        (None, None) => true,
        (Some(_), None) => false,
    }
}

/// Asks as the route does.
fn answered(store: &Store, row: &Value) -> (u16, Vec<u8>) {
    let parameter = |name: &str| {
        row["params"][name]
            .as_str()
            .filter(|value| !value.is_empty())
    };
    let values = match parameter("params").map(serde_json::from_str).transpose() {
        Ok(values) => values.unwrap_or_default(),
        Err(error) => return (400, format!("{{\"error\":\"{error}\"}}").into_bytes()),
    };
    let statements = match parameter("q").map(|text| parse(text, &values)) {
        Some(Ok(statements)) => statements,
        Some(Err(error)) => {
            return (
                400,
                serde_json::json!({"error": error.to_string()})
                    .to_string()
                    .into_bytes(),
            );
        }
        None => return (400, br#"{"error":"no q"}"#.to_vec()),
    };
    let request = QueryRequest {
        statements,
        database: parameter("db").map(str::to_owned),
        retention_policy: parameter("rp").map(str::to_owned),
        read_only: row["method"] == "GET",
        listed_databases: None,
    };
    let is_csv = row["accept"]
        .as_str()
        .is_some_and(|accept| accept.contains("csv"));
    let style = Style {
        format: if is_csv { Format::Csv } else { Format::Json },
        epoch: Epoch::parse(parameter("epoch")),
        pretty: parameter("pretty") == Some("true"),
    };
    let (limits, stop) = (QueryLimits::default(), CancellationToken::new());
    let chunked = parameter("chunked") == Some("true");
    let Some(rows) = chunk_rows(chunked, parameter("chunk_size")) else {
        let answer = execute(store, &request, limits, &stop, NOW_NS);
        return (200, answer.written(&style));
    };
    let mut bytes = Vec::new();
    let mut send = |piece: Vec<u8>| {
        bytes.extend(piece);
        true
    };
    let chunks = Chunks::new(style, rows, &mut send);
    stream(store, &request, limits, &stop, NOW_NS, chunks);
    (200, bytes)
}

#[test]
fn recorded_answers_of_influxdb_agree() {
    let Some(folder) = data() else {
        eprintln!("skipped: ../shared/data/influxql is not there");
        return;
    };
    let dir = tempfile::tempdir().expect("a folder");
    let store = Store::open(dir.path(), StoreOptions::default()).expect("the store opens");
    load(&store, &folder);
    let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut differing = BTreeSet::new();
    for line in unpacked(&folder, "dev.jsonl.gz").lines() {
        let row: Value = serde_json::from_str(line).expect("a recorded row");
        let (status, body) = answered(&store, &row);
        let category = row["category"].as_str().unwrap_or_default().to_owned();
        let is_plain = row["note"].is_null();
        let agrees = agrees(&row, status, &body);
        for group in [Some(category), is_plain.then(|| PLAIN.to_owned())] {
            let count = counts.entry(group.unwrap_or_else(|| NOTED.to_owned()));
            let count = count.or_default();
            count.1 += 1;
            count.0 += usize::from(agrees);
        }
        if !agrees {
            println!("{row}\n  {}", String::from_utf8_lossy(&body));
            differing.insert(row["id"].as_str().unwrap_or_default().to_owned());
        }
    }
    for (group, (agreeing, all)) in &counts {
        println!("{group:<12} {agreeing:>4} / {all}");
    }
    let known: BTreeSet<String> = DIFFERING.map(str::to_owned).into();
    let newly =
        |ids: &BTreeSet<String>, others| ids.difference(others).cloned().collect::<Vec<_>>();
    let (differs, agrees) = (newly(&differing, &known), newly(&known, &differing));
    assert!(
        differs.is_empty() && agrees.is_empty(),
        "answers differ that agreed: {differs:?}; answers agree that differed: {agrees:?}"
    );
    let (agreeing, all) = counts[PLAIN];
    let share = agreeing as f64 / all as f64;
    assert!(
        share >= PLAIN_SHARE_MIN,
        "{agreeing} of {all} recorded answers without a note agree"
    );
}

#[test]
fn what_was_parsed_prints_back_to_the_same() {
    let Some(folder) = data() else {
        eprintln!("skipped: ../shared/data/influxql is not there");
        return;
    };
    let none = Map::new();
    let mut printed_back = 0;
    for line in unpacked(&folder, "dev.jsonl.gz").lines() {
        let row: Value = serde_json::from_str(line).expect("a recorded row");
        let Ok(statements) = parse(row["params"]["q"].as_str().unwrap_or_default(), &none) else {
            continue;
        };
        for statement in statements {
            let printed = statement.to_string();
            let again = parse(&printed, &none).unwrap_or_else(|error| panic!("{printed}: {error}"));
            assert_eq!(again, [statement], "{printed}");
            printed_back += 1;
        }
    }
    assert!(
        printed_back > 400,
        "only {printed_back} statements were printed back"
    );
}

#[test]
fn flux_gets_an_answer_that_says_what_to_use() {
    for script in [
        "from(bucket: \"telegraf\") |> range(start: -1h)",
        "x = from(bucket: \"telegraf\")\nx |> last()",
        "option v = {timeRangeStart: -1h}",
        "// the last hour\nfrom(bucket: \"telegraf\")",
        "import \"math\"",
        "package main",
        "buckets()",
    ] {
        let error = parse(script, &Map::new())
            .expect_err("no InfluxQL")
            .to_string();
        assert!(
            error.contains("looks like Flux") && error.contains("InfluxQL"),
            "{error}"
        );
        assert!(error.contains("line 1, char 1"), "{error}");
    }
    let error = parse("SELEC x FROM m", &Map::new()).expect_err("no InfluxQL");
    assert!(
        error.to_string().contains("found SELEC, expected SELECT"),
        "{error}"
    );
}

#[test]
fn what_is_wrong_with_a_clause_is_said_with_its_place() {
    for (query, place, right) in [
        ("SELECT f INTO g FROM m", "char 10", "leave INTO out"),
        (
            "SELECT mean(f) FROM m GROUP BY time(1m) fill()",
            "char 46",
            "previous, linear",
        ),
        (
            "SELECT mean(f) FROM m GROUP BY time(1m) fill(nothing)",
            "char 46",
            "previous, linear",
        ),
        (
            "SELECT mean(f) FROM m GROUP BY time(1m) fill(1 2)",
            "char 48",
            "previous, linear",
        ),
        (
            "SELECT mean(f) FROM m GROUP BY time(1m) fill('1')",
            "char 46",
            "previous, linear",
        ),
        ("SELECT f FROM m ORDER BY f", "char 26", "ORDER BY time"),
        (
            "SELECT f FROM m ORDER BY time, f",
            "char 30",
            "ORDER BY time",
        ),
        ("SELECT f FROM m tz()", "char 20", "'Europe/Berlin'"),
        ("SELECT f FROM m tz('UTC', 1)", "char 25", "'Europe/Berlin'"),
        ("SELECT f FROM m tz(1)", "char 20", "'Europe/Berlin'"),
        (
            "SELECT f FROM m tz('Europe/Nowhere')",
            "char 20",
            "'Europe/Berlin'",
        ),
        ("SELECT f FROM m WHERE h = $h", "char 27", "params"),
        (
            "SELECT f FROM m WHERE time > 99999999999w",
            "char 30",
            "a smaller duration",
        ),
    ] {
        let error = parse(query, &Map::new()).expect_err(query).to_string();
        assert!(
            error.ends_with(&format!(" at line 1, {place}")),
            "{query}: {error}"
        );
        assert!(error.contains(right), "{query}: {error}");
    }
}

#[test]
fn statements_that_are_not_carried_out_print_as_they_were_written() {
    for text in [
        "DROP SHARD",
        "DROP CONTINUOUS QUERY",
        "DROP USER",
        "SHOW SHARDS",
        "SHOW STATS",
        "SHOW GRANTS",
    ] {
        let parse = |text: &str| parse(text, &Map::new()).expect("InfluxQL");
        let statements = parse(&format!("{text} 1"));
        assert_eq!(statements[0].to_string(), text);
        assert_eq!(parse(text), statements);
    }
}
