//! What memory keeps of series and lines that are gone, and what a deletion takes that goes in slices.

use super::*;
use crate::lines::{Precision, Scanner};

const SECOND_NS: i64 = 1_000_000_000;

fn open(dir: &Path) -> Store {
    Store::open(dir, StoreOptions::default()).expect("the store opens")
}

fn write(store: &Store, sequence: u64, text: &str) {
    let mut intake = store.intake("db", None, 0, text.as_bytes(), Precision::Nanoseconds);
    let mut scanner = Scanner::new(text.as_bytes(), Precision::Nanoseconds);
    while let Some(line) = scanner.next_line() {
        let parts = line.verdict.expect("a good line");
        intake.take(parts, Some(line.bytes)).expect("the same type");
    }
    let batch = intake.finish();
    let applied = store.apply(sequence, "db", None, 0, &batch);
    applied.expect("the store takes points");
}

/// Looks at the measurement `m`.
fn look<T>(store: &Store, look: impl FnOnce(&catalogue::Measurement) -> T) -> T {
    let view = store.view("db", None).expect("a database");
    view.with("m", look).expect("a measurement")
}

/// The times and values of a field of the series with a tag `host`.
fn points(store: &Store, host: &str, field: &str) -> (Vec<i64>, Vec<i64>) {
    let view = store.view("db", None).expect("a database");
    let series = view.series("m", &[("host", host)]);
    let read = view.scan("m", &[series[0].number], &[field], i64::MIN, i64::MAX);
    match read.expect("it reads")[0][0].first() {
        None => (Vec::new(), Vec::new()),
        Some(column) => match &column.values {
            Values::Integer(values) => (column.times.clone(), values.clone()),
            other => panic!("{other:?}"),
        },
    }
}

/// A line whose fields `f0` to `f7`, each of its number's value, stand in an order of its own.
fn shuffled(number: i64) -> String {
    let mut fields: Vec<i64> = (0..8).collect();
    let mut noise = number as u64;
    for at in (1..fields.len()).rev() {
        noise = noise
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        fields.swap(at, (noise >> 33) as usize % (at + 1));
    }
    let fields = fields
        .iter()
        .map(|field| format!("f{field}={}i", number * 10 + field));
    let fields: Vec<String> = fields.collect();
    format!("m,host=a {} {number}\n", fields.join(","))
}

#[test]
fn fields_that_stand_in_another_order_each_time_make_no_new_shape() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    for (sequence, first) in (1..).zip((0..400).step_by(100)) {
        let text: String = (first..first + 100).map(shuffled).collect();
        write(&store, sequence, &text);
    }
    assert_eq!(look(&store, |found| found.shapes.len()), 1);
    for field in 0..8 {
        let (times, values) = points(&store, "a", &format!("f{field}"));
        assert_eq!(times, (0..400).collect::<Vec<i64>>());
        let wanted: Vec<i64> = (0..400).map(|number| number * 10 + field).collect();
        assert_eq!(values, wanted);
    }
}

#[test]
fn of_a_field_that_stands_twice_in_a_line_the_later_value_counts_in_any_order() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    write(&store, 1, "m,host=a x=1i,y=2i 1");
    write(
        &store,
        2,
        "m,host=a y=3i,x=4i,y=5i 2\nm,host=a y=6i,y=7i,x=8i 3",
    );
    write(
        &store,
        3,
        "m,host=a y=9i,x=10i,y=11i 4\nm,host=a y=12i,y=13i,x=14i 5",
    );
    assert_eq!(points(&store, "a", "x").1, [1, 4, 8, 10, 14]);
    assert_eq!(points(&store, "a", "y").1, [2, 5, 7, 11, 13]);
}

#[test]
fn shapes_of_lines_with_ever_other_fields_are_forgotten() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    // Eleven fields, of which each line has others.
    let line = |number: i64| {
        let fields = (0..11).filter(|field| number >> field & 1 == 1);
        let fields: Vec<String> = fields.map(|field| format!("f{field}={number}i")).collect();
        format!("m,host=a {} {number}\n", fields.join(","))
    };
    let text: String = (1..2_048).map(line).collect();
    write(&store, 1, &text);
    assert_eq!(look(&store, |found| found.shapes.len()), 2_047);
    store.seal().expect("it seals");
    write(&store, 2, &line(2_047).repeat(2));
    assert_eq!(look(&store, |found| found.shapes.len()), 1);
    let odd: Vec<i64> = (1..2_048).step_by(2).collect();
    assert_eq!(points(&store, "a", "f0"), (odd.clone(), odd));
}

