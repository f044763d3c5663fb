//! Runs a prepared SELECT: has its functions called, and calculates the rows.

use std::{collections::BTreeMap, sync::Arc};

use super::ast::{Call, Expr, Fill, Kind, Limits, Ref};
use super::context::Context;
use super::error::Outcome;
use super::formula::{Cell, Formula, cast, is_math};
use super::function::{self, Point, Run, Stream};
use super::names::extra_refs;
use super::plan::{Prepared, formula, kind_of_expr};
use super::raw;
use super::source::{Key, Scope};
use super::window::{Span, Windows};
use crate::store::Value;

/// A row of an answer.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) time: i64,
    pub(super) cells: Vec<Cell>,
}

/// The rows of one group.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    pub(super) key: Key,
    pub(super) rows: Vec<Row>,
}

/// What an outer query imposes on a subquery.
pub(super) struct Outer<'a> {
    pub(super) span: Span,
    pub(super) group_by: &'a [Arc<str>],
    pub(super) interval: i64,
    pub(super) offset: i64,
    pub(super) limits: Limits,
}

/// Takes rows, and whether they belong to the group of those before them.
pub(super) type Emit<'a> = &'a mut dyn FnMut(Rows, bool) -> Outcome<()>;

/// Where the values of a row come from: calls first, then names.
pub(super) struct Columns<'a> {
    calls: Vec<&'a Call>,
    kinds: Vec<Option<Kind>>,
    pub(super) aux: Vec<Ref>,
    pub(super) outputs: Vec<Formula>,
}

impl<'a> Columns<'a> {
    fn of(prepared: &'a Prepared) -> Outcome<Self> {
        let mut columns = Self {
            calls: Vec::new(),
            kinds: Vec::new(),
            aux: Vec::new(),
            outputs: Vec::new(),
        };
        for field in &prepared.fields {
            collect(&field.expr, &mut columns.calls);
        }
        for call in &columns.calls {
            columns
                .kinds
                .push(kind_of_expr(&Expr::Call((*call).clone()))?);
        }
        for field in &prepared.fields {
            let output = columns.output(&field.expr);
            columns.outputs.push(output);
            for extra in extra_refs(&field.expr) {
                let slot = columns.slot(extra);
                columns.outputs.push(Formula::Slot(slot));
            }
        }
        Ok(columns)
    }

    fn slot(&mut self, reference: &Ref) -> usize {
        let index = self
            .aux
            .iter()
            .position(|aux| aux == reference)
            .unwrap_or_else(|| {
                self.aux.push(reference.clone());
                self.aux.len() - 1
            });
        self.calls.len() + index
    }

    fn output(&mut self, expr: &Expr) -> Formula {
        match expr {
            Expr::Call(call) if !is_math(&call.name) => self
                .calls
                .iter()
                .position(|found| *found == call)
                .map_or(Formula::Null, Formula::Slot),
            Expr::Call(call) => Formula::Math {
                name: call.name.clone(),
                args: call.args.iter().map(|arg| self.output(arg)).collect(),
            },
            Expr::Paren(inner) => self.output(inner),
            Expr::Binary {
                operator,
                left,
                right,
            } => Formula::Binary {
                operator: *operator,
                left: Box::new(self.output(left)),
                right: Box::new(self.output(right)),
            },
            Expr::Ref(reference) => Formula::Slot(self.slot(reference)),
            other => formula(other, &mut |_| Formula::Null),
        }
    }

    pub(super) fn evaluated(&self, cells: &[Cell]) -> Vec<Cell> {
        self.outputs
            .iter()
            .map(|output| match output.eval(cells, true) {
                Some(Value::Float(value)) if value.is_nan() => None,
                cell => cell,
            })
            .collect()
    }
}

fn collect<'a>(expr: &'a Expr, calls: &mut Vec<&'a Call>) {
    match expr {
        Expr::Call(call) if is_math(&call.name) => {
            for arg in &call.args {
                collect(arg, calls);
            }
        }
        Expr::Call(call) if !calls.contains(&call) => calls.push(call),
        Expr::Paren(inner) => collect(inner, calls),
        Expr::Binary { left, right, .. } => {
            collect(left, calls);
            collect(right, calls);
        }
        _ => {}
    }
}

/// Runs a SELECT; the groups come in the order of the answer.
pub(super) fn run(
    prepared: &Prepared,
    outer: Option<&Outer<'_>>,
    context: &Context<'_>,
) -> Outcome<Vec<Rows>> {
    let mut groups = Vec::new();
    each(prepared, outer, None, context, &mut |rows, _| {
        groups.push(rows);
        Ok(())
    })?;
    Ok(groups)
}

/// How the rows of a SELECT are grouped: by its own clauses, and by those of the query around it.
struct Grouping {
    by: Vec<Arc<str>>,
    limits: Limits,
    span: Span,
    interval: i64,
    offset: i64,
    fill: Fill,
}

impl Grouping {
    fn of(prepared: &Prepared, outer: Option<&Outer<'_>>, has_calls: bool) -> Self {
        let mut grouping = Self {
            by: prepared.dimensions.clone(),
            limits: prepared.limits,
            span: prepared.span,
            interval: prepared.interval,
            offset: prepared.offset,
            fill: prepared.fill,
        };
        let Some(outer) = outer else {
            return grouping;
        };
        grouping.span = grouping.span.and(outer.span);
        let limits = &mut grouping.limits;
        limits.slimit = limits.slimit.saturating_add(outer.limits.slimit);
        limits.soffset = limits.soffset.saturating_add(outer.limits.soffset);
        grouping.by.extend(outer.group_by.iter().cloned());
        grouping.by.sort();
        grouping.by.dedup();
        if grouping.interval == 0 {
            (grouping.interval, grouping.offset) = (outer.interval, outer.offset);
        }
        if matches!(grouping.fill, Fill::Null | Fill::Unset) && has_calls {
            grouping.fill = Fill::None;
        }
        grouping
    }
}

