//! Functions that look at each point once and keep no list: count, sum, mean, spread, min, max, first and last.
//!
//! They run over the typed columns, one stretch of a bucket at a time.

use std::ops::Range;

use super::super::ast::Ref;
use super::super::error::{Outcome, StatementError};
use super::super::source::{Group, Part};
use super::{Point, Run, Stream};
use crate::store::{Cells, Edge, Extreme, RESOLUTIONS_NS, Value, Values};

/// Says whether a function is one of these.
pub(super) fn is_fold(name: &str) -> bool {
    matches!(
        name,
        "count" | "sum" | "mean" | "spread" | "min" | "max" | "first" | "last"
    )
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fold {
    Count,
    Sum,
    Mean,
    Spread,
    Min,
    Max,
    First,
    Last,
}

/// What a bucket has come to.
#[derive(Debug, Clone)]
enum Sum {
    Count(i64),
    Float(f64),
    Integer(i64),
    Unsigned(u64),
    Mean(f64, u64),
    Spread(Value, Value),
    Best(Best),
}

/// The point that a selector has picked.
#[derive(Debug, Clone)]
struct Best {
    time: i64,
    value: Value,
    part: usize,
    index: usize,
}

/// Runs a function over a field.
pub(super) fn run<'a>(name: &str, field: &'a Ref, run: &Run<'a>) -> Outcome<Vec<Stream>> {
    let fold = match name {
        "count" => Fold::Count,
        "sum" => Fold::Sum,
        "mean" => Fold::Mean,
        "spread" => Fold::Spread,
        "min" => Fold::Min,
        "max" => Fold::Max,
        "first" => Fold::First,
        _ => Fold::Last,
    };
    let aux = if run.selector { run.scope.aux } else { &[] };
    // The longest cells that fit: fewer are to be read. They do not say what came first in a bucket.
    let mut lengths = RESOLUTIONS_NS.into_iter().rev();
    let is_in_cells = fold != Fold::First || run.windows.interval == 0;
    let resolution = lengths.find(|length| is_in_cells && run.windows.keep_whole(*length));
    let mut reading = run.clone();
    reading.scope.resolution = resolution;
    if run.windows.interval == 0 {
        reading.scope.edge = match fold {
            Fold::First => Some(Edge::First),
            Fold::Last => Some(Edge::Last),
            _ => None,
        };
        // The answer says when these were.
        reading.scope.extreme = match fold {
            Fold::Min if run.selector => Some(Extreme::Least),
            Fold::Max if run.selector => Some(Extreme::Most),
            _ => None,
        };
    }
    let groups = reading.read(name, field, aux)?;
    let mut streams = Vec::with_capacity(groups.len());
    for group in groups {
        run.context.check()?;
        let mut points = fold_group(fold, &group, run)?;
        if !run.scope.ascending {
            points.reverse();
        }
        streams.push(Stream {
            key: group.key,
            points,
        });
    }
    Ok(streams)
}

fn fold_group(fold: Fold, group: &Group, run: &Run<'_>) -> Outcome<Vec<Point>> {
    // Buckets in the order of time; series mostly share them, so the place of the next is near the last one's.
    let mut buckets: Vec<(i64, Sum)> = Vec::new();
    for (number, part) in group.parts.iter().enumerate() {
        let Some(values) = &part.main else { continue };
        let mut place = 0;
        for cells in &part.cells {
            for cell in 0..cells.len() {
                let (start, _) = run.windows.of(cells.starts[cell]);
                let sum = of_cell(fold, cells, cell, number)?;
                add(fold, &mut buckets, &mut place, start, sum, run)?;
            }
        }
        place = 0;
        let mut index = 0;
        while index < part.times.len() {
            let (start, end) = run.windows.of(part.times[index]);
            // A bucket holds at least the point that it was made for, whatever the clocks do.
            let stop = stretch_end(&part.times, index, end).max(index + 1);
            let sum = stretch(fold, part, values, index..stop, number)?;
            index = stop;
            add(fold, &mut buckets, &mut place, start, sum, run)?;
        }
    }
    Ok(buckets
        .into_iter()
        .map(|(start, sum)| point(start, sum, group))
        .collect())
}

