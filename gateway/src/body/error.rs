//! What can be wrong with a body.

/// Why a body was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The content encoding is not known.
    #[error("the content encoding {0:?} is not taken; send gzip or identity")]
    EncodingUnknown(String),
    /// The body is no gzip.
    #[error("the body is not the gzip that Content-Encoding says: {0}")]
    GzipInvalid(String),
    /// It could not be read.
    #[error("the body ended before its time: {0}")]
    Broken(String),
    /// It did not come in time.
    #[error(
        "the body did not come within {limit_s} s; send smaller batches, or raise HEADROOM_BODY_TIMEOUT_S"
    )]
    TooSlow {
        /// The limit.
        limit_s: u64,
    },
    /// All bodies together take as much as they may.
    #[error("{limit} {what}, the limit; send it again later, or raise {setting}")]
    IntakeFull {
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: u64,
        /// The setting that holds the limit.
        setting: &'static str,
    },
    /// It is too large as it came or after decompression.
    #[error("the body is over {limit_bytes} bytes{stage}; send smaller batches or raise {setting}")]
    TooLarge {
        /// The limit.
        limit_bytes: u64,
        /// `""` or `" after decompression"`.
        stage: &'static str,
        /// The setting that holds the limit.
        setting: &'static str,
    },
    /// One line alone is over the limit, so a smaller batch cannot help.
    #[error("one line alone is over {limit_bytes} bytes; it cannot be taken")]
    LineTooLarge {
        /// The limit.
        limit_bytes: u64,
    },
    /// Decompressing it panicked.
    #[error("the gateway failed; its log says more")]
    Panicked,
}
