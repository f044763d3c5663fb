//! What can go wrong with a journal.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Says what failed in the journal. It is `Clone`, because one failed commit answers many batches.
#[derive(Debug, Clone, thiserror::Error)]
pub enum JournalError {
    /// The disk refused an operation.
    #[error("could not {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Arc<io::Error>,
    },
    /// The size limit is reached.
    #[error(
        "the journal holds {pending_bytes} of at most {max_bytes} bytes; it drains when its reader catches up, or raise \
         HEADROOM_JOURNAL_MAX_BYTES"
    )]
    Full {
        /// What it holds.
        pending_bytes: u64,
        /// What it may hold.
        max_bytes: u64,
    },
    /// The oldest batch waits for too long.
    #[error(
        "the journal's oldest batch waits for {age_s} s, at most {max_age_s} are allowed; it is delivered once its reader catches up, or \
         raise HEADROOM_JOURNAL_MAX_AGE_H"
    )]
    Stale {
        /// How long it waits.
        age_s: u64,
        /// How long it may.
        max_age_s: u64,
    },
    /// Another process has the journal open.
    #[error("the journal in {} is in use by another process; give each gateway its own HEADROOM_DATA_DIR", dir.display())]
    InUse {
        /// The journal's folder.
        dir: PathBuf,
    },
    /// A segment that this version cannot read.
    #[error("{} holds no journal record of this version; start the version that wrote it, or move the file away to start without its batches", path.display())]
    UnknownFormat {
        /// The segment.
        path: PathBuf,
    },
    /// The batch cannot be written as a record.
    #[error("the batch cannot be journalled: {reason}")]
    BatchInvalid {
        /// What is too long.
        reason: &'static str,
    },
    /// The journal is shutting down.
    #[error("the journal is closed: the gateway is shutting down")]
    Closed,
}

impl JournalError {
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_owned(),
            source: Arc::new(source),
        }
    }

    /// Says what is wrong without the server's paths, for clients.
    #[must_use]
    pub fn for_clients(&self) -> String {
        match self {
            Self::Io { source, .. } => {
                format!("the batch could not be written to disk: {source}; send it again later")
            }
            Self::InUse { .. } | Self::UnknownFormat { .. } => {
                "the journal cannot be used; the log says more".to_owned()
            }
            Self::Full { .. } | Self::Stale { .. } | Self::BatchInvalid { .. } | Self::Closed => {
                self.to_string()
            }
        }
    }

    /// Says whether the same append may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Io { .. } | Self::Full { .. } | Self::Stale { .. } | Self::Closed
        )
    }
}
