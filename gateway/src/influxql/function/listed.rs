//! Functions that need all points of a bucket at once: median, percentile, mode, stddev, distinct, integral, top,
//! bottom and sample.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use super::super::ast::{Call, Expr, Ref};
use super::super::error::Outcome;
use super::super::formula::{Cell, number};
use super::super::merge::{self, PointIndex};
use super::super::source::{Group, main_value};
use super::super::window::Windows;
use super::{Point, Run, Stream};
use crate::store::Value;

/// Compares two values of one type.
pub(super) fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b).unwrap_or(Ordering::Equal),
        (Value::Integer(a), Value::Integer(b)) => a.cmp(b),
        (Value::Unsigned(a), Value::Unsigned(b)) => a.cmp(b),
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        (Value::Boolean(a), Value::Boolean(b)) => a.cmp(b),
        _ => Ordering::Equal,
    }
}

/// A point of a bucket: its value, and where the rest of its row is.
#[derive(Clone)]
struct Item {
    time: i64,
    value: Value,
    at: PointIndex,
}

/// Runs a function over a field.
pub(super) fn run<'a>(call: &'a Call, field: &'a Ref, run: &Run<'a>) -> Outcome<Vec<Stream>> {
    let groups = run.read(&call.name, field, run.scope.aux)?;
    let mut streams = Vec::with_capacity(groups.len());
    for group in groups {
        run.context.check()?;
        let indices = {
            let times: Vec<&[i64]> = group
                .parts
                .iter()
                .map(|part| part.times.as_slice())
                .collect();
            merge::in_order(&times, run.scope.ascending)
        };
        let mut items = Vec::with_capacity(indices.len());
        for at in indices {
            let part = &group.parts[at.part];
            if let Some(value) = main_value(part, at.index) {
                items.push(Item {
                    time: part.times[at.index],
                    value,
                    at,
                });
            }
        }
        let points = group_points(call, &group, &items, run)?;
        streams.push(Stream {
            key: group.key,
            points,
        });
    }
    Ok(streams)
}

fn group_points(call: &Call, group: &Group, items: &[Item], run: &Run<'_>) -> Outcome<Vec<Point>> {
    if call.name == "integral" {
        return Ok(integral(
            items,
            unit(call, 1_000_000_000),
            &run.windows,
            run.scope.ascending,
        ));
    }
    let mut points = Vec::new();
    let mut rest = items;
    while let Some(first) = rest.first() {
        let (start, end) = run.windows.of(first.time);
        let count = rest
            .partition_point(|item| (start..end).contains(&item.time))
            .max(1);
        let (bucket, after) = rest.split_at(count);
        rest = after;
        run.context.count_buckets(1)?;
        bucket_points(call, group, bucket, start, run, &mut points);
    }
    Ok(points)
}

fn unit(call: &Call, default: i64) -> i64 {
    match call.args.get(1) {
        Some(Expr::Duration(nanos)) => *nanos,
        _ => default,
    }
}

fn bucket_points(
    call: &Call,
    group: &Group,
    bucket: &[Item],
    start: i64,
    run: &Run<'_>,
    points: &mut Vec<Point>,
) {
    let plain = |value: Value| Point {
        time: start,
        value: Some(value),
        aux: Vec::new(),
    };
    match call.name.as_str() {
        "median" => points.extend(median(bucket).map(|value| plain(Value::Float(value)))),
        "mode" => points.extend(mode(bucket).map(plain)),
        "stddev" => points.push(Point {
            time: start,
            value: stddev(bucket),
            aux: Vec::new(),
        }),
        "percentile" => points.extend(percentile(call, bucket).map(|item| full(group, item))),
        "distinct" => {
            let mut seen: Vec<&Item> = Vec::new();
            let mut values = BTreeSet::new();
            for item in bucket {
                if values.insert(format!("{:?}", item.value)) {
                    seen.push(item);
                }
            }
            seen.sort_by(|a, b| {
                a.time
                    .cmp(&b.time)
                    .then_with(|| compare(&a.value, &b.value))
            });
            points.extend(seen.into_iter().map(|item| Point {
                time: item.time,
                value: Some(item.value.clone()),
                aux: Vec::new(),
            }));
        }
        "top" | "bottom" => top(call, group, bucket, run, points),
        _ => sample(call, group, bucket, points),
    }
}

fn full(group: &Group, item: &Item) -> Point {
    let part = &group.parts[item.at.part];
    Point {
        time: item.time,
        value: Some(item.value.clone()),
        aux: part.aux.iter().map(|aux| aux.get(item.at.index)).collect(),
    }
}

fn numbers(bucket: &[Item]) -> Vec<f64> {
    bucket
        .iter()
        .filter_map(|item| number(&item.value))
        .collect()
}

fn median(bucket: &[Item]) -> Option<f64> {
    let mut list = numbers(bucket);
    list.sort_by(f64::total_cmp);
    let middle = list.len() / 2;
    if list.len() % 2 == 1 {
        return list.get(middle).copied();
    }
    let (low, high) = (*list.get(middle.checked_sub(1)?)?, list[middle]);
    Some(low + (high - low) / 2.0)
}

fn stddev(bucket: &[Item]) -> Cell {
    let list = numbers(bucket);
    if list.len() < 2 {
        return None;
    }
    let count = list.len() as f64;
    let mean = list.iter().sum::<f64>() / count;
    let squares: f64 = list.iter().map(|value| (value - mean).powi(2)).sum();
    Some(Value::Float((squares / (count - 1.0)).sqrt()))
}

