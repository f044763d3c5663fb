//! Where delivery stands, on disk.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

use super::UpstreamError;

/// The file that holds the last delivered sequence, in decimal.
#[derive(Debug, Clone)]
pub(super) struct Position {
    path: PathBuf,
}

impl Position {
    pub(super) fn new(data_dir: &Path) -> Self {
        Self {
            path: data_dir.join("upstream.position"),
        }
    }

    /// Reads the position; 0 before the first delivery.
    pub(super) fn read(&self) -> Result<u64, UpstreamError> {
        let unreadable = |reason: String| UpstreamError::Position {
            path: self.path.clone(),
            reason,
        };
        match fs::read_to_string(&self.path) {
            Ok(text) => text
                .trim()
                .parse()
                .map_err(|_| unreadable("it holds no number".to_owned())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
            Err(error) => Err(unreadable(error.to_string())),
        }
    }

    /// Replaces the position: write, sync, rename, sync of the folder.
    pub(super) fn write(&self, sequence: u64) -> io::Result<()> {
        let draft = self.path.with_extension("draft");
        let mut file = File::create(&draft)?;
        writeln!(file, "{sequence}")?;
        file.sync_all()?;
        fs::rename(&draft, &self.path)?;
        match self.path.parent() {
            Some(dir) => File::open(dir)?.sync_all(),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_position_is_kept_and_garbage_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let position = Position::new(dir.path());
        assert_eq!(position.read().expect("none yet"), 0);
        position.write(42).expect("writable");
        assert_eq!(position.read().expect("written"), 42);
        fs::write(dir.path().join("upstream.position"), "many").expect("writable");
        assert!(position.read().is_err());
    }
}
