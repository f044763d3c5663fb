//! Runs `SHOW` statements.

use std::{collections::BTreeSet, sync::Arc};

use super::answer::{Series, Table};
use super::ast::{
    Counted, Expr, KeySelection, Limits, MeasurementName, Operator, ShowClauses, duration_text,
};
use super::condition::{self, Clock, Split};
use super::context::Context;
use super::error::{Outcome, StatementError};
use super::formula::{Cell, text};
use super::function::limit;
use super::plan::resolve;
use super::source::{Check, series_of_tags, store_error};
use super::validate;
use super::window::Span;
use crate::store::{FieldInfo, SeriesInfo, Value, View};

/// The shard duration that policies are shown with: the store has no shards, and clients expect the column.
const SHARD_DURATION: &str = "168h0m0s";

/// Rows that are gathered before the query's bounds are looked at again.
const ROWS_BETWEEN_CHECKS: usize = 4_096;

/// Looks at the query's bounds at every so many rows.
fn check_at(index: usize, check: Check<'_>) -> Outcome<()> {
    if index.is_multiple_of(ROWS_BETWEEN_CHECKS) {
        check()?;
    }
    Ok(())
}

fn series(name: &str, columns: &[&str], rows: Vec<Vec<Cell>>) -> Series {
    Series {
        name: name.into(),
        tags: Vec::new(),
        columns: columns.iter().map(|column| (*column).to_owned()).collect(),
        rows: Table::Plain(rows),
    }
}

fn one(value: &str) -> Vec<Cell> {
    vec![Some(text(value))]
}

/// What SHOW statements look at: the database's view and the measurements in question.
struct Selection {
    view: View,
    names: Vec<Arc<str>>,
    condition: Option<Expr>,
    /// The span that the condition asks for.
    span: Option<Span>,
}

fn split(clauses: &ShowClauses, context: &Context<'_>) -> Outcome<Split> {
    let clock = Clock {
        now_ns: context.now_ns,
        zone: None,
    };
    condition::split(clauses.condition.as_ref(), clock)
}

fn selections(clauses: &ShowClauses, context: &Context<'_>) -> Outcome<Vec<Selection>> {
    let split = split(clauses, context)?;
    let (condition, span) = (split.rest, split.span);
    if let Some(condition) = &condition {
        validate::tag_condition(condition)?;
    }
    let span = (span != Span::ALL).then_some(span);
    let mut selections = Vec::new();
    let selection = |(view, names): (View, Vec<Arc<str>>)| Selection {
        view,
        names,
        condition: condition.clone(),
        span,
    };
    for source in &clauses.sources {
        let mut source = source.clone();
        if source.database.is_none() {
            source.database.clone_from(&clauses.database);
        }
        selections.push(selection(resolve(&source, context)?));
    }
    if clauses.sources.is_empty() {
        // Without a source all retention policies are listed, as by InfluxDB's index in memory.
        let database = clauses.database.as_deref().or(context.database);
        let database = database
            .filter(|name| !name.is_empty())
            .ok_or(StatementError::DatabaseMissing)?;
        let policies = context.store.policies(database);
        for policy in
            policies.ok_or_else(|| StatementError::DatabaseUnknown(database.to_owned()))?
        {
            if let Some(view) = context.store.view(database, Some(&policy.name)) {
                let names = view.measurements();
                selections.push(selection((view, names)));
            }
        }
    }
    Ok(selections)
}

/// Refuses a condition on time, as InfluxDB does where it lists or counts all that was ever there.
fn refuse_time(clauses: &ShowClauses, context: &Context<'_>) -> Outcome<()> {
    match split(clauses, context)?.span {
        Span::ALL => Ok(()),
        _ => Err(StatementError::invalid(
            "this SHOW doesn't support time in WHERE clause; SHOW SERIES, TAG KEYS and TAG VALUES do",
        )),
    }
}

