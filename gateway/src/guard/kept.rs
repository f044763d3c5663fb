//! What the guards have learned, in a file: it is there after a restart.
//!
//! One SQLite file, `guard.sqlite` in the data folder. What a batch taught is written in one transaction before the batch is
//! journalled (`synchronous=NORMAL`: `kill -9` loses nothing, a power cut the last moments, which are then learned anew).
//! A file that cannot be written costs no push: the log says so, and after a restart that is learned anew, too.
//!
//! ```text
//! meta   (name, value)                                  the format, the seed of the hashes
//! field  (bucket, key, kinds)                           a field's types, bit by bit
//! series (key, account, token, first_day, last_day)     a known series
//! value  (key, account, tag, day)                       a known value of a tag
//! ```

use std::{
    fmt,
    path::{Path, PathBuf},
};

use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, params};

/// The file's name in the data folder.
pub const FILE_NAME: &str = "guard.sqlite";
/// What this version writes and reads.
const FORMAT: i64 = 1;
/// Series whose last day is written in one transaction: a batch that learns something waits no longer than that.
const SEEN_SLICE: usize = 10_000;

/// Why what was learned cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be used: {reason}; delete it, and what it holds is learned anew", path.display())]
pub struct GuardError {
    path: PathBuf,
    reason: String,
}

/// Something that was learned.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Row {
    /// A field's types.
    Field { bucket: u64, key: u64, kinds: u8 },
    /// A series.
    Series {
        key: u64,
        account: u64,
        token: u64,
        day: u16,
    },
    /// A tag's value.
    TagValue {
        key: u64,
        account: u64,
        tag: String,
        day: u16,
    },
}

/// What was new on the last day.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TodayCount {
    /// Series of a measurement.
    Measurement { account: u64, new: u32 },
    /// Series that a token brought.
    Token { token: u64, new: u32 },
    /// Values of a tag.
    Tag { account: u64, tag: String, new: u32 },
}

/// The file.
#[derive(Debug)]
pub(super) struct Kept(Mutex<Connection>);

fn signed(key: u64) -> i64 {
    key.cast_signed()
}

fn unsigned(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::cast_unsigned)
}

impl Kept {
    /// Opens the file, or makes it; answers the seed of its hashes, too.
    pub(super) fn open(data_dir: &Path) -> Result<(Self, u64), GuardError> {
        let opened = Connection::open(data_dir.join(FILE_NAME)).and_then(|file| {
            let found = prepare(&file)?;
            Ok((file, found))
        });
        let (file, (format, seed)) = opened.map_err(|error| Self::failed(data_dir, &error))?;
        if format != FORMAT {
            return Err(Self::failed(
                data_dir,
                &format!("it has format {format}, not {FORMAT}"),
            ));
        }
        Ok((Self(Mutex::new(file)), seed.cast_unsigned()))
    }

    /// Says that the file in a data folder cannot be used.
    pub(super) fn failed(data_dir: &Path, reason: &dyn fmt::Display) -> GuardError {
        GuardError {
            path: data_dir.join(FILE_NAME),
            reason: reason.to_string(),
        }
    }

    /// Writes what a batch taught.
    pub(super) fn write(&self, rows: &[Row]) {
        if let Err(error) = self.try_write(rows) {
            tracing::warn!(%error, "what the guards learned cannot be written; after a restart it is learned anew");
        }
    }

    fn try_write(&self, rows: &[Row]) -> rusqlite::Result<()> {
        let mut file = self.0.lock();
        let transaction = file.transaction()?;
        {
            let mut field =
                transaction.prepare_cached("INSERT OR REPLACE INTO field VALUES (?1, ?2, ?3)")?;
            let mut series = transaction
                .prepare_cached("INSERT OR IGNORE INTO series VALUES (?1, ?2, ?3, ?4, ?4)")?;
            let mut value = transaction
                .prepare_cached("INSERT OR IGNORE INTO value VALUES (?1, ?2, ?3, ?4)")?;
            for row in rows {
                match row {
                    Row::Field { bucket, key, kinds } => {
                        field.execute(params![signed(*bucket), signed(*key), kinds])?
                    }
                    Row::Series {
                        key,
                        account,
                        token,
                        day,
                    } => series.execute(params![
                        signed(*key),
                        signed(*account),
                        signed(*token),
                        day
                    ])?,
                    Row::TagValue {
                        key,
                        account,
                        tag,
                        day,
                    } => value.execute(params![signed(*key), signed(*account), tag, day])?,
                };
            }
        }
        transaction.commit()
    }

