//! A store of the former format becomes one of this at its first start, however often that is broken off.

use std::path::Path;

use headroom_gateway::{
    lines::{Precision, scan},
    store::{Batch, CellsWanted, Column, FILE_NAME, Store, StoreError, StoreOptions},
};
use rusqlite::{Connection, params};

const POINTS: i64 = 4_000;
const SERIES: i64 = 20;
const HOUR_NS: i64 = 3_600_000_000_000;

fn open(dir: &Path) -> Result<Store, StoreError> {
    Store::open(dir, StoreOptions::default())
}

/// Points every ten seconds, in two seals of which the first has rollups.
fn fill(store: &Store) {
    for (sequence, times) in [(1, 0..POINTS), (2, POINTS..POINTS + 100)] {
        let line = |series: i64, time: i64| {
            let value = (series * 7_919 + time * 104_729) % 10_007;
            let time_ns = time * 10_000_000_000;
            format!("m,host=h{series} f={value}.5,t=\"{value}\" {time_ns}\n")
        };
        let text: String = (0..SERIES)
            .flat_map(|series| times.clone().map(move |time| line(series, time)))
            .collect();
        let points = scan(text.as_bytes(), Precision::Nanoseconds);
        let batch = Batch::of_points(points.map(|line| line.verdict.expect("a good line")));
        let applied = store.apply(sequence, "db", None, 0, &batch);
        applied.expect("the store takes points");
        store.seal().expect("it seals");
    }
}

fn points(store: &Store) -> Vec<Vec<Vec<Column>>> {
    let view = store.view("db", None).expect("a database");
    let series: Vec<u32> = (0..SERIES as u32).collect();
    let read = view.scan("m", &series, &["f", "t"], i64::MIN, i64::MAX);
    read.expect("it reads")
}

/// Gives a file the tables of format 3.
fn make_former(file: &mut Connection) {
    let changing = file.transaction().expect("a transaction");
    let tables = "
        CREATE TABLE blobs (id INTEGER PRIMARY KEY, data BLOB NOT NULL);
        CREATE TABLE rollups (id INTEGER PRIMARY KEY, resolutions INTEGER NOT NULL, data BLOB NOT NULL);
        INSERT INTO rollups SELECT id, resolutions, x'00' FROM chunks WHERE resolutions <> 0;
        UPDATE meta SET value = 3 WHERE name = 'format';
        ALTER TABLE chunks DROP COLUMN resolutions;";
    changing.execute_batch(tables).expect("tables");
    {
        let fragments = "SELECT id >> 16, data FROM chunk_fragments ORDER BY id";
        let mut fragments = changing.prepare(fragments).expect("fragments");
        let mut rows = fragments.query([]).expect("rows");
        while let Some(row) = rows.next().expect("a row") {
            let (id, data): (i64, Vec<u8>) = (row.get(0).expect("id"), row.get(1).expect("data"));
            let append = "INSERT INTO blobs VALUES (?1, ?2) \
                          ON CONFLICT (id) DO UPDATE SET data = CAST(data || ?2 AS BLOB)";
            changing.execute(append, params![id, data]).expect("a blob");
        }
    }
    let gone = "DROP TABLE chunk_fragments; DROP TABLE rollup_fragments";
    changing.execute_batch(gone).expect("no tables");
    changing.commit().expect("a commit");
}

fn count(file: &Connection, query: &str) -> i64 {
    let answer = file.query_row(query, [], |row| row.get(0));
    answer.expect("a number")
}

#[test]
fn a_store_of_the_former_format_is_brought_to_this_one() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path()).expect("it opens");
    fill(&store);
    let expected = points(&store);
    drop(store);
    let mut file = Connection::open(dir.path().join(FILE_NAME)).expect("the file opens");
    make_former(&mut file);
    let with_rollups = count(&file, "SELECT count(*) FROM rollups");
    assert_eq!(with_rollups, SERIES, "numbers have one, texts have none");
    // The disk fails in the middle, twice.
    for at in [7, 33] {
        let broken = format!(
            "CREATE TRIGGER broken BEFORE DELETE ON blobs WHEN old.id = {at} BEGIN SELECT RAISE(ABORT, 'broken'); END"
        );
        file.execute_batch(&broken).expect("a trigger");
        open(dir.path()).expect_err("broken");
        assert_eq!(
            count(&file, "SELECT value FROM meta WHERE name = 'format'"),
            4
        );
        file.execute_batch("DROP TRIGGER broken")
            .expect("no trigger");
    }
    let store = open(dir.path()).expect("it opens");
    store.check().expect("a sound store");
    assert!(points(&store) == expected, "other points");
    let wanted = CellsWanted {
        resolution_ns: HOUR_NS,
        span: (i64::MIN, i64::MAX),
        edge: None,
        extreme: None,
        points_max: 100,
    };
    let view = store.view("db", None).expect("a database");
    let read = view.scan_cells("m", &[3], "f", wanted).expect("it reads");
    let (cells, left) = read.expect("one type").remove(0).expect("few points");
    assert_eq!(cells[0].counts.iter().sum::<i64>(), POINTS);
    assert_eq!(left.len(), 100);
    let former = "SELECT count(*) FROM sqlite_schema WHERE name IN ('blobs', 'rollups')";
    assert_eq!(count(&file, former), 0);
    fill(&store);
    store.check().expect("a sound store");
}

#[test]
fn a_store_of_another_version_is_left_as_it_is() {
    let dir = tempfile::tempdir().expect("a folder");
    drop(open(dir.path()).expect("it opens"));
    let file = Connection::open(dir.path().join(FILE_NAME)).expect("the file opens");
    for format in [2, 5] {
        file.execute("UPDATE meta SET value = ?1 WHERE name = 'format'", [format])
            .expect("a change");
        let error = open(dir.path()).expect_err("another version's");
        let expected = format!("has format {format}, this version reads format 4");
        assert!(error.to_string().contains(&expected), "{error}");
        assert_eq!(
            count(&file, "SELECT value FROM meta WHERE name = 'format'"),
            format
        );
    }
}
