//! A series that holds more than is read at once is read in slices, which say what one read would.

use std::time::Duration;

use headroom_gateway::{
    influxql::{
        self, QueryLimits, QueryRequest,
        answer::{Epoch, Format, Style},
    },
    lines::{Precision, scan},
    store::{Batch, Store, StoreOptions},
};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

/// Points of the series, a second apart: more than is read at once, also of the field that every third has.
const POINTS: i64 = 780_000;

fn filled(store: &Store) {
    let line = |second: i64| {
        let b = if second % 3 == 0 { ",b=2i" } else { "" };
        format!("m,host=h a={second}i{b} {second}\n")
    };
    for (sequence, part) in (1..).zip([0..POINTS - 100, POINTS - 100..POINTS]) {
        store.seal().expect("the store seals");
        let text: String = part.map(line).collect();
        let points = scan(text.as_bytes(), Precision::Seconds);
        let batch = Batch::of_points(points.filter_map(|line| line.verdict.ok()));
        let applied = store.apply(sequence, "db", None, 0, &batch);
        applied.expect("the store takes points");
    }
}

fn ask(store: &Store, q: &str, limits: QueryLimits, stop: &CancellationToken) -> Value {
    let request = QueryRequest {
        statements: influxql::parse(q, &Map::new()).expect("InfluxQL"),
        database: Some("db".to_owned()),
        ..QueryRequest::default()
    };
    let style = Style {
        format: Format::Json,
        epoch: Epoch::Nanoseconds(1_000_000_000),
        pretty: false,
    };
    let answer = influxql::execute(store, &request, limits, stop, 0).written(&style);
    let mut answer: Value = serde_json::from_slice(&answer).expect("JSON");
    answer["results"][0].take()
}

#[test]
fn slices_say_what_one_read_would_and_stop_at_the_querys_bounds() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Store::open(dir.path(), StoreOptions::default()).expect("the store opens");
    filled(&store);
    let generous = QueryLimits {
        time_max: Duration::from_hours(1),
        ..QueryLimits::default()
    };
    let goes_on = CancellationToken::new();
    let row = |q: &str| ask(&store, q, generous, &goes_on)["series"][0]["values"][0].take();
    let (last, half) = (POINTS - 1, POINTS / 2);
    for (q, want) in [
        (
            "SELECT count(b) FROM m WHERE a >= 0",
            json!([0, POINTS / 3]),
        ),
        (
            "SELECT sum(a) FROM m WHERE b = 2",
            json!([0, 3 * (POINTS / 3) * (POINTS / 3 - 1) / 2]),
        ),
        (
            "SELECT percentile(a, 50), b FROM m",
            json!([half - 1, half - 1, null]),
        ),
        (
            "SELECT max(a), b, host FROM m",
            json!([last, last, null, "h"]),
        ),
        (
            "SELECT a, b FROM m ORDER BY time DESC LIMIT 1",
            json!([last, last, null]),
        ),
        ("SELECT last(b), a FROM m", json!([last - 2, 2, last - 2])),
        (
            "SELECT count(x) FROM (SELECT a + b AS x FROM m)",
            json!([0, POINTS / 3]),
        ),
    ] {
        assert_eq!(row(q), want, "{q}");
    }
    let few = QueryLimits {
        values_max: 400_000,
        ..generous
    };
    let too_many = ask(&store, "SELECT median(a) FROM m", few, &goes_on);
    let error = too_many["error"].as_str().expect("an error");
    assert!(error.contains("HEADROOM_QUERY_MAX_VALUES"), "{error}");
}

#[test]
fn every_statement_looks_at_its_time_and_at_whether_it_is_wanted() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Store::open(dir.path(), StoreOptions::default()).expect("the store opens");
    let points = scan(b"m,host=h a=1 1", Precision::Seconds);
    let batch = Batch::of_points(points.filter_map(|line| line.verdict.ok()));
    store
        .apply(1, "db", None, 0, &batch)
        .expect("the store takes points");
    let no_time = QueryLimits {
        time_max: Duration::ZERO,
        ..QueryLimits::default()
    };
    let stopped = CancellationToken::new();
    stopped.cancel();
    for q in [
        "SELECT a FROM m",
        "SELECT mean(a) FROM m GROUP BY time(1m)",
        "SELECT last(a) FROM m",
        "SELECT median(a) FROM m WHERE a > 0",
        "SHOW MEASUREMENTS",
        "SHOW SERIES",
        "SHOW TAG VALUES WITH KEY = host",
        "SHOW FIELD KEYS",
    ] {
        let goes_on = CancellationToken::new();
        let late = ask(&store, q, no_time, &goes_on);
        let error = late["error"].as_str().unwrap_or_default();
        assert!(error.contains("longer than 0 s"), "{q}: {late}");
        assert!(error.contains("HEADROOM_QUERY_TIMEOUT_S"), "{q}: {error}");
        let unwanted = ask(&store, q, QueryLimits::default(), &stopped);
        let error = unwanted["error"].as_str().unwrap_or_default();
        assert!(error.contains("hung up"), "{q}: {unwanted}");
    }
}
