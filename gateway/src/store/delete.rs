//! Deletes points, and sees to it that they do not come back.
//!
//! A deletion takes the points from memory and from the chunks, and is itself kept in the file, in the transaction that
//! changes the chunks: with the journal's sequence at which it happened. A replay passes over what older batches hold of
//! the deleted points; batches behind the deletion bring new ones. It is forgotten when the journal is sealed beyond it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    Store, StoreError,
    catalogue::{Address, chunks_mut},
    chunk::{self, Encoder},
    disk::rows,
    head::ChunkMeta,
};

/// Which points of a measurement go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doomed {
    /// The retention policy.
    pub policy: String,
    /// The measurement.
    pub measurement: Arc<str>,
    /// The series' numbers; `None`: all of them.
    pub series: Option<Vec<u32>>,
}

/// Points that a replay must pass over; what is `None` means all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Deletion {
    /// The last sequence before it.
    pub(super) through: u64,
    pub(super) database: String,
    pub(super) policy: Option<String>,
    pub(super) measurement: Option<String>,
    /// A series' key.
    pub(super) series: Option<String>,
    pub(super) first: i64,
    pub(super) last: i64,
}

impl Deletion {
    /// The deletion of a database, or of one policy of it.
    pub(super) fn of_all(through: u64, database: &str, policy: Option<&str>) -> Self {
        Self {
            through,
            database: database.to_owned(),
            policy: policy.map(str::to_owned),
            measurement: None,
            series: None,
            first: i64::MIN,
            last: i64::MAX,
        }
    }

    fn is_of(&self, sequence: u64, database: &str, policy: Option<&str>) -> bool {
        sequence <= self.through
            && self.database == database
            && (self.policy.is_none() || self.policy.as_deref() == policy)
    }
}

/// The deletions that a replay has to heed.
#[derive(Default)]
pub(super) struct Deletions {
    wide: Vec<Deletion>,
    by_series: HashMap<String, Vec<Deletion>>,
}

impl Deletions {
    pub(super) fn new(all: Vec<Deletion>) -> Self {
        let mut sorted = Self::default();
        for deletion in all {
            match deletion.series.clone() {
                None => sorted.wide.push(deletion),
                Some(key) => sorted.by_series.entry(key).or_default().push(deletion),
            }
        }
        sorted
    }

    /// Says whether a batch goes as a whole, with the database or policy that it went to.
    pub(super) fn cover_batch(&self, sequence: u64, database: &str, policy: Option<&str>) -> bool {
        let covers = |deletion: &Deletion| {
            deletion.measurement.is_none() && deletion.is_of(sequence, database, policy)
        };
        self.wide.iter().any(covers)
    }

    /// Says whether a batch of this sequence may hold deleted points.
    pub(super) fn concern(&self, sequence: u64) -> bool {
        let mut all = self.wide.iter().chain(self.by_series.values().flatten());
        all.any(|deletion| sequence <= deletion.through)
    }

    /// Says whether a point was deleted after its batch.
    pub(super) fn cover_point(
        &self,
        sequence: u64,
        [database, policy, measurement]: [&str; 3],
        key: &str,
        time_ns: i64,
    ) -> bool {
        let covers = |deletion: &Deletion| {
            deletion.is_of(sequence, database, Some(policy))
                && deletion.measurement.as_deref() == Some(measurement)
                && (deletion.first..=deletion.last).contains(&time_ns)
        };
        self.wide.iter().any(covers)
            || self
                .by_series
                .get(key)
                .is_some_and(|list| list.iter().any(covers))
    }
}

/// What a deletion found in memory: itself, for replays, and the chunks that hold some of its points.
#[derive(Default)]
struct Found {
    deletions: Vec<Deletion>,
    chunks: Vec<(Address, ChunkMeta)>,
}

impl Store {
    /// Deletes points between two times, the ends included. Series that have no point left are forgotten, and so are
    /// measurements without series.
    ///
    /// # Errors
    ///
    /// When the database is not there, or the file cannot be read or written; what is left of the deletion is undone by
    /// a restart then.
    pub fn delete(
        &self,
        database: &str,
        doomed: &[Doomed],
        first: i64,
        last: i64,
    ) -> Result<(), StoreError> {
        let _changing = self.0.changing.lock();
        let found = self.delete_in_memory(database, doomed, first, last)?;
        let changed = self.0.disk.write(|transaction| {
            for deletion in &found.deletions {
                rows::add_deletion(transaction, deletion)?;
            }
            let mut changed: Vec<(&Address, i64, Option<ChunkMeta>)> = Vec::new();
            for (address, meta) in &found.chunks {
                let left = if meta.first >= first && meta.last <= last {
                    None
                } else {
                    let bytes = rows::chunk(transaction, meta.id)?;
                    let bytes = bytes.ok_or_else(|| {
                        StoreError::Catalogue(format!("chunk {} is missing", meta.id))
                    })?;
                    let column = chunk::decode(&bytes)?.outside(first, last);
                    let from_points = self.0.options.rollup_from_points;
                    Encoder::new(from_points).encode_with_meta(&column, meta.id)?
                };
                match &left {
                    None => rows::drop_chunk(transaction, meta.id)?,
                    Some(left) => rows::change_chunk(transaction, left)?,
                }
                changed.push((address, meta.id, left.map(|left| left.meta)));
            }
            Ok(changed)
        })?;
        let mut state = self.0.state.write();
        for (address, id, left) in changed {
            if let Some(chunks) = chunks_mut(&mut state, address) {
                match left {
                    None => chunks.retain(|chunk| chunk.id != id),
                    Some(meta) => {
                        for chunk in chunks.iter_mut().filter(|chunk| chunk.id == id) {
                            *chunk = meta;
                        }
                    }
                }
            }
        }
        drop(state);
        self.forget_empty(database)
    }

