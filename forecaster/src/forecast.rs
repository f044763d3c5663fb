//! Serving: from a host's model and its newest values to quantiles of the next eight hours.
//!
//! The origin of a forecast is the end of the target's newest observed bin, so that a late or silent series is
//! continued from what is known of it, never from zeros; `data_until_s` says where that was.

use std::iter::once;

use crate::{
    backtest::Scores,
    baseline::SeasonalNaive,
    ensemble::{self, PastKey, Paths, RECENT_STEPS, Sitting, Standing, Standings},
    grid::Grid,
    host_model::HostModel,
    joint::Dependence,
    manifest::{Manifest, TargetModel},
    model::{ModelRefusal, Series},
    model_kind::{EncoderKind, ModelKind},
    quantile::{HORIZON_STEPS, QuantilePath},
    statistical::Past,
    target::{Kind, Target},
};

/// The history that a forecast wants: the week that a weekly season needs, and a day more for the context.
/// With less, what it has is used, and a target whose model needs more falls back or is refused.
pub const HISTORY_STEPS: usize = 8 * 288;

/// The forecast of one target.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetForecast {
    /// The target's name.
    pub metric: String,
    /// What its values can be.
    pub kind: Kind,
    /// The unit of its values.
    pub unit: String,
    /// The kind of model that made it.
    pub model: ModelKind,
    /// Why the LSTM has no part in it; `None` when it has.
    pub fallback_reason: Option<String>,
    /// The newest value.
    pub newest_value: f64,
    /// The end of the newest bin that has a value: the origin.
    pub data_until_s: i64,
    /// The distance between two steps.
    pub step_s: u32,
    /// The first second of each step's bin.
    pub timestamps_s: Vec<i64>,
    /// The quantiles at [`crate::quantile::LEVELS`].
    pub path: QuantilePath,
    /// How the steps go together.
    pub dependence: Dependence,
    /// The backtest of the kind that made it; `None` when the history was too short for one.
    pub scores: Option<Scores>,
}

/// Why a target has no forecast.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PredictError {
    /// The model was trained without the target.
    #[error("target {metric:?} is not part of the model{}; it joins at the next retrain", because(reason.as_ref()))]
    Unknown {
        /// The target's name.
        metric: String,
        /// Why the training refused it, if it did.
        reason: Option<String>,
    },
    /// Nothing was observed lately.
    #[error(
        "target {metric:?} has no value in its last {steps} steps; a forecast needs at least its newest value"
    )]
    Silent {
        /// The target's name.
        metric: String,
        /// How many steps were looked at.
        steps: usize,
    },
    /// Too little was observed lately for any of the target's models.
    #[error(
        "target {metric:?} has {have} steps of recent history; its shortest model needs {need}"
    )]
    HistoryTooShort {
        /// The target's name.
        metric: String,
        /// The steps that there are.
        have: usize,
        /// The steps that the forecast needs.
        need: usize,
    },
    /// The grid's step is not the model's.
    #[error("target {metric:?} comes at a step of {have_s} s; the model was trained at {need_s} s")]
    StepUnlike {
        /// The target's name.
        metric: String,
        /// The grid's step.
        have_s: u32,
        /// The model's step.
        need_s: u32,
    },
}

fn because(reason: Option<&String>) -> String {
    reason.map_or_else(String::new, |reason| format!(" ({reason})"))
}

/// Forecasts each of `recent`, whose grids hold the newest values (ideally [`HISTORY_STEPS`] of them).
///
/// The answers stand in the order of `recent`. `horizon_steps` beyond [`HORIZON_STEPS`] is cut to it. Each
/// network is asked once for all targets that it serves; where it cannot answer, a naive forecast does and says
/// why.
#[must_use]
pub fn predict(
    model: &HostModel,
    recent: &[(Target, Grid)],
    horizon_steps: usize,
) -> Vec<Result<TargetForecast, PredictError>> {
    predict_by(model, &Standings::default(), recent, horizon_steps)
}

