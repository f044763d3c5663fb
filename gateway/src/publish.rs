//! Publishes a file whole: whoever opens it sees the old content or the new one, also after a power cut.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// Replaces a file: write, sync, rename, sync of the folder. `mode` is what the new file allows to whom.
///
/// # Errors
///
/// When the disk fails; the old file is then still there.
pub(crate) fn publish(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let draft = path.with_extension("draft");
    // A draft that a crash left behind may have other rights.
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&draft)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    match path.parent() {
        Some(dir) => File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}
