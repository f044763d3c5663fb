//! Statistical models, which stand beside the network: one trait to fit, one to predict.
//!
//! | model | what it is | stretch it is fitted on |
//! |---|---|---|
//! | [`Season`] | the value a day or a week ago | everything |
//! | [`NewestValue`] | the newest value | [`STRETCH_DAYS`] |
//! | [`AutoEts`] | exponential smoothing, its form chosen by `AICc` | [`STRETCH_DAYS`] |
//! | [`AutoTheta`] | the optimised theta model, a season of a day taken out where there is one | [`STRETCH_DAYS`] |
//! | [`MstlWithEts`] | seasons of a day and a week by loess, and exponential smoothing of the rest | twice as many |
//! | [`AutoSarima`] | seasonal ARIMA with a season of an hour, its orders chosen by AIC; too dear for every retrain | three days |
//!
//! A model is fitted once, for a retrain: a few parameters, and the spread of its errors. From then on it forecasts
//! from any past of the series in one pass over it, without being fitted again, so that a backtest visits many origins
//! and a request costs no optimiser.
//!
//! The quantiles are measured, not assumed: a model is fitted on the first [`FITTED_SHARE`] of its stretch, forecasts
//! from origins in the rest, and the empirical quantiles of its errors at each hour of the horizon, less their median,
//! stand about the point forecast of the model that is then fitted on the whole stretch.
//!
//! Missing values are passed over: they change no state and no score. A series that is too short is not fitted; one
//! that is constant is forecast as what it is.

mod ets;
mod mstl;
mod newest;
#[cfg(test)]
mod reference;
mod sarima;
mod simplex;
mod spread;
mod theta;

use crate::{baseline::SeasonalNaive, grid::Grid, quantile::QuantilePath, target::Kind};

pub use self::{
    ets::{AutoEts, Ets, EtsForm},
    mstl::{MstlEts, MstlWithEts},
    newest::{Newest, NewestValue},
    sarima::{AutoSarima, Sarima, SarimaOrder},
    spread::{FITTED_SHARE, Spread, WithSpread},
    theta::{AutoTheta, Theta},
};

/// The days that a statistical model is fitted on: two of each weekday, and a fit that stays within a tenth of a second.
pub const STRETCH_DAYS: usize = 14;

const DAY_S: u32 = 86_400;

/// Values at a regular step up to an origin, which is their end; NaN where one is missing.
#[derive(Debug, Clone, Copy)]
pub struct Past<'a> {
    /// The first second of the first value's bin.
    pub start_s: i64,
    /// The distance between two values, in seconds.
    pub step_s: u32,
    /// The values, oldest first.
    pub values: &'a [f32],
}

/// A way to learn a forecaster from a past.
pub trait Fit {
    /// What comes of it.
    type Fitted: Predict;

    /// Fits the model; `None` when the past is too short for it.
    fn fit(&self, past: Past<'_>) -> Option<Self::Fitted>;
}

/// What was fitted, and can forecast.
pub trait Predict {
    /// Forecasts the steps behind a past of the same series at the same step; `None` when it is too short or empty.
    fn predict(&self, past: Past<'_>, steps: usize, kind: Kind) -> Option<QuantilePath>;
}

/// The seasonal naive forecast of a season of so many steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Season(pub usize);

impl Fit for Season {
    type Fitted = SeasonalNaive;

    fn fit(&self, past: Past<'_>) -> Option<SeasonalNaive> {
        SeasonalNaive::fit(past.values, self.0)
    }
}

impl Predict for SeasonalNaive {
    fn predict(&self, past: Past<'_>, steps: usize, kind: Kind) -> Option<QuantilePath> {
        Self::predict(self, past.values, steps, kind)
    }
}

impl<'a> Past<'a> {
    /// The values of a grid before one of its bins.
    ///
    /// # Panics
    ///
    /// When the grid has fewer bins than `until`.
    #[must_use]
    pub fn of(grid: &'a Grid, until: usize) -> Self {
        Self {
            start_s: grid.start_s,
            step_s: grid.step_s,
            values: &grid.values[..until],
        }
    }

    /// Returns the steps of a day; `None` when a day holds no whole number of them, or fewer than two.
    #[must_use]
    pub fn day_steps(&self) -> Option<usize> {
        let steps = DAY_S / self.step_s.max(1);
        (steps >= 2 && DAY_S.is_multiple_of(self.step_s)).then_some(steps as usize)
    }

    /// Returns the first second of a step's bin, also behind the past.
    fn time_of(&self, step: usize) -> i64 {
        self.start_s + step as i64 * i64::from(self.step_s)
    }

    /// Cuts the past at both ends: the newest `steps` before the bin `until`.
    fn slice(self, until: usize, steps: usize) -> Self {
        let until = until.min(self.values.len());
        let from = until.saturating_sub(steps);
        Self {
            start_s: self.time_of(from),
            step_s: self.step_s,
            values: &self.values[from..until],
        }
    }

    /// The newest steps.
    #[must_use]
    pub fn newest_steps(self, steps: usize) -> Self {
        self.slice(self.values.len(), steps)
    }

    /// The newest days.
    fn newest(self, days: usize) -> Self {
        let steps = days * (DAY_S / self.step_s.max(1)) as usize;
        self.newest_steps(steps.max(days))
    }

    fn observed(self) -> impl Iterator<Item = f64> + 'a {
        self.values
            .iter()
            .filter(|value| !value.is_nan())
            .map(|value| f64::from(*value))
    }
}

/// A forecaster without spread, as each model of this folder is one.
pub trait Points {
    /// Forecasts the steps behind a past; `None` when it is too short or empty.
    fn points(&self, past: Past<'_>, steps: usize) -> Option<Vec<f64>>;
}

/// A way to learn the parameters of a forecaster without spread.
pub trait Learn {
    /// What comes of it.
    type Learned: Points;

    /// The newest days that count.
    const DAYS: usize = STRETCH_DAYS;

    /// Learns from a past of at most [`Self::DAYS`]; `None` when it is too short.
    fn learn(&self, past: Past<'_>) -> Option<Self::Learned>;
}

impl<L: Learn> Fit for L {
    type Fitted = WithSpread<L::Learned>;

    fn fit(&self, past: Past<'_>) -> Option<Self::Fitted> {
        WithSpread::fit(self, past.newest(L::DAYS))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::{
        Fit, Season,
        reference::{self, agree, past},
    };
    use crate::{quantile::MEDIAN, target::Kind};

    #[derive(Deserialize)]
    struct Case {
        series: String,
        season: usize,
        forecast: Vec<f64>,
        /// The quantiles of the differences of one season, less their median.
        spread: Vec<f64>,
        scale: f64,
    }

    #[test]
    fn a_season_goes_on_as_with_statsforecast() {
        for case in reference::cases::<Case>("naive") {
            let values = reference::series(&case.series);
            let naive = Season(case.season).fit(past(&values)).expect("a season");
            let path = naive.predict(&values, 30, Kind::Gauge).expect("a season");
            // The reference's numbers are rounded to nine decimals.
            agree(path.median(), &case.forecast, 1e-9);
            agree(&[naive.scale()], &[case.scale], 1e-9);
            let column = path.column(7);
            let spread = column.map(|value| value - column[MEDIAN]);
            agree(&spread, &case.spread, 1e-9);
        }
    }
}
