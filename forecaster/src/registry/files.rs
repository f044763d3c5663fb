//! Files that are whole after a crash.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use super::{RegistryError, UNFINISHED, disk};

/// Writes a file and flushes it to the disk.
pub(super) fn write(path: &Path, content: &[u8]) -> Result<(), RegistryError> {
    let mut file = File::create(path).map_err(disk("create", path))?;
    file.write_all(content).map_err(disk("write", path))?;
    file.sync_all().map_err(disk("flush", path))
}

/// Replaces a file: readers see the old content or the new, never a part.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), RegistryError> {
    let folder = path.parent().expect("a file lies in a folder");
    let unfinished = folder.join(format!("{UNFINISHED}pointer"));
    write(&unfinished, content)?;
    fs::rename(&unfinished, path).map_err(disk("rename", &unfinished))?;
    sync_folder(folder)
}

/// Flushes a folder's entries to the disk.
pub(super) fn sync_folder(path: &Path) -> Result<(), RegistryError> {
    let folder = File::open(path).map_err(disk("open", path))?;
    folder.sync_all().map_err(disk("flush", path))
}

/// Removes what a publication that was cut off has left.
pub(super) fn clear_unfinished(folder: &Path) -> Result<(), RegistryError> {
    for name in entries(folder)?
        .into_iter()
        .filter(|name| name.starts_with(UNFINISHED))
    {
        let path = folder.join(name);
        let removed = if path.is_dir() {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        removed.map_err(disk("remove", &path))?;
    }
    Ok(())
}

/// Returns the names of the folders within a folder; none when it does not exist.
pub(super) fn folders(path: &Path) -> Result<Vec<String>, RegistryError> {
    let mut names = entries(path)?;
    names.retain(|name| path.join(name).is_dir());
    Ok(names)
}

fn entries(path: &Path) -> Result<Vec<String>, RegistryError> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(disk("read", path)(error)),
    };
    entries
        .map(|entry| {
            let name = entry.map_err(disk("read", path))?.file_name();
            Ok(name.to_string_lossy().into_owned())
        })
        .collect()
}
