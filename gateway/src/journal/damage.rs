//! Where the journal is damaged. Each place is counted and logged once, however many readers pass it.

use std::{collections::BTreeSet, path::Path};

use parking_lot::Mutex;

/// The damaged places that were met since the start.
#[derive(Debug, Default)]
pub(super) struct Damage {
    /// A segment's first sequence, and the offset in it.
    places: Mutex<BTreeSet<(u64, u64)>>,
}

impl Damage {
    /// How many places there are.
    pub(super) fn count(&self) -> u64 {
        self.places.lock().len() as u64
    }

    /// Notes a segment whose header is not what its name says.
    pub(super) fn note_header(&self, path: &Path, first_sequence: u64) {
        if self.is_new(first_sequence, 0) {
            tracing::error!(
                path = %path.display(),
                "the header of a journal segment is damaged; its records are read all the same; check the disk"
            );
        }
    }

    /// Notes bytes that are no record, before the next one or the segment's end.
    pub(super) fn note_record(&self, path: &Path, first_sequence: u64, offset: u64, bytes: usize) {
        if self.is_new(first_sequence, offset) {
            tracing::error!(
                path = %path.display(), offset, bytes,
                "the journal is damaged here and is read on from the next whole record; check the disk"
            );
        }
    }

    /// Notes bytes at the journal's end that were cut off, and kept in another file.
    pub(super) fn note_tail(&self, kept: &Path, first_sequence: u64, offset: u64, bytes: usize) {
        if self.is_new(first_sequence, offset) {
            tracing::error!(
                kept = %kept.display(), offset, bytes,
                "the journal's last record is there in its length and its checksum is wrong: either the power failed in a write that \
                 nobody was answered for, or the disk has damaged a batch that was answered, which is then lost; the bytes are kept; \
                 check the disk"
            );
        }
    }

    fn is_new(&self, first_sequence: u64, offset: u64) -> bool {
        self.places.lock().insert((first_sequence, offset))
    }
}
