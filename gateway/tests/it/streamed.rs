//! Answers in chunks say what whole answers say, however the points lie in chunks on disk and in memory.

use headroom_gateway::{
    influxql::{
        QueryLimits, QueryRequest,
        answer::{Chunks, Epoch, Format, Style},
        execute, parse, stream,
    },
    lines::{Precision, scan},
    store::{Batch, Store, StoreOptions},
};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

const STEP_S: i64 = 10;
/// More than one chunk holds.
const POINTS: i64 = 9_000;
const HOSTS: i64 = 3;

/// Three hosts at the same instants over more than a week, two fields with gaps, sealed in parts, and late points in memory.
fn filled(store: &Store) {
    let line = |index: i64, value: i64| {
        let (host, step) = (index % HOSTS, index / HOSTS);
        let fields = match step % 7 {
            0 => format!("b={value}i"),
            1 => format!("a={value}.5"),
            _ => format!("a={value}.5,b={value}i"),
        };
        format!("m,host=h{host} {fields} {}\n", step * STEP_S * 10)
    };
    let mut sequence = 0;
    let mut apply = |text: &str| {
        sequence += 1;
        let points = scan(text.as_bytes(), Precision::Seconds);
        let points = points.filter_map(|line| line.verdict.ok());
        let batch = Batch::of_points(points);
        let applied = store.apply(sequence, "db", None, 0, &batch);
        applied.expect("the store takes points");
    };
    let sealed = POINTS * HOSTS - 600;
    let text: String = (0..sealed).map(|index| line(index, index)).collect();
    apply(&text);
    store.seal().expect("the store seals");
    // Values of the past change, and newer points come.
    let late = (0..sealed).step_by(501).map(|index| line(index, -index));
    apply(&late.collect::<String>());
    let newer = (sealed..POINTS * HOSTS).map(|index| line(index, index));
    apply(&newer.collect::<String>());
}

fn style(format: Format) -> Style {
    Style {
        format,
        epoch: Epoch::Nanoseconds(1_000_000_000),
        pretty: false,
    }
}

fn request(q: &str) -> QueryRequest {
    QueryRequest {
        statements: parse(q, &Map::new()).expect("InfluxQL"),
        database: Some("db".to_owned()),
        ..QueryRequest::default()
    }
}

fn whole(store: &Store, q: &str, format: Format) -> Vec<u8> {
    let stop = CancellationToken::new();
    let answer = execute(store, &request(q), QueryLimits::default(), &stop, 0);
    answer.written(&style(format))
}

fn in_pieces(store: &Store, q: &str, format: Format, rows: usize) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    let mut send = |piece| {
        pieces.push(piece);
        true
    };
    let chunks = Chunks::new(style(format), rows, &mut send);
    let stop = CancellationToken::new();
    stream(store, &request(q), QueryLimits::default(), &stop, 0, chunks);
    pieces
}

/// Puts chunks together again; each says rightly whether something follows it.
fn joined(documents: &[Value], rows: usize) -> Value {
    let mut results: Vec<Value> = Vec::new();
    let mut goes_on = false;
    for document in documents {
        let mut result = document["results"][0].clone();
        let partial = result.as_object_mut().and_then(|map| map.remove("partial"));
        let mut series = result["series"].as_array().cloned().unwrap_or_default();
        for one in &series {
            let values = one["values"].as_array();
            assert!(values.is_some_and(|list| list.len() <= rows));
        }
        match results
            .last_mut()
            .filter(|last| last["statement_id"] == result["statement_id"])
        {
            None => {
                assert!(!goes_on);
                results.push(result);
            }
            Some(last) => {
                assert!(goes_on);
                let before = last["series"].as_array_mut().expect("series");
                let open = before.last_mut().expect("a series");
                let continues = open.as_object_mut().and_then(|map| map.remove("partial"));
                if continues == Some(json!(true)) {
                    let mut more = series.remove(0);
                    assert_eq!(
                        (&open["name"], &open["tags"]),
                        (&more["name"], &more["tags"])
                    );
                    let values = more["values"].as_array_mut().map(std::mem::take);
                    open["values"]
                        .as_array_mut()
                        .expect("rows")
                        .extend(values.unwrap_or_default());
                    if let Some(partial) = more.get("partial") {
                        open["partial"] = partial.clone();
                    }
                }
                before.extend(series);
            }
        }
        goes_on = partial == Some(json!(true));
    }
    assert!(!goes_on);
    json!({ "results": results })
}

const QUERIES: [&str; 14] = [
    "SELECT a, b FROM m",
    "SELECT * FROM m GROUP BY host",
    "SELECT a FROM m ORDER BY time DESC",
    "SELECT a, b, host FROM m WHERE host != 'h1' AND b > 1000 ORDER BY time DESC",
    "SELECT a * 2 AS x FROM m WHERE time >= 100000s AND time < 700000s GROUP BY host",
    "SELECT a, b FROM m GROUP BY host ORDER BY time DESC LIMIT 3000 OFFSET 100",
    "SELECT b FROM m LIMIT 12000 OFFSET 7",
    "SELECT a, b FROM m fill(previous)",
    "SELECT a FROM m GROUP BY host SLIMIT 1 SOFFSET 1",
    "SELECT x FROM (SELECT a + b AS x FROM m) WHERE x > 100",
    "SELECT mean(a) FROM m WHERE time >= 0 AND time < 900000s GROUP BY time(10m), host",
    "SELECT nothing FROM m; SELECT a FROM m WHERE host = 'h2'",
    "SHOW TAG VALUES FROM m WITH KEY = host; SELECT a FROM nowhere.nowhere.m; SELECT a FROM m; SELECT a FROM m",
    "SELECT a FROM m WHERE a = 2.5",
];

#[test]
fn chunks_put_together_are_the_whole_answer() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Store::open(dir.path(), StoreOptions::default()).expect("the store opens");
    filled(&store);
    for q in QUERIES {
        let answer = whole(&store, q, Format::Json);
        let answer: Value = serde_json::from_slice(&answer).expect("JSON");
        for rows in [1_000, 4_321] {
            let bytes = in_pieces(&store, q, Format::Json, rows).concat();
            let documents = serde_json::Deserializer::from_slice(&bytes).into_iter();
            let documents: Vec<Value> = documents.collect::<Result<_, _>>().expect("JSON");
            assert_eq!(joined(&documents, rows), answer, "{q}");
        }
        let csv = in_pieces(&store, q, Format::Csv, 1_000).concat();
        assert_eq!(csv, whole(&store, q, Format::Csv), "{q}");
    }
}

#[test]
fn an_answer_in_chunks_is_sent_as_it_is_found_and_ends_when_nobody_takes_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Store::open(dir.path(), StoreOptions::default()).expect("the store opens");
    filled(&store);
    let pieces = in_pieces(&store, "SELECT a, b FROM m", Format::Json, 100);
    assert!(pieces.len() > 20, "{} pieces", pieces.len());
    let mut taken = 0;
    let mut send = |_| {
        taken += 1;
        taken < 3
    };
    let chunks = Chunks::new(style(Format::Json), 100, &mut send);
    let stop = CancellationToken::new();
    let q = "SELECT a, b FROM m; SELECT a FROM m";
    stream(
        &store,
        &request(q),
        QueryLimits::default(),
        &stop,
        0,
        chunks,
    );
    assert_eq!(taken, 3, "nothing is offered once it was refused");
}
