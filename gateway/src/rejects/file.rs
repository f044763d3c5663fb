//! The file of the rejects: one table, in the order in which they came.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use rusqlite::{Connection, Row, Transaction, named_params, params};

use super::{Filter, Reject, RejectsError, Source, clipped};
use crate::{
    config::RejectsLimits,
    lines::{Precision, Refusal},
};

const FORMAT: i64 = 2;
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS rejects (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        time_ns INTEGER NOT NULL,
        client TEXT NOT NULL,
        peer TEXT NOT NULL,
        database TEXT NOT NULL,
        policy TEXT,
        precision TEXT NOT NULL,
        received_ns INTEGER NOT NULL,
        reason TEXT NOT NULL,
        message TEXT NOT NULL,
        number INTEGER NOT NULL,
        place INTEGER,
        measurement TEXT NOT NULL,
        line BLOB NOT NULL,
        destination TEXT
    ) STRICT";
/// Makes of a file of format 1 one of format 2.
const ADD_DESTINATION: &str = "ALTER TABLE rejects ADD COLUMN destination TEXT";
const COLUMNS: &str = "id, time_ns, client, peer, database, policy, precision, received_ns, reason, message, number, \
     place, measurement, line, destination";
/// What a [`Filter`] lets pass.
const MATCHES: &str = "(:reason IS NULL OR reason = :reason)
    AND (:measurement IS NULL OR measurement = :measurement)
    AND (:client IS NULL OR client = :client OR peer = :client)";
/// The write-ahead log is cut back to this after a checkpoint.
const WAL_KEPT_BYTES: i64 = 1 << 20;
/// Another process that looks into the file may hold it for this long before a write fails.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// At the bound this part of the rejects goes at once.
const EVICTED_PART: u64 = 16;
/// Old rejects are let go in slices of this size.
const EXPIRED_AT_ONCE: u32 = 1000;

/// The file: a connection that writes, and one that reads.
pub(super) struct File {
    writer: Mutex<Connection>,
    reader: Mutex<Connection>,
    limits: RejectsLimits,
    count: AtomicU64,
    used_bytes: AtomicU64,
}

/// What has become of a reject that was replayed and refused again.
pub(crate) struct Judgement {
    id: i64,
    reason: String,
    message: String,
    column: Option<usize>,
}

impl Judgement {
    /// Notes why a reject was refused again.
    pub(crate) fn new(reject: &Reject, refusal: &Refusal) -> Self {
        Self {
            id: reject.id,
            reason: refusal.rule.code().to_owned(),
            message: clipped(&refusal.reason).to_owned(),
            column: refusal.column,
        }
    }
}

