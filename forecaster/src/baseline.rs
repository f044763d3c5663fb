//! Seasonal naive: the value a season ago, with the spread that such a forecast had in training.
//!
//! The point forecast of step h is the value one season earlier, missing values filled forward. A quantile is
//! the point plus the empirical quantile of `y[t] - y[t - season]` over the values it was fitted on, less their
//! median, so that the median is the naive value itself. It is the yardstick of every model here, and serves
//! where nothing beats it (Hyndman & Athanasopoulos, *Forecasting: Principles and Practice*, section 5.2).

use serde::{Deserialize, Serialize};

use crate::{
    grid::filled_forward,
    quantile::{LEVELS, MEDIAN, QuantilePath, empirical},
    target::Kind,
};

/// A day of five-minute steps.
pub const DAY_STEPS: usize = 288;

/// A week of five-minute steps.
pub const WEEK_STEPS: usize = 7 * DAY_STEPS;

/// A fitted seasonal naive forecast. A season of one step is persistence: the newest value goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeasonalNaive {
    season_steps: usize,
    /// The quantiles of the error at [`LEVELS`], in the metric's own unit.
    error_quantiles: [f64; LEVELS.len()],
    /// The mean absolute seasonal difference, which is the scale of MASE.
    scale: f64,
}

impl SeasonalNaive {
    /// Fits the spread on values of one step apart; `None` when no two of them are a season apart.
    #[must_use]
    pub fn fit(values: &[f32], season_steps: usize) -> Option<Self> {
        let errors: Vec<f64> = values
            .iter()
            .skip(season_steps)
            .zip(values)
            .map(|(later, earlier)| f64::from(*later) - f64::from(*earlier))
            .filter(|error| !error.is_nan())
            .collect();
        let scale = errors.iter().map(|error| error.abs()).sum::<f64>() / errors.len() as f64;
        Some(Self {
            season_steps,
            error_quantiles: empirical(errors)?,
            scale,
        })
    }

    /// Makes the forecast for a series that never changes: its newest value, without spread.
    #[must_use]
    pub fn persistence() -> Self {
        Self {
            season_steps: 1,
            error_quantiles: [0.0; LEVELS.len()],
            scale: 0.0,
        }
    }

    /// Returns the mean absolute seasonal difference of the values it was fitted on (the denominator of MASE).
    #[must_use]
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// Returns how many steps of history a forecast needs.
    #[must_use]
    pub fn history_steps(&self) -> usize {
        self.season_steps
    }

    /// Forecasts the steps behind `history`; `None` when it is shorter than a season or wholly missing.
    #[must_use]
    pub fn predict(&self, history: &[f32], steps: usize, kind: Kind) -> Option<QuantilePath> {
        let start = history.len().checked_sub(self.season_steps)?;
        let season = &filled_forward(history)[start..];
        if season.first()?.is_nan() {
            return None;
        }
        Some(QuantilePath::from_fn(steps, kind, |level, step| {
            let point = f64::from(season[step % self.season_steps]);
            point + self.error_quantiles[level] - self.error_quantiles[MEDIAN]
        }))
    }
}

/// How much values of one step apart differ from those a season before, over the same values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rhythm {
    /// The mean absolute difference from the day before.
    pub day: f64,
    /// The mean absolute difference from the week before.
    pub week: f64,
}

impl Rhythm {
    /// Measures it; `None` unless a whole week of values has both the day and the week before: each weekday counts.
    #[must_use]
    pub fn of(values: &[f32]) -> Option<Self> {
        let (mut day, mut week, mut count) = (0.0, 0.0, 0);
        for (step, value) in values.iter().enumerate().skip(WEEK_STEPS) {
            let off = |season: usize| f64::from((value - values[step - season]).abs());
            let (of_day, of_week) = (off(DAY_STEPS), off(WEEK_STEPS));
            if !(of_day + of_week).is_nan() {
                day += of_day;
                week += of_week;
                count += 1;
            }
        }
        let mean = |sum: f64| sum / f64::from(count);
        (count as usize >= WEEK_STEPS).then(|| Self {
            day: mean(day),
            week: mean(week),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_the_last_season_with_the_spread_of_its_errors() {
        let values: Vec<f32> = (0..40).map(|t| (t % 4) as f32 + (t / 4) as f32).collect();
        let naive = SeasonalNaive::fit(&values, 4).expect("forty values hold a season of four");
        assert!((naive.scale() - 1.0).abs() < 1e-9);
        let path = naive.predict(&values, 6, Kind::Gauge).expect("a season");
        // Every error is 1, so there is no spread about the last season.
        assert_eq!(path.levels()[0], [9.0, 10.0, 11.0, 12.0, 9.0, 10.0]);
        assert_eq!(path.levels()[10], path.levels()[0]);
    }

    #[test]
    fn missing_values_are_filled_forward_and_a_short_history_refused() {
        let naive = SeasonalNaive::persistence();
        let path = naive
            .predict(&[3.0, f32::NAN], 3, Kind::Gauge)
            .expect("a value");
        assert_eq!(path.median(), [3.0, 3.0, 3.0]);
        assert_eq!(naive.predict(&[f32::NAN], 3, Kind::Gauge), None);
        assert_eq!(SeasonalNaive::fit(&[1.0, 2.0], 2), None);
    }

    #[test]
    fn a_rate_is_never_negative() {
        let values = [0.0, 5.0, 0.0, 1.0, 4.0, 0.0, 0.0, 5.0];
        let naive = SeasonalNaive::fit(&values, 1).expect("values");
        let path = naive.predict(&values, 2, Kind::Rate).expect("a value");
        assert!(path.levels().iter().flatten().all(|value| *value >= 0.0));
    }
}
