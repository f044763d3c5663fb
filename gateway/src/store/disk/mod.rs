//! The SQLite file: its connections, its settings and its size. What stands in its tables is in [`rows`].
//!
//! WAL and `synchronous=FULL`: what a transaction committed survives a crash. Pages that are freed are used again, and
//! given back to the file system when they are many (`auto_vacuum=INCREMENTAL`).
//!
//! The log is emptied before a transaction that finds it at [`LOG_BYTES`], and a transaction of many parts ends when it
//! has added as much ([`Disk::write_each`]): the log stays within [`LOG_BYTES_MAX`], and one transaction adds no more than
//! [`GROWTH_BYTES_MAX`] to the file. Whoever keeps both free below the bound keeps the bound.

mod fragments;
pub(super) mod rows;
mod upgrade;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior};

use super::StoreError;

/// What this version writes and reads.
const FORMAT: i64 = 4;
/// Another process that looks into the file may hold it for this long before a write fails.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Idle reader connections that are kept; more are opened as queries need them.
const READERS_KEPT: usize = 8;
/// With fragments of a kilobyte, some 2.5 % of a page are left over, and 5 % of one of 16 KiB.
const PAGE_BYTES: i64 = 32 << 10;
/// The write-ahead log is emptied when it has grown to this. A few syncs more than with SQLite's default of 1,000 pages,
/// which would be 32 MiB.
const LOG_BYTES: u64 = 4 << 20;
/// What a transaction adds at most: [`LOG_BYTES`], what SQLite's cache still holds (2 MiB), and the last of its parts with
/// the pages around it.
pub(super) const GROWTH_BYTES_MAX: u64 = 10 << 20;
/// The log at its largest: what it held before a transaction, and the transaction.
pub(super) const LOG_BYTES_MAX: u64 = LOG_BYTES + GROWTH_BYTES_MAX;
/// For how long readers are waited for when the log is emptied; a backup reads for longer.
const LOG_TIMEOUT: Duration = Duration::from_millis(500);
/// A file up to this size is read through at the start; `headroom-gateway check` reads any.
const CHECKED_AT_START_BYTES: u64 = 256 << 20;

/// The file: one connection that writes, and those that read.
pub(super) struct Disk {
    path: PathBuf,
    pub(super) writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
    /// The bound on the file and its log.
    max_bytes: Option<u64>,
    /// At this size the log is emptied: at more than [`LOG_BYTES`] where a reader was in the way.
    log_full_bytes: AtomicU64,
}

/// The file's size.
#[derive(Debug, Clone, Copy)]
pub(super) struct DiskSize {
    /// What the file, its log and the log's index take.
    pub(super) file_bytes: u64,
    /// What of the file is in use.
    pub(super) used_bytes: u64,
    /// Pages that are free to be used again.
    pub(super) free_pages: u64,
}

