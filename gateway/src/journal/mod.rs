//! The durable log of accepted batches.
//!
//! # Invariants
//!
//! - [`Journal::append`] answers only after the batch is on disk (`fdatasync`). What it answered is never lost.
//! - Sequences count from 1 without gaps, in the order in which batches were committed; a batch that failed has none.
//! - A failed append leaves nothing behind: the segment is cut back to what was durable before, and until that has
//!   succeeded every further append fails.
//! - One process at a time owns a journal; a lock on the file `lock` sees to it.
//! - What a reader's [`Place`] has not passed is kept for it, unless the reader yields and the journal would be full for its sake.
//! - Size and age are bounded: an append that would exceed `max_bytes` fails with [`JournalError::Full`], one that comes
//!   when the oldest unread batch has waited for `max_age` with [`JournalError::Stale`]. The age is the difference between the
//!   times at which both batches came: a clock that jumps ahead by more than `max_age` turns pushes away until the backlog is
//!   read (which the embedded store does at once, [`Place::oldest_unread_ns`]), one that jumps back does nothing.
//!
//! # Form
//!
//! Segment files, and no table in SQLite with the same promise: measured beside each other (`make bench-journal`, two cores),
//! segments take batches of 1,000 lines 3.0 times as fast as they come and 2.2 times with gzip, for a quarter and a third
//! of the processor time, and write every byte once where a write-ahead log writes it twice; a dozen lines a push take
//! the same time in both, being bound by the sync.
//!
//! # Format
//!
//! Segment files `NNNNNNNNNNNNNNNNNNNN.segment`, named by the first sequence they may hold, in decimal. All numbers are little-endian.
//!
//! ```text
//! segment  = magic "HDRMJRN4" (8) · first sequence u64 · record*
//! record   = length u32 (of meta and body) · crc32c u32 (of all else) · sequence u64 · version u32 (4) · meta · body
//! meta     = precision u8 · encoding u8 · received_ns i64 · database (u16 + bytes) · retention policy (u8 flag, u16 + bytes)
//!            · lines of a batch that can be sent as it came u32 (or 2^32 - 1) · refused ranges (u32 count, then u32 start and u32 end each)
//!            · series (u32 count, then a u32 each) · client, peer and request id (u8 + bytes each)
//! body     = the batch's bytes as the client sent them, gzip included
//! ```
//!
//! The former version had the magic "HDRMJRN3", the version 3, and no client, peer and request id. What it wrote is read; a
//! segment of its is not written on, so that it refuses a newer journal instead of cutting off what it does not know.
//!
//! # Recovery
//!
//! The last segment is read through at the start. A tail that ends before its record does (the process died in a write that
//! nobody was answered for) is cut off and logged. A record whose checksum is wrong while whole records follow it is a
//! damaged disk: it is logged, counted and passed over, and what follows it is kept. Readers do the same in older segments.
//!
//! A last record that is there in its length and whose checksum is wrong may be either: a power cut in a write that nobody was
//! answered for, which may leave the length without the bytes, or a damaged disk. It is counted, cut off, and kept in a file
//! `SEGMENT.OFFSET.damaged` beside the segments, which nothing reads. A header that is damaged is counted as well and costs
//! nothing, since the segment's name says the same; where no whole record is behind it, the file is not taken for a segment.

mod age;
mod damage;
mod error;
mod places;
mod reader;
mod record;
mod recovery;
mod segment;
mod writer;

#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};

pub use error::JournalError;
pub use places::Place;
pub use reader::Reader;
pub use record::{Batch, Provenance};
pub use segment::is_segment;

use age::Ages;
use damage::Damage;
use places::ReadThrough;
use segment::Segment;
use writer::{Append, Request, Writer};

/// The journal's folder in the data folder.
pub const DIR_NAME: &str = "journal";
/// A segment is closed at this size: large enough that files are few, small enough that trimming frees disk early.
pub const SEGMENT_MAX_BYTES: u64 = 32 << 20;
/// How many batches may wait for the writer thread; beyond it, appends wait for a place.
const QUEUE_BATCHES: usize = 1024;

/// How a journal is opened.
#[derive(Debug, Clone, Copy)]
pub struct JournalOptions {
    /// The most bytes that the segments may hold together.
    pub max_bytes: u64,
    /// How long the oldest unread batch may have waited when another is appended.
    pub max_age: Duration,
    /// The size at which a segment is closed.
    pub segment_max_bytes: u64,
    /// The last sequence that any reader already has: a journal that was deleted does not count from 1 again.
    pub start_after: u64,
    /// The last sequence that every reader has whose backlog may grow too old.
    pub read_through: u64,
}

/// A handle to the journal; clones share it.
#[derive(Clone)]
pub struct Journal {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Request>,
    writer: Arc<Mutex<Option<JoinHandle<()>>>>,
}

/// What the writer thread, the readers and the handles share.
struct Shared {
    options: JournalOptions,
    dir: PathBuf,
    segments: Mutex<VecDeque<Segment>>,
    places: Mutex<Vec<ReadThrough>>,
    ages: Mutex<Ages>,
    committed: watch::Sender<u64>,
    /// Why the last commit failed, if it did.
    failing: Mutex<Option<JournalError>>,
    damage: Damage,
    _lock: File,
}

