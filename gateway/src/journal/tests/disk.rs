//! A disk that fails for a while: nothing that was answered is lost, nothing else is kept, and writing goes on.

use std::{
    io::{self, Error, ErrorKind},
    sync::atomic::{AtomicBool, Ordering},
};

use tempfile::TempDir;

use super::{super::segment::SegmentFile, *};

/// Every batch begins a segment.
const ONE_IN_EACH: JournalOptions = JournalOptions {
    segment_max_bytes: 1,
    ..OPTIONS
};

/// How a disk fails, while a switch is on.
#[derive(Default)]
struct Faults {
    /// It writes half of what it is given and fails.
    full: AtomicBool,
    /// It writes and cannot make it durable.
    unsynced: AtomicBool,
    /// It does not cut files back.
    stuck: AtomicBool,
    /// It opens nothing for writing.
    read_only: AtomicBool,
}

impl Faults {
    fn check(switch: &AtomicBool, kind: ErrorKind) -> io::Result<()> {
        if switch.load(Ordering::SeqCst) {
            return Err(Error::from(kind));
        }
        Ok(())
    }
}

/// A file on such a disk.
struct Failing {
    file: Box<dyn SegmentFile>,
    faults: Arc<Faults>,
}

impl SegmentFile for Failing {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Err(full) = Faults::check(&self.faults.full, ErrorKind::StorageFull) {
            self.file.append(&bytes[..bytes.len() / 2])?;
            return Err(full);
        }
        self.file.append(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        Faults::check(&self.faults.unsynced, ErrorKind::Other)?;
        self.file.sync()
    }

    fn truncate(&mut self, size_bytes: u64) -> io::Result<()> {
        Faults::check(&self.faults.stuck, ErrorKind::Other)?;
        self.file.truncate(size_bytes)
    }
}

fn open_on(faults: &Arc<Faults>, dir: &Path, options: JournalOptions) -> Journal {
    let faults = Arc::clone(faults);
    let opener: segment::Opener = Box::new(move |path| {
        Faults::check(&faults.read_only, ErrorKind::ReadOnlyFilesystem)?;
        Ok(Box::new(Failing {
            file: segment::open_file(path)?,
            faults: Arc::clone(&faults),
        }))
    });
    Journal::open_on(dir, options, opener).expect("opens")
}

/// A journal with a batch in it, on a disk whose faults can be switched on.
async fn with_a_batch(options: JournalOptions) -> (TempDir, Arc<Faults>, Journal) {
    let dir = tempfile::tempdir().expect("a folder");
    let faults = Arc::new(Faults::default());
    let journal = open_on(&faults, dir.path(), options);
    journal.append(batch("m f=1")).await.expect("appended");
    (dir, faults, journal)
}

/// Appends a batch that the disk does not take; the client is to send it again, and learns nothing of the server's folders.
async fn check_refused(journal: &Journal, dir: &Path) {
    let before = journal.last_sequence();
    let refused = journal.append(batch("m f=lost")).await;
    let error = refused.expect_err("the disk fails");
    assert!(error.is_retryable(), "{error}");
    let word = journal.failing().expect("it fails").for_clients();
    let path = dir.display().to_string();
    assert!(word.contains("disk") && !word.contains(&path), "{word}");
    assert_eq!(journal.last_sequence(), before);
}

/// Checks that the journal writes again, that it holds what was answered and no more, and that a restart finds the same.
async fn check_recovered(journal: Journal, dir: &Path, options: JournalOptions) {
    let next = journal.last_sequence() + 1;
    let appended = journal.append(batch(&format!("m f={next}"))).await;
    assert_eq!(appended.expect("the disk is back"), next);
    assert!(journal.failing().is_none());
    assert_eq!(bodies(&journal, 1), expected(1..=next));
    journal.close().await;
    drop(journal);
    let journal = Journal::open(dir, options).expect("opens");
    assert_eq!(bodies(&journal, 1), expected(1..=next));
    assert_eq!(journal.damaged_records(), 0);
    journal.close().await;
}

#[tokio::test]
async fn a_full_disk_fails_the_append_and_leaves_no_garbage() {
    let (dir, faults, journal) = with_a_batch(OPTIONS).await;
    faults.full.store(true, Ordering::SeqCst);
    faults.stuck.store(true, Ordering::SeqCst);
    check_refused(&journal, dir.path()).await;
    faults.full.store(false, Ordering::SeqCst);
    // The torn write is still there.
    check_refused(&journal, dir.path()).await;
    faults.stuck.store(false, Ordering::SeqCst);
    check_recovered(journal, dir.path(), OPTIONS).await;
}

#[tokio::test]
async fn a_write_that_cannot_be_synced_fails_the_append_and_leaves_no_garbage() {
    let (dir, faults, journal) = with_a_batch(OPTIONS).await;
    faults.unsynced.store(true, Ordering::SeqCst);
    check_refused(&journal, dir.path()).await;
    check_refused(&journal, dir.path()).await;
    faults.unsynced.store(false, Ordering::SeqCst);
    check_recovered(journal, dir.path(), OPTIONS).await;
}

#[tokio::test]
async fn a_disk_that_turns_read_only_fails_the_next_segment_until_it_is_writable() {
    let (dir, faults, journal) = with_a_batch(ONE_IN_EACH).await;
    faults.read_only.store(true, Ordering::SeqCst);
    check_refused(&journal, dir.path()).await;
    check_refused(&journal, dir.path()).await;
    assert_eq!(bodies(&journal, 1), expected(1..=1), "it is still read");
    faults.read_only.store(false, Ordering::SeqCst);
    check_recovered(journal, dir.path(), ONE_IN_EACH).await;
}

#[tokio::test]
async fn a_new_segment_that_cannot_be_synced_is_made_anew() {
    let (dir, faults, journal) = with_a_batch(ONE_IN_EACH).await;
    faults.unsynced.store(true, Ordering::SeqCst);
    check_refused(&journal, dir.path()).await;
    faults.unsynced.store(false, Ordering::SeqCst);
    check_recovered(journal, dir.path(), ONE_IN_EACH).await;
}
