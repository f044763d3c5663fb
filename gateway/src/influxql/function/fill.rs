//! Fills the buckets that no point fell into.

use super::super::ast::Fill;
use super::super::error::Outcome;
use super::super::formula::Cell;
use super::super::select::typed_cell;
use super::super::source::kind_of;
use super::super::window::TIME_MIN;
use super::{Point, Run, Stream};
use crate::store::Value;

/// Fills each group's gaps from the query's first bucket to its last.
pub(super) fn run(function: &str, streams: &mut [Stream], run: &Run<'_>) -> Outcome<()> {
    let fill = match run.fill {
        Fill::Unset | Fill::Null if function == "count" => Fill::Integer(0),
        fill => fill,
    };
    for stream in streams {
        if !stream.points.is_empty() {
            let points = std::mem::take(&mut stream.points);
            stream.points = filled(points, fill, run)?;
        }
    }
    Ok(())
}

fn filled(points: Vec<Point>, fill: Fill, run: &Run<'_>) -> Outcome<Vec<Point>> {
    let ascending = run.scope.ascending;
    let span = run.windows.span;
    let (from, to) = if ascending {
        (span.first, span.last)
    } else {
        (span.last, span.first)
    };
    let first = run.windows.of(from).0;
    let last = run.windows.of(to).0;
    let mut start = if from == TIME_MIN {
        points[0].time
    } else {
        first
    };
    let mut ahead = run.windows.ahead_at(start);
    let aux_count = points[0].aux.len();
    let constant = constant(fill, &points);
    let mut filled: Vec<Point> = Vec::new();
    let mut previous: Option<(i64, Value)> = None;
    let mut points = points.into_iter().peekable();
    let in_range = |start: i64| {
        if ascending {
            start <= last
        } else {
            start >= last && last != TIME_MIN
        }
    };
    while points.peek().is_some() || in_range(start) {
        if run.wanted.is_some_and(|wanted| filled.len() >= wanted) {
            break;
        }
        let is_gap = points.peek().is_none_or(|point| {
            if ascending {
                point.time > start
            } else {
                point.time < start
            }
        });
        if is_gap {
            run.context.count_buckets(1)?;
            let value = value_of_gap(
                fill,
                &constant,
                previous.as_ref(),
                points.peek(),
                start,
                run.windows.interval,
            );
            filled.push(Point {
                time: start,
                value,
                aux: vec![None; aux_count],
            });
        } else if let Some(point) = points.next() {
            previous = point.value.clone().map(|value| (point.time, value));
            filled.push(point);
        }
        start = run.windows.next_start(start, ascending, &mut ahead);
    }
    Ok(filled)
}

/// Returns what a number stands for among a function's values: one of their type.
fn constant(fill: Fill, points: &[Point]) -> Cell {
    let value = match fill {
        Fill::Number(value) => Value::Float(value),
        Fill::Integer(value) => Value::Integer(value),
        _ => return None,
    };
    let known = points.iter().find_map(|point| point.value.as_ref());
    typed_cell(value, known.map(|value| kind_of(value.field_type())))
}

fn value_of_gap(
    fill: Fill,
    constant: &Cell,
    previous: Option<&(i64, Value)>,
    next: Option<&Point>,
    start: i64,
    interval: i64,
) -> Cell {
    match fill {
        Fill::Previous => previous.map(|(_, value)| value.clone()),
        Fill::Linear => {
            let (time, value) = previous?;
            let next = next?;
            linear(
                start / interval,
                time / interval,
                next.time / interval,
                value,
                next.value.as_ref()?,
            )
        }
        _ => constant.clone(),
    }
}

/// Returns the value at a bucket's number on the line between two others; integers are cut.
fn linear(at: i64, from: i64, to: i64, before: &Value, after: &Value) -> Cell {
    if to == from {
        return Some(before.clone());
    }
    let share = (at - from) as f64 / (to - from) as f64;
    let between = |low: f64, high: f64| low + (high - low) * share;
    Some(match (before, after) {
        (Value::Float(low), Value::Float(high)) => Value::Float(between(*low, *high)),
        (Value::Integer(low), Value::Integer(high)) => {
            Value::Integer(between(*low as f64, *high as f64) as i64)
        }
        (Value::Unsigned(low), Value::Unsigned(high)) => {
            Value::Unsigned(between(*low as f64, *high as f64) as u64)
        }
        _ => return None,
    })
}
