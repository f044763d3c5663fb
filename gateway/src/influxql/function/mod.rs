//! The functions of many points: aggregates, selectors and transformations.

mod fill;
mod fold;
mod listed;
mod transform;

use super::ast::{Call, Expr, Fill, Kind, Limits, Ref};
use super::context::Context;
use super::error::{Outcome, StatementError};
use super::formula::Cell;
use super::merge;
use super::plan::{Prepared, kind_of_expr};
use super::source::{self, Group, Key, Scope, kind_of, main_value};
use super::validate::{self, is_selector, is_transformation};
use super::window::{TIME_MIN, Windows};

/// A function's answer at one time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Point {
    pub(super) time: i64,
    pub(super) value: Cell,
    pub(super) aux: Vec<Cell>,
}

/// A function's answers for one group, in the order of the query.
#[derive(Debug, Clone)]
pub(super) struct Stream {
    pub(super) key: Key,
    pub(super) points: Vec<Point>,
}

/// What a call runs with.
#[derive(Clone)]
pub(super) struct Run<'a> {
    pub(super) prepared: &'a Prepared,
    pub(super) context: &'a Context<'a>,
    pub(super) scope: Scope<'a>,
    pub(super) windows: Windows,
    pub(super) fill: Fill,
    /// Whether the statement's only call is a selector, which keeps its point's time.
    pub(super) selector: bool,
    /// How many points of a group can reach the answer, where that is known.
    pub(super) wanted: Option<usize>,
}

impl<'a> Run<'a> {
    fn read(&self, function: &str, field: &'a Ref, aux: &'a [Ref]) -> Outcome<Vec<Group>> {
        let scope = Scope {
            driver: Some(field),
            aux,
            ..self.scope.clone()
        };
        let takes = |kind: Kind| validate::argument_type(function, &field.name, kind);
        let groups = source::read(self.prepared, &scope, self.context)?;
        for part in groups.iter().flat_map(|group| &group.parts) {
            if let Some(values) = &part.main {
                takes(kind_of(values.field_type()))?;
            }
        }
        // Where no point is left, the field's own type is what there is to judge.
        if let Some(Err(error)) = field.kind.map(takes) {
            self.unless_unread(field, error)?;
        }
        Ok(groups)
    }

    /// Fails with an error of a field's type, unless no series has the field at all.
    fn unless_unread(&self, field: &'a Ref, error: StatementError) -> Outcome<()> {
        let scope = Scope {
            driver: Some(field),
            ..self.scope.clone()
        };
        if source::has_series(self.prepared, &scope, self.context)? {
            Err(error)
        } else {
            Ok(())
        }
    }

    /// Moves the far end of the span, so that transformations know what came before.
    fn widened(&self, by: i64) -> Self {
        let mut run = self.clone();
        let span = &mut run.scope.span;
        if run.scope.ascending {
            span.first = span.first.saturating_sub(by).max(TIME_MIN);
        } else {
            span.last = span.last.saturating_add(by);
        }
        run.windows.span = *span;
        run.wanted = None;
        run
    }
}

fn field_of(call: &Call) -> Outcome<&Ref> {
    match call.args.first() {
        Some(Expr::Ref(reference)) => Ok(reference),
        _ => Err(StatementError::invalid(format!(
            "expected field argument in {}()",
            call.name
        ))),
    }
}

/// Runs a call.
pub(super) fn run<'a>(call: &'a Call, run: &Run<'a>) -> Outcome<Vec<Stream>> {
    let limits = run.prepared.limits;
    let mut streams = answer(call, run)?;
    if limits.limit > 0 || limits.offset > 0 {
        for stream in &mut streams {
            limit(&mut stream.points, limits);
        }
    }
    streams.retain(|stream| !stream.points.is_empty());
    Ok(streams)
}

/// Keeps `limit` items behind the first `offset`.
pub(super) fn limit<T>(items: &mut Vec<T>, limits: Limits) {
    items.drain(..limits.offset.min(items.len()));
    if limits.limit > 0 {
        items.truncate(limits.limit);
    }
}

