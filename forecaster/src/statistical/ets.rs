//! Exponential smoothing with additive errors: level, damped trend, additive season; the form chosen by `AICc`.
//!
//! The equations are those of the innovations state space models (Hyndman, Koehler, Ord & Snyder 2008, *Forecasting with
//! Exponential Smoothing*, table 2.2). With the error e = y − (ℓ + φ b + s):
//!
//! ```text
//! ℓ ← ℓ + φ b + α e     b ← φ b + β e     s ← s + γ e
//! ```
//!
//! A missing value makes no error, so that level and trend go on by themselves. An undamped trend is not among the
//! forms: over eight hours it leads out of every bound. The states begin from the first values (the level from their
//! mean, the trend at zero, the season from the first days' deviations), since after thousands of steps nothing is left
//! of where they began; only the smoothing parameters are searched for.

use serde::{Deserialize, Serialize};

use super::{Learn, Past, Points, simplex};

/// The days whose deviations begin the season.
const FIRST_DAYS: usize = 3;

/// The values whose mean is the first level of a form without season.
const FIRST_VALUES: usize = 10;

/// Fewer values than this are not smoothed.
const VALUES_MIN: usize = 30;

/// The calls of the filter in the search for a form's parameters.
const CALLS_MAX: usize = 160;

/// The search ends when the logarithm of the squared error has settled to this.
const TOLERANCE: f64 = 1e-5;

/// The range of the damping parameter, as Hyndman & Khandakar (2008) bound it.
const DAMPING: (f64, f64) = (0.8, 0.98);

/// A form: which states there are beside the level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EtsForm {
    /// Whether there is a damped trend.
    pub trend: bool,
    /// Whether there is a season of a day.
    pub season: bool,
}

/// Smoothing parameters that were found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Ets {
    /// The form.
    pub form: EtsForm,
    /// The weight of an error in the level, α.
    pub level: f64,
    /// The weight of an error in the trend, β, below that in the level; 0 without a trend.
    pub trend: f64,
    /// The damping of the trend, φ; 0 without one.
    pub damping: f64,
    /// The weight of an error in the season, γ; 0 without a season.
    pub season: f64,
}

/// Chooses among four forms: with and without a damped trend, with and without a season of a day.
///
/// Costs at most four times [`struct@Ets`]'s 160 passes over 14 days, and a fixed share more for the spread.
#[derive(Debug, Clone, Copy, Default)]
pub struct AutoEts {
    /// Whether the season is left to somebody else, as MSTL takes it out beforehand.
    pub without_season: bool,
}

/// The states at an origin.
#[derive(Debug, Clone, PartialEq)]
struct States {
    level: f64,
    trend: f64,
    /// By phase, counted from the first value; one zero without a season.
    season: Vec<f64>,
    /// The phase of the next value.
    phase: usize,
    squared_error: f64,
    /// The values that made an error.
    judged: usize,
}

impl Learn for AutoEts {
    type Learned = Ets;

    fn learn(&self, past: Past<'_>) -> Option<Ets> {
        if past.observed().count() < VALUES_MIN {
            return None;
        }
        let holds_days = past
            .day_steps()
            .is_some_and(|day| past.values.len() >= (FIRST_DAYS + 1) * day);
        let seasons: &[bool] = if self.without_season || !holds_days {
            &[false]
        } else {
            &[false, true]
        };
        let forms = seasons
            .iter()
            .flat_map(|&season| [false, true].map(|trend| EtsForm { trend, season }));
        forms
            .filter_map(|form| Ets::search(form, past))
            .min_by(|one, other| one.1.total_cmp(&other.1))
            .map(|(ets, _)| ets)
    }
}

impl Points for Ets {
    fn points(&self, past: Past<'_>, steps: usize) -> Option<Vec<f64>> {
        let mut states = self.filtered(past)?;
        let mut points = Vec::with_capacity(steps);
        for _ in 0..steps {
            points.push(self.expected(&states));
            self.advance(&mut states, 0.0);
        }
        Some(points)
    }
}

impl Ets {
    /// Searches for the parameters of a form, and returns them with their `AICc`.
    fn search(form: EtsForm, past: Past<'_>) -> Option<(Self, f64)> {
        let first = States::first(form, past)?;
        let start: &[f64] = match (form.trend, form.season) {
            (false, false) => &[0.0],
            (true, false) => &[0.0, -2.0, 1.0],
            (false, true) => &[0.0, -2.0],
            (true, true) => &[0.0, -2.0, -2.0, 1.0],
        };
        let logarithm = |free: &[f64]| {
            Self::of(form, free)
                .run(first.clone(), past)
                .error_logarithm()
        };
        let (free, value) = simplex::least(start, 1.0, CALLS_MAX, TOLERANCE, logarithm);
        let ets = Self::of(form, &free);
        let judged = ets.run(first.clone(), past).judged as f64;
        // The parameters, the first states (a season's deviations sum to zero), and the variance.
        let states = 1
            + usize::from(form.trend)
            + if form.season {
                first.season.len() - 1
            } else {
                0
            };
        let parameters = (start.len() + states + 1) as f64;
        let free_values = judged - parameters - 1.0;
        (free_values > 0.0).then(|| {
            let aic = judged * value + 2.0 * parameters;
            (
                ets,
                aic + 2.0 * parameters * (parameters + 1.0) / free_values,
            )
        })
    }