#[test]
fn series_that_come_and_go_leave_no_room_taken() {
    const SERIES: usize = 3_000;
    const GENERATIONS: i64 = 12;
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    let hour_ns = 3_600 * SECOND_NS;
    let made = store.create_policy("db", "hour", hour_ns, true);
    made.expect("a policy");
    for generation in 0..GENERATIONS {
        let time = generation * 2 * hour_ns;
        let line = |number| format!("m,host=h{generation}-{number},kind=short v=1i {time}\n");
        let stays = format!("m,host=stays v={generation}i {time}");
        let text: String = (0..SERIES).map(line).chain([stays]).collect();
        write(&store, generation as u64 + 1, &text);
        store.seal().expect("it seals");
        store.enforce(time + hour_ns / 2).expect("it lets go");
        let (room, texts, order) = look(&store, |found| {
            let texts = found.index.values().map(std::collections::BTreeMap::len);
            (found.series.room(), texts.sum::<usize>(), found.order.len())
        });
        assert_eq!(order, SERIES + 1);
        // Hosts, one of which stays, and one kind.
        assert_eq!(texts, SERIES + 2);
        assert!(room <= SERIES + 1 + 3 * series::PAGE_SERIES, "{room}");
    }
    let (times, values) = points(&store, "stays", "v");
    assert_eq!(values, [GENERATIONS - 1]);
    let view = store.view("db", None).expect("a database");
    assert_eq!(view.series("m", &[("kind", "short")]).len(), SERIES);
    drop((view, store));
    assert_eq!(points(&open(dir.path()), "stays", "v"), (times, values));
}

#[test]
fn what_is_pushed_while_a_measurement_is_deleted_stays() {
    let batches = [
        "m,host=a v=1i 1\nm,host=b v=1i 1\nm,host=c v=1i 1",
        "m,host=a v=2i 1\nm,host=b v=2i 2\nm,host=d v=2i 1\n",
    ];
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    let place = ["db", DEFAULT_POLICY, "m"];
    write(&store, 1, batches[0]);
    let begun = store
        .begin_cut(place, i64::MIN, i64::MAX)
        .expect("it is there");
    assert_eq!(begun.0, 1, "what the deletion takes came by then");
    write(&store, 2, batches[1]);
    while store.cut_slice(place) {}
    assert_eq!(points(&store, "a", "v"), (vec![1], vec![2]));
    assert_eq!(points(&store, "b", "v"), (vec![2], vec![2]));
    assert_eq!(points(&store, "c", "v"), (vec![], vec![]));
    assert_eq!(points(&store, "d", "v"), (vec![1], vec![2]));
    // What memory takes is what the rows take that are left.
    let rows = look(&store, |found| {
        let heads = found.series.iter().map(|(_, series)| &series.head);
        heads.map(head::Head::memory_bytes).sum::<usize>()
    });
    assert_eq!(store.head_bytes(), rows);
}

#[test]
fn a_measurement_of_many_series_is_deleted_in_slices() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    let place = ["db", DEFAULT_POLICY, "m"];
    let line = |number| format!("m,host=h{number} v=1i 1\n");
    let text: String = (0..45_000).map(line).collect();
    write(&store, 1, &text);
    store
        .begin_cut(place, i64::MIN, i64::MAX)
        .expect("it is there");
    assert!(store.cut_slice(place));
    // Others come in between, and read what is not deleted yet.
    let left = look(&store, |found| {
        let with_points = found.series.iter();
        with_points.filter(|(_, series)| !series.is_empty()).count()
    });
    assert_eq!(left, 25_000);
    assert!(store.cut_slice(place));
    assert!(!store.cut_slice(place));
    assert_eq!(store.head_bytes(), 0);
}
