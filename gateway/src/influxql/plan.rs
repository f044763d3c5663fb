//! Makes a plan of a SELECT: sources resolved, wildcards expanded, types known, rules checked, columns named.

use std::{collections::BTreeSet, sync::Arc};

use chrono_tz::Tz;

use super::ast::{
    Expr, Field, Fill, Kind, Limits, Measurement, MeasurementName, Operator, Ref, Select, Source,
};
use super::condition::{self, Clock};
use super::context::Context;
use super::error::{Outcome, StatementError};
use super::formula::{Formula, is_math, text};
use super::names::column_names;
use super::rewrite;
use super::source::kind_of;
use super::validate;
use super::window::Span;
use crate::store::{Value, View};

/// A source, resolved.
pub(super) enum Reader {
    Measurement { view: View, name: Arc<str> },
    Subquery(Box<Prepared>),
}

/// A SELECT that is ready to run.
pub(super) struct Prepared {
    pub(super) fields: Vec<Field>,
    /// The names of the answer's columns, time first.
    pub(super) columns: Vec<String>,
    pub(super) sources: Vec<Reader>,
    /// WHERE without its time conditions.
    pub(super) condition: Option<Expr>,
    pub(super) span: Span,
    /// The tags that make groups, sorted.
    pub(super) dimensions: Vec<Arc<str>>,
    pub(super) interval: i64,
    pub(super) offset: i64,
    pub(super) zone: Option<Tz>,
    pub(super) fill: Fill,
    pub(super) ascending: bool,
    pub(super) limits: Limits,
}

/// What a subquery inherits.
#[derive(Clone, Copy)]
pub(super) struct Parent {
    span: Span,
    ascending: bool,
    zone: Option<Tz>,
    /// Whether it makes buckets, as the subquery does then where it says nothing else.
    has_interval: bool,
}

/// Prepares a SELECT; `parent` is given for a subquery.
pub(super) fn prepare(
    select: &Select,
    parent: Option<Parent>,
    context: &Context<'_>,
) -> Outcome<Prepared> {
    let zone = select.zone.or(parent.and_then(|parent| parent.zone));
    let clock = Clock {
        now_ns: context.now_ns,
        zone,
    };
    let split = condition::split(select.condition.as_ref(), clock)?;
    if let Some(rest) = &split.rest {
        validate::condition(rest)?;
    }
    let mut span = split.span;
    let mut ascending = select.is_ascending();
    if let Some(parent) = parent {
        if select.order.is_some() && ascending != parent.ascending {
            return Err(StatementError::invalid(
                "subqueries must be ordered in the same direction as the query itself",
            ));
        }
        ascending = parent.ascending;
        span = span.and(parent.span);
    }
    let time = validate::dimensions(&select.dimensions, clock)?;
    let has_interval = time.interval > 0;
    let inherits_interval = !has_interval && parent.is_some_and(|parent| parent.has_interval);
    let buckets = validate::Buckets {
        own: has_interval,
        inherited: inherits_interval,
    };
    validate::fields(select, buckets)?;
    let inherited = Parent {
        span,
        ascending,
        zone,
        has_interval: has_interval || inherits_interval,
    };
    let sources = resolve_all(&select.sources, inherited, context)?;
    let mut fields = rewrite::fields(select, &sources)?;
    for field in &mut fields {
        field.expr.walk_mut(&mut |expr| learn(expr, &sources));
        // Types that do not fit together are an error even where no row would show it.
        if !matches!(field.expr, Expr::Wildcard(_) | Expr::Pattern(_)) {
            kind_of_expr(&field.expr)?;
        }
    }
    let mut condition = split.rest;
    if let Some(condition) = &mut condition {
        condition.walk_mut(&mut |expr| learn_field(expr, &sources));
    }
    let has_calls = fields
        .iter()
        .any(|field| validate::has_aggregate(&field.expr));
    if time.interval > 0 && has_calls && !split.has_end {
        span = span.and(Span {
            first: i64::MIN,
            last: context.now_ns,
        });
    }
    Ok(Prepared {
        columns: column_names(rewrite::time_name(select), &fields),
        dimensions: rewrite::dimensions(select, &sources),
        fields,
        sources,
        condition,
        span,
        interval: time.interval,
        offset: time.offset,
        zone,
        fill: select.fill,
        ascending,
        limits: select.limits,
    })
}

