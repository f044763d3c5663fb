//! Forecasts of values that come with the question: fitted on the spot, nothing stored.
//!
//! Every candidate is fitted on the first part of the values and judged on the rest, at the same origins; the one with
//! the least CRPS is fitted on all of them and answers, with its errors beside the naive forecast's. Values that are too
//! few for that are continued as their newest one.

use crate::{
    backtest::{ScoreSheet, Scores},
    baseline::SeasonalNaive,
    quantile::{HORIZON_STEPS, QuantilePath},
    statistical::{
        AutoEts, AutoSarima, AutoTheta, FITTED_SHARE, Fit, MstlWithEts, Past, Predict, Season,
    },
    target::Kind,
};

/// The most origins that candidates are judged at.
const ORIGINS_MAX: usize = 24;

/// Candidates are judged where this many values lie before the first origin.
const JUDGED_VALUES_MIN: usize = 48;

/// What forecasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Candidate {
    /// The newest value goes on.
    Persistence,
    /// The value a day ago.
    SeasonalNaiveDay,
    /// The value a week ago.
    SeasonalNaiveWeek,
    /// The value a season ago, whose steps the question names.
    SeasonalNaive(usize),
    /// Exponential smoothing.
    Ets,
    /// The optimised theta model.
    Theta,
    /// Seasons of a day and a week, and exponential smoothing of the rest.
    MstlEts,
    /// Seasonal ARIMA; only where it is asked for.
    Sarima,
}

/// A forecast of values that came along.
#[derive(Debug)]
pub struct AdHocForecast {
    /// What made it.
    pub candidate: Candidate,
    /// The forecast.
    pub path: QuantilePath,
    /// Its errors at origins within the values, beside the naive forecast's; `None` when the values are too few.
    pub scores: Option<Scores>,
}

/// Why there is no forecast.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdHocError {
    /// Nothing but gaps.
    #[error("not one of the {values} values is a number; send at least one")]
    NothingObserved {
        /// How many values came.
        values: usize,
    },
}

type Boxed = Box<dyn Predict>;

impl Candidate {
    /// Returns the name as it stands in answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Persistence => "persistence",
            Self::SeasonalNaiveDay => "seasonal_naive_day",
            Self::SeasonalNaiveWeek => "seasonal_naive_week",
            Self::SeasonalNaive(_) => "seasonal_naive",
            Self::Ets => "ets",
            Self::Theta => "theta",
            Self::MstlEts => "mstl_ets",
            Self::Sarima => "sarima",
        }
    }

    fn fit(self, past: Past<'_>) -> Option<Boxed> {
        fn boxed<F: Fit>(model: &F, past: Past<'_>) -> Option<Boxed>
        where
            F::Fitted: 'static,
        {
            Some(Box::new(model.fit(past)?))
        }
        let day = past.day_steps();
        match self {
            Self::Persistence => boxed(&Season(1), past),
            Self::SeasonalNaiveDay => boxed(&Season(day?), past),
            Self::SeasonalNaiveWeek => boxed(&Season(7 * day?), past),
            Self::SeasonalNaive(steps) => boxed(&Season(steps), past),
            Self::Ets => boxed(&AutoEts::default(), past),
            Self::Theta => boxed(&AutoTheta, past),
            Self::MstlEts => boxed(&MstlWithEts, past),
            Self::Sarima => boxed(&AutoSarima::default(), past),
        }
    }
}

/// Forecasts the steps behind a past, by the candidate that is asked for or by the best; where the values are too few
/// for it, by their newest one. Computes for a good part of a second; not for an async thread.
///
/// # Errors
///
/// When nothing was observed.
pub fn forecast(
    past: Past<'_>,
    season_steps: Option<usize>,
    asked: Option<Candidate>,
    steps: usize,
    kind: Kind,
) -> Result<AdHocForecast, AdHocError> {
    let values = past.values.len();
    if past.values.iter().all(|value| value.is_nan()) {
        return Err(AdHocError::NothingObserved { values });
    }
    let baseline = baseline(past, season_steps);
    let candidates = match asked {
        Some(candidate) => vec![candidate],
        None => [
            Some(baseline),
            Some(Candidate::Persistence),
            Some(Candidate::SeasonalNaiveDay),
            Some(Candidate::SeasonalNaiveWeek),
            season_steps.map(Candidate::SeasonalNaive),
            Some(Candidate::Ets),
            Some(Candidate::Theta),
            Some(Candidate::MstlEts),
        ]
        .into_iter()
        .flatten()
        .collect(),
    };
    let mut judged: Vec<(Candidate, Option<Scores>)> = judge(past, baseline, &candidates, kind)
        .into_iter()
        .map(|(candidate, scores)| (candidate, Some(scores)))
        .collect();
    judged.sort_by(|(_, one), (_, other)| crps(one.as_ref()).total_cmp(&crps(other.as_ref())));
    // What could not be judged may still answer.
    judged.extend(candidates.iter().map(|candidate| (*candidate, None)));
    for (candidate, scores) in judged {
        let answer = candidate
            .fit(past)
            .and_then(|fitted| fitted.predict(past, steps, kind));
        if let Some(path) = answer {
            return Ok(AdHocForecast {
                candidate,
                path,
                scores,
            });
        }
    }
    // What is too little for every candidate goes on as it is.
    SeasonalNaive::persistence()
        .predict(past.values, steps, kind)
        .map(|path| AdHocForecast {
            candidate: Candidate::Persistence,
            path,
            scores: None,
        })
        .ok_or(AdHocError::NothingObserved { values })
}

