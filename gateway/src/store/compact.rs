//! Merges small chunks into larger ones, which compress better and are read faster.
//!
//! The newest chunks of a column are merged once they hold at least three times as many points as the oldest of them:
//! each point is written about log₃(8192 / points of a seal) times. The merged chunk is added as a seal's would be: it
//! stands behind all that came before it, so that the last write still wins, and the file's pages are filled one after
//! the other. Changed in its place, it would have them split, and partly empty.

use std::sync::Arc;

use super::{
    Column, FieldType, Store, StoreError, Underway,
    catalogue::{Address, chunks_mut},
    chunk::{self, Encoder, NewChunk},
    disk::rows,
    head::ChunkMeta,
    seal::{CHUNK_POINTS_MAX, CHUNK_TEXT_BYTES_MAX},
};

/// Chunks that are merged at the least.
const MERGED_MIN: usize = 4;
/// How much more than the oldest of the chunks all of them must hold.
pub(super) const GROWTH: usize = 3;
/// What a merged chunk takes at most. Numbers take half of it; large texts are not worth the work.
const MERGED_BYTES_MAX: u32 = 256 << 10;
/// Columns that are merged together.
const SLICE_COLUMNS: usize = 500;
/// What their chunks take, a column more or less.
const SLICE_BYTES: u64 = 4 << 20;
/// Series that are looked at under one lock.
const SLICE_SERIES: u32 = 2_000;

/// Finds the newest chunks that are worth merging.
fn worth_merging(chunks: &[ChunkMeta]) -> Option<&[ChunkMeta]> {
    let (mut points, mut bytes, mut found) = (0, 0_u32, None);
    for (index, chunk) in chunks.iter().enumerate().rev() {
        points += chunk.points as usize;
        bytes = bytes.saturating_add(chunk.size_bytes);
        if points > CHUNK_POINTS_MAX || bytes > MERGED_BYTES_MAX {
            break;
        }
        if chunks.len() - index >= MERGED_MIN && chunk.points as usize * GROWTH <= points {
            found = Some(&chunks[index..]);
        }
    }
    found
}

/// Chunks of a column to be merged, oldest first.
struct Merge {
    address: Address,
    series_id: i64,
    column_id: i64,
    chunks: Vec<ChunkMeta>,
    cutoff_ns: i64,
}

/// Chunks that became one; none where retention has taken all points.
struct Merged<'a> {
    merge: &'a Merge,
    chunks: &'a [ChunkMeta],
    new: Option<NewChunk>,
}

impl Store {
    /// Merges what is worth merging; returns how many chunks went.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or written; every finished slice stays.
    pub fn compact(&self) -> Result<usize, StoreError> {
        self.compact_while(|| true)
    }

