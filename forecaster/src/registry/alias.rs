//! What a version is called by: files that hold its number.

use std::{fs, path::Path};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{RegistryError, files};

/// What a version is called by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Alias {
    /// It serves.
    Champion,
    /// It waits to serve.
    Challenger,
}

impl Alias {
    const ALL: [Self; 2] = [Self::Champion, Self::Challenger];

    /// Returns the name, which is that of its file too.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Champion => "champion",
            Self::Challenger => "challenger",
        }
    }
}
/// Lets an alias point to a version.
pub(super) fn point(folder: &Path, alias: Alias, version: &str) -> Result<(), RegistryError> {
    files::replace(
        &folder.join(alias.name()),
        format!("{version}\n").as_bytes(),
    )
}

/// Returns the version that an alias points to.
pub(super) fn pointed(folder: &Path, alias: Alias) -> Option<String> {
    let text = fs::read_to_string(folder.join(alias.name())).ok()?;
    Some(text.trim().to_owned())
}

pub(super) fn alias_of(folder: &Path, version: &str) -> Option<Alias> {
    let points = |alias: &Alias| pointed(folder, *alias).as_deref() == Some(version);
    Alias::ALL.into_iter().find(points)
}
