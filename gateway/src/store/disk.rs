//! The SQLite file.
//!
//! | table | a row is |
//! |---|---|
//! | `meta` | a number by name: `format`, `sealed_through` |
//! | `databases`, `policies` | a database; a retention policy of one |
//! | `fields` | a measurement's field with its type |
//! | `series` | a series: its measurement and its tags as a JSON array of pairs |
//! | `chunks` | a chunk ([`super::chunk`]) of one series and field, with its first and last time |
//!
//! WAL and `synchronous=FULL`: what a transaction committed survives a crash. Every slice of a seal is a transaction,
//! and `sealed_through` is written in one of its own behind the last. A crash before it leaves chunks whose points the
//! journal replays once more: the replayed points are later than the chunks and equal to them in the end, since the
//! journal keeps its order.

use std::{path::Path, time::Duration};

use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, params};

use super::StoreError;

const FORMAT: i64 = 1;
/// Another process that looks into the file may hold it for this long before a write fails.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Idle reader connections that are kept; more are opened as queries need them.
const READERS_KEPT: usize = 8;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS databases (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS policies (
    id INTEGER PRIMARY KEY, database_name TEXT NOT NULL, name TEXT NOT NULL,
    duration_ns INTEGER NOT NULL, is_default INTEGER NOT NULL, UNIQUE (database_name, name));
CREATE TABLE IF NOT EXISTS fields (
    id INTEGER PRIMARY KEY, policy_id INTEGER NOT NULL, measurement TEXT NOT NULL, name TEXT NOT NULL,
    type INTEGER NOT NULL, UNIQUE (policy_id, measurement, name));
CREATE TABLE IF NOT EXISTS series (
    id INTEGER PRIMARY KEY, policy_id INTEGER NOT NULL, measurement TEXT NOT NULL, tags TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS chunks (
    id INTEGER PRIMARY KEY AUTOINCREMENT, series_id INTEGER NOT NULL, field_id INTEGER NOT NULL,
    first INTEGER NOT NULL, last INTEGER NOT NULL, points INTEGER NOT NULL, data BLOB NOT NULL);
";

/// The file: one connection that writes, and those that read.
pub(super) struct Disk {
    path: std::path::PathBuf,
    pub(super) writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
}

impl Disk {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError::Open {
            path: path.to_owned(),
            source,
        };
        let writer = Connection::open(path).map_err(failed)?;
        prepare(&writer).map_err(failed)?;
        let found: Option<i64> = writer
            .query_row("SELECT value FROM meta WHERE name = 'format'", [], |row| {
                row.get(0)
            })
            .optional()
            .map_err(failed)?;
        match found {
            None => {
                writer
                    .execute(
                        "INSERT INTO meta VALUES ('format', ?1), ('sealed_through', 0)",
                        [FORMAT],
                    )
                    .map_err(failed)?;
            }
            Some(FORMAT) => {}
            Some(found) => {
                return Err(StoreError::Format {
                    path: path.to_owned(),
                    found,
                    known: FORMAT,
                });
            }
        }
        Ok(Self {
            path: path.to_owned(),
            writer: Mutex::new(writer),
            readers: Mutex::new(Vec::new()),
        })
    }

    /// Runs a function with a reader connection.
    pub(super) fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let kept = self.readers.lock().pop();
        let reader = kept.map_or_else(|| self.open_reader(), Ok)?;
        let answer = work(&reader)?;
        let mut readers = self.readers.lock();
        if readers.len() < READERS_KEPT {
            readers.push(reader);
        }
        Ok(answer)
    }

    fn open_reader(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let reader = Connection::open_with_flags(&self.path, flags)?;
        reader.busy_timeout(BUSY_TIMEOUT)?;
        Ok(reader)
    }

    /// Runs a function in a transaction, which is committed when the function succeeds.
    pub(super) fn write<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut writer = self.writer.lock();
        let transaction = writer.transaction()?;
        let answer = work(&transaction)?;
        transaction.commit()?;
        Ok(answer)
    }
}

fn prepare(writer: &Connection) -> rusqlite::Result<()> {
    writer.busy_timeout(BUSY_TIMEOUT)?;
    writer.pragma_update(None, "journal_mode", "WAL")?;
    writer.pragma_update(None, "synchronous", "FULL")?;
    writer.execute_batch(SCHEMA)
}

/// A row of `policies`.
pub(super) struct PolicyRow {
    pub(super) id: i64,
    pub(super) database: String,
    pub(super) name: String,
    pub(super) duration_ns: i64,
    pub(super) is_default: bool,
}

pub(super) fn databases(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    connection
        .prepare("SELECT name FROM databases ORDER BY id")?
        .query_map([], |row| row.get(0))?
        .collect()
}

