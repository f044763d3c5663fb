//! Queries over what chunks add up to, beside the same queries over points.

use std::time::Duration;

use headroom_gateway::{
    influxql::{
        self, QueryLimits, QueryRequest,
        answer::{Epoch, Format, Style},
    },
    lines::{Precision, scan},
    store::{Batch, Store, StoreOptions},
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

const QUERIES: [&str; 10] = [
    "SELECT count(f), sum(f), mean(f), min(f), max(f), spread(f), first(f), last(f) FROM m WHERE time >= 0 AND time < 16h GROUP BY time(5m)",
    "SELECT count(i), sum(i), mean(i), min(i), max(i), spread(i), first(i), last(i) FROM m WHERE time >= 0 AND time < 16h GROUP BY time(1h), host",
    "SELECT mean(f) FROM m WHERE time >= 17m AND time < 613m GROUP BY time(1h), host fill(none)",
    "SELECT sum(i) FROM m WHERE time > 1111s AND time <= 40000s GROUP BY time(10m, 5m) fill(0)",
    "SELECT last(f) FROM m WHERE time >= 0 AND time < 16h GROUP BY time(15m), * ORDER BY time DESC",
    "SELECT max(i) FROM m WHERE host = 'h1' AND time >= 0 AND time < 16h GROUP BY time(2h)",
    "SELECT derivative(mean(f), 1m) FROM m WHERE time >= 1h AND time < 16h GROUP BY time(5m)",
    "SELECT mean(f) FROM m WHERE i > 0 AND time >= 0 AND time < 16h GROUP BY time(1h)",
    "SELECT mean(f) FROM m WHERE time >= 0 AND time < 16h GROUP BY time(7m)",
    "SELECT max(x) FROM (SELECT mean(f) AS x FROM m WHERE time >= 0 AND time < 16h GROUP BY time(5m), host) GROUP BY time(1h)",
];

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
    let (cells, left) = store
        .view("db", None)
        .expect("a database")
        .scan_cells("m", &[0], "f", 3_600_000_000_000, (i64::MIN, i64::MAX))
        .expect("it reads")
        .expect("one type")
        .remove(0);
    assert!(left.is_empty(), "no point is unpacked");
    assert_eq!(cells[0].counts.iter().sum::<i64>(), 8_000);
    store.check().expect("it holds what its points add up to");
}
