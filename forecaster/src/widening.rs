//! Interval widening: how far the quantiles of a band must be drawn apart, or together, to hold what they promise.
//!
//! Conformalised quantile regression (Romano et al. 2019), in its scaled form and per step of the horizon: at
//! windows that were not learned from and come before every origin that is scored, each value's distance from the
//! median is measured in units of the half-interval on its side. The share of values that an interval promises to
//! hold is the quantile of those distances at which it would have held them, and the factor by which it is drawn.
//! The distances of an hour's steps are taken together; a step's factor lies on the line between those of the hours'
//! middles, and before the first and behind the last middle is theirs.

use serde::{Deserialize, Serialize};

use crate::quantile::{HORIZON_STEPS, LEVELS, MEDIAN, interpolated};

/// The steps whose distances are taken together: an hour.
const BAND_STEPS: usize = 12;

const BANDS: usize = HORIZON_STEPS / BAND_STEPS;

/// A factor beyond these bounds says more about the few windows it was found on than about the model.
const FACTOR_BOUNDS: (f32, f32) = (0.3, 2.5);

/// The least distances that make a factor.
const DISTANCES_MIN: usize = 200;

/// One factor a band of the horizon and interval, from the outermost to the innermost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Widening(Vec<[f32; MEDIAN]>);

impl Default for Widening {
    /// Leaves the quantiles as they are.
    fn default() -> Self {
        Self(vec![[1.0; MEDIAN]; BANDS])
    }
}

impl Widening {
    /// Finds the factors from `quantiles` `[B, HORIZON_STEPS, LEVELS]`, row-major, in a unit of the order of their
    /// spread, and what came `[B, HORIZON_STEPS]`, NaN where missing.
    pub(crate) fn fit(quantiles: &[f32], answers: &[f32]) -> Self {
        let mut widening = Self::default();
        for (band, factors) in widening.0.iter_mut().enumerate() {
            for (interval, factor) in factors.iter_mut().enumerate() {
                let promised = LEVELS[LEVELS.len() - 1 - interval] - LEVELS[interval];
                let mut distances: Vec<f64> = quantiles
                    .chunks_exact(LEVELS.len())
                    .zip(answers)
                    .enumerate()
                    .filter(|(place, _)| place % HORIZON_STEPS / BAND_STEPS == band)
                    .filter_map(|(_, (levels, answer))| distance(levels, *answer, interval))
                    .collect();
                if distances.len() >= DISTANCES_MIN {
                    distances.sort_by(f64::total_cmp);
                    let (least, most) = FACTOR_BOUNDS;
                    *factor = (interpolated(&distances, promised) as f32).clamp(least, most);
                }
            }
        }
        widening
    }

    /// Returns the factor of a step and level; the median's is 1.
    pub(crate) fn factor(&self, step: usize, level: usize) -> f32 {
        let interval = level.min(LEVELS.len() - 1 - level);
        let of_band = |band: usize| {
            let band = self.0.get(band).or(self.0.last());
            band.and_then(|band| band.get(interval))
                .copied()
                .unwrap_or(1.0)
        };
        // Counted in bands from the middle of the first.
        let at = (step as f32 + 0.5) / BAND_STEPS as f32 - 0.5;
        let before = at.max(0.0) as usize;
        let share = (at - before as f32).max(0.0);
        of_band(before) + share * (of_band(before + 1) - of_band(before))
    }

    /// Returns one factor a step and level `[HORIZON_STEPS, LEVELS]`, row-major.
    pub(crate) fn factors(&self) -> Vec<f32> {
        let steps = 0..HORIZON_STEPS;
        steps
            .flat_map(|step| (0..LEVELS.len()).map(move |level| self.factor(step, level)))
            .collect()
    }
}

/// Returns how many half-intervals an answer lies from the median; `None` when it is missing or the interval is
/// empty.
fn distance(levels: &[f32], answer: f32, interval: usize) -> Option<f64> {
    let median = levels[MEDIAN];
    let end = if answer > median {
        levels[LEVELS.len() - 1 - interval]
    } else {
        levels[interval]
    };
    let half = (end - median).abs();
    (!answer.is_nan() && half > 1e-6).then(|| f64::from((answer - median).abs() / half))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Quantiles of a uniform distribution on ±`half`, asked about values spread evenly on ±1.
    fn fitted(half: f32) -> Widening {
        let windows = 50;
        let places = windows * HORIZON_STEPS;
        let quantiles: Vec<f32> = (0..places)
            .flat_map(|_| LEVELS.map(|level| (2.0 * level as f32 - 1.0) * half))
            .collect();
        let answers: Vec<f32> = (0..places)
            .map(|place| ((place * 7919) % 10_007) as f32 / 5_003.5 - 1.0)
            .collect();
        Widening::fit(&quantiles, &answers)
    }

    #[test]
    fn narrow_intervals_are_drawn_to_what_they_promise() {
        for factor in fitted(0.5).0.iter().flatten() {
            // 600 values a band place the quantile to about 3 %.
            assert!((factor - 2.0).abs() < 0.25, "{factor}");
        }
    }

    #[test]
    fn right_intervals_stay() {
        for factor in fitted(1.0).0.iter().flatten() {
            assert!((factor - 1.0).abs() < 0.12, "{factor}");
        }
    }

    #[test]
    fn each_step_has_its_own_factor_on_the_line_between_the_hours_middles() {
        let bands = (0..BANDS).map(|band| [1.0 + band as f32; MEDIAN]);
        let widening = Widening(bands.collect());
        for (step, factor) in [
            (0, 1.0),
            (5, 1.0),
            (6, 1.0 + 0.5 / 12.0),
            (11, 1.0 + 5.5 / 12.0),
            (12, 1.0 + 6.5 / 12.0),
            (HORIZON_STEPS - 1, BANDS as f32),
        ] {
            let found = widening.factor(step, 0);
            assert!((found - factor).abs() < 1e-6, "{step}: {found}");
        }
        assert!((widening.factor(40, MEDIAN) - 1.0).abs() < f32::EPSILON);
    }

    #[test]
    fn too_few_windows_change_nothing() {
        let quantiles = vec![0.0; HORIZON_STEPS * LEVELS.len()];
        let widening = Widening::fit(&quantiles, &vec![1.0; HORIZON_STEPS]);
        assert_eq!(widening, Widening::default());
    }
}
