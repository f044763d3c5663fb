//! Byte strings in a table, cut into fragments of which a page holds many.
//!
//! SQLite fills a page as long as the next row fits. Chunks of a third of a page to a whole one would leave a quarter of
//! the file unused (measured: 26 % of 1,000 hosts' ten hours); fragments leave what one of them takes, at most.

use rusqlite::{Connection, Transaction, params};

const FRAGMENT_BYTES: usize = 1_000;
/// Fragments of one string: 64 MB of them, where a chunk has little more than a mebibyte of text.
const FRAGMENTS_BITS: u32 = 16;

/// A table whose rows are fragments, numbered by the string that they are of and their place in it.
pub(super) struct Fragments {
    insert: &'static str,
    select: &'static str,
    delete: &'static str,
}

/// Chunks' bytes.
pub(super) const CHUNKS: Fragments = Fragments {
    insert: "INSERT INTO chunk_fragments (id, data) VALUES (?1, ?2)",
    select: "SELECT data FROM chunk_fragments WHERE id BETWEEN ?1 AND ?2 ORDER BY id",
    delete: "DELETE FROM chunk_fragments WHERE id BETWEEN ?1 AND ?2",
};

/// Rollups' bytes, under their chunks' numbers.
pub(super) const ROLLUPS: Fragments = Fragments {
    insert: "INSERT INTO rollup_fragments (id, data) VALUES (?1, ?2)",
    select: "SELECT data FROM rollup_fragments WHERE id BETWEEN ?1 AND ?2 ORDER BY id",
    delete: "DELETE FROM rollup_fragments WHERE id BETWEEN ?1 AND ?2",
};

/// The numbers of a string's first fragment, and of the last that it could have.
fn ends(id: i64) -> (i64, i64) {
    let first = id << FRAGMENTS_BITS;
    (first, first | ((1 << FRAGMENTS_BITS) - 1))
}

impl Fragments {
    /// Adds a string; of an empty one there is no row.
    pub(super) fn add(
        &self,
        transaction: &Transaction<'_>,
        id: i64,
        bytes: &[u8],
    ) -> rusqlite::Result<()> {
        let mut statement = transaction.prepare_cached(self.insert)?;
        let (first, last) = ends(id);
        for (number, data) in (first..=last).zip(bytes.chunks(FRAGMENT_BYTES)) {
            statement.execute(params![number, data])?;
        }
        Ok(())
    }

    /// Reads a string; `None` where there is none.
    pub(super) fn read(
        &self,
        connection: &Connection,
        id: i64,
    ) -> rusqlite::Result<Option<Vec<u8>>> {
        let mut statement = connection.prepare_cached(self.select)?;
        let mut rows = statement.query(ends(id))?;
        let mut whole: Option<Vec<u8>> = None;
        while let Some(row) = rows.next()? {
            let data = row.get_ref(0)?.as_blob()?;
            whole.get_or_insert_default().extend_from_slice(data);
        }
        Ok(whole)
    }

    pub(super) fn drop(&self, transaction: &Transaction<'_>, id: i64) -> rusqlite::Result<()> {
        let mut statement = transaction.prepare_cached(self.delete)?;
        statement.execute(ends(id)).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_come_back_whole_and_go_alone() {
        let mut connection = Connection::open_in_memory().expect("a database");
        let table = "CREATE TABLE chunk_fragments (id INTEGER PRIMARY KEY, data BLOB NOT NULL)";
        connection.execute_batch(table).expect("a table");
        let string = |id: i64| -> Vec<u8> {
            let bytes = (0..id as usize * FRAGMENT_BYTES / 2).map(|at| (at + id as usize) as u8);
            bytes.collect()
        };
        let transaction = connection.transaction().expect("a transaction");
        for id in 1..=5 {
            CHUNKS.add(&transaction, id, &string(id)).expect("it adds");
        }
        CHUNKS.drop(&transaction, 3).expect("it drops");
        for id in 0..=6 {
            let expected = matches!(id, 1 | 2 | 4 | 5).then(|| string(id));
            let found = CHUNKS.read(&transaction, id).expect("it reads");
            assert_eq!(found, expected, "{id}");
        }
    }
}
