//! Deleting by InfluxDB 2's predicates: `_measurement="cpu" AND host="web-1"`.
//!
//! They read like a WHERE clause with the values in double quotes, and are parsed as one.

use std::sync::Arc;

use super::ast::{Expr, Operator, Statement};
use super::error::StatementError;
use super::source::judged_series;
use crate::store::{Doomed, Store};

const MEASUREMENT: &str = "_measurement";
const EXAMPLE: &str = "write comparisons of _measurement and tags with AND between them, such as _measurement=\"cpu\" AND host=\"web-1\"";

/// Deletes points of a bucket (`database` or `database/policy`) between two times, the ends included, that a predicate on
/// measurement and tags names; an empty predicate names all.
///
/// # Errors
///
/// When the bucket is not there, the predicate is none, or the store fails.
pub fn delete(
    store: &Store,
    bucket: &str,
    predicate: &str,
    first: i64,
    last: i64,
) -> Result<(), StatementError> {
    let (database, policy) = match bucket.split_once('/') {
        Some((database, policy)) => (database, Some(policy)),
        None => (bucket, None),
    };
    let view = store
        .view(database, policy)
        .ok_or_else(|| StatementError::DatabaseUnknown(bucket.to_owned()))?;
    let mut comparisons = Vec::new();
    if !predicate.trim().is_empty() {
        collect(parse(predicate)?, &mut comparisons)?;
    }
    let mut doomed = Vec::new();
    for measurement in view.measurements() {
        if !comparisons.iter().all(|found| found.leaves(&measurement)) {
            continue;
        }
        let condition = comparisons
            .iter()
            .filter(|found| found.name != MEASUREMENT)
            .map(|found| found.expr.clone())
            .reduce(|left, right| Expr::Binary {
                operator: Operator::And,
                left: Box::new(left),
                right: Box::new(right),
            });
        let series = condition.map(|condition| -> Result<_, StatementError> {
            let found = judged_series(&view, &measurement, Some(&condition), &|| Ok(()))?;
            Ok(found.iter().map(|(series, _)| series.number).collect())
        });
        doomed.push(Doomed {
            policy: view.names().1.to_owned(),
            measurement: Arc::clone(&measurement),
            series: series.transpose()?,
        });
    }
    Ok(store.delete(database, &doomed, first, last)?)
}

/// A comparison of a tag, or of the measurement, with a text.
struct Comparison {
    name: String,
    operator: Operator,
    value: String,
    /// The comparison as InfluxQL has it.
    expr: Expr,
}

impl Comparison {
    /// Says whether it leaves a measurement, as far as it is about the measurement.
    fn leaves(&self, measurement: &str) -> bool {
        self.name != MEASUREMENT
            || (self.value == measurement) == (self.operator == Operator::Equal)
    }
}

fn parse(predicate: &str) -> Result<Expr, StatementError> {
    let wrong = |reason: String| StatementError::invalid(format!("{reason}; {EXAMPLE}"));
    let text = format!("DELETE WHERE {predicate}");
    let mut statements =
        super::parse(&text, &serde_json::Map::new()).map_err(|error| wrong(error.to_string()))?;
    match (statements.pop(), statements.is_empty()) {
        (
            Some(Statement::Delete {
                condition: Some(condition),
                ..
            }),
            true,
        ) => Ok(condition),
        _ => Err(wrong("the predicate is more than one condition".to_owned())),
    }
}

fn collect(condition: Expr, comparisons: &mut Vec<Comparison>) -> Result<(), StatementError> {
    let wrong = |found: &Expr| {
        StatementError::invalid(format!("the predicate cannot be {found}; {EXAMPLE}"))
    };
    match condition {
        Expr::Paren(inner) => collect(*inner, comparisons),
        Expr::Binary {
            operator: Operator::And,
            left,
            right,
        } => {
            collect(*left, comparisons)?;
            collect(*right, comparisons)
        }
        Expr::Binary {
            operator: operator @ (Operator::Equal | Operator::NotEqual),
            left,
            right,
        } => {
            let (Expr::Ref(name), value) = (*left, *right) else {
                return Err(StatementError::invalid(EXAMPLE));
            };
            let value = match value {
                Expr::Ref(quoted) => quoted.name,
                Expr::Text(text) => text,
                other => return Err(wrong(&other)),
            };
            comparisons.push(Comparison {
                name: name.name.clone(),
                operator,
                value: value.clone(),
                expr: Expr::Binary {
                    operator,
                    left: Box::new(Expr::Ref(super::ast::Ref {
                        name: name.name,
                        kind: Some(super::ast::Kind::Tag),
                    })),
                    right: Box::new(Expr::Text(value)),
                },
            });
            Ok(())
        }
        other => Err(wrong(&other)),
    }
}