fn resolve_all(sources: &[Source], parent: Parent, context: &Context<'_>) -> Outcome<Vec<Reader>> {
    let mut readers = Vec::new();
    let mut seen = BTreeSet::new();
    for source in sources {
        match source {
            Source::Subquery(select) => {
                readers.push(Reader::Subquery(Box::new(prepare(
                    select,
                    Some(parent),
                    context,
                )?)));
            }
            Source::Measurement(measurement) => {
                let (view, names) = resolve(measurement, context)?;
                for name in names {
                    let place = (
                        measurement.database.clone(),
                        measurement.retention_policy.clone(),
                        Arc::clone(&name),
                    );
                    if seen.insert(place) {
                        let view = view.clone();
                        readers.push(Reader::Measurement { view, name });
                    }
                }
            }
        }
    }
    Ok(readers)
}

/// Finds a measurement or those that match.
pub(super) fn resolve(
    measurement: &Measurement,
    context: &Context<'_>,
) -> Outcome<(View, Vec<Arc<str>>)> {
    let database = measurement.database.as_deref().or(context.database);
    let database = database
        .filter(|name| !name.is_empty())
        .ok_or(StatementError::DatabaseMissing)?;
    let policy = measurement
        .retention_policy
        .as_deref()
        .or(context.policy.filter(|_| measurement.database.is_none()));
    let Some(view) = context.store.view(database, policy) else {
        return Err(match (context.store.policies(database), policy) {
            (Some(_), Some(policy)) => StatementError::PolicyUnknown(policy.to_owned()),
            _ => StatementError::DatabaseUnknown(database.to_owned()),
        });
    };
    let names = match &measurement.name {
        MeasurementName::Exactly(name) => vec![Arc::from(name.as_str())],
        MeasurementName::Matching(pattern) => {
            let mut names = view.measurements();
            names.retain(|name| pattern.matches(name));
            names
        }
    };
    Ok((view, names))
}

/// Returns what a name stands for in a source.
fn kind_in(reader: &Reader, name: &str) -> Option<Kind> {
    match reader {
        Reader::Measurement {
            view,
            name: measurement,
        } => view
            .field_type(measurement, name)
            .map(kind_of)
            .or_else(|| view.has_tag(measurement, name).then_some(Kind::Tag)),
        Reader::Subquery(inner) => inner
            .fields
            .iter()
            .zip(inner.columns.iter().skip(1))
            .find(|(field, _)| super::names::field_name(field) == name)
            .and_then(|(field, _)| kind_of_expr(&field.expr).ok().flatten())
            .or_else(|| extra_column(inner, name).map(|_| Kind::Text))
            .or_else(|| {
                inner
                    .dimensions
                    .iter()
                    .any(|key| key.as_ref() == name)
                    .then_some(Kind::Tag)
            }),
    }
}

/// Returns the place of a tag that `top` or `bottom` adds to a subquery's columns.
pub(super) fn extra_column(inner: &Prepared, name: &str) -> Option<usize> {
    let mut column = 0;
    for field in &inner.fields {
        column += 1;
        for extra in super::names::extra_refs(&field.expr) {
            if extra.name == name {
                return Some(column);
            }
            column += 1;
        }
    }
    None
}

/// Returns what a name stands for in all sources; where they differ, the kind that can hold the others.
pub(super) fn kind_in_all(sources: &[Reader], name: &str) -> Option<Kind> {
    if name.eq_ignore_ascii_case("time") {
        return Some(Kind::Time);
    }
    sources
        .iter()
        .filter_map(|reader| kind_in(reader, name))
        .min_by_key(|kind| rank(*kind))
}

fn rank(kind: Kind) -> u8 {
    match kind {
        Kind::Float => 0,
        Kind::Integer => 1,
        Kind::Unsigned => 2,
        Kind::Text => 3,
        Kind::Boolean => 4,
        _ => 5,
    }
}

fn learn(expr: &mut Expr, sources: &[Reader]) {
    if let Expr::Ref(reference) = expr
        && matches!(reference.kind, None | Some(Kind::AnyField))
    {
        let kind = kind_in_all(sources, &reference.name);
        if kind != Some(Kind::Tag) || reference.kind.is_none() {
            reference.kind = kind;
        }
    }
}

/// As [`learn`], for conditions: what no source has stays open, for it is a tag that is missing everywhere.
fn learn_field(expr: &mut Expr, sources: &[Reader]) {
    learn(expr, sources);
}