fn answer<'a>(call: &'a Call, run: &Run<'a>) -> Outcome<Vec<Stream>> {
    let name = call.name.as_str();
    if is_transformation(name) {
        return transformed(call, run);
    }
    match name {
        // As in InfluxDB, the time of an integral without buckets is 0, wherever the query begins.
        "integral" if run.windows.interval == 0 => listed::run(call, field_of(call)?, run),
        "distinct" | "integral" => {
            let mut streams = listed::run(call, field_of(call)?, run)?;
            at_window_starts(&mut streams, run);
            Ok(streams)
        }
        "top" | "bottom" | "sample" => listed::run(call, field_of(call)?, run),
        _ => {
            let mut streams =
                if let (true, [Expr::Call(inner)]) = (name == "count", call.args.as_slice()) {
                    counted(listed::run(inner, field_of(inner)?, run)?, run)
                } else if fold::is_fold(name) {
                    fold::run(name, field_of(call)?, run)?
                } else {
                    listed::run(call, field_of(call)?, run)?
                };
            if !run.selector || run.windows.interval > 0 {
                at_window_starts(&mut streams, run);
            }
            if run.windows.interval > 0 && run.fill != Fill::None {
                fill::run(name, &mut streams, run)?;
            }
            Ok(streams)
        }
    }
}

/// Gives each point the start of its bucket; without buckets that of the query, or 0.
fn at_window_starts(streams: &mut [Stream], run: &Run<'_>) {
    for point in streams.iter_mut().flat_map(|stream| &mut stream.points) {
        let (start, _) = run.windows.of(point.time);
        point.time = if start == TIME_MIN { 0 } else { start };
    }
}

/// Counts the points of each bucket: `count(distinct(x))`.
fn counted(mut streams: Vec<Stream>, run: &Run<'_>) -> Vec<Stream> {
    for stream in &mut streams {
        let mut counts: Vec<Point> = Vec::new();
        for point in &stream.points {
            let (start, _) = run.windows.of(point.time);
            match counts.last_mut() {
                Some(Point {
                    time,
                    value: Some(crate::store::Value::Integer(count)),
                    ..
                }) if *time == start => *count += 1,
                _ => counts.push(Point {
                    time: start,
                    value: Some(crate::store::Value::Integer(1)),
                    aux: Vec::new(),
                }),
            }
        }
        stream.points = counts;
    }
    streams
}

fn transformed<'a>(call: &'a Call, run: &Run<'a>) -> Outcome<Vec<Stream>> {
    let interval = run.windows.interval;
    let back = match call.name.as_str() {
        "cumulative_sum" => 0,
        "moving_average" => match call.args.get(1) {
            Some(Expr::Integer(size)) => interval.saturating_mul(*size - 1),
            _ => interval,
        },
        _ => interval,
    };
    let wider = run.widened(back);
    let mut streams = match &call.args[0] {
        Expr::Call(inner) => {
            let streams = answer(inner, &wider)?;
            let takes = |kind| validate::argument_type(&call.name, &inner.name, kind);
            if let Some(Err(error)) = kind_of_expr(&call.args[0])?.map(takes) {
                run.unless_unread(field_of(inner)?, error)?;
            }
            streams
        }
        Expr::Ref(reference) => ordered(&call.name, reference, &wider)?,
        other => {
            return Err(StatementError::invalid(format!(
                "expected field argument in {}(), found {other}",
                call.name
            )));
        }
    };
    for stream in &mut streams {
        stream.points = transform::run(call, std::mem::take(&mut stream.points), run)?;
    }
    streams.retain(|stream| !stream.points.is_empty());
    Ok(streams)
}

/// Reads a field's points in the order of time.
fn ordered<'a>(function: &str, field: &'a Ref, run: &Run<'a>) -> Outcome<Vec<Stream>> {
    let groups = run.read(function, field, run.scope.aux)?;
    Ok(groups
        .into_iter()
        .map(|group| {
            let times: Vec<&[i64]> = group
                .parts
                .iter()
                .map(|part| part.times.as_slice())
                .collect();
            let points = merge::in_order(&times, run.scope.ascending)
                .into_iter()
                .map(|place| {
                    let part = &group.parts[place.part];
                    Point {
                        time: part.times[place.index],
                        value: main_value(part, place.index),
                        aux: part.aux.iter().map(|aux| aux.get(place.index)).collect(),
                    }
                })
                .collect();
            Stream {
                key: group.key,
                points,
            }
        })
        .collect())
}

/// Says whether a statement's only call keeps its point's time.
pub(super) fn keeps_time(calls: &[&Call]) -> bool {
    matches!(calls, [call] if is_selector(&call.name))
}
