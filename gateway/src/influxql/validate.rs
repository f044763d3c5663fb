//! Checks the rules of SELECT that the grammar does not know.

use super::ast::{Call, Expr, Fill, Kind, Limits, Operator, Select};
use super::condition::{self, Clock};
use super::error::{Outcome, StatementError};
use super::formula::is_math;

/// Functions of all points of a bucket.
const AGGREGATES: &[&str] = &[
    "count", "distinct", "integral", "mean", "median", "mode", "spread", "stddev", "sum",
];
/// Functions that pick points.
const SELECTORS: &[&str] = &[
    "bottom",
    "first",
    "last",
    "max",
    "min",
    "percentile",
    "sample",
    "top",
];
/// Functions of neighbouring points.
const TRANSFORMATIONS: &[&str] = &[
    "cumulative_sum",
    "derivative",
    "difference",
    "elapsed",
    "moving_average",
    "non_negative_derivative",
    "non_negative_difference",
];

fn fail<T>(message: impl Into<String>) -> Outcome<T> {
    Err(StatementError::invalid(message))
}

/// Says whether a function picks points.
pub(super) fn is_selector(name: &str) -> bool {
    SELECTORS.contains(&name)
}

/// Says whether a function works on neighbouring points.
pub(super) fn is_transformation(name: &str) -> bool {
    TRANSFORMATIONS.contains(&name)
}

/// Says whether an expression calls a function of many points.
pub(super) fn has_aggregate(expr: &Expr) -> bool {
    let mut found = false;
    expr.walk(&mut |expr| found |= matches!(expr, Expr::Call(call) if !is_math(&call.name)));
    found
}

/// The interval and the offset of `GROUP BY time`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TimeDimension {
    pub(super) interval: i64,
    pub(super) offset: i64,
}

/// Checks GROUP BY and returns its time.
pub(super) fn dimensions(dimensions: &[Expr], clock: Clock) -> Outcome<TimeDimension> {
    let mut time = None;
    for dimension in dimensions {
        match dimension {
            Expr::Call(call) if call.name == "time" => {
                if time.is_some() {
                    return fail("multiple time dimensions not allowed");
                }
                time = Some(time_dimension(call, clock)?);
            }
            Expr::Call(_) => return fail("only time() calls allowed in dimensions"),
            Expr::Ref(reference) if reference.name.eq_ignore_ascii_case("time") => {
                return fail("time() is a function and expects at least one argument");
            }
            Expr::Ref(_) | Expr::Wildcard(_) | Expr::Pattern(_) => {}
            _ => return fail("only time and tag dimensions allowed"),
        }
    }
    Ok(time.unwrap_or_default())
}

fn time_dimension(call: &Call, clock: Clock) -> Outcome<TimeDimension> {
    if call.args.is_empty() || call.args.len() > 2 {
        return fail("time dimension expected 1 or 2 arguments");
    }
    let Expr::Duration(interval) = call.args[0] else {
        return fail("time dimension must have duration argument");
    };
    if interval < 0 {
        return fail("time dimension must have a positive duration");
    }
    let offset = match call.args.get(1) {
        None => 0,
        Some(Expr::Duration(offset)) => *offset,
        Some(other @ (Expr::Text(_) | Expr::Call(_))) => {
            let compared = Expr::Binary {
                operator: Operator::Equal,
                left: Box::new(Expr::Ref(super::ast::Ref {
                    name: "time".to_owned(),
                    kind: None,
                })),
                right: Box::new(other.clone()),
            };
            match condition::split(Some(&compared), clock) {
                Ok(split) => split.span.first,
                Err(_) => return fail("time dimension offset must be duration or now()"),
            }
        }
        Some(_) => return fail("time dimension offset must be duration or now()"),
    };
    let offset = if interval > 0 { offset % interval } else { 0 };
    Ok(TimeDimension { interval, offset })
}

/// Checks WHERE.
pub(super) fn condition(condition: &Expr) -> Outcome<()> {
    let mut bad = None;
    condition.walk(&mut |expr| {
        if let Expr::Call(call) = expr
            && !is_math(&call.name)
        {
            bad = Some(call);
        }
    });
    match bad {
        Some(call) => fail(format!(
            "invalid function call in condition: {call}; select it in a subquery and compare it outside"
        )),
        None => Ok(()),
    }
}

/// Checks WHERE of a statement that looks at tags alone.
pub(super) fn tag_condition(condition: &Expr) -> Outcome<()> {
    let mut bad = None;
    condition.walk(&mut |expr| {
        if let Expr::Binary { operator, .. } = expr
            && matches!(
                operator,
                Operator::Less
                    | Operator::LessOrEqual
                    | Operator::Greater
                    | Operator::GreaterOrEqual
            )
        {
            bad = Some(expr.clone());
        }
    });
    match bad {
        Some(expr) => fail(format!(
            "invalid tag comparison operator: {expr}; tags are compared by =, !=, =~ and !~"
        )),
        None => Ok(()),
    }
}

