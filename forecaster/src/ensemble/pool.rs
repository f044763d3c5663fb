//! The linear pool of forecasts: the distribution that gives each member its share (Stone 1961).
//!
//! Its median is where half of all weight lies below. A member that stands alone, with a spike that nobody else
//! expects, therefore moves it little, where an average of quantiles would follow it by its weight.

use crate::quantile::{HORIZON_STEPS, LEVELS, QuantilePath};

/// The probability that each of [`LEVELS`] stands for: half the way to either neighbour.
pub(super) const MASSES: [f64; LEVELS.len()] = [
    0.0625, 0.0875, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.0875, 0.0625,
];

/// Pools members at some steps; the values at [`LEVELS`], step by step. The weights need not add up to 1.
pub(super) fn pooled(
    members: &[(f64, &QuantilePath)],
    steps: impl Iterator<Item = usize>,
) -> Vec<[f64; LEVELS.len()]> {
    let total: f64 = members.iter().map(|(weight, _)| weight).sum();
    let masses: Vec<_> = members
        .iter()
        .map(|(weight, path)| (*path, MASSES.map(|mass| weight * mass)))
        .collect();
    let most = members.len() * LEVELS.len();
    let (mut merged, mut other) = (Vec::with_capacity(most), Vec::with_capacity(most));
    steps
        .map(|step| {
            merged.clear();
            for (path, masses) in &masses {
                let column = path.column(step);
                other.clear();
                merge(&merged, &column, masses, &mut other);
                std::mem::swap(&mut merged, &mut other);
            }
            quantiles(&merged, total)
        })
        .collect()
}

/// Merges a member's values of a step, which are sorted, into a sorted row of value and weight. Of equal values the row's
/// comes first.
fn merge(
    row: &[(f64, f64)],
    column: &[f64; LEVELS.len()],
    masses: &[f64; LEVELS.len()],
    merged: &mut Vec<(f64, f64)>,
) {
    let mut from = 0;
    for (value, mass) in column.iter().zip(masses) {
        let ahead = row[from..].iter().take_while(|(other, _)| other <= value);
        let until = from + ahead.count();
        merged.extend_from_slice(&row[from..until]);
        merged.push((*value, *mass));
        from = until;
    }
    merged.extend_from_slice(&row[from..]);
}

/// Reads the quantiles off a sorted row; each value stands in the middle of its weight.
fn quantiles(merged: &[(f64, f64)], total: f64) -> [f64; LEVELS.len()] {
    let mut found = [0.0; LEVELS.len()];
    let mut values = merged.iter();
    let (mut value, mut weight) = values.next().copied().unwrap_or_default();
    let mut before = (value, 0.5 * weight / total);
    let mut middle = before.1;
    for (level, found) in LEVELS.iter().zip(&mut found) {
        while middle < *level {
            let Some(&(next, next_weight)) = values.next() else {
                break;
            };
            before = (value, middle);
            middle += 0.5 * (weight + next_weight) / total;
            (value, weight) = (next, next_weight);
        }
        let (from, at) = before;
        *found = if middle > at {
            from + (value - from) * ((level - at) / (middle - at)).clamp(0.0, 1.0)
        } else {
            value
        };
    }
    found
}

/// Every step of the horizon.
pub(super) fn all_steps() -> std::ops::Range<usize> {
    0..HORIZON_STEPS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{quantile::MEDIAN, target::Kind};

    fn flat(value: f64, spread: f64) -> QuantilePath {
        QuantilePath::from_fn(HORIZON_STEPS, Kind::Gauge, |level, _| {
            value + spread * (LEVELS[level] - 0.5)
        })
    }

    #[test]
    fn a_pool_of_one_is_that_one() {
        let path = flat(3.0, 2.0);
        let found = pooled(&[(0.4, &path)], [7].into_iter());
        for (level, value) in found[0].iter().enumerate() {
            // The outermost levels stand a little outside the middle of their weight.
            assert!(
                (value - path.levels()[level][7]).abs() < 0.08,
                "{level} {value}"
            );
        }
    }

    #[test]
    fn a_lonely_member_moves_the_median_little() {
        let (three, spike) = (flat(3.0, 1.0), flat(300.0, 1.0));
        let found = pooled(&[(0.7, &three), (0.3, &spike)], [0].into_iter());
        assert!(found[0].is_sorted());
        assert!((found[0][MEDIAN] - 3.0).abs() < 0.5, "{:?}", found[0]);
        assert!(found[0][9] > 299.0, "{:?}", found[0]);
    }

    #[test]
    fn equal_members_agree_with_the_mixture_of_their_distributions() {
        // Two uniform distributions side by side make one that is twice as wide.
        let (low, high) = (flat(0.5, 1.0), flat(1.5, 1.0));
        let found = pooled(&[(1.0, &low), (1.0, &high)], [0].into_iter());
        for (value, level) in found[0].iter().zip(LEVELS) {
            assert!((value - 2.0 * level).abs() < 0.06, "{level} {value}");
        }
    }
}
