//! The queue between pushes and the file, and the thread at its end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::{Reject, file::File};
use crate::{clock::Clock, metrics::Metrics};

/// What may wait: the rejects of one very bad batch, and little memory.
const QUEUE_MAX_BYTES: usize = 8 << 20;
/// One transaction takes about so much.
const TRANSACTION_BYTES: usize = 1 << 20;
/// After each transaction the thread rests for this many times as long …
const REST_FACTOR: u32 = 3;
/// … and for so long at most, however slow the disk was.
const REST_MOST: Duration = Duration::from_secs(1);
/// How often old rejects are let go.
const EXPIRE_EVERY: Duration = Duration::from_mins(1);

/// What waits in the queue.
enum Waiting {
    Rejects(Vec<Reject>),
    /// Somebody who wants to know when all before it is written.
    Reader(oneshot::Sender<()>),
}

/// The queue's entrance.
pub(super) struct Queue {
    waiting_bytes: Arc<AtomicUsize>,
    /// `None` once it is closed.
    entrance: Mutex<Option<Sender<Waiting>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The thread and what it works with.
struct Worker {
    file: Arc<File>,
    metrics: Arc<Metrics>,
    clock: Clock,
    waiting_bytes: Arc<AtomicUsize>,
    exit: Receiver<Waiting>,
}

impl Queue {
    pub(super) fn start(file: Arc<File>, metrics: Arc<Metrics>, clock: Clock) -> Self {
        let (entrance, exit) = mpsc::channel();
        let waiting_bytes = Arc::new(AtomicUsize::new(0));
        let worker = Worker {
            file,
            metrics,
            clock,
            waiting_bytes: Arc::clone(&waiting_bytes),
            exit,
        };
        let started = thread::Builder::new()
            .name("rejects".to_owned())
            .spawn(move || worker.run());
        let thread = started
            .inspect_err(|error| tracing::error!(%error, "rejects are not kept: no thread"))
            .ok();
        Self {
            waiting_bytes,
            entrance: Mutex::new(Some(entrance)),
            thread: Mutex::new(thread),
        }
    }

    /// Takes room for a reject; says whether there was enough.
    pub(super) fn reserve(&self, reject: &Reject) -> bool {
        let bytes = reject.size_bytes();
        let before = self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = before + bytes <= QUEUE_MAX_BYTES;
        if !fits {
            self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        fits
    }

    /// Puts rejects in for which room was taken.
    pub(super) fn put(&self, rejects: Vec<Reject>) {
        if rejects.is_empty() {
            return;
        }
        let bytes = size_bytes(&rejects);
        if !self.send(Waiting::Rejects(rejects)) {
            self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Ends when all that was put in before is written, or given up.
    pub(super) async fn written(&self) {
        let (reader, written) = oneshot::channel();
        if self.send(Waiting::Reader(reader)) {
            // A thread that has ended writes nothing any more.
            let _ = written.await;
        }
    }

    /// Says whether the thread is there to take it.
    fn send(&self, waiting: Waiting) -> bool {
        let entrance = self.entrance.lock();
        entrance
            .as_ref()
            .is_some_and(|entrance| entrance.send(waiting).is_ok())
    }

    /// Lets the thread write what waits, and end.
    pub(super) fn close(&self) {
        drop(self.entrance.lock().take());
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the rejects panicked");
        }
    }
}

impl Worker {
    fn run(self) {
        let mut expired_at = Instant::now();
        self.expire();
        loop {
            match self.exit.recv_timeout(EXPIRE_EVERY) {
                Ok(first) => {
                    let started = Instant::now();
                    self.keep(first);
                    thread::sleep((started.elapsed() * REST_FACTOR).min(REST_MOST));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if expired_at.elapsed() >= EXPIRE_EVERY {
                self.expire();
                expired_at = Instant::now();
            }
        }
    }

    /// Writes rejects, and as many of those that wait as fit into the same transaction.
    fn keep(&self, first: Waiting) {
        let (mut rejects, mut readers) = (Vec::new(), Vec::new());
        let mut waiting_bytes = 0;
        let mut next = Some(first);
        while let Some(waiting) = next {
            match waiting {
                Waiting::Rejects(more) => {
                    waiting_bytes += size_bytes(&more);
                    rejects.extend(more);
                }
                Waiting::Reader(reader) => readers.push(reader),
            }
            let room = waiting_bytes < TRANSACTION_BYTES;
            next = room.then(|| self.exit.try_recv().ok()).flatten();
        }
        if !rejects.is_empty() {
            self.write(&rejects);
        }
        for reader in readers {
            // Whoever does not wait any more need not know.
            let _ = reader.send(());
        }
    }

    fn write(&self, rejects: &[Reject]) {
        match self.file.insert(rejects) {
            Ok(gone) => self.metrics.count_dropped_rejects("size", gone),
            Err(error) => {
                self.metrics
                    .count_dropped_rejects("disk", rejects.len() as u64);
                tracing::error!(%error, rejects = rejects.len(), "rejects could not be kept");
            }
        }
        self.waiting_bytes
            .fetch_sub(size_bytes(rejects), Ordering::Relaxed);
    }

    fn expire(&self) {
        match self.file.expire((self.clock)()) {
            Ok(gone) => self.metrics.count_dropped_rejects("age", gone),
            Err(error) => tracing::error!(%error, "old rejects could not be let go"),
        }
    }
}

fn size_bytes(rejects: &[Reject]) -> usize {
    rejects.iter().map(Reject::size_bytes).sum()
}
