//! The optimised theta model: exponential smoothing of the theta line, drawn along the linear trend.
//!
//! Fiorucci, Pellegrini, Louzada, Petropoulos & Koehler, "Models for optimising the theta method and their relationship
//! to state space models", International Journal of Forecasting 32 (2016), equations 10 to 13 (OTM). With the straight
//! line A + B t through the values and w = 1 − 1/θ:
//!
//! ```text
//! expected  ℓ + w ((1 − α)^(t−1) A + (1 − (1 − α)^t) / α · B)
//! ℓ ← α y + (1 − α) ℓ
//! ```
//!
//! A season of a day is taken out first where the autocorrelation shows one, by classical additive decomposition
//! (multiplicative indices fail at zeros, which rates have), and added again. A missing value is taken for the expected one.

use serde::{Deserialize, Serialize};

use super::{Learn, Past, Points, simplex};

/// The least α: below it the level hardly moves, and the line's share never fades.
const LEVEL_MIN: f64 = 0.1;

/// The calls of the filter in the search.
const CALLS_MAX: usize = 120;

/// The search ends when the logarithm of the squared error has settled to this.
const TOLERANCE: f64 = 1e-6;

/// Fewer values than this are not smoothed.
const VALUES_MIN: usize = 30;

/// The 0.95 quantile of the standard normal distribution, which the season's autocorrelation must exceed.
const SEASON_Z: f64 = 1.644_853_6;

/// Learns [`Theta`].
#[derive(Debug, Clone, Copy, Default)]
pub struct AutoTheta;

/// Parameters that were found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Theta {
    /// The weight of a value in the level, α.
    pub level: f64,
    /// The share of the line, 1 − 1/θ.
    pub line: f64,
    /// The steps of the season that is taken out; 1 without a season.
    pub season_steps: usize,
}

/// A season by phase, counted from the past's first value, and what is left without it.
struct Adjusted {
    season: Vec<f64>,
    rest: Vec<f64>,
}

/// The straight line through a past's values: `start + slope * t`, with t = 1 at the first.
#[derive(Clone, Copy)]
struct Line {
    start: f64,
    slope: f64,
}

impl Learn for AutoTheta {
    type Learned = Theta;

    fn learn(&self, past: Past<'_>) -> Option<Theta> {
        if past.observed().count() < VALUES_MIN {
            return None;
        }
        let season_steps = past
            .day_steps()
            .filter(|day| has_season(past, *day))
            .unwrap_or(1);
        let rest = Adjusted::of(past, season_steps)?.rest;
        let line = Line::through(&rest)?;
        let of = |free: &[f64]| Theta {
            level: LEVEL_MIN + (1.0 - LEVEL_MIN) * logistic(free[0]),
            line: logistic(free[1]),
            season_steps,
        };
        let logarithm = |free: &[f64]| of(free).run(&rest, line).1.max(f64::MIN_POSITIVE).ln();
        Some(of(&simplex::least(
            &[0.0, 0.0],
            1.0,
            CALLS_MAX,
            TOLERANCE,
            logarithm,
        )
        .0))
    }
}

impl Points for Theta {
    fn points(&self, past: Past<'_>, steps: usize) -> Option<Vec<f64>> {
        let adjusted = Adjusted::of(past, self.season_steps)?;
        let line = Line::through(&adjusted.rest)?;
        let (level, _) = self.run(&adjusted.rest, line);
        let length = adjusted.rest.len();
        let fading = (1.0 - self.level).powf(length as f64);
        let points = (0..steps).map(|step| {
            let slope = step as f64 + (1.0 - fading * (1.0 - self.level)) / self.level;
            let season = adjusted.season[(length + step) % adjusted.season.len()];
            level + self.line * (fading * line.start + slope * line.slope) + season
        });
        Some(points.collect())
    }
}

impl Theta {
    /// Returns the level behind the last value, and the squared error.
    fn run(&self, rest: &[f64], line: Line) -> (f64, f64) {
        let first = rest
            .iter()
            .find(|value| !value.is_nan())
            .copied()
            .unwrap_or(0.0);
        let (mut level, mut squared_error) = (first - self.line * (line.start + line.slope), 0.0);
        let mut fading = 1.0;
        let slope = line.slope / self.level;
        for value in rest {
            let faded = fading * (1.0 - self.level);
            let expected = level + self.line * (fading * line.start + (1.0 - faded) * slope);
            let value = if value.is_nan() { expected } else { *value };
            squared_error += (value - expected).powi(2);
            level += self.level * (value - level);
            fading = faded;
        }
        (level, squared_error)
    }
}

impl Line {
    /// The least squares line; `None` without a value.
    fn through(values: &[f64]) -> Option<Self> {
        let observed = || {
            (1..)
                .map(f64::from)
                .zip(values)
                .filter(|(_, value)| !value.is_nan())
        };
        let (mut count, mut time, mut value) = (0.0, 0.0, 0.0);
        for (at, one) in observed() {
            count += 1.0;
            time += at;
            value += one;
        }
        if count == 0.0 {
            return None;
        }
        let (time, value) = (time / count, value / count);
        let (mut both, mut times) = (0.0, 0.0);
        for (at, one) in observed() {
            both += (at - time) * (one - value);
            times += (at - time).powi(2);
        }
        let slope = if times > 0.0 { both / times } else { 0.0 };
        Some(Self {
            start: value - slope * time,
            slope,
        })
    }
}

