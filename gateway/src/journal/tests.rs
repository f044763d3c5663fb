mod damage;
mod disk;
mod former;

use std::{fs, path::Path};

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{body::Encoding, lines::Precision};

const OPTIONS: JournalOptions = JournalOptions {
    max_bytes: 1 << 20,
    max_age: Duration::from_mins(1),
    segment_max_bytes: 1 << 16,
    start_after: 0,
    read_through: 0,
};

fn batch(body: &str) -> Batch {
    Batch {
        database: "telegraf".into(),
        retention_policy: Some("week".into()),
        precision: Precision::Seconds,
        received_ns: 7,
        provenance: Provenance {
            client: "web-fleet".into(),
            peer: "10.0.0.7".into(),
            request_id: "agent-7:42".into(),
        },
        encoding: Encoding::Identity,
        body: Bytes::copy_from_slice(body.as_bytes()),
        refused: vec![3..5, 9..12],
        verbatim_lines: Some(2),
        series: vec![7, 9, 4_000_000_000],
    }
}

fn bodies(journal: &Journal, from: u64) -> Vec<(u64, String)> {
    let mut reader = journal.reader(from);
    std::iter::from_fn(|| reader.next_committed().expect("readable"))
        .map(|(sequence, batch)| (sequence, String::from_utf8_lossy(&batch.body).into_owned()))
        .collect()
}

fn expected(range: std::ops::RangeInclusive<u64>) -> Vec<(u64, String)> {
    range.map(|n| (n, format!("m f={n}"))).collect()
}

async fn filled(dir: &Path, options: JournalOptions, count: u64) -> Journal {
    let journal = Journal::open(dir, options).expect("opens");
    for n in 1..=count {
        assert_eq!(
            journal
                .append(batch(&format!("m f={n}")))
                .await
                .expect("appended"),
            n
        );
    }
    journal
}

fn last_segment(dir: &Path) -> std::path::PathBuf {
    let mut paths: Vec<_> = fs::read_dir(dir)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "segment")
        })
        .collect();
    paths.sort();
    paths.pop().expect("a segment")
}

#[tokio::test]
async fn what_was_appended_is_read_in_order_after_a_restart() {
    let dir = tempfile::tempdir().expect("a folder");
    let journal = filled(dir.path(), OPTIONS, 3).await;
    journal.close().await;
    drop(journal);
    let journal = Journal::open(dir.path(), OPTIONS).expect("opens again");
    assert_eq!(journal.last_sequence(), 3);
    assert_eq!(journal.append(batch("m f=4")).await.expect("appended"), 4);
    assert_eq!(bodies(&journal, 1), expected(1..=4));
    assert_eq!(bodies(&journal, 3), expected(3..=4));
    let (_, first) = journal
        .reader(1)
        .next()
        .await
        .expect("readable")
        .expect("a batch");
    assert_eq!(first, batch("m f=1"));
}

#[tokio::test]
async fn a_torn_tail_is_cut_off_wherever_it_is_torn() {
    let dir = tempfile::tempdir().expect("a folder");
    filled(dir.path(), OPTIONS, 2).await.close().await;
    let path = last_segment(dir.path());
    let whole = fs::read(&path).expect("a segment");
    let record = (whole.len() - segment::SEGMENT_HEADER_BYTES) / 2;
    for torn in 1..record {
        fs::write(&path, &whole[..whole.len() - torn]).expect("writable");
        let journal = Journal::open(dir.path(), OPTIONS).expect("opens");
        assert_eq!(bodies(&journal, 1), expected(1..=1), "torn by {torn}");
        assert_eq!(journal.damaged_records(), 0, "torn by {torn}");
        assert_eq!(journal.append(batch("m f=2")).await.expect("appended"), 2);
        assert_eq!(bodies(&journal, 1), expected(1..=2), "torn by {torn}");
        journal.close().await;
    }
    let names = fs::read_dir(dir.path()).expect("a folder");
    assert_eq!(names.count(), 2, "the segment and the lock, nothing kept");
}