/// Returns the kind of an expression's values; `None` where it has none.
pub(super) fn kind_of_expr(expr: &Expr) -> Outcome<Option<Kind>> {
    Ok(match expr {
        Expr::Ref(reference) => reference.kind,
        Expr::Paren(inner) => kind_of_expr(inner)?,
        Expr::Integer(_) | Expr::Duration(_) => Some(Kind::Integer),
        Expr::Unsigned(_) => Some(Kind::Unsigned),
        Expr::Number(_) => Some(Kind::Float),
        Expr::Text(_) => Some(Kind::Text),
        Expr::Boolean(_) => Some(Kind::Boolean),
        Expr::Wildcard(_) | Expr::Pattern(_) => None,
        Expr::Call(call) => {
            let arg = call.args.first().map(kind_of_expr).transpose()?.flatten();
            match call.name.as_str() {
                "count" | "elapsed" => Some(Kind::Integer),
                "mean"
                | "median"
                | "stddev"
                | "integral"
                | "derivative"
                | "non_negative_derivative"
                | "moving_average" => Some(Kind::Float),
                "abs" | "ceil" | "floor" | "round" => arg,
                name if is_math(name) => arg.map(|_| Kind::Float),
                _ => arg,
            }
        }
        Expr::Binary {
            operator,
            left,
            right,
        } => {
            let (left_kind, right_kind) = (kind_of_expr(left)?, kind_of_expr(right)?);
            let (Some(left_kind), Some(right_kind)) = (left_kind, right_kind) else {
                return Ok(None);
            };
            let fits = combined_kind(*operator, left_kind, right_kind);
            if fits.is_none() {
                return Err(StatementError::invalid(format!(
                    "type error: {expr}: incompatible types: {} and {}",
                    left_kind.word(),
                    right_kind.word()
                )));
            }
            fits
        }
    })
}

fn combined_kind(operator: Operator, left: Kind, right: Kind) -> Option<Kind> {
    let is_bitwise = matches!(
        operator,
        Operator::BitAnd | Operator::BitOr | Operator::BitXor
    );
    match (left, right) {
        (Kind::Boolean, Kind::Boolean) if is_bitwise => Some(Kind::Boolean),
        (Kind::Float, right) | (right, Kind::Float) if right.is_number() && !is_bitwise => {
            Some(Kind::Float)
        }
        (Kind::Float, _) | (_, Kind::Float) => None,
        (left, right) if left.is_number() && right.is_number() => {
            Some(if left == Kind::Unsigned || right == Kind::Unsigned {
                Kind::Unsigned
            } else {
                // A quotient of integers too: a subquery hands it on as an integer, as InfluxDB does.
                Kind::Integer
            })
        }
        _ => None,
    }
}

/// Makes a formula of an expression; names become what `resolve` says, and calls other than of math are not in it.
pub(super) fn formula(expr: &Expr, resolve: &mut dyn FnMut(&Ref) -> Formula) -> Formula {
    match expr {
        Expr::Ref(reference) => resolve(reference),
        Expr::Paren(inner) => formula(inner, resolve),
        Expr::Integer(value) | Expr::Duration(value) => Formula::Literal(Value::Integer(*value)),
        Expr::Unsigned(value) => Formula::Literal(Value::Unsigned(*value)),
        Expr::Number(value) => Formula::Literal(Value::Float(*value)),
        Expr::Text(value) => Formula::Literal(text(value)),
        Expr::Boolean(value) => Formula::Literal(Value::Boolean(*value)),
        Expr::Binary {
            operator,
            left,
            right,
        } => {
            let left = Box::new(formula(left, resolve));
            if let Expr::Pattern(pattern) = right.as_ref() {
                return Formula::Matches {
                    left,
                    pattern: pattern.clone(),
                    expected: *operator == Operator::Matches,
                };
            }
            Formula::Binary {
                operator: *operator,
                left,
                right: Box::new(formula(right, resolve)),
            }
        }
        Expr::Call(call) if is_math(&call.name) => Formula::Math {
            name: call.name.clone(),
            args: call.args.iter().map(|arg| formula(arg, resolve)).collect(),
        },
        Expr::Call(_) | Expr::Wildcard(_) | Expr::Pattern(_) => Formula::Null,
    }
}
