//! Lets go of old points: what is older than its bucket's retention, and, when the file has grown to its bound, the
//! oldest there is.

use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering},
};

use super::{
    Store, StoreError,
    catalogue::{Address, chunks_mut},
    disk::{GROWTH_BYTES_MAX, LOG_BYTES_MAX, rows},
    head::ChunkMeta,
};

/// What stays free below the bound, for a transaction and the log.
const RESERVE_BYTES: u64 = LOG_BYTES_MAX + GROWTH_BYTES_MAX;
/// A bound on the file's size is at least this; a smaller one would hold next to nothing.
pub const STORE_MAX_BYTES_LEAST: u64 = 64 << 20;
/// When the bound is reached, this part of it is made free, so that it is not reached again at once.
const FREED_PART: u64 = 20;
/// Chunks that go at a time.
const SLICE_CHUNKS: usize = 4_000;
/// Free pages are given back to the file system when they are at least this part of the file.
const SHRINK_PART: u64 = 16;
/// Pages that are given back at a time: 2 MiB. Each may move another one, and change a third that points there.
const SHRINK_PAGES: u64 = 64;
/// Free pages that are kept, to be used again.
const FREE_PAGES_KEPT: u64 = 512;

/// What the store holds on disk, and what it has let go since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreUsage {
    /// The file and its log.
    pub file_bytes: u64,
    /// The bound, if there is one.
    pub max_bytes: Option<u64>,
    /// Values that went because they were older than their bucket's retention.
    pub expired_values: u64,
    /// Values that went because the file reached its bound.
    pub evicted_values: u64,
    /// The time of the newest value that went so, in nanoseconds.
    pub evicted_through_ns: Option<i64>,
    /// Whether recent points are being sealed.
    pub is_sealing: bool,
    /// Whether chunks are being merged.
    pub is_merging: bool,
}

struct Chunk {
    address: Address,
    meta: ChunkMeta,
}

impl Store {
    /// Says how much there is and what was let go.
    #[must_use]
    pub fn usage(&self) -> StoreUsage {
        let evicted_values = self.0.evicted_values.load(Ordering::Relaxed);
        StoreUsage {
            file_bytes: self.0.disk.size().map_or(0, |size| size.file_bytes),
            max_bytes: self.0.options.max_bytes,
            expired_values: self.0.expired_values.load(Ordering::Relaxed),
            evicted_values,
            evicted_through_ns: (evicted_values > 0)
                .then(|| self.0.evicted_through_ns.load(Ordering::Relaxed)),
            is_sealing: self.0.sealing.load(Ordering::Relaxed),
            is_merging: self.0.merging.load(Ordering::Relaxed),
        }
    }

    /// Lets go of points that are older than their buckets' retention, and gives free space back.
    ///
    /// # Errors
    ///
    /// When the file cannot be written; the next call takes it up.
    pub fn enforce(&self, now_ns: i64) -> Result<(), StoreError> {
        let _changing = self.change()?;
        let mut limited: HashSet<i64> = HashSet::new();
        {
            let mut state = self.0.state.write();
            for database in state.iter_mut() {
                for policy in &mut database.policies {
                    policy.cutoff_ns = match policy.duration_ns {
                        0 => i64::MIN,
                        duration => now_ns.saturating_sub(duration),
                    };
                    if policy.duration_ns > 0 {
                        limited.insert(policy.id);
                    }
                }
            }
        }
        let mut expired: Vec<Chunk> = Vec::new();
        if !limited.is_empty() {
            self.each_chunk(|cutoff_ns, address, meta| {
                if meta.last < cutoff_ns && limited.contains(&address.policy_id) {
                    let address = address.clone();
                    expired.push(Chunk { address, meta });
                }
            });
        }
        if !expired.is_empty() {
            let values = self.drop_chunks(&expired)?;
            self.0.expired_values.fetch_add(values, Ordering::Relaxed);
            tracing::info!(
                values,
                "points older than their bucket's retention are gone"
            );
            self.forget_empty(|policy, _| limited.contains(&policy))?;
        }
        self.give_back()
    }

