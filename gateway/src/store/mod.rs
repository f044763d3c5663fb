//! The embedded store: an in-memory head fed in journal order, sealed into compressed chunks in one SQLite file.
//!
//! Invariants:
//!
//! - A point is known by its series, its field and its time. Of two writes to one point the later sequence wins, through
//!   seals, restarts and replays.
//! - What [`Store::apply`] took is visible to the next read.
//! - The type of a (measurement, field) is the first that was judged; values of other types are refused before the
//!   journal by [`Store::claim_types`], so that [`Store::apply`] never meets them.
//! - [`Store::sealed_through`] names a sequence up to which everything is in the file; the journal may forget it. It is
//!   written in a transaction of its own behind the chunks of a seal: a crash between them replays what is in the file
//!   already, which changes nothing.
//! - A seal works in slices: writes wait for one slice's swap in memory, never for the disk.
//!
//! Formats: the file in `disk`, a chunk in [`chunk`].

mod catalogue;
pub mod chunk;
mod claims;
pub mod column;
mod disk;
mod error;
mod head;
mod read;
mod seal;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use parking_lot::{Mutex, RwLock};

use catalogue::{Database, Policy};
pub use catalogue::{Tags, series_key};
use claims::Claims;
pub use column::{Column, FieldType, Value, Values};
use disk::Disk;
pub use error::{StoreError, TypeConflict};
pub use read::{FieldInfo, PolicyInfo, SeriesInfo, View};
pub use seal::SealReport;

use crate::lines::{FieldValue, Point};

/// The retention policy of a database that names none.
pub const DEFAULT_POLICY: &str = "autogen";
/// The store's file in its folder.
pub const FILE_NAME: &str = "store.sqlite";

/// A head larger than this wants a seal: a quarter of what a small server can spare.
const HEAD_MAX_BYTES_DEFAULT: usize = 256 << 20;
/// Columns whose heads are swapped under one lock: about a millisecond of waiting for a write.
const SEAL_SLICE_COLUMNS_DEFAULT: usize = 2_000;

/// How the store behaves.
#[derive(Debug, Clone, Copy)]
pub struct StoreOptions {
    /// From which size of the head on [`Store::wants_seal`] says yes.
    pub head_max_bytes: usize,
    /// How many columns a slice of a seal takes.
    pub seal_slice_columns: usize,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            head_max_bytes: HEAD_MAX_BYTES_DEFAULT,
            seal_slice_columns: SEAL_SLICE_COLUMNS_DEFAULT,
        }
    }
}

/// The embedded store. Clones share it.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    options: StoreOptions,
    disk: Disk,
    state: RwLock<Vec<Database>>,
    /// Taken with `state` held, never before it.
    claims: Mutex<Claims>,
    /// Held while a seal runs or the catalogue on disk changes, so that there is one of them at a time.
    changing: Mutex<()>,
    applied_through: AtomicU64,
    sealed_through: AtomicU64,
    head_bytes: AtomicUsize,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("sealed_through", &self.sealed_through())
            .field("head_bytes", &self.head_bytes())
            .finish_non_exhaustive()
    }
}

fn value_type(value: &FieldValue<'_>) -> FieldType {
    match value {
        FieldValue::Float(_) => FieldType::Float,
        FieldValue::Integer(_) => FieldType::Integer,
        FieldValue::Unsigned(_) => FieldType::Unsigned,
        FieldValue::Text(_) => FieldType::Text,
        FieldValue::Boolean(_) => FieldType::Boolean,
    }
}

fn owned_value(value: &FieldValue<'_>) -> Value {
    match value {
        FieldValue::Float(value) => Value::Float(*value),
        FieldValue::Integer(value) => Value::Integer(*value),
        FieldValue::Unsigned(value) => Value::Unsigned(*value),
        FieldValue::Text(text) => Value::Text(text.as_ref().into()),
        FieldValue::Boolean(value) => Value::Boolean(*value),
    }
}

impl Store {
    /// Opens the store in a folder, or makes it there.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened, is damaged, or is another version's.
    pub fn open(dir: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        let disk = Disk::open(&dir.join(FILE_NAME))?;
        let (databases, sealed) = {
            let writer = disk.writer.lock();
            (seal::load(&writer)?, disk::sealed_through(&writer)?)
        };
        Ok(Self(Arc::new(Inner {
            options,
            disk,
            state: RwLock::new(databases),
            claims: Mutex::default(),
            changing: Mutex::new(()),
            applied_through: AtomicU64::new(sealed),
            sealed_through: AtomicU64::new(sealed),
            head_bytes: AtomicUsize::new(0),
        })))
    }

    /// Returns the sequence up to which the journal may be trimmed.
    #[must_use]
    pub fn sealed_through(&self) -> u64 {
        self.0.sealed_through.load(Ordering::Acquire)
    }

    /// Returns the last sequence that was applied.
    #[must_use]
    pub fn applied_through(&self) -> u64 {
        self.0.applied_through.load(Ordering::Acquire)
    }

