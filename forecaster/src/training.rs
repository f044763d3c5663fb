//! Training one host: its grids in, a backtested model out.
//!
//! 1. The grids are laid on one span and judged: a target that cannot be forecast is refused with the reason, and
//!    never sinks its host.
//! 2. Each candidate is fitted on the training part, and scored on the test part's origins ([`crate::backtest`]).
//! 3. The candidate with the lower error serves the target.
//! 4. The naive forecasts are fitted again on the whole history.
//!
//! A series whose every value is the same has nothing to learn: it is served by persistence, without a backtest.

use std::collections::BTreeMap;

use tokio_util::sync::CancellationToken;

use crate::{
    backtest::{ScoreSheet, Split},
    baseline::{DAY_STEPS, SeasonalNaive, WEEK_STEPS},
    grid::Grid,
    manifest::{FORMAT, Manifest, ModelKind, Refused, TargetModel},
    model::HostModel,
    quantile::HORIZON_STEPS,
    target::Target,
};

/// The steps without which a target is refused: the day that seasonal naive repeats, and a horizon to judge it by.
pub const HISTORY_STEPS_MIN: usize = DAY_STEPS + HORIZON_STEPS;

/// A target that was silent for this long before its host's newest value has vanished.
const SILENCE_STEPS_MAX: usize = DAY_STEPS;

/// What is to be trained.
#[derive(Debug, Clone)]
pub struct TrainRequest {
    /// The host.
    pub host: String,
    /// Its targets with their histories, all at one step; the spans may differ.
    pub targets: Vec<(Target, Grid)>,
    /// The seed of everything random.
    pub seed: u64,
    /// The time now, in seconds since the epoch.
    pub trained_at_s: i64,
    /// How much work the fit may take.
    pub budget: Budget,
}

/// The work that a fit may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// The most passes between two looks at the validation part.
    pub epochs_max: usize,
    /// The optimiser's steps within such a pass.
    pub batches_per_epoch: usize,
    /// The windows in a batch.
    pub batch_windows: usize,
}

impl Default for Budget {
    /// About ten seconds of one core for ten targets.
    fn default() -> Self {
        Self {
            epochs_max: 24,
            batches_per_epoch: 25,
            batch_windows: 256,
        }
    }
}

impl Budget {
    /// Returns a budget that is spent in a moment, for tests of what surrounds the network.
    #[must_use]
    pub fn tiny() -> Self {
        Self {
            epochs_max: 2,
            batches_per_epoch: 4,
            batch_windows: 32,
        }
    }
}

/// A step of a training that was taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Event {
    /// A pass of the fit has ended.
    Fitted {
        /// The pass, from 1.
        epoch: usize,
        /// The most passes that there can be.
        epochs_max: usize,
        /// The mean training loss of the pass.
        training_loss: f64,
        /// The loss on the validation part behind it.
        validation_loss: f64,
    },
    /// Targets have been scored.
    Backtested {
        /// How many.
        targets: usize,
        /// Of how many.
        of: usize,
    },
}

impl Event {
    /// Returns roughly which share of the whole training has been done.
    #[must_use]
    pub fn share_done(&self) -> f64 {
        match *self {
            Self::Fitted {
                epoch, epochs_max, ..
            } => 0.8 * epoch as f64 / epochs_max.max(1) as f64,
            Self::Backtested { targets, of } => 0.8 + 0.2 * targets as f64 / of.max(1) as f64,
        }
    }
}

/// Hears how a training goes on.
pub trait Progress: Sync {
    /// Takes note of a step.
    fn report(&self, event: Event);
}

/// Listens to nothing.
impl Progress for () {
    fn report(&self, _: Event) {}
}

/// Why a host has no new model.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// Every target was refused.
    #[error(
        "host {host:?} has no target that can be trained: {}",
        reasons(refused)
    )]
    NothingToTrain {
        /// The host.
        host: String,
        /// Why, by target.
        refused: Vec<Refused>,
    },
    /// The grids have different steps.
    #[error(
        "the histories of host {host:?} have steps of {one_s} s and {other_s} s; put them on one step"
    )]
    StepsDiffer {
        /// The host.
        host: String,
        /// A step.
        one_s: u32,
        /// Another step.
        other_s: u32,
    },
    /// The training was cancelled.
    #[error("the training of host {host:?} was cancelled; the old model goes on serving")]
    Cancelled {
        /// The host.
        host: String,
    },
}

fn reasons(refused: &[Refused]) -> String {
    if refused.is_empty() {
        return "none was found".to_owned();
    }
    let reasons: Vec<String> = refused
        .iter()
        .map(|refused| format!("{}: {}", refused.metric, refused.reason))
        .collect();
    reasons.join("; ")
}