#[tokio::test]
async fn a_segment_torn_at_birth_is_written_anew() {
    let dir = tempfile::tempdir().expect("a folder");
    let small = JournalOptions {
        segment_max_bytes: 1,
        ..OPTIONS
    };
    filled(dir.path(), small, 2).await.close().await;
    // A power cut may leave a file's length without its bytes.
    for bytes in [&segment::header(3)[..0], &segment::header(3)[..5], &[0; 16]] {
        fs::write(dir.path().join("00000000000000000003.segment"), bytes).expect("writable");
        let journal = Journal::open(dir.path(), small).expect("opens");
        assert_eq!(bodies(&journal, 1), expected(1..=2));
        assert_eq!(journal.last_sequence(), 2);
        journal.close().await;
    }
    let journal = Journal::open(dir.path(), small).expect("opens");
    assert_eq!(journal.append(batch("m f=3")).await.expect("appended"), 3);
    assert_eq!(bodies(&journal, 1), expected(1..=3));
}

#[tokio::test]
async fn trimming_frees_whole_segments_and_the_limit_is_kept() {
    let dir = tempfile::tempdir().expect("a folder");
    let small = JournalOptions {
        segment_max_bytes: 150,
        max_bytes: 900,
        ..OPTIONS
    };
    let journal = filled(dir.path(), small, 6).await;
    let before = journal.pending_bytes();
    let error = loop {
        if let Err(error) = journal.append(batch("m f=7")).await {
            break error;
        }
    };
    assert!(matches!(error, JournalError::Full { max_bytes: 900, .. }) && error.is_retryable());
    journal.place(0, false).read_through(4);
    assert!(journal.pending_bytes() < before);
    journal
        .append(batch("m f=8"))
        .await
        .expect("there is room again");
    assert!(
        bodies(&journal, 1)
            .iter()
            .any(|(sequence, _)| *sequence == 5)
    );
    assert_eq!(bodies(&journal, 5)[0].0, 5);
}

#[tokio::test]
async fn a_segment_stays_until_the_last_reader_is_past_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let small = JournalOptions {
        segment_max_bytes: 150,
        ..OPTIONS
    };
    let journal = filled(dir.path(), small, 6).await;
    let (fast, slow) = (journal.place(0, false), journal.place(2, false));
    fast.read_through(6);
    assert_eq!(bodies(&journal, 3), expected(3..=6));
    assert!(fast.unread_bytes() < slow.unread_bytes());
    slow.read_through(5);
    assert!(bodies(&journal, 1)[0].0 > 3, "both are past the first ones");
    assert_eq!(bodies(&journal, 6), expected(6..=6));
}

#[tokio::test]
async fn a_reader_that_yields_makes_room_and_one_that_does_not_turns_batches_away() {
    let dir = tempfile::tempdir().expect("a folder");
    let small = JournalOptions {
        segment_max_bytes: 150,
        max_bytes: 900,
        ..OPTIONS
    };
    let journal = filled(dir.path(), small, 1).await;
    let (needed, _away) = (journal.place(0, false), journal.place(0, true));
    for n in 2..=40 {
        let sequence = journal
            .append(batch(&format!("m f={n}")))
            .await
            .expect("room is made");
        needed.read_through(sequence);
    }
    let kept = bodies(&journal, 1);
    assert!(kept[0].0 > 20 && kept.last().expect("some").0 == 40);
    let error = loop {
        if let Err(error) = journal.append(batch("m f=41")).await {
            break error;
        }
    };
    assert!(matches!(error, JournalError::Full { .. }), "{error}");
    assert!(journal.oldest_unread_ns().is_some());
}

#[tokio::test]
async fn an_old_backlog_turns_batches_away_until_it_is_read() {
    let dir = tempfile::tempdir().expect("a folder");
    let at = |seconds: i64| Batch {
        received_ns: seconds * 1_000_000_000,
        ..batch("m f=1")
    };
    let journal = Journal::open(dir.path(), OPTIONS).expect("opens");
    for seconds in [100, 130, 160] {
        journal.append(at(seconds)).await.expect("young enough");
    }
    let stale = |outcome| {
        matches!(
            outcome,
            Err(JournalError::Stale {
                age_s: 61,
                max_age_s: 60
            })
        )
    };
    assert!(stale(journal.append(at(161)).await));
    let place = journal.place(0, false);
    place.read_through(1);
    journal
        .append(at(161))
        .await
        .expect("the oldest came at 130");
    journal
        .append(at(-5_000))
        .await
        .expect("a clock that jumps back does no harm");
    journal.close().await;
    drop((journal, place));
    let journal = Journal::open(dir.path(), OPTIONS).expect("opens");
    assert!(
        stale(journal.append(at(161)).await),
        "also after a restart, with its reader's place forgotten"
    );
    journal
        .place(0, false)
        .read_through(journal.last_sequence());
    assert_eq!(journal.oldest_unread_ns(), None);
    journal
        .append(at(9_000))
        .await
        .expect("nothing waits: a clock that jumps ahead does no harm");
}