impl Selection {
    fn tag_keys(&self, name: &str, check: Check<'_>) -> Outcome<Vec<Arc<str>>> {
        if self.is_unconditional() {
            return Ok(self.view.tag_keys(name));
        }
        let keys: BTreeSet<Arc<str>> = self
            .series(name, check)?
            .iter()
            .flat_map(|series| {
                series
                    .tags
                    .iter()
                    .map(|(key, _)| Arc::clone(key))
                    .collect::<Vec<_>>()
            })
            .collect();
        Ok(keys.into_iter().collect())
    }

    fn is_unconditional(&self) -> bool {
        self.condition.is_none() && self.span.is_none()
    }

    /// Lists the series of a measurement that the condition leaves: of a span of time, those with points in its weeks.
    fn series(&self, name: &str, check: Check<'_>) -> Outcome<Vec<SeriesInfo>> {
        let series = series_of_tags(&self.view, name, self.condition.as_ref(), check)?;
        let Some(Span { first, last }) = self.span else {
            return Ok(series);
        };
        let found = self.view.in_weeks_of(name, &series, (first, last));
        found.map_err(|error| store_error(&error))
    }

    fn tag_values(
        &self,
        name: &str,
        keys: &KeySelection,
        check: Check<'_>,
    ) -> Outcome<Vec<(Arc<str>, Arc<str>)>> {
        let selected = |key: &Arc<str>| match keys {
            KeySelection::Is(wanted) => key.as_ref() == wanted,
            KeySelection::IsNot(other) => key.as_ref() != other,
            KeySelection::In(wanted) => wanted.iter().any(|wanted| key.as_ref() == wanted),
            KeySelection::Matches(pattern) => pattern.matches(key),
            KeySelection::MatchesNot(pattern) => !pattern.matches(key),
        };
        let keys: Vec<Arc<str>> = self
            .view
            .tag_keys(name)
            .into_iter()
            .filter(selected)
            .collect();
        let mut values: BTreeSet<(Arc<str>, Arc<str>)> = BTreeSet::new();
        if self.is_unconditional() {
            for key in keys {
                check()?;
                let list = self.view.tag_values(name, &key);
                values.extend(list.into_iter().map(|value| (Arc::clone(&key), value)));
            }
        } else {
            for (index, series) in self.series(name, check)?.into_iter().enumerate() {
                check_at(index, check)?;
                values.extend(
                    series
                        .tags
                        .iter()
                        .filter(|(key, _)| keys.contains(key))
                        .cloned(),
                );
            }
        }
        Ok(values.into_iter().collect())
    }
}

