//! Rolling-origin scores: what a model that never saw a stretch of history would have answered in it.
//!
//! A target's history is split by time, oldest first, with a horizon between the parts (the embargo), so that no
//! value is both learned from and judged by:
//!
//! ```text
//! |------------- training -------------|embargo|-- validation --|embargo|---- test ----|
//! ```
//!
//! Training fits the weights, validation stops the training early and widens the intervals, and the scores are
//! taken on the test part alone, at origins [`ORIGIN_STRIDE_STEPS`] apart. At an origin a model sees every
//! value before it, and no other.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::quantile::{HORIZON_STEPS, LEVELS, MEDIAN, QuantilePath};

/// The distance between two origins: two hours, which visits every part of a day within twelve origins.
pub const ORIGIN_STRIDE_STEPS: usize = 24;

/// The share of the history that is kept back for the scores.
const TEST_SHARE: f64 = 0.2;

/// The share of the history that decides when the training stops.
const VALIDATION_SHARE: f64 = 0.12;

/// The errors of a model over its backtest, in the metric's own unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Scores {
    /// The mean absolute error of the median.
    pub mae: f64,
    /// The root of the mean squared error of the median.
    pub rmse: f64,
    /// The mean absolute error in units of the seasonal (day) naive error within the training part (Hyndman &
    /// Koehler 2006); null when that is zero.
    pub mase: Option<f64>,
    /// The mean over the nine deciles of twice the pinball loss, which approximates the CRPS.
    pub crps: f64,
    /// The share of values within the interval from the 0.1 to the 0.9 quantile; 0.8 is right.
    pub coverage80: f64,
    /// The share of values within the interval from the 0.025 to the 0.975 quantile; 0.95 is right.
    pub coverage95: f64,
    /// How many origins were judged.
    pub n_origins: usize,
    /// The mean absolute error of the seasonal (day) naive forecast at the same origins.
    pub baseline_mae: f64,
    /// 1 − `mae` / `baseline_mae`; null when the baseline makes no error.
    pub skill: Option<f64>,
}

/// The parts of a history, as ranges of steps from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Split {
    /// Training uses the steps before this one.
    pub training_end: usize,
    /// Validation uses the steps from this one …
    pub validation_start: usize,
    /// … to before this one.
    pub validation_end: usize,
    /// The first origin of the test part, which reaches to the end.
    pub test_start: usize,
    /// The number of steps.
    pub end: usize,
}

impl Split {
    /// Splits a history of `steps`; `None` when the test part could not hold a single origin.
    #[must_use]
    pub fn of(steps: usize) -> Option<Self> {
        let share = |share: f64| (steps as f64 * share) as usize;
        let test_start = steps.checked_sub(share(TEST_SHARE).max(HORIZON_STEPS))?;
        let validation_end = test_start.checked_sub(HORIZON_STEPS)?;
        let validation_start =
            validation_end.checked_sub(share(VALIDATION_SHARE).max(HORIZON_STEPS))?;
        let training_end = validation_start.checked_sub(HORIZON_STEPS)?;
        (training_end > 0).then_some(Self {
            training_end,
            validation_start,
            validation_end,
            test_start,
            end: steps,
        })
    }

    /// Returns the same parts for a history that begins `missed` steps later and has `steps` of its own; `None`
    /// when that leaves it without a training part or without an origin.
    #[must_use]
    pub fn of_late(&self, missed: usize, steps: usize) -> Option<Self> {
        let split = Self {
            training_end: self.training_end.checked_sub(missed)?,
            validation_start: self.validation_start.checked_sub(missed)?,
            validation_end: self.validation_end.checked_sub(missed)?,
            test_start: self.test_start.checked_sub(missed)?,
            end: steps,
        };
        let usable = split.training_end > 0 && split.test_start + HORIZON_STEPS <= steps;
        usable.then_some(split)
    }

    /// Returns the origins of the validation part; those at its end have less than a horizon behind them.
    pub fn validation_origins(&self) -> impl Iterator<Item = usize> + use<> {
        (self.validation_start..self.validation_end).step_by(ORIGIN_STRIDE_STEPS)
    }

    /// Returns the origins of the test part.
    pub fn test_origins(&self) -> impl Iterator<Item = usize> + use<> {
        (self.test_start..=self.end - HORIZON_STEPS).step_by(ORIGIN_STRIDE_STEPS)
    }
}

/// Sums of errors over origins.
#[derive(Debug, Clone, Default)]
pub struct ScoreSheet {
    origins: usize,
    values: usize,
    absolute: f64,
    squared: f64,
    quantile_loss: f64,
    inside80: usize,
    inside95: usize,
}

impl ScoreSheet {
    /// Judges a forecast against what came; missing values are passed over, and an origin without any counts not.
    pub fn add(&mut self, path: &QuantilePath, actual: &[f32]) {
        let before = self.values;
        for (step, actual) in actual.iter().take(path.steps()).enumerate() {
            if !actual.is_nan() {
                self.add_value(path, step, f64::from(*actual));
            }
        }
        self.origins += usize::from(self.values > before);
    }