    /// Returns roughly how much memory the head takes.
    #[must_use]
    pub fn head_bytes(&self) -> usize {
        self.0.head_bytes.load(Ordering::Relaxed)
    }

    /// Says whether the head has grown so much that a seal is due.
    #[must_use]
    pub fn wants_seal(&self) -> bool {
        self.head_bytes() >= self.0.options.head_max_bytes
    }

    /// Takes the points of one journal record; they must come in the journal's order.
    ///
    /// A database or retention policy that is not there is made.
    ///
    /// # Errors
    ///
    /// When a new database cannot be written to the file. Nothing of the batch is visible then.
    pub fn apply(
        &self,
        sequence: u64,
        database: &str,
        retention_policy: Option<&str>,
        received_ns: i64,
        points: &mut dyn Iterator<Item = Point<'_>>,
    ) -> Result<(), StoreError> {
        self.ensure(database, retention_policy)?;
        let mut state = self.0.state.write();
        let policy = state
            .iter_mut()
            .find(|found| found.name == database)
            .and_then(|found| found.policy_mut(retention_policy))
            .ok_or_else(|| StoreError::DatabaseUnknown(database.to_owned()))?;
        let mut bytes = 0;
        for point in points {
            bytes += insert(policy, received_ns, &point);
        }
        self.0.head_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.0.applied_through.fetch_max(sequence, Ordering::AcqRel);
        let mut claims = self.0.claims.lock();
        if !claims.is_empty() {
            claims.settle(|[database, policy, name, field]| {
                let known = measurement(&state, database, policy, name);
                known.is_some_and(|known| known.field_type(field).is_some())
            });
        }
        Ok(())
    }

    /// Holds a point's values to the types that the store has learned or others have claimed, and claims the types of
    /// fields that are new.
    ///
    /// # Errors
    ///
    /// Names both types of the first field that conflicts; nothing is claimed then.
    pub fn claim_types(
        &self,
        database: &str,
        retention_policy: Option<&str>,
        point: &Point<'_>,
    ) -> Result<(), TypeConflict> {
        let state = self.0.state.read();
        let policy = policy_name(&state, database, retention_policy);
        let known = measurement(&state, database, policy, &point.measurement);
        let mut claims = None;
        let mut fresh: Vec<(&str, FieldType)> = Vec::new();
        for (name, value) in &point.fields {
            let place = [database, policy, point.measurement.as_ref(), name.as_ref()];
            let written = value_type(value);
            let stored = known.and_then(|known| known.field_type(name)).or_else(|| {
                let claims = claims.get_or_insert_with(|| self.0.claims.lock());
                let here = fresh.iter().find(|(fresh, _)| fresh == name);
                here.map(|(_, claimed)| *claimed)
                    .or_else(|| claims.get(place))
            });
            match stored {
                Some(stored) if stored != written => {
                    return Err(TypeConflict {
                        measurement: point.measurement.to_string(),
                        field: name.to_string(),
                        written,
                        stored,
                    });
                }
                Some(_) => {}
                None => fresh.push((name, written)),
            }
        }
        if let Some(claims) = &mut claims {
            for (name, field_type) in fresh {
                claims.add([database, policy, &point.measurement, name], field_type);
            }
        }
        Ok(())
    }

    /// Makes a database with its default retention policy; one that is there already stays as it is.
    ///
    /// # Errors
    ///
    /// When the name is none or the file cannot be written.
    pub fn create_database(&self, name: &str) -> Result<(), StoreError> {
        self.ensure(name, None)
    }

    fn ensure(&self, database: &str, policy: Option<&str>) -> Result<(), StoreError> {
        let is_there = || {
            let state = self.0.state.read();
            let found = state.iter().find(|found| found.name == database);
            found.is_some_and(|found| found.policy(policy).is_some())
        };
        if is_there() {
            return Ok(());
        }
        self.create_policy(database, policy.unwrap_or(DEFAULT_POLICY), 0, false)
    }

    /// Makes a retention policy, and its database where that is not there either.
    ///
    /// # Errors
    ///
    /// When a name is none or the file cannot be written.
    pub fn create_policy(
        &self,
        database: &str,
        name: &str,
        duration_ns: i64,
        is_default: bool,
    ) -> Result<(), StoreError> {
        if [database, name]
            .iter()
            .any(|name| name.is_empty() || name.len() > 255)
        {
            return Err(StoreError::NameInvalid);
        }
        let _changing = self.0.changing.lock();
        let (database_is_new, policy_is_new) = {
            let state = self.0.state.read();
            let found = state.iter().find(|found| found.name == database);
            (
                found.is_none(),
                found.is_none_or(|found| found.policy(Some(name)).is_none()),
            )
        };
        if !policy_is_new {
            return Ok(());
        }
        let mut made: Vec<(String, i64, bool)> = Vec::new();
        if database_is_new && name != DEFAULT_POLICY {
            made.push((DEFAULT_POLICY.to_owned(), 0, !is_default));
        }
        made.push((
            name.to_owned(),
            duration_ns,
            is_default || (database_is_new && made.is_empty()),
        ));
        let ids = self.0.disk.write(|transaction| {
            if database_is_new {
                disk::add_database(transaction, database)?;
            }
            made.iter()
                .map(|(name, duration, default)| {
                    disk::add_policy(transaction, database, name, *duration, *default)
                })
                .collect::<rusqlite::Result<Vec<_>>>()
                .map_err(Into::into)
        })?;
        let mut state = self.0.state.write();
        if database_is_new {
            state.push(Database {
                name: database.to_owned(),
                policies: Vec::new(),
            });
        }
        let Some(found) = state.iter_mut().find(|found| found.name == database) else {
            return Err(StoreError::DatabaseUnknown(database.to_owned()));
        };
        for ((name, duration_ns, is_default), id) in made.into_iter().zip(ids) {
            if is_default {
                found
                    .policies
                    .iter_mut()
                    .for_each(|policy| policy.is_default = false);
            }
            found.policies.push(Policy {
                id,
                name,
                duration_ns,
                is_default,
                measurements: std::collections::BTreeMap::new(),
            });
        }
        Ok(())
    }

