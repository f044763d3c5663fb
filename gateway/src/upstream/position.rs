//! Where delivery stands, on disk.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

use super::UpstreamError;
use crate::config::PRIMARY;

/// The file that holds the last delivered sequence, in decimal.
#[derive(Debug, Clone)]
pub(super) struct Position {
    path: PathBuf,
}

impl Position {
    /// The file of a destination; that of `HEADROOM_INFLUX_URL` has no name in it.
    pub(super) fn new(data_dir: &Path, destination: &str) -> Self {
        let name = if destination == PRIMARY {
            "upstream.position".to_owned()
        } else {
            format!("upstream.{destination}.position")
        };
        Self {
            path: data_dir.join(name),
        }
    }

    /// Reads the position; `None` before the first delivery.
    pub(super) fn read(&self) -> Result<Option<u64>, UpstreamError> {
        let unreadable = |reason: String| UpstreamError::Position {
            path: self.path.clone(),
            reason,
        };
        match fs::read_to_string(&self.path) {
            Ok(text) => text
                .trim()
                .parse()
                .map(Some)
                .map_err(|_| unreadable("it holds no number".to_owned())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
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
        let position = Position::new(dir.path(), PRIMARY);
        assert_eq!(position.read().expect("none yet"), None);
        position.write(42).expect("writable");
        assert_eq!(position.read().expect("written"), Some(42));
        let other = Position::new(dir.path(), "other");
        assert_eq!(other.read().expect("it has a place of its own"), None);
        fs::write(dir.path().join("upstream.position"), "many").expect("writable");
        assert!(position.read().is_err());
    }
}
