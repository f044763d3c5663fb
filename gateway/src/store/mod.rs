//! The embedded store: an in-memory head fed in journal order, sealed into compressed chunks in one SQLite file.
//!
//! Invariants:
//!
//! - A point is known by its series, its field and its time. Of two writes to one point the later sequence wins, through
//!   seals, restarts and replays.
//! - What [`Store::apply`] took is visible to the next read.
//! - The type of a field is, in each week, the first that was judged; values of other types are refused before the journal
//!   by [`Store::intake`], so that [`Store::apply`] never meets them.
//! - A deletion that was answered stays one: a replay passes over what it took.
//! - One thing at a time changes chunks, and holds `changing` from its begin to its end: a seal, a compaction, a deletion, a
//!   retirement. What it found in memory is thus what it finds on disk. Pushes take no part in that: they make series,
//!   columns, policies and databases in memory, and a seal writes those before the chunks that need them.
//! - What changes policies or databases on disk holds the writer's connection while it looks at `state`: a policy that was
//!   dropped is never written after that. `state` is never held while the connection is waited for.
//! - [`Store::sealed_through`] names a sequence up to which everything is in the file; the journal may forget it. It is
//!   written in a transaction of its own behind the chunks of a seal: a crash between them replays what is in the file
//!   already, which changes nothing.
//! - The head's size is counted to the byte of its rows; whoever applies points asks [`Store::is_full`] first.
//! - Seals, compactions, retirements and deletions work in slices: writes wait for one slice's swap in memory, never for
//!   the disk. A deletion takes what was there when it began; a push that comes meanwhile to a series that is not looked at
//!   yet has what goes taken from it first.
//! - What is kept of series that are gone is a place in a list for each thousand of them.
//!
//! Formats: the file in `disk`, a chunk in [`chunk`], what it adds up to in `rollup`.

mod catalogue;
mod cells;
mod check;
pub mod chunk;
mod claims;
pub mod column;
mod compact;
mod databases;
mod decimal;
mod delete;
mod disk;
mod error;
mod head;
mod intake;
mod load;
mod pack;
mod parts;
mod read;
mod retire;
mod rollup;
mod seal;
mod series;
mod slice;
#[cfg(test)]
mod tests;
mod unfinished;
mod weeks;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use parking_lot::{Mutex, RwLock};

use catalogue::{Database, Policy};
pub use cells::{CellsWanted, Extreme, Summed};
pub use check::CheckReport;
use claims::Claims;
pub use column::{Column, FieldType, Value, Values};
pub use databases::PolicyChange;
use delete::Deletions;
pub use delete::Doomed;
pub use disk::copy_file;
use disk::{Disk, rows};
pub use error::{Expired, StoreError, TypeConflict, Unfit};
pub use intake::{Batch, Intake};
pub use parts::Edge;
pub use read::{Extent, FieldInfo, PolicyInfo, SeriesInfo, View};
pub use retire::{STORE_MAX_BYTES_LEAST, StoreUsage};
pub use rollup::{Cells, RESOLUTIONS_NS};
pub use seal::SealReport;
pub use series::Tags;

use crate::lines::FieldValue;

/// The retention policy of a database that names none.
pub const DEFAULT_POLICY: &str = "autogen";
/// The store's folder in the data folder.
pub const DIR_NAME: &str = "store";
/// The store's file in its folder.
pub const FILE_NAME: &str = "store.sqlite";

/// Six times what a thousand hosts write at 10 s in seven minutes.
pub const MEMORY_MAX_BYTES_DEFAULT: usize = 384 << 20;
/// A seal is wanted when the head is this part of what it may be, long before pushes are turned away.
const SEAL_AT_MEMORY_PART: usize = 6;
/// Columns whose heads are swapped under one lock: about a millisecond of waiting for a write.
const SEAL_SLICE_COLUMNS_DEFAULT: usize = 2_000;
/// The memory of a slice's rows.
const SEAL_SLICE_BYTES_DEFAULT: usize = 16 << 20;

/// Smaller chunks may be merged again, and are read as quickly as their rollups would be.
const ROLLUP_FROM_POINTS_DEFAULT: usize = seal::CHUNK_POINTS_MAX / compact::GROWTH + 1;

/// How the store behaves.
#[derive(Debug, Clone, Copy)]
pub struct StoreOptions {
    /// The most that the head may take: from there on [`Store::is_full`], from a sixth of it on [`Store::wants_seal`].
    pub memory_max_bytes: usize,
    /// How many columns a slice of a seal takes.
    pub seal_slice_columns: usize,
    /// How much memory the rows take that a slice of a seal takes, a series more or less.
    pub seal_slice_bytes: usize,
    /// From how many points on a chunk has a rollup.
    pub rollup_from_points: usize,
    /// The most that the file and its log may take; the oldest points go when it is reached.
    pub max_bytes: Option<u64>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            memory_max_bytes: MEMORY_MAX_BYTES_DEFAULT,
            seal_slice_columns: SEAL_SLICE_COLUMNS_DEFAULT,
            seal_slice_bytes: SEAL_SLICE_BYTES_DEFAULT,
            rollup_from_points: ROLLUP_FROM_POINTS_DEFAULT,
            max_bytes: None,
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
    /// What a replay has to pass over; known from the start, because only a replay meets it.
    deletions: RwLock<Deletions>,
    /// Held by whatever changes chunks, so that there is one of them at a time: a seal, merges, a deletion. No push waits
    /// for it.
    changing: Mutex<()>,
    /// Whether the file has noted something that goes, and that is not gone yet.
    is_unfinished: AtomicBool,
    /// The highest number of a policy.
    last_policy: AtomicI64,
    longest_wait_ns: AtomicU64,
    /// How often series, measurements, policies or databases went, or another policy became the default one: changed
    /// with `state` held.
    removals: AtomicU64,
    applied_through: AtomicU64,
    sealed_through: AtomicU64,
    head_bytes: AtomicUsize,
    expired_values: AtomicU64,
    evicted_values: AtomicU64,
    evicted_through_ns: AtomicI64,
    sealing: AtomicBool,
    merging: AtomicBool,
}

