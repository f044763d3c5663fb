//! Copies a data folder while the gateway runs: all that a restore needs.
//!
//! The order sees to it that whatever goes from one place to another meanwhile is copied at least once:
//!
//! 1. The journal. A segment that goes afterwards was read by everybody: the store copied below has its points, and the positions
//!    copied below are behind it.
//! 2. The destinations' positions. A line that a server refused before is a reject by now.
//! 3. The rejects. A line that is replayed afterwards is in the journal by then.
//! 4. The journal once more, as far as it has grown.
//! 5. The store, what the guards have learned, and the tokens that were made here.
//!
//! The copy holds everything that was answered before the copying began. What is twice in it, a journalled line that is a reject
//! still, or a batch that is delivered already, changes nothing when it is written again.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io, iter,
    path::{Path, PathBuf},
};

use super::CommandError;
use crate::{access, guard, journal, rejects, store, upstream};

/// Copies a data folder into a new folder, which appears when it is whole. Returns how many bytes it has.
///
/// # Errors
///
/// When the folder is there already, there is no journal to copy, or the disk fails.
pub fn backup(data_dir: &Path, to: &Path) -> Result<u64, CommandError> {
    if to.exists() {
        return Err(CommandError::Invalid(format!(
            "{} is there already; give a new folder",
            to.display()
        )));
    }
    if !data_dir.join(journal::DIR_NAME).exists() {
        return Err(CommandError::Invalid(format!(
            "{} holds no journal; give the gateway's HEADROOM_DATA_DIR",
            data_dir.display()
        )));
    }
    let mut partial = to.to_owned().into_os_string();
    partial.push(".partial");
    let partial = Path::new(&partial);
    let made = fill(data_dir, partial).and_then(|()| size_bytes(partial));
    if made.is_err() {
        // What is left over would stand in the way of the next try.
        let _ = fs::remove_dir_all(partial);
    }
    let size_bytes = made?;
    fs::rename(partial, to).map_err(CommandError::file("rename to", to))?;
    let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty());
    sync(parent.unwrap_or(Path::new(".")))?;
    Ok(size_bytes)
}

fn fill(from: &Path, to: &Path) -> Result<(), CommandError> {
    let dirs = [journal::DIR_NAME, rejects::DIR_NAME, store::DIR_NAME];
    let inner = dirs.map(|name| to.join(name));
    for dir in iter::once(to).chain(inner.iter().map(PathBuf::as_path)) {
        fs::create_dir(dir).map_err(CommandError::file("create", dir))?;
    }
    let (segments, segments_to) = (from.join(journal::DIR_NAME), to.join(journal::DIR_NAME));
    let last = copy_files(&segments, &segments_to, |path, _| journal::is_segment(path))?;
    copy_files(from, to, |path, _| upstream::is_position(path))?;
    copy_database(
        from,
        to,
        &Path::new(rejects::DIR_NAME).join(rejects::FILE_NAME),
    )?;
    copy_files(&segments, &segments_to, |path, name| {
        journal::is_segment(path) && last.as_deref().is_none_or(|last| name >= last)
    })?;
    copy_database(from, to, &Path::new(store::DIR_NAME).join(store::FILE_NAME))?;
    copy_database(from, to, Path::new(guard::FILE_NAME))?;
    copy_files(from, to, |_, name| name == access::TOKENS_FILE_NAME)?;
    inner.iter().try_for_each(|dir| sync(dir))?;
    sync(to)
}

/// Copies the files of a folder that are wanted, by path and name, over what was copied before; answers the last name.
fn copy_files(
    from: &Path,
    to: &Path,
    is_wanted: impl Fn(&Path, &OsStr) -> bool,
) -> Result<Option<OsString>, CommandError> {
    let mut last = None;
    for entry in fs::read_dir(from).map_err(CommandError::file("read", from))? {
        let entry = entry.map_err(CommandError::file("read", from))?;
        let (path, name) = (entry.path(), entry.file_name());
        if !is_wanted(&path, &name) {
            continue;
        }
        let target = to.join(&name);
        match fs::copy(&path, &target) {
            Ok(_) => sync(&target)?,
            // A segment that everybody has read since the folder was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => return Err(CommandError::file("copy", &path)(source)),
        }
        last = last.max(Some(name));
    }
    Ok(last)
}

/// Copies a SQLite file as it is at one instant, where there is one.
fn copy_database(from: &Path, to: &Path, name: &Path) -> Result<(), CommandError> {
    if !from.join(name).exists() {
        return Ok(());
    }
    let target = to.join(name);
    store::copy_file(&from.join(name), &target)?;
    sync(&target)
}

fn size_bytes(dir: &Path) -> Result<u64, CommandError> {
    let failed = || CommandError::file("read", dir);
    let mut sum = 0;
    for entry in fs::read_dir(dir).map_err(failed())? {
        let entry = entry.map_err(failed())?;
        let found = entry.metadata().map_err(failed())?;
        sum += if found.is_dir() {
            size_bytes(&entry.path())?
        } else {
            found.len()
        };
    }
    Ok(sum)
}

fn sync(path: &Path) -> Result<(), CommandError> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(CommandError::file("sync", path))
}