    fn add_value(&mut self, path: &QuantilePath, step: usize, actual: f64) {
        let at = |level: usize| path.levels()[level][step];
        let last = LEVELS.len() - 1;
        let error = actual - at(MEDIAN);
        self.values += 1;
        self.absolute += error.abs();
        self.squared += error * error;
        for (level, probability) in LEVELS.iter().enumerate().take(last).skip(1) {
            self.quantile_loss += 2.0 * pinball(actual - at(level), *probability);
        }
        let inside = |low: usize, high: usize| usize::from(at(low) <= actual && actual <= at(high));
        self.inside80 += inside(1, last - 1);
        self.inside95 += inside(0, last);
    }

    /// Returns the mean absolute error; `None` without values.
    #[must_use]
    pub fn mae(&self) -> Option<f64> {
        (self.values > 0).then(|| self.absolute / self.values as f64)
    }

    /// Returns the mean over values and deciles of twice the pinball loss; `None` without values.
    #[must_use]
    pub fn crps(&self) -> Option<f64> {
        let deciles = (LEVELS.len() - 2) as f64;
        (self.values > 0).then(|| self.quantile_loss / self.values as f64 / deciles)
    }

    /// Returns the means beside those of the baseline, which was judged at the same origins; `None` without
    /// values.
    ///
    /// `scale` is the seasonal naive error within the training part.
    #[must_use]
    pub fn scores(&self, baseline: &Self, scale: f64) -> Option<Scores> {
        let mae = self.mae()?;
        let baseline_mae = baseline.mae()?;
        let values = self.values as f64;
        Some(Scores {
            mae,
            rmse: (self.squared / values).sqrt(),
            mase: (scale > 0.0).then(|| mae / scale),
            crps: self.crps()?,
            coverage80: self.inside80 as f64 / values,
            coverage95: self.inside95 as f64 / values,
            n_origins: self.origins,
            baseline_mae,
            skill: (baseline_mae > 0.0).then(|| 1.0 - mae / baseline_mae),
        })
    }
}

/// The pinball loss of an error at a level (Koenker & Bassett 1978).
pub(crate) fn pinball(error: f64, level: f64) -> f64 {
    (level * error).max((level - 1.0) * error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Kind;

    #[test]
    fn parts_never_touch_and_every_test_origin_has_a_whole_horizon() {
        for steps in [600, 1152, 4032, 12_960] {
            let split = Split::of(steps).expect("enough steps");
            assert_eq!(split.validation_start, split.training_end + HORIZON_STEPS);
            assert_eq!(split.test_start, split.validation_end + HORIZON_STEPS);
            assert!(split.validation_end - split.validation_start >= HORIZON_STEPS);
            assert!(split.test_origins().count() > 0);
            assert!(
                split
                    .test_origins()
                    .all(|origin| origin + HORIZON_STEPS <= steps)
            );
        }
        assert_eq!(Split::of(4 * HORIZON_STEPS), None);
    }

    #[test]
    fn scores_are_those_of_the_definitions() {
        let mut sheet = ScoreSheet::default();
        let mut baseline = ScoreSheet::default();
        let path = |spread: f64| {
            QuantilePath::from_fn(2, Kind::Gauge, |level, _| {
                10.0 + spread * (LEVELS[level] - 0.5)
            })
        };
        sheet.add(&path(4.0), &[11.0, f32::NAN]);
        sheet.add(&path(4.0), &[8.0, 10.0]);
        baseline.add(&path(0.0), &[16.0, f32::NAN]);
        let scores = sheet.scores(&baseline, 0.5).expect("values");
        assert!((scores.mae - 1.0).abs() < 1e-12);
        assert!((scores.rmse - (5.0_f64 / 3.0).sqrt()).abs() < 1e-12);
        assert_eq!(scores.mase, Some(2.0));
        // 80 %: 8.4 to 11.6; 95 %: 8.1 to 11.9; of 11, 8 and 10 two lie inside either.
        assert!((scores.coverage80 - 2.0 / 3.0).abs() < 1e-12);
        assert!((scores.coverage95 - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(scores.n_origins, 2);
        assert!((scores.skill.expect("a baseline error") - 5.0 / 6.0).abs() < 1e-12);
    }

    #[test]
    fn crps_of_a_forecast_without_spread_is_its_absolute_error() {
        let mut sheet = ScoreSheet::default();
        let path = QuantilePath::from_fn(1, Kind::Gauge, |_, _| 3.0);
        sheet.add(&path, &[5.0]);
        let scores = sheet.scores(&sheet, 0.0).expect("a value");
        assert!((scores.crps - 2.0).abs() < 1e-12);
        assert_eq!(scores.mase, None);
    }
}