/// Forecasts as [`predict`], with what is known of the model's answers to the same past, and keeps what becomes known.
#[must_use]
pub fn predict_by(
    model: &HostModel,
    standings: &Standings,
    recent: &[(Target, Grid)],
    horizon_steps: usize,
) -> Vec<Result<TargetForecast, PredictError>> {
    let manifest = model.manifest();
    let asked: Vec<Result<Asked, PredictError>> = recent
        .iter()
        .map(|(target, grid)| Asked::new(manifest, standings, target, grid))
        .collect();
    let series: Vec<Option<(Series, Vec<usize>)>> = asked
        .iter()
        .map(|asked| asked.as_ref().ok().and_then(Asked::series))
        .collect();
    let (mut answers, refusal) = of_networks(model, &asked, &series);
    let steps = horizon_steps.min(HORIZON_STEPS);
    asked
        .into_iter()
        .enumerate()
        .map(|(place, asked)| {
            let asked = asked?;
            let mut of_network = std::mem::take(&mut answers[place]).into_iter();
            let (now, before) = (of_network.next().flatten(), of_network.next().flatten());
            let answer = match now {
                Some(now) => asked.with_network(now, before, standings, steps),
                None => asked.alone(refusal.as_ref(), steps)?,
            };
            Ok(asked.forecast(answer))
        })
        .collect()
}

/// Asks each network for the targets that it serves, at their origins; `None` stands where it cannot answer, and nothing
/// where none is asked. A refusal of libtorch is every answer's: the naive forecasts stand in.
fn of_networks(
    model: &HostModel,
    asked: &[Result<Asked, PredictError>],
    series: &[Option<(Series, Vec<usize>)>],
) -> (Vec<Vec<Option<QuantilePath>>>, Option<ModelRefusal>) {
    let mut answers = vec![Vec::new(); asked.len()];
    for kind in EncoderKind::ALL {
        let is_served = |asked: &Asked| asked.known.serves.encoder() == Some(kind);
        let (places, of_network): (Vec<usize>, Vec<(&Series, usize)>) = asked
            .iter()
            .zip(series)
            .enumerate()
            .filter(|(_, (asked, _))| asked.as_ref().is_ok_and(is_served))
            .filter_map(|(place, (_, series))| Some((place, series.as_ref()?)))
            .flat_map(|(place, (series, origins))| {
                let origins = origins.iter();
                origins.map(move |origin| (place, (series, *origin)))
            })
            .unzip();
        if places.is_empty() {
            continue;
        }
        match model.answer(kind, &of_network) {
            Ok(paths) => places
                .into_iter()
                .zip(paths)
                .for_each(|(place, path)| answers[place].push(path)),
            Err(error) => return (vec![Vec::new(); asked.len()], Some(error)),
        }
    }
    (answers, None)
}

/// A target that is part of the model, with its recent values.
struct Asked<'a> {
    known: &'a TargetModel,
    /// Trimmed; never empty.
    history: Grid,
    newest_value: f64,
    data_until_s: i64,
    /// Of an ensemble.
    past: Option<PastKey>,
    /// What the ensemble's members said before, where that is known already.
    standing: Option<Standing>,
}

impl<'a> Asked<'a> {
    fn new(
        manifest: &'a Manifest,
        standings: &Standings,
        target: &Target,
        grid: &Grid,
    ) -> Result<Self, PredictError> {
        let metric = || target.metric.clone();
        let refused = || {
            manifest
                .refused
                .iter()
                .find(|refused| refused.metric == target.metric)
        };
        let known = manifest
            .target(&target.metric)
            .ok_or_else(|| PredictError::Unknown {
                metric: metric(),
                reason: refused().map(|refused| refused.reason.clone()),
            })?;
        if grid.step_s != manifest.step_s {
            return Err(PredictError::StepUnlike {
                metric: metric(),
                have_s: grid.step_s,
                need_s: manifest.step_s,
            });
        }
        let history = grid.trimmed();
        let (newest_value, data_until_s) =
            history.newest().ok_or_else(|| PredictError::Silent {
                metric: metric(),
                steps: grid.values.len(),
            })?;
        let past = (known.serves == ModelKind::Ensemble).then(|| PastKey::of(&history));
        Ok(Self {
            known,
            standing: past.and_then(|past| standings.of(&target.metric, past)),
            past,
            history,
            newest_value: f64::from(newest_value),
            data_until_s,
        })
    }