/// Merges what several sources say about a measurement, and applies the limits.
fn per_measurement(
    clauses: &ShowClauses,
    context: &Context<'_>,
    columns: &[&str],
    rows_of: impl Fn(&Selection, &str, Check<'_>) -> Outcome<Vec<Vec<Cell>>>,
) -> Outcome<Vec<Series>> {
    let check = || context.check();
    let mut found: Vec<(Arc<str>, Vec<Vec<Cell>>)> = Vec::new();
    for selection in selections(clauses, context)? {
        for name in &selection.names {
            context.check()?;
            let rows = rows_of(&selection, name, &check)?;
            match found.iter_mut().find(|(known, _)| known == name) {
                Some((_, known)) => known.extend(rows),
                None if rows.is_empty() => {}
                None => found.push((Arc::clone(name), rows)),
            }
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let mut answer = Vec::new();
    for (name, rows) in found {
        let mut seen = BTreeSet::new();
        let mut once = Vec::with_capacity(rows.len());
        for (index, row) in rows.into_iter().enumerate() {
            check_at(index, &check)?;
            if seen.insert(format!("{row:?}")) {
                once.push(row);
            }
        }
        let mut rows = once;
        limit(&mut rows, clauses.limits);
        if !rows.is_empty() {
            answer.push(series(&name, columns, rows));
        }
    }
    Ok(answer)
}

/// Lists the databases, or those of them that the request names.
pub(super) fn databases(context: &Context<'_>) -> Vec<Series> {
    let all = || context.store.databases();
    let names = context.listed_databases.map_or_else(all, <[_]>::to_vec);
    let rows = names.iter().map(|name| one(name)).collect();
    vec![series("databases", &["name"], rows)]
}

/// Lists a database's retention policies.
pub(super) fn policies(database: Option<&str>, context: &Context<'_>) -> Outcome<Vec<Series>> {
    let name = database
        .or(context.database)
        .filter(|name| !name.is_empty());
    let name = name.ok_or(StatementError::DatabaseMissing)?;
    let policies = context
        .store
        .policies(name)
        .ok_or_else(|| StatementError::DatabaseUnknown(name.to_owned()))?;
    let rows = policies
        .into_iter()
        .map(|policy| {
            vec![
                Some(text(&policy.name)),
                Some(text(&go_duration(policy.duration_ns))),
                Some(text(SHARD_DURATION)),
                Some(Value::Integer(1)),
                Some(Value::Boolean(policy.is_default)),
            ]
        })
        .collect();
    let columns = [
        "name",
        "duration",
        "shardGroupDuration",
        "replicaN",
        "default",
    ];
    Ok(vec![series("", &columns, rows)])
}

/// Writes a duration as Go does: `168h0m0s`.
fn go_duration(nanos: i64) -> String {
    let seconds = nanos / 1_000_000_000;
    match seconds {
        0 if nanos == 0 => "0s".to_owned(),
        0 => duration_text(nanos),
        _ => {
            let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
            format!("{hours}h{minutes}m{}s", seconds % 60)
        }
    }
}

/// Lists measurements.
pub(super) fn measurements(
    wanted: Option<&MeasurementName>,
    clauses: &ShowClauses,
    context: &Context<'_>,
) -> Outcome<Vec<Series>> {
    refuse_time(clauses, context)?;
    let found = match selections(clauses, context) {
        Ok(found) => found,
        // Grafana asks for the measurements of databases that are not there yet.
        Err(StatementError::DatabaseUnknown(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names: BTreeSet<Arc<str>> = BTreeSet::new();
    for selection in found {
        for name in &selection.names {
            context.check()?;
            let is_wanted = match wanted {
                None => true,
                Some(MeasurementName::Exactly(wanted)) => name.as_ref() == wanted,
                Some(MeasurementName::Matching(pattern)) => pattern.matches(name),
            };
            let is_left = selection
                .condition
                .as_ref()
                .is_none_or(|condition| lists(&selection.view, name, condition));
            if is_wanted && is_left {
                names.insert(Arc::clone(name));
            }
        }
    }
    let mut rows: Vec<Vec<Cell>> = names.iter().map(|name| one(name)).collect();
    limit(&mut rows, clauses.limits);
    Ok(if rows.is_empty() {
        Vec::new()
    } else {
        vec![series("measurements", &["name"], rows)]
    })
}

/// Says whether a condition leaves a measurement. As in InfluxDB, it asks for tags that any of the series has, and the
/// negative operators mean that none has them; a measurement without the tag's key is never listed.
fn lists(view: &View, name: &str, condition: &Expr) -> bool {
    let Expr::Binary {
        operator,
        left,
        right,
    } = condition
    else {
        return match condition {
            Expr::Paren(inner) => lists(view, name, inner),
            _ => true,
        };
    };
    match operator {
        Operator::And => lists(view, name, left) && lists(view, name, right),
        Operator::Or => lists(view, name, left) || lists(view, name, right),
        _ => {
            let Expr::Ref(tag) = left.as_ref() else {
                return true;
            };
            let values = if tag.name == "_name" {
                vec![Arc::from(name)]
            } else {
                view.tag_values(name, &tag.name)
            };
            let any = match right.as_ref() {
                Expr::Text(text) => values.iter().any(|value| value.as_ref() == text),
                Expr::Pattern(pattern) => values.iter().any(|value| pattern.matches(value)),
                _ => return true,
            };
            !values.is_empty() && any == matches!(operator, Operator::Equal | Operator::Matches)
        }
    }
}

/// Lists tag keys.
pub(super) fn tag_keys(clauses: &ShowClauses, context: &Context<'_>) -> Outcome<Vec<Series>> {
    per_measurement(clauses, context, &["tagKey"], |selection, name, check| {
        let keys = selection.tag_keys(name, check)?;
        Ok(keys.iter().map(|key| one(key)).collect())
    })
}

/// Lists tag values.
pub(super) fn tag_values(
    keys: &KeySelection,
    clauses: &ShowClauses,
    context: &Context<'_>,
) -> Outcome<Vec<Series>> {
    let columns = ["key", "value"];
    per_measurement(clauses, context, &columns, |selection, name, check| {
        let values = selection.tag_values(name, keys, check)?;
        let row = |(key, value): &(Arc<str>, Arc<str>)| vec![Some(text(key)), Some(text(value))];
        Ok(values.iter().map(row).collect())
    })
}

/// Lists fields with their types.
pub(super) fn field_keys(clauses: &ShowClauses, context: &Context<'_>) -> Outcome<Vec<Series>> {
    let columns = ["fieldKey", "fieldType"];
    per_measurement(clauses, context, &columns, |selection, name, _| {
        let fields = selection.view.fields(name);
        let row =
            |field: &FieldInfo| vec![Some(text(&field.name)), Some(text(field.field_type.name()))];
        Ok(fields.iter().map(row).collect())
    })
}

/// Lists series by key.
pub(super) fn series_keys(clauses: &ShowClauses, context: &Context<'_>) -> Outcome<Vec<Series>> {
    let mut keys: BTreeSet<(Arc<str>, Arc<str>)> = BTreeSet::new();
    for selection in selections(clauses, context)? {
        for name in &selection.names {
            let check = || context.check();
            for (index, series) in selection.series(name, &check)?.into_iter().enumerate() {
                check_at(index, &check)?;
                keys.insert((Arc::clone(name), series.key));
            }
        }
    }
    let mut rows: Vec<Vec<Cell>> = keys.iter().map(|(_, key)| one(key)).collect();
    limit(&mut rows, clauses.limits);
    Ok(if rows.is_empty() {
        Vec::new()
    } else {
        vec![series("", &["key"], rows)]
    })
}

/// Counts what another SHOW statement lists.
pub(super) fn cardinality(
    counted: &Counted,
    exact: bool,
    clauses: &ShowClauses,
    context: &Context<'_>,
) -> Outcome<Vec<Series>> {
    let unlimited = ShowClauses {
        limits: Limits::default(),
        ..clauses.clone()
    };
    let is_estimate = !exact && clauses.sources.is_empty() && clauses.condition.is_none();
    let total = |list: &[Series]| {
        list.iter()
            .map(|series| series.rows.len() as i64)
            .sum::<i64>()
    };
    let whole =
        |name: &str, count: i64| vec![series("", &[name], vec![vec![Some(Value::Integer(count))]])];
    if !matches!(counted, Counted::TagValues(_)) {
        refuse_time(clauses, context)?;
    }
    let list = match counted {
        Counted::Measurements => {
            let count = total(&measurements(None, &unlimited, context)?);
            return Ok(whole(
                if is_estimate {
                    "cardinality estimation"
                } else {
                    "count"
                },
                count,
            ));
        }
        Counted::Series if is_estimate => {
            let count = total(&series_keys(&unlimited, context)?);
            return Ok(whole("cardinality estimation", count));
        }
        Counted::Series => {
            per_measurement(&unlimited, context, &["key"], |selection, name, check| {
                let found = selection.series(name, check)?;
                Ok(found.iter().map(|series| one(&series.key)).collect())
            })?
        }
        Counted::TagKeys => tag_keys(&unlimited, context)?,
        Counted::TagValues(keys) => tag_values(keys, &unlimited, context)?,
        Counted::FieldKeys => field_keys(&unlimited, context)?,
    };
    Ok(list
        .into_iter()
        .map(|found| {
            let count = found.rows.len() as i64;
            series(
                &found.name,
                &["count"],
                vec![vec![Some(Value::Integer(count))]],
            )
        })
        .collect())
}

/// Lists continuous queries: each database has none.
pub(super) fn continuous_queries(context: &Context<'_>) -> Vec<Series> {
    context
        .store
        .databases()
        .iter()
        .map(|name| series(name, &["name", "query"], Vec::new()))
        .collect()
}
