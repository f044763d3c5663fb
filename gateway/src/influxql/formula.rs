//! Calculates with values: arithmetic, comparisons and the functions of one value.
//!
//! The rules are InfluxDB's: integers wrap, dividing by zero gives zero, what cannot be calculated is null, and a
//! comparison of what cannot be compared is false.

use std::sync::Arc;

use super::ast::{Operator, Pattern};
use crate::store::Value;

/// A value or null.
pub(super) type Cell = Option<Value>;

/// The functions of one row's values.
pub(super) const MATH: &[&str] = &[
    "abs", "acos", "asin", "atan", "atan2", "ceil", "cos", "exp", "floor", "ln", "log", "log10",
    "log2", "pow", "round", "sin", "sqrt", "tan",
];

/// Says whether a function calculates with one row's values.
pub(super) fn is_math(name: &str) -> bool {
    MATH.contains(&name)
}

/// An expression whose names are places in a row.
#[derive(Debug, Clone)]
pub(super) enum Formula {
    Slot(usize),
    Literal(Value),
    Null,
    Binary {
        operator: Operator,
        left: Box<Formula>,
        right: Box<Formula>,
    },
    Matches {
        left: Box<Formula>,
        pattern: Pattern,
        expected: bool,
    },
    Math {
        name: String,
        args: Vec<Formula>,
    },
}

impl Formula {
    /// Calculates the formula for a row. `float_division` makes the quotient of integers a float.
    pub(super) fn eval(&self, row: &[Cell], float_division: bool) -> Cell {
        match self {
            Self::Slot(slot) => row[*slot].clone(),
            Self::Literal(value) => Some(value.clone()),
            Self::Null => None,
            Self::Binary {
                operator,
                left,
                right,
            } => {
                let left = left.eval(row, float_division);
                let right = right.eval(row, float_division);
                binary(*operator, left, right, float_division)
            }
            Self::Matches {
                left,
                pattern,
                expected,
            } => match left.eval(row, float_division) {
                Some(Value::Text(text)) => {
                    Some(Value::Boolean(pattern.matches(&text) == *expected))
                }
                _ => Some(Value::Boolean(false)),
            },
            Self::Math { name, args } => {
                let args: Vec<Cell> = args
                    .iter()
                    .map(|arg| arg.eval(row, float_division))
                    .collect();
                math(name, &args)
            }
        }
    }

    /// Says whether a row fulfils the formula.
    pub(super) fn holds(&self, row: &[Cell]) -> bool {
        matches!(self.eval(row, false), Some(Value::Boolean(true)))
    }
}

fn binary(operator: Operator, left: Cell, right: Cell, float_division: bool) -> Cell {
    let joins = matches!(operator, Operator::And | Operator::Or);
    let (left, right) = match (left, right) {
        (None, Some(Value::Boolean(right))) if joins => {
            (Value::Boolean(false), Value::Boolean(right))
        }
        (Some(Value::Boolean(left)), None) if joins => {
            (Value::Boolean(left), Value::Boolean(false))
        }
        (Some(left), Some(right)) => (left, right),
        _ => return incomparable(operator),
    };
    let answer = match (&left, &right) {
        (Value::Boolean(left), Value::Boolean(right)) => booleans(operator, *left, *right),
        (Value::Text(left), Value::Text(right)) => match operator {
            Operator::Equal => Some(Value::Boolean(left == right)),
            Operator::NotEqual => Some(Value::Boolean(left != right)),
            _ => None,
        },
        (Value::Integer(left), Value::Integer(right)) => {
            integers(operator, *left, *right, float_division)
        }
        (Value::Unsigned(left), Value::Unsigned(right)) => {
            unsigned(operator, *left, *right, float_division)
        }
        (Value::Integer(left), Value::Unsigned(right)) => match u64::try_from(*left) {
            Ok(left) => unsigned(operator, left, *right, float_division),
            Err(_) => below_zero(operator, *left as f64, *right as f64),
        },
        (Value::Unsigned(left), Value::Integer(right)) => match u64::try_from(*right) {
            Ok(right) => unsigned(operator, *left, right, float_division),
            Err(_) => below_zero(operator, *left as f64, *right as f64),
        },
        _ => match (number(&left), number(&right)) {
            (Some(left), Some(right)) => floats(operator, left, right),
            _ => None,
        },
    };
    answer.or_else(|| incomparable(operator))
}

/// Comparisons of a negative integer with an unsigned one go by their sizes.
fn below_zero(operator: Operator, left: f64, right: f64) -> Cell {
    floats(operator, left, right)
}

fn incomparable(operator: Operator) -> Cell {
    (operator.precedence() == 3).then_some(Value::Boolean(false))
}

/// Returns a number as a float.
pub(super) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Float(value) => Some(*value),
        Value::Integer(value) => Some(*value as f64),
        Value::Unsigned(value) => Some(*value as f64),
        _ => None,
    }
}

fn booleans(operator: Operator, left: bool, right: bool) -> Cell {
    Some(Value::Boolean(match operator {
        Operator::And | Operator::BitAnd => left && right,
        Operator::Or | Operator::BitOr => left || right,
        Operator::BitXor | Operator::NotEqual => left != right,
        Operator::Equal => left == right,
        _ => return None,
    }))
}

/// Answers a comparison of two ordered values.
fn compared<T: PartialOrd>(operator: Operator, left: &T, right: &T) -> Cell {
    Some(Value::Boolean(match operator {
        Operator::Equal => left == right,
        Operator::NotEqual => left != right,
        Operator::Less => left < right,
        Operator::LessOrEqual => left <= right,
        Operator::Greater => left > right,
        Operator::GreaterOrEqual => left >= right,
        _ => return None,
    }))
}

