//! Jobs on disk: what a restart goes on with. The file is replaced whole at every change, so that it is never torn.

use std::{fs, io, path::Path};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{BaseWanted, Cause};
use crate::registry::{RegistryError, files};

/// Why jobs were not kept.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeepError {
    /// They are no JSON.
    #[error("they cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] RegistryError),
}

/// A job that has not ended.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KeptJob {
    pub(super) id: String,
    pub(super) cause: Cause,
    pub(super) requested_at: DateTime<Utc>,
    /// Whether a base is to be fitted before its hosts have their turns; nothing once that is done.
    #[serde(default)]
    pub(super) base: Option<BaseWanted>,
    /// The hosts that have not had their turn, or were in it.
    pub(super) hosts: Vec<KeptHost>,
}

/// A host of such a job.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KeptHost {
    pub(super) host: String,
    /// How often its training began.
    pub(super) starts: u32,
}

/// Reads what was kept; what cannot be read is passed over with a warning, since the next round trains every host anyway.
pub(super) fn read(file: &Path) -> Vec<KeptJob> {
    let text = match fs::read(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            tracing::warn!(%error, file = %file.display(), "jobs from before the restart cannot be read");
            return Vec::new();
        }
    };
    serde_json::from_slice(&text).unwrap_or_else(|error| {
        tracing::warn!(%error, file = %file.display(), "jobs from before the restart do not parse");
        Vec::new()
    })
}

/// Replaces what was kept.
pub(super) fn write(file: &Path, jobs: &[KeptJob]) -> Result<(), KeepError> {
    Ok(files::replace(file, &serde_json::to_vec(jobs)?)?)
}
