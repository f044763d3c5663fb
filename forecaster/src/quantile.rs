//! Forecasts as quantiles: the levels that every model answers with, and a path of them over the horizon.

use std::array;

use crate::target::Kind;

/// The steps that every model forecasts: eight hours of five minutes.
pub const HORIZON_STEPS: usize = 96;

/// The probabilities that every model answers with: the nine deciles and the ends of the 95 % interval.
pub const LEVELS: [f64; 11] = [0.025, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.975];

/// The median's place in [`LEVELS`].
pub const MEDIAN: usize = 5;

/// Quantiles of the next steps: `0.levels[level][step]`, in the metric's own unit.
///
/// At every step the values rise with the level, and they keep to the bounds of the kind.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantilePath(Vec<Vec<f64>>);

impl QuantilePath {
    /// Sorts each step's values, keeps them within the kind's bounds, and makes a path of them.
    ///
    /// `at(level, step)` is asked for the eleven levels of each of `steps` steps.
    #[must_use]
    pub fn from_fn(steps: usize, kind: Kind, at: impl Fn(usize, usize) -> f64) -> Self {
        let mut levels = vec![Vec::with_capacity(steps); LEVELS.len()];
        for step in 0..steps {
            let mut values: [f64; LEVELS.len()] = array::from_fn(|level| at(level, step));
            values.sort_unstable_by(f64::total_cmp);
            for (level, value) in levels.iter_mut().zip(values) {
                level.push(kind.clamp(value));
            }
        }
        Self(levels)
    }

    /// Returns the values by level, then by step.
    #[must_use]
    pub fn levels(&self) -> &[Vec<f64>] {
        &self.0
    }

    /// Returns the values of a step at [`LEVELS`].
    #[must_use]
    pub fn column(&self, step: usize) -> [f64; LEVELS.len()] {
        array::from_fn(|level| self.0[level][step])
    }

    /// Returns how many steps the path has.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.0[0].len()
    }

    /// Returns the median, which is the point forecast.
    #[must_use]
    pub fn median(&self) -> &[f64] {
        &self.0[MEDIAN]
    }

    /// Cuts the path to its first steps.
    #[must_use]
    pub fn truncated(mut self, steps: usize) -> Self {
        for level in &mut self.0 {
            level.truncate(steps);
        }
        self
    }

    /// Returns the quantile of any probability between 0 and 1, step by step, within the bounds of the kind.
    ///
    /// The inverse of [`Self::probability_below`]: linear between the levels, and beyond the outermost as far as the
    /// remaining probability reaches at their density.
    #[must_use]
    pub fn at(&self, probability: f64, kind: Kind) -> Vec<f64> {
        let place = Place::of(probability);
        let values = (0..self.steps()).map(|step| self.at_place(step, place, kind));
        values.collect()
    }

    /// Returns a step's quantiles of several probabilities, each as [`Self::at`] has it.
    #[must_use]
    pub fn at_step(&self, step: usize, probabilities: &[f64], kind: Kind) -> Vec<f64> {
        let places = probabilities.iter().copied().map(Place::of);
        let values = places.map(|place| self.at_place(step, place, kind));
        values.collect()
    }

    fn at_place(&self, step: usize, place: Place, kind: Kind) -> f64 {
        let (low, high) = (self.0[place.upper - 1][step], self.0[place.upper][step]);
        kind.clamp(low + place.share * (high - low))
    }

    /// Returns the probability that a step's value reaches `value`; a forecast that ends at it has reached it.
    #[must_use]
    pub fn probability_reached(&self, step: usize, value: f64) -> f64 {
        let just_below = value - value.abs().max(1.0) * 1e-9;
        1.0 - self.probability_below(step, just_below)
    }

    /// Returns where a value lies in a step's distribution: the probability below it, less a half; the middle of the
    /// probability of a value that stands out, and NaN for one that is missing.
    #[must_use]
    pub fn centered_rank(&self, step: usize, value: f64) -> f64 {
        if value.is_nan() {
            return value;
        }
        let below = 1.0 - self.probability_reached(step, value);
        0.5 * (self.probability_below(step, value) + below) - 0.5
    }

    /// Returns the probability that a step's value is at most `value`.
    ///
    /// Linear between the levels. Beyond the outermost level the density goes on evenly for as far as the
    /// remaining probability reaches at the density of the outermost interval, and ends there.
    #[must_use]
    pub fn probability_below(&self, step: usize, value: f64) -> f64 {
        let at = |level: usize| self.0[level][step];
        let last = LEVELS.len() - 1;
        if value < at(0) {
            let reach = (at(1) - at(0)) / (LEVELS[1] - LEVELS[0]) * LEVELS[0];
            return (LEVELS[0] * (1.0 - (at(0) - value) / reach)).max(0.0);
        }
        if value >= at(last) {
            let share = 1.0 - LEVELS[last];
            let reach = (at(last) - at(last - 1)) / (LEVELS[last] - LEVELS[last - 1]) * share;
            let beyond = (value - at(last)) / reach;
            return if reach > 0.0 {
                (LEVELS[last] + share * beyond).min(1.0)
            } else {
                1.0
            };
        }
        let upper = (1..last).find(|&level| value < at(level)).unwrap_or(last);
        let (low, high) = (at(upper - 1), at(upper));
        LEVELS[upper - 1] + (LEVELS[upper] - LEVELS[upper - 1]) * (value - low) / (high - low)
    }
}