    /// Does so slice by slice as long as there is time for it; the next call does what is left.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or written; every finished slice stays.
    pub fn compact_while(&self, has_time: impl Fn() -> bool) -> Result<usize, StoreError> {
        let _changing = self.change()?;
        let mut merged = 0;
        for (policy_id, name) in self.places() {
            let mut from = 0;
            'found: while let Some((merges, next)) = self.find_merges(policy_id, &name, from) {
                for slice in slices(&merges) {
                    if !has_time() {
                        return Ok(merged);
                    }
                    let _underway = Underway::new(&self.0.merging);
                    if self.make_room()? {
                        // The chunks that went may be among those that were found.
                        continue 'found;
                    }
                    merged += self.merge_slice(slice)?;
                }
                from = next;
            }
        }
        Ok(merged)
    }

    /// Lists all measurements with their policies' numbers.
    pub(super) fn places(&self) -> Vec<(i64, Arc<str>)> {
        let state = self.0.state.read();
        let policies = state.iter().flat_map(|database| &database.policies);
        policies
            .flat_map(|policy| {
                let names = policy.measurements.keys();
                names.map(|name| (policy.id, Arc::clone(name)))
            })
            .collect()
    }

    /// Looks for merges among some series from a number on, and returns the number to go on at.
    fn find_merges(&self, policy_id: i64, name: &Arc<str>, from: u32) -> Option<(Vec<Merge>, u32)> {
        let state = self.0.state.read();
        let mut policies = state.iter().flat_map(|database| &database.policies);
        let policy = policies.find(|policy| policy.id == policy_id)?;
        let measurement = policy.measurements.get(name)?;
        let series = &measurement.series;
        if from >= series.end() {
            return None;
        }
        let next = (from + SLICE_SERIES).min(series.end());
        let mut merges = Vec::new();
        for (number, series) in series.within(from..next) {
            for (column, chunks) in series.each_chunks() {
                let Some(chunks) = worth_merging(chunks) else {
                    continue;
                };
                // What has chunks on disk is there itself.
                let column_id = measurement.columns[column as usize].id;
                let (Some(series_id), Some(column_id)) = (series.id, column_id) else {
                    continue;
                };
                merges.push(Merge {
                    address: Address {
                        policy_id,
                        measurement: Arc::clone(name),
                        series: number,
                        column,
                    },
                    series_id,
                    column_id,
                    chunks: chunks.to_vec(),
                    cutoff_ns: policy.cutoff_ns,
                });
            }
        }
        Some((merges, next))
    }

    fn merge_slice(&self, merges: &[Merge]) -> Result<usize, StoreError> {
        let mut packing = Encoder::new(self.0.options.rollup_from_points);
        let mut made: Vec<Merged<'_>> = Vec::with_capacity(merges.len());
        for merge in merges {
            let (chunks, column) = self.read_newest(merge)?;
            if chunks.len() >= MERGED_MIN {
                let new = packing.encode_with_meta(&column, 0)?;
                made.push(Merged { merge, chunks, new });
            }
        }
        let mut gone = 0;
        self.0.disk.write_each(
            &made,
            |transaction, Merged { merge, chunks, new }| {
                for chunk in *chunks {
                    rows::drop_chunk(transaction, chunk.id)?;
                }
                let Some(new) = new else {
                    return Ok(None);
                };
                let id = rows::add_chunk(transaction, merge.series_id, merge.column_id, new)?;
                Ok(Some(ChunkMeta { id, ..new.meta }))
            },
            |written, metas| {
                let mut state = self.0.state.write();
                for (merged, new) in written.iter().zip(metas) {
                    let Some(chunks) = chunks_mut(&mut state, &merged.merge.address) else {
                        continue;
                    };
                    let at = chunks
                        .iter()
                        .position(|chunk| chunk.id == merged.chunks[0].id);
                    if let Some(at) = at {
                        gone += merged.chunks.len() - usize::from(new.is_some());
                        chunks.splice(at..at + merged.chunks.len(), new);
                    }
                }
            },
        )?;
        Ok(gone)
    }

    /// Reads the points of a merge: of the newest chunks whose texts are not too large for one.
    fn read_newest<'a>(&self, merge: &'a Merge) -> Result<(&'a [ChunkMeta], Column), StoreError> {
        let mut columns: Vec<Column> = Vec::with_capacity(merge.chunks.len());
        let mut bytes = 0;
        self.0.disk.read(|reader| {
            for meta in merge.chunks.iter().rev() {
                let chunk = rows::chunk(reader, meta.id)?;
                let missing = || StoreError::Catalogue(format!("chunk {} is missing", meta.id));
                let column = chunk::decode(&chunk.ok_or_else(missing)?)?;
                bytes += column.values.text_bytes();
                if bytes > CHUNK_TEXT_BYTES_MAX {
                    break;
                }
                columns.push(column);
            }
            Ok(())
        })?;
        let chunks = &merge.chunks[merge.chunks.len() - columns.len()..];
        let whole = columns.into_iter().rev().reduce(|mut whole, next| {
            whole.append(next);
            whole
        });
        let whole = whole.unwrap_or_else(|| Column::new(FieldType::Text));
        let whole = whole.tidied().between(merge.cutoff_ns, i64::MAX);
        Ok((chunks, whole))
    }
}

/// Cuts a list of merges into slices.
fn slices(merges: &[Merge]) -> impl Iterator<Item = &[Merge]> {
    let mut left = merges;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let is_in = |merge: &&Merge| {
            let is_in = bytes < SLICE_BYTES;
            let chunks = merge.chunks.iter().map(|chunk| u64::from(chunk.size_bytes));
            bytes += chunks.sum::<u64>();
            is_in
        };
        let count = left.iter().take(SLICE_COLUMNS).take_while(is_in).count();
        let (slice, rest) = left.split_at(count);
        left = rest;
        (!slice.is_empty()).then_some(slice)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(points: &[u32]) -> Vec<ChunkMeta> {
        let meta = |(id, points): (i64, &u32)| ChunkMeta {
            id,
            first: 0,
            last: 0,
            points: *points,
            size_bytes: 0,
            resolutions: 0,
        };
        (0..).zip(points).map(meta).collect()
    }

    #[test]
    fn small_chunks_are_merged_and_large_ones_are_left_alone() {
        let count = |points: &[u32]| worth_merging(&chunks(points)).map_or(0, <[_]>::len);
        assert_eq!(count(&[90, 90, 90]), 0, "too few");
        assert_eq!(count(&[90, 90, 90, 90]), 4);
        assert_eq!(count(&[360, 90, 90, 90]), 0, "the oldest is too large");
        assert_eq!(count(&[360, 360, 90, 90, 90, 90]), 6);
        assert_eq!(count(&[8000, 90, 90, 90, 90]), 4, "a full one stays");
        assert_eq!(
            count(&[4000, 4000, 4000, 4000]),
            0,
            "they would be over the size"
        );
    }
}
