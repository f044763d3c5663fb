//! How the newest challenger does beside the champion: `trial.json`.

use std::{fs, io, path::Path};

use serde::{Deserialize, Serialize};

use super::{RegistryError, disk, files};
use crate::manifest::Verdict;

const TRIAL: &str = "trial.json";

/// A challenger's time beside the champion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// The version that runs beside.
    pub challenger: String,
    /// The version that serves.
    pub champion: String,
    /// When it began, in seconds since the epoch.
    pub since_s: i64,
    /// When it is judged.
    pub until_s: i64,
    /// How it ended; null while it runs.
    pub verdict: Option<Verdict>,
}

/// Reads a host's newest trial; `None` where there was none.
pub(super) fn read(folder: &Path) -> Result<Option<Trial>, RegistryError> {
    let path = folder.join(TRIAL);
    match fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|source| RegistryError::ManifestInvalid { path, source }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(disk("read", &path)(error)),
    }
}

/// Keeps a host's trial in the place of the one before.
pub(super) fn keep(folder: &Path, trial: &Trial) -> Result<(), RegistryError> {
    let path = folder.join(TRIAL);
    let text = serde_json::to_vec(trial).map_err(|source| disk("write", &path)(source.into()))?;
    files::replace(&path, &text)
}
