//! Queries over what chunks add up to, beside the same queries over points.

use std::time::Duration;

use headroom_gateway::{
    influxql::{
        self, QueryLimits, QueryRequest,
        answer::{Epoch, Format, Style},
    },
    lines::{Precision, scan},
    store::{Batch, CellsWanted, Store, StoreOptions},
};
use proptest::prelude::*;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// What happens to both stores.
#[derive(Debug, Clone)]
enum Step {
    /// A stretch of points, every ten seconds from a minute on.
    Write {
        series: u8,
        minute: i64,
        points: i64,
        seed: i64,
    },
    Delete {
        first: i64,
        length: i64,
    },
    Seal,
    Compact,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let write = (0..3u8, 0..600i64, 1..1_500i64, any::<i32>());
    prop_oneof![
        6 => write.prop_map(|(series, minute, points, seed)| Step::Write { series, minute, points, seed: seed.into() }),
        1 => (0..900i64, 0..90i64).prop_map(|(first, length)| Step::Delete { first, length }),
        4 => Just(Step::Seal),
        2 => Just(Step::Compact),
        1 => Just(Step::Reopen),
    ]
}

const QUERIES: [&str; 16] = [
    "SELECT count(f), sum(f), mean(f), min(f), max(f), spread(f), first(f), last(f) FROM m WHERE time >= 0 AND time < 16h GROUP BY time(5m)",
    "SELECT count(i), sum(i), mean(i), min(i), max(i), spread(i), first(i), last(i) FROM m WHERE time >= 0 AND time < 16h GROUP BY time(1h), host",
    "SELECT mean(f) FROM m WHERE time >= 17m AND time < 613m GROUP BY time(1h), host fill(none)",
    "SELECT sum(i) FROM m WHERE time > 1111s AND time <= 40000s GROUP BY time(10m, 5m) fill(0)",
    "SELECT last(f) FROM m WHERE time >= 0 AND time < 16h GROUP BY time(15m), * ORDER BY time DESC",
    "SELECT max(i) FROM m WHERE host = 'h1' AND time >= 0 AND time < 16h GROUP BY time(2h)",
    "SELECT last(i) FROM m WHERE time >= 301s AND time < 57601s GROUP BY time(5m, 1s), host fill(none)",
    "SELECT derivative(mean(f), 1m) FROM m WHERE time >= 1h AND time < 16h GROUP BY time(5m)",
    "SELECT mean(f) FROM m WHERE i > 0 AND time >= 0 AND time < 16h GROUP BY time(1h)",
    "SELECT mean(f) FROM m WHERE time >= 0 AND time < 16h GROUP BY time(7m)",
    "SELECT max(x) FROM (SELECT mean(f) AS x FROM m WHERE time >= 0 AND time < 16h GROUP BY time(5m), host) GROUP BY time(1h)",
    "SELECT count(f), sum(f), mean(f), min(f), max(f), spread(f), first(f), last(f) FROM m",
    "SELECT count(i), sum(i), mean(i), min(i), max(i), spread(i), first(i), last(i) FROM m WHERE time >= 17m AND time < 613m GROUP BY host",
    "SELECT min(f) FROM m; SELECT max(i), f FROM m GROUP BY host; SELECT max(i) FROM m WHERE time > 1111s AND time <= 40000s",
    "SELECT mean(i) FROM m WHERE time > 1111s AND time <= 40000s GROUP BY * tz('Europe/Berlin')",
    "SELECT sum(x) FROM (SELECT spread(i) AS x FROM m WHERE time >= 1h GROUP BY host)",
];

/// The first and the last points, by function and by reading the rows in order.
const EDGES: [(&str, &str); 8] = [
    (
        "SELECT last(f) FROM m GROUP BY host",
        "SELECT f FROM m GROUP BY host ORDER BY time DESC LIMIT 1",
    ),
    (
        "SELECT first(i) FROM m GROUP BY host",
        "SELECT i FROM m GROUP BY host LIMIT 1",
    ),
    (
        "SELECT last(i) FROM m WHERE time < 30000s GROUP BY *",
        "SELECT i FROM m WHERE time < 30000s GROUP BY * ORDER BY time DESC LIMIT 1",
    ),
    (
        "SELECT first(f) FROM m WHERE time > 1111s AND time <= 40000s GROUP BY host",
        "SELECT f FROM m WHERE time > 1111s AND time <= 40000s GROUP BY host LIMIT 1",
    ),
    (
        "SELECT last(f), i FROM m GROUP BY host",
        "SELECT f, i FROM m GROUP BY host ORDER BY time DESC LIMIT 1",
    ),
    (
        "SELECT first(i), f FROM m WHERE time > 1h GROUP BY host",
        "SELECT i, f FROM m WHERE time > 1h GROUP BY host LIMIT 1",
    ),
    (
        "SELECT last(f) FROM m WHERE i > 60000 GROUP BY host",
        "SELECT f FROM m WHERE i > 60000 GROUP BY host ORDER BY time DESC LIMIT 1",
    ),
    (
        "SELECT first(f) FROM m WHERE f < 0 AND time < 10h GROUP BY host",
        "SELECT f FROM m WHERE f < 0 AND time < 10h GROUP BY host LIMIT 1",
    ),
];

