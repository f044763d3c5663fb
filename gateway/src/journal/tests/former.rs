//! A journal that the former version wrote.

use super::*;

/// A segment of the former version with two batches, as it left it.
const SEGMENT: &str = "\
    4844524d4a524e33010000000000000048000000f714b6cc0100000000000000030000000300070000000000000008007465\
    6c65677261660104007765656b02000000020000000300000005000000090000000c00000003000000070000000900000000\
    286bee6d20663d3148000000c68921fb02000000000000000300000003000700000000000000080074656c65677261660104\
    007765656b02000000020000000300000005000000090000000c00000003000000070000000900000000286bee6d20663d32";
const RECORD_BYTES: usize = 92;

fn segment_bytes() -> Vec<u8> {
    hex::decode(SEGMENT).expect("hexadecimal")
}

fn put(dir: &Path, bytes: &[u8]) {
    fs::write(dir.join("00000000000000000001.segment"), bytes).expect("writable");
}

fn segments(dir: &Path) -> usize {
    let entries = fs::read_dir(dir).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| is_segment(path)).count()
}

#[tokio::test]
async fn what_it_holds_is_read_and_nothing_is_written_behind_it() {
    let dir = tempfile::tempdir().expect("a folder");
    put(dir.path(), &segment_bytes());
    let journal = Journal::open(dir.path(), OPTIONS).expect("opens");
    let first = journal.reader(1).next_committed().expect("readable");
    let unsigned = Batch {
        provenance: Provenance::default(),
        ..batch("m f=1")
    };
    assert_eq!(first, Some((1, unsigned)));
    assert_eq!(journal.append(batch("m f=3")).await.expect("appended"), 3);
    assert_eq!(bodies(&journal, 1), expected(1..=3));
    journal.close().await;
    drop(journal);
    let journal = Journal::open(dir.path(), OPTIONS).expect("opens again");
    assert_eq!(journal.append(batch("m f=4")).await.expect("appended"), 4);
    assert_eq!(bodies(&journal, 1), expected(1..=4));
    assert_eq!(journal.damaged_records(), 0);
    assert_eq!(segments(dir.path()), 2, "the new one is written on");
    let left = fs::read(dir.path().join("00000000000000000001.segment"));
    assert_eq!(left.expect("readable"), segment_bytes());
}

#[tokio::test]
async fn its_torn_tail_and_its_empty_segment_are_left_behind_as_before() {
    let dir = tempfile::tempdir().expect("a folder");
    let whole = segment_bytes();
    for torn in 1..=RECORD_BYTES * 2 {
        put(dir.path(), &whole[..whole.len() - torn]);
        let left = u64::from(torn <= RECORD_BYTES);
        let journal = Journal::open(dir.path(), OPTIONS).expect("opens");
        assert_eq!(journal.last_sequence(), left, "torn by {torn}");
        let text = format!("m f={}", left + 1);
        let next = journal.append(batch(&text)).await.expect("appended");
        assert_eq!(bodies(&journal, 1), expected(1..=next), "torn by {torn}");
        assert_eq!(journal.damaged_records(), 0, "torn by {torn}");
        journal.close().await;
        drop(journal);
        let newer = dir.path().join("00000000000000000002.segment");
        assert_eq!(newer.exists(), left == 1, "torn by {torn}");
        if left == 1 {
            fs::remove_file(newer).expect("removable");
        }
    }
}