/// Where a probability lies among [`LEVELS`].
#[derive(Debug, Clone, Copy)]
struct Place {
    /// The level above it; beyond the outermost, the outermost.
    upper: usize,
    /// How far it is from the level below to that, as a share; beyond the levels below 0 or above 1.
    share: f64,
}

impl Place {
    fn of(probability: f64) -> Self {
        let last = LEVELS.len() - 1;
        let upper = LEVELS
            .iter()
            .position(|level| probability <= *level)
            .unwrap_or(last)
            .max(1);
        let share = (probability - LEVELS[upper - 1]) / (LEVELS[upper] - LEVELS[upper - 1]);
        Self { upper, share }
    }
}

/// Returns the quantiles of `values` at [`LEVELS`], linear between order statistics; `None` without values.
#[must_use]
pub fn empirical(mut values: Vec<f64>) -> Option<[f64; LEVELS.len()]> {
    if values.is_empty() {
        return None;
    }
    values.sort_by(f64::total_cmp);
    Some(LEVELS.map(|level| interpolated(&values, level)))
}

/// Returns the quantile of sorted values, linear between order statistics.
#[must_use]
pub fn interpolated(sorted: &[f64], level: f64) -> f64 {
    let place = level * (sorted.len() - 1) as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A path whose quantile at level p is `10 * p` at every step.
    fn uniform() -> QuantilePath {
        QuantilePath::from_fn(2, Kind::Gauge, |level, _| 10.0 * LEVELS[level])
    }

    #[test]
    fn quantiles_are_sorted_and_bounded() {
        let path = QuantilePath::from_fn(1, Kind::Percent, |level, _| 120.0 - 20.0 * level as f64);
        let values: Vec<f64> = path.levels().iter().map(|steps| steps[0]).collect();
        assert!(values.is_sorted());
        assert_eq!((values[0], values[10]), (0.0, 100.0));
    }

    #[test]
    fn probability_follows_the_levels_and_reaches_both_ends() {
        for value in [0.1, 0.25, 1.0, 3.7, 5.0, 9.0, 9.75, 9.9] {
            let probability = uniform().probability_below(0, value);
            assert!((probability - value / 10.0).abs() < 1e-12, "{value}");
        }
        assert!(uniform().probability_below(0, -1.0) < f64::EPSILON);
        assert!(uniform().probability_below(0, 11.0) > 1.0 - f64::EPSILON);
    }

    #[test]
    fn quantiles_of_any_level_follow_the_levels_and_keep_to_the_bounds() {
        for probability in [0.001, 0.025, 0.05, 0.5, 0.77, 0.975, 0.999] {
            let value = uniform().at(probability, Kind::Gauge)[1];
            assert!(
                (value - 10.0 * probability).abs() < 1e-9,
                "{probability}: {value}"
            );
        }
        let near_full =
            QuantilePath::from_fn(1, Kind::Percent, |level, _| 90.0 + 10.0 * LEVELS[level]);
        assert!(near_full.at(0.999, Kind::Percent)[0] <= 100.0);
    }

    #[test]
    fn probability_steps_at_a_forecast_without_spread() {
        let path = QuantilePath::from_fn(1, Kind::Gauge, |_, _| 7.0);
        assert!(path.probability_below(0, 6.999).abs() < f64::EPSILON);
        assert!((path.probability_below(0, 7.0) - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn empirical_quantiles_agree_with_numpy() {
        // numpy.quantile([1, 2, 4, 8], [0.025, 0.5, 0.975])
        let quantiles = empirical(vec![8.0, 1.0, 4.0, 2.0]).expect("values");
        assert!((quantiles[0] - 1.075).abs() < 1e-12);
        assert!((quantiles[MEDIAN] - 3.0).abs() < 1e-12);
        assert!((quantiles[10] - 7.7).abs() < 1e-12);
        assert_eq!(empirical(Vec::new()), None);
    }
}
