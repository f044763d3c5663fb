//! The bound on the store's file and log, seen at every moment, and what is done in slices to keep it.

use std::{
    fmt::Write,
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use headroom_gateway::{
    lines::{Precision, scan},
    store::{Batch, Doomed, FILE_NAME, Store, StoreError, StoreOptions, Values},
};
use rusqlite::Connection;

const MAX_BYTES: u64 = 64 << 20;
const TEXT_BYTES: usize = 100_000;

fn open(dir: &Path) -> Store {
    let options = StoreOptions {
        max_bytes: Some(MAX_BYTES),
        ..StoreOptions::default()
    };
    Store::open(dir, options).expect("the store opens")
}

fn file(dir: &Path) -> Connection {
    Connection::open(dir.join(FILE_NAME)).expect("the file opens")
}

/// The first number of a query's answer.
fn number(dir: &Path, query: &str) -> i64 {
    let answer = file(dir).query_row(query, [], |row| row.get(0));
    answer.expect("a number")
}

fn apply(store: &Store, sequence: u64, text: &str) {
    let points = scan(text.as_bytes(), Precision::Nanoseconds);
    let batch = Batch::of_points(points.map(|line| line.verdict.expect("a good line")));
    let applied = store.apply(sequence, "db", None, 0, &batch);
    applied.expect("the store takes points");
}

/// Bits that do not compress.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn text(&mut self, bytes: usize) -> String {
        const LETTERS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut text = String::with_capacity(bytes + 10);
        while text.len() < bytes {
            let bits = self.next();
            text.extend((0..10).map(|at| char::from(LETTERS[(bits >> (6 * at)) as usize % 64])));
        }
        text
    }
}

/// Texts of one series, and numbers of many.
fn lines(noise: &mut Noise, round: u64, texts: usize, numbers: usize) -> String {
    let mut lines = String::new();
    for at in 0..texts {
        let time = round * 1_000_000 + at as u64;
        let text = noise.text(TEXT_BYTES);
        writeln!(lines, "log,host=a text=\"{text}\" {time}").expect("memory");
    }
    for at in 0..numbers {
        let time = round * 1_000_000 + (at / 500) as u64;
        let value = noise.next() as i64;
        let host = at % 500;
        writeln!(lines, "m,host=h{host} v={value}i {time}").expect("memory");
    }
    lines
}

/// What the file, its log and the log's index take. The log is looked at first: what moves into the file in between is
/// counted twice, as it was there twice.
fn size(dir: &Path) -> u64 {
    ["-wal", "-shm", ""]
        .map(|suffix| fs::metadata(dir.join(format!("{FILE_NAME}{suffix}"))))
        .map(|file| file.map_or(0, |file| file.len()))
        .iter()
        .sum()
}

/// Looks at the size over and over while something is done; answers the largest, and how often it looked.
fn largest_during(dir: &Path, work: impl FnOnce()) -> (u64, u64) {
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let (mut largest, mut looks) = (0, 0);
            while !is_done.load(Ordering::Relaxed) {
                largest = size(dir).max(largest);
                looks += 1;
            }
            (largest, looks)
        });
        work();
        is_done.store(true, Ordering::Relaxed);
        watch.join().expect("no panic")
    })
}

fn all(measurement: &str) -> Vec<Doomed> {
    vec![Doomed {
        policy: "autogen".to_owned(),
        measurement: measurement.into(),
        series: None,
    }]
}

#[test]
fn file_and_log_stay_within_the_bound_at_every_moment() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    let mut noise = Noise(1);
    let (largest, looks) = largest_during(dir.path(), || {
        for round in 1..=4 {
            apply(&store, round, &lines(&mut noise, round, 200, 50_000));
            store.seal().expect("it seals");
            store.compact().expect("it merges");
            let cut = (round * 1_000_000 + 20, round * 1_000_000 + 40);
            let cut = (cut.0 as i64, cut.1 as i64);
            store
                .delete("db", &all("m"), cut.0, cut.1)
                .expect("it deletes");
            store
                .delete("db", &all("log"), cut.0, cut.1)
                .expect("it deletes");
            store.enforce(0).expect("it gives back");
        }
        assert!(store.usage().evicted_values > 0, "{:?}", store.usage());
        store.check().expect("a sound store");
        store.drop_database("db").expect("it goes");
        store.enforce(0).expect("it gives back");
    });
    assert!(looks > 1_000, "{looks}");
    assert!(largest > MAX_BYTES / 2, "{largest}");
    assert!(largest <= MAX_BYTES, "{largest}");
}

#[test]
fn a_reader_that_holds_the_log_makes_a_full_store_wait_and_loses_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    let mut noise = Noise(2);
    apply(&store, 1, &lines(&mut noise, 1, 400, 0));
    store.seal().expect("it seals");
    let reader = file(dir.path());
    reader
        .execute_batch("BEGIN; SELECT count(*) FROM chunks")
        .expect("a reader");
    let (largest, _) = largest_during(dir.path(), || {
        apply(&store, 2, &lines(&mut noise, 2, 300, 0));
        let error = store.seal().expect_err("no room for the log");
        assert!(matches!(error, StoreError::LogHeld { .. }), "{error}");
        let again = store.seal().expect_err("nor the second time");
        assert!(matches!(again, StoreError::LogHeld { .. }), "{again}");
    });
    assert!(largest <= MAX_BYTES, "{largest}");
    drop(reader);
    store.seal().expect("it seals");
    assert_eq!(store.sealed_through(), 2);
    assert_eq!(store.head_bytes(), 0);
    let view = store.view("db", None).expect("a database");
    let columns = view.scan("log", &[0], &["text"], 2_000_000, i64::MAX);
    assert_eq!(columns.expect("it reads")[0][0][0].len(), 300);
    store.check().expect("a sound store");
}