/// Trains and backtests a host's model.
///
/// # Errors
///
/// [`TrainError`] when no target can be trained, or the token was cancelled.
pub fn train_host(
    request: &TrainRequest,
    progress: &dyn Progress,
    cancelled: &CancellationToken,
) -> Result<HostModel, TrainError> {
    let (step_s, from_s, until_s) = span(request)?;
    let mut targets = Vec::new();
    let mut refused = Vec::new();
    for (index, (target, grid)) in request.targets.iter().enumerate() {
        if cancelled.is_cancelled() {
            return Err(TrainError::Cancelled {
                host: request.host.clone(),
            });
        }
        match train_target(target, &grid.trimmed(), until_s) {
            Ok(model) => targets.push(model),
            Err(reason) => refused.push(Refused {
                metric: target.metric.clone(),
                reason,
            }),
        }
        progress.report(Event::Backtested {
            targets: index + 1,
            of: request.targets.len(),
        });
    }
    if targets.is_empty() {
        return Err(TrainError::NothingToTrain {
            host: request.host.clone(),
            refused,
        });
    }
    Ok(HostModel::new(Manifest {
        format: FORMAT,
        host: request.host.clone(),
        trained_at_s: request.trained_at_s,
        data_from_s: from_s,
        data_until_s: until_s,
        step_s,
        seed: request.seed,
        code_version: env!("CARGO_PKG_VERSION").to_owned(),
        targets,
        refused,
    }))
}

/// Returns the step of a host's grids, the first second of their data and the first behind it.
fn span(request: &TrainRequest) -> Result<(u32, i64, i64), TrainError> {
    let grids = || {
        request
            .targets
            .iter()
            .map(|(_, grid)| grid.trimmed())
            .filter(|grid| !grid.values.is_empty())
    };
    let step_s = request
        .targets
        .first()
        .map_or(crate::grid::STEP_S, |(_, grid)| grid.step_s);
    if let Some((_, other)) = request
        .targets
        .iter()
        .find(|(_, grid)| grid.step_s != step_s)
    {
        return Err(TrainError::StepsDiffer {
            host: request.host.clone(),
            one_s: step_s,
            other_s: other.step_s,
        });
    }
    let from_s = grids().map(|grid| grid.start_s).min().unwrap_or(0);
    let until_s = grids().map(|grid| grid.end_s()).max().unwrap_or(0);
    Ok((step_s, from_s, until_s))
}

fn train_target(target: &Target, history: &Grid, until_s: i64) -> Result<TargetModel, String> {
    judge(history, until_s)?;
    let mut model = TargetModel {
        metric: target.metric.clone(),
        kind: target.kind,
        unit: target.unit.clone(),
        serves: ModelKind::Persistence,
        fallback_reason: Some("every value of the history is the same".to_owned()),
        scores: BTreeMap::new(),
        naive: BTreeMap::new(),
    };
    if is_constant(&history.values) {
        model
            .naive
            .insert(ModelKind::Persistence, SeasonalNaive::persistence());
        return Ok(model);
    }
    for (kind, season_steps) in SEASONS {
        if let Some(naive) = SeasonalNaive::fit(&history.values, season_steps) {
            model.naive.insert(kind, naive);
        }
    }
    if model.naive.is_empty() {
        return Err("no two of its values are a day apart; fill the gaps or wait".to_owned());
    }
    backtest_naive(&mut model, history);
    choose(&mut model);
    Ok(model)
}

const SEASONS: [(ModelKind, usize); 2] = [
    (ModelKind::SeasonalNaiveDay, DAY_STEPS),
    (ModelKind::SeasonalNaiveWeek, WEEK_STEPS),
];

fn judge(history: &Grid, until_s: i64) -> Result<(), String> {
    let observed = history.observed();
    if observed == 0 {
        return Err("it has no value at all; check that the series is still written".to_owned());
    }
    if observed < HISTORY_STEPS_MIN {
        return Err(format!(
            "it has {observed} values of {} s; at least {HISTORY_STEPS_MIN} are needed",
            history.step_s
        ));
    }
    let silent = (until_s - history.end_s()) / i64::from(history.step_s);
    if silent > SILENCE_STEPS_MAX as i64 {
        return Err(format!(
            "it has been silent for the host's last {silent} steps; at most {SILENCE_STEPS_MAX} are continued"
        ));
    }
    Ok(())
}

fn is_constant(values: &[f32]) -> bool {
    let mut observed = values.iter().filter(|value| !value.is_nan());
    let first = observed.next();
    observed.all(|value| Some(value) == first)
}

/// Scores the naive forecasts, fitted on the training part, at the test part's origins.
fn backtest_naive(model: &mut TargetModel, history: &Grid) {
    let Some(split) = Split::of(history.values.len()) else {
        return;
    };
    let values = &history.values;
    let mut sheets = BTreeMap::new();
    for (kind, season_steps) in SEASONS {
        let Some(naive) = SeasonalNaive::fit(&values[..split.training_end], season_steps) else {
            continue;
        };
        let mut sheet = ScoreSheet::default();
        for origin in split.test_origins() {
            if let Some(path) = naive.predict(&values[..origin], HORIZON_STEPS, model.kind) {
                sheet.add(&path, &values[origin..]);
            }
        }
        sheets.insert(kind, (sheet, naive.scale()));
    }
    let Some((day, scale)) = sheets.get(&ModelKind::SeasonalNaiveDay).cloned() else {
        return;
    };
    for (kind, (sheet, _)) in sheets {
        if let Some(scores) = sheet.scores(&day, scale) {
            model.scores.insert(kind, scores);
        }
    }
}

/// Lets the kind with the least mean quantile loss serve.
fn choose(model: &mut TargetModel) {
    let best = model
        .scores
        .iter()
        .min_by(|(_, one), (_, other)| one.crps.total_cmp(&other.crps))
        .map(|(kind, _)| *kind);
    let first = model.naive.keys().next().copied();
    model.serves = best.or(first).unwrap_or(ModelKind::Persistence);
    model.fallback_reason = Some("there is no LSTM for this target".to_owned());
}
