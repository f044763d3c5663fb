//! Carries out the statements that change something.

use std::sync::Arc;

use super::ast::{Expr, Kind, Measurement, MeasurementName, PolicyOptions, Statement};
use super::condition::{self, Clock};
use super::context::Context;
use super::error::{Outcome, StatementError};
use super::source::judged_series;
use super::validate;
use super::window::Span;
use crate::store::{DEFAULT_POLICY, Doomed, PolicyChange, StoreError, View};

impl From<StoreError> for StatementError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::DatabaseUnknown(name) => Self::DatabaseUnknown(name),
            StoreError::PolicyUnknown(name) => Self::PolicyUnknown(name),
            StoreError::PolicyExists(_)
            | StoreError::PolicyIsDefault(_)
            | StoreError::NameInvalid => Self::Invalid(error.to_string()),
            other => Self::Store(other.to_string()),
        }
    }
}

/// Carries a change out; it is durable when this returns.
pub(super) fn change(statement: &Statement, context: &Context<'_>) -> Outcome<()> {
    let store = context.store;
    match statement {
        Statement::CreateDatabase { name, policy } => {
            create_database(name, policy.as_ref(), context)
        }
        Statement::DropDatabase { name } => Ok(store.drop_database(name)?),
        Statement::CreateRetentionPolicy {
            name,
            database,
            duration_ns,
            default,
        } => {
            if store.policies(database).is_none() {
                return Err(StatementError::DatabaseUnknown(database.clone()));
            }
            Ok(store.create_policy(database, name, *duration_ns, *default)?)
        }
        Statement::AlterRetentionPolicy {
            name,
            database,
            duration_ns,
            default,
        } => {
            let change = PolicyChange {
                duration_ns: *duration_ns,
                make_default: *default,
            };
            Ok(store.alter_policy(database, name, change)?)
        }
        Statement::DropRetentionPolicy { name, database } => Ok(store.drop_policy(database, name)?),
        Statement::DropMeasurement { name } => {
            let database = context.database.ok_or(StatementError::DatabaseMissing)?;
            store.drop_measurement(database, name)?;
            Ok(())
        }
        Statement::DropSeries { sources, condition } => {
            let (rest, span) = split(condition.as_ref(), context)?;
            if span != Span::ALL {
                return Err(StatementError::invalid(
                    "DROP SERIES doesn't support time in WHERE clause; DELETE does",
                ));
            }
            delete(sources, rest.as_ref(), span, context)
        }
        Statement::Delete { sources, condition } => {
            let (rest, span) = split(condition.as_ref(), context)?;
            delete(sources, rest.as_ref(), span, context)
        }
        other => Err(StatementError::invalid(format!("{other} changes nothing"))),
    }
}

fn create_database(
    name: &str,
    policy: Option<&PolicyOptions>,
    context: &Context<'_>,
) -> Outcome<()> {
    let store = context.store;
    let Some(options) = policy else {
        return Ok(store.create_database(name)?);
    };
    let duration_ns = options.duration_ns.unwrap_or(0);
    let policy = options.name.as_deref().unwrap_or(DEFAULT_POLICY);
    if store.policies(name).is_none() && policy == DEFAULT_POLICY {
        store.create_database(name)?;
        let change = PolicyChange {
            duration_ns: Some(duration_ns),
            make_default: false,
        };
        return Ok(store.alter_policy(name, policy, change)?);
    }
    Ok(store.create_policy(name, policy, duration_ns, true)?)
}

fn split(condition: Option<&Expr>, context: &Context<'_>) -> Outcome<(Option<Expr>, Span)> {
    let clock = Clock {
        now_ns: context.now_ns,
        zone: None,
    };
    let split = condition::split(condition, clock)?;
    Ok((split.rest, split.span))
}

/// Deletes from every retention policy, as InfluxDB does, or from the one that a source names.
fn delete(
    sources: &[Measurement],
    condition: Option<&Expr>,
    span: Span,
    context: &Context<'_>,
) -> Outcome<()> {
    let named = sources.iter().find_map(|source| source.database.as_deref());
    let database = named.or(context.database).filter(|name| !name.is_empty());
    let database = database.ok_or(StatementError::DatabaseMissing)?;
    let policies = context.store.policies(database);
    let policies = policies.ok_or_else(|| StatementError::DatabaseUnknown(database.to_owned()))?;
    let mut doomed = Vec::new();
    for policy in policies {
        let Some(view) = context.store.view(database, Some(&policy.name)) else {
            continue;
        };
        for measurement in view.measurements() {
            if !sources.is_empty()
                && !sources
                    .iter()
                    .any(|source| names(source, &policy.name, &measurement))
            {
                continue;
            }
            context.check()?;
            doomed.push(Doomed {
                policy: policy.name.clone(),
                series: series(&view, &measurement, condition)?,
                measurement,
            });
        }
    }
    let (mut first, mut last) = (span.first, span.last);
    if span.first == Span::ALL.first {
        first = i64::MIN;
    }
    if span.last == Span::ALL.last {
        last = i64::MAX;
    }
    Ok(context.store.delete(database, &doomed, first, last)?)
}

fn names(source: &Measurement, policy: &str, measurement: &str) -> bool {
    let is_policy = source
        .retention_policy
        .as_ref()
        .is_none_or(|wanted| wanted == policy);
    is_policy
        && match &source.name {
            MeasurementName::Exactly(name) => name == measurement,
            MeasurementName::Matching(pattern) => pattern.matches(measurement),
        }
}

/// Returns the numbers of the series that a condition on tags leaves; `None`: all. What tags and texts alone do not decide is
/// an error, for nobody should lose points to a condition that was taken for another.
fn series(
    view: &View,
    measurement: &Arc<str>,
    condition: Option<&Expr>,
) -> Outcome<Option<Vec<u32>>> {
    let Some(condition) = condition else {
        return Ok(None);
    };
    validate::tag_condition(condition)?;
    let is_field = |reference: &&super::ast::Ref| {
        reference.kind != Some(Kind::Tag) && view.field_type(measurement, &reference.name).is_some()
    };
    if let Some(field) = condition.refs().into_iter().find(is_field) {
        return Err(StatementError::invalid(format!(
            "fields not supported in WHERE clause during deletion: {field}; only tags and time can choose what goes, \
             and {}::tag is the tag where both are there",
            field.name
        )));
    }
    let mut other = None;
    condition.walk(&mut |expr| {
        if matches!(expr, Expr::Integer(_) | Expr::Unsigned(_) | Expr::Number(_)) {
            other = Some(expr.clone());
        }
    });
    let found = judged_series(view, measurement, Some(condition), &|| Ok(()))?;
    let undecided = found.iter().find_map(|(_, rest)| rest.clone());
    if let Some(other) = other.or(undecided) {
        return Err(StatementError::invalid(format!(
            "a deletion compares tags with texts and regular expressions, not with {other}"
        )));
    }
    Ok(Some(
        found.iter().map(|(series, _)| series.number).collect(),
    ))
}