/// Returns the most frequent value; of equally frequent ones that which InfluxDB's own loop prefers.
fn mode(bucket: &[Item]) -> Option<Value> {
    let mut sorted: Vec<&Item> = bucket.iter().collect();
    sorted.sort_by(|a, b| compare(&a.value, &b.value));
    let mut current = *sorted.first()?;
    let mut most = current;
    let (mut current_count, mut most_count) = (0, 0);
    for item in sorted {
        if compare(&item.value, &current.value) != Ordering::Equal {
            current = item;
            current_count = 1;
            continue;
        }
        current_count += 1;
        if most_count < current_count || (most_count == current_count && current.time <= most.time)
        {
            most_count = current_count;
            most = item;
        }
    }
    Some(most.value.clone())
}

fn percentile<'a>(call: &Call, bucket: &'a [Item]) -> Option<&'a Item> {
    let share = match call.args.get(1) {
        Some(Expr::Integer(share)) => *share as f64,
        Some(Expr::Number(share)) => *share,
        _ => return None,
    };
    let rank = (bucket.len() as f64 * share / 100.0 + 0.5).floor() - 1.0;
    if rank < 0.0 || rank >= bucket.len() as f64 {
        return None;
    }
    let mut sorted: Vec<&Item> = bucket.iter().collect();
    sorted.sort_by(|a, b| compare(&a.value, &b.value));
    sorted.get(rank as usize).copied()
}

/// Picks the largest or smallest values; with tags, the best one of each combination of them.
fn top(call: &Call, group: &Group, bucket: &[Item], run: &Run<'_>, points: &mut Vec<Point>) {
    let is_top = call.name == "top";
    let count = match call.args.last() {
        Some(Expr::Integer(count)) => *count as usize,
        _ => return,
    };
    let better = |a: &Item, b: &Item| {
        let by_value = compare(&a.value, &b.value);
        let by_value = if is_top { by_value.reverse() } else { by_value };
        by_value.then(a.time.cmp(&b.time))
    };
    let tags: Vec<usize> = call.args[1..call.args.len() - 1]
        .iter()
        .filter_map(|arg| match arg {
            Expr::Ref(reference) => run
                .scope
                .aux
                .iter()
                .position(|aux| aux.name == reference.name && aux.kind == reference.kind),
            _ => None,
        })
        .collect();
    let mut candidates: Vec<&Item> = if tags.is_empty() {
        bucket.iter().collect()
    } else {
        let mut best: BTreeMap<Vec<String>, &Item> = BTreeMap::new();
        for item in bucket {
            let part = &group.parts[item.at.part];
            let key = tags
                .iter()
                .map(|tag| format!("{:?}", part.aux[*tag].get(item.at.index)))
                .collect();
            let held = best.entry(key).or_insert(item);
            if better(item, held) == Ordering::Less {
                *held = item;
            }
        }
        best.into_values().collect()
    };
    candidates.sort_by(|a, b| better(a, b));
    candidates.truncate(count);
    candidates.sort_by(|a, b| {
        let by_time = a.time.cmp(&b.time);
        if run.scope.ascending {
            by_time
        } else {
            by_time.reverse()
        }
    });
    points.extend(candidates.into_iter().map(|item| full(group, item)));
}

/// Picks points at random, every one with the same chance.
fn sample(call: &Call, group: &Group, bucket: &[Item], points: &mut Vec<Point>) {
    let count = match call.args.get(1) {
        Some(Expr::Integer(count)) => *count as usize,
        _ => return,
    };
    let mut kept: Vec<&Item> = bucket.iter().take(count).collect();
    for (index, item) in bucket.iter().enumerate().skip(count) {
        let slot = rand::random_range(0..=index);
        if slot < count {
            kept[slot] = item;
        }
    }
    kept.sort_by_key(|item| item.time);
    points.extend(kept.into_iter().map(|item| full(group, item)));
}

/// The area under the line between the points, by the trapezium rule, cut at the buckets' ends.
fn integral(items: &[Item], unit: i64, windows: &Windows, ascending: bool) -> Vec<Point> {
    let mut points = Vec::new();
    let edges = |time: i64| {
        let (start, end) = windows.of(time);
        if ascending {
            (start, end)
        } else {
            (end, start)
        }
    };
    let has_buckets = windows.interval > 0;
    let mut previous: Option<(i64, f64)> = None;
    let mut window = (0, 0);
    let mut sum = 0.0;
    let mut emit = |time: i64, sum: f64| {
        points.push(Point {
            time,
            value: Some(Value::Float(sum)),
            aux: Vec::new(),
        });
    };
    for item in items {
        let Some(value) = number(&item.value) else {
            continue;
        };
        let Some((mut time, mut held)) = previous else {
            previous = Some((item.time, value));
            if has_buckets {
                window = edges(item.time);
            }
            continue;
        };
        if time == item.time {
            previous = Some((item.time, value));
            continue;
        }
        let leaves = if ascending {
            item.time >= window.1
        } else {
            item.time <= window.1
        };
        if has_buckets && leaves {
            if time != window.1 {
                let share = (window.1 - time) as f64 / (item.time - time) as f64;
                let between = held + (value - held) * share;
                sum += 0.5 * (between + held) * ((window.1 - time) as f64 / unit as f64);
                (time, held) = (window.1, between);
            }
            emit(window.0, sum);
            window = edges(item.time);
            sum = 0.0;
        }
        sum += 0.5 * (value + held) * ((item.time - time) as f64 / unit as f64);
        previous = Some((item.time, value));
    }
    if let Some((time, _)) = previous
        && time != window.0
    {
        emit(window.0, sum);
    }
    points
}
