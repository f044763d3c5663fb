//! Floats as what they mostly are: decimals of a few digits.
//!
//! A list of floats that are all `digits / 10^scale`, exactly, is kept as its digits, which pack well; a quotient of two
//! numbers that floats hold exactly is rounded once, so that the same float comes back. Other lists are kept as their
//! bits, turned so that they sort as the floats do.

/// Powers of ten up to the largest scale.
const POWERS: [f64; 16] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
];
/// Digits below this are rounded to a whole number by adding and taking away [`ROUNDER`].
const DIGITS_BELOW: f64 = (1_u64 << 51) as f64;
const ROUNDER: f64 = 3.0 * DIGITS_BELOW;

/// Returns the digits of a float at a scale; `None` where another float would come back.
#[inline]
fn digits_at(value: f64, scale: usize) -> Option<i64> {
    let digits = (value * POWERS[scale] + ROUNDER) - ROUNDER;
    let is_exact =
        digits.abs() < DIGITS_BELOW && (digits / POWERS[scale]).to_bits() == value.to_bits();
    is_exact.then_some(digits as i64)
}

/// Writes the digits of all floats into `digits` and returns their scale; `None` where some are no short decimals.
pub(super) fn digits_of(list: &[f64], digits: &mut Vec<i64>) -> Option<u8> {
    let mut scale = 0;
    'again: loop {
        digits.clear();
        for value in list {
            let mut found = digits_at(*value, scale);
            if found.is_none() {
                while found.is_none() {
                    scale += 1;
                    if scale == POWERS.len() {
                        return None;
                    }
                    found = digits_at(*value, scale);
                }
                if !digits.is_empty() {
                    continue 'again;
                }
            }
            digits.extend(found);
        }
        return Some(scale as u8);
    }
}

/// Turns digits back into floats; `None` where there is no such scale.
pub(super) fn floats_of(digits: &[i64], scale: u8) -> Option<Vec<f64>> {
    let power = POWERS.get(usize::from(scale))?;
    Some(digits.iter().map(|digits| *digits as f64 / power).collect())
}

/// Turns a float's bits into a number that sorts as the float does.
pub(super) fn ordered(value: f64) -> i64 {
    let bits = value.to_bits() as i64;
    bits ^ ((bits >> 63) & i64::MAX)
}

/// Turns [`ordered`] back.
pub(super) fn unordered(bits: i64) -> f64 {
    f64::from_bits((bits ^ ((bits >> 63) & i64::MAX)) as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scale_of(list: &[f64]) -> Option<u8> {
        digits_of(list, &mut Vec::new())
    }

    #[test]
    fn decimals_have_the_scale_that_they_are_written_in() {
        assert_eq!(scale_of(&[1.0, 2.0]), Some(0));
        assert_eq!(scale_of(&[1.0, 2.25, 0.5]), Some(2));
        assert_eq!(scale_of(&[99.123_456_789_012, 0.1]), Some(12));
        assert_eq!(scale_of(&[1.0 / 3.0]), None);
        assert_eq!(scale_of(&[-0.0]), None, "its sign would be lost");
        assert_eq!(scale_of(&[f64::NAN, 1e300]), None);
    }

    proptest! {
        #[test]
        fn floats_come_back_bit_for_bit(list in proptest::collection::vec((-1_000_000..1_000_000_i64, 0..9_usize), 1..60)) {
            let floats: Vec<f64> = list.iter().map(|(digits, scale)| *digits as f64 / POWERS[*scale]).collect();
            let mut digits = Vec::new();
            let scale = digits_of(&floats, &mut digits).expect("short decimals");
            prop_assert_eq!(floats_of(&digits, scale).expect("a scale"), floats);
        }

        #[test]
        fn turned_bits_sort_as_floats_and_come_back(a in any::<f64>(), b in any::<f64>()) {
            prop_assert_eq!(unordered(ordered(a)).to_bits(), a.to_bits());
            prop_assert_eq!(ordered(a).cmp(&ordered(b)), a.total_cmp(&b));
        }
    }
}
