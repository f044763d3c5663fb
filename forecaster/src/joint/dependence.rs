//! How the errors of a target's forecasts hang together from step to step.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// The distances at which steps are compared.
const LAGS: [usize; 9] = [1, 2, 3, 6, 12, 18, 24, 36, 48];

/// The shares that are told apart, in hundredths.
const SHARES: [u8; 11] = [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 97];

/// The decays that are told apart, in steps: half an hour to eight hours.
const DECAYS: [u16; 5] = [6, 12, 24, 48, 96];

/// For how many earlier forecasts the default counts. They overlap, and a few say little: of 5, 10 and 30 separate ones, 5 and 10 did best.
const PRIOR_FORECASTS: f64 = 20.0;

/// The correlation of two steps `k > 0` apart is `share · e^(−k / decay)`: a disturbance that fades, and noise that each step
/// has for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dependence {
    /// The share of the disturbance in the variance, in hundredths.
    pub share_percent: u8,
    /// The steps after which a disturbance has faded to 1/e.
    pub decay_steps: u16,
}

impl Default for Dependence {
    /// What served best over the series of the development set, where nothing is known of a target's own.
    fn default() -> Self {
        Self {
            share_percent: 80,
            decay_steps: 24,
        }
    }
}

impl Dependence {
    /// Finds the dependence of earlier forecasts: for each the probability of what came at every step under its own
    /// distribution (the probability integral transform), less a half; NaN where nothing came.
    ///
    /// Its correlations are drawn towards the default's, and the nearest of 55 dependences is taken. Ranks are correlated, for a
    /// single spike then counts as any other surprise; `2 sin(π r / 6)` is the normal correlation of a rank correlation `r`
    /// (Pearson 1907).
    #[must_use]
    pub fn fit(centered: &[Vec<f64>]) -> Self {
        let default = Self::default();
        let known: Vec<&Vec<f64>> = centered
            .iter()
            .filter(|values| values.iter().any(|value| !value.is_nan()))
            .collect();
        let variance = mean(known.iter().flat_map(|values| values.iter().map(|v| v * v)));
        let Some(variance) = variance.filter(|variance| *variance > 0.0) else {
            return default;
        };
        let correlations = LAGS.map(|lag| {
            let products = known.iter().flat_map(|values| {
                let later = values.iter().skip(lag);
                values.iter().zip(later).map(|(value, later)| value * later)
            });
            let prior = default.correlation(lag);
            let Some(covariance) = mean(products) else {
                return prior;
            };
            let ranks = (covariance / variance).clamp(-1.0, 1.0);
            let own = 2.0 * (PI / 6.0 * ranks).sin();
            let forecasts = known.len() as f64;
            (forecasts * own + PRIOR_FORECASTS * prior) / (forecasts + PRIOR_FORECASTS)
        });
        let distance = |dependence: &Self| -> f64 {
            let pairs = LAGS.iter().zip(correlations);
            pairs
                .map(|(lag, wanted)| (dependence.correlation(*lag) - wanted).powi(2))
                .sum()
        };
        let all = SHARES.iter().flat_map(|share_percent| {
            DECAYS.iter().map(|decay_steps| Self {
                share_percent: *share_percent,
                decay_steps: *decay_steps,
            })
        });
        all.min_by(|one, other| distance(one).total_cmp(&distance(other)))
            .unwrap_or(default)
    }

    /// Returns the share of the disturbance in the variance.
    pub(super) fn share(self) -> f64 {
        f64::from(self.share_percent.min(100)) / 100.0
    }

    /// Returns what is left of a disturbance a step later.
    pub(super) fn kept(self) -> f64 {
        (-1.0 / f64::from(self.decay_steps.max(1))).exp()
    }

    fn correlation(self, lag: usize) -> f64 {
        self.share() * self.kept().powi(lag as i32)
    }
}

/// Returns the mean of the values that are there.
fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0.0);
    for value in values.filter(|value| !value.is_nan()) {
        sum += value;
        count += 1.0;
    }
    (count > 0.0).then(|| sum / count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        joint::orders::{Orders, PATHS, probability},
        quantile::HORIZON_STEPS,
    };

    /// The paths of a dependence as what came.
    fn drawn(dependence: Dependence, forecasts: usize) -> Vec<Vec<f64>> {
        let orders = Orders::of(dependence);
        // Neighbours are opposites of each other.
        let places = (0..PATHS).step_by(PATHS / forecasts / 2 * 2);
        let values = places.take(forecasts).map(|place| {
            let steps = orders.steps(HORIZON_STEPS);
            let ranks = steps.map(|order| probability(usize::from(order[place])) - 0.5);
            ranks.collect()
        });
        values.collect()
    }

    #[test]
    fn a_dependence_is_found_again_in_its_own_paths() {
        for (share_percent, decay_steps) in [(90, 12), (90, 96), (40, 48)] {
            let wanted = Dependence {
                share_percent,
                decay_steps,
            };
            let found = Dependence::fit(&drawn(wanted, 250));
            for lag in [1, 12, 48] {
                let (wanted, found) = (wanted.correlation(lag), found.correlation(lag));
                assert!((wanted - found).abs() < 0.12, "{lag}: {wanted} {found}");
            }
        }
    }

    #[test]
    fn few_forecasts_stay_near_the_default() {
        let alone = Dependence {
            share_percent: 0,
            decay_steps: 6,
        };
        let few = Dependence::fit(&drawn(alone, 4)).correlation(1);
        let many = Dependence::fit(&drawn(alone, 250)).correlation(1);
        assert!(few > 0.5 && many < 0.15, "{few} {many}");
        let nothing = vec![vec![f64::NAN; HORIZON_STEPS]; 30];
        assert_eq!(Dependence::fit(&nothing), Dependence::default());
        assert_eq!(Dependence::fit(&[]), Dependence::default());
    }
}
