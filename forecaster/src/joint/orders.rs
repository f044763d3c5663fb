//! The paths of a dependence: which of a step's evenly spaced quantiles each of them takes.

use std::{
    collections::BTreeMap,
    f64::consts::TAU,
    sync::{Arc, LazyLock},
};

use parking_lot::Mutex;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Dependence;
use crate::quantile::HORIZON_STEPS;

/// How many paths stand for the joint distribution: a probability is told to a thousandth, and one of a half is off by less
/// than a hundredth and a half for their number.
pub const PATHS: usize = 1_000;

/// The degrees of freedom of the t copula: the fewer, the more large deviations come together. Of 1, 2, 3, 5 and 10, three and
/// five were best by the Brier score on the development set, and three by the greatest and the mean value.
const FREEDOM: usize = 3;

/// The paths are the same in every process.
const SEED: u64 = 1;

/// For each step the place of each path's value among the step's quantiles.
#[derive(Debug)]
pub(super) struct Orders(Vec<Vec<u16>>);

/// Made once each and kept: 192 kB, of which [`Dependence::fit`] gives 55 kinds.
static KNOWN: LazyLock<Mutex<BTreeMap<Dependence, Arc<Orders>>>> = LazyLock::new(Mutex::default);

impl Orders {
    /// Returns the paths of a dependence; the first time they take some ten milliseconds.
    pub(super) fn of(dependence: Dependence) -> Arc<Self> {
        let mut known = KNOWN.lock();
        let orders = known.entry(dependence);
        Arc::clone(orders.or_insert_with(|| Arc::new(Self::draw(dependence))))
    }

    /// Returns the first steps.
    pub(super) fn steps(&self, steps: usize) -> impl Iterator<Item = &[u16]> {
        self.0[..steps].iter().map(Vec::as_slice)
    }

    /// Draws paths of a disturbance that fades and of noise, in pairs of opposites; all of a path is stretched by one factor,
    /// which makes its normal values those of a t distribution.
    fn draw(dependence: Dependence) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(SEED);
        let kept = dependence.kept();
        let share = dependence.share();
        let mut steps = vec![vec![0.0; PATHS]; HORIZON_STEPS];
        for pair in 0..PATHS / 2 {
            let squares: f64 = (0..FREEDOM).map(|_| normal(&mut random).powi(2)).sum();
            let stretch = (FREEDOM as f64 / squares).sqrt();
            let mut disturbance = normal(&mut random);
            for values in &mut steps {
                let noise = normal(&mut random);
                let value = share.sqrt() * disturbance + (1.0 - share).sqrt() * noise;
                values[2 * pair] = stretch * value;
                values[2 * pair + 1] = -stretch * value;
                disturbance = kept * disturbance + (1.0 - kept * kept).sqrt() * normal(&mut random);
            }
        }
        Self(steps.iter().map(|values| ranks(values)).collect())
    }
}

/// Returns the probability in the middle of the share that a place among the quantiles stands for.
pub(super) fn probability(place: usize) -> f64 {
    (place as f64 + 0.5) / PATHS as f64
}

/// Returns each value's place among all.
fn ranks(values: &[f64]) -> Vec<u16> {
    let mut sorted: Vec<u16> = (0..values.len() as u16).collect();
    sorted.sort_by(|one, other| values[usize::from(*one)].total_cmp(&values[usize::from(*other)]));
    let mut ranks = vec![0; values.len()];
    for (rank, place) in (0..).zip(sorted) {
        ranks[usize::from(place)] = rank;
    }
    ranks
}

/// Draws from the standard normal distribution (Box & Muller 1958).
fn normal(random: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
    radius * (TAU * random.random::<f64>()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_takes_each_quantile_once() {
        let orders = Orders::of(Dependence::default());
        for order in orders.steps(HORIZON_STEPS) {
            let mut places = order.to_vec();
            places.sort_unstable();
            assert!(places.iter().copied().eq(0..PATHS as u16));
        }
    }

    #[test]
    fn ranks_of_distant_steps_agree_as_much_as_the_dependence_says() {
        let dependence = Dependence {
            share_percent: 80,
            decay_steps: 24,
        };
        let orders = Orders::of(dependence);
        let centered: Vec<Vec<f64>> = orders
            .steps(HORIZON_STEPS)
            .map(|order| {
                let places = order.iter().copied().map(usize::from);
                places.map(|place| probability(place) - 0.5).collect()
            })
            .collect();
        for (distance, correlation) in [(1, 0.77), (24, 0.29), (48, 0.11)] {
            let pairs = centered.iter().zip(&centered[distance..]);
            let products = pairs.flat_map(|(one, later)| one.iter().zip(later).map(|(a, b)| a * b));
            let products: Vec<f64> = products.collect();
            let found = 12.0 * products.iter().sum::<f64>() / products.len() as f64;
            // A rank correlation is a little less than the normal one, and 500 pairs of paths tell it to a few hundredths.
            assert!((found - correlation).abs() < 0.06, "{distance}: {found}");
        }
    }
}
