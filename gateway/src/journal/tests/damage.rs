//! What a damaged disk costs.

use std::{collections::BTreeMap, path::PathBuf};

use super::*;

/// Two segments of two records each.
const TWO_IN_EACH: JournalOptions = JournalOptions {
    segment_max_bytes: 150,
    ..OPTIONS
};
const RECORDS: u64 = 4;

/// The files of a folder that end so.
fn files(dir: &Path, extension: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    fs::read_dir(dir)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .map(|path| (path.clone(), fs::read(path).expect("readable")))
        .collect()
}

/// Makes a folder hold these files and no others.
fn put(dir: &Path, files: &BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(dir).expect("a folder") {
        fs::remove_file(entry.expect("an entry").path()).expect("removable");
    }
    for (path, bytes) in files {
        fs::write(path, bytes).expect("writable");
    }
}

fn without(lost: Option<u64>) -> Vec<(u64, String)> {
    let mut left = expected(1..=RECORDS);
    left.retain(|(sequence, _)| Some(*sequence) != lost);
    left
}

/// Opens a journal whose record `lost` is damaged, if one is: all others are there, it takes batches, and it stays so.
async fn check_damaged(dir: &Path, lost: Option<u64>, what: &str) {
    let journal = Journal::open(dir, TWO_IN_EACH).expect("opens");
    let mut found = without(lost);
    assert_eq!(bodies(&journal, 1), found, "{what}");
    assert_eq!(bodies(&journal, 1), found, "{what}");
    assert_eq!(journal.damaged_records(), 1, "{what}: counted once");
    let before = journal.last_sequence();
    let next = journal.append(batch("m f=next")).await.expect("appended");
    assert_eq!(next, before + 1, "{what}");
    found.push((next, "m f=next".to_owned()));
    assert_eq!(bodies(&journal, 1), found, "{what}");
    journal.close().await;
    drop(journal);
    let journal = Journal::open(dir, TWO_IN_EACH).expect("opens again");
    assert_eq!(bodies(&journal, 1), found, "{what}, after a restart");
    journal.close().await;
}

#[tokio::test]
async fn a_flipped_byte_costs_its_own_record_only_is_counted_and_its_bytes_are_kept_where_they_were_cut_off()
 {
    let dir = tempfile::tempdir().expect("a folder");
    filled(dir.path(), TWO_IN_EACH, RECORDS).await.close().await;
    let whole = files(dir.path(), "segment");
    assert_eq!(whole.len(), 2);
    for (number, (path, bytes)) in whole.iter().enumerate() {
        let record = (bytes.len() - segment::SEGMENT_HEADER_BYTES) / 2;
        for at in 0..bytes.len() {
            // One that makes a length shorter, or longer than the file; and one that makes it a little longer.
            for mask in [0x40, 0x01] {
                let mut flipped = bytes.clone();
                flipped[at] ^= mask;
                let mut damaged = whole.clone();
                damaged.insert(path.clone(), flipped.clone());
                put(dir.path(), &damaged);
                let lost = at
                    .checked_sub(segment::SEGMENT_HEADER_BYTES)
                    .map(|behind| (2 * number + behind / record + 1) as u64);
                let what = format!("segment {number}, byte {at}, mask {mask}");
                check_damaged(dir.path(), lost, &what).await;
                let kept: Vec<_> = files(dir.path(), "damaged").into_values().collect();
                if lost == Some(RECORDS) {
                    assert_eq!(kept, [&flipped[bytes.len() - record..]], "{what}");
                } else {
                    assert!(kept.is_empty(), "{what}");
                }
            }
        }
    }
}

#[tokio::test]
async fn zeros_at_the_end_are_counted_and_kept_for_they_may_have_been_an_answered_batch() {
    let dir = tempfile::tempdir().expect("a folder");
    filled(dir.path(), TWO_IN_EACH, RECORDS).await.close().await;
    let path = last_segment(dir.path());
    let mut bytes = fs::read(&path).expect("a segment");
    let record = (bytes.len() - segment::SEGMENT_HEADER_BYTES) / 2;
    let end = bytes.len();
    bytes[end - record..].fill(0);
    fs::write(&path, &bytes).expect("writable");
    check_damaged(dir.path(), Some(RECORDS), "zeros").await;
    let kept: Vec<_> = files(dir.path(), "damaged").into_values().collect();
    assert_eq!(kept, [vec![0; record]]);
}
