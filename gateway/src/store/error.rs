//! Why the store fails, and why it refuses a value.

use std::{path::PathBuf, time::Duration};

use chrono::DateTime;

use super::{FieldType, chunk};

/// Why the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be opened.
    #[error(
        "the store {} cannot be opened: {source}; it needs a writable folder and an undamaged SQLite file \
         (move the file away to start anew, or restore it from a backup)", path.display()
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// SQLite's word.
        source: rusqlite::Error,
    },
    /// The file is another version's.
    #[error(
        "the store {} has format {found}, this version reads format {known}; use the version that wrote it",
        path.display()
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// The format found.
        found: i64,
        /// The format that is known.
        known: i64,
    },
    /// The file cannot be read or written.
    #[error("the store's file failed: {0}; check the disk's space and health")]
    Sqlite(#[from] rusqlite::Error),
    /// A chunk is damaged.
    #[error(transparent)]
    Chunk(#[from] chunk::ChunkError),
    /// The catalogue in the file does not fit together.
    #[error("the store's catalogue is damaged: {0}; restore the store from a backup")]
    Catalogue(String),
    /// The log cannot be emptied, and would outgrow the bound together with the file.
    #[error(
        "another process reads the store's file, so that its log of {log_bytes} bytes cannot be emptied and there is no \
         room below HEADROOM_STORE_MAX_BYTES; wait for its end (a backup), or raise the bound"
    )]
    LogHeld {
        /// The log's size.
        log_bytes: u64,
    },
    /// The file is at its bound, and there are no points to let go.
    #[error(
        "the store takes {used_bytes} of {max_bytes} bytes and has no points to let go; raise HEADROOM_STORE_MAX_BYTES"
    )]
    BoundReached {
        /// What is in use.
        used_bytes: u64,
        /// The bound.
        max_bytes: u64,
    },
    /// A database is not there.
    #[error("database not found: {0}")]
    DatabaseUnknown(String),
    /// A retention policy is not there.
    #[error("retention policy not found: {0}")]
    PolicyUnknown(String),
    /// A retention policy is there with other settings.
    #[error("retention policy already exists: {0}; ALTER RETENTION POLICY changes it")]
    PolicyExists(String),
    /// The default retention policy cannot go.
    #[error(
        "{0} is the default retention policy; make another one the default first, or drop the database"
    )]
    PolicyIsDefault(String),
    /// A name that cannot be.
    #[error("a database or retention policy needs a name of 1 to 255 bytes")]
    NameInvalid,
}

/// A field whose type differs from the one that the store has learned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "input field \"{field}\" on measurement \"{measurement}\" is type {}, already exists as type {}",
    written.name(), stored.name()
)]
pub struct TypeConflict {
    /// The measurement.
    pub measurement: String,
    /// The field.
    pub field: String,
    /// The type that was written.
    pub written: FieldType,
    /// The type that is stored.
    pub stored: FieldType,
}

/// A point that is older than its retention policy keeps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "points beyond retention policy: the point is of {}, and \"{policy}\" keeps the last {duration:?}; \
     write newer points, or ALTER RETENTION POLICY",
    DateTime::from_timestamp_nanos(*time_ns).format("%FT%TZ")
)]
pub struct Expired {
    /// The retention policy.
    pub policy: String,
    /// For how long it keeps points.
    pub duration: Duration,
    /// The point's time.
    pub time_ns: i64,
}

/// Why the store does not take a well-formed line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// A field has another type.
    #[error(transparent)]
    Type(#[from] TypeConflict),
    /// The point is older than its policy keeps.
    #[error(transparent)]
    Expired(#[from] Expired),
}
