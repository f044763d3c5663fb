//! Statements, and the clauses of SHOW.

use headroom_openapi::access::Scope;

use super::{Expr, Limits, Measurement, MeasurementName, Pattern, Select, Source};

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
    /// Returns the database and retention policy of everything that the statement reads, each if it is named; `None`: it
    /// looks at all databases, or takes something away.
    #[must_use]
    pub fn buckets(&self) -> Option<Vec<BucketRef<'_>>> {
        let mut buckets = Vec::new();
        match self {
            Self::Select(select) | Self::Explain { select, .. } => read_by(select, &mut buckets),
            Self::ShowRetentionPolicies { database } => buckets.push((database.as_deref(), None)),
            Self::CreateDatabase { name, .. } => buckets.push((Some(name), None)),
            Self::ShowMeasurements { clauses, .. }
            | Self::ShowTagKeys(clauses)
            | Self::ShowTagValues { clauses, .. }
            | Self::ShowFieldKeys(clauses)
            | Self::ShowSeries(clauses)
            | Self::ShowCardinality { clauses, .. } => {
                buckets.push((clauses.database.as_deref(), None));
                buckets.extend(clauses.sources.iter().map(named));
            }
            _ => return None,
        }
        Some(buckets)
    }
}

/// A database and a retention policy, each if it is named.
type BucketRef<'a> = (Option<&'a str>, Option<&'a str>);

fn named(source: &Measurement) -> BucketRef<'_> {
    let policy = source.retention_policy.as_deref();
    (source.database.as_deref(), policy)
}

fn read_by<'a>(select: &'a Select, buckets: &mut Vec<BucketRef<'a>>) {
    for source in &select.sources {
        match source {
            Source::Measurement(measurement) => buckets.push(named(measurement)),
            Source::Subquery(select) => read_by(select, buckets),
        }
    }
}
