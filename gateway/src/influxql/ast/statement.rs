//! Statements, and the clauses of SHOW.

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
    DropMeasurement {
        name: String,
    },
    /// Known InfluxQL that this server does not carry out, with what to use instead.
    Unsupported {
        text: String,
        instead: &'static str,
    },
}

impl Statement {
    /// Says whether the statement changes something, which needs more than the right to read.
    #[must_use]
    pub fn changes(&self) -> bool {
        matches!(
            self,
            Self::CreateDatabase { .. }
                | Self::DropDatabase { .. }
                | Self::CreateRetentionPolicy { .. }
                | Self::DropMeasurement { .. }
        )
    }
}