/// What is selected, counted.
#[derive(Default)]
struct Seen<'a> {
    calls: Vec<&'a Call>,
    has_plain: bool,
    only_selectors: bool,
}

/// Whether a SELECT makes buckets of time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Buckets {
    /// By its own GROUP BY.
    pub(super) own: bool,
    /// By that of the query around it.
    pub(super) inherited: bool,
}

/// Checks what is selected.
pub(super) fn fields(select: &Select, buckets: Buckets) -> Outcome<()> {
    let mut seen = Seen {
        only_selectors: true,
        ..Seen::default()
    };
    for field in &select.fields {
        if matches!(&field.expr, Expr::Ref(reference) if reference.name == "time") {
            continue;
        }
        field_expr(&field.expr, buckets, select.limits, &mut seen)?;
        let mut reads = false;
        field.expr.walk(&mut |expr| {
            reads |= matches!(
                expr,
                Expr::Ref(_) | Expr::Wildcard(_) | Expr::Pattern(_) | Expr::Call(_)
            );
        });
        if !reads {
            return fail("field must contain at least one variable");
        }
    }
    let alone = seen.calls.len() == 1 && !seen.has_plain;
    for call in &seen.calls {
        if call.name == "distinct" && !alone {
            return fail(
                "aggregate function distinct() cannot be combined with other functions or fields",
            );
        }
        if matches!(call.name.as_str(), "top" | "bottom") && seen.calls.len() > 1 {
            return fail(format!(
                "selector function {}() cannot be combined with other functions",
                call.name
            ));
        }
    }
    if seen.calls.is_empty() {
        return match select.fill {
            Fill::None => fail("fill(none) must be used with a function"),
            Fill::Linear => fail("fill(linear) must be used with a function"),
            _ if buckets.own => fail("GROUP BY requires at least one aggregate function"),
            _ => Ok(()),
        };
    }
    if seen.has_plain && !seen.only_selectors {
        return fail("mixing aggregate and non-aggregate queries is not supported");
    }
    if seen.has_plain && seen.calls.len() > 1 {
        return fail("mixing multiple selector functions with tags or fields is not supported");
    }
    Ok(())
}

fn field_expr<'a>(
    expr: &'a Expr,
    buckets: Buckets,
    limits: Limits,
    seen: &mut Seen<'a>,
) -> Outcome<()> {
    match expr {
        Expr::Ref(_) | Expr::Wildcard(_) | Expr::Pattern(_) => {
            seen.has_plain = true;
            Ok(())
        }
        Expr::Paren(inner) => field_expr(inner, buckets, limits, seen),
        Expr::Binary {
            operator,
            left,
            right,
        } => {
            if operator.precedence() <= 3 {
                return fail(format!(
                    "invalid operator {operator} in SELECT clause; only calculations can be selected"
                ));
            }
            field_expr(left, buckets, limits, seen)?;
            field_expr(right, buckets, limits, seen)
        }
        Expr::Call(call) if is_math(&call.name) => {
            let wanted = if matches!(call.name.as_str(), "pow" | "atan2" | "log") {
                2
            } else {
                1
            };
            arguments(call, wanted, wanted)?;
            if call.args.iter().any(|arg| matches!(arg, Expr::Pattern(_))) {
                return fail(
                    "field must contain at least one variable; a function of one value takes no regular expression",
                );
            }
            call.args
                .iter()
                .try_for_each(|arg| field_expr(arg, buckets, limits, seen))
        }
        Expr::Call(call) => {
            seen.only_selectors &= is_selector(&call.name);
            if !seen.calls.contains(&call) {
                seen.calls.push(call);
            }
            function(call, buckets, limits)
        }
        _ => Ok(()),
    }
}

fn arguments(call: &Call, least: usize, most: usize) -> Outcome<()> {
    let (name, got) = (&call.name, call.args.len());
    if (least..=most).contains(&got) {
        return Ok(());
    }
    if name == "distinct" && got == 0 {
        return fail("distinct function requires at least one argument");
    }
    if least == most {
        return fail(format!(
            "invalid number of arguments for {name}, expected {least}, got {got}"
        ));
    }
    fail(format!(
        "invalid number of arguments for {name}, expected at least {least} but no more than {most}, got {got}"
    ))
}

