//! Finishes what deletions and drops have begun.
//!
//! One transaction notes in the file what goes, and from then on it is gone for good; its chunks follow, slice by slice.
//! Where the process ends in between, or the disk fails, the next start or the next change finds the note and goes on.
//! Nothing is sealed or merged before, so that what is found then is what was there when it was noted.

use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering},
};

use parking_lot::MutexGuard;

use super::{
    Store, StoreError,
    catalogue::{Address, Measurement, chunks_mut},
    chunk::{self, Encoder},
    disk::{
        Disk,
        rows::{self, Unfinished},
    },
    head::ChunkMeta,
};

/// Series that are looked at under one lock.
const SLICE_SERIES: u32 = 2_000;

/// A chunk that holds points that go.
struct Found {
    address: Address,
    meta: ChunkMeta,
}

/// Drops policies that are in the file no more, before the catalogue is loaded.
pub(super) fn drop_policies(disk: &Disk) -> Result<(), StoreError> {
    for unfinished in disk.read(|reader| Ok(rows::unfinished(reader)?))? {
        if unfinished.measurement.is_none() {
            drop_policy(disk, unfinished.policy_id)?;
        }
    }
    Ok(())
}

/// Takes from the file what a policy held.
fn drop_policy(disk: &Disk, id: i64) -> Result<(), StoreError> {
    let [chunks, series, columns] = disk.read(|reader| Ok(rows::numbers_of_policy(reader, id)?))?;
    disk.write_each(
        &chunks,
        |file, id| Ok(rows::drop_chunk(file, *id)?),
        |_, _| {},
    )?;
    disk.write_each(
        &series,
        |file, id| Ok(rows::drop_series(file, *id)?),
        |_, _| {},
    )?;
    disk.write_each(
        &columns,
        |file, id| Ok(rows::drop_column(file, *id)?),
        |_, _| {},
    )
}

impl Store {
    /// Waits until nothing else changes chunks, and finishes what is left over from a change that failed.
    pub(super) fn change(&self) -> Result<MutexGuard<'_, ()>, StoreError> {
        let changing = self.0.changing.lock();
        if self.0.is_unfinished.load(Ordering::Relaxed) {
            self.finish()?;
        }
        Ok(changing)
    }

    /// Finishes what the file has noted. Must be called while nothing else changes chunks.
    pub(super) fn finish(&self) -> Result<(), StoreError> {
        self.0.is_unfinished.store(true, Ordering::Relaxed);
        let all = self.0.disk.read(|reader| Ok(rows::unfinished(reader)?))?;
        let mut places: HashSet<(i64, &str)> = HashSet::new();
        for unfinished in &all {
            match &unfinished.measurement {
                None => drop_policy(&self.0.disk, unfinished.policy_id)?,
                Some(name) => {
                    self.take_points(unfinished, &name.as_str().into())?;
                    places.insert((unfinished.policy_id, name));
                }
            }
        }
        self.forget_empty(|policy, name| places.contains(&(policy, name)))?;
        if !all.is_empty() {
            self.0
                .disk
                .write(|transaction| Ok(rows::forget_unfinished(transaction)?))?;
        }
        self.0.is_unfinished.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Takes points out of the chunks of a measurement, or of one series of it.
    fn take_points(&self, unfinished: &Unfinished, name: &Arc<str>) -> Result<(), StoreError> {
        let mut from = 0;
        while let Some((found, next)) = self.find_chunks(unfinished, name, from) {
            self.take_from(&found, unfinished.first, unfinished.last)?;
            from = next;
        }
        Ok(())
    }

    /// Finds the chunks of some series from a number on, and returns the number to go on at.
    fn find_chunks(
        &self,
        unfinished: &Unfinished,
        name: &Arc<str>,
        from: u32,
    ) -> Option<(Vec<Found>, u32)> {
        let state = self.0.state.read();
        let mut policies = state.iter().flat_map(|database| &database.policies);
        let policy = policies.find(|policy| policy.id == unfinished.policy_id)?;
        let measurement: &Measurement = policy.measurements.get(name)?;
        let (first, end) = match &unfinished.series {
            None => (0, measurement.series.end()),
            Some(key) => measurement
                .number_of(key)
                .map(|number| (number, number + 1))?,
        };
        let (from, next) = (from.max(first), end.min(from.max(first) + SLICE_SERIES));
        if from >= end {
            return None;
        }
        let mut found = Vec::new();
        for (number, series) in measurement.series.within(from..next) {
            for (column, chunks) in series.each_chunks() {
                let goes = |meta: &&ChunkMeta| {
                    meta.first <= unfinished.last && meta.last >= unfinished.first
                };
                found.extend(chunks.iter().filter(goes).map(|meta| Found {
                    address: Address {
                        policy_id: policy.id,
                        measurement: Arc::clone(name),
                        series: number,
                        column,
                    },
                    meta: *meta,
                }));
            }
        }
        Some((found, next))
    }

    /// Takes points out of chunks, on disk and then in memory.
    fn take_from(&self, chunks: &[Found], first: i64, last: i64) -> Result<(), StoreError> {
        let mut packing = Encoder::new(self.0.options.rollup_from_points);
        self.0.disk.write_each(
            chunks,
            |transaction, Found { meta, .. }| {
                if meta.first >= first && meta.last <= last {
                    rows::drop_chunk(transaction, meta.id)?;
                    return Ok(None);
                }
                let bytes = rows::chunk(transaction, meta.id)?;
                let missing = || StoreError::Catalogue(format!("chunk {} is missing", meta.id));
                let left = chunk::decode(&bytes.ok_or_else(missing)?)?.outside(first, last);
                let left = packing.encode_with_meta(&left, meta.id)?;
                match &left {
                    None => rows::drop_chunk(transaction, meta.id)?,
                    Some(left) => rows::change_chunk(transaction, left)?,
                }
                Ok(left.map(|left| left.meta))
            },
            |changed, left| {
                let mut state = self.0.state.write();
                for (Found { address, meta }, left) in changed.iter().zip(left) {
                    let Some(chunks) = chunks_mut(&mut state, address) else {
                        continue;
                    };
                    match left {
                        None => chunks.retain(|chunk| chunk.id != meta.id),
                        Some(left) => {
                            for chunk in chunks.iter_mut().filter(|chunk| chunk.id == meta.id) {
                                *chunk = left;
                            }
                        }
                    }
                }
            },
        )
    }
}
