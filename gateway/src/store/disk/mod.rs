//! The SQLite file: its connections, its settings and its size. What stands in its tables is in [`rows`].
//!
//! WAL and `synchronous=FULL`: what a transaction committed survives a crash. Pages that are freed are used again, and
//! given back to the file system when they are many (`auto_vacuum=INCREMENTAL`).

pub(super) mod rows;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction};

use super::StoreError;

/// What this version writes and reads.
const FORMAT: i64 = 3;
/// Another process that looks into the file may hold it for this long before a write fails.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Idle reader connections that are kept; more are opened as queries need them.
const READERS_KEPT: usize = 8;
/// Chunks are some hundred bytes to some thousand: of pages of 16 KiB a fifth is left over where a chunk is a fifth of one
/// and a little more.
const PAGE_BYTES: i64 = 32 << 10;
/// The write-ahead log is cut back to this after a checkpoint.
const WAL_KEPT_BYTES: i64 = 8 << 20;
/// A file up to this size is read through at the start; `headroom-gateway check` reads any.
const CHECKED_AT_START_BYTES: u64 = 256 << 20;

/// The file: one connection that writes, and those that read.
pub(super) struct Disk {
    path: PathBuf,
    pub(super) writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
}

/// The file's size.
#[derive(Debug, Clone, Copy)]
pub(super) struct DiskSize {
    /// What the file and its log take.
    pub(super) file_bytes: u64,
    /// What of the file is in use.
    pub(super) used_bytes: u64,
    /// Pages that are free to be used again.
    pub(super) free_pages: u64,
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
        let disk = Self {
            path: path.to_owned(),
            writer: Mutex::new(writer),
            readers: Mutex::new(Vec::new()),
        };
        if fs::metadata(path).is_ok_and(|file| file.len() <= CHECKED_AT_START_BYTES) {
            disk.check_pages("quick_check")?;
        }
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
        let transaction = writer.transaction()?;
        let answer = work(&transaction)?;
        transaction.commit()?;
        Ok(answer)
    }

    /// Moves what the log holds into the file, and empties it. A reader in the way leaves some of it for the next time.
    pub(super) fn checkpoint(&self) -> Result<(), StoreError> {
        let writer = self.writer.lock();
        writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(())
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
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        let log_bytes = fs::metadata(log).map_or(0, |log| log.len());
        let file_bytes = fs::metadata(&self.path).map_or(0, |file| file.len());
        Ok(DiskSize {
            file_bytes: file_bytes.max(pages * page_bytes) + log_bytes,
            used_bytes: (pages - free) * page_bytes,
            free_pages: free,
        })
    }

    /// Gives free pages back to the file system.
    pub(super) fn shrink(&self, pages: u64) -> Result<(), StoreError> {
        self.writer
            .lock()
            .execute_batch(&format!("PRAGMA incremental_vacuum({pages})"))?;
        self.checkpoint()
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
    writer.pragma_update(None, "journal_size_limit", WAL_KEPT_BYTES)?;
    writer.execute_batch(rows::SCHEMA)
}
