//! A series: its tags, its key, its points in memory and where those on disk lie; and the series of a measurement.

use std::{
    ops::{Index, IndexMut, Range},
    sync::Arc,
};

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

    /// Says whether there are no points at all.
    pub(super) fn is_empty(&self) -> bool {
        self.head.is_empty() && self.chunks.iter().all(Vec::is_empty)
    }
}

/// Numbers whose room is given back together.
pub(super) const PAGE_SERIES: usize = 1_024;

/// The series of a measurement by their numbers, of which each is given once. A page whose series are all gone takes no
/// more than its place in the list.
#[derive(Default)]
pub(super) struct SeriesList {
    pages: Vec<Page>,
    /// The next number.
    end: u32,
}

#[derive(Default)]
struct Page {
    series: Vec<Option<Series>>,
    /// How many there are.
    count: usize,
}

/// Lists the first number of each page.
fn page_starts() -> impl Iterator<Item = u32> {
    (0..).step_by(PAGE_SERIES)
}

/// Returns a number's page, and its place there.
fn place_of(number: u32) -> (usize, usize) {
    (number as usize / PAGE_SERIES, number as usize % PAGE_SERIES)
}

impl SeriesList {
    /// Returns the number behind the last one.
    pub(super) fn end(&self) -> u32 {
        self.end
    }

    /// Adds a series; returns its number.
    pub(super) fn push(&mut self, series: Series) -> u32 {
        let number = self.end;
        let (page, _) = place_of(number);
        if page == self.pages.len() {
            self.pages.push(Page::default());
        }
        let page = &mut self.pages[page];
        page.series.push(Some(series));
        page.count += 1;
        self.end += 1;
        number
    }

    /// Finds a series.
    pub(super) fn get(&self, number: u32) -> Option<&Series> {
        let (page, at) = place_of(number);
        self.pages.get(page)?.series.get(at)?.as_ref()
    }

    /// Finds a series, to change it.
    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut Series> {
        let (page, at) = place_of(number);
        self.pages.get_mut(page)?.series.get_mut(at)?.as_mut()
    }

    /// Returns the last series that was added.
    pub(super) fn last(&self) -> Option<&Series> {
        self.get(self.end.checked_sub(1)?)
    }

    /// Lists the series that there are, with their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Series)> {
        self.within(0..self.end)
    }

    /// Lists those with numbers of a range.
    pub(super) fn within(&self, numbers: Range<u32>) -> impl Iterator<Item = (u32, &Series)> {
        let (page, _) = place_of(numbers.start);
        let pages = self.pages.iter().zip(page_starts()).skip(page);
        let pages = pages.take_while(move |(_, start)| *start < numbers.end);
        let all = pages.flat_map(|(page, start)| page.series.iter().zip(start..));
        all.filter(move |(_, number)| numbers.contains(number))
            .filter_map(|(series, number)| Some((number, series.as_ref()?)))
    }

    /// Takes a series out; its number stays given.
    pub(super) fn remove(&mut self, number: u32) -> Option<Series> {
        let (page, at) = place_of(number);
        let page = self.pages.get_mut(page)?;
        let series = page.series.get_mut(at)?.take()?;
        page.count -= 1;
        if page.count == 0 && page.series.len() == PAGE_SERIES {
            page.series = Vec::new();
        }
        Some(series)
    }

    /// Returns for how many series there is room.
    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        self.pages.iter().map(|page| page.series.len()).sum()
    }
}

impl Index<u32> for SeriesList {
    type Output = Series;

    fn index(&self, number: u32) -> &Series {
        self.get(number)
            .expect("a number is used as long as its series is there")
    }
}

impl IndexMut<u32> for SeriesList {
    fn index_mut(&mut self, number: u32) -> &mut Series {
        self.get_mut(number)
            .expect("a number is used as long as its series is there")
    }
}
