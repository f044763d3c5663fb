//! The one thread that writes: it takes all batches that wait, writes them, syncs once, and answers them all.

use std::{io, sync::Arc, time::Duration};

use tokio::sync::{mpsc, oneshot};

use super::{
    Batch, JournalError, JournalOptions, Shared,
    segment::{self, Opener, Segment, SegmentFile},
};

/// One commit takes about this many bytes at most: a sync of more would keep the first batch waiting for long, and its buffer is
/// kept.
const GROUP_MAX_BYTES: usize = 4 << 20;

/// What the handles ask of the thread.
pub(super) enum Request {
    Append(Box<Append>),
    /// Commit what came before, then end.
    Close,
}

/// A batch that waits for its commit.
pub(super) struct Append {
    pub(super) batch: Batch,
    pub(super) done: oneshot::Sender<Result<u64, JournalError>>,
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    opener: Opener,
    file: Option<Box<dyn SegmentFile>>,
    /// The file holds more than is durable, because a write failed and so did cutting it back.
    dirty: bool,
    next_sequence: u64,
    buffer: Vec<u8>,
}

impl Writer {
    pub(super) fn open(
        shared: Arc<Shared>,
        opener: Opener,
        next_sequence: u64,
    ) -> Result<Self, JournalError> {
        let mut writer = Self {
            shared,
            opener,
            file: None,
            dirty: false,
            next_sequence,
            buffer: Vec::new(),
        };
        // An unwritable folder is reported at the start, not at the first push.
        writer.ready_segment()?;
        Ok(writer)
    }

    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Request>) {
        let mut open = true;
        while open && let Some(Request::Append(first)) = queue.blocking_recv() {
            let mut group_bytes = first.batch.size_bytes();
            let mut group = vec![*first];
            while open && group_bytes < GROUP_MAX_BYTES {
                match queue.try_recv() {
                    Ok(Request::Append(next)) => {
                        group_bytes += next.batch.size_bytes();
                        group.push(*next);
                    }
                    Ok(Request::Close) => open = false,
                    Err(_) => break,
                }
            }
            self.buffer.reserve_exact(group_bytes);
            self.commit(group);
            self.buffer.clear();
            self.buffer.shrink_to(GROUP_MAX_BYTES);
        }
    }

    /// Writes a group, syncs it and answers everybody in it.
    fn commit(&mut self, group: Vec<Append>) {
        let mut sequence = self.next_sequence;
        let mut answers = Vec::with_capacity(group.len());
        for Append { batch, done } in group {
            let start = self.buffer.len();
            let outcome = self
                .admit(&batch, start)
                .and_then(|()| batch.encode(sequence, &mut self.buffer));
            match outcome {
                Ok(()) => {
                    answers.push((done, sequence, batch.received_ns));
                    sequence += 1;
                }
                Err(error) => {
                    self.buffer.truncate(start);
                    if error.is_retryable() {
                        *self.shared.failing.lock() = Some(error.clone());
                    }
                    let _ = done.send(Err(error));
                }
            }
        }
        if answers.is_empty() {
            return;
        }
        match self.write_durably() {
            Ok(()) => {
                self.next_sequence = sequence;
                *self.shared.failing.lock() = None;
                self.shared.committed.send_replace(sequence - 1);
                for (done, sequence, received_ns) in answers {
                    self.shared.ages.lock().note(sequence, received_ns);
                    let _ = done.send(Ok(sequence));
                }
            }
            Err(error) => {
                tracing::error!(%error, batches = answers.len(), "batches could not be journalled; their clients are asked to send again");
                *self.shared.failing.lock() = Some(error.clone());
                for (done, ..) in answers {
                    let _ = done.send(Err(error.clone()));
                }
            }
        }
    }

    /// Holds a batch to the limits on size and age; `waiting_bytes` wait in the buffer.
    fn admit(&self, batch: &Batch, waiting_bytes: usize) -> Result<(), JournalError> {
        let JournalOptions {
            max_bytes, max_age, ..
        } = self.shared.options;
        loop {
            let pending_bytes = self.shared.pending_bytes();
            if pending_bytes + (waiting_bytes + batch.size_bytes()) as u64 <= max_bytes {
                break;
            }
            if !self.shared.make_room() {
                return Err(JournalError::Full {
                    pending_bytes,
                    max_bytes,
                });
            }
        }
        let last = *self.shared.committed.borrow();
        let oldest_ns = self.shared.ages.lock().oldest_ns(last);
        let age_ns = oldest_ns.map_or(0, |oldest| batch.received_ns.saturating_sub(oldest));
        let age = Duration::from_nanos(u64::try_from(age_ns).unwrap_or(0));
        if age > max_age {
            return Err(JournalError::Stale {
                age_s: age.as_secs(),
                max_age_s: max_age.as_secs(),
            });
        }
        Ok(())
    }

    fn write_durably(&mut self) -> Result<(), JournalError> {
        self.ready_segment()?;
        let file = self
            .file
            .as_mut()
            .expect("ready_segment leaves an open file");
        let written = file.append(&self.buffer).and_then(|()| file.sync());
        if let Err(source) = written {
            self.dirty = true;
            let error = JournalError::io("write to", &self.shared.dir, source);
            // Failing to cut back is met again, and answered for, by the next append.
            let _ = self.cut_back();
            return Err(error);
        }
        if let Some(current) = self.shared.segments.lock().back_mut() {
            current.size_bytes += self.buffer.len() as u64;
        }
        Ok(())
    }

    /// Leaves an open segment with room whose end is the end of what is durable.
    fn ready_segment(&mut self) -> Result<(), JournalError> {
        self.cut_back()?;
        let current = self.shared.segments.lock().back().cloned();
        match current {
            // A segment without its header was torn at birth, and is written anew under its own name.
            Some(segment)
                if !segment.is_closed
                    && segment.size_bytes > 0
                    && segment.size_bytes < self.shared.options.segment_max_bytes =>
            {
                if self.file.is_none() {
                    let path = segment.path(&self.shared.dir);
                    let file = (self.opener)(&path)
                        .map_err(|source| JournalError::io("open", &path, source))?;
                    self.file = Some(file);
                }
                Ok(())
            }
            _ => self.new_segment(),
        }
    }

    fn new_segment(&mut self) -> Result<(), JournalError> {
        let segment = Segment {
            first_sequence: self.next_sequence,
            size_bytes: segment::SEGMENT_HEADER_BYTES as u64,
            is_closed: false,
        };
        let path = segment.path(&self.shared.dir);
        self.file = None;
        let create = || -> io::Result<Box<dyn SegmentFile>> {
            let mut file = (self.opener)(&path)?;
            // A try that failed half-way may have left bytes behind.
            file.truncate(0)?;
            file.append(&segment::header(segment.first_sequence))?;
            file.sync()?;
            segment::sync_dir(&self.shared.dir)?;
            Ok(file)
        };
        let file = create().map_err(|source| JournalError::io("create", &path, source))?;
        self.file = Some(file);
        let mut segments = self.shared.segments.lock();
        segments.retain(|other| other.first_sequence != segment.first_sequence);
        segments.push_back(segment);
        Ok(())
    }

    fn cut_back(&mut self) -> Result<(), JournalError> {
        if !self.dirty {
            return Ok(());
        }
        let current = self.shared.segments.lock().back().cloned();
        if let (Some(segment), Some(file)) = (current, self.file.as_mut()) {
            let path = segment.path(&self.shared.dir);
            file.truncate(segment.size_bytes)
                .map_err(|source| JournalError::io("cut back", &path, source))?;
        }
        self.dirty = false;
        Ok(())
    }
}
