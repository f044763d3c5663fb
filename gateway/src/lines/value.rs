//! The forms that a field's value and a timestamp may take.

use super::{FieldType, Rule};

/// The most digits that always fit an `i64`.
const INTEGER_DIGITS_SAFE: usize = 18;
/// The most digits that always fit a `u64`.
const UNSIGNED_DIGITS_SAFE: usize = 19;
/// A float with fewer bytes and no exponent is below the largest one, which has 309 digits before its point.
const FLOAT_BYTES_SAFE: usize = 309;

const MALFORMED: &str =
    "the number is malformed; write 1, 1.5, 1e3, or 1i for an integer, 1u for an unsigned one";

/// Judges a value that is no string by its bytes that are no digits, one bit each; `None` where that does not decide.
#[inline]
pub(super) fn judge_plain(value: &[u8], non_digits: u64) -> Option<FieldType> {
    let is_negative = usize::from(value[0] == b'-');
    // Without the sign's bit, if there is one.
    let others = non_digits & !(is_negative as u64);
    let bytes = value.len() - is_negative;
    if others == 0 {
        return (bytes > 0).then_some(FieldType::Float);
    }
    if others & (others - 1) != 0 || bytes < 2 {
        return None;
    }
    let at = others.trailing_zeros() as usize;
    let is_last = at + 1 == value.len();
    match value[at] {
        b'.' => Some(FieldType::Float),
        b'i' if is_last && bytes <= INTEGER_DIGITS_SAFE + 1 => Some(FieldType::Integer),
        b'u' if is_last && bytes <= UNSIGNED_DIGITS_SAFE + 1 && is_negative == 0 => {
            Some(FieldType::Unsigned)
        }
        _ => None,
    }
}

/// Judges a value that is no string, and is not empty.
pub(super) fn judge(value: &[u8]) -> Result<FieldType, (Rule, &'static str)> {
    if boolean(value).is_some() {
        return Ok(FieldType::Boolean);
    }
    let digits = value.strip_prefix(b"-").unwrap_or(value);
    match digits {
        [b'0'..=b'9' | b'.', .., b'i'] if is_digits(&digits[..digits.len() - 1]) => {
            match integer(&value[..value.len() - 1]) {
                Some(Ok(_)) => Ok(FieldType::Integer),
                _ => Err((
                    Rule::NumberRange,
                    "the integer is beyond 64 bits; write a float, without the i",
                )),
            }
        }
        [b'0'..=b'9' | b'.', .., b'u'] if is_digits(&value[..value.len() - 1]) => {
            match unsigned(&value[..value.len() - 1]) {
                Some(_) => Ok(FieldType::Unsigned),
                None => Err((
                    Rule::NumberRange,
                    "the unsigned integer is beyond 64 bits; write a float, without the u",
                )),
            }
        }
        [b'0'..=b'9' | b'.', ..] => judge_float(value, digits),
        _ => Err((
            Rule::Value,
            "the value is no number, string or boolean; strings stand in double quotes, booleans are true or false",
        )),
    }
}

fn judge_float(value: &[u8], digits: &[u8]) -> Result<FieldType, (Rule, &'static str)> {
    if !is_float(digits) {
        return Err((Rule::Value, MALFORMED));
    }
    let is_small = digits.len() < FLOAT_BYTES_SAFE && !digits.iter().any(u8::is_ascii_alphabetic);
    if is_small || float(value).is_some_and(f64::is_finite) {
        Ok(FieldType::Float)
    } else {
        Err((
            Rule::NumberRange,
            "the number is beyond what a 64-bit float holds",
        ))
    }
}

/// Reads a boolean.
pub(super) fn boolean(value: &[u8]) -> Option<bool> {
    match value {
        b"t" | b"T" | b"true" | b"True" | b"TRUE" => Some(true),
        b"f" | b"F" | b"false" | b"False" | b"FALSE" => Some(false),
        _ => None,
    }
}

/// Reads a decimal float.
pub(super) fn float(value: &[u8]) -> Option<f64> {
    short_float(value).or_else(|| std::str::from_utf8(value).ok()?.parse().ok())
}