pub(super) fn policies(connection: &Connection) -> rusqlite::Result<Vec<PolicyRow>> {
    connection
        .prepare(
            "SELECT id, database_name, name, duration_ns, is_default FROM policies ORDER BY id",
        )?
        .query_map([], |row| {
            Ok(PolicyRow {
                id: row.get(0)?,
                database: row.get(1)?,
                name: row.get(2)?,
                duration_ns: row.get(3)?,
                is_default: row.get(4)?,
            })
        })?
        .collect()
}

pub(super) fn add_database(transaction: &Transaction<'_>, name: &str) -> rusqlite::Result<()> {
    transaction.execute("INSERT INTO databases (name) VALUES (?1)", [name])?;
    Ok(())
}

pub(super) fn add_policy(
    transaction: &Transaction<'_>,
    database: &str,
    name: &str,
    duration_ns: i64,
    is_default: bool,
) -> rusqlite::Result<i64> {
    if is_default {
        transaction.execute(
            "UPDATE policies SET is_default = 0 WHERE database_name = ?1",
            [database],
        )?;
    }
    transaction.execute(
        "INSERT INTO policies (database_name, name, duration_ns, is_default) VALUES (?1, ?2, ?3, ?4)",
        params![database, name, duration_ns, is_default],
    )?;
    Ok(transaction.last_insert_rowid())
}

/// Forgets a measurement of a policy, or all of its measurements.
pub(super) fn forget(
    transaction: &Transaction<'_>,
    policy_id: i64,
    measurement: Option<&str>,
) -> rusqlite::Result<()> {
    for statement in [
        "DELETE FROM chunks WHERE series_id IN \
         (SELECT id FROM series WHERE policy_id = ?1 AND (?2 IS NULL OR measurement = ?2))",
        "DELETE FROM series WHERE policy_id = ?1 AND (?2 IS NULL OR measurement = ?2)",
        "DELETE FROM fields WHERE policy_id = ?1 AND (?2 IS NULL OR measurement = ?2)",
    ] {
        transaction.execute(statement, params![policy_id, measurement])?;
    }
    Ok(())
}

pub(super) fn drop_database(
    transaction: &Transaction<'_>,
    name: &str,
    policy_ids: &[i64],
) -> rusqlite::Result<()> {
    for id in policy_ids {
        forget(transaction, *id, None)?;
    }
    transaction.execute("DELETE FROM policies WHERE database_name = ?1", [name])?;
    transaction.execute("DELETE FROM databases WHERE name = ?1", [name])?;
    Ok(())
}

pub(super) fn add_field(
    transaction: &Transaction<'_>,
    policy_id: i64,
    measurement: &str,
    name: &str,
    field_type: u8,
) -> rusqlite::Result<i64> {
    transaction.execute(
        "INSERT INTO fields (policy_id, measurement, name, type) VALUES (?1, ?2, ?3, ?4)",
        params![policy_id, measurement, name, field_type],
    )?;
    Ok(transaction.last_insert_rowid())
}

pub(super) fn add_series(
    transaction: &Transaction<'_>,
    policy_id: i64,
    measurement: &str,
    tags: &str,
) -> rusqlite::Result<i64> {
    transaction.execute(
        "INSERT INTO series (policy_id, measurement, tags) VALUES (?1, ?2, ?3)",
        params![policy_id, measurement, tags],
    )?;
    Ok(transaction.last_insert_rowid())
}

pub(super) fn add_chunk(
    transaction: &Transaction<'_>,
    series_id: i64,
    field_id: i64,
    span: (i64, i64),
    points: usize,
    data: &[u8],
) -> rusqlite::Result<i64> {
    transaction
        .prepare_cached(
            "INSERT INTO chunks (series_id, field_id, first, last, points, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .insert(params![series_id, field_id, span.0, span.1, points as i64, data])
}

/// Reads a chunk; `None` when it was dropped in the meantime.
pub(super) fn chunk(connection: &Connection, id: i64) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .prepare_cached("SELECT data FROM chunks WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()
}

pub(super) fn sealed_through(connection: &Connection) -> rusqlite::Result<u64> {
    connection
        .query_row(
            "SELECT value FROM meta WHERE name = 'sealed_through'",
            [],
            |row| row.get::<_, i64>(0),
        )
        .map(|value| value as u64)
}

pub(super) fn set_sealed_through(
    transaction: &Transaction<'_>,
    sequence: u64,
) -> rusqlite::Result<()> {
    transaction.execute(
        "UPDATE meta SET value = ?1 WHERE name = 'sealed_through'",
        [sequence as i64],
    )?;
    Ok(())
}
