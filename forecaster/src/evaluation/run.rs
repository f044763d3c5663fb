//! Running an evaluation: every host trained and asked, on all cores.
//!
//! What a host answers follows from its values and the seed alone, and the answers stand in the order of the
//! hosts' names: how many cores there are changes nothing but the time.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use tokio_util::sync::CancellationToken;

use super::{EvaluatedHost, Served, WindowForecast};
use crate::{
    host_model::HostModel,
    model::{Base, FitError, WeightsError},
    progress::Progress,
    training::{
        Budget, Part, Recipe, TrainError, TrainRequest,
        fleet::{self, Effort},
        train_host,
    },
};

/// What came of one host.
#[derive(Debug)]
pub struct Outcome {
    /// The host.
    pub host: String,
    /// The forecasts of its windows.
    pub forecasts: Vec<WindowForecast>,
    /// Why it has no model, if it has none: its windows are then continued with their newest values.
    pub refused: Option<String>,
}

/// How an evaluation is run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Which models answer.
    pub served: Served,
    /// The seed of every training.
    pub seed: u64,
    /// What the trainings begin from.
    pub base: Arc<Base>,
    /// What further networks begin from, of other kinds.
    pub extra: Vec<Arc<Base>>,
    /// What the trainings do.
    pub recipe: Recipe,
    /// The work that a host's fit may take.
    pub budget: Budget,
    /// The work that the fleet's base may take.
    pub effort: Effort,
}

/// Why a run was given up.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A training broke off.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The fleet's base could not be fitted.
    #[error("the fleet's base could not be fitted: {0}")]
    Fleet(#[from] FitError),
    /// There is nothing to begin from.
    #[error("a base without weights could not be made: {0}")]
    Base(#[from] WeightsError),
}

/// Hears how a run goes on.
pub trait Watch: Progress {
    /// A host is done.
    fn host_done(&self, host: &str);
}

/// Fits the fleet's bases, trains every host that has windows, and forecasts them; the outcomes stand in the order of
/// `hosts`.
///
/// # Errors
///
/// When a training breaks off. A host that cannot be trained is no error.
pub fn run(
    hosts: &[EvaluatedHost],
    plan: &Plan,
    watch: &dyn Watch,
) -> Result<Vec<Outcome>, RunError> {
    let base = fleet_base(&plan.base, hosts, plan, watch)?;
    let extra = plan.extra.iter();
    let extra = extra.map(|from| fleet_base(from, hosts, plan, watch));
    let plan = &Plan {
        extra: extra.collect::<Result<_, _>>()?,
        ..plan.clone()
    };
    let asked: Vec<&EvaluatedHost> = hosts.iter().filter(|host| host.is_asked()).collect();
    in_parallel(&asked, |host| {
        let outcome = evaluate(host, plan, &base);
        watch.host_done(&host.host);
        outcome
    })
}

fn fleet_base(
    from: &Arc<Base>,
    hosts: &[EvaluatedHost],
    plan: &Plan,
    watch: &dyn Watch,
) -> Result<Arc<Base>, RunError> {
    let from = if plan.recipe.has(Part::Base) {
        Arc::clone(from)
    } else {
        Arc::new(Base::untaught(from.shape(), plan.seed)?.on(from.device()))
    };
    if !plan.recipe.has(Part::Fleet) {
        return Ok(from);
    }
    let series = hosts.iter().map(EvaluatedHost::series_count).sum::<usize>();
    let stride = series.div_ceil(fleet::SERIES_MAX).max(1);
    let requests: Vec<TrainRequest> = hosts
        .iter()
        .step_by(stride)
        .map(|host| host.train_request(plan, &from))
        .collect();
    let cancelled = CancellationToken::new();
    let fitted = fleet::fit_base(&from, &requests, plan.effort, plan.seed, watch, &cancelled)?;
    Ok(fitted.map_or(from, Arc::new))
}

fn evaluate(host: &EvaluatedHost, plan: &Plan, base: &Arc<Base>) -> Result<Outcome, RunError> {
    let request = host.train_request(plan, base);
    let (model, refused) = match train_host(&request, &(), &CancellationToken::new()) {
        Ok(model) => (model, None),
        Err(error @ TrainError::NothingToTrain { .. }) => {
            (HostModel::empty(&request.host), Some(error.to_string()))
        }
        Err(error) => return Err(error.into()),
    };
    let model = match plan.served {
        Served::Best => model,
        Served::Only(kind) => model.serving_only(kind),
    };
    Ok(Outcome {
        host: host.host.clone(),
        forecasts: host.forecasts(&model),
        refused,
    })
}

/// Does the work for each item on as many threads as there are cores, and returns the results in the items' order.
fn in_parallel<I: Sync, T: Send, E: Send>(
    items: &[I],
    work: impl Fn(&I) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<Option<Result<T, E>>>> = Mutex::new(items.iter().map(|_| None).collect());
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..cores.min(items.len()) {
            scope.spawn(|| {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(place) else {
                        return;
                    };
                    let result = work(item);
                    done.lock().unwrap_or_else(PoisonError::into_inner)[place] = Some(result);
                }
            });
        }
    });
    let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.into_iter().flatten().collect()
}
