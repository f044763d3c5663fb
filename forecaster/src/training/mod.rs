//! Training one host: its grids in, a backtested model out.
//!
//! 1. Each target's history is judged and split (`history`); a target that cannot be forecast is refused with the
//!    reason, and never sinks its host.
//! 2. The host's network begins from a base ([`fleet`]), is fitted on the training parts of all targets that it can
//!    learn, stopped and calibrated on their validation parts (`learned`).
//! 3. Every candidate is scored on the test part's origins, which none of them saw ([`crate::backtest`]).
//!    The ensemble's weights come from the validation part ([`crate::ensemble`]).
//! 4. The ensemble serves the target, unless a part of it is clearly better (`choice`).
//! 5. The model that served until now is judged beside the new one, at origins that neither has seen ([`gate`]).
//! 6. What serves is brought up to date: the simple forecasts are fitted again on the whole history, the ensemble's
//!    weights on all that was kept back, and the network goes on learning with it for a quarter of its steps at a low rate.
//!    The scores are those from before: nothing is judged by what it has seen.
//!
//! A series whose every value is the same has nothing to learn: it is served by persistence, without a backtest.

mod by_network;
mod candidates;
mod choice;
mod extra;
pub mod fleet;
pub mod gate;
mod history;
mod learned;
mod naive;
mod recipe;
pub mod synthetic;

use std::{collections::BTreeMap, sync::Arc};

use tokio_util::sync::CancellationToken;

pub use self::{
    by_network::{ByNetwork, FittedNetwork},
    extra::{BaseFileError, ExtraModel, ExtraNetwork, read_base},
    gate::Incumbent,
    history::{HISTORY_STEPS_MIN, NETWORK_STEPS_MIN},
    recipe::{Part, Recipe},
};
use self::{candidates::Candidates, gate::Gate, history::History, learned::Learned};
use crate::{
    baseline::SeasonalNaive,
    ensemble::Statistical,
    grid::Grid,
    host_model::HostModel,
    manifest::{FORMAT, Manifest, Refused, TargetModel},
    model::{Base, FitError},
    model_kind::ModelKind,
    progress::{Event, Progress},
    statistical::Past,
    target::Target,
    version::CODE_VERSION,
};

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
    /// What the network begins from.
    pub base: Arc<Base>,
    /// What further networks begin from, of other kinds; none as a rule, since each costs as much as the first.
    pub extra: Vec<Arc<Base>>,
    /// What the training does.
    pub recipe: Recipe,
    /// The model that serves at present, which the new one is judged beside; `None` for a first model.
    pub champion: Option<Arc<dyn Incumbent>>,
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
    /// A few seconds of one core, however many targets there are.
    fn default() -> Self {
        Self {
            epochs_max: 8,
            batches_per_epoch: 20,
            batch_windows: 64,
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
    /// The network could not be fitted.
    #[error(
        "the network of host {host:?} could not be fitted: {source}; the old model goes on serving"
    )]
    Network {
        /// The host.
        host: String,
        /// Why.
        #[source]
        source: FitError,
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
    let failed = |source| match source {
        FitError::Cancelled => TrainError::Cancelled {
            host: request.host.clone(),
        },
        source => TrainError::Network {
            host: request.host.clone(),
            source,
        },
    };
    let (histories, refused) = histories(request, from_s, until_s);
    if histories.is_empty() {
        return Err(TrainError::NothingToTrain {
            host: request.host.clone(),
            refused,
        });
    }
    let learned = Learned::fit(&histories, request, progress, cancelled).map_err(failed)?;
    let champion = request.champion.as_deref();
    let mut gate = champion.map(|champion| Gate::new(champion, until_s));
    let mut targets = Vec::new();
    for (place, history) in histories.iter().enumerate() {
        if cancelled.is_cancelled() {
            return Err(failed(FitError::Cancelled));
        }
        let model = target_model(
            place,
            history,
            learned.as_ref(),
            &request.recipe,
            gate.as_mut(),
        );
        targets.push(model.map_err(failed)?);
        progress.report(Event::Backtested {
            targets: place + 1,
            of: histories.len(),
        });
    }
    let refreshed = learned.map(|learned| learned.refreshed(request, cancelled));
    let refreshed = refreshed.transpose().map_err(failed)?.unwrap_or_default();
    let (networks, mut entries): (Vec<_>, Vec<_>) = refreshed.into_iter().unzip();
    let own = entries
        .iter()
        .position(|entry| entry.shape.encoder == request.base.encoder());
    let begins_from_base = request.recipe.has(Part::Base) || request.recipe.has(Part::Fleet);
    let manifest = Manifest {
        format: FORMAT,
        host: request.host.clone(),
        trained_at_s: request.trained_at_s,
        data_from_s: from_s,
        data_until_s: until_s,
        step_s,
        seed: request.seed,
        code_version: CODE_VERSION.to_owned(),
        base_sha256: begins_from_base.then(|| request.base.sha256()),
        network: own.map(|own| entries.remove(own)),
        extra_networks: entries,
        targets,
        refused,
        gate: gate.map(Gate::verdict),
    };
    Ok(HostModel::new(manifest, networks))
}

/// Judges the targets: those with a history to work on, and those that are refused.
fn histories(
    request: &TrainRequest,
    from_s: i64,
    until_s: i64,
) -> (Vec<History<'_>>, Vec<Refused>) {
    let mut accepted = Vec::new();
    let mut refused = Vec::new();
    for (target, grid) in &request.targets {
        match History::new(target, grid.trimmed(), from_s, until_s) {
            Ok(history) => accepted.push(history),
            Err(reason) => refused.push(Refused {
                metric: target.metric.clone(),
                reason,
            }),
        }
    }
    (accepted, refused)
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

/// Scores a target's candidates and lets the best serve.
fn target_model(
    place: usize,
    history: &History,
    learned: Option<&Learned>,
    recipe: &Recipe,
    gate: Option<&mut Gate>,
) -> Result<TargetModel, FitError> {
    let target = history.target;
    let mut model = TargetModel {
        metric: target.metric.clone(),
        kind: target.kind,
        unit: target.unit.clone(),
        serves: ModelKind::Persistence,
        fallback_reason: None,
        scores: BTreeMap::new(),
        naive: naive::fit(&history.grid.values),
        statistical: Statistical::default(),
        ensemble: None,
        series: None,
    };
    if !history.changes() || model.naive.is_empty() {
        model.naive = [(ModelKind::Persistence, SeasonalNaive::persistence())].into();
        model.fallback_reason = Some(if history.changes() {
            "no two values are a day apart, so the newest value goes on".to_owned()
        } else {
            "every value of the history is the same".to_owned()
        });
        return Ok(model);
    }
    let whole = Past::of(&history.grid, history.grid.values.len());
    model.statistical = Statistical::fit(whole, recipe.statistical());
    model.series = learned.and_then(|learned| learned.series(place));
    let candidates = Candidates::of(history, learned.map(|learned| (learned, place)), recipe)?;
    if let Some(candidates) = &candidates {
        model.scores = candidates.scores(candidates.test_start());
        model.ensemble = candidates.ensemble();
    }
    let day = model.naive.get(&ModelKind::SeasonalNaiveDay);
    let scale = day.map_or(0.0, SeasonalNaive::scale);
    choice::choose(&mut model, scale, history.grid.values.len());
    if let (Some(gate), Some(candidates)) = (gate, &candidates) {
        gate.judge(history, &model, candidates);
    }
    Ok(model)
}