/// Adds to the bucket of a start, which lies at `place` or behind it.
fn add(
    fold: Fold,
    buckets: &mut Vec<(i64, Sum)>,
    place: &mut usize,
    start: i64,
    sum: Sum,
    run: &Run<'_>,
) -> Outcome<()> {
    while *place < buckets.len() && buckets[*place].0 < start {
        *place += 1;
    }
    match buckets.get_mut(*place) {
        Some((found, total)) if *found == start => join(fold, total, sum),
        _ => {
            run.context.count_buckets(1)?;
            buckets.insert(*place, (start, sum));
        }
    }
    Ok(())
}

/// Returns what a cell's points come to.
fn of_cell(fold: Fold, cells: &Cells, cell: usize, number: usize) -> Outcome<Sum> {
    let best = |time: i64, values: &Values| {
        Sum::Best(Best {
            time,
            value: values.get(cell),
            part: number,
            index: 0,
        })
    };
    Ok(match fold {
        Fold::Count => Sum::Count(cells.counts[cell]),
        Fold::Sum => match cells.sums.get(cell) {
            Value::Float(sum) => Sum::Float(sum),
            Value::Integer(sum) => Sum::Integer(sum),
            Value::Unsigned(sum) => Sum::Unsigned(sum),
            _ => return unsupported("sum"),
        },
        Fold::Mean => {
            let sum = match cells.sums.get(cell) {
                Value::Float(sum) => sum,
                Value::Integer(sum) => sum as f64,
                Value::Unsigned(sum) => sum as f64,
                _ => return unsupported("mean"),
            };
            Sum::Mean(sum, cells.counts[cell].unsigned_abs())
        }
        Fold::Spread => Sum::Spread(cells.least.get(cell), cells.most.get(cell)),
        // The bucket's start takes the place of these two's times.
        Fold::Min => best(cells.starts[cell], &cells.least),
        Fold::Max => best(cells.starts[cell], &cells.most),
        Fold::First => return Err(StatementError::invalid("first() is read from points")),
        Fold::Last => best(cells.last_times[cell], &cells.lasts),
    })
}

/// Returns the index behind the last time before the bucket's end, looking in growing steps.
fn stretch_end(times: &[i64], from: usize, end: i64) -> usize {
    let mut step = 1;
    let mut low = from;
    while low + step < times.len() && times[low + step] < end {
        low += step;
        step *= 2;
    }
    let high = (low + step).min(times.len());
    low + times[low..high].partition_point(|time| *time < end)
}

fn stretch(
    fold: Fold,
    part: &Part,
    values: &Values,
    range: Range<usize>,
    number: usize,
) -> Outcome<Sum> {
    Ok(match fold {
        Fold::Count => Sum::Count(range.len() as i64),
        Fold::Sum => match values {
            Values::Float(list) => Sum::Float(list[range].iter().sum()),
            Values::Integer(list) => {
                Sum::Integer(list[range].iter().fold(0, |a, b| a.wrapping_add(*b)))
            }
            Values::Unsigned(list) => {
                Sum::Unsigned(list[range].iter().fold(0, |a, b| a.wrapping_add(*b)))
            }
            _ => return unsupported("sum"),
        },
        Fold::Mean => {
            let count = range.len() as u64;
            let total = match values {
                Values::Float(list) => list[range].iter().sum(),
                Values::Integer(list) => list[range].iter().map(|value| *value as f64).sum(),
                Values::Unsigned(list) => list[range].iter().map(|value| *value as f64).sum(),
                _ => return unsupported("mean"),
            };
            Sum::Mean(total, count)
        }
        Fold::Spread => {
            let least = pick(Fold::Min, part, values, range.clone(), number)?;
            let most = pick(Fold::Max, part, values, range, number)?;
            Sum::Spread(least.value, most.value)
        }
        _ => Sum::Best(pick(fold, part, values, range, number)?),
    })
}

fn unsupported<T>(name: &str) -> Outcome<T> {
    Err(StatementError::invalid(format!(
        "{name}() works on numbers; cast the field or choose another"
    )))
}

