//! Takes WHERE apart: the span of time, and what is left for tags and fields.
//!
//! Time conditions are taken out wherever they stand and all of them hold, even under OR, as InfluxDB does.

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;

use super::ast::{Expr, Operator};
use super::error::{Outcome, StatementError};
use super::window::{Span, TIME_MAX, TIME_MIN};

/// A condition without its time conditions, and the span that those leave.
#[derive(Debug)]
pub(super) struct Split {
    pub(super) rest: Option<Expr>,
    pub(super) span: Span,
    /// Whether the condition itself ends the span.
    pub(super) has_end: bool,
}

/// The clock and the time zone that time conditions are read with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    pub(super) now_ns: i64,
    pub(super) zone: Option<Tz>,
}

/// Splits a condition.
pub(super) fn split(condition: Option<&Expr>, clock: Clock) -> Outcome<Split> {
    let mut split = Split {
        rest: None,
        span: Span::ALL,
        has_end: false,
    };
    if let Some(condition) = condition {
        split.rest = walk(condition, clock, &mut split.span)?;
    }
    split.has_end = split.span.last != TIME_MAX;
    Ok(split)
}

fn is_time(expr: &Expr) -> bool {
    matches!(expr, Expr::Ref(reference) if reference.name.eq_ignore_ascii_case("time"))
}

fn walk(condition: &Expr, clock: Clock, span: &mut Span) -> Outcome<Option<Expr>> {
    match condition {
        Expr::Binary {
            operator: operator @ (Operator::And | Operator::Or),
            left,
            right,
        } => {
            let left = walk(left, clock, span)?;
            let right = walk(right, clock, span)?;
            Ok(match (left, right) {
                (Some(left), Some(right)) => Some(Expr::Binary {
                    operator: *operator,
                    left: Box::new(left),
                    right: Box::new(right),
                }),
                (left, right) => left.or(right),
            })
        }
        Expr::Binary {
            operator,
            left,
            right,
        } => {
            if is_time(left) {
                *span = span.and(time_span(*operator, right, clock)?);
                Ok(None)
            } else if is_time(right) {
                *span = span.and(time_span(operator.mirrored(), left, clock)?);
                Ok(None)
            } else {
                Ok(Some(condition.clone()))
            }
        }
        Expr::Paren(inner) => Ok(walk(inner, clock, span)?.map(|rest| Expr::Paren(Box::new(rest)))),
        Expr::Boolean(_) => Ok(Some(condition.clone())),
        other => Err(StatementError::invalid(format!(
            "invalid condition expression: {other}; compare it with something"
        ))),
    }
}

fn time_span(operator: Operator, value: &Expr, clock: Clock) -> Outcome<Span> {
    let time = instant(value, clock)?;
    let (first, last) = match operator {
        Operator::Greater => (time.saturating_add(1), TIME_MAX),
        Operator::GreaterOrEqual => (time, TIME_MAX),
        Operator::Less => (TIME_MIN, time.saturating_sub(1)),
        Operator::LessOrEqual => (TIME_MIN, time),
        Operator::Equal => (time, time),
        other => {
            return Err(StatementError::invalid(format!(
                "invalid time comparison operator: {other}; use =, <, <=, > or >="
            )));
        }
    };
    Ok(Span {
        first: first.max(TIME_MIN),
        last: last.min(TIME_MAX),
    })
}

/// What a part of a time expression is.
#[derive(Clone, Copy)]
enum Part {
    Instant(i64),
    Length(i64),
    Number(f64),
}

fn instant(value: &Expr, clock: Clock) -> Outcome<i64> {
    match part(value, clock)? {
        Part::Instant(time) | Part::Length(time) => Ok(time),
        Part::Number(number) => Ok(number as i64),
    }
}

fn incompatible(expr: &Expr) -> StatementError {
    StatementError::invalid(format!(
        "invalid operation: time and {expr} are not compatible; write a time such as '2024-03-29T00:00:00Z', \
         1711670400s or now() - 1h"
    ))
}

