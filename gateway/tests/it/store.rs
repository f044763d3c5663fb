//! The store against a naive model, through seals, merges, deletions and new starts.

use std::{borrow::Cow, collections::BTreeMap, path::Path};

use headroom_gateway::{
    lines::{FieldValue, Point, Precision, Scanner},
    store::{
        Batch, Doomed, FILE_NAME, PolicyChange, Store, StoreOptions, StoreUsage, Unfit, Values,
    },
};
use proptest::prelude::*;

/// What happens to a store.
#[derive(Debug, Clone)]
enum Step {
    Write {
        series: u8,
        time: i64,
        value: i64,
    },
    Delete {
        series: Option<u8>,
        first: i64,
        last: i64,
    },
    Seal,
    Compact,
    /// The process ends without a word, and a new one replays the journal.
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let delete = (prop::option::of(0..3u8), 0..40i64, 0..20i64);
    prop_oneof![
        16 => (0..3u8, 0..40i64, any::<i64>()).prop_map(|(series, time, value)| Step::Write { series, time, value }),
        1 => delete.prop_map(|(series, first, length)| Step::Delete { series, first, last: first + length }),
        4 => Just(Step::Seal),
        1 => Just(Step::Compact),
        2 => Just(Step::Reopen),
    ]
}

fn point(series: u8, time: i64, value: i64) -> Point<'static> {
    Point {
        measurement: Cow::Borrowed("m"),
        tags: vec![(Cow::Borrowed("host"), Cow::Owned(format!("h{series}")))],
        fields: vec![(Cow::Borrowed("v"), FieldValue::Integer(value))],
        time_ns: Some(time),
    }
}

/// Writes a point as one, or as a line of text that finds its series by itself, in turns.
fn write(store: &Store, sequence: u64, point: Point<'static>) {
    let text = match &point.fields[..] {
        [(field, FieldValue::Integer(value))] if sequence.is_multiple_of(2) => {
            let time = point.time_ns.unwrap_or_default();
            format!("m,host={} {field}={value}i {time}", point.tags[0].1)
        }
        _ => String::new(),
    };
    let batch = if text.is_empty() {
        Batch::of_points([point])
    } else {
        let mut intake = store.intake("db", None, 0, text.as_bytes(), Precision::Nanoseconds);
        let mut scanner = Scanner::new(text.as_bytes(), Precision::Nanoseconds);
        while let Some(line) = scanner.next_line() {
            let parts = line.verdict.expect("a good line");
            intake.take(parts, Some(line.bytes)).expect("the same type");
        }
        intake.finish()
    };
    store
        .apply(sequence, "db", None, 0, &batch)
        .expect("the store takes points");
}

fn content(store: &Store) -> BTreeMap<(String, i64), i64> {
    let mut content = BTreeMap::new();
    let Some(view) = store.view("db", None) else {
        return content;
    };
    for series in view.series("m", &[]) {
        let columns = view
            .scan("m", &[series.number], &["v"], i64::MIN, i64::MAX)
            .expect("the store reads");
        for column in &columns[0][0] {
            assert!(column.is_tidy());
            let Values::Integer(values) = &column.values else {
                panic!("the field's type changed");
            };
            for (time, value) in column.times.iter().zip(values) {
                content.insert((series.key.to_string(), *time), *value);
            }
        }
    }
    content
}

fn options() -> StoreOptions {
    StoreOptions {
        seal_slice_columns: 2,
        ..StoreOptions::default()
    }
}

fn open(dir: &Path) -> Store {
    Store::open(dir, options()).expect("the store opens")
}

