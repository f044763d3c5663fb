//! Functions of neighbouring points: derivatives, differences, moving averages, running sums and elapsed times.

use super::super::ast::{Call, Expr};
use super::super::error::{Outcome, StatementError};
use super::super::formula::number;
use super::{Point, Run};
use crate::store::Value;

/// Runs a transformation over one group's points.
pub(super) fn run(call: &Call, points: Vec<Point>, run: &Run<'_>) -> Outcome<Vec<Point>> {
    let points: Vec<Point> = points
        .into_iter()
        .filter(|point| point.value.is_some())
        .collect();
    let unit = match call.args.get(1) {
        Some(Expr::Duration(nanos)) => Some(*nanos),
        _ => None,
    };
    match call.name.as_str() {
        "derivative" | "non_negative_derivative" => {
            let unit = unit.unwrap_or(match run.windows.interval {
                0 => 1_000_000_000,
                interval => interval,
            });
            let non_negative = call.name.starts_with("non");
            pairs(points, true, |before, after| {
                let elapsed = if run.scope.ascending {
                    after.time.wrapping_sub(before.time)
                } else {
                    before.time.wrapping_sub(after.time)
                };
                let (from, to) = (float(before)?, float(after)?);
                let rate = (to - from) / (elapsed as f64 / unit as f64);
                Ok((!non_negative || to >= from).then_some(Value::Float(rate)))
            })
        }
        "difference" => pairs(points, true, |before, after| {
            difference(before, after, false)
        }),
        "non_negative_difference" => pairs(points, true, |before, after| {
            difference(before, after, true)
        }),
        "elapsed" => {
            let unit = unit.unwrap_or(1);
            pairs(points, false, |before, after| {
                let elapsed = after.time.wrapping_sub(before.time);
                Ok(Some(Value::Integer(elapsed / unit)))
            })
        }
        "moving_average" => {
            let size = match call.args.get(1) {
                Some(Expr::Integer(size)) => *size as usize,
                _ => 2,
            };
            moving_average(&points, size)
        }
        _ => cumulative_sum(points),
    }
}

fn float(point: &Point) -> Outcome<f64> {
    point.value.as_ref().and_then(number).ok_or_else(|| {
        StatementError::invalid("transformations work on numbers; choose another field")
    })
}

/// Calls a function for each point and the one before it. `once` passes over points of the same time but the first.
fn pairs(
    points: Vec<Point>,
    once: bool,
    mut calculate: impl FnMut(&Point, &Point) -> Outcome<Option<Value>>,
) -> Outcome<Vec<Point>> {
    let mut answers = Vec::with_capacity(points.len());
    let mut before: Option<Point> = None;
    for point in points {
        if let Some(before) = &before {
            if once && before.time == point.time {
                continue;
            }
            if let Some(value) = calculate(before, &point)? {
                answers.push(Point {
                    time: point.time,
                    value: Some(value),
                    aux: Vec::new(),
                });
            }
        }
        before = Some(point);
    }
    Ok(answers)
}

fn difference(before: &Point, after: &Point, non_negative: bool) -> Outcome<Option<Value>> {
    Ok(match (&before.value, &after.value) {
        (Some(Value::Integer(from)), Some(Value::Integer(to))) => {
            let difference = to.wrapping_sub(*from);
            (!non_negative || difference >= 0).then_some(Value::Integer(difference))
        }
        (Some(Value::Unsigned(from)), Some(Value::Unsigned(to))) => {
            (!non_negative || to >= from).then_some(Value::Unsigned(to.wrapping_sub(*from)))
        }
        _ => {
            let difference = float(after)? - float(before)?;
            (!non_negative || difference >= 0.0).then_some(Value::Float(difference))
        }
    })
}

fn moving_average(points: &[Point], size: usize) -> Outcome<Vec<Point>> {
    let numbers = points.iter().map(float).collect::<Outcome<Vec<f64>>>()?;
    let mut sum = 0.0;
    let mut answers = Vec::new();
    for (index, value) in numbers.iter().enumerate() {
        sum += value;
        if index >= size {
            sum -= numbers[index - size];
        }
        if index + 1 >= size {
            answers.push(Point {
                time: points[index].time,
                value: Some(Value::Float(sum / size as f64)),
                aux: Vec::new(),
            });
        }
    }
    Ok(answers)
}

fn cumulative_sum(points: Vec<Point>) -> Outcome<Vec<Point>> {
    let mut total: Option<Value> = None;
    points
        .into_iter()
        .map(|point| {
            let value = match (&total, &point.value) {
                (Some(Value::Integer(a)), Some(Value::Integer(b))) => {
                    Value::Integer(a.wrapping_add(*b))
                }
                (Some(Value::Unsigned(a)), Some(Value::Unsigned(b))) => {
                    Value::Unsigned(a.wrapping_add(*b))
                }
                (None, Some(first @ (Value::Integer(_) | Value::Unsigned(_)))) => first.clone(),
                (total, _) => {
                    let before = total.as_ref().and_then(number).unwrap_or_default();
                    Value::Float(before + float(&point)?)
                }
            };
            total = Some(value.clone());
            Ok(Point {
                time: point.time,
                value: Some(value),
                aux: Vec::new(),
            })
        })
        .collect()
}
