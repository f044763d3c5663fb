//! What a forecast says of its horizon as a whole: of the greatest value, the mean, the time over a value, the first time
//! that a value is reached.
//!
//! A [`QuantilePath`] holds each step's distribution. How the steps go together is a copula over them: a t copula (Demarta &
//! McNeil 2005) whose correlation from step to step is the target's own ([`Dependence`]), learned from how its earlier
//! forecasts erred. It is kept as orders: at every step each of [`PATHS`] equally probable paths takes another of that
//! step's evenly spaced quantiles, so that the steps' own distributions stay exactly what they are (as in the ensemble
//! copula coupling of Schefzik, Thorarinsdottir & Gneiting 2013). The paths of a dependence are always the same: the same
//! forecast has the same answer, and a higher threshold is never likelier to be reached than a lower one.

mod dependence;
mod orders;

use std::sync::Arc;

use self::orders::Orders;
pub use self::{dependence::Dependence, orders::PATHS};
use crate::{
    quantile::{QuantilePath, interpolated},
    target::Kind,
};

/// The joint distribution of a forecast's steps.
#[derive(Debug)]
pub struct Joint<'a> {
    path: &'a QuantilePath,
    orders: Arc<Orders>,
}

/// The values of all paths of something that a path has one of, sorted.
#[derive(Debug, Clone, PartialEq)]
pub struct Distribution(Vec<f64>);

/// The distributions of a horizon's greatest, least and mean value.
#[derive(Debug, Clone, PartialEq)]
pub struct Extent {
    /// The greatest value.
    pub maximum: Distribution,
    /// The least value.
    pub minimum: Distribution,
    /// The mean value.
    pub mean: Distribution,
}

impl<'a> Joint<'a> {
    /// Joins the steps of a path.
    #[must_use]
    pub fn new(path: &'a QuantilePath, dependence: Dependence) -> Self {
        Self {
            path,
            orders: Orders::of(dependence),
        }
    }

    /// Returns the greatest, least and mean value over all steps.
    #[must_use]
    pub fn extent(&self, kind: Kind) -> Extent {
        let mut maximum = vec![f64::NEG_INFINITY; PATHS];
        let mut minimum = vec![f64::INFINITY; PATHS];
        let mut sum = vec![0.0; PATHS];
        let evenly: Vec<f64> = (0..PATHS).map(orders::probability).collect();
        for (step, order) in self.orders.steps(self.path.steps()).enumerate() {
            let values = self.path.at_step(step, &evenly, kind);
            for (place, taken) in order.iter().enumerate() {
                let value = values[usize::from(*taken)];
                maximum[place] = value.max(maximum[place]);
                minimum[place] = value.min(minimum[place]);
                sum[place] += value;
            }
        }
        let steps = self.path.steps() as f64;
        let mean = sum.into_iter().map(|sum| sum / steps).collect();
        Extent {
            maximum: Distribution::of(maximum),
            minimum: Distribution::of(minimum),
            mean: Distribution::of(mean),
        }
    }

    /// Returns how many steps are at `value` or over it.
    #[must_use]
    pub fn steps_over(&self, value: f64) -> Distribution {
        let mut over = vec![0_u16; PATHS];
        for (step, order) in self.orders.steps(self.path.steps()).enumerate() {
            let first = first_over(self.path.probability_reached(step, value));
            for (over, taken) in over.iter_mut().zip(order) {
                *over += u16::from(*taken >= first);
            }
        }
        Distribution::of(over.into_iter().map(f64::from).collect())
    }
}

/// Returns for each step the probability that `value` was reached at it or before. Where no step can reach it, or a single one
/// says all, no paths are made.
#[must_use]
pub fn reached_by(value: f64, path: &QuantilePath, dependence: Dependence) -> Vec<f64> {
    let alone: Vec<f64> = (0..path.steps())
        .map(|step| path.probability_reached(step, value))
        .collect();
    let undecided = alone.iter().filter(|p| **p > 0.0 && **p < 1.0);
    let mut least = 0.0_f64;
    let least = alone.iter().map(|probability| {
        least = least.max(*probability);
        least
    });
    if undecided.count() < 2 {
        return least.collect();
    }
    let orders = Orders::of(dependence);
    let mut reached = vec![0_u16; PATHS];
    let by_paths = orders.steps(path.steps()).zip(&alone).map(|(order, p)| {
        let first = first_over(*p);
        for (reached, taken) in reached.iter_mut().zip(order) {
            *reached |= u16::from(*taken >= first);
        }
        f64::from(reached.iter().sum::<u16>()) / PATHS as f64
    });
    // Paths are counted in whole numbers: what a single step says already is never undercut by what they round away.
    least.zip(by_paths).map(|(least, p)| p.max(least)).collect()
}

/// Returns the first of a step's evenly spaced quantiles that reaches what is reached with this probability.
fn first_over(probability: f64) -> u16 {
    ((1.0 - probability) * PATHS as f64).round() as u16
}

