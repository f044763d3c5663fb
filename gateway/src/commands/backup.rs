//! Copies a data folder while the gateway runs.
//!
//! First the journal's segments, then the store. A segment that goes meanwhile is sealed, and what it held stands in the
//! store that is copied after it. The copy holds everything that was answered before the copying began.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use super::CommandError;
use crate::{journal, store};

/// Copies a data folder into a new folder, which appears when it is whole. Returns how many bytes it has.
///
/// # Errors
///
/// When the folder is there already, there is no store to copy, or the disk fails.
pub fn backup(data_dir: &Path, to: &Path) -> Result<u64, CommandError> {
    if to.exists() {
        return Err(CommandError::Invalid(format!(
            "{} is there already; give a new folder",
            to.display()
        )));
    }
    let source = data_dir.join(store::DIR_NAME);
    if !source.join(store::FILE_NAME).exists() {
        return Err(CommandError::Invalid(format!(
            "{} holds no embedded store; give the gateway's HEADROOM_DATA_DIR",
            data_dir.display()
        )));
    }
    let mut partial = to.to_owned().into_os_string();
    partial.push(".partial");
    let partial = Path::new(&partial);
    let made = fill(data_dir, &source, partial);
    if made.is_err() {
        // What is left over would stand in the way of the next try.
        let _ = fs::remove_dir_all(partial);
    }
    let size_bytes = made?;
    fs::rename(partial, to).map_err(CommandError::file("rename to", to))?;
    let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty());
    sync_dir(parent.unwrap_or(Path::new(".")))?;
    Ok(size_bytes)
}

fn fill(data_dir: &Path, source: &Path, partial: &Path) -> Result<u64, CommandError> {
    let (journal_to, store_to) = (
        partial.join(journal::DIR_NAME),
        partial.join(store::DIR_NAME),
    );
    for dir in [partial, &journal_to, &store_to] {
        fs::create_dir(dir).map_err(CommandError::file("create", dir))?;
    }
    let mut size_bytes = copy_segments(&data_dir.join(journal::DIR_NAME), &journal_to)?;
    let file = store_to.join(store::FILE_NAME);
    store::copy_file(&source.join(store::FILE_NAME), &file)?;
    let synced = File::open(&file).and_then(|file| {
        file.sync_all()?;
        Ok(file.metadata()?.len())
    });
    size_bytes += synced.map_err(CommandError::file("sync", &file))?;
    for dir in [&journal_to, &store_to] {
        sync_dir(dir)?;
    }
    sync_dir(partial)?;
    Ok(size_bytes)
}

fn copy_segments(from: &Path, to: &Path) -> Result<u64, CommandError> {
    let mut size_bytes = 0;
    let entries = fs::read_dir(from).map_err(CommandError::file("read", from))?;
    for entry in entries {
        let path = entry.map_err(CommandError::file("read", from))?.path();
        let (Some(name), true) = (path.file_name(), journal::is_segment(&path)) else {
            continue;
        };
        let target = to.join(name);
        let copied = fs::copy(&path, &target).and_then(|bytes| {
            File::open(&target)?.sync_all()?;
            Ok(bytes)
        });
        match copied {
            Ok(bytes) => size_bytes += bytes,
            // It was sealed and trimmed since it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(CommandError::file("copy", &path)(source)),
        }
    }
    Ok(size_bytes)
}

fn sync_dir(dir: &Path) -> Result<(), CommandError> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(CommandError::file("sync", dir))
}
