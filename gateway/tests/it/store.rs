//! The store against a naive model, through seals and new starts.

use std::{borrow::Cow, collections::BTreeMap};

use headroom_gateway::{
    lines::{FieldValue, Point},
    store::{Store, StoreOptions, Values},
};
use proptest::prelude::*;

/// What happens to a store.
#[derive(Debug, Clone)]
enum Step {
    Write { series: u8, time: i64, value: i64 },
    Seal,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..3u8, 0..40i64, any::<i64>()).prop_map(|(series, time, value)| Step::Write { series, time, value }),
        1 => Just(Step::Seal),
        1 => Just(Step::Reopen),
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

fn write(store: &Store, sequence: u64, point: Point<'static>) {
    store
        .apply(sequence, "db", None, 0, &mut std::iter::once(point))
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
        let column = columns[0][0].as_ref().expect("the field is there");
        assert!(column.is_tidy());
        let Values::Integer(values) = &column.values else {
            panic!("the field's type changed");
        };
        for (time, value) in column.times.iter().zip(values) {
            content.insert((series.key.to_string(), *time), *value);
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_last_write_wins_through_seals_and_replays(steps in prop::collection::vec(step(), 1..80)) {
        let dir = tempfile::tempdir().expect("a folder");
        let mut store = Store::open(dir.path(), options()).expect("the store opens");
        let mut journal: Vec<(u8, i64, i64)> = Vec::new();
        let mut model = BTreeMap::new();
        for step in steps {
            match step {
                Step::Write { series, time, value } => {
                    journal.push((series, time, value));
                    write(&store, journal.len() as u64, point(series, time, value));
                    model.insert((format!("m,host=h{series}"), time), value);
                }
                Step::Seal => {
                    let report = store.seal().expect("the store seals");
                    prop_assert_eq!(report.sealed_through, journal.len() as u64);
                }
                Step::Reopen => {
                    drop(store);
                    store = Store::open(dir.path(), options()).expect("the store opens again");
                    let from = store.sealed_through() as usize;
                    for (index, (series, time, value)) in journal.iter().enumerate().skip(from) {
                        write(&store, index as u64 + 1, point(*series, *time, *value));
                    }
                }
            }
            prop_assert_eq!(content(&store), model.clone());
        }
    }
}

#[test]
fn replaying_what_is_sealed_already_changes_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Store::open(dir.path(), options()).expect("the store opens");
    write(&store, 1, point(0, 10, 1));
    write(&store, 2, point(0, 10, 2));
    store.seal().expect("the store seals");
    drop(store);
    let store = Store::open(dir.path(), options()).expect("the store opens again");
    assert_eq!(store.sealed_through(), 2);
    write(&store, 1, point(0, 10, 1));
    write(&store, 2, point(0, 10, 2));
    assert_eq!(content(&store).into_values().collect::<Vec<_>>(), [2]);
}

#[test]
fn a_type_conflict_names_both_types() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Store::open(dir.path(), options()).expect("the store opens");
    write(&store, 1, point(0, 10, 1));
    let mut other = point(0, 20, 1);
    other.fields[0].1 = FieldValue::Float(1.5);
    let conflict = store
        .claim_types("db", None, &other)
        .expect_err("another type");
    let message = conflict.to_string();
    assert!(
        message.contains("float") && message.contains("integer"),
        "{message}"
    );
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
fn a_dropped_database_stays_away_after_a_restart() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Store::open(dir.path(), options()).expect("the store opens");
    write(&store, 1, point(0, 10, 1));
    store.seal().expect("the store seals");
    store.drop_database("db").expect("the database goes");
    drop(store);
    let store = Store::open(dir.path(), options()).expect("the store opens again");
    assert!(store.databases().is_empty());
}