impl Disk {
    /// Opens the file, or makes it. With a bound, no transaction begins that could end above it because a reader keeps the
    /// log from being emptied.
    pub(super) fn open(path: &Path, max_bytes: Option<u64>) -> Result<Self, StoreError> {
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
            Some(upgrade::FORMER) => upgrade::begin(&writer, FORMAT).map_err(failed)?,
            Some(found) => {
                return Err(StoreError::Format {
                    path: path.to_owned(),
                    found,
                    known: FORMAT,
                });
            }
        }
        let disk = Self {
            path: path.to_owned(),
            writer: Mutex::new(writer),
            readers: Mutex::new(Vec::new()),
            max_bytes,
            log_full_bytes: AtomicU64::new(LOG_BYTES),
        };
        if fs::metadata(path).is_ok_and(|file| file.len() <= CHECKED_AT_START_BYTES) {
            disk.check_pages("quick_check")?;
        }
        upgrade::finish(&disk)?;
        Ok(disk)
    }

    /// Has SQLite read every page: `quick_check` or `integrity_check`.
    pub(super) fn check_pages(&self, pragma: &str) -> Result<(), StoreError> {
        let first: String = self.read(|reader| {
            Ok(reader.query_row(&format!("PRAGMA {pragma}(1)"), [], |row| row.get(0))?)
        })?;
        if first == "ok" {
            return Ok(());
        }
        Err(StoreError::Catalogue(format!("SQLite says: {first}")))
    }

    /// Runs a function with a reader connection.
    pub(super) fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let kept = self.readers.lock().pop();
        let reader = kept.map_or_else(|| open_reader(&self.path), Ok)?;
        let answer = work(&reader)?;
        let mut readers = self.readers.lock();
        if readers.len() < READERS_KEPT {
            readers.push(reader);
        }
        Ok(answer)
    }

    /// Runs a function in a transaction, which is committed when the function succeeds.
    pub(super) fn write<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut writer = self.writer.lock();
        self.empty_full_log(&writer)?;
        // At once to write: one that has read first does not wait for another process that writes.
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let answer = work(&transaction)?;
        transaction.commit()?;
        Ok(answer)
    }

    /// Runs a function for each of many things, in as many transactions as keep the log small; `done` gets what each
    /// transaction has committed.
    pub(super) fn write_each<'a, I, T>(
        &self,
        items: &'a [I],
        mut work: impl FnMut(&Transaction<'_>, &'a I) -> Result<T, StoreError>,
        mut done: impl FnMut(&'a [I], Vec<T>),
    ) -> Result<(), StoreError> {
        let mut left = items;
        while !left.is_empty() {
            let answers = self.write(|transaction| {
                let full_bytes = self.log_bytes() + LOG_BYTES;
                let mut answers = Vec::new();
                for item in left {
                    answers.push(work(transaction, item)?);
                    if self.log_bytes() >= full_bytes {
                        break;
                    }
                }
                Ok(answers)
            })?;
            let (committed, rest) = left.split_at(answers.len());
            done(committed, answers);
            left = rest;
        }
        Ok(())
    }

    /// Moves what the log holds into the file, and empties it. A reader in the way leaves it for the next time.
    pub(super) fn checkpoint(&self) -> Result<(), StoreError> {
        Ok(empty_log(&self.writer.lock())?)
    }

    fn empty_full_log(&self, writer: &Connection) -> Result<(), StoreError> {
        if self.log_bytes() < self.log_full_bytes.load(Ordering::Relaxed) {
            return Ok(());
        }
        empty_log(writer)?;
        let log_bytes = self.log_bytes();
        if let Some(max_bytes) = self.max_bytes.filter(|_| log_bytes >= LOG_BYTES) {
            let number =
                |pragma| writer.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
            let file_bytes = (number("page_count")? * number("page_size")?) as u64;
            if file_bytes + log_bytes + LOG_BYTES_MAX + GROWTH_BYTES_MAX > max_bytes {
                return Err(StoreError::LogHeld { log_bytes });
            }
        }
        let full_bytes = log_bytes + LOG_BYTES;
        self.log_full_bytes.store(full_bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Returns the size of a file that SQLite keeps beside its own.
    fn beside_bytes(&self, suffix: &str) -> u64 {
        let mut path = self.path.clone().into_os_string();
        path.push(suffix);
        fs::metadata(path).map_or(0, |file| file.len())
    }

    fn log_bytes(&self) -> u64 {
        self.beside_bytes("-wal")
    }

    /// Measures the file.
    pub(super) fn size(&self) -> Result<DiskSize, StoreError> {
        let (pages, free, page_bytes) = self.read(|reader| {
            let number = |pragma: &str| {
                reader.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, i64>(0))
            };
            Ok((
                number("page_count")? as u64,
                number("freelist_count")? as u64,
                number("page_size")? as u64,
            ))
        })?;
        let log_bytes = self.log_bytes() + self.beside_bytes("-shm");
        let file_bytes = fs::metadata(&self.path).map_or(0, |file| file.len());
        Ok(DiskSize {
            file_bytes: file_bytes.max(pages * page_bytes) + log_bytes,
            used_bytes: (pages - free) * page_bytes,
            free_pages: free,
        })
    }

    /// Gives free pages back to the file system.
    pub(super) fn shrink(&self, pages: u64) -> Result<(), StoreError> {
        let writer = self.writer.lock();
        self.empty_full_log(&writer)?;
        writer.execute_batch(&format!("PRAGMA incremental_vacuum({pages})"))?;
        Ok(empty_log(&writer)?)
    }
}

/// Writes a whole and compact copy of a store's file, as of now, while its gateway reads and writes.
///
/// # Errors
///
/// When the copy is there already or cannot be written, or the file cannot be read.
pub fn copy_file(from: &Path, to: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::Open {
        path: from.to_owned(),
        source,
    };
    let reader = open_reader(from).map_err(failed)?;
    reader.execute("VACUUM INTO ?1", [to.to_string_lossy().as_ref()])?;
    Ok(())
}

/// Empties the log, unless readers are in the way for too long.
fn empty_log(writer: &Connection) -> rusqlite::Result<()> {
    writer.busy_timeout(LOG_TIMEOUT)?;
    let emptied = writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    writer.busy_timeout(BUSY_TIMEOUT)?;
    emptied
}

fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let reader = Connection::open_with_flags(path, flags)?;
    reader.busy_timeout(BUSY_TIMEOUT)?;
    Ok(reader)
}

fn prepare(writer: &Connection) -> rusqlite::Result<()> {
    writer.busy_timeout(BUSY_TIMEOUT)?;
    // Before the first table, or they have no effect.
    writer.pragma_update(None, "page_size", PAGE_BYTES)?;
    writer.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    writer.pragma_update(None, "journal_mode", "WAL")?;
    writer.pragma_update(None, "synchronous", "FULL")?;
    // The log is emptied as a whole, before a transaction.
    writer.pragma_update(None, "wal_autocheckpoint", 0)?;
    writer.execute_batch(rows::SCHEMA)
}