    /// Drops a database with all that it holds; one that is not there stays away.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn drop_database(&self, name: &str) -> Result<(), StoreError> {
        let changing = self.0.changing.lock();
        let ids: Vec<i64> = {
            let state = self.0.state.read();
            let Some(found) = state.iter().find(|found| found.name == name) else {
                return Ok(());
            };
            found.policies.iter().map(|policy| policy.id).collect()
        };
        self.0
            .disk
            .write(|transaction| Ok(disk::drop_database(transaction, name, &ids)?))?;
        self.0.state.write().retain(|found| found.name != name);
        drop(changing);
        // What the journal holds of the database must not come back with a replay.
        self.seal().map(|_| ())
    }

    /// Drops a measurement from every retention policy of a database; returns whether it was there.
    ///
    /// # Errors
    ///
    /// When the database is not there or the file cannot be written.
    pub fn drop_measurement(&self, database: &str, name: &str) -> Result<bool, StoreError> {
        let changing = self.0.changing.lock();
        let ids: Vec<i64> = {
            let state = self.0.state.read();
            let found = state.iter().find(|found| found.name == database);
            let found = found.ok_or_else(|| StoreError::DatabaseUnknown(database.to_owned()))?;
            let holds = |policy: &&Policy| policy.measurements.contains_key(name);
            found
                .policies
                .iter()
                .filter(holds)
                .map(|policy| policy.id)
                .collect()
        };
        self.0.disk.write(|transaction| {
            for id in &ids {
                disk::forget(transaction, *id, Some(name))?;
            }
            Ok(())
        })?;
        let mut state = self.0.state.write();
        if let Some(found) = state.iter_mut().find(|found| found.name == database) {
            for policy in &mut found.policies {
                policy.measurements.remove(name);
            }
        }
        drop(state);
        drop(changing);
        self.seal()?;
        Ok(!ids.is_empty())
    }
}

/// The name under which a database knows the policy that is meant.
fn policy_name<'a>(state: &'a [Database], database: &str, named: Option<&'a str>) -> &'a str {
    named.unwrap_or_else(|| {
        let found = state.iter().find(|found| found.name == database);
        found
            .and_then(|found| found.policy(None))
            .map_or(DEFAULT_POLICY, |policy| &policy.name)
    })
}

fn measurement<'a>(
    state: &'a [Database],
    database: &str,
    policy: &str,
    name: &str,
) -> Option<&'a catalogue::Measurement> {
    let database = state.iter().find(|found| found.name == database)?;
    database.policy(Some(policy))?.measurements.get(name)
}

/// Puts a point's fields into their columns; returns the memory that they take.
fn insert(policy: &mut Policy, received_ns: i64, point: &Point<'_>) -> usize {
    let name = point.measurement.as_ref();
    if !policy.measurements.contains_key(name) {
        policy
            .measurements
            .insert(name.into(), catalogue::Measurement::default());
    }
    let Some(measurement) = policy.measurements.get_mut(name) else {
        return 0;
    };
    let time = point.time_ns.unwrap_or(received_ns);
    let mut tags: Vec<(&str, &str)> = point
        .tags
        .iter()
        .map(|(key, value)| (key.as_ref(), value.as_ref()))
        .collect();
    tags.sort_unstable();
    let key = series_key(name, tags.iter().copied());
    let mut values = Vec::with_capacity(point.fields.len());
    for (field, value) in &point.fields {
        let value = owned_value(value);
        let (field, field_type) = measurement.learn(field, &value);
        values.push((field, field_type, value));
    }
    let series = measurement.series_mut(&key, || {
        tags.iter()
            .map(|(key, value)| ((*key).into(), (*value).into()))
            .collect()
    });
    let mut bytes = 0;
    for (field, field_type, value) in values {
        let size = Column::point_bytes(&value);
        let data = series
            .data
            .entry(field)
            .or_insert_with(|| head::FieldData::new(field_type));
        if data.push(time, value) {
            bytes += size;
        }
    }
    bytes
}