fn floats(operator: Operator, left: f64, right: f64) -> Cell {
    Some(Value::Float(match operator {
        Operator::Add => left + right,
        Operator::Subtract => left - right,
        Operator::Multiply => left * right,
        Operator::Divide if right == 0.0 => 0.0,
        Operator::Divide => left / right,
        Operator::Remainder => left % right,
        _ => return compared(operator, &left, &right),
    }))
}

/// Makes the arithmetic of a type of whole numbers: it wraps, and a quotient is a float where that is asked for.
macro_rules! whole_numbers {
    ($name:ident, $number:ty, $value:path) => {
        fn $name(operator: Operator, left: $number, right: $number, float_division: bool) -> Cell {
            Some($value(match operator {
                Operator::Add => left.wrapping_add(right),
                Operator::Subtract => left.wrapping_sub(right),
                Operator::Multiply => left.wrapping_mul(right),
                Operator::Divide if float_division => {
                    return floats(operator, left as f64, right as f64);
                }
                Operator::Divide | Operator::Remainder if right == 0 => 0,
                Operator::Divide => left.wrapping_div(right),
                Operator::Remainder => left.wrapping_rem(right),
                Operator::BitAnd => left & right,
                Operator::BitOr => left | right,
                Operator::BitXor => left ^ right,
                _ => return compared(operator, &left, &right),
            }))
        }
    };
}

whole_numbers!(integers, i64, Value::Integer);
whole_numbers!(unsigned, u64, Value::Unsigned);

fn math(name: &str, args: &[Cell]) -> Cell {
    let first = args.first()?.as_ref()?;
    match (name, first) {
        ("abs", Value::Integer(value)) => return Some(Value::Integer(value.wrapping_abs())),
        ("abs" | "ceil" | "floor" | "round", Value::Unsigned(_))
        | ("ceil" | "floor" | "round", Value::Integer(_)) => return Some(first.clone()),
        ("pow", Value::Integer(base)) => {
            if let Some(Some(Value::Integer(power))) = args.get(1) {
                return Some(Value::Float((*base as f64).powf(*power as f64)));
            }
        }
        _ => {}
    }
    let x = number(first)?;
    let second = || args.get(1).and_then(Option::as_ref).and_then(number);
    Some(Value::Float(match name {
        "abs" => x.abs(),
        "acos" => x.acos(),
        "asin" => x.asin(),
        "atan" => x.atan(),
        "atan2" => x.atan2(second()?),
        "ceil" => x.ceil(),
        "cos" => x.cos(),
        "exp" => x.exp(),
        "floor" => x.floor(),
        "ln" => x.ln(),
        "log" => x.ln() / second()?.ln(),
        "log10" => x.log10(),
        "log2" => x.log2(),
        "pow" => x.powf(second()?),
        "round" => x.round(),
        "sin" => x.sin(),
        "sqrt" => x.sqrt(),
        "tan" => x.tan(),
        _ => return None,
    }))
}

/// Makes a value of another type of a number, where that is possible.
pub(super) fn cast(value: &Value, kind: super::ast::Kind) -> Cell {
    use super::ast::Kind;
    match (kind, value) {
        (Kind::Float, _) => number(value).map(Value::Float),
        (Kind::Integer, Value::Float(value)) => Some(Value::Integer(*value as i64)),
        (Kind::Integer, Value::Unsigned(value)) => Some(Value::Integer(*value as i64)),
        (Kind::Unsigned, Value::Float(value)) => Some(Value::Unsigned(*value as u64)),
        (Kind::Unsigned, Value::Integer(value)) => Some(Value::Unsigned(*value as u64)),
        (Kind::Integer, Value::Integer(_))
        | (Kind::Unsigned, Value::Unsigned(_))
        | (Kind::Text | Kind::Tag, Value::Text(_))
        | (Kind::Boolean, Value::Boolean(_))
        | (Kind::AnyField | Kind::Time, _) => Some(value.clone()),
        _ => None,
    }
}

/// Makes a text value.
pub(super) fn text(text: &str) -> Value {
    Value::Text(Arc::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calculated(operator: Operator, left: Value, right: Value) -> Cell {
        binary(operator, Some(left), Some(right), true)
    }

    #[test]
    fn arithmetic_follows_influxdb() {
        use Value::{Boolean, Float, Integer};
        let cases = [
            (Operator::Divide, Integer(1), Integer(2), Some(Float(0.5))),
            (Operator::Divide, Float(1.0), Float(0.0), Some(Float(0.0))),
            (
                Operator::Remainder,
                Integer(1),
                Integer(0),
                Some(Integer(0)),
            ),
            (
                Operator::Add,
                Integer(i64::MAX),
                Integer(1),
                Some(Integer(i64::MIN)),
            ),
            (
                Operator::Greater,
                text("b"),
                text("a"),
                Some(Boolean(false)),
            ),
            (
                Operator::NotEqual,
                Boolean(true),
                Integer(1),
                Some(Boolean(false)),
            ),
            (Operator::Add, Boolean(true), Integer(1), None),
        ];
        for (operator, left, right, expected) in cases {
            assert_eq!(
                calculated(operator, left.clone(), right.clone()),
                expected,
                "{left:?} {operator} {right:?}"
            );
        }
    }

    #[test]
    fn a_comparison_with_null_is_false() {
        let answer = binary(Operator::NotEqual, None, Some(Value::Integer(1)), false);
        assert_eq!(answer, Some(Value::Boolean(false)));
    }
}