/// Shows that something is under way, until it is dropped.
struct Underway<'a>(&'a AtomicBool);

impl<'a> Underway<'a> {
    fn new(shown: &'a AtomicBool) -> Self {
        shown.store(true, Ordering::Relaxed);
        Self(shown)
    }
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
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

/// Returns a number's or a boolean's bits; a text has none.
fn bits_of(value: &FieldValue<'_>) -> u64 {
    match value {
        FieldValue::Float(value) => value.to_bits(),
        FieldValue::Integer(value) => *value as u64,
        FieldValue::Unsigned(value) => *value,
        FieldValue::Boolean(value) => u64::from(*value),
        FieldValue::Text(_) => 0,
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
        let disk = Disk::open(&dir.join(FILE_NAME), options.max_bytes)?;
        unfinished::drop_policies(&disk)?;
        let (databases, deletions, sealed, last_policy) = {
            let writer = disk.writer.lock();
            (
                load::load(&writer)?,
                rows::deletions(&writer)?,
                rows::sealed_through(&writer)?,
                rows::last_policy(&writer)?,
            )
        };
        let store = Self(Arc::new(Inner {
            options,
            disk,
            state: RwLock::new(databases),
            claims: Mutex::default(),
            deletions: RwLock::new(Deletions::new(deletions)),
            changing: Mutex::new(()),
            is_unfinished: AtomicBool::new(false),
            last_policy: AtomicI64::new(last_policy),
            longest_wait_ns: AtomicU64::new(0),
            removals: AtomicU64::new(0),
            applied_through: AtomicU64::new(sealed),
            sealed_through: AtomicU64::new(sealed),
            head_bytes: AtomicUsize::new(0),
            expired_values: AtomicU64::new(0),
            evicted_values: AtomicU64::new(0),
            evicted_through_ns: AtomicI64::new(i64::MIN),
            sealing: AtomicBool::new(false),
            merging: AtomicBool::new(false),
        }));
        store.finish()?;
        Ok(store)
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
        self.head_bytes() >= self.memory_max_bytes() / SEAL_AT_MEMORY_PART
    }

    /// Returns how much memory the head may take.
    #[must_use]
    pub fn memory_max_bytes(&self) -> usize {
        self.0.options.memory_max_bytes
    }

    /// Says whether the head has grown to its bound, so that no more points should come before a seal.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.head_bytes() >= self.memory_max_bytes()
    }

    /// Notes that the head takes so much less.
    fn free(&self, bytes: usize) {
        self.0.head_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Returns how often something went that lines may have been resolved to.
    fn removals(&self) -> u64 {
        self.0.removals.load(Ordering::Acquire)
    }

    /// Notes that something goes; `state` must be held for writing.
    fn note_removal(&self) {
        self.0.removals.fetch_add(1, Ordering::AcqRel);
    }

    /// Takes the lines of one journal record; they must come in the journal's order.
    ///
    /// A database or retention policy that is not there is made. Nothing on disk is waited for.
    ///
    /// # Errors
    ///
    /// When a new database or retention policy has a name that cannot be. Nothing of the batch is visible then.
    pub fn apply(
        &self,
        sequence: u64,
        database: &str,
        retention_policy: Option<&str>,
        received_ns: i64,
        batch: &Batch<'_>,
    ) -> Result<(), StoreError> {
        let deletions = self.0.deletions.read();
        if deletions.cover_batch(sequence, database, retention_policy) {
            self.0.applied_through.fetch_max(sequence, Ordering::AcqRel);
            return Ok(());
        }
        let covers = |[policy, measurement, key]: [&str; 3], time| {
            deletions.cover_point(sequence, [database, policy, measurement], key, time)
        };
        let passes: Option<intake::Passes<'_>> = if deletions.concern(sequence) {
            Some(&covers)
        } else {
            None
        };
        let asked = Instant::now();
        let mut state = self.0.state.write();
        let waited_ns = asked.elapsed().as_nanos() as u64;
        self.0
            .longest_wait_ns
            .fetch_max(waited_ns, Ordering::Relaxed);
        let known = state.iter().find(|found| found.name == database);
        if known.is_none_or(|found| found.policy(retention_policy).is_none()) {
            let name = retention_policy.unwrap_or(DEFAULT_POLICY);
            self.make_in(&mut state, database, name, 0, false)?;
        }
        let is_current = batch.is_of(self.removals());
        let policy = state
            .iter_mut()
            .find(|found| found.name == database)
            .and_then(|found| found.policy_mut(retention_policy))
            .ok_or_else(|| StoreError::DatabaseUnknown(database.to_owned()))?;
        let bytes = batch.insert(policy, received_ns, is_current, passes);
        self.0.head_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.0.applied_through.fetch_max(sequence, Ordering::AcqRel);
        let mut claims = self.0.claims.lock();
        if !claims.is_empty() {
            claims.settle(&state);
        }
        Ok(())
    }
}
