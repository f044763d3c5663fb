//! What the program does besides serving: check, backup, export, import.
//!
//! Check and export open a data folder as the gateway does at its start, which only one process can at a time; backup
//! copies it under a running gateway, and import is a client like any other.

mod backup;
mod check;
mod export;
mod import;
mod parquet;
mod token;

use std::{io, path::PathBuf};

pub use backup::backup;
pub use check::check;
pub use export::export;
pub use import::import;
pub use token::{create_token, list_tokens, revoke_token};

use crate::{access::IssuedError, app::StartError, journal::JournalError, store::StoreError};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// A gateway runs on the folder.
    #[error(
        "a gateway runs on {}; make a copy with `headroom-gateway backup FOLDER`, and give that as --data-dir",
        data_dir.display()
    )]
    InUse {
        /// The data folder.
        data_dir: PathBuf,
    },
    /// The data folder cannot be opened.
    #[error(transparent)]
    Open(StartError),
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The tokens cannot be read or changed.
    #[error(transparent)]
    Tokens(#[from] IssuedError),
    /// A file cannot be read or written.
    #[error("could not {action} {}: {source}", path.display())]
    File {
        /// What was tried, as a verb.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is nothing to do it with.
    #[error("{0}")]
    Invalid(String),
    /// The gateway does not answer as it should.
    #[error("the gateway at {url} {reason}")]
    Gateway {
        /// Its address.
        url: url::Url,
        /// What it did.
        reason: String,
    },
}

impl CommandError {
    fn file(action: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File {
            action,
            path: path.to_owned(),
            source,
        }
    }

    /// Says of a folder in use what to do instead.
    fn of_open(data_dir: &std::path::Path, error: StartError) -> Self {
        match error {
            StartError::Journal(JournalError::InUse { .. }) => Self::InUse {
                data_dir: data_dir.to_owned(),
            },
            other => Self::Open(other),
        }
    }
}