fn part(value: &Expr, clock: Clock) -> Outcome<Part> {
    Ok(match value {
        Expr::Integer(nanos) => Part::Instant(*nanos),
        Expr::Number(nanos) => Part::Number(*nanos),
        Expr::Duration(nanos) => Part::Length(*nanos),
        Expr::Text(text) => Part::Instant(parse_time(text, clock.zone)?),
        Expr::Call(call) if call.name == "now" && call.args.is_empty() => {
            Part::Instant(clock.now_ns)
        }
        Expr::Paren(inner) => part(inner, clock)?,
        Expr::Binary {
            operator,
            left,
            right,
        } => {
            let (left, right) = (part(left, clock)?, part(right, clock)?);
            combined(*operator, left, right).ok_or_else(|| incompatible(value))?
        }
        _ => return Err(incompatible(value)),
    })
}

fn combined(operator: Operator, left: Part, right: Part) -> Option<Part> {
    use Part::{Instant, Length, Number};
    Some(match (operator, left, right) {
        (Operator::Add, Instant(a), Length(b) | Instant(b))
        | (Operator::Add, Length(a), Instant(b)) => Instant(a.saturating_add(b)),
        (Operator::Add, Length(a), Length(b)) => Length(a.saturating_add(b)),
        (Operator::Subtract, Instant(a), Length(b) | Instant(b)) => Instant(a.saturating_sub(b)),
        (Operator::Subtract, Length(a), Length(b)) => Length(a.saturating_sub(b)),
        (Operator::Multiply, Length(a), Instant(b))
        | (Operator::Multiply, Instant(b), Length(a)) => Length(a.saturating_mul(b)),
        (Operator::Multiply, Length(a), Number(b)) | (Operator::Multiply, Number(b), Length(a)) => {
            Length((a as f64 * b) as i64)
        }
        (Operator::Multiply, Instant(a), Instant(b)) => Instant(a.saturating_mul(b)),
        (Operator::Divide, Length(a), Instant(b)) if b != 0 => Length(a.saturating_div(b)),
        (Operator::Divide, Length(a), Number(b)) if b != 0.0 => Length((a as f64 / b) as i64),
        _ => return None,
    })
}

/// Reads a time in the forms that InfluxDB takes; without `Z` it is local to the zone.
fn parse_time(text: &str, zone: Option<Tz>) -> Outcome<i64> {
    let invalid = || {
        StatementError::invalid(format!(
            "invalid operation: time and '{text}' are not compatible; write a time such as '2024-03-29T00:00:00Z' or \
             '2024-03-29 00:00:00'"
        ))
    };
    if let Ok(time) = DateTime::parse_from_rfc3339(text)
        && text.contains('T')
    {
        return nanos(time.with_timezone(&Utc)).ok_or_else(invalid);
    }
    let local = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f")
        .ok()
        .or_else(|| {
            NaiveDate::parse_from_str(text, "%Y-%m-%d")
                .ok()?
                .and_hms_opt(0, 0, 0)
        })
        .filter(|_| text.len() >= "2024-03-29".len())
        .ok_or_else(invalid)?;
    let zone = zone.unwrap_or(Tz::UTC);
    let resolved = zone.from_local_datetime(&local);
    // A local time that the clocks skip is read with the offset that held before.
    let time = if let Some(time) = resolved.earliest() {
        time.with_timezone(&Utc)
    } else {
        let before =
            local.and_utc().timestamp_nanos_opt().unwrap_or_default() - 3 * 3_600_000_000_000;
        let ahead = super::window::zone_offset(zone, before);
        local.and_utc() - chrono::TimeDelta::nanoseconds(ahead)
    };
    nanos(time).ok_or_else(invalid)
}

fn nanos(time: DateTime<Utc>) -> Option<i64> {
    time.timestamp_nanos_opt()
}