/// Powers of ten that a float holds exactly.
const POWERS_OF_TEN: [f64; 16] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
];

/// Whole numbers below this are floats exactly.
const EXACT_BELOW: u64 = 1 << f64::MANTISSA_DIGITS;

/// Reads a float of few digits and no exponent: of two numbers that floats hold exactly, the quotient is rounded once, as
/// it should be (Clinger, "How to Read Floating Point Numbers Accurately", 1990). `None` where that does not suffice.
#[inline]
fn short_float(value: &[u8]) -> Option<f64> {
    let digits = value.strip_prefix(b"-").unwrap_or(value);
    if digits.len() > INTEGER_DIGITS_SAFE {
        return None;
    }
    let point = memchr::memchr(b'.', digits).unwrap_or(digits.len());
    let fraction = digits.get(point + 1..).unwrap_or_default();
    let mut mantissa = match point {
        0 => 0,
        point => magnitude(&digits[..point])?,
    };
    if !fraction.is_empty() {
        mantissa = mantissa * TENS[fraction.len()] + magnitude(fraction)?;
    }
    if mantissa >= EXACT_BELOW || fraction.len() >= POWERS_OF_TEN.len() || digits == b"." {
        return None;
    }
    let size = mantissa as f64 / POWERS_OF_TEN[fraction.len()];
    Some(if digits.len() == value.len() {
        size
    } else {
        -size
    })
}

/// Powers of ten as whole numbers.
const TENS: [u64; 19] = {
    let mut tens = [1; 19];
    let mut at = 1;
    while at < tens.len() {
        tens[at] = tens[at - 1] * 10;
        at += 1;
    }
    tens
};

/// A number that is written correctly and too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OutOfRange;

/// Reads a signed integer; `None` where there is none.
#[inline]
pub(super) fn integer(value: &[u8]) -> Option<Result<i64, OutOfRange>> {
    let digits = value.strip_prefix(b"-").unwrap_or(value);
    if digits.len() > INTEGER_DIGITS_SAFE {
        return long_integer(value, digits);
    }
    let magnitude = magnitude(digits)? as i64;
    Some(Ok(if digits.len() == value.len() {
        magnitude
    } else {
        -magnitude
    }))
}

fn long_integer(value: &[u8], digits: &[u8]) -> Option<Result<i64, OutOfRange>> {
    // Nanoseconds have nineteen digits: read as far as is safe, then on.
    if let Some((last, safe)) = digits.split_last()
        && digits.len() == value.len()
        && safe.len() == INTEGER_DIGITS_SAFE
        && last.is_ascii_digit()
    {
        let magnitude = magnitude(safe)? as i64;
        let whole = magnitude
            .checked_mul(10)
            .and_then(|tens| tens.checked_add(i64::from(last - b'0')));
        return Some(whole.ok_or(OutOfRange));
    }
    is_digits(digits).then(|| {
        let text = std::str::from_utf8(value).map_err(|_| OutOfRange)?;
        text.parse().map_err(|_| OutOfRange)
    })
}

