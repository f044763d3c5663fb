//! Rejects: the lines that were refused, kept with their reasons until they are replayed, too old or too many.
//!
//! # Invariants
//!
//! - Keeping a reject never holds up or sinks a push: lines are offered to a queue of bounded size, and a thread of its
//!   own writes them. What finds no room is dropped and counted; the push's answer names it all the same.
//! - Whoever lists, removes or replays rejects finds those of every push that was answered before.
//! - The thread writes at most a quarter of the time, so that a flood of bad lines takes a bounded part of the disk.
//! - A line that InfluxDB refused after its push was answered is on disk before the sender goes on.
//! - A replayed reject goes only after its line is in the journal. A crash in between leaves both, and the next replay
//!   writes the same point again, which changes nothing.
//! - The file keeps to its bound: the oldest rejects go first, and are counted.
//!
//! The file is SQLite (WAL, `synchronous=FULL`), apart from the store's, so that neither waits for the other.

mod file;
mod queue;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::sync::{Mutex, MutexGuard};

use crate::{
    clock::Clock,
    config::RejectsLimits,
    lines::{Precision, Refusal},
    metrics::Metrics,
};
use file::File;
pub(crate) use file::Judgement;
use queue::Queue;

/// The folder of the file, below the data folder.
pub const DIR_NAME: &str = "rejects";
/// The file.
pub const FILE_NAME: &str = "rejects.sqlite";
/// Longer lines are dropped: a few of them would push all others out.
const LINE_MAX_BYTES: usize = 256 << 10;
/// How much of a measurement's name, and of a server's message, is kept.
const TEXT_MAX_BYTES: usize = 1024;

/// Why rejects cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum RejectsError {
    /// The file cannot be opened.
    #[error("{} cannot be opened: {source}; move it away to start without it", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: rusqlite::Error,
    },
    /// The file is of another version.
    #[error("{} has format {found}, this version writes {known}; move it away to start without it", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What it has.
        found: i64,
        /// What is known.
        known: i64,
    },
    /// SQLite failed.
    #[error("the rejects' file failed: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The work on the file was broken off.
    #[error("the work on the rejects' file was broken off")]
    BrokenOff,
}

/// Where a reject came from: what it takes to push its line again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The name of the token; empty where everybody is trusted.
    pub client: String,
    /// The address that it was pushed from; empty where it is not known any more.
    pub peer: String,
    /// The database.
    pub database: String,
    /// The retention policy; `None`: the database's default.
    pub retention_policy: Option<String>,
    /// The unit of the timestamp.
    pub precision: Precision,
    /// When its push came, in nanoseconds since 1970; the time of a line without a timestamp.
    pub received_ns: i64,
}

/// A refused line of a push, which is offered to be kept.
#[derive(Debug, Clone, Copy)]
pub struct Offered<'a> {
    /// Its number in its batch, from 1.
    pub number: usize,
    /// Why it was refused.
    pub refusal: &'a Refusal,
    /// How many blanks stand before it, which are not kept.
    pub indent: usize,
    /// The line.
    pub text: &'a [u8],
}

/// A line that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Its number, which grows; 0 before it is kept.
    pub id: i64,
    /// When it was refused, in nanoseconds since 1970.
    pub time_ns: i64,
    /// Where it came from.
    pub source: Arc<Source>,
    /// The destination whose InfluxDB refused it, once its push was answered; `None`: the gateway refused it.
    pub destination: Option<Arc<str>>,
    /// The rule that it broke.
    pub reason: String,
    /// What was wrong, and what would be right.
    pub message: String,
    /// Its number in its batch, from 1.
    pub number: usize,
    /// The byte in the line where it was, from 1.
    pub column: Option<usize>,
    /// The measurement, as far as the line has one.
    pub measurement: String,
    /// The line.
    pub line: Vec<u8>,
}

impl Reject {
    /// Makes a reject of a refused line.
    #[must_use]
    pub fn new(
        source: &Arc<Source>,
        time_ns: i64,
        number: usize,
        refusal: &Refusal,
        line: &[u8],
    ) -> Self {
        Self {
            id: 0,
            time_ns,
            source: Arc::clone(source),
            destination: None,
            reason: refusal.rule.code().to_owned(),
            message: clipped(&refusal.reason).to_owned(),
            number,
            column: refusal.column,
            measurement: measurement_of(line),
            line: line.to_owned(),
        }
    }

    /// About what it takes in memory and in the file.
    fn size_bytes(&self) -> usize {
        size_of::<Self>()
            + self.line.len()
            + self.message.len()
            + self.measurement.len()
            + self.reason.len()
    }
}

/// Which rejects are meant; what is `None` lets all pass.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// The rule that they broke.
    pub reason: Option<String>,
    /// Their measurement.
    pub measurement: Option<String>,
    /// Their token's name or their address.
    pub client: Option<String>,
}

/// The rejects that are kept. Clones share them.
#[derive(Clone)]
pub struct Rejects(Arc<Inner>);

struct Inner {
    file: Arc<File>,
    queue: Queue,
    metrics: Arc<Metrics>,
    clock: Clock,
    /// One replay at a time: two would push the same lines.
    replaying: Mutex<()>,
}

impl Rejects {
    /// Opens the file, which is made where there is none, and starts the thread that writes it.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened.
    pub fn open(
        data_dir: &Path,
        limits: RejectsLimits,
        metrics: Arc<Metrics>,
        clock: Clock,
    ) -> Result<Self, RejectsError> {
        let file = Arc::new(File::open(
            &data_dir.join(DIR_NAME).join(FILE_NAME),
            limits,
        )?);
        let queue = Queue::start(Arc::clone(&file), Arc::clone(&metrics), Arc::clone(&clock));
        Ok(Self(Arc::new(Inner {
            file,
            queue,
            metrics,
            clock,
            replaying: Mutex::new(()),
        })))
    }

