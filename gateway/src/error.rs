//! The one place where failures become HTTP answers.
//!
//! A [`Failure`] says what went wrong; modules further inside have their own errors and know nothing of HTTP. The table
//! in [`Failure::status`] gives each its status, and [`Dialect`] the shape that the client reads: every Telegraf output
//! drops or repeats a batch on other codes, so a failure that may pass is always 503, and one that cannot is 400.

mod schema;

use std::fmt;

use actix_web::{
    HttpResponse, ResponseError,
    http::{StatusCode, header},
};
use headroom_openapi::{
    access::Scope,
    problem::{PROBLEM_MEDIA_TYPE, Problem},
};
use serde_json::json;

pub use schema::{ErrorV1, ErrorV2, ErrorV3, RefusedLineV3};

use crate::{
    access::{IssuedError, Limited, OutOfBounds},
    body::BodyError,
    influxql::answer::{Format, error_written},
    ingest::{IngestError, RefusedLine, ReplayError},
    journal::JournalError,
    lines::{PrecisionUnknown, Rule},
    queries::QueriesError,
    rejects::RejectsError,
};

/// When a client that was turned away may come again: a few of Telegraf's flushes are merged by then.
const RETRY_AFTER_S: u64 = 5;
/// How many refused lines an answer names; the counts are always whole.
const REFUSED_LINES_NAMED: usize = 10;

/// The shape of an error answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// InfluxDB 1.x: `{"error": …}`.
    V1,
    /// InfluxDB 1.x where CSV was asked for: a column `error` with one row.
    V1Csv,
    /// InfluxDB 2.x: `{"code": …, "message": …}`.
    V2,
    /// InfluxDB 3.x: `{"error": …, "data": […]}`.
    V3,
    /// Problem details, for everything else.
    Problem,
}

impl Dialect {
    /// The dialect that a path's clients speak.
    #[must_use]
    pub fn of_path(path: &str) -> Self {
        if path == "/write" || path == "/query" {
            Self::V1
        } else if path.starts_with("/api/v2/") {
            Self::V2
        } else if path.starts_with("/api/v3/") {
            Self::V3
        } else {
            Self::Problem
        }
    }
}