/// The naive forecast that errors are measured against: the longest season that is named or a day, else persistence.
fn baseline(past: Past<'_>, season_steps: Option<usize>) -> Candidate {
    let holds = |steps: usize| past.values.len() >= 3 * steps;
    match (season_steps, past.day_steps()) {
        (Some(steps), _) if holds(steps) => Candidate::SeasonalNaive(steps),
        (_, Some(day)) if holds(day) => Candidate::SeasonalNaiveDay,
        _ => Candidate::Persistence,
    }
}

/// Judges candidates at the same origins in the last part of the values; nobody without enough of them.
fn judge(
    past: Past<'_>,
    baseline: Candidate,
    candidates: &[Candidate],
    kind: Kind,
) -> Vec<(Candidate, Scores)> {
    let first = (past.values.len() as f64 * FITTED_SHARE) as usize;
    let known = |origin: usize| Past {
        values: &past.values[..origin],
        ..past
    };
    let Some(naive) = baseline
        .fit(known(first))
        .filter(|_| first >= JUDGED_VALUES_MIN)
    else {
        return Vec::new();
    };
    let stride = ((past.values.len() - first) / ORIGINS_MAX).max(1);
    let origins: Vec<usize> = (first..past.values.len()).step_by(stride).collect();
    let sheet = |model: &dyn Predict| {
        let mut sheet = ScoreSheet::default();
        for &origin in &origins {
            let came = &past.values[origin..];
            let path = model.predict(known(origin), came.len().min(HORIZON_STEPS), kind);
            // Everybody is judged at all origins, or not at all.
            sheet.add(&path?, came);
        }
        Some(sheet)
    };
    let Some(naive) = sheet(naive.as_ref()) else {
        return Vec::new();
    };
    let scale = scale(&past.values[..first], baseline, past);
    candidates
        .iter()
        .filter_map(|candidate| {
            let sheet = sheet(candidate.fit(known(first))?.as_ref())?;
            Some((*candidate, sheet.scores(&naive, scale)?))
        })
        .collect()
}

/// The mean absolute seasonal difference of the baseline's season.
fn scale(values: &[f32], baseline: Candidate, past: Past<'_>) -> f64 {
    let season = match baseline {
        Candidate::SeasonalNaive(steps) => steps,
        Candidate::SeasonalNaiveDay => past.day_steps().unwrap_or(1),
        _ => 1,
    };
    SeasonalNaive::fit(values, season).map_or(0.0, |naive| naive.scale())
}

fn crps(scores: Option<&Scores>) -> f64 {
    scores.map_or(f64::INFINITY, |scores| scores.crps)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn past(values: &[f32], step_s: u32) -> Past<'_> {
        Past {
            start_s: 0,
            step_s,
            values,
        }
    }

    #[test]
    fn the_best_candidate_answers_with_its_errors() {
        let wave: Vec<f32> = (0..10 * 24)
            .map(|hour| {
                (50.0 + 20.0 * (f64::from(hour) / 24.0 * std::f64::consts::TAU).sin()) as f32
            })
            .collect();
        let forecast =
            forecast(past(&wave, 3_600), None, None, 24, Kind::Percent).expect("a forecast");
        assert_ne!(forecast.candidate, Candidate::Persistence);
        assert!(forecast.scores.expect("origins").mae < 0.5);
        let error = forecast
            .path
            .median()
            .iter()
            .zip(&wave)
            .map(|(point, came)| (point - f64::from(*came)).abs());
        assert!(error.fold(0.0, f64::max) < 1.0);
    }

    #[test]
    fn a_named_season_is_taken() {
        let values: Vec<f32> = (0..120)
            .map(|step| [1.0, 5.0, 2.0, 9.0, 4.0, 7.0, 3.0][step % 7])
            .collect();
        let forecast =
            forecast(past(&values, 86_400), Some(7), None, 7, Kind::Gauge).expect("a forecast");
        assert_eq!(forecast.candidate, Candidate::SeasonalNaive(7));
        assert_eq!(forecast.path.median(), [5.0, 2.0, 9.0, 4.0, 7.0, 3.0, 1.0]);
    }

    #[test]
    fn few_values_are_continued_and_none_refused() {
        let few =
            forecast(past(&[3.0, f32::NAN], 60), None, None, 4, Kind::Gauge).expect("a forecast");
        assert_eq!(
            (few.candidate, few.path.median()),
            (Candidate::Persistence, &[3.0; 4][..])
        );
        let nothing = forecast(past(&[f32::NAN], 60), None, None, 4, Kind::Gauge);
        assert_eq!(
            nothing.expect_err("no value"),
            AdHocError::NothingObserved { values: 1 }
        );
        let asked = forecast(
            past(&[1.0, 2.0], 60),
            None,
            Some(Candidate::Ets),
            4,
            Kind::Gauge,
        );
        assert_eq!(
            asked.expect("its stand-in").candidate,
            Candidate::Persistence
        );
    }
}