    /// Deletes the oldest chunks when the file is about to outgrow its bound, and says whether any went. Behind it there is
    /// room for a transaction.
    pub(super) fn make_room(&self) -> Result<bool, StoreError> {
        let Some(max_bytes) = self.0.options.max_bytes else {
            return Ok(false);
        };
        let bound = max_bytes.saturating_sub(RESERVE_BYTES);
        let mut has_let_go = false;
        loop {
            let size = self.0.disk.size()?;
            if size.used_bytes <= bound {
                if size.file_bytes > max_bytes {
                    self.give_back()?;
                }
                return Ok(has_let_go);
            }
            let wanted = size.used_bytes - bound + max_bytes / FREED_PART;
            let oldest = self.oldest_chunks(wanted);
            let Some(newest) = oldest.last().map(|chunk| chunk.meta.last) else {
                return Err(StoreError::BoundReached {
                    used_bytes: size.used_bytes,
                    max_bytes,
                });
            };
            let values = self.drop_chunks(&oldest)?;
            has_let_go = true;
            self.0.evicted_values.fetch_add(values, Ordering::Relaxed);
            self.0
                .evicted_through_ns
                .fetch_max(newest, Ordering::Relaxed);
            tracing::warn!(
                values,
                through = %chrono::DateTime::from_timestamp_nanos(newest),
                max_bytes,
                "the store reached HEADROOM_STORE_MAX_BYTES, and its oldest points are gone; raise it, or give buckets a retention"
            );
            let addresses = oldest.iter().map(|chunk| &chunk.address);
            let places: HashSet<(i64, &str)> = addresses
                .map(|address| (address.policy_id, &*address.measurement))
                .collect();
            self.forget_empty(|policy, name| places.contains(&(policy, name)))?;
        }
    }

    /// Lists the oldest chunks, of so many bytes together.
    fn oldest_chunks(&self, bytes: u64) -> Vec<Chunk> {
        let mut all: Vec<Chunk> = Vec::new();
        self.each_chunk(|_, address, meta| {
            let address = address.clone();
            all.push(Chunk { address, meta });
        });
        all.sort_unstable_by_key(|chunk| chunk.meta.last);
        let mut found = 0;
        let is_wanted = |chunk: &Chunk| {
            let goes = found < bytes;
            found += u64::from(chunk.meta.size_bytes);
            goes
        };
        all.into_iter().take_while(is_wanted).collect()
    }

    /// Shows every chunk with its policy's cutoff, one measurement under a lock at a time.
    fn each_chunk(&self, mut show: impl FnMut(i64, &Address, ChunkMeta)) {
        for (policy_id, name) in self.places() {
            let state = self.0.state.read();
            let mut policies = state.iter().flat_map(|database| &database.policies);
            let Some(policy) = policies.find(|policy| policy.id == policy_id) else {
                continue;
            };
            let Some(measurement) = policy.measurements.get(&name) else {
                continue;
            };
            let mut address = Address {
                policy_id,
                measurement: Arc::clone(&name),
                series: 0,
                column: 0,
            };
            for (number, series) in measurement.series.iter() {
                address.series = number;
                for (column, chunks) in series.each_chunks() {
                    address.column = column;
                    for meta in chunks {
                        show(policy.cutoff_ns, &address, *meta);
                    }
                }
            }
        }
    }

    /// Takes chunks from disk and then from memory; returns how many values they held.
    fn drop_chunks(&self, chunks: &[Chunk]) -> Result<u64, StoreError> {
        let mut values = 0;
        for slice in chunks.chunks(SLICE_CHUNKS) {
            self.0.disk.write_each(
                slice,
                |transaction, chunk| Ok(rows::drop_chunk(transaction, chunk.meta.id)?),
                |dropped, _| {
                    let mut state = self.0.state.write();
                    for chunk in dropped {
                        values += u64::from(chunk.meta.points);
                        if let Some(chunks) = chunks_mut(&mut state, &chunk.address) {
                            chunks.retain(|meta| meta.id != chunk.meta.id);
                        }
                    }
                },
            )?;
        }
        Ok(values)
    }

    /// Gives free pages back while they are many.
    fn give_back(&self) -> Result<(), StoreError> {
        loop {
            let size = self.0.disk.size()?;
            let over_bound = |max| size.file_bytes > max;
            let is_much = size.file_bytes > size.used_bytes + size.file_bytes / SHRINK_PART
                && size.free_pages >= FREE_PAGES_KEPT;
            let is_over = self.0.options.max_bytes.is_some_and(over_bound) && size.free_pages > 0;
            if !(is_much || is_over) {
                return Ok(());
            }
            self.0.disk.shrink(SHRINK_PAGES)?;
        }
    }
}
