//! Prints statements, and the clauses of SHOW.

use std::fmt::{self, Display, Formatter};

use super::{Name, list};
use crate::influxql::ast::{
    Counted, Expr, KeySelection, Measurement, MeasurementName, PolicyOptions, ShowClauses,
    Statement, duration_text,
};

impl Display for KeySelection {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(" WITH KEY ")?;
        match self {
            Self::Is(key) => write!(f, "= {}", Name(key)),
            Self::IsNot(key) => write!(f, "!= {}", Name(key)),
            Self::In(keys) => {
                f.write_str("IN (")?;
                list(f, keys.iter().map(|key| Name(key)))?;
                f.write_str(")")
            }
            Self::Matches(pattern) => write!(f, "=~ {pattern}"),
            Self::MatchesNot(pattern) => write!(f, "!~ {pattern}"),
        }
    }
}

impl ShowClauses {
    fn write(&self, f: &mut Formatter<'_>, infix: &dyn Display) -> fmt::Result {
        if let Some(database) = &self.database {
            write!(f, " ON {}", Name(database))?;
        }
        if !self.sources.is_empty() {
            f.write_str(" FROM ")?;
            list(f, &self.sources)?;
        }
        write!(f, "{infix}")?;
        if let Some(condition) = &self.condition {
            write!(f, " WHERE {condition}")?;
        }
        self.limits.fmt(f)
    }
}

impl Display for Statement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let on = |f: &mut Formatter<'_>, database: &Option<String>| match database {
            Some(database) => write!(f, " ON {}", Name(database)),
            None => Ok(()),
        };
        match self {
            Self::Select(select) => select.fmt(f),
            Self::ShowDatabases => f.write_str("SHOW DATABASES"),
            Self::ShowRetentionPolicies { database } => {
                f.write_str("SHOW RETENTION POLICIES")?;
                on(f, database)
            }
            Self::ShowMeasurements { name, clauses } => {
                f.write_str("SHOW MEASUREMENTS")?;
                let infix = match name {
                    None => String::new(),
                    Some(MeasurementName::Exactly(name)) => {
                        format!(" WITH MEASUREMENT = {}", Name(name))
                    }
                    Some(MeasurementName::Matching(pattern)) => {
                        format!(" WITH MEASUREMENT =~ {pattern}")
                    }
                };
                clauses.write(f, &infix)
            }
            Self::ShowTagKeys(clauses) => {
                f.write_str("SHOW TAG KEYS")?;
                clauses.write(f, &"")
            }
            Self::ShowTagValues { keys, clauses } => {
                f.write_str("SHOW TAG VALUES")?;
                clauses.write(f, keys)
            }
            Self::ShowFieldKeys(clauses) => {
                f.write_str("SHOW FIELD KEYS")?;
                clauses.write(f, &"")
            }
            Self::ShowSeries(clauses) => {
                f.write_str("SHOW SERIES")?;
                clauses.write(f, &"")
            }
            Self::ShowCardinality {
                counted,
                exact,
                clauses,
            } => write_cardinality(f, counted, *exact, clauses),
            Self::ShowContinuousQueries => f.write_str("SHOW CONTINUOUS QUERIES"),
            Self::Explain { analyze, select } => {
                let analyze = if *analyze { "ANALYZE " } else { "" };
                write!(f, "EXPLAIN {analyze}{select}")
            }
            Self::Unsupported { text, .. } => f.write_str(text),
            change => write_change(f, change),
        }
    }
}

/// Writes a statement that changes something.
fn write_change(f: &mut Formatter<'_>, statement: &Statement) -> fmt::Result {
    match statement {
        Statement::CreateDatabase { name, policy } => {
            write!(f, "CREATE DATABASE {}", Name(name))?;
            policy.as_ref().map_or(Ok(()), |policy| policy.fmt(f))
        }
        Statement::DropDatabase { name } => write!(f, "DROP DATABASE {}", Name(name)),
        Statement::CreateRetentionPolicy {
            name,
            database,
            duration_ns,
            default,
        } => {
            let (name, database) = (Name(name), Name(database));
            let duration = Duration(*duration_ns);
            write!(
                f,
                "CREATE RETENTION POLICY {name} ON {database} DURATION {duration} REPLICATION 1"
            )?;
            f.write_str(if *default { " DEFAULT" } else { "" })
        }
        Statement::AlterRetentionPolicy {
            name,
            database,
            duration_ns,
            default,
        } => {
            let (name, database) = (Name(name), Name(database));
            write!(f, "ALTER RETENTION POLICY {name} ON {database}")?;
            if let Some(nanos) = duration_ns {
                write!(f, " DURATION {}", Duration(*nanos))?;
            }
            match (duration_ns, default) {
                (_, true) => f.write_str(" DEFAULT"),
                (None, false) => f.write_str(" REPLICATION 1"),
                _ => Ok(()),
            }
        }
        Statement::DropRetentionPolicy { name, database } => {
            let (name, database) = (Name(name), Name(database));
            write!(f, "DROP RETENTION POLICY {name} ON {database}")
        }
        Statement::DropSeries { sources, condition } => {
            f.write_str("DROP SERIES")?;
            write_doomed(f, sources, condition.as_ref())
        }
        Statement::Delete { sources, condition } => {
            f.write_str("DELETE")?;
            write_doomed(f, sources, condition.as_ref())
        }
        Statement::DropMeasurement { name } => write!(f, "DROP MEASUREMENT {}", Name(name)),
        // Every other statement is written where it stands.
        _ => Ok(()),
    }
}

/// A retention policy's duration.
struct Duration(i64);

impl Display for Duration {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("INF"),
            nanos => f.write_str(&duration_text(nanos)),
        }
    }
}

impl Display for PolicyOptions {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(" WITH")?;
        match (self.duration_ns, &self.name) {
            (None, None) => f.write_str(" REPLICATION 1")?,
            (Some(nanos), _) => write!(f, " DURATION {}", Duration(nanos))?,
            (None, Some(_)) => {}
        }
        self.name
            .as_ref()
            .map_or(Ok(()), |name| write!(f, " NAME {}", Name(name)))
    }
}

fn write_doomed(
    f: &mut Formatter<'_>,
    sources: &[Measurement],
    condition: Option<&Expr>,
) -> fmt::Result {
    if !sources.is_empty() {
        f.write_str(" FROM ")?;
        list(f, sources)?;
    }
    condition.map_or(Ok(()), |condition| write!(f, " WHERE {condition}"))
}

fn write_cardinality(
    f: &mut Formatter<'_>,
    counted: &Counted,
    exact: bool,
    clauses: &ShowClauses,
) -> fmt::Result {
    let (subject, keys) = match counted {
        Counted::Series => ("SERIES", None),
        Counted::Measurements => ("MEASUREMENT", None),
        Counted::TagKeys => ("TAG KEY", None),
        Counted::TagValues(keys) => ("TAG VALUES", Some(keys)),
        Counted::FieldKeys => ("FIELD KEY", None),
    };
    let exact = if exact { " EXACT" } else { "" };
    write!(f, "SHOW {subject}{exact} CARDINALITY")?;
    clauses.write(f, &keys.map_or_else(String::new, KeySelection::to_string))
}
