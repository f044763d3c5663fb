//! Where delivery stands, on disk.

use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use super::UpstreamError;
use crate::{config::PRIMARY, publish::publish};

/// Whoever may look into the data folder may read it.
const MODE: u32 = 0o644;

/// Says whether a file is a destination's position.
#[must_use]
pub fn is_position(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with("upstream.") && name.ends_with(".position"))
}

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

    /// Replaces the position, whole.
    pub(super) fn write(&self, sequence: u64) -> io::Result<()> {
        publish(&self.path, format!("{sequence}\n").as_bytes(), MODE)
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
        assert!(is_position(&position.path) && is_position(&other.path));
        assert!(!is_position(&dir.path().join("upstream.draft")));
    }
}