    /// Offers the refused lines of a push to be kept; never waits.
    pub fn offer<'a>(&self, source: Source, refused: impl Iterator<Item = Offered<'a>>) {
        let source = Arc::new(source);
        let mut kept = Vec::new();
        for Offered {
            number,
            refusal,
            indent,
            text,
        } in refused
        {
            let Some(mut reject) = self.made(&source, source.received_ns, number, refusal, text)
            else {
                continue;
            };
            reject.column = reject.column.map(|column| column.saturating_sub(indent));
            if self.0.queue.reserve(&reject) {
                kept.push(reject);
            } else {
                self.0.metrics.count_dropped_rejects("queue_full", 1);
            }
        }
        self.0.queue.put(kept);
    }

    /// Keeps lines that a destination's InfluxDB refused, with their numbers; they are on disk when this returns. What cannot be
    /// kept is counted.
    pub async fn keep<'a>(
        &self,
        source: Source,
        destination: &str,
        refusal: &Refusal,
        lines: impl Iterator<Item = (usize, &'a [u8])>,
    ) {
        let (source, now_ns) = (Arc::new(source), (self.0.clock)());
        let destination: Arc<str> = destination.into();
        let mut kept = Vec::new();
        for (number, line) in lines {
            if let Some(mut reject) = self.made(&source, now_ns, number, refusal, line) {
                reject.destination = Some(Arc::clone(&destination));
                kept.push(reject);
            }
        }
        let count = kept.len() as u64;
        match self.work(move |file| file.insert(&kept)).await {
            Ok(gone) => self.0.metrics.count_dropped_rejects("size", gone),
            Err(error) => {
                self.0.metrics.count_dropped_rejects("disk", count);
                tracing::error!(%error, lines = count, "lines that InfluxDB refused could not be kept");
            }
        }
    }

    /// Says whether so many bytes of lines can be kept without that others go.
    #[must_use]
    pub fn has_room(&self, line_bytes: usize) -> bool {
        self.0.file.has_room(line_bytes as u64)
    }

    /// Lists the newest rejects with an id below `before`.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub async fn newest(
        &self,
        filter: Filter,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Reject>, RejectsError> {
        self.0.queue.written().await;
        self.work(move |file| file.newest(&filter, before.unwrap_or(i64::MAX), limit))
            .await
    }

    /// Removes rejects; says how many.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub async fn remove(&self, filter: Filter) -> Result<u64, RejectsError> {
        self.0.queue.written().await;
        self.work(move |file| file.remove(&filter)).await
    }

    /// Begins a replay: waits for the one that runs, and for what was offered before.
    pub(crate) async fn replaying(&self) -> MutexGuard<'_, ()> {
        let alone = self.0.replaying.lock().await;
        self.0.queue.written().await;
        alone
    }

    /// Lists the oldest rejects with an id above `after`.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub(crate) async fn oldest(
        &self,
        filter: Filter,
        after: i64,
        limit: usize,
    ) -> Result<Vec<Reject>, RejectsError> {
        self.work(move |file| file.oldest(&filter, after, limit))
            .await
    }

    /// Removes the rejects that a replay had accepted, and notes why the others were refused again.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub(crate) async fn settle(
        &self,
        accepted: Vec<i64>,
        refused: Vec<Judgement>,
    ) -> Result<(), RejectsError> {
        self.work(move |file| file.settle(&accepted, &refused))
            .await
    }

    /// The time now, in nanoseconds since 1970.
    pub(crate) fn now_ns(&self) -> i64 {
        (self.0.clock)()
    }

    /// How many are kept, and how many bytes they take.
    #[must_use]
    pub fn usage(&self) -> (u64, u64) {
        self.0.file.usage()
    }

    /// Writes what waits; nothing is kept from then on.
    pub async fn close(&self) {
        let rejects = self.clone();
        let closed = tokio::task::spawn_blocking(move || rejects.0.queue.close()).await;
        if let Err(error) = closed {
            tracing::error!(%error, "closing the rejects panicked");
        }
    }

    /// Makes a reject of a line, unless that is too long to be kept, which is counted.
    fn made(
        &self,
        source: &Arc<Source>,
        time_ns: i64,
        number: usize,
        refusal: &Refusal,
        line: &[u8],
    ) -> Option<Reject> {
        if line.len() > LINE_MAX_BYTES {
            self.0.metrics.count_dropped_rejects("too_long", 1);
            return None;
        }
        Some(Reject::new(source, time_ns, number, refusal, line))
    }

    /// Works on the file off the runtime's threads.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&File) -> Result<T, RejectsError> + Send + 'static,
    ) -> Result<T, RejectsError> {
        let file = Arc::clone(&self.0.file);
        tokio::task::spawn_blocking(move || work(&file))
            .await
            .map_err(|_| RejectsError::BrokenOff)?
    }
}

fn clipped(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_MAX_BYTES)]
}

/// The measurement of a line, however wrong the rest is: what stands before its first comma or space.
fn measurement_of(line: &[u8]) -> String {
    let mut name = Vec::new();
    let mut bytes = line.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b',' | b' ' => break,
            b'\\' => name.push(bytes.next_if(|next| b", ".contains(next)).unwrap_or(byte)),
            _ => name.push(byte),
        }
        if name.len() >= TEXT_MAX_BYTES {
            break;
        }
    }
    String::from_utf8_lossy(&name).into_owned()
}

#[cfg(test)]
mod tests;