/// Runs a SELECT, and gives its rows out: those without functions in pieces of so many, if asked, all others a group
/// at a time.
pub(super) fn each(
    prepared: &Prepared,
    outer: Option<&Outer<'_>>,
    pieces: Option<usize>,
    context: &Context<'_>,
    emit: Emit<'_>,
) -> Outcome<()> {
    let columns = Columns::of(prepared)?;
    let Grouping {
        by,
        limits: groups,
        span,
        interval,
        offset,
        fill,
    } = Grouping::of(prepared, outer, !columns.calls.is_empty());
    if span.first > span.last {
        return Ok(());
    }
    let scope = Scope {
        driver: None,
        aux: &columns.aux,
        condition: prepared.condition.as_ref(),
        span,
        group_by: &by,
        limits: groups,
        ascending: prepared.ascending,
        resolution: None,
        edge: None,
        extreme: None,
        interval,
        offset,
    };
    if columns.calls.is_empty() {
        return raw::each(prepared, &columns, &scope, pieces, context, emit);
    }
    let limits = prepared.limits;
    let wanted = (limits.limit > 0).then(|| limits.limit.saturating_add(limits.offset));
    let run = Run {
        prepared,
        context,
        windows: Windows {
            interval,
            offset,
            zone: prepared.zone,
            span,
        },
        scope,
        fill,
        selector: function::keeps_time(&columns.calls),
        wanted,
    };
    let mut answers = Vec::with_capacity(columns.calls.len());
    for (call, kind) in columns.calls.iter().zip(&columns.kinds) {
        answers.push(match kind {
            None => Vec::new(),
            Some(_) => function::run(call, &run)?,
        });
    }
    for rows in joined(prepared, &columns, answers, fill) {
        emit(rows, false)?;
    }
    Ok(())
}

/// Returns what stands for null where a fill says so: as in InfluxDB a number, whatever the column, cut where that holds
/// integers.
pub(super) fn default_cell(fill: Fill, kind: Option<Kind>) -> Cell {
    let value = match fill {
        Fill::Number(value) => Value::Float(value),
        Fill::Integer(value) => Value::Integer(value),
        _ => return None,
    };
    match kind {
        Some(kind) if kind.is_number() => cast(&value, kind).or(Some(value)),
        _ => Some(value),
    }
}

/// Returns what stands for a call that has no point at a row's time.
fn default_of_call(fill: Fill, kind: Option<Kind>) -> Cell {
    typed_cell(default_cell(fill, Some(kind?))?, kind)
}

/// Returns a value in its column's type; a number that fills a gap in texts is an empty text.
pub(super) fn typed_cell(value: Value, kind: Option<Kind>) -> Cell {
    match (kind, &value) {
        (Some(Kind::Text), Value::Text(_)) | (None, _) => Some(value),
        (Some(Kind::Text), _) => Some(super::formula::text("")),
        (Some(Kind::Boolean), Value::Float(_) | Value::Integer(_)) => Some(Value::Boolean(false)),
        (Some(kind), _) => cast(&value, kind).or(Some(value)),
    }
}

/// Puts the answers of all calls side by side, by group and time.
fn joined(
    prepared: &Prepared,
    columns: &Columns<'_>,
    answers: Vec<Vec<Stream>>,
    fill: Fill,
) -> Vec<Rows> {
    let mut groups: BTreeMap<Key, Vec<Vec<Point>>> = BTreeMap::new();
    let count = answers.len();
    for (number, streams) in answers.into_iter().enumerate() {
        for stream in streams {
            groups
                .entry(stream.key)
                .or_insert_with(|| vec![Vec::new(); count])[number] = stream.points;
        }
    }
    let of_calls = columns.kinds.iter();
    let of_calls = of_calls.map(|kind| default_of_call(fill, *kind));
    let of_aux = columns.aux.iter().map(|aux| default_cell(fill, aux.kind));
    let defaults: Vec<Cell> = of_calls.chain(of_aux).collect();
    // As in InfluxDB, fill(previous) keeps what the row before had.
    let keeps = fill == Fill::Previous;
    let mut cells: Vec<Cell> = vec![None; defaults.len()];
    let ascending = prepared.ascending;
    let mut answer = Vec::with_capacity(groups.len());
    let ordered: Vec<(Key, Vec<Vec<Point>>)> = if ascending {
        groups.into_iter().collect()
    } else {
        groups.into_iter().rev().collect()
    };
    for (key, streams) in ordered {
        let mut streams: Vec<_> = streams
            .into_iter()
            .map(|points| points.into_iter().peekable())
            .collect();
        let mut rows = Vec::new();
        cells.fill(None);
        loop {
            let times = streams
                .iter_mut()
                .filter_map(|points| points.peek().map(|point| point.time));
            let Some(time) = (if ascending { times.min() } else { times.max() }) else {
                break;
            };
            if !keeps {
                cells.clone_from(&defaults);
            }
            for (slot, points) in streams.iter_mut().enumerate() {
                let Some(point) = points.next_if(|point| point.time == time) else {
                    continue;
                };
                match point.value {
                    Some(value) => cells[slot] = typed_cell(value, columns.kinds[slot]),
                    None if keeps => {}
                    None => cells[slot] = None,
                }
                for (index, cell) in point.aux.into_iter().enumerate() {
                    if cell.is_some() {
                        cells[count + index] = cell;
                    }
                }
            }
            rows.push(Row {
                time,
                cells: columns.evaluated(&cells),
            });
        }
        answer.push(Rows { key, rows });
    }
    answer
}
