//! The answers of `/health` and `/ready`, in the shape InfluxDB's clients know.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Whether a part of a service works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It works.
    Pass,
    /// It does not; the message says why.
    Fail,
}

/// The answer of `/health`: the process listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// The service's name.
    pub name: String,
    /// One sentence for a person.
    pub message: String,
    /// Whether the service works.
    pub status: Status,
    /// The service's version.
    pub version: String,
}

/// The answer of `/ready`: whether the service can do its work now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    /// `ready`; or with status 503 `starting` or `failing`.
    pub status: ReadyStatus,
    /// What readiness is made of, one entry a part.
    pub checks: Vec<Check>,
}

/// Whether the service can do its work now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReadyStatus {
    /// Everything that is needed to answer works.
    Ready,
    /// Something is missing; the checks say what.
    Starting,
    /// Something that worked does not any more; the checks say what.
    Failing,
}

/// One part of a [`Readiness`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Check {
    /// The part's name, such as `journal`.
    pub name: String,
    /// Whether it works.
    pub status: Status,
    /// Its state in words, such as the lag behind the journal.
    pub message: String,
}