fn pick(
    fold: Fold,
    part: &Part,
    values: &Values,
    range: Range<usize>,
    number: usize,
) -> Outcome<Best> {
    let first = range.start;
    let index = match fold {
        Fold::First => {
            let time = part.times[first];
            let same = range.clone().take_while(|index| part.times[*index] == time);
            greatest(same, values)
        }
        Fold::Last => {
            let time = part.times[range.end - 1];
            let same = range.rev().take_while(|index| part.times[*index] == time);
            greatest(same, values)
        }
        _ => {
            let most = fold == Fold::Max;
            let offset = match values {
                Values::Float(list) => extreme(&list[range], most),
                Values::Integer(list) => extreme(&list[range], most),
                Values::Unsigned(list) => extreme(&list[range], most),
                Values::Boolean(list) => extreme(&list[range], most),
                Values::Text(_) => return unsupported(if most { "max" } else { "min" }),
            };
            first + offset
        }
    };
    Ok(Best {
        time: part.times[index],
        value: values.get(index),
        part: number,
        index,
    })
}

/// Returns the index of the largest value; a subquery may have several of one time.
fn greatest(indexes: impl Iterator<Item = usize>, values: &Values) -> usize {
    let larger = |best: usize, other| {
        let is_larger = less(&values.get(best), &values.get(other));
        if is_larger { other } else { best }
    };
    indexes.reduce(larger).unwrap_or_default()
}

/// Returns the index of the first of the largest or smallest values.
fn extreme<T: PartialOrd>(list: &[T], most: bool) -> usize {
    let mut best = 0;
    for (index, value) in list.iter().enumerate().skip(1) {
        let better = if most {
            *value > list[best]
        } else {
            *value < list[best]
        };
        if better {
            best = index;
        }
    }
    best
}

fn less(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => a < b,
        (Value::Integer(a), Value::Integer(b)) => a < b,
        (Value::Unsigned(a), Value::Unsigned(b)) => a < b,
        (Value::Text(a), Value::Text(b)) => a < b,
        (Value::Boolean(a), Value::Boolean(b)) => !a & b,
        _ => false,
    }
}

fn join(fold: Fold, total: &mut Sum, more: Sum) {
    match (total, more) {
        (Sum::Count(a), Sum::Count(b)) => *a += b,
        (Sum::Float(a), Sum::Float(b)) => *a += b,
        (Sum::Integer(a), Sum::Integer(b)) => *a = a.wrapping_add(b),
        (Sum::Unsigned(a), Sum::Unsigned(b)) => *a = a.wrapping_add(b),
        (Sum::Mean(a, n), Sum::Mean(b, m)) => {
            *a += b;
            *n += m;
        }
        (Sum::Spread(least, most), Sum::Spread(low, high)) => {
            if less(&low, least) {
                *least = low;
            }
            if less(most, &high) {
                *most = high;
            }
        }
        (Sum::Best(best), Sum::Best(other)) if wins(fold, &other, best) => *best = other,
        // The best stays; else, one function makes one kind of sum.
        _ => {}
    }
}

fn wins(fold: Fold, new: &Best, old: &Best) -> bool {
    match fold {
        Fold::First => {
            new.time < old.time || (new.time == old.time && less(&old.value, &new.value))
        }
        Fold::Last => new.time > old.time || (new.time == old.time && less(&old.value, &new.value)),
        Fold::Min => {
            less(&new.value, &old.value) || (!less(&old.value, &new.value) && new.time < old.time)
        }
        _ => less(&old.value, &new.value) || (!less(&new.value, &old.value) && new.time < old.time),
    }
}

fn point(start: i64, sum: Sum, group: &Group) -> Point {
    let value = match sum {
        Sum::Count(count) => Value::Integer(count),
        Sum::Float(sum) => Value::Float(sum),
        Sum::Integer(sum) => Value::Integer(sum),
        Sum::Unsigned(sum) => Value::Unsigned(sum),
        Sum::Mean(sum, count) => Value::Float(sum / count as f64),
        Sum::Spread(least, most) => match (least, most) {
            (Value::Float(least), Value::Float(most)) => Value::Float(most - least),
            (Value::Integer(least), Value::Integer(most)) => {
                Value::Integer(most.wrapping_sub(least))
            }
            (Value::Unsigned(least), Value::Unsigned(most)) => Value::Unsigned(most - least),
            (_, other) => other,
        },
        Sum::Best(best) => {
            let part = &group.parts[best.part];
            return Point {
                time: best.time,
                value: Some(best.value),
                aux: part.aux.iter().map(|aux| aux.get(best.index)).collect(),
            };
        }
    };
    Point {
        time: start,
        value: Some(value),
        aux: Vec::new(),
    }
}
