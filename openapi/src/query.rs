//! The answer of `/query` as InfluxDB 1.x shapes it: the gateway writes it, the forecaster reads it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// The answer to a request with one or more statements.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct QueryAnswer {
    /// One result a statement, in their order.
    #[serde(default)]
    pub results: Vec<StatementResult>,
    /// Why the request as a whole could not be answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What one statement answered.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StatementResult {
    /// The statement's place in the request, from 0.
    pub statement_id: usize,
    /// Remarks that are not errors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<Message>,
    /// The series that matched; left out where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub series: Vec<ResultSeries>,
    /// More rows of this statement follow in a later chunk.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// Why the statement failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A remark on a statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Message {
    /// Its weight, such as `warning`.
    pub level: String,
    /// The remark.
    pub text: String,
}

/// One series of a result: rows under columns.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ResultSeries {
    /// The measurement, or the name of what a SHOW statement lists.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The tags that the statement grouped by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// The columns' names; `time` is the first of a SELECT.
    pub columns: Vec<String>,
    /// The rows, each as long as `columns`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Vec<Value>>)]
    pub values: Vec<Vec<Value>>,
    /// More rows of this series follow in a later chunk.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
}
