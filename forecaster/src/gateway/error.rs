//! What can go wrong between here and the gateway.

use std::time::Duration;

/// Why the gateway did not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum GatewayError {
    /// It cannot be reached, or broke off.
    #[error(
        "the gateway at {url} cannot be reached: {reason}; start it, or set HEADROOM_GATEWAY_URL"
    )]
    Away {
        /// Its address.
        url: String,
        /// What happened.
        reason: String,
    },
    /// It did not answer in time.
    #[error(
        "the gateway at {url} did not answer within {timeout_s} s; look at its log, or raise HEADROOM_GATEWAY_TIMEOUT_S"
    )]
    TimedOut {
        /// Its address.
        url: String,
        /// The wait, in seconds.
        timeout_s: u64,
    },
    /// It does not know the token, or the token lacks a scope.
    #[error(
        "the gateway at {url} refuses the token with status {status}; HEADROOM_TOKEN needs the scopes read and write there"
    )]
    Refused {
        /// Its address.
        url: String,
        /// 401 or 403.
        status: u16,
    },
    /// It answered with an error.
    #[error("the gateway at {url} answered {status}: {message}")]
    Status {
        /// Its address.
        url: String,
        /// The status.
        status: u16,
        /// The beginning of its body.
        message: String,
        /// How long it asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// One statement failed.
    #[error("the gateway at {url} refused the statement `{statement}`: {message}")]
    Statement {
        /// Its address.
        url: String,
        /// The statement.
        statement: String,
        /// Its reason.
        message: String,
    },
    /// It answered something else than InfluxDB's JSON.
    #[error(
        "{url} answered something that is no answer to InfluxQL ({reason}); is HEADROOM_GATEWAY_URL the gateway's address?"
    )]
    Unreadable {
        /// Its address.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl GatewayError {
    /// Says whether the same request may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Away { .. } | Self::TimedOut { .. } => true,
            Self::Status { status, .. } => *status == 429 || *status >= 500,
            Self::Refused { .. } | Self::Statement { .. } | Self::Unreadable { .. } => false,
        }
    }

    /// Says whether the database does not exist yet, which is how a fresh gateway without points looks.
    #[must_use]
    pub fn is_database_missing(&self) -> bool {
        match self {
            Self::Statement { message, .. } | Self::Status { message, .. } => {
                message.contains("database not found") || message.contains("bucket not found")
            }
            _ => false,
        }
    }

    /// How long the gateway asks to be left alone.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}