fn doomed(store: &Store, series: Option<u8>) -> Vec<Doomed> {
    let numbers = series.map(|series| {
        let view = store.view("db", None);
        let host = format!("h{series}");
        let found = view.map(|view| view.series("m", &[("host", &host)]));
        let found = found.unwrap_or_default();
        found.iter().map(|series| series.number).collect()
    });
    vec![Doomed {
        policy: "autogen".to_owned(),
        measurement: "m".into(),
        series: numbers,
    }]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_last_write_wins_and_what_was_deleted_stays_away(steps in prop::collection::vec(step(), 1..120)) {
        let dir = tempfile::tempdir().expect("a folder");
        let mut store = open(dir.path());
        store.create_database("db").expect("a database");
        let mut journal: Vec<(u8, i64, i64)> = Vec::new();
        let mut model = BTreeMap::new();
        for step in steps {
            match step {
                Step::Write { series, time, value } => {
                    journal.push((series, time, value));
                    write(&store, journal.len() as u64, point(series, time, value));
                    model.insert((format!("m,host=h{series}"), time), value);
                }
                Step::Delete { series, first, last } => {
                    store.delete("db", &doomed(&store, series), first, last).expect("points go");
                    let key = series.map(|series| format!("m,host=h{series}"));
                    model.retain(|(found, time), _| {
                        key.as_ref().is_some_and(|key| key != found) || !(first..=last).contains(time)
                    });
                }
                Step::Seal => {
                    let report = store.seal().expect("the store seals");
                    prop_assert_eq!(report.sealed_through, journal.len() as u64);
                }
                Step::Compact => {
                    store.compact().expect("the store merges chunks");
                }
                Step::Reopen => {
                    drop(store);
                    store = open(dir.path());
                    let from = store.sealed_through() as usize;
                    for (index, (series, time, value)) in journal.iter().enumerate().skip(from) {
                        write(&store, index as u64 + 1, point(*series, *time, *value));
                    }
                }
            }
            prop_assert_eq!(content(&store), model.clone());
        }
        store.seal().expect("the store seals");
        let report = store.check().expect("a sound store");
        prop_assert!(report.values as usize >= model.len());
        prop_assert_eq!(store.head_bytes(), 0);
    }
}

#[test]
fn replaying_what_is_sealed_already_changes_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    write(&store, 1, point(0, 10, 1));
    write(&store, 2, point(0, 10, 2));
    store.seal().expect("the store seals");
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.sealed_through(), 2);
    write(&store, 1, point(0, 10, 1));
    write(&store, 2, point(0, 10, 2));
    assert_eq!(content(&store).into_values().collect::<Vec<_>>(), [2]);
}

#[test]
fn many_small_chunks_become_one_and_say_the_same() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    for round in 0..16 {
        write(&store, round * 2 + 1, point(0, round as i64, round as i64));
        // A late one that overwrites what is sealed.
        write(&store, round * 2 + 2, point(0, 0, -(round as i64)));
        store.seal().expect("the store seals");
    }
    let before = content(&store);
    assert_eq!(store.check().expect("sound").chunks, 16);
    assert_eq!(store.compact().expect("merged"), 15);
    assert_eq!(store.check().expect("sound").chunks, 1);
    assert_eq!(content(&store), before);
    drop(store);
    assert_eq!(content(&open(dir.path())), before);
}

#[test]
fn points_go_when_they_are_older_than_the_retention() {
    const DAY_NS: i64 = 86_400_000_000_000;
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    write(&store, 1, point(0, DAY_NS, 1));
    write(&store, 2, point(1, 5 * DAY_NS, 2));
    store.seal().expect("the store seals");
    write(&store, 3, point(0, DAY_NS + 1, 3));
    let day = PolicyChange {
        duration_ns: Some(DAY_NS),
        make_default: false,
    };
    store.alter_policy("db", "autogen", day).expect("altered");
    store.enforce(5 * DAY_NS).expect("old points go");
    let left = BTreeMap::from([(("m,host=h1".to_owned(), 5 * DAY_NS), 2)]);
    assert_eq!(content(&store), left);
    assert_eq!(store.usage().expired_values, 1);
    drop(store);
    let store = open(dir.path());
    assert_eq!(
        store.policies("db").expect("a database")[0].duration_ns,
        DAY_NS
    );
    assert_eq!(content(&store), left);
}

#[test]
fn what_retention_has_taken_teaches_a_replay_no_type() {
    const DAY_NS: i64 = 86_400_000_000_000;
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    store
        .create_policy("db", "day", DAY_NS, true)
        .expect("a policy");
    // Thursday and Saturday are of one week; by Saturday, Thursday's points are gone.
    let journalled = [(1, "m v=1i 1"), (2, "m v=1.5 172800000000000")];
    for (sequence, text) in journalled {
        let intake = store.intake("db", None, 0, text.as_bytes(), Precision::Nanoseconds);
        let mut intake = intake.refusing_expired_at(2 * DAY_NS);
        let mut scanner = Scanner::new(text.as_bytes(), Precision::Nanoseconds);
        let line = scanner.next_line().expect("a line");
        let taken = intake.take(line.verdict.expect("a good line"), Some(line.bytes));
        assert_eq!(taken.is_ok(), sequence == 2, "{taken:?}");
        let batch = intake.finish();
        let applied = store.apply(sequence, "db", None, 0, &batch);
        applied.expect("the store takes points");
    }
    let view = store.view("db", None).expect("a database");
    let columns = view
        .scan("m", &[0], &["v"], i64::MIN, i64::MAX)
        .expect("the store reads");
    assert_eq!(columns[0][0][0].values, Values::Float(vec![1.5]));
}

