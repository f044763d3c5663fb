//! Deletes points, and sees to it that they do not come back.
//!
//! A deletion takes the points from memory, and is itself kept in the file, with the journal's sequence at which it
//! happened. A replay passes over what older batches hold of the deleted points; batches behind the deletion bring new
//! ones. It is forgotten when the journal is sealed beyond it. The transaction that notes it also notes that its chunks are
//! to go, as they do then (`unfinished`).

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    Store, StoreError,
    catalogue::{Cut, Database, Measurement, measurement_mut},
    disk::rows::{self, Unfinished},
    series::Series,
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

/// What the keys of the series take that are deleted together; each stands in the file twice until they are gone.
const KEYS_BYTES: usize = 512 << 10;
/// Series whose points are looked for under one lock.
const SLICE_SERIES: u32 = 20_000;
/// The memory of points that are looked at under one lock.
const SLICE_BYTES: usize = 4 << 20;

impl Store {
    /// Deletes points between two times, the ends included. Series that have no point left are forgotten, and so are
    /// measurements without series. Of very many series, some go after the others.
    ///
    /// # Errors
    ///
    /// When the database is not there, or the file cannot be read or written; what it has noted is finished later, and what
    /// it has not is undone by a restart.
    pub fn delete(
        &self,
        database: &str,
        doomed: &[Doomed],
        first: i64,
        last: i64,
    ) -> Result<(), StoreError> {
        let _changing = self.change()?;
        for Doomed {
            policy,
            measurement,
            series,
        } in doomed
        {
            let place = [database, policy, measurement];
            let Some(keys) = self.keys_of(place, series.as_deref())? else {
                continue;
            };
            match series {
                None => self.delete_in(place, &[None], first, last)?,
                Some(_) => {
                    for keys in keys.chunk_by(together()) {
                        let keys: Vec<Option<&str>> = keys.iter().map(|key| Some(&**key)).collect();
                        self.delete_in(place, &keys, first, last)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Lists the keys of a measurement's series; `None` when it is not there.
    fn keys_of(
        &self,
        [database, policy, measurement]: [&str; 3],
        numbers: Option<&[u32]>,
    ) -> Result<Option<Vec<Arc<str>>>, StoreError> {
        let state = self.0.state.read();
        let known = state.iter().find(|found| found.name == database);
        let known = known.ok_or_else(|| StoreError::DatabaseUnknown(database.to_owned()))?;
        let policy = known.policy(Some(policy));
        let Some(found) = policy.and_then(|policy| policy.measurements.get(measurement)) else {
            return Ok(None);
        };
        let is_there = |series: &&Series, number: u32| found.number_of(&series.key) == Some(number);
        let key = |number: &u32| {
            let series = found.series.get(*number);
            series
                .filter(|series| is_there(series, *number))
                .map(|series| Arc::clone(&series.key))
        };
        let numbers = numbers.unwrap_or_default();
        Ok(Some(numbers.iter().filter_map(key).collect()))
    }

    /// Deletes points of a measurement, or of some of its series, and notes that in the file.
    fn delete_in(
        &self,
        [database, policy, measurement]: [&str; 3],
        keys: &[Option<&str>],
        first: i64,
        last: i64,
    ) -> Result<(), StoreError> {
        self.make_room()?;
        let place = [database, policy, measurement];
        let taken = match keys {
            [None] => self.take_from_all(place, first, last),
            keys => self.take_from_some(place, keys, first, last),
        };
        let Some((through, policy_id)) = taken else {
            return Ok(());
        };
        self.0.disk.write(|transaction| {
            for key in keys {
                let series = key.map(str::to_owned);
                let measurement = Some(measurement.to_owned());
                let deletion = Deletion {
                    measurement: measurement.clone(),
                    series: series.clone(),
                    first,
                    last,
                    ..Deletion::of_all(through, database, Some(policy))
                };
                rows::add_deletion(transaction, &deletion)?;
                let unfinished = Unfinished {
                    policy_id,
                    measurement,
                    series,
                    first,
                    last,
                };
                rows::add_unfinished(transaction, &unfinished)?;
            }
            Ok(())
        })?;
        self.finish()
    }

    /// Takes points of all series of a measurement from memory, some series under one lock; returns the last sequence before
    /// that, whose points go, and the policy's number. `None` when there is no such measurement.
    fn take_from_all(&self, place: [&str; 3], first: i64, last: i64) -> Option<(u64, i64)> {
        let begun = self.begin_cut(place, first, last)?;
        while self.cut_slice(place) {}
        Some(begun)
    }

    /// Begins to delete from memory what is there now.
    pub(super) fn begin_cut(&self, place: [&str; 3], first: i64, last: i64) -> Option<(u64, i64)> {
        let mut state = self.0.state.write();
        let (policy_id, measurement) = find_mut(&mut state, place)?;
        measurement.cut = Some(Cut {
            first,
            last,
            numbers: 0..measurement.series.end(),
            ahead: HashSet::new(),
            freed_bytes: 0,
        });
        Some((self.applied_through(), policy_id))
    }

    /// Goes on with that; says whether something is left.
    pub(super) fn cut_slice(&self, place: [&str; 3]) -> bool {
        let mut state = self.0.state.write();
        let Some((_, measurement)) = find_mut(&mut state, place) else {
            return false;
        };
        let Some(mut cut) = measurement.cut.take() else {
            return false;
        };
        let (mut looked_at, mut bytes) = (0, 0);
        while looked_at < SLICE_SERIES && bytes < SLICE_BYTES {
            let Some(number) = cut.numbers.next() else {
                self.free(cut.freed_bytes);
                return false;
            };
            looked_at += 1;
            if let Some(series) = measurement.series.get_mut(number)
                && !cut.ahead.contains(&number)
            {
                bytes += series.head.memory_bytes();
                cut.take_from(series);
            }
        }
        measurement.cut = Some(cut);
        true
    }

    /// Takes points of some series from memory; returns what [`Self::take_from_all`] does.
    fn take_from_some(
        &self,
        place: [&str; 3],
        keys: &[Option<&str>],
        first: i64,
        last: i64,
    ) -> Option<(u64, i64)> {
        let mut state = self.0.state.write();
        let (policy_id, found) = find_mut(&mut state, place)?;
        let mut freed_bytes = 0;
        for key in keys.iter().flatten() {
            let number = found.number_of(key);
            let one = number.and_then(|number| found.series.get_mut(number));
            freed_bytes += one.map_or(0, |one| one.head.delete(first, last));
        }
        self.free(freed_bytes);
        Some((self.applied_through(), policy_id))
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

    /// Forgets series without points in some measurements, and those of the measurements that have none left; a write waits
    /// for a slice of them. Must be called while nothing else changes chunks.
    pub(super) fn forget_empty(
        &self,
        is_wanted: impl Fn(i64, &str) -> bool,
    ) -> Result<(), StoreError> {
        for (policy_id, name) in self.places() {
            if !is_wanted(policy_id, &name) {
                continue;
            }
            let mut from = Some(0);
            while let Some(at) = from {
                let (series_ids, next) = self.forget_slice(policy_id, &name, at);
                from = next;
                self.0.disk.write_each(
                    &series_ids,
                    |transaction, id| Ok(rows::drop_series(transaction, *id)?),
                    |_, _| {},
                )?;
            }
            if self.forget_measurement(policy_id, &name) {
                self.0
                    .disk
                    .write(|transaction| Ok(rows::forget(transaction, policy_id, &name)?))?;
            }
        }
        Ok(())
    }

    /// Forgets those series from a number on that have no points; returns their numbers on disk, and the number to go on at.
    fn forget_slice(&self, policy_id: i64, name: &str, from: u32) -> (Vec<i64>, Option<u32>) {
        let mut state = self.0.state.write();
        let Some(measurement) = measurement_mut(&mut state, policy_id, name) else {
            return (Vec::new(), None);
        };
        let end = measurement.series.end();
        let next = end.min(from + SLICE_SERIES);
        let slice = measurement.series.within(from..next);
        let gone = slice.filter(|(number, series)| {
            measurement.number_of(&series.key) == Some(*number) && series.is_empty()
        });
        let gone: Vec<u32> = gone.map(|(number, _)| number).collect();
        if gone.is_empty() {
            return (Vec::new(), (next < end).then_some(next));
        }
        self.note_removal();
        let ids = measurement.remove_series(&gone);
        (ids, (next < end).then_some(next))
    }

    /// Forgets a measurement that has no series; says whether it did.
    fn forget_measurement(&self, policy_id: i64, name: &str) -> bool {
        let mut state = self.0.state.write();
        let mut policies = state.iter_mut().flat_map(|database| &mut database.policies);
        let Some(policy) = policies.find(|policy| policy.id == policy_id) else {
            return false;
        };
        let found = policy.measurements.get(name);
        let is_empty = found.is_some_and(|found| found.order.is_empty());
        if is_empty {
            self.note_removal();
            policy.measurements.remove(name);
        }
        is_empty
    }
}

/// Finds a measurement and its policy's number.
fn find_mut<'a>(
    state: &'a mut [Database],
    [database, policy, measurement]: [&str; 3],
) -> Option<(i64, &'a mut Measurement)> {
    let mut known = state.iter_mut();
    let known = known.find(|found| found.name == database)?;
    let policy = known.policy_mut(Some(policy))?;
    let id = policy.id;
    Some((id, policy.measurements.get_mut(measurement)?))
}

/// Says of one key after the other whether it is still of those that are deleted together.
fn together() -> impl FnMut(&Arc<str>, &Arc<str>) -> bool {
    let mut bytes = 0;
    move |_, next| {
        bytes += next.len();
        let fits = bytes < KEYS_BYTES;
        if !fits {
            bytes = 0;
        }
        fits
    }
}
