//! Statements, and the clauses of SHOW.

use headroom_openapi::access::Scope;

use super::{Expr, Limits, Measurement, MeasurementName, Pattern, Select};

/// The clauses that SHOW statements share.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ShowClauses {
    /// `ON database`.
    pub database: Option<String>,
    /// `FROM …`.
    pub sources: Vec<Measurement>,
    /// `WHERE …`.
    pub condition: Option<Expr>,
    /// LIMIT, OFFSET, SLIMIT and SOFFSET.
    pub limits: Limits,
}

/// Which tag keys SHOW TAG VALUES is asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum KeySelection {
    /// `= key`.
    Is(String),
    /// `!= key`.
    IsNot(String),
    /// `IN (keys)`.
    In(Vec<String>),
    /// `=~ /keys/`.
    Matches(Pattern),
    /// `!~ /keys/`.
    MatchesNot(Pattern),
}

/// What SHOW … CARDINALITY counts.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the names are the statements")]
pub enum Counted {
    Series,
    Measurements,
    TagKeys,
    TagValues(KeySelection),
    FieldKeys,
}

/// One statement.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the names are the statements")]
pub enum Statement {
    Select(Box<Select>),
    ShowDatabases,
    ShowRetentionPolicies {
        database: Option<String>,
    },
    ShowMeasurements {
        name: Option<MeasurementName>,
        clauses: ShowClauses,
    },
    ShowTagKeys(ShowClauses),
    ShowTagValues {
        keys: KeySelection,
        clauses: ShowClauses,
    },
    ShowFieldKeys(ShowClauses),
    ShowSeries(ShowClauses),
    ShowCardinality {
        counted: Counted,
        exact: bool,
        clauses: ShowClauses,
    },
    ShowContinuousQueries,
    CreateDatabase {
        name: String,
        /// `WITH …`: its default retention policy.
        policy: Option<PolicyOptions>,
    },
    DropDatabase {
        name: String,
    },
    CreateRetentionPolicy {
        name: String,
        database: String,
        duration_ns: i64,
        default: bool,
    },
    AlterRetentionPolicy {
        name: String,
        database: String,
        duration_ns: Option<i64>,
        default: bool,
    },
    DropRetentionPolicy {
        name: String,
        database: String,
    },
    DropMeasurement {
        name: String,
    },
    DropSeries {
        sources: Vec<Measurement>,
        condition: Option<Expr>,
    },
    Delete {
        sources: Vec<Measurement>,
        condition: Option<Expr>,
    },
    Explain {
        analyze: bool,
        select: Box<Select>,
    },
    /// Known InfluxQL that this server does not carry out, with what to use instead.
    Unsupported {
        text: String,
        instead: &'static str,
    },
}

/// What CREATE DATABASE says about the default retention policy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PolicyOptions {
    /// How long points are kept; 0: for ever.
    pub duration_ns: Option<i64>,
    /// Its name.
    pub name: Option<String>,
}

impl Statement {
    /// Says whether the statement changes something.
    #[must_use]
    pub fn changes(&self) -> bool {
        self.scope() != Scope::Read && !matches!(self, Self::Unsupported { .. })
    }

    /// Returns what a token must be allowed to do. A database comes into being by a push as well, so that making one
    /// needs no more than that; whatever takes points away is for administrators.
    #[must_use]
    pub fn scope(&self) -> Scope {
        match self {
            Self::CreateDatabase { policy: None, .. } => Scope::Write,
            Self::CreateDatabase { .. }
            | Self::DropDatabase { .. }
            | Self::CreateRetentionPolicy { .. }
            | Self::AlterRetentionPolicy { .. }
            | Self::DropRetentionPolicy { .. }
            | Self::DropMeasurement { .. }
            | Self::DropSeries { .. }
            | Self::Delete { .. }
            // An InfluxDB behind the gateway may carry it out.
            | Self::Unsupported { .. } => Scope::Admin,
            Self::Select(_)
            | Self::ShowDatabases
            | Self::ShowRetentionPolicies { .. }
            | Self::ShowMeasurements { .. }
            | Self::ShowTagKeys(_)
            | Self::ShowTagValues { .. }
            | Self::ShowFieldKeys(_)
            | Self::ShowSeries(_)
            | Self::ShowCardinality { .. }
            | Self::ShowContinuousQueries
            | Self::Explain { .. } => Scope::Read,
        }
    }
}
