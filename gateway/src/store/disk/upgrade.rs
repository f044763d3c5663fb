//! Brings a file of format 3 to this one, at its first start.
//!
//! Format 3 had a row for each chunk in `blobs` and for each rollup in `rollups`, and rollups held the first point of each
//! cell as well. A chunk moves in one transaction: its bytes as they are, its rollup made anew. What a crash leaves in
//! `blobs` moves at the next start.

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::{
    Disk,
    fragments::{CHUNKS, ROLLUPS},
};
use crate::store::{
    StoreError,
    chunk::{self, Encoder},
    rollup,
};

/// The format that can be brought to this one.
pub(super) const FORMER: i64 = 3;

/// Makes a file of the former format one of this, whose chunks are not moved yet: earlier builds refuse it from here on.
pub(super) fn begin(writer: &Connection, format: i64) -> rusqlite::Result<()> {
    writer.execute_batch(&format!(
        "BEGIN IMMEDIATE;
         ALTER TABLE chunks ADD COLUMN resolutions INTEGER NOT NULL DEFAULT 0;
         UPDATE meta SET value = {format} WHERE name = 'format';
         COMMIT;"
    ))
}

/// Moves what the former format has left.
pub(super) fn finish(disk: &Disk) -> Result<(), StoreError> {
    let numbers: Option<Vec<i64>> = disk.read(|reader| {
        let table = "SELECT 1 FROM sqlite_schema WHERE name = 'blobs'";
        if !reader.prepare(table)?.exists([])? {
            return Ok(None);
        }
        let mut numbers = reader.prepare("SELECT id FROM blobs ORDER BY id")?;
        let numbers = numbers.query_map([], |row| row.get(0))?;
        Ok(Some(numbers.collect::<Result<_, _>>()?))
    })?;
    let Some(numbers) = numbers else {
        return Ok(());
    };
    tracing::info!(
        chunks = numbers.len(),
        "the store is of an earlier format, and is brought to this one"
    );
    let mut encoder = Encoder::default();
    disk.write_each(
        &numbers,
        |transaction, number| move_chunk(transaction, &mut encoder, *number),
        |_, _| (),
    )?;
    disk.write(|transaction| {
        Ok(transaction.execute_batch("DROP TABLE blobs; DROP TABLE rollups")?)
    })?;
    tracing::info!("the store is of this format now");
    Ok(())
}

fn move_chunk(
    transaction: &Transaction<'_>,
    encoder: &mut Encoder,
    number: i64,
) -> Result<(), StoreError> {
    let bytes: Vec<u8> = transaction
        .prepare_cached("SELECT data FROM blobs WHERE id = ?1")?
        .query_row([number], |row| row.get(0))?;
    CHUNKS.add(transaction, number, &bytes)?;
    let had_rollup: Option<i64> = transaction
        .prepare_cached("SELECT 1 FROM rollups WHERE id = ?1")?
        .query_row([number], |row| row.get(0))
        .optional()?;
    // A damaged chunk moves too, for a check to find.
    if let (Some(_), Ok(column)) = (had_rollup, chunk::decode(&bytes)) {
        let (rollup, resolutions) = rollup::encode(encoder, &column)?.unwrap_or_default();
        ROLLUPS.add(transaction, number, &rollup)?;
        transaction
            .prepare_cached("UPDATE chunks SET resolutions = ?2, size_bytes = ?3 WHERE id = ?1")?
            .execute(params![
                number,
                resolutions,
                (bytes.len() + rollup.len()) as i64
            ])?;
    }
    for delete in [
        "DELETE FROM blobs WHERE id = ?1",
        "DELETE FROM rollups WHERE id = ?1",
    ] {
        transaction.prepare_cached(delete)?.execute([number])?;
    }
    Ok(())
}