impl Adjusted {
    /// Takes the season out; `None` when the past is shorter than two seasons.
    fn of(past: Past<'_>, season_steps: usize) -> Option<Self> {
        let values: Vec<f64> = past.values.iter().map(|value| f64::from(*value)).collect();
        if season_steps < 2 {
            return Some(Self {
                season: vec![0.0],
                rest: values,
            });
        }
        let season = seasonal_means(&values, season_steps)?;
        let rest = values
            .iter()
            .zip(season.iter().cycle())
            .map(|(value, season)| value - season);
        Some(Self {
            rest: rest.collect(),
            season,
        })
    }
}

/// The mean distance of each phase from the moving average over a season (classical additive decomposition), their own
/// mean taken off. A phase that was never observed has none.
fn seasonal_means(values: &[f64], season: usize) -> Option<Vec<f64>> {
    if values.len() < 2 * season {
        return None;
    }
    let (mut sums, mut counts) = (vec![0.0; season], vec![0_u32; season]);
    // An average over an even season has half a value at each end.
    let half = season / 2;
    let end_share = if season.is_multiple_of(2) { 0.5 } else { 1.0 };
    let (mut sum, mut weight) = (0.0, 0.0);
    let observed = |value: f64| {
        if value.is_nan() {
            (0.0, 0.0)
        } else {
            (value, 1.0)
        }
    };
    for value in &values[..2 * half] {
        let (value, one) = observed(*value);
        sum += value;
        weight += one;
    }
    let phases = (0..season).cycle().skip(half);
    for (centre, phase) in (half..values.len() - half).zip(phases) {
        let (first, last) = (
            observed(values[centre - half]),
            observed(values[centre + half]),
        );
        sum += last.0;
        weight += last.1;
        let averaged = sum - (1.0 - end_share) * (first.0 + last.0);
        let weights = weight - (1.0 - end_share) * (first.1 + last.1);
        if !values[centre].is_nan() && 2.0 * weights > season as f64 {
            sums[phase] += values[centre] - averaged / weights;
            counts[phase] += 1;
        }
        sum -= first.0;
        weight -= first.1;
    }
    let means: Vec<f64> = sums
        .iter()
        .zip(&counts)
        .map(|(sum, count)| sum / f64::from((*count).max(1)))
        .collect();
    let offset = means.iter().sum::<f64>() / season as f64;
    Some(means.iter().map(|mean| mean - offset).collect())
}

/// Tests whether the autocorrelation at a season is above chance, given those before it (Bartlett's formula).
fn has_season(past: Past<'_>, season: usize) -> bool {
    let count = past.observed().count() as f64;
    if past.values.len() < 2 * season || season < 4 {
        return false;
    }
    let mean = past.observed().sum::<f64>() / count;
    let centred: Vec<f64> = past
        .values
        .iter()
        .map(|value| {
            if value.is_nan() {
                0.0
            } else {
                f64::from(*value) - mean
            }
        })
        .collect();
    let product = |lag: usize| -> f64 {
        centred
            .iter()
            .zip(&centred[lag..])
            .map(|(one, other)| one * other)
            .sum()
    };
    let variance = product(0);
    if variance <= 0.0 {
        return false;
    }
    let before: f64 = (1..season)
        .map(|lag| (product(lag) / variance).powi(2))
        .sum();
    let limit = SEASON_Z * ((1.0 + 2.0 * before) / count).sqrt();
    product(season) / variance > limit
}

fn logistic(free: f64) -> f64 {
    1.0 / (1.0 + (-free).exp())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::statistical::reference::{self, agree, past, spreads_agree};

    #[derive(Deserialize)]
    struct Case {
        series: String,
        season: usize,
        alpha: f64,
        theta: f64,
        squared_error: f64,
        forecast: Vec<f64>,
        spread: Vec<Vec<f64>>,
    }

    impl Case {
        fn theta(&self) -> Theta {
            Theta {
                level: self.alpha,
                line: 1.0 - 1.0 / self.theta,
                season_steps: self.season,
            }
        }
    }

    /// The squared error behind the first fifty values, where nothing is left of the first level.
    fn late_error(theta: Theta, values: &[f32]) -> f64 {
        let rest = Adjusted::of(past(values), theta.season_steps)
            .expect("seasons")
            .rest;
        let line = Line::through(&rest).expect("a line");
        theta.run(&rest, line).1 - theta.run(&rest[..50], line).1
    }

    #[test]
    fn filters_and_forecasts_as_statsforecast_does() {
        for case in reference::cases::<Case>("theta") {
            let values = reference::series(&case.series);
            let points = case.theta().points(past(&values), 30).expect("points");
            agree(&points, &case.forecast, 1e-6);
            spreads_agree(&case.theta(), &values, &case.spread, 1e-6);
            agree(
                &[late_error(case.theta(), &values)],
                &[case.squared_error],
                1e-6,
            );
        }
    }

    #[test]
    fn the_search_finds_the_season_and_parameters_that_statsforecast_finds() {
        for case in reference::cases::<Case>("theta") {
            let values = reference::series(&case.series);
            let found = AutoTheta.learn(past(&values)).expect("a fit");
            assert_eq!(found.season_steps, case.season);
            let error = late_error(found, &values);
            assert!(error < 1.01 * case.squared_error, "{error} {found:?}");
        }
    }
}