#[test]
fn a_series_that_stands_twice_in_the_file_is_one() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    write(&store, 1, point(0, 1, 7));
    store.seal().expect("the store seals");
    let before = content(&store);
    drop(store);
    let file = rusqlite::Connection::open(dir.path().join(FILE_NAME)).expect("the file opens");
    let again = "INSERT INTO series (policy_id, measurement, tags) SELECT policy_id, measurement, tags FROM series";
    assert_eq!(file.execute(again, []).expect("a second row"), 1);
    drop(file);
    let store = open(dir.path());
    assert_eq!(content(&store), before);
    let view = store.view("db", None).expect("a database");
    assert_eq!(view.series("m", &[]).len(), 1);
    assert_eq!(view.series("m", &[("host", "h0")]).len(), 1);
}

#[test]
fn the_oldest_points_go_when_the_file_reaches_its_bound() {
    const MAX_BYTES: u64 = 64 << 20;
    let dir = tempfile::tempdir().expect("a folder");
    let bounded = StoreOptions {
        max_bytes: Some(MAX_BYTES),
        ..StoreOptions::default()
    };
    let store = Store::open(dir.path(), bounded).expect("the store opens");
    let (mut time, mut noise) = (0_i64, 1_u64);
    let mut usage = StoreUsage::default();
    for sequence in 1..=56 {
        let points = (0..100_000).map(|_| {
            // Digits that do not compress, to fill the file soon.
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            time += 1;
            point((time % 3) as u8, time, noise as i64)
        });
        store
            .apply(sequence, "db", None, 0, &Batch::of_points(points))
            .expect("the store takes points");
        if sequence % 4 == 0 {
            store.seal().expect("the store seals");
            usage = store.usage();
            assert!(usage.file_bytes <= MAX_BYTES, "{usage:?}");
        }
    }
    assert!(usage.evicted_values > 0, "{usage:?}");
    let content = content(&store);
    let oldest_left = content.keys().map(|(_, time)| *time).min();
    assert!(usage.evicted_through_ns < oldest_left.map(|time| time + 3 * 8_192));
    assert!(content.contains_key(&(format!("m,host=h{}", time % 3), time)));
}

/// Judges a line, as the lines of a push are.
fn judge(store: &Store, text: &str) -> Result<(), Unfit> {
    let mut scanner = Scanner::new(text.as_bytes(), Precision::Nanoseconds);
    let line = scanner.next_line().expect("a line");
    let parts = line.verdict.expect("a good line");
    let mut intake = store.intake("db", None, 0, text.as_bytes(), Precision::Nanoseconds);
    intake.take(parts, Some(line.bytes))
}

#[test]
fn a_field_may_have_another_type_in_another_week() {
    const WEEK_NS: i64 = 7 * 86_400_000_000_000;
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    write(&store, 1, point(0, 10, 1));
    let float = |time| {
        let mut point = point(0, time, 1);
        point.fields[0].1 = FieldValue::Float(1.5);
        point
    };
    let conflict = judge(&store, "m,host=h0 v=1.5 20");
    let message = conflict.expect_err("another type").to_string();
    assert!(
        message.contains("float") && message.contains("integer"),
        "{message}"
    );
    judge(&store, &format!("m,host=h0 v=1.5 {WEEK_NS}")).expect("a new week");
    write(&store, 2, float(WEEK_NS));
    store.seal().expect("the store seals");
    drop(store);
    let store = open(dir.path());
    assert!(judge(&store, "m,host=h0 v=1.5 30").is_err());
    assert!(judge(&store, &format!("m,host=h0 v=1i {}", WEEK_NS + 1)).is_err());
    let view = store.view("db", None).expect("a view");
    let names: Vec<_> = view
        .fields("m")
        .iter()
        .map(|field| field.field_type.name())
        .collect();
    assert_eq!(names, ["float", "integer"]);
}

#[test]
fn a_file_that_is_no_store_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("store.sqlite"), vec![b'x'; 8192]).expect("a file");
    let error = Store::open(dir.path(), options()).expect_err("no SQLite file");
    assert!(
        error.to_string().contains("restore it from a backup"),
        "{error}"
    );
}

#[test]
fn a_dropped_database_stays_away_after_a_replay() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    write(&store, 1, point(0, 10, 1));
    store.seal().expect("the store seals");
    write(&store, 2, point(0, 11, 1));
    store.drop_database("db").expect("the database goes");
    drop(store);
    let store = open(dir.path());
    write(&store, 2, point(0, 11, 1));
    assert!(store.databases().is_empty());
    write(&store, 3, point(0, 12, 5));
    assert_eq!(content(&store).into_values().collect::<Vec<_>>(), [5]);
}