    /// Maps numbers of any size into the usual region: 0 < β < α < 1, 0 < γ < 1 − α.
    fn of(form: EtsForm, free: &[f64]) -> Self {
        let share = |place: usize| 1.0 / (1.0 + (-free[place]).exp());
        let level = share(0);
        let season = if form.season {
            (1.0 - level) * share(1)
        } else {
            0.0
        };
        let (trend, damping) = if form.trend {
            let place = free.len() - 2;
            let (low, high) = DAMPING;
            (level * share(place), low + (high - low) * share(place + 1))
        } else {
            (0.0, 0.0)
        };
        Self {
            form,
            level,
            trend,
            damping,
            season,
        }
    }

    fn filtered(&self, past: Past<'_>) -> Option<States> {
        Some(self.run(States::first(self.form, past)?, past))
    }

    fn run(&self, mut states: States, past: Past<'_>) -> States {
        for value in past.values {
            if value.is_nan() {
                self.advance(&mut states, 0.0);
            } else {
                let error = f64::from(*value) - self.expected(&states);
                states.squared_error += error * error;
                states.judged += 1;
                self.advance(&mut states, error);
            }
        }
        states
    }

    fn expected(&self, states: &States) -> f64 {
        states.level + self.damping * states.trend + states.season[states.phase]
    }

    fn advance(&self, states: &mut States, error: f64) {
        states.level += self.damping * states.trend + self.level * error;
        states.trend = self.damping * states.trend + self.trend * error;
        states.season[states.phase] += self.season * error;
        states.phase += 1;
        if states.phase == states.season.len() {
            states.phase = 0;
        }
    }
}

impl States {
    /// The states before the first value; `None` when a season has a phase that was never observed.
    fn first(form: EtsForm, past: Past<'_>) -> Option<Self> {
        let (level, season) = if form.season {
            season(past)?
        } else {
            let first: Vec<f64> = past.observed().take(FIRST_VALUES).collect();
            (mean(&first)?, vec![0.0])
        };
        Some(Self {
            level,
            trend: 0.0,
            season,
            phase: 0,
            squared_error: 0.0,
            judged: 0,
        })
    }

    /// The logarithm of the mean squared error; that of a perfect fit is bounded, so that forms can be compared.
    fn error_logarithm(&self) -> f64 {
        (self.squared_error / self.judged as f64)
            .max(f64::MIN_POSITIVE)
            .ln()
    }
}

/// Returns the mean of the first days, and each phase's mean deviation from it; a phase that none of them observed
/// deviates as the one before it.
fn season(past: Past<'_>) -> Option<(f64, Vec<f64>)> {
    let day = past.day_steps()?;
    let first = past.slice(FIRST_DAYS * day, FIRST_DAYS * day);
    if first.values.len() < day {
        return None;
    }
    let level = mean(&first.observed().collect::<Vec<f64>>())?;
    let mut last = 0.0;
    let mut deviations: Vec<f64> = (0..day)
        .map(|phase| {
            let same = first.values.iter().skip(phase).step_by(day);
            let same: Vec<f64> = same
                .filter(|value| !value.is_nan())
                .map(|value| f64::from(*value))
                .collect();
            last = mean(&same).map_or(last, |mean| mean - level);
            last
        })
        .collect();
    let offset = mean(&deviations)?;
    for deviation in &mut deviations {
        *deviation -= offset;
    }
    Some((level + offset, deviations))
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::statistical::reference::{self, agree, past, spreads_agree};

    #[derive(Deserialize)]
    struct Case {
        series: String,
        trend: bool,
        season: bool,
        alpha: f64,
        beta: f64,
        phi: f64,
        gamma: f64,
        squared_error: f64,
        forecast: Vec<f64>,
        spread: Vec<Vec<f64>>,
    }

    #[test]
    fn every_form_filters_and_forecasts_as_statsmodels_does() {
        for case in reference::cases::<Case>("ets") {
            let form = EtsForm {
                trend: case.trend,
                season: case.season,
            };
            let ets = Ets {
                form,
                level: case.alpha,
                trend: case.beta,
                damping: case.phi,
                season: case.gamma,
            };
            let values = reference::series(&case.series);
            let squared_error = ets.filtered(past(&values)).expect("states").squared_error;
            agree(&[squared_error], &[case.squared_error], 1e-6);
            agree(
                &ets.points(past(&values), 30).expect("points"),
                &case.forecast,
                1e-6,
            );
            spreads_agree(&ets, &values, &case.spread, 1e-6);
        }
    }

    #[test]
    fn the_search_finds_what_statsmodels_finds() {
        for case in reference::cases::<Case>("ets") {
            let form = EtsForm {
                trend: case.trend,
                season: case.season,
            };
            let values = reference::series(&case.series);
            let (ets, _) = Ets::search(form, past(&values)).expect("a fit");
            let squared_error = ets.filtered(past(&values)).expect("states").squared_error;
            assert!(
                squared_error < 1.003 * case.squared_error,
                "{form:?}: {squared_error} {ets:?}"
            );
        }
    }

    #[test]
    fn the_season_is_chosen_where_there_is_one() {
        let chosen = |name| {
            AutoEts::default()
                .learn(past(&reference::series(name)))
                .expect("a fit")
                .form
        };
        assert!(chosen("daily").season);
        assert_eq!(
            chosen("wandering"),
            EtsForm {
                trend: true,
                season: false
            }
        );
    }
}
