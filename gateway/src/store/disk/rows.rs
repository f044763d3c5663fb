//! What stands in the tables.
//!
//! | table | a row is |
//! |---|---|
//! | `meta` | a number by name: `format`, `sealed_through` |
//! | `databases`, `policies` | a database; a retention policy of one |
//! | `columns` | a measurement's field in one of its types |
//! | `weeks` | a week in which a field has that type |
//! | `series` | a series: its measurement and its tags as a JSON array of pairs |
//! | `chunks` | a chunk's place, its span, and the resolutions of its rollup, one bit each |
//! | `chunk_fragments` | its bytes ([`crate::store::chunk`]), cut as in [`super::fragments`] |
//! | `rollup_fragments` | what it adds up to ([`crate::store::rollup`]), cut likewise |
//! | `deletions` | points that a replay of the journal must not bring back |
//! | `unfinished` | a policy, or points of one, whose chunks are on their way out |
//!
//! Every slice of a seal is a transaction, and `sealed_through` is written in one of its own behind the last. A crash
//! before it leaves chunks whose points the journal replays once more: the replayed points are later than the chunks and
//! equal to them in the end, since the journal keeps its order.

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::fragments::{CHUNKS, ROLLUPS};
use crate::store::{chunk::NewChunk, delete::Deletion};

pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS databases (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS policies (
    id INTEGER PRIMARY KEY AUTOINCREMENT, database_name TEXT NOT NULL, name TEXT NOT NULL,
    duration_ns INTEGER NOT NULL, is_default INTEGER NOT NULL, UNIQUE (database_name, name));
CREATE TABLE IF NOT EXISTS columns (
    id INTEGER PRIMARY KEY AUTOINCREMENT, policy_id INTEGER NOT NULL, measurement TEXT NOT NULL, field TEXT NOT NULL,
    type INTEGER NOT NULL, UNIQUE (policy_id, measurement, field, type));
CREATE TABLE IF NOT EXISTS weeks (
    column_id INTEGER NOT NULL, week INTEGER NOT NULL, PRIMARY KEY (column_id, week)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS series (
    id INTEGER PRIMARY KEY AUTOINCREMENT, policy_id INTEGER NOT NULL, measurement TEXT NOT NULL, tags TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS chunks (
    id INTEGER PRIMARY KEY AUTOINCREMENT, series_id INTEGER NOT NULL, column_id INTEGER NOT NULL,
    first INTEGER NOT NULL, last INTEGER NOT NULL, points INTEGER NOT NULL, size_bytes INTEGER NOT NULL,
    resolutions INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS chunk_fragments (id INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS rollup_fragments (id INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS deletions (
    through INTEGER NOT NULL, database_name TEXT NOT NULL, policy TEXT, measurement TEXT, series TEXT,
    first INTEGER NOT NULL, last INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS unfinished (
    policy_id INTEGER NOT NULL, measurement TEXT, series TEXT, first INTEGER NOT NULL, last INTEGER NOT NULL);
";

/// A row of `unfinished`: what is on its way out. What is `None` means all.
pub(in crate::store) struct Unfinished {
    pub(in crate::store) policy_id: i64,
    pub(in crate::store) measurement: Option<String>,
    /// A series' key.
    pub(in crate::store) series: Option<String>,
    pub(in crate::store) first: i64,
    pub(in crate::store) last: i64,
}

/// A row of `policies`.
pub(in crate::store) struct PolicyRow {
    pub(in crate::store) id: i64,
    pub(in crate::store) database: String,
    pub(in crate::store) name: String,
    pub(in crate::store) duration_ns: i64,
    pub(in crate::store) is_default: bool,
}

pub(in crate::store) fn databases(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    connection
        .prepare("SELECT name FROM databases ORDER BY id")?
        .query_map([], |row| row.get(0))?
        .collect()
}

pub(in crate::store) fn policies(connection: &Connection) -> rusqlite::Result<Vec<PolicyRow>> {
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

/// Returns the highest number that a policy has ever had.
pub(in crate::store) fn last_policy(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row(
        "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'policies'",
        [],
        |row| row.get(0),
    )
}

/// Makes no policy of a database the default one.
fn clear_default(transaction: &Transaction<'_>, database: &str) -> rusqlite::Result<()> {
    transaction.execute(
        "UPDATE policies SET is_default = 0 WHERE database_name = ?1",
        [database],
    )?;
    Ok(())
}

/// Adds a policy and its database, unless they are there: two may find that they are missing.
pub(in crate::store) fn add_policy(
    transaction: &Transaction<'_>,
    policy: &PolicyRow,
) -> rusqlite::Result<()> {
    let name = &policy.database;
    transaction.execute("INSERT OR IGNORE INTO databases (name) VALUES (?1)", [name])?;
    if policy.is_default {
        clear_default(transaction, &policy.database)?;
    }
    transaction.execute(
        "INSERT INTO policies (id, database_name, name, duration_ns, is_default) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT (id) DO UPDATE SET is_default = ?5",
        params![policy.id, policy.database, policy.name, policy.duration_ns, policy.is_default],
    )?;
    Ok(())
}

/// Changes a policy's duration, and makes it the default one if asked.
pub(in crate::store) fn alter_policy(
    transaction: &Transaction<'_>,
    database: &str,
    name: &str,
    duration_ns: i64,
    make_default: bool,
) -> rusqlite::Result<()> {
    if make_default {
        clear_default(transaction, database)?;
    }
    transaction.execute(
        "UPDATE policies SET duration_ns = ?3, is_default = is_default OR ?4 WHERE database_name = ?1 AND name = ?2",
        params![database, name, duration_ns, make_default],
    )?;
    Ok(())
}

/// Forgets the columns of a policy's measurement, and series that are left over. Chunks go by their numbers.
pub(in crate::store) fn forget(
    transaction: &Transaction<'_>,
    policy_id: i64,
    measurement: &str,
) -> rusqlite::Result<()> {
    for statement in [
        "DELETE FROM weeks WHERE column_id IN (SELECT id FROM columns WHERE policy_id = ?1 AND measurement = ?2)",
        "DELETE FROM series WHERE policy_id = ?1 AND measurement = ?2",
        "DELETE FROM columns WHERE policy_id = ?1 AND measurement = ?2",
    ] {
        transaction.execute(statement, params![policy_id, measurement])?;
    }
    Ok(())
}

pub(in crate::store) fn drop_series(
    transaction: &Transaction<'_>,
    id: i64,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("DELETE FROM series WHERE id = ?1")?
        .execute([id])?;
    Ok(())
}

pub(in crate::store) fn drop_column(
    transaction: &Transaction<'_>,
    id: i64,
) -> rusqlite::Result<()> {
    transaction.execute("DELETE FROM weeks WHERE column_id = ?1", [id])?;
    transaction.execute("DELETE FROM columns WHERE id = ?1", [id])?;
    Ok(())
}

/// Drops a policy, and notes that what it holds is to go.
pub(in crate::store) fn drop_policy(
    transaction: &Transaction<'_>,
    id: i64,
) -> rusqlite::Result<()> {
    transaction.execute("DELETE FROM policies WHERE id = ?1", [id])?;
    let unfinished = Unfinished {
        policy_id: id,
        measurement: None,
        series: None,
        first: i64::MIN,
        last: i64::MAX,
    };
    add_unfinished(transaction, &unfinished)
}

/// Finds the policy in whose place another one is to stand: a drop took it from memory and then failed.
pub(in crate::store) fn replaced_policy(
    transaction: &Transaction<'_>,
    policy: &PolicyRow,
) -> rusqlite::Result<Option<i64>> {
    transaction
        .query_row(
            "SELECT id FROM policies WHERE database_name = ?1 AND name = ?2 AND id <> ?3",
            params![policy.database, policy.name, policy.id],
            |row| row.get(0),
        )
        .optional()
}

pub(in crate::store) fn drop_database(
    transaction: &Transaction<'_>,
    name: &str,
) -> rusqlite::Result<()> {
    transaction.execute("DELETE FROM databases WHERE name = ?1", [name])?;
    Ok(())
}

pub(in crate::store) fn add_column(
    transaction: &Transaction<'_>,
    policy_id: i64,
    measurement: &str,
    field: &str,
    field_type: u8,
) -> rusqlite::Result<i64> {
    transaction.execute(
        "INSERT INTO columns (policy_id, measurement, field, type) VALUES (?1, ?2, ?3, ?4)",
        params![policy_id, measurement, field, field_type],
    )?;
    Ok(transaction.last_insert_rowid())
}

pub(in crate::store) fn add_week(
    transaction: &Transaction<'_>,
    column_id: i64,
    week: i64,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("INSERT OR IGNORE INTO weeks (column_id, week) VALUES (?1, ?2)")?
        .execute([column_id, week])?;
    Ok(())
}

pub(in crate::store) fn add_series(
    transaction: &Transaction<'_>,
    policy_id: i64,
    measurement: &str,
    tags: &str,
) -> rusqlite::Result<i64> {
    transaction
        .prepare_cached("INSERT INTO series (policy_id, measurement, tags) VALUES (?1, ?2, ?3)")?
        .insert(params![policy_id, measurement, tags])
}

pub(in crate::store) fn add_chunk(
    transaction: &Transaction<'_>,
    series_id: i64,
    column_id: i64,
    new: &NewChunk,
) -> rusqlite::Result<i64> {
    let meta = new.meta;
    let id = transaction
        .prepare_cached(
            "INSERT INTO chunks (series_id, column_id, first, last, points, size_bytes, resolutions) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .insert(params![
            series_id,
            column_id,
            meta.first,
            meta.last,
            meta.points,
            meta.size_bytes,
            meta.resolutions
        ])?;
    CHUNKS.add(transaction, id, &new.bytes)?;
    ROLLUPS.add(transaction, id, &new.rollup)?;
    Ok(id)
}

/// Writes another content into a chunk that is there.
pub(in crate::store) fn change_chunk(
    transaction: &Transaction<'_>,
    new: &NewChunk,
) -> rusqlite::Result<()> {
    let meta = new.meta;
    transaction
        .prepare_cached(
            "UPDATE chunks SET first = ?2, last = ?3, points = ?4, size_bytes = ?5, resolutions = ?6 WHERE id = ?1",
        )?
        .execute(params![
            meta.id,
            meta.first,
            meta.last,
            meta.points,
            meta.size_bytes,
            meta.resolutions
        ])?;
    for (fragments, bytes) in [(CHUNKS, &new.bytes), (ROLLUPS, &new.rollup)] {
        fragments.drop(transaction, meta.id)?;
        fragments.add(transaction, meta.id, bytes)?;
    }
    Ok(())
}

pub(in crate::store) fn drop_chunk(transaction: &Transaction<'_>, id: i64) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("DELETE FROM chunks WHERE id = ?1")?
        .execute([id])?;
    CHUNKS.drop(transaction, id)?;
    ROLLUPS.drop(transaction, id)
}

/// Reads a chunk's bytes; `None` when it was dropped or merged into another in the meantime.
pub(in crate::store) fn chunk(
    connection: &Connection,
    id: i64,
) -> rusqlite::Result<Option<Vec<u8>>> {
    CHUNKS.read(connection, id)
}

/// Reads a chunk's rollup; `None` when it has none any more.
pub(in crate::store) fn rollup(
    connection: &Connection,
    id: i64,
) -> rusqlite::Result<Option<Vec<u8>>> {
    ROLLUPS.read(connection, id)
}

pub(in crate::store) fn sealed_through(connection: &Connection) -> rusqlite::Result<u64> {
    connection
        .query_row(
            "SELECT value FROM meta WHERE name = 'sealed_through'",
            [],
            |row| row.get::<_, i64>(0),
        )
        .map(|value| value as u64)
}

/// Notes how far the journal is sealed.
pub(in crate::store) fn set_sealed_through(
    transaction: &Transaction<'_>,
    sequence: u64,
) -> rusqlite::Result<()> {
    transaction.execute(
        "UPDATE meta SET value = ?1 WHERE name = 'sealed_through'",
        [sequence as i64],
    )?;
    Ok(())
}

/// Forgets some deletions that a replay cannot meet any more; returns how many.
pub(in crate::store) fn forget_deletions(
    transaction: &Transaction<'_>,
    sealed_through: u64,
    at_most: usize,
) -> rusqlite::Result<usize> {
    transaction.execute(
        "DELETE FROM deletions WHERE rowid IN (SELECT rowid FROM deletions WHERE through <= ?1 LIMIT ?2)",
        params![sealed_through as i64, at_most as i64],
    )
}

pub(in crate::store) fn add_deletion(
    transaction: &Transaction<'_>,
    deletion: &Deletion,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO deletions (through, database_name, policy, measurement, series, first, last) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            deletion.through as i64,
            deletion.database,
            deletion.policy,
            deletion.measurement,
            deletion.series,
            deletion.first,
            deletion.last
        ])?;
    Ok(())
}

pub(in crate::store) fn deletions(connection: &Connection) -> rusqlite::Result<Vec<Deletion>> {
    connection
        .prepare("SELECT through, database_name, policy, measurement, series, first, last FROM deletions")?
        .query_map([], |row| {
            Ok(Deletion {
                through: row.get::<_, i64>(0)? as u64,
                database: row.get(1)?,
                policy: row.get(2)?,
                measurement: row.get(3)?,
                series: row.get(4)?,
                first: row.get(5)?,
                last: row.get(6)?,
            })
        })?
        .collect()
}

pub(in crate::store) fn add_unfinished(
    transaction: &Transaction<'_>,
    unfinished: &Unfinished,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO unfinished (policy_id, measurement, series, first, last) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            unfinished.policy_id,
            unfinished.measurement,
            unfinished.series,
            unfinished.first,
            unfinished.last
        ])?;
    Ok(())
}

pub(in crate::store) fn unfinished(connection: &Connection) -> rusqlite::Result<Vec<Unfinished>> {
    connection
        .prepare("SELECT policy_id, measurement, series, first, last FROM unfinished")?
        .query_map([], |row| {
            Ok(Unfinished {
                policy_id: row.get(0)?,
                measurement: row.get(1)?,
                series: row.get(2)?,
                first: row.get(3)?,
                last: row.get(4)?,
            })
        })?
        .collect()
}

pub(in crate::store) fn forget_unfinished(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute("DELETE FROM unfinished", [])?;
    Ok(())
}

/// Lists the numbers of a policy's chunks, series and columns.
pub(in crate::store) fn numbers_of_policy(
    connection: &Connection,
    policy_id: i64,
) -> rusqlite::Result<[Vec<i64>; 3]> {
    let list = |query: &str| -> rusqlite::Result<Vec<i64>> {
        connection
            .prepare(query)?
            .query_map([policy_id], |row| row.get(0))?
            .collect()
    };
    Ok([
        list(
            "SELECT c.id FROM chunks c JOIN series s ON s.id = c.series_id WHERE s.policy_id = ?1 ORDER BY c.id",
        )?,
        list("SELECT id FROM series WHERE policy_id = ?1")?,
        list("SELECT id FROM columns WHERE policy_id = ?1")?,
    ])
}
