//! The forms a field's value may take.

use super::{Refusal, Rule};

/// Where a bare value (no string) needs another form for the parser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The parser reads it as it stands.
    Plain,
    /// `.5`, `1.` or `1.e5`: InfluxDB reads these, the parser wants a digit on both sides of the point.
    BarePoint,
}

/// Judges a value that is no string, which stands at `offset` in its line.
pub(super) fn judge(value: &str, offset: usize) -> Result<Form, Refusal> {
    if is_boolean(value) {
        return Ok(Form::Plain);
    }
    let refuse = |rule, reason| Err(Refusal::at(rule, offset, reason));
    let digits = value.strip_prefix('-').unwrap_or(value);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return refuse(
            Rule::Value,
            "the value is no number, string or boolean; strings stand in double quotes, booleans are true or false",
        );
    }
    match digits.as_bytes()[digits.len() - 1] {
        b'i' if is_digits(&digits[..digits.len() - 1]) => {
            match value[..value.len() - 1].parse::<i64>() {
                Ok(_) => Ok(Form::Plain),
                Err(_) => refuse(
                    Rule::NumberRange,
                    "the integer is beyond 64 bits; write a float, without the i",
                ),
            }
        }
        b'u' if is_digits(&value[..value.len() - 1]) => {
            match value[..value.len() - 1].parse::<u64>() {
                Ok(_) => Ok(Form::Plain),
                Err(_) => refuse(
                    Rule::NumberRange,
                    "the unsigned integer is beyond 64 bits; write a float, without the u",
                ),
            }
        }
        _ => match float_form(digits) {
            None => refuse(
                Rule::Value,
                "the number is malformed; write 1, 1.5, 1e3, or 1i for an integer, 1u for an unsigned one",
            ),
            Some(_) if !value.parse::<f64>().is_ok_and(f64::is_finite) => refuse(
                Rule::NumberRange,
                "the number is beyond what a 64-bit float holds",
            ),
            Some(form) => Ok(form),
        },
    }
}

/// Writes a [`Form::BarePoint`] float with a digit on both sides of its point.
pub(super) fn with_digits(value: &str) -> String {
    let Some(point) = value.find('.') else {
        return value.to_owned();
    };
    let (before, after) = (&value[..point], &value[point + 1..]);
    let digit = |text: &str, at_end: bool| {
        let byte = if at_end {
            text.bytes().last()
        } else {
            text.bytes().next()
        };
        if byte.is_some_and(|byte| byte.is_ascii_digit()) {
            ""
        } else {
            "0"
        }
    };
    format!(
        "{before}{}.{}{after}",
        digit(before, true),
        digit(after, false)
    )
}

fn is_boolean(value: &str) -> bool {
    matches!(
        value,
        "t" | "T" | "true" | "True" | "TRUE" | "f" | "F" | "false" | "False" | "FALSE"
    )
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The form of an unsigned decimal float; `None` if it is none.
fn float_form(text: &str) -> Option<Form> {
    let mantissa = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => {
            let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            if !is_digits(exponent) {
                return None;
            }
            mantissa
        }
        None => text,
    };
    match mantissa.split_once('.') {
        None => is_digits(mantissa).then_some(Form::Plain),
        Some((whole, fraction)) => match (is_digits(whole), is_digits(fraction)) {
            (true, true) => Some(Form::Plain),
            (true, false) if fraction.is_empty() => Some(Form::BarePoint),
            (false, true) if whole.is_empty() => Some(Form::BarePoint),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_influxdb_takes_is_taken() {
        for value in [
            "1",
            "-0.5",
            "1e3",
            "1E-3",
            "1e-400",
            "t",
            "FALSE",
            "1i",
            "-0i",
            "007i",
            "0u",
            "18446744073709551615u",
            "-9223372036854775808i",
        ] {
            assert_eq!(judge(value, 0), Ok(Form::Plain), "{value}");
        }
        for (value, written) in [
            (".5", "0.5"),
            ("1.", "1.0"),
            ("1.e5", "1.0e5"),
            ("-.5", "-0.5"),
        ] {
            assert_eq!(judge(value, 0), Ok(Form::BarePoint), "{value}");
            assert_eq!(with_digits(value), written);
        }
    }

    #[test]
    fn malformed_values_are_refused_with_their_rule() {
        for value in [
            "+1", "NaN", "Inf", "-", "0x10", "1_000", "1.1.1", "1e", "1.0i", "1e2i", "-1u", "tRUE",
            "yes", ".", "-.",
        ] {
            let refusal = judge(value, 4).expect_err(value);
            assert_eq!(
                (refusal.rule, refusal.column),
                (Rule::Value, Some(5)),
                "{value}"
            );
        }
        for value in ["1e400", "9223372036854775808i", "18446744073709551616u"] {
            assert_eq!(
                judge(value, 0).expect_err(value).rule,
                Rule::NumberRange,
                "{value}"
            );
        }
    }
}