#[tokio::test]
async fn a_deleted_journal_counts_on_after_what_its_reader_has() {
    let dir = tempfile::tempdir().expect("a folder");
    let journal = Journal::open(
        dir.path(),
        JournalOptions {
            start_after: 41,
            read_through: 41,
            ..OPTIONS
        },
    )
    .expect("opens");
    assert_eq!(journal.append(batch("m f=1")).await.expect("appended"), 42);
    assert_eq!(bodies(&journal, 42).len(), 1);
}

#[tokio::test]
async fn a_journal_has_one_owner() {
    let dir = tempfile::tempdir().expect("a folder");
    let _journal = Journal::open(dir.path(), OPTIONS).expect("opens");
    assert!(matches!(
        Journal::open(dir.path(), OPTIONS),
        Err(JournalError::InUse { .. })
    ));
}

#[tokio::test]
async fn another_files_content_is_not_taken_for_a_segment() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(
        dir.path().join("00000000000000000001.segment"),
        "not a segment at all",
    )
    .expect("writable");
    assert!(matches!(
        Journal::open(dir.path(), OPTIONS),
        Err(JournalError::UnknownFormat { .. })
    ));
}

#[tokio::test]
async fn appends_after_close_fail() {
    let dir = tempfile::tempdir().expect("a folder");
    let journal = filled(dir.path(), OPTIONS, 1).await;
    journal.close().await;
    assert!(matches!(
        journal.append(batch("m f=2")).await,
        Err(JournalError::Closed)
    ));
}

#[tokio::test]
async fn of_a_long_name_the_beginning_is_kept() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut long = batch("m f=1");
    // No character is cut in two.
    long.provenance.client = format!("{}é", "c".repeat(254));
    let journal = Journal::open(dir.path(), OPTIONS).expect("opens");
    journal.append(long).await.expect("appended");
    let (_, read) = journal
        .reader(1)
        .next_committed()
        .expect("readable")
        .expect("a batch");
    assert_eq!(read.provenance.client, "c".repeat(254));
    assert_eq!(read.body, "m f=1");
}

proptest! {
    #[test]
    fn every_batch_survives_its_record(
        database in ".{0,20}", policy in prop::option::of(".{0,9}"), received_ns: i64, gzip: bool,
        client in ".{0,20}", peer in ".{0,20}", request_id in ".{0,20}",
        body in prop::collection::vec(any::<u8>(), 0..200), refused in prop::collection::vec((any::<u32>(), any::<u32>()), 0..5),
        series in prop::collection::vec(any::<u32>(), 0..5),
    ) {
        let batch = Batch {
            database, retention_policy: policy, precision: Precision::Hours, received_ns,
            provenance: Provenance { client, peer, request_id },
            encoding: if gzip { Encoding::Gzip } else { Encoding::Identity },
            body: body.into(), refused: refused.into_iter().map(|(start, end)| start..end).collect(),
            verbatim_lines: None, series,
        };
        let mut bytes = b"before".to_vec();
        batch.encode(9, &mut bytes).expect("it fits");
        let header = record::whole_record(&bytes[6..]).expect("a whole record");
        prop_assert_eq!(header.sequence, 9);
        let payload = Bytes::copy_from_slice(&bytes[6 + record::RECORD_HEADER_BYTES..]);
        prop_assert_eq!(Batch::decode(header.version, payload), Some(batch));
    }

    #[test]
    fn no_bytes_make_recovery_panic(garbage in prop::collection::vec(any::<u8>(), 0..300)) {
        let dir = tempfile::tempdir().expect("a folder");
        let content = [&segment::header(1)[..], &garbage].concat();
        fs::write(dir.path().join("00000000000000000001.segment"), content).expect("writable");
        prop_assert!(recovery::recover(dir.path()).is_ok());
    }
}