    fn delete_in_memory(
        &self,
        database: &str,
        doomed: &[Doomed],
        first: i64,
        last: i64,
    ) -> Result<Found, StoreError> {
        let mut state = self.0.state.write();
        let through = self.applied_through();
        let known = state.iter_mut().find(|found| found.name == database);
        let known = known.ok_or_else(|| StoreError::DatabaseUnknown(database.to_owned()))?;
        let mut found = Found::default();
        let mut freed = 0;
        for Doomed {
            policy,
            measurement: name,
            series,
        } in doomed
        {
            let Some(policy) = known.policy_mut(Some(policy)) else {
                continue;
            };
            let (policy_id, policy_name) = (policy.id, policy.name.clone());
            let Some(measurement) = policy.measurements.get_mut(name) else {
                continue;
            };
            let mut note = |series: Option<&str>| {
                found.deletions.push(Deletion {
                    measurement: Some(name.to_string()),
                    series: series.map(str::to_owned),
                    first,
                    last,
                    ..Deletion::of_all(through, database, Some(&policy_name))
                });
            };
            let numbers: Vec<u32> = if let Some(numbers) = series {
                let order = &measurement.order;
                let is_there = |number: &&u32| {
                    let series = measurement.series.get(**number as usize);
                    series.is_some_and(|series| order.get(&series.key) == Some(*number))
                };
                numbers.iter().filter(is_there).copied().collect()
            } else {
                note(None);
                measurement.order.values().copied().collect()
            };
            for number in numbers {
                let one = &mut measurement.series[number as usize];
                if series.is_some() {
                    note(Some(&one.key));
                }
                freed += one.head.delete(first, last);
                for (column, chunks) in one.each_chunks() {
                    let address = Address {
                        policy_id,
                        measurement: Arc::clone(name),
                        series: number,
                        column,
                    };
                    let overlapping =
                        |chunk: &&ChunkMeta| chunk.first <= last && chunk.last >= first;
                    let chunks = chunks.iter().filter(overlapping);
                    found
                        .chunks
                        .extend(chunks.map(|chunk| (address.clone(), *chunk)));
                }
            }
        }
        drop(state);
        self.free(freed);
        Ok(found)
    }

    /// Drops a measurement from every retention policy of a database; returns whether it was there.
    ///
    /// # Errors
    ///
    /// When the database is not there or the file cannot be written.
    pub fn drop_measurement(&self, database: &str, name: &str) -> Result<bool, StoreError> {
        let policies = self
            .policies(database)
            .ok_or_else(|| StoreError::DatabaseUnknown(database.to_owned()))?;
        let name: Arc<str> = name.into();
        let doomed: Vec<Doomed> = policies
            .into_iter()
            .filter(|policy| {
                let view = self.view(database, Some(&policy.name));
                view.is_some_and(|view| view.has_measurement(&name))
            })
            .map(|policy| Doomed {
                policy: policy.name,
                measurement: Arc::clone(&name),
                series: None,
            })
            .collect();
        self.delete(database, &doomed, i64::MIN, i64::MAX)?;
        Ok(!doomed.is_empty())
    }

    /// Forgets series without points, and measurements without series. Must be called while nothing else changes the
    /// catalogue.
    pub(super) fn forget_empty(&self, database: &str) -> Result<(), StoreError> {
        let mut series_ids: Vec<i64> = Vec::new();
        let mut measurements: BTreeMap<i64, BTreeSet<Arc<str>>> = BTreeMap::new();
        {
            let mut state = self.0.state.write();
            let found = state.iter_mut().find(|found| found.name == database);
            for policy in found.into_iter().flat_map(|found| &mut found.policies) {
                let policy_id = policy.id;
                self.note_removal();
                policy.measurements.retain(|name, measurement| {
                    let order = measurement.order.values().copied();
                    let empty: Vec<u32> = order
                        .filter(|number| measurement.series[*number as usize].is_empty())
                        .collect();
                    for number in empty {
                        series_ids.extend(measurement.remove_series(number));
                    }
                    let is_left = !measurement.order.is_empty();
                    if !is_left {
                        measurements
                            .entry(policy_id)
                            .or_default()
                            .insert(Arc::clone(name));
                    }
                    is_left
                });
            }
        }
        if series_ids.is_empty() && measurements.is_empty() {
            return Ok(());
        }
        self.0.disk.write(|transaction| {
            for id in series_ids {
                rows::drop_series(transaction, id)?;
            }
            for (policy_id, names) in measurements {
                for name in names {
                    rows::forget(transaction, policy_id, Some(&name))?;
                }
            }
            Ok(())
        })
    }
}