impl Distribution {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_unstable_by(f64::total_cmp);
        Self(values)
    }

    /// Returns the quantile of a probability between 0 and 1.
    #[must_use]
    pub fn quantile(&self, probability: f64) -> f64 {
        interpolated(&self.0, probability)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantile::{HORIZON_STEPS, LEVELS};

    /// Uniform from 0 to 10 at every step.
    fn uniform(steps: usize) -> QuantilePath {
        QuantilePath::from_fn(steps, Kind::Gauge, |level, _| 10.0 * LEVELS[level])
    }

    fn dependence(share_percent: u8, decay_steps: u16) -> Dependence {
        Dependence {
            share_percent,
            decay_steps,
        }
    }

    fn reached(value: f64, steps: usize, dependence: Dependence) -> f64 {
        let reached = reached_by(value, &uniform(steps), dependence);
        assert!(reached.is_sorted());
        reached.last().copied().expect("steps")
    }

    #[test]
    fn one_step_says_what_its_own_distribution_says() {
        let path = uniform(1);
        let joint = Joint::new(&path, Dependence::default());
        let extent = joint.extent(Kind::Gauge);
        for level in [0.1, 0.5, 0.77, 0.9] {
            let p_cross = reached(10.0 * level, 1, Dependence::default());
            assert!((p_cross - (1.0 - level)).abs() < 1e-6, "{level}: {p_cross}");
            for distribution in [&extent.maximum, &extent.minimum, &extent.mean] {
                let value = distribution.quantile(level);
                assert!((value - 10.0 * level).abs() < 0.01, "{level}: {value}");
            }
        }
    }

    #[test]
    fn steps_of_their_own_reach_a_value_oftener_than_steps_that_go_together() {
        let together = reached(9.0, HORIZON_STEPS, dependence(97, 96));
        let usual = reached(9.0, HORIZON_STEPS, Dependence::default());
        let alone = reached(9.0, HORIZON_STEPS, dependence(0, 6));
        assert!(0.1 < together && together < usual && usual < alone);
        // At two steps of a Gaussian copula it would be 0.19 without a correlation; the heavy tails of the t copula share some.
        let two = reached(9.0, 2, dependence(0, 6));
        assert!((0.155..0.185).contains(&two), "{two}");
    }

    #[test]
    fn a_higher_value_is_never_likelier_to_be_reached() {
        let values = (0..=110).map(|tenth| f64::from(tenth) / 10.0);
        let probabilities: Vec<f64> = values
            .map(|value| reached(value, HORIZON_STEPS, Dependence::default()))
            .collect();
        assert!(probabilities.is_sorted_by(|lower, higher| lower >= higher));
        assert!((probabilities[0] - 1.0).abs() < f64::EPSILON);
        assert!(probabilities[110].abs() < f64::EPSILON);
    }

    #[test]
    fn the_maximum_and_the_probability_of_a_value_are_of_the_same_paths() {
        let path = uniform(HORIZON_STEPS);
        let extent = Joint::new(&path, Dependence::default()).extent(Kind::Gauge);
        for value in [8.0, 9.0, 9.5] {
            let below = 1.0 - reached(value, HORIZON_STEPS, Dependence::default());
            let quantile = extent.maximum.quantile(below);
            assert!((quantile - value).abs() < 0.02, "{value}: {quantile}");
        }
    }

    #[test]
    fn a_path_without_spread_is_certain() {
        let path = QuantilePath::from_fn(HORIZON_STEPS, Kind::Gauge, |_, step| step as f64);
        let certain = reached_by(20.0, &path, Dependence::default());
        assert!(certain[..20].iter().all(|p| p.abs() < f64::EPSILON));
        assert!(certain[20..].iter().all(|p| (p - 1.0).abs() < f64::EPSILON));
        let joint = Joint::new(&path, Dependence::default());
        let extent = joint.extent(Kind::Gauge);
        let all = |value: f64| Distribution(vec![value; PATHS]);
        assert_eq!((extent.maximum, extent.minimum), (all(95.0), all(0.0)));
        assert_eq!(joint.steps_over(90.0), all(6.0));
    }

    #[test]
    fn the_mean_of_steps_of_their_own_spreads_less() {
        let path = uniform(HORIZON_STEPS);
        let width = |dependence: Dependence| {
            let mean = Joint::new(&path, dependence).extent(Kind::Gauge).mean;
            mean.quantile(0.9) - mean.quantile(0.1)
        };
        let (together, alone) = (width(dependence(97, 96)), width(dependence(0, 6)));
        assert!(alone < 0.25 * together, "{alone} {together}");
        assert!(together < 8.0, "{together}");
    }

    #[test]
    fn the_time_over_a_value_is_as_long_as_the_steps_expect() {
        let path = uniform(HORIZON_STEPS);
        let over = Joint::new(&path, Dependence::default()).steps_over(7.0);
        let mean = over.0.iter().sum::<f64>() / PATHS as f64;
        assert!((mean - 0.3 * HORIZON_STEPS as f64).abs() < 0.1, "{mean}");
    }
}