impl Journal {
    /// Opens or creates the journal in a folder and recovers it.
    ///
    /// # Errors
    ///
    /// Fails if the folder cannot be used, belongs to another process, or holds segments of an unknown format.
    pub fn open(dir: &Path, options: JournalOptions) -> Result<Self, JournalError> {
        Self::open_on(dir, options, Box::new(segment::open_file))
    }

    fn open_on(
        dir: &Path,
        options: JournalOptions,
        opener: segment::Opener,
    ) -> Result<Self, JournalError> {
        fs::create_dir_all(dir).map_err(|source| JournalError::io("create", dir, source))?;
        let lock = lock(dir)?;
        let recovered = recovery::recover(dir)?;
        let committed = recovered.last_sequence.max(options.start_after);
        let shared = Arc::new(Shared {
            options,
            dir: dir.to_owned(),
            segments: Mutex::new(recovered.segments),
            places: Mutex::default(),
            ages: Mutex::default(),
            committed: watch::Sender::new(committed),
            failing: Mutex::default(),
            damage: recovered.damage,
            _lock: lock,
        });
        shared.ages.lock().forget_through(options.read_through);
        let mut reader = Reader::new(Arc::clone(&shared), options.read_through + 1);
        if let Some((sequence, batch)) = reader.next_committed()? {
            shared.ages.lock().note(sequence, batch.received_ns);
        }
        let (queue, receiver) = mpsc::channel(QUEUE_BATCHES);
        let writer = Writer::open(Arc::clone(&shared), opener, committed + 1)?;
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.run(receiver))
            .map_err(|source| JournalError::io("start the writer thread of", dir, source))?;
        Ok(Self {
            shared,
            queue,
            writer: Arc::new(Mutex::new(Some(thread))),
        })
    }

    /// Makes a batch durable and answers its sequence. A dropped future does not undo the append.
    ///
    /// # Errors
    ///
    /// [`JournalError::Full`] and [`JournalError::Stale`] beyond the limits, [`JournalError::Io`] if the disk failed; in both cases nothing
    /// was kept and a later append may succeed. [`JournalError::Closed`] during shutdown.
    pub async fn append(&self, batch: Batch) -> Result<u64, JournalError> {
        let (done, answer) = oneshot::channel();
        self.queue
            .send(Request::Append(Box::new(Append { batch, done })))
            .await
            .map_err(|_| JournalError::Closed)?;
        answer.await.map_err(|_| JournalError::Closed)?
    }

    /// Reads committed batches in order, from a sequence on.
    #[must_use]
    pub fn reader(&self, from: u64) -> Reader {
        Reader::new(Arc::clone(&self.shared), from)
    }

    /// The sequence of the last committed batch; 0 before the first.
    #[must_use]
    pub fn last_sequence(&self) -> u64 {
        *self.shared.committed.borrow()
    }

    /// Takes a reader in that is done with everything up to a sequence. One that `yields` is passed over where the journal would be
    /// full for its sake alone.
    #[must_use]
    pub fn place(&self, read_through: u64, yields: bool) -> Place {
        Place::new(Arc::clone(&self.shared), read_through, yields)
    }

    /// The first sequence that the journal still holds.
    #[must_use]
    pub fn first_sequence(&self) -> u64 {
        let segments = self.shared.segments.lock();
        segments.front().map_or(1, |first| first.first_sequence)
    }

    /// The bytes that the segments hold.
    #[must_use]
    pub fn pending_bytes(&self) -> u64 {
        self.shared.pending_bytes()
    }

    /// Why the last append failed; `None` while appends succeed.
    #[must_use]
    pub fn failing(&self) -> Option<JournalError> {
        self.shared.failing.lock().clone()
    }

    /// When the oldest batch came that no reader has, in nanoseconds since 1970; `None` if all are read.
    #[must_use]
    pub fn oldest_unread_ns(&self) -> Option<i64> {
        self.shared.ages.lock().oldest_ns(self.last_sequence())
    }

    /// How many damaged places were met since the start: records, and headers of segments.
    #[must_use]
    pub fn damaged_records(&self) -> u64 {
        self.shared.damage.count()
    }

    /// Commits what waits and ends the writer thread; later appends fail.
    pub async fn close(&self) {
        let _ = self.queue.send(Request::Close).await;
        let thread = self.writer.lock().take();
        if let Some(thread) = thread {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

impl Shared {
    fn pending_bytes(&self) -> u64 {
        self.segments
            .lock()
            .iter()
            .map(|segment| segment.size_bytes)
            .sum()
    }

    fn delete_through(&self, sequence: u64) {
        let mut segments = self.segments.lock();
        while segments.len() > 1 && segments[1].first_sequence <= sequence.saturating_add(1) {
            let path = segments[0].path(&self.dir);
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(%error, path = %path.display(), "a journal segment could not be deleted; it is tried again");
                return;
            }
            segments.pop_front();
        }
    }
}

fn lock(dir: &Path) -> Result<File, JournalError> {
    let path = dir.join("lock");
    let file = File::create(&path).map_err(|source| JournalError::io("create", &path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(JournalError::InUse {
            dir: dir.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(JournalError::io("lock", &path, source)),
    }
}
