//! Reads committed batches in order.

use std::{fs::File, os::unix::fs::FileExt, path::PathBuf, sync::Arc};

use bytes::Bytes;
use tokio::sync::watch;

use super::{
    Batch, JournalError, Shared,
    record::{RECORD_HEADER_BYTES, RecordHeader, next_whole_record, whole_record},
    segment::{self, SEGMENT_HEADER_BYTES},
};

/// Reads committed batches in order, waits for new ones, and passes over damaged records.
pub struct Reader {
    shared: Arc<Shared>,
    committed: watch::Receiver<u64>,
    next: u64,
    open: Option<OpenSegment>,
}

struct OpenSegment {
    file: File,
    path: PathBuf,
    first_sequence: u64,
    offset: u64,
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>, from: u64) -> Self {
        Self {
            committed: shared.committed.subscribe(),
            shared,
            next: from.max(1),
            open: None,
        }
    }

    /// Waits for the next batch; `None` when the journal is gone.
    ///
    /// # Errors
    ///
    /// Fails if a segment cannot be read; the call may be repeated.
    pub async fn next(&mut self) -> Result<Option<(u64, Batch)>, JournalError> {
        loop {
            let next = self.next;
            if self
                .committed
                .wait_for(|committed| *committed >= next)
                .await
                .is_err()
            {
                return Ok(None);
            }
            // A record is small, and mostly still in the page cache: not worth another thread.
            if let Some(found) = self.next_committed()? {
                return Ok(Some(found));
            }
        }
    }

    /// Reads the next batch that is committed by now; `None` when there is none.
    ///
    /// # Errors
    ///
    /// Fails if a segment cannot be read; the call may be repeated.
    pub fn next_committed(&mut self) -> Result<Option<(u64, Batch)>, JournalError> {
        loop {
            let committed = *self.committed.borrow();
            if self.next > committed {
                return Ok(None);
            }
            let Some((end, last)) = self.enter_segment()? else {
                self.next = committed + 1;
                return Ok(None);
            };
            if let Some((sequence, batch)) = self.next_in_segment(end)? {
                self.next = sequence + 1;
                return Ok(Some((sequence, batch)));
            }
            self.next = last.unwrap_or(committed) + 1;
        }
    }

    /// Opens the segment of the next sequence; answers its size and the last sequence before the following segment.
    fn enter_segment(&mut self) -> Result<Option<(u64, Option<u64>)>, JournalError> {
        let segments = self.shared.segments.lock();
        let index = segments
            .partition_point(|segment| segment.first_sequence <= self.next)
            .saturating_sub(1);
        let Some(segment) = segments.get(index).cloned() else {
            return Ok(None);
        };
        let last = segments.get(index + 1).map(|next| next.first_sequence - 1);
        drop(segments);
        if self
            .open
            .as_ref()
            .is_none_or(|open| open.first_sequence != segment.first_sequence)
        {
            let path = segment.path(&self.shared.dir);
            let file =
                File::open(&path).map_err(|source| JournalError::io("open", &path, source))?;
            let open = OpenSegment {
                file,
                path,
                first_sequence: segment.first_sequence,
                offset: SEGMENT_HEADER_BYTES as u64,
            };
            open.check_header(&self.shared, segment.size_bytes)?;
            self.open = Some(open);
        }
        Ok(Some((segment.size_bytes, last)))
    }

    /// Reads on in the open segment until a batch that is due.
    fn next_in_segment(&mut self, end: u64) -> Result<Option<(u64, Batch)>, JournalError> {
        let Some(open) = self.open.as_mut() else {
            return Ok(None);
        };
        while open.offset < end {
            match open.record(end)? {
                Some((sequence, batch)) if sequence >= self.next => {
                    return Ok(Some((sequence, batch)));
                }
                Some(_) => {}
                None => open.skip_damage(&self.shared, end, self.next)?,
            }
        }
        Ok(None)
    }
}

impl OpenSegment {
    /// Notes a header that is damaged. The name says the same, so that nothing is lost by it.
    fn check_header(&self, shared: &Shared, end: u64) -> Result<(), JournalError> {
        let mut header = [0; SEGMENT_HEADER_BYTES];
        // One that was torn at its birth is not written yet.
        if end >= SEGMENT_HEADER_BYTES as u64 {
            self.read_at(&mut header, 0)?;
            if !segment::is_header(&header, self.first_sequence) {
                shared.damage.note_header(&self.path, self.first_sequence);
            }
        }
        Ok(())
    }

    /// Reads the record at the offset and passes it; `None` if it is damaged.
    fn record(&mut self, end: u64) -> Result<Option<(u64, Batch)>, JournalError> {
        let mut header = [0; RECORD_HEADER_BYTES];
        if self.offset + RECORD_HEADER_BYTES as u64 > end {
            return Ok(None);
        }
        self.read_at(&mut header, self.offset)?;
        let record_bytes =
            RecordHeader::parse(&header).map_or(0, |header| header.record_bytes() as u64);
        if self.offset + record_bytes > end {
            return Ok(None);
        }
        let mut bytes = vec![0; record_bytes as usize];
        self.read_at(&mut bytes, self.offset)?;
        let Some(header) = whole_record(&bytes) else {
            return Ok(None);
        };
        let batch = Batch::decode(
            header.version,
            Bytes::from(bytes).slice(RECORD_HEADER_BYTES..),
        );
        if batch.is_some() {
            self.offset += record_bytes;
        }
        Ok(batch.map(|batch| (header.sequence, batch)))
    }

    /// Moves to the next whole record, or to the end.
    fn skip_damage(
        &mut self,
        shared: &Shared,
        end: u64,
        expected: u64,
    ) -> Result<(), JournalError> {
        let mut rest = vec![0; (end - self.offset) as usize];
        self.read_at(&mut rest, self.offset)?;
        let skipped = next_whole_record(&rest, expected.saturating_sub(1)).unwrap_or(rest.len());
        let damage = &shared.damage;
        damage.note_record(&self.path, self.first_sequence, self.offset, skipped);
        self.offset += skipped as u64;
        Ok(())
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<(), JournalError> {
        self.file
            .read_exact_at(bytes, offset)
            .map_err(|source| JournalError::io("read", &self.path, source))
    }
}
