//! The part of a field's data that is in memory, and where the rest lies.

use std::sync::Arc;

use super::column::{Column, FieldType, Value};

/// Where a sealed chunk lies and what times it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChunkMeta {
    pub(super) id: i64,
    pub(super) first: i64,
    pub(super) last: i64,
}

/// The data of one field of one series.
///
/// Later parts win over earlier ones: chunks in the order of their numbers, then what is being sealed, then the head.
pub(super) struct FieldData {
    pub(super) chunks: Vec<ChunkMeta>,
    pub(super) sealing: Option<Arc<Column>>,
    head: Column,
    is_tidy: bool,
}

/// What a reader takes from under the lock: parts in memory, and chunks to fetch.
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
            is_tidy: true,
        }
    }

    /// Appends a point; returns false when the value has another type than the field.
    pub(super) fn push(&mut self, time: i64, value: Value) -> bool {
        if !self.head.values.push(value) {
            return false;
        }
        if self.head.times.last().is_some_and(|last| *last >= time) {
            self.is_tidy = false;
        }
        self.head.times.push(time);
        true
    }

    pub(super) fn head_is_empty(&self) -> bool {
        self.head.is_empty()
    }

    /// Moves the head aside to be sealed. What is already aside after a failed seal stays first.
    pub(super) fn begin_seal(&mut self, field_type: FieldType) -> Option<Arc<Column>> {
        let head = std::mem::replace(&mut self.head, Column::new(field_type));
        self.is_tidy = true;
        let mut column = match self.sealing.take() {
            Some(left) => Arc::unwrap_or_clone(left),
            None => Column::new(field_type),
        };
        column.append(head);
        if column.is_empty() {
            return None;
        }
        let column = Arc::new(column.tidied());
        self.sealing = Some(Arc::clone(&column));
        Some(column)
    }

    /// Ends a seal: the chunk on disk takes the place of what was aside.
    pub(super) fn end_seal(&mut self, chunk: ChunkMeta) {
        self.chunks.push(chunk);
        self.sealing = None;
    }

    /// Takes what a reader needs between two times.
    pub(super) fn parts(&self, first: i64, last: i64) -> Parts {
        let head = if self.is_tidy {
            self.head.between(first, last)
        } else {
            self.head.clone().tidied().between(first, last)
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