    /// Returns the series to ask a network about, and at which origins: its end, and where the ensemble wants to
    /// know what the network would have said before. `None` when no network has a part in the answer.
    fn series(&self) -> Option<(Series, Vec<usize>)> {
        let kind = self.known.serves;
        kind.encoder()?;
        let (series, end) = self.known.series?.series(&self.history);
        let asks_before = kind == ModelKind::Ensemble && self.standing.is_none();
        let before = asks_before.then(|| end.checked_sub(RECENT_STEPS));
        Some((series, once(end).chain(before.flatten()).collect()))
    }

    /// Answers with the network, or with the ensemble that it is part of.
    fn with_network(
        &self,
        now: QuantilePath,
        before: Option<QuantilePath>,
        standings: &Standings,
        steps: usize,
    ) -> Answer {
        let known = self.known;
        let now = now.truncated(steps);
        let ensemble = known.ensemble.as_ref();
        let pooled = ensemble.zip(self.past).and_then(|(ensemble, past)| {
            let standing = self.standing.clone().unwrap_or_else(|| {
                let recent = before.map(|before| self.recent(before));
                let standing = ensemble.standing(recent.as_ref());
                standings.keep(&known.metric, past, standing.clone());
                standing
            });
            let paths = self.paths(self.history.values.len(), steps, Some(now.clone()));
            ensemble.answer_by(&paths, &standing, known.kind)
        });
        Answer {
            kind: known.serves,
            path: pooled.unwrap_or(now),
            fallback_reason: known.fallback_reason.clone(),
        }
    }

    /// Returns what the members would have answered [`RECENT_STEPS`] ago, where the network said `network`.
    fn recent(&self, network: QuantilePath) -> Sitting {
        let origin = self.history.values.len() - RECENT_STEPS;
        Sitting {
            origin,
            paths: self.paths(origin, RECENT_STEPS, Some(network)),
            came: self.history.values[origin..].to_vec(),
        }
    }

    /// Answers without the network: with the simple forecast that serves, or else with any other whose history
    /// suffices.
    fn alone(&self, refusal: Option<&ModelRefusal>, steps: usize) -> Result<Answer, PredictError> {
        let known = self.known;
        let history = &self.history;
        let mut paths = self.paths(history.values.len(), steps, None);
        let served = paths.remove_entry(&known.serves);
        let stand_in = || known.naive.keys().find_map(|kind| paths.remove_entry(kind));
        let (kind, path) = served.or_else(stand_in).ok_or_else(|| self.too_short())?;
        let fallback_reason = match refusal {
            _ if kind == known.serves => known.fallback_reason.clone(),
            Some(refusal) => Some(format!("the network could not be asked: {refusal}")),
            None => Some(format!(
                "{} of the last {} steps have a value, too few for {}",
                history.observed(),
                history.values.len(),
                known.serves.name()
            )),
        };
        Ok(Answer {
            kind,
            path,
            fallback_reason,
        })
    }

    /// Returns what every member says for some steps behind the first `until`.
    fn paths(&self, until: usize, steps: usize, network: Option<QuantilePath>) -> Paths {
        let known = self.known;
        let past = Past::of(&self.history, until);
        let mut paths =
            ensemble::answers(&known.naive, &known.statistical, past, steps, known.kind);
        paths.extend(network.map(|path| (ModelKind::Lstm, path)));
        paths
    }

    fn too_short(&self) -> PredictError {
        let naive = self.known.naive.values();
        PredictError::HistoryTooShort {
            metric: self.known.metric.clone(),
            have: self.history.values.len(),
            need: naive.map(SeasonalNaive::history_steps).min().unwrap_or(0),
        }
    }

    fn forecast(self, answer: Answer) -> TargetForecast {
        let distance_s = i64::from(self.history.step_s);
        TargetForecast {
            metric: self.known.metric.clone(),
            kind: self.known.kind,
            unit: self.known.unit.clone(),
            model: answer.kind,
            fallback_reason: answer.fallback_reason,
            newest_value: self.newest_value,
            data_until_s: self.data_until_s,
            step_s: self.history.step_s,
            timestamps_s: (0..answer.path.steps())
                .map(|step| self.data_until_s + step as i64 * distance_s)
                .collect(),
            dependence: self.known.dependence(),
            scores: self.known.scores.get(&answer.kind).cloned(),
            path: answer.path,
        }
    }
}

struct Answer {
    kind: ModelKind,
    path: QuantilePath,
    fallback_reason: Option<String>,
}