/// The tags and the rows of each series, in the order of the tags.
fn rows(answer: &Value) -> Vec<(String, Value)> {
    let series = answer["results"][0]["series"].as_array();
    let shown = |series: &Value| (series["tags"].to_string(), series["values"].clone());
    let mut rows: Vec<_> = series.into_iter().flatten().map(shown).collect();
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    rows
}

/// Points of which half have short decimals, and half all the digits that a float has.
fn lines(series: u8, minute: i64, points: i64, seed: i64) -> String {
    let parts = if seed % 2 == 0 { 100.0 } else { 97.0 };
    let line = |n: i64| {
        let mixed = (seed + n).wrapping_mul(0x9e37_79b9).rem_euclid(20_011) - 9_000;
        let time = (minute * 60 + n * 10) * 1_000_000_000;
        format!(
            "m,host=h{series} f={},i={}i {time}\n",
            mixed as f64 / parts,
            mixed * 7
        )
    };
    (0..points).map(line).collect()
}

fn ask(store: &Store, query: &str) -> Value {
    let request = QueryRequest {
        statements: influxql::parse(query, &serde_json::Map::new()).expect("InfluxQL"),
        database: Some("db".to_owned()),
        ..QueryRequest::default()
    };
    let limits = QueryLimits {
        time_max: Duration::from_hours(1),
        ..QueryLimits::default()
    };
    let style = Style {
        format: Format::Json,
        epoch: Epoch::Nanoseconds(1),
        pretty: false,
    };
    let now = 57_600_000_000_000;
    let answer = influxql::execute(store, &request, limits, &CancellationToken::new(), now);
    serde_json::from_slice(&answer.written(&style)).expect("JSON")
}

/// Floats' sums may be rounded elsewhere; everything else is equal.
fn near(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(a), Value::Number(b)) => {
            let (Some(a), Some(b)) = (a.as_f64(), b.as_f64()) else {
                return a == b;
            };
            // A difference of means is as exact as the means are, which are below a hundred.
            (a - b).abs() <= 1e-12 * a.abs().max(100.0)
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| near(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, a)| b.get(key).is_some_and(|b| near(a, b)))
        }
        _ => one == other,
    }
}

fn options(rollup_from_points: usize) -> StoreOptions {
    StoreOptions {
        rollup_from_points,
        ..StoreOptions::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn answers_are_the_same_with_rollups_and_without(steps in prop::collection::vec(step(), 4..24)) {
        let dirs = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
        let kinds = [options(64), options(usize::MAX)];
        let open = || [0, 1].map(|n: usize| Store::open(dirs[n].path(), kinds[n]).expect("it opens"));
        let mut stores = open();
        let mut journal: Vec<String> = Vec::new();
        for step in steps {
            match step {
                Step::Write { series, minute, points, seed } => {
                    let text = lines(series, minute, points, seed);
                    for store in &stores {
                        apply(store, journal.len() as u64 + 1, &text);
                    }
                    journal.push(text);
                }
                Step::Delete { first, length } => {
                    for store in &stores {
                        let doomed = headroom_gateway::store::Doomed {
                            policy: "autogen".to_owned(),
                            measurement: "m".into(),
                            series: None,
                        };
                        let minute = 60_000_000_000;
                        let (first, last) = (first * minute, (first + length) * minute);
                        if store.view("db", None).is_some() {
                            store.delete("db", &[doomed], first, last).expect("it deletes");
                        }
                    }
                }
                Step::Seal => for store in &stores {
                    store.seal().expect("it seals");
                },
                Step::Compact => for store in &stores {
                    store.compact().expect("it merges");
                },
                Step::Reopen => {
                    drop(stores);
                    stores = open();
                    for store in &stores {
                        for (text, sequence) in journal.iter().zip(1..) {
                            if sequence > store.sealed_through() {
                                apply(store, sequence, text);
                            }
                        }
                    }
                }
            }
        }
        if stores[0].view("db", None).is_some() {
            for query in QUERIES {
                let [with, without] = [0, 1].map(|n: usize| ask(&stores[n], query));
                prop_assert!(near(&with, &without), "{query}\n{with}\n{without}");
            }
            for (query, in_order) in EDGES {
                for store in &stores {
                    prop_assert_eq!(rows(&ask(store, query)), rows(&ask(store, in_order)), "{}", query);
                }
            }
        }
        stores[0].check().expect("rollups say what their chunks hold");
    }
}

fn apply(store: &Store, sequence: u64, text: &str) {
    let points = scan(text.as_bytes(), Precision::Nanoseconds);
    let batch = Batch::of_points(points.filter_map(|line| line.verdict.ok()));
    store
        .apply(sequence, "db", None, 0, &batch)
        .expect("the store takes points");
}

#[test]
fn a_dashboards_month_is_read_from_rollups() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Store::open(dir.path(), options(1_024)).expect("it opens");
    apply(&store, 1, &lines(0, 0, 8_000, 7));
    store.seal().expect("it seals");
    let wanted = CellsWanted {
        resolution_ns: 3_600_000_000_000,
        span: (i64::MIN, i64::MAX),
        edge: None,
        extreme: None,
        points_max: 0,
    };
    let view = store.view("db", None).expect("a database");
    let read = view.scan_cells("m", &[0], "f", wanted).expect("it reads");
    let read = read.expect("one type").remove(0);
    let (cells, left) = read.expect("no point is unpacked");
    assert!(left.is_empty());
    assert_eq!(cells[0].counts.iter().sum::<i64>(), 8_000);
    store.check().expect("it holds what its points add up to");
}

