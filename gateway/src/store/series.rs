//! A series: its tags, its key, its points in memory and where those on disk lie.

use std::sync::Arc;

use super::head::{ChunkMeta, Head};

/// A series' tags, sorted by key.
pub type Tags = Vec<(Arc<str>, Arc<str>)>;

/// A series: its tags and its points.
pub(super) struct Series {
    pub(super) tags: Arc<Tags>,
    pub(super) key: Arc<str>,
    /// Its number on disk once it has one.
    pub(super) id: Option<i64>,
    /// What is in memory.
    pub(super) head: Head,
    /// The shape of the last row.
    pub(super) last_shape: u32,
    /// What is on disk, by the columns' indexes, the oldest first.
    chunks: Vec<Vec<ChunkMeta>>,
}

impl Series {
    /// Makes a series without points.
    pub(super) fn new(key: Arc<str>, tags: Tags, id: Option<i64>) -> Self {
        Self {
            tags: Arc::new(tags),
            key,
            id,
            head: Head::default(),
            last_shape: 0,
            chunks: Vec::new(),
        }
    }

    /// Lists a column's chunks.
    pub(super) fn chunks(&self, column: u32) -> &[ChunkMeta] {
        self.chunks.get(column as usize).map_or(&[], Vec::as_slice)
    }

    /// Lists a column's chunks, to change them.
    pub(super) fn chunks_mut(&mut self, column: u32) -> &mut Vec<ChunkMeta> {
        let index = column as usize;
        if let Some(more) = (index + 1).checked_sub(self.chunks.len()) {
            self.chunks.reserve_exact(more);
            self.chunks.resize_with(index + 1, Vec::new);
        }
        &mut self.chunks[index]
    }

    /// Adds a column's newest chunk.
    pub(super) fn push_chunk(&mut self, column: u32, meta: ChunkMeta) {
        let chunks = self.chunks_mut(column);
        if chunks.len() == chunks.capacity() {
            // Of many series each has one, and merges keep them few.
            chunks.reserve_exact(1 + chunks.len() / 2);
        }
        chunks.push(meta);
    }

    /// Lists the columns that have chunks.
    pub(super) fn each_chunks(&self) -> impl Iterator<Item = (u32, &[ChunkMeta])> {
        let all = (0..).zip(&self.chunks);
        all.filter(|(_, chunks)| !chunks.is_empty())
            .map(|(column, chunks)| (column, chunks.as_slice()))
    }

    /// Forgets its tags, its chunks and its number on disk, which is returned.
    pub(super) fn forget(&mut self) -> Option<i64> {
        self.tags = Arc::default();
        self.chunks = Vec::new();
        self.id.take()
    }

    /// Says whether there are no points at all.
    pub(super) fn is_empty(&self) -> bool {
        self.head.is_empty() && self.chunks.iter().all(Vec::is_empty)
    }
}