#[test]
fn chunks_of_large_texts_stay_small_through_seals_and_merges() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    let text = |number: u64| format!("{number}{}", "x".repeat(TEXT_BYTES));
    let line = |number| format!("log text=\"{}\" {number}\n", text(number));
    // A megabyte holds ten of them, whatever they compress to.
    for number in 0..40 {
        apply(&store, number + 1, &line(number));
        store.seal().expect("it seals");
        store.compact().expect("it merges");
    }
    let most = "SELECT max(points) FROM chunks";
    assert!((4..=10).contains(&number(dir.path(), most)));
    let chunks = number(dir.path(), "SELECT count(*) FROM chunks");
    assert!(chunks <= 40 / 4 + 3, "small ones are merged: {chunks}");
    apply(&store, 41, &(40..80).map(line).collect::<String>());
    store.seal().expect("it seals");
    store.compact().expect("it merges");
    assert_eq!(number(dir.path(), most), 10);
    let view = store.view("db", None).expect("a database");
    let columns = view.scan("log", &[0], &["text"], i64::MIN, i64::MAX);
    let expected = (0..80).map(|number| text(number).into()).collect();
    let found = &columns.expect("it reads")[0][0][0].values;
    assert!(*found == Values::Text(expected), "other texts");
}

/// Has the file refuse to change what a trigger says, as a disk does that fails in the middle.
fn fail(dir: &Path, at: &str) {
    let trigger =
        format!("CREATE TRIGGER broken BEFORE {at} BEGIN SELECT RAISE(ABORT, 'broken'); END");
    file(dir).execute_batch(&trigger).expect("a trigger");
}

fn mend(dir: &Path) {
    let mended = file(dir).execute_batch("DROP TRIGGER broken");
    mended.expect("no trigger");
}

fn values_left(dir: &Path) -> i64 {
    number(dir, "SELECT coalesce(sum(points), 0) FROM chunks")
}

#[test]
fn a_drop_that_broke_off_is_finished_by_the_next_start() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    apply(&store, 1, &lines(&mut Noise(3), 1, 3, 3_000));
    store.seal().expect("it seals");
    apply(&store, 2, "m v=1i 1");
    fail(dir.path(), "DELETE ON series");
    store.drop_database("db").expect_err("broken");
    assert!(store.databases().is_empty());
    mend(dir.path());
    assert_ne!(number(dir.path(), "SELECT count(*) FROM series"), 0);
    drop(store);
    let store = open(dir.path());
    for table in [
        "databases",
        "policies",
        "series",
        "columns",
        "weeks",
        "chunks",
        "chunk_fragments",
        "rollup_fragments",
        "unfinished",
    ] {
        let rows = number(dir.path(), &format!("SELECT count(*) FROM {table}"));
        assert_eq!(rows, 0, "{table}");
    }
    apply(&store, 2, "m v=1i 1");
    assert!(store.databases().is_empty(), "a replay brings nothing back");
    apply(&store, 3, "m v=2i 1");
    store.seal().expect("it seals");
    assert_eq!(values_left(dir.path()), 1);
}

#[test]
fn a_deletion_that_broke_off_is_finished_before_anything_else_changes() {
    for is_restarted in [true, false] {
        let dir = tempfile::tempdir().expect("a folder");
        let mut store = open(dir.path());
        apply(&store, 1, &lines(&mut Noise(4), 0, 0, 10_000));
        store.seal().expect("it seals");
        assert_eq!(values_left(dir.path()), 10_000);
        // Each of the 500 series has points from 0 to 19: the last half goes, in chunks that are cut.
        fail(dir.path(), "UPDATE ON chunks WHEN old.id > 250");
        store.delete("db", &all("m"), 10, 30).expect_err("broken");
        mend(dir.path());
        if is_restarted {
            drop(store);
            store = open(dir.path());
        } else {
            apply(&store, 2, "m,host=h1 v=1i 12");
            store.seal().expect("it finishes the deletion, then seals");
        }
        let expected = if is_restarted { 5_000 } else { 5_001 };
        assert_eq!(values_left(dir.path()), expected);
        assert_eq!(number(dir.path(), "SELECT count(*) FROM unfinished"), 0);
        if is_restarted {
            apply(&store, 1, &lines(&mut Noise(4), 0, 0, 10_000));
        }
        let view = store.view("db", None).expect("a database");
        let columns = view.scan("m", &[0], &["v"], i64::MIN, i64::MAX);
        let times = &columns.expect("it reads")[0][0][0].times;
        assert_eq!(*times, (0..10).collect::<Vec<i64>>());
    }
}

#[test]
fn a_database_that_comes_again_after_a_drop_that_failed_is_a_new_one() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    apply(&store, 1, "m v=1i 1\nm v=1i 2");
    store.seal().expect("it seals");
    fail(dir.path(), "INSERT ON unfinished");
    store.drop_database("db").expect_err("broken");
    mend(dir.path());
    apply(&store, 2, "m v=2i 3");
    store
        .seal()
        .expect("it seals, and notes that the old one goes");
    store.compact().expect("it finishes the drop");
    assert_eq!(values_left(dir.path()), 1);
    drop(store);
    let view = open(dir.path()).view("db", None).expect("a database");
    let columns = view.scan("m", &[0], &["v"], i64::MIN, i64::MAX);
    let values = &columns.expect("it reads")[0][0][0].values;
    assert_eq!(*values, Values::Integer(vec![2]));
}