/// Says why a request was not done.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Failure {
    /// No known credentials.
    #[error(
        "the request carries no known token; send `Authorization: Token …`, `Bearer …`, `Basic …`, or u= and p= in the query"
    )]
    Unauthorized,
    /// The token lacks the scope.
    #[error("the token is known and lacks the scope {0}; use a token that has it")]
    Forbidden(Scope),
    /// The token is bound, and this is beyond its bounds.
    #[error("{0}")]
    OutOfBounds(String),
    /// The token pushes faster than it may.
    #[error(
        "the token may push {per_s} {of} a second and has pushed more; come again in {after_s} s"
    )]
    TooFast {
        /// `lines` or `bytes`.
        of: &'static str,
        /// The rate.
        per_s: u32,
        /// When it may push again.
        after_s: u64,
    },
    /// There is no token of that name.
    #[error("{0}")]
    TokenUnknown(String),
    /// There is a token of that name.
    #[error("{0}")]
    TokenExists(String),
    /// The tokens' file failed.
    #[error("the tokens cannot be changed now; the gateway's log says why")]
    Tokens,
    /// Recovery still runs.
    #[error("the gateway is starting and reads its journal; /ready says when it is done")]
    Starting,
    /// There is no such path.
    #[error("there is nothing here; /docs lists what there is")]
    NotFound,
    /// The path has other methods.
    #[error("this path takes {allowed}; /docs lists what there is")]
    MethodNotAllowed {
        /// The methods.
        allowed: String,
    },
    /// A parameter is missing or wrong.
    #[error("{0}")]
    Invalid(String),
    /// The precision is not the dialect's.
    #[error(transparent)]
    Precision(#[from] PrecisionUnknown),
    /// The body was not taken.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The points in memory wait for the store's disk, and are as many as may be.
    #[error(
        "{max_bytes} bytes of points wait in memory for the store's disk, the limit; send it again later, or raise HEADROOM_STORE_MEMORY_MAX_BYTES"
    )]
    StoreFull {
        /// The limit.
        max_bytes: usize,
    },
    /// Lines were refused; the others are stored.
    #[error("{}", describe_refused(.lines, *.accepted))]
    LinesRefused {
        /// Every refused line.
        lines: Vec<RefusedLine>,
        /// How many lines were stored.
        accepted: usize,
    },
    /// The batch could not be made durable.
    #[error("{}", .0.for_clients())]
    Journal(#[from] JournalError),
    /// The store failed.
    #[error("the store could not take the batch: {0}; it is safe to send it again")]
    Store(String),
    /// The rejects' file failed.
    #[error("the rejects cannot be read or written now; the gateway's log says why")]
    Rejects,
    /// InfluxDB cannot be reached.
    #[error("InfluxDB cannot be reached: {0}")]
    UpstreamAway(String),
    /// The query was not answered.
    #[error(transparent)]
    Queries(#[from] QueriesError),
    /// A bucket is there already.
    #[error("bucket with name {0} already exists")]
    BucketExists(String),
    /// Something that should not happen.
    #[error("the gateway failed; its log says more")]
    Internal,
}

impl Failure {
    /// The table: every failure's status, and its word in version 2's `code`.
    #[must_use]
    pub fn status(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::Forbidden(_) | Self::OutOfBounds(_) => (StatusCode::FORBIDDEN, "forbidden"),
            Self::TooFast { .. } => (StatusCode::TOO_MANY_REQUESTS, "too many requests"),
            Self::TokenExists(_) => (StatusCode::CONFLICT, "conflict"),
            Self::NotFound | Self::TokenUnknown(_) => (StatusCode::NOT_FOUND, "not found"),
            Self::MethodNotAllowed { .. } => (StatusCode::METHOD_NOT_ALLOWED, "method not allowed"),
            Self::Invalid(_)
            | Self::Precision(_)
            | Self::LinesRefused { .. }
            | Self::Journal(JournalError::BatchInvalid { .. }) => {
                (StatusCode::BAD_REQUEST, "invalid")
            }
            Self::BucketExists(_) => (StatusCode::UNPROCESSABLE_ENTITY, "conflict"),
            Self::Body(error) => status_of_body(error),
            Self::Starting
            | Self::StoreFull { .. }
            | Self::Queries(QueriesError::Busy { .. })
            | Self::Rejects
            | Self::Tokens
            | Self::Store(_)
            | Self::Journal(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Self::UpstreamAway(_) => (StatusCode::BAD_GATEWAY, "unavailable"),
            Self::Queries(QueriesError::Panicked) | Self::Internal => {
                (StatusCode::INTERNAL_SERVER_ERROR, "internal error")
            }
        }
    }

    /// In how many seconds the same request may succeed; `None`: it is not known to.
    #[must_use]
    pub fn retry_after_s(&self) -> Option<u64> {
        match self {
            Self::TooFast { after_s, .. } => Some(*after_s),
            _ if self.status().0 == StatusCode::SERVICE_UNAVAILABLE => Some(RETRY_AFTER_S),
            _ => None,
        }
    }

    /// Shapes the failure for a client.
    #[must_use]
    pub fn for_dialect(self, dialect: Dialect) -> ApiError {
        ApiError {
            failure: self,
            dialect,
        }
    }
}

fn status_of_body(error: &BodyError) -> (StatusCode, &'static str) {
    match error {
        BodyError::GzipInvalid(_) | BodyError::Broken(_) | BodyError::LineTooLarge { .. } => {
            (StatusCode::BAD_REQUEST, "invalid")
        }
        BodyError::EncodingUnknown(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid"),
        BodyError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "request too large"),
        // On 408 Telegraf would drop the batch, and a slow network may be faster the next time.
        BodyError::TooSlow { .. } | BodyError::IntakeFull { .. } => {
            (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
        }
        BodyError::Panicked => (StatusCode::INTERNAL_SERVER_ERROR, "internal error"),
    }
}

fn describe_refused(lines: &[RefusedLine], accepted: usize) -> String {
    // What is well-formed and too old is a partial write also where nothing else was in it, as in InfluxDB.
    let expired = |line: &RefusedLine| line.refusal.rule == Rule::Retention;
    let start = if accepted == 0 && !lines.iter().any(expired) {
        "unable to parse"
    } else {
        "partial write"
    };
    let named: Vec<_> = lines
        .iter()
        .take(REFUSED_LINES_NAMED)
        .map(|line| format!("line {}: {}", line.number, line.refusal))
        .collect();
    let more = match lines.len().saturating_sub(REFUSED_LINES_NAMED) {
        0 => String::new(),
        unnamed => format!("; and {unnamed} more"),
    };
    format!(
        "{start}: {}{more} ({accepted} lines accepted) dropped={}",
        named.join("; "),
        lines.len()
    )
}

/// InfluxDB 3's words, which clients look for, and how many lines are meant.
fn describe_counts(refused: usize, accepted: usize) -> String {
    let named = if refused > REFUSED_LINES_NAMED {
        format!(", of which the first {REFUSED_LINES_NAMED} are named")
    } else {
        String::new()
    };
    format!(
        "partial write of line protocol occurred: {accepted} lines accepted, {refused} refused{named}"
    )
}

/// A [`Failure`] in the shape that its client reads.
#[derive(Debug, Clone)]
pub struct ApiError {
    failure: Failure,
    dialect: Dialect,
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.failure.fmt(f)
    }
}

impl ApiError {
    /// The failure's status, fitted to the client: on 429 Telegraf's output for version 1 drops the batch, and InfluxDB 2
    /// has a status of its own for lines that are well-formed and too old.
    fn status(&self) -> (StatusCode, &'static str) {
        if let (Dialect::V2, Failure::LinesRefused { lines, .. }) = (self.dialect, &self.failure)
            && lines
                .iter()
                .all(|line| line.refusal.rule == Rule::Retention)
        {
            return (StatusCode::UNPROCESSABLE_ENTITY, "unprocessable entity");
        }
        match (self.dialect, self.failure.status()) {
            (Dialect::V1 | Dialect::V1Csv, (StatusCode::TOO_MANY_REQUESTS, _)) => {
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
            }
            (_, status) => status,
        }
    }

    fn body(&self) -> serde_json::Value {
        let (status, code) = self.status();
        let message = self.failure.to_string();
        match (self.dialect, &self.failure) {
            (Dialect::V2, Failure::LinesRefused { lines, .. }) => {
                json!({ "code": code, "message": message, "line": lines.first().map(|line| line.number) })
            }
            (Dialect::V2, _) => json!({ "code": code, "message": message }),
            (Dialect::V3, Failure::LinesRefused { lines, accepted }) => json!({
                "error": describe_counts(lines.len(), *accepted),
                "data": lines.iter().take(REFUSED_LINES_NAMED).map(|line| json!({
                    "line_number": line.number, "error_message": line.refusal.to_string(),
                })).collect::<Vec<_>>(),
            }),
            (Dialect::V1 | Dialect::V1Csv | Dialect::V3, _) => json!({ "error": message }),
            (Dialect::Problem, _) => json!(Problem {
                kind: "about:blank".to_owned(),
                title: status.canonical_reason().unwrap_or_default().to_owned(),
                status: status.as_u16(),
                code: code.replace(' ', "_"),
                detail: message,
            }),
        }
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status().0
    }

    fn error_response(&self) -> HttpResponse {
        let (status, code) = self.status();
        if status.is_server_error() {
            tracing::warn!(status = status.as_u16(), error = %self, "a request failed");
        } else if !matches!(self.failure, Failure::LinesRefused { .. }) {
            // Its words may quote the request.
            tracing::info!(status = status.as_u16(), code, "a request was refused");
        }
        let mut answer = HttpResponse::build(status);
        if let Some(after_s) = self.failure.retry_after_s() {
            answer.insert_header((header::RETRY_AFTER, after_s.to_string()));
        }
        if status == StatusCode::UNAUTHORIZED {
            answer.insert_header((header::WWW_AUTHENTICATE, "Bearer realm=\"headroom\""));
        }
        if let Failure::MethodNotAllowed { allowed } = &self.failure {
            answer.insert_header((header::ALLOW, allowed.as_str()));
        }
        match self.dialect {
            Dialect::V2 => {
                answer.insert_header(("X-Platform-Error-Code", code));
            }
            Dialect::Problem => {
                answer.content_type(PROBLEM_MEDIA_TYPE);
            }
            Dialect::V1Csv => {
                let text = error_written(&self.failure.to_string(), Format::Csv);
                return answer.content_type(Format::Csv.content_type()).body(text);
            }
            Dialect::V1 | Dialect::V3 => {}
        }
        answer.json(self.body())
    }
}

impl From<IngestError> for Failure {
    fn from(error: IngestError) -> Self {
        match error {
            IngestError::Journal(error) => Self::Journal(error),
            IngestError::Store(error) => {
                tracing::error!(%error, "a durable batch could not be applied to the store");
                Self::Store(error.to_string())
            }
            IngestError::StoreFull { max_bytes } => Self::StoreFull { max_bytes },
        }
    }
}

impl From<RejectsError> for Failure {
    fn from(error: RejectsError) -> Self {
        tracing::error!(%error, "the rejects cannot be used");
        Self::Rejects
    }
}

impl From<ReplayError> for Failure {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::Ingest(error) => error.into(),
            ReplayError::Rejects(error) => error.into(),
        }
    }
}

impl From<IssuedError> for Failure {
    fn from(error: IssuedError) -> Self {
        match error {
            IssuedError::Invalid(reason) => Self::Invalid(reason),
            IssuedError::Exists(_) => Self::TokenExists(error.to_string()),
            IssuedError::Unknown(_) => Self::TokenUnknown(error.to_string()),
            IssuedError::File { .. } | IssuedError::Malformed { .. } => {
                tracing::error!(%error, "the tokens cannot be changed");
                Self::Tokens
            }
        }
    }
}

impl From<OutOfBounds> for Failure {
    fn from(error: OutOfBounds) -> Self {
        Self::OutOfBounds(error.to_string())
    }
}

impl From<Limited> for Failure {
    fn from(limited: Limited) -> Self {
        Self::TooFast {
            of: limited.of,
            per_s: limited.per_s,
            after_s: limited.after.as_secs_f64().ceil() as u64,
        }
    }
}
