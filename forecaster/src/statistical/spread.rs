//! The spread of a model's errors, measured behind the values that it was fitted on.

use serde::{Deserialize, Serialize};

use super::{Learn, Past, Points, Predict};
use crate::{
    quantile::{HORIZON_STEPS, LEVELS, MEDIAN, QuantilePath, empirical},
    target::Kind,
};

/// The share of a stretch that a model is fitted on before its errors are measured in the rest.
pub const FITTED_SHARE: f64 = 0.7;

/// The steps whose errors are pooled: an hour of five-minute values.
const BAND_STEPS: usize = 12;

/// The most origins that are visited: one every two hours for four days.
const ORIGINS_MAX: usize = 48;

/// Fewer errors than this in the first band say nothing about a spread.
const ERRORS_MIN: usize = 20;

/// A model, and how far it is usually off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WithSpread<P> {
    /// What makes the point forecast.
    pub points: P,
    /// What stands about it.
    pub spread: Spread,
}

/// Quantiles of errors at [`LEVELS`], in the metric's own unit, for each band of twelve steps of the horizon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spread(pub(super) Vec<[f64; LEVELS.len()]>);

impl<P: Points> WithSpread<P> {
    /// Fits on a part of the past, measures the errors in the rest, and fits again on all of it.
    pub(super) fn fit<L: Learn<Learned = P>>(learn: &L, past: Past<'_>) -> Option<Self> {
        let length = past.values.len();
        let fitted = (length as f64 * FITTED_SHARE) as usize;
        let spread = Spread::measure(&learn.learn(past.slice(fitted, fitted))?, past, fitted)?;
        Some(Self {
            points: learn.learn(past)?,
            spread,
        })
    }
}

impl<P: Points> Predict for WithSpread<P> {
    fn predict(&self, past: Past<'_>, steps: usize, kind: Kind) -> Option<QuantilePath> {
        let points = self.points.points(past, steps)?;
        points.iter().all(|point| point.is_finite()).then(|| {
            QuantilePath::from_fn(steps, kind, |level, step| {
                points[step] + self.spread.at(level, step)
            })
        })
    }
}

impl Spread {
    /// Measures the errors of a model at origins from `first` on; `None` when too few values came behind them.
    pub(super) fn measure(model: &impl Points, past: Past<'_>, first: usize) -> Option<Self> {
        let length = past.values.len();
        let stride = (length.saturating_sub(first) / ORIGINS_MAX).max(1);
        let mut errors = vec![Vec::new(); HORIZON_STEPS.div_ceil(BAND_STEPS)];
        for origin in (first..length).step_by(stride) {
            let Some(points) = model.points(past.slice(origin, origin), HORIZON_STEPS) else {
                continue;
            };
            for (step, (point, came)) in points.iter().zip(&past.values[origin..]).enumerate() {
                let error = f64::from(*came) - point;
                if error.is_finite() {
                    errors[step / BAND_STEPS].push(error);
                }
            }
        }
        if errors[0].len() < ERRORS_MIN {
            return None;
        }
        // A band that no origin reaches is as uncertain as the one before it.
        let mut bands: Vec<[f64; LEVELS.len()]> = Vec::new();
        for band in errors {
            let quantiles = if band.len() < ERRORS_MIN {
                *bands.last()?
            } else {
                about_the_median(empirical(band)?)
            };
            bands.push(quantiles);
        }
        Some(Self(bands))
    }

    /// The distance from the point forecast; steps beyond the horizon are as uncertain as its last.
    fn at(&self, level: usize, step: usize) -> f64 {
        self.0
            .get(step / BAND_STEPS)
            .or(self.0.last())
            .map_or(0.0, |quantiles| quantiles[level])
    }
}

fn about_the_median(quantiles: [f64; LEVELS.len()]) -> [f64; LEVELS.len()] {
    quantiles.map(|quantile| quantile - quantiles[MEDIAN])
}
