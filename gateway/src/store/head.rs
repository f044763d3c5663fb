//! The part of a column's data that is in memory, and where the rest lies.

use std::sync::Arc;

use super::column::{Column, FieldType, Value};

/// Where a sealed chunk lies, what times it holds and how much it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChunkMeta {
    pub(super) id: i64,
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) points: u32,
    pub(super) size_bytes: u32,
}

/// The data of one column of one series.
///
/// Later parts win over earlier ones: chunks in the order of their numbers, then what is being sealed, then the head.
pub(super) struct FieldData {
    pub(super) chunks: Vec<ChunkMeta>,
    /// What was taken to be sealed, as it came: tidy or not.
    sealing: Option<Arc<Column>>,
    head: Column,
}

/// What a reader takes from under the lock: parts in memory, tidy or not, and chunks to fetch.
pub(super) struct Parts {
    pub(super) chunks: Vec<ChunkMeta>,
    pub(super) sealing: Option<Arc<Column>>,
    pub(super) head: Column,
}

impl FieldData {
    pub(super) fn new(field_type: FieldType) -> Self {
        Self {
            chunks: Vec::new(),
            sealing: None,
            head: Column::new(field_type),
        }
    }

    /// Appends a point; returns false when the value has another type than the column.
    pub(super) fn push(&mut self, time: i64, value: Value) -> bool {
        let fits = self.head.values.push(value);
        if fits {
            self.head.times.push(time);
        }
        fits
    }

    /// Says whether nothing is in memory that a seal would take.
    pub(super) fn is_sealed(&self) -> bool {
        self.head.is_empty() && self.sealing.is_none()
    }

    /// Says whether there are no points at all.
    pub(super) fn is_empty(&self) -> bool {
        self.is_sealed() && self.chunks.is_empty()
    }

    /// Moves the head aside to be sealed. What is already aside after a failed seal stays first.
    pub(super) fn begin_seal(&mut self) -> Option<Arc<Column>> {
        if self.is_sealed() {
            return None;
        }
        let empty = Column::new(self.head.values.field_type());
        let head = std::mem::replace(&mut self.head, empty);
        let column = match self.sealing.take() {
            Some(left) => {
                let mut column = Arc::unwrap_or_clone(left);
                column.append(head);
                column
            }
            None => head,
        };
        let column = Arc::new(column);
        self.sealing = Some(Arc::clone(&column));
        Some(column)
    }

    /// Ends a seal: the chunks on disk take the place of what was aside.
    pub(super) fn end_seal(&mut self, chunks: impl IntoIterator<Item = ChunkMeta>) {
        self.chunks.extend(chunks);
        self.sealing = None;
    }

    /// Takes the points between two times out of memory; returns how much memory they took.
    pub(super) fn delete_in_memory(&mut self, first: i64, last: i64) -> usize {
        let mut freed = 0;
        let mut cut = |column: &Column| {
            let kept = column.outside(first, last);
            freed += column.memory_bytes() - kept.memory_bytes();
            kept
        };
        if !self.head.is_empty() {
            self.head = cut(&self.head);
        }
        if let Some(sealing) = self.sealing.take() {
            let kept = cut(&sealing);
            self.sealing = (!kept.is_empty()).then(|| Arc::new(kept));
        }
        freed
    }

    /// Takes what a reader needs between two times.
    pub(super) fn parts(&self, first: i64, last: i64) -> Parts {
        let head = if self.head.is_tidy() {
            self.head.between(first, last)
        } else {
            self.head.clone()
        };
        Parts {
            chunks: self
                .chunks
                .iter()
                .filter(|chunk| chunk.first <= last && chunk.last >= first)
                .copied()
                .collect(),
            sealing: self.sealing.clone(),
            head,
        }
    }
}