/// Checks a call of a function of many points.
fn function(call: &Call, buckets: Buckets, limits: Limits) -> Outcome<()> {
    let name = call.name.as_str();
    match name {
        "holt_winters" | "holt_winters_with_fit" => fail(format!(
            "{name} is not supported; the forecaster writes its forecasts as points of the measurement \"forecast\", and \
             answers GET /api/v1/hosts/{{host}}/forecasts"
        )),
        "top" | "bottom" => top(call, limits),
        "percentile" => {
            arguments(call, 2, 2)?;
            if !matches!(call.args[1], Expr::Integer(_) | Expr::Number(_)) {
                return fail("expected float argument in percentile()");
            }
            field_argument(call)
        }
        "sample" => {
            arguments(call, 2, 2)?;
            match call.args[1] {
                Expr::Integer(size) if size > 0 => field_argument(call),
                Expr::Integer(_) => fail("sample window must be greater than 1"),
                _ => fail("expected integer argument in sample()"),
            }
        }
        "integral" => {
            arguments(call, 1, 2)?;
            duration_argument(call)?;
            field_argument(call)
        }
        _ if AGGREGATES.contains(&name) || is_selector(name) => {
            arguments(call, 1, 1)?;
            if let (true, [Expr::Call(inner)]) = (name == "count", call.args.as_slice())
                && inner.name == "distinct"
            {
                return function(inner, buckets, limits);
            }
            field_argument(call)
        }
        _ if is_transformation(name) => transformation(call, buckets, limits),
        _ => fail(format!("undefined function {name}()")),
    }
}

fn field_argument(call: &Call) -> Outcome<()> {
    match call.args.first() {
        Some(Expr::Ref(_) | Expr::Wildcard(_) | Expr::Pattern(_)) => Ok(()),
        _ => fail(format!("expected field argument in {}()", call.name)),
    }
}

fn duration_argument(call: &Call) -> Outcome<()> {
    match call.args.get(1) {
        None => Ok(()),
        Some(Expr::Duration(nanos)) if *nanos > 0 => Ok(()),
        Some(Expr::Duration(_)) => fail(format!(
            "duration argument must be positive, got {}",
            call.args[1]
        )),
        Some(other) => fail(format!(
            "second argument to {} must be a duration, got {other}",
            call.name
        )),
    }
}

fn top(call: &Call, limits: Limits) -> Outcome<()> {
    let name = &call.name;
    if call.args.len() < 2 {
        return fail(format!(
            "invalid number of arguments for {name}, expected at least 2, got {}",
            call.args.len()
        ));
    }
    let Some((Expr::Integer(count), others)) = call.args.split_last() else {
        return fail(format!(
            "expected integer as last argument in {name}(), found {}",
            call.args[call.args.len() - 1]
        ));
    };
    if *count < 1 {
        return fail(format!(
            "limit ({count}) in {name} function must be at least 1"
        ));
    }
    if limits.limit > 0 && *count as usize > limits.limit {
        return fail(format!(
            "limit ({count}) in {name} function can not be larger than the LIMIT ({}) in the select statement",
            limits.limit
        ));
    }
    match others.iter().find(|arg| !matches!(arg, Expr::Ref(_))) {
        Some(other) => fail(format!(
            "only fields or tags are allowed in {name}(), found {other}"
        )),
        None => Ok(()),
    }
}

fn transformation(call: &Call, buckets: Buckets, limits: Limits) -> Outcome<()> {
    let name = call.name.as_str();
    match name {
        "moving_average" => {
            arguments(call, 2, 2)?;
            match call.args[1] {
                Expr::Integer(size) if size > 1 => {}
                Expr::Integer(size) => {
                    return fail(format!(
                        "moving_average window must be greater than 1, got {size}"
                    ));
                }
                _ => return fail("second argument for moving_average must be an integer"),
            }
        }
        "derivative" | "non_negative_derivative" | "elapsed" => {
            arguments(call, 1, 2)?;
            duration_argument(call)?;
        }
        _ => arguments(call, 1, 1)?,
    }
    match &call.args[0] {
        Expr::Call(inner) if is_math(&inner.name) => {
            fail(format!("expected field argument in {name}()"))
        }
        Expr::Call(inner) => {
            if !buckets.own && !buckets.inherited {
                return fail(format!("{name} aggregate requires a GROUP BY interval"));
            }
            if matches!(inner.name.as_str(), "top" | "bottom") {
                return fail(format!(
                    "selector function {0}() cannot be combined with other functions; select {0}() in a subquery and take \
                     {name}() of it outside",
                    inner.name
                ));
            }
            function(inner, buckets, limits)
        }
        _ if buckets.own => fail(format!(
            "aggregate function required inside the call to {name}"
        )),
        _ => field_argument(call),
    }
}

/// Checks that a function can work on values of a kind.
pub(super) fn argument_type(function: &str, field: &str, found: Kind) -> Outcome<()> {
    let takes_all = matches!(
        function,
        "count" | "distinct" | "elapsed" | "first" | "last" | "mode" | "sample"
    );
    let fits = match found {
        Kind::Text => takes_all,
        Kind::Boolean => takes_all || matches!(function, "min" | "max"),
        _ => true,
    };
    if fits {
        return Ok(());
    }
    fail(format!(
        "{function}() works on numbers, and {field} is a {}",
        found.word()
    ))
}
