//! The error answer of both `/api/v1` APIs: problem details as RFC 9457 has them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The media type of a [`Problem`] (RFC 9457, section 3).
pub const PROBLEM_MEDIA_TYPE: &str = "application/problem+json";

/// Says what was wrong with a request and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "type": "about:blank",
    "title": "Not Found",
    "status": 404,
    "code": "host_unknown",
    "detail": "no host \"web-9\" has sent anything; GET /api/v1/hosts lists those that have"
}))]
pub struct Problem {
    /// The problem's kind as a URI; `about:blank` says that `title` is the status' own phrase.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status' phrase.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// A stable word for programs, such as `host_unknown`.
    pub code: String,
    /// What was wrong here, and what would be right.
    pub detail: String,
}
