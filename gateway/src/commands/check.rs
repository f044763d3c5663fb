//! Reads journal and store through.

use std::path::Path;

use super::CommandError;
use crate::{
    app,
    journal::Journal,
    store::{Store, StoreOptions},
};

/// Checks a data folder; returns what it found, in a sentence.
///
/// # Errors
///
/// Names the first thing that is damaged.
pub async fn check(data_dir: &Path) -> Result<String, CommandError> {
    let (journal, store) = app::open_data(data_dir, StoreOptions::default())
        .map_err(|error| CommandError::of_open(data_dir, error))?;
    let found = judge(&journal, &store);
    journal.close().await;
    found
}

fn judge(journal: &Journal, store: &Store) -> Result<String, CommandError> {
    // What is sealed is kept for destinations that have not taken it.
    let mut reader = journal.reader(journal.first_sequence());
    while reader.next_committed()?.is_some() {}
    let damaged = journal.damaged_records();
    if damaged > 0 {
        let places = if damaged == 1 { "place" } else { "places" };
        return Err(CommandError::Invalid(format!(
            "the journal is damaged in {damaged} {places}; batches that stood there are lost, all others are readable"
        )));
    }
    let report = store.check()?;
    Ok(format!(
        "sound: {} values in {} chunks of {} series, {} bytes; the journal goes to batch {}, {} of them are sealed",
        report.values,
        report.chunks,
        report.series,
        report.file_bytes,
        journal.last_sequence(),
        store.sealed_through(),
    ))
}
