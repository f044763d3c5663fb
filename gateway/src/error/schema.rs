//! The shapes of error answers, for the OpenAPI document.

use serde::Serialize;
use utoipa::ToSchema;

/// An error as InfluxDB 1.x shapes it.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"error": "partial write: line 2: column 9: the value is no number, string or boolean (1 lines accepted) dropped=1"}))]
pub struct ErrorV1 {
    /// What was wrong, and what would be right.
    pub error: String,
}

/// An error as InfluxDB 2.x shapes it.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"code": "invalid", "message": "the parameter bucket is missing; write bucket=telegraf"}))]
pub struct ErrorV2 {
    /// The error's kind.
    pub code: String,
    /// What was wrong, and what would be right.
    pub message: String,
    /// The first line that was refused.
    pub line: Option<usize>,
}

/// An error as InfluxDB 3.x shapes it.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"error": "partial write of line protocol occurred: 1 lines accepted, 1 refused", "data": [{"line_number": 2, "error_message": "column 9: the value is no number, string or boolean"}]}))]
pub struct ErrorV3 {
    /// What was wrong.
    pub error: String,
    /// The lines that were refused.
    pub data: Option<Vec<RefusedLineV3>>,
}

/// A refused line as InfluxDB 3.x lists it.
#[derive(Serialize, ToSchema)]
pub struct RefusedLineV3 {
    /// The line's number in the batch, from 1.
    pub line_number: usize,
    /// What was wrong, and what would be right.
    pub error_message: String,
}