/// How many values a query reads, as EXPLAIN ANALYZE says.
fn values_read(store: &Store, query: &str) -> usize {
    let answer = ask(store, &format!("EXPLAIN ANALYZE {query}"));
    let lines = answer["results"][0]["series"][0]["values"].as_array();
    let last = lines.and_then(|lines| lines.last()?[0].as_str());
    let words: Vec<&str> = last.expect("lines").split_whitespace().collect();
    let number = words[words.len() - 3].parse();
    number.unwrap_or_else(|_| panic!("{words:?}"))
}

#[test]
fn what_has_no_buckets_reads_few_values() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Store::open(dir.path(), options(1_024)).expect("it opens");
    for series in 0..3 {
        apply(&store, u64::from(series) + 1, &lines(series, 0, 8_000, 7));
    }
    store.seal().expect("it seals");
    let hours = 3 * 23;
    assert_eq!(
        values_read(&store, "SELECT median(f) FROM m GROUP BY host"),
        24_000
    );
    for query in [
        "SELECT last(f) FROM m GROUP BY host",
        "SELECT count(f) FROM m",
        "SELECT mean(f) FROM m GROUP BY host",
    ] {
        assert_eq!(values_read(&store, query), hours, "{query}");
    }
    assert_eq!(values_read(&store, "SELECT first(f) FROM m"), 3);
    assert_eq!(
        values_read(&store, "SELECT count(f), last(i) FROM m"),
        2 * hours
    );
    let slices = values_read(
        &store,
        "SELECT last(f), i FROM m WHERE i > -100000 GROUP BY host",
    );
    assert!(slices < 1_000, "{slices}");
    let half = values_read(
        &store,
        "SELECT last(f) FROM m WHERE time < 40000s GROUP BY host",
    );
    assert!((3..=3 * 4_000).contains(&half), "{half}");
    // The time of the most stands in no cell: the one chunk that has it is unpacked.
    let most = "SELECT max(f) FROM m WHERE host = 'h1'";
    assert_eq!(values_read(&store, most), 8_000);
    apply(&store, 4, &lines(1, 2_000, 8_000, 9));
    store.seal().expect("it seals");
    assert_eq!(values_read(&store, most), 8_000);
    // What came since is in memory, and lies behind the chunk.
    apply(&store, 5, &lines(0, 2_000, 5, 7));
    let last = "SELECT last(f) FROM m WHERE host = 'h0'";
    assert_eq!(values_read(&store, last), 1);
}

#[test]
fn series_that_are_gone_read_as_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Store::open(dir.path(), options(64)).expect("it opens");
    apply(&store, 1, &lines(0, 0, 500, 7));
    store.seal().expect("it seals");
    let view = store.view("db", None).expect("a database");
    let all = (i64::MIN, i64::MAX);
    let wanted = CellsWanted {
        resolution_ns: 3_600_000_000_000,
        span: all,
        edge: None,
        extreme: None,
        points_max: usize::MAX,
    };
    let read = view
        .scan_cells("m", &[0, 7], "f", wanted)
        .expect("it reads");
    let read = read.expect("one type");
    let (cells, left) = read[1].clone().expect("nothing to unpack");
    assert!(cells.is_empty() && left.is_empty());
    assert!(read[0].as_ref().is_some_and(|(cells, _)| !cells.is_empty()));
    let extent = |series: &[u32]| view.extent("m", series, all.0, all.1);
    assert_eq!(extent(&[0, 7]), extent(&[0]));
    assert_eq!(view.sizes("m", &[7, 0], &["f", "i"], all), [0, 1_000]);
}