/// Reads an unsigned integer.
pub(super) fn unsigned(value: &[u8]) -> Option<u64> {
    if !is_digits(value) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// The value of at most eighteen digits, eight of them at a time; `None` where there are none, or something else.
#[inline]
fn magnitude(digits: &[u8]) -> Option<u64> {
    let mut value = 0;
    let (eights, rest) = digits.as_chunks::<8>();
    for eight in eights {
        value = value * 100_000_000 + eight_digits(*eight)?;
    }
    for digit in rest {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    (!digits.is_empty()).then_some(value)
}

/// The value of eight digits: neighbours are joined to two digits, these to four, these to eight.
#[inline]
fn eight_digits(text: [u8; 8]) -> Option<u64> {
    let bytes = u64::from_le_bytes(text);
    let digits = bytes.wrapping_sub(0x3030_3030_3030_3030);
    // A byte below '0' borrows into its highest bit; one above '9' does so when 0x76 is added.
    if (digits | digits.wrapping_add(0x7676_7676_7676_7676)) & 0x8080_8080_8080_8080 != 0 {
        return None;
    }
    let twos = (digits * 10 + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (twos * 100 + (twos >> 16)) & 0x0000_ffff_0000_ffff;
    Some((fours * 10_000 + (fours >> 32)) & 0xffff_ffff)
}

fn is_digits(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

/// Says whether a text without a sign is a decimal float: digits with a point somewhere, and perhaps an exponent.
fn is_float(text: &[u8]) -> bool {
    let exponent_at = text.iter().position(|byte| matches!(byte, b'e' | b'E'));
    let (mantissa, exponent) = text.split_at(exponent_at.unwrap_or(text.len()));
    let exponent_fits = match exponent {
        [] => true,
        [_, b'+' | b'-', digits @ ..] | [_, digits @ ..] => is_digits(digits),
    };
    let point_at = mantissa.iter().position(|byte| *byte == b'.');
    let (whole, fraction) = mantissa.split_at(point_at.unwrap_or(mantissa.len()));
    let mut digits = whole.iter().chain(fraction.iter().skip(1)).peekable();
    exponent_fits && digits.peek().is_some() && digits.all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_form_influxdb_takes_is_taken() {
        for (field_type, values) in [
            (
                FieldType::Float,
                "1 -0.5 1e3 1E-3 1e-400 .5 1. 1.e5 -.5 6.632243e+06 007",
            ),
            (
                FieldType::Boolean,
                "t T true True TRUE f F false False FALSE",
            ),
            (
                FieldType::Integer,
                "1i -0i 007i 9223372036854775807i -9223372036854775808i",
            ),
            (FieldType::Unsigned, "0u 18446744073709551615u 007u"),
        ] {
            for value in values.split(' ') {
                assert_eq!(judge(value.as_bytes()), Ok(field_type), "{value}");
            }
        }
    }

    #[test]
    fn malformed_values_are_refused_with_their_rule() {
        for (rule, values) in [
            (
                Rule::Value,
                "+1 NaN Inf - 0x10 1_000 1.1.1 1e 1.0i 1e2i -1u tRUE yes . -. .e5 1e5.5 i -i .i 1iu 1ee5",
            ),
            (
                Rule::NumberRange,
                "1e400 -1e400 9223372036854775808i -9223372036854775809i 18446744073709551616u",
            ),
        ] {
            for value in values.split(' ') {
                let (refused, _) = judge(value.as_bytes()).expect_err(value);
                assert_eq!(refused, rule, "{value}");
            }
        }
        let over = format!("2{}", "0".repeat(308));
        assert!(
            judge(over.as_bytes()).is_err(),
            "309 digits, beyond the largest float"
        );
        assert_eq!(judge(&over.as_bytes()[..308]), Ok(FieldType::Float));
    }

    proptest! {
        #[test]
        fn floats_are_read_as_the_standard_library_reads_them(value in "-?[0-9]{0,18}[.]?[0-9]{0,18}(e-?[0-9]{1,2})?") {
            let expected = value.parse::<f64>().ok().map(f64::to_bits);
            if value.bytes().any(|byte| byte.is_ascii_digit()) {
                prop_assert_eq!(float(value.as_bytes()).map(f64::to_bits), expected, "{}", value);
            }
        }

        #[test]
        fn what_the_bits_decide_is_what_the_bytes_decide(value in "-?[0-9.eiu+tf-]{1,24}") {
            let bits = value.bytes().rev().fold(0, |bits, byte| bits << 1 | u64::from(!byte.is_ascii_digit()));
            if let Some(field_type) = judge_plain(value.as_bytes(), bits) {
                prop_assert_eq!(judge(value.as_bytes()), Ok(field_type), "{}", value);
            }
        }

        #[test]
        fn integers_are_read_as_the_standard_library_reads_them(value in "-?[0-9]{1,24}|[0-9x/:-]{1,24}") {
            let is_integer = is_digits(value.strip_prefix('-').unwrap_or(&value).as_bytes());
            let expected = is_integer.then(|| value.parse::<i64>().map_err(|_| OutOfRange));
            prop_assert_eq!(integer(value.as_bytes()), expected, "{}", value);
        }
    }
}
