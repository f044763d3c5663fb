//! What can go wrong with models on disk.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{
    host_model::ModelError,
    manifest::FORMAT,
    model::{BaseError, WeightsError},
};

/// Why models could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The disk refused.
    #[error(
        "cannot {action} {path}: {source}; the folder must exist on a disk with room and be writable"
    )]
    Disk {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system answered.
        #[source]
        source: io::Error,
    },
    /// The manifest is not one.
    #[error(
        "manifest {path} does not parse: {source}; the version is passed over, retrain the host to replace it"
    )]
    ManifestInvalid {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// The manifest has another form.
    #[error(
        "manifest {path} has the format {found}; this program reads {FORMAT}, retrain the host to replace it"
    )]
    FormatUnknown {
        /// The file.
        path: PathBuf,
        /// The format found.
        found: u32,
    },
    /// The weights do not belong to the manifest.
    #[error(
        "version {path} cannot serve: {source}; it is passed over, retrain the host to replace it"
    )]
    ModelInvalid {
        /// The version's folder.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: ModelError,
    },
    /// The fleet's base is not one.
    #[error("the base {path} cannot be used: {source}; retrain all hosts to replace it")]
    BaseInvalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: BaseError,
    },
    /// The network would not hand over its weights.
    #[error("the weights of host {host:?} cannot be written: {source}")]
    WeightsUnreadable {
        /// The host.
        host: String,
        /// Why.
        #[source]
        source: WeightsError,
    },
    /// The host has no such version.
    #[error("host {host:?} has no version {version:?}; it has {}", kept.join(", "))]
    VersionUnknown {
        /// The host.
        host: String,
        /// The version.
        version: String,
        /// The versions that it has.
        kept: Vec<String>,
    },
    /// The version serves, or waits to serve.
    #[error(
        "version {version:?} of host {host:?} is its {alias}; make another version champion first"
    )]
    VersionInUse {
        /// The host.
        host: String,
        /// The version.
        version: String,
        /// What it is.
        alias: &'static str,
    },
    /// The host has models, and none can be read.
    #[error(
        "none of the {versions} versions of host {host:?} can be read, the newest because: {reason}; retrain the host"
    )]
    NothingReadable {
        /// The host.
        host: String,
        /// How many versions there are.
        versions: usize,
        /// What was wrong with the newest.
        reason: String,
    },
}

pub(super) fn disk(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RegistryError {
    let path = path.to_owned();
    move |source| RegistryError::Disk {
        action,
        path,
        source,
    }
}