impl File {
    pub(super) fn open(path: &Path, limits: RejectsLimits) -> Result<Self, RejectsError> {
        let failed = |source| RejectsError::Open {
            path: path.to_owned(),
            source,
        };
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).map_err(|error| {
                failed(rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
            })?;
        }
        let mut writer = Connection::open(path).map_err(failed)?;
        let found = prepare(&mut writer).map_err(failed)?;
        if found != FORMAT {
            return Err(RejectsError::Format {
                path: path.to_owned(),
                found,
                known: FORMAT,
            });
        }
        let count = writer
            .query_row("SELECT count(*) FROM rejects", [], |row| {
                row.get::<_, i64>(0)
            })
            .map_err(failed)?;
        let reader = Connection::open(path).map_err(failed)?;
        reader.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
        let used_bytes = used_bytes(&writer).map_err(failed)?;
        Ok(Self {
            writer: Mutex::new(writer),
            reader: Mutex::new(reader),
            limits,
            count: AtomicU64::new(count as u64),
            used_bytes: AtomicU64::new(used_bytes),
        })
    }

    /// How many there are, and what they take.
    pub(super) fn usage(&self) -> (u64, u64) {
        (
            self.count.load(Ordering::Relaxed),
            self.used_bytes.load(Ordering::Relaxed),
        )
    }

    /// Says whether lines of so many bytes find room; with what stands beside them they may take twice as much.
    pub(super) fn has_room(&self, line_bytes: u64) -> bool {
        let wanted = line_bytes.saturating_mul(2);
        self.used_bytes.load(Ordering::Relaxed) + wanted <= self.limits.max_bytes
    }

    /// Keeps rejects, and lets the oldest go where there is no room; says how many went.
    pub(super) fn insert(&self, rejects: &[Reject]) -> Result<u64, RejectsError> {
        self.write(|transaction| {
            let mut insert = transaction.prepare_cached(
                "INSERT INTO rejects (time_ns, client, peer, database, policy, precision, received_ns, reason, message,
                    number, place, measurement, line, destination)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
            )?;
            for reject in rejects {
                let source = &reject.source;
                insert.execute(params![
                    reject.time_ns,
                    source.client,
                    source.peer,
                    source.database,
                    source.retention_policy,
                    source.precision.word(),
                    source.received_ns,
                    reject.reason,
                    reject.message,
                    reject.number as i64,
                    reject.column.map(|column| column as i64),
                    reject.measurement,
                    reject.line,
                    reject.destination,
                ])?;
            }
            Ok(())
        })?;
        self.count
            .fetch_add(rejects.len() as u64, Ordering::Relaxed);
        self.evict()
    }

    /// Lets the oldest go until the file keeps to its bound; says how many went.
    fn evict(&self) -> Result<u64, RejectsError> {
        let mut gone = 0;
        while self.used_bytes.load(Ordering::Relaxed) > self.limits.max_bytes {
            let some = (self.count.load(Ordering::Relaxed) / EVICTED_PART).max(1);
            let deleted = self.delete(
                "id IN (SELECT id FROM rejects ORDER BY id LIMIT ?1)",
                params![some as i64],
            )?;
            if deleted == 0 {
                break;
            }
            gone += deleted;
        }
        Ok(gone)
    }

    /// Lets those go that are too old; says how many went.
    pub(super) fn expire(&self, now_ns: i64) -> Result<u64, RejectsError> {
        let age_ns = i64::try_from(self.limits.max_age.as_nanos()).unwrap_or(i64::MAX);
        let oldest_ns = now_ns.saturating_sub(age_ns);
        let mut gone = 0;
        loop {
            let deleted = self.delete(
                "time_ns < ?1 AND id IN (SELECT id FROM rejects ORDER BY id LIMIT ?2)",
                params![oldest_ns, EXPIRED_AT_ONCE],
            )?;
            gone += deleted;
            if deleted < u64::from(EXPIRED_AT_ONCE) {
                return Ok(gone);
            }
        }
    }

    /// Notes what became of rejects that were replayed.
    pub(super) fn settle(
        &self,
        accepted: &[i64],
        refused: &[Judgement],
    ) -> Result<(), RejectsError> {
        let deleted = self.write(|transaction| {
            let mut delete = transaction.prepare_cached("DELETE FROM rejects WHERE id = ?1")?;
            let mut deleted = 0;
            for id in accepted {
                deleted += delete.execute([id])? as u64;
            }
            let mut update = transaction.prepare_cached(
                "UPDATE rejects SET reason = ?2, message = ?3, place = ?4, destination = NULL WHERE id = ?1",
            )?;
            for now in refused {
                let column = now.column.map(|column| column as i64);
                update.execute(params![now.id, now.reason, now.message, column])?;
            }
            Ok(deleted)
        })?;
        self.count.fetch_sub(deleted, Ordering::Relaxed);
        Ok(())
    }

    /// Removes rejects; says how many.
    pub(super) fn remove(&self, filter: &Filter) -> Result<u64, RejectsError> {
        let filter = named_params! {
            ":reason": filter.reason, ":measurement": filter.measurement, ":client": filter.client,
        };
        self.delete(MATCHES, filter)
    }

    /// The newest rejects below an id, the newest first.
    pub(super) fn newest(
        &self,
        filter: &Filter,
        before: i64,
        limit: usize,
    ) -> Result<Vec<Reject>, RejectsError> {
        self.page("id < :from", "DESC", filter, before, limit)
    }

    /// The oldest rejects above an id, the oldest first.
    pub(super) fn oldest(
        &self,
        filter: &Filter,
        after: i64,
        limit: usize,
    ) -> Result<Vec<Reject>, RejectsError> {
        self.page("id > :from", "ASC", filter, after, limit)
    }

    fn page(
        &self,
        range: &str,
        order: &str,
        filter: &Filter,
        from: i64,
        limit: usize,
    ) -> Result<Vec<Reject>, RejectsError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM rejects WHERE {range} AND {MATCHES} ORDER BY id {order} LIMIT :limit"
        );
        let reader = self.reader.lock();
        let mut select = reader.prepare_cached(&sql)?;
        let rows = select.query_map(
            named_params! {
                ":from": from, ":limit": limit as i64, ":reason": filter.reason,
                ":measurement": filter.measurement, ":client": filter.client,
            },
            reject,
        )?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn delete(
        &self,
        condition: &str,
        parameters: impl rusqlite::Params,
    ) -> Result<u64, RejectsError> {
        let deleted = self.write(|transaction| {
            let sql = format!("DELETE FROM rejects WHERE {condition}");
            Ok(transaction.execute(&sql, parameters)? as u64)
        })?;
        self.count.fetch_sub(deleted, Ordering::Relaxed);
        Ok(deleted)
    }

    fn write<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, RejectsError>,
    ) -> Result<T, RejectsError> {
        let mut writer = self.writer.lock();
        let transaction = writer.transaction()?;
        let answer = work(&transaction)?;
        transaction.commit()?;
        let used_bytes = used_bytes(&writer)?;
        self.used_bytes.store(used_bytes, Ordering::Relaxed);
        Ok(answer)
    }
}

/// Makes the table, or brings one of an earlier format up to this one; answers the format that it has then.
fn prepare(writer: &mut Connection) -> rusqlite::Result<i64> {
    writer.busy_timeout(BUSY_TIMEOUT)?;
    writer.pragma_update(None, "journal_mode", "WAL")?;
    writer.pragma_update(None, "synchronous", "FULL")?;
    writer.pragma_update(None, "journal_size_limit", WAL_KEPT_BYTES)?;
    let transaction = writer.transaction()?;
    let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match found {
        0 => transaction.execute_batch(SCHEMA)?,
        1 => transaction.execute_batch(ADD_DESTINATION)?,
        _ => return Ok(found),
    }
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()?;
    Ok(FORMAT)
}

fn used_bytes(connection: &Connection) -> rusqlite::Result<u64> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let pages = number("page_count")? - number("freelist_count")?;
    Ok((pages * number("page_size")?) as u64)
}

fn reject(row: &Row<'_>) -> rusqlite::Result<Reject> {
    let precision: String = row.get("precision")?;
    let column: Option<i64> = row.get("place")?;
    Ok(Reject {
        id: row.get("id")?,
        time_ns: row.get("time_ns")?,
        source: Arc::new(Source {
            client: row.get("client")?,
            peer: row.get("peer")?,
            database: row.get("database")?,
            retention_policy: row.get("policy")?,
            precision: Precision::of_v1(&precision).unwrap_or_default(),
            received_ns: row.get("received_ns")?,
        }),
        reason: row.get("reason")?,
        message: row.get("message")?,
        number: row.get::<_, i64>("number")? as usize,
        column: column.map(|column| column as usize),
        destination: row.get("destination")?,
        measurement: row.get("measurement")?,
        line: row.get("line")?,
    })
}