    /// Reads the types of all fields: bucket, field, types.
    pub(super) fn fields(&self, mut each: impl FnMut(u64, u64, u8)) -> rusqlite::Result<()> {
        let file = self.0.lock();
        let mut rows = file.prepare("SELECT bucket, key, kinds FROM field")?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            each(unsigned(row, 0)?, unsigned(row, 1)?, row.get(2)?);
        }
        Ok(())
    }

    /// Forgets the types of a bucket's fields.
    pub(super) fn forget_fields(&self, bucket: u64) {
        let file = self.0.lock();
        let forgotten = file.execute("DELETE FROM field WHERE bucket = ?1", [signed(bucket)]);
        if let Err(error) = forgotten {
            tracing::warn!(%error, "types that InfluxDB has no more cannot be forgotten on disk");
        }
    }

    /// Reads the known series with their last day.
    pub(super) fn series(&self, mut each: impl FnMut(u64, u16)) -> rusqlite::Result<()> {
        let file = self.0.lock();
        let mut rows = file.prepare("SELECT key, last_day FROM series")?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            each(unsigned(row, 0)?, row.get(1)?);
        }
        Ok(())
    }

    /// Reads the known values of tags with the day on which each came.
    pub(super) fn values(&self, mut each: impl FnMut(u64, u16)) -> rusqlite::Result<()> {
        let file = self.0.lock();
        let mut rows = file.prepare("SELECT key, day FROM value")?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            each(unsigned(row, 0)?, row.get(1)?);
        }
        Ok(())
    }

    /// Reads what was new on the last day on which something was.
    pub(super) fn last_day(&self) -> rusqlite::Result<(u16, Vec<TodayCount>)> {
        let file = self.0.lock();
        let day: Option<u16> =
            file.query_row("SELECT max(first_day) FROM series", [], |row| row.get(0))?;
        let Some(day) = day else {
            return Ok((0, Vec::new()));
        };
        let mut counts = Vec::new();
        let mut rows = file.prepare(
            "SELECT account, count(*) FROM series WHERE first_day = ?1 GROUP BY account",
        )?;
        for count in rows.query_map([day], |row| {
            Ok(TodayCount::Measurement {
                account: unsigned(row, 0)?,
                new: row.get(1)?,
            })
        })? {
            counts.push(count?);
        }
        let mut rows =
            file.prepare("SELECT token, count(*) FROM series WHERE first_day = ?1 GROUP BY token")?;
        for count in rows.query_map([day], |row| {
            Ok(TodayCount::Token {
                token: unsigned(row, 0)?,
                new: row.get(1)?,
            })
        })? {
            counts.push(count?);
        }
        let mut rows = file.prepare(
            "SELECT account, tag, count(*) FROM value WHERE day = ?1 GROUP BY account, tag",
        )?;
        for count in rows.query_map([day], |row| {
            Ok(TodayCount::Tag {
                account: unsigned(row, 0)?,
                tag: row.get(1)?,
                new: row.get(2)?,
            })
        })? {
            counts.push(count?);
        }
        Ok((day, counts))
    }

    /// Notes on which day series were seen last, and forgets what was not seen since another.
    pub(super) fn note_seen(&self, series: &[u64], day: u16, oldest_day: u16) {
        if let Err(error) = self.try_note_seen(series, day, oldest_day) {
            tracing::warn!(%error, "which series were seen cannot be written; some may be forgotten too early");
        }
    }

    fn try_note_seen(&self, series: &[u64], day: u16, oldest_day: u16) -> rusqlite::Result<()> {
        for slice in series.chunks(SEEN_SLICE) {
            let mut file = self.0.lock();
            let transaction = file.transaction()?;
            {
                let mut update =
                    transaction.prepare_cached("UPDATE series SET last_day = ?2 WHERE key = ?1")?;
                for key in slice {
                    update.execute(params![signed(*key), day])?;
                }
            }
            transaction.commit()?;
        }
        let file = self.0.lock();
        file.execute("DELETE FROM series WHERE last_day < ?1", [oldest_day])?;
        file.execute("DELETE FROM value WHERE day < ?1", [oldest_day])?;
        Ok(())
    }
}

/// Makes what is missing; answers format and seed.
fn prepare(file: &Connection) -> rusqlite::Result<(i64, i64)> {
    file.pragma_update(None, "journal_mode", "WAL")?;
    file.pragma_update(None, "synchronous", "NORMAL")?;
    file.execute_batch(
        "BEGIN;
         CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
         CREATE TABLE IF NOT EXISTS field (bucket INTEGER, key INTEGER, kinds INTEGER NOT NULL, PRIMARY KEY (bucket, key)) WITHOUT ROWID;
         CREATE TABLE IF NOT EXISTS series (key INTEGER PRIMARY KEY, account INTEGER NOT NULL, token INTEGER NOT NULL, first_day INTEGER NOT NULL, last_day INTEGER NOT NULL);
         CREATE TABLE IF NOT EXISTS value (key INTEGER PRIMARY KEY, account INTEGER NOT NULL, tag TEXT NOT NULL, day INTEGER NOT NULL);
         COMMIT;",
    )?;
    let value = |name: &str| {
        let found = file.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| {
            row.get(0)
        });
        found.optional()
    };
    if let (Some(format), Some(seed)) = (value("format")?, value("seed")?) {
        return Ok((format, seed));
    }
    let seed: i64 = rand::random();
    file.execute(
        "INSERT OR REPLACE INTO meta VALUES ('format', ?1), ('seed', ?2)",
        [FORMAT, seed],
    )?;
    Ok((FORMAT, seed))
}
