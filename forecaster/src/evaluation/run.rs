//! Running an evaluation: every host trained and asked, on all cores.
//!
//! What a host answers follows from its values and the seed alone, and the answers stand in the order of the
//! hosts' names: how many cores there are changes nothing but the time.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use tokio_util::sync::CancellationToken;

use super::{EvaluatedHost, WindowForecast};
use crate::{
    config::Served,
    host_model::HostModel,
    jobs::trainer::said,
    model::{Base, WeightsError},
    progress::Progress,
    training::{
        Budget, Part, Recipe, TrainError, TrainRequest,
        fleet::{self, Effort},
    },
};

/// What came of one host.
#[derive(Debug)]
pub struct Outcome {
    /// The host.
    pub host: String,
    /// The forecasts of its windows.
    pub forecasts: Vec<WindowForecast>,
    /// Why it has no model of its own, if it has none.
    pub without_model: Option<WithoutModel>,
}

/// Why a host has no model of its own, and what answers in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WithoutModel {
    /// Its history is too short: its windows are continued with their newest values.
    Refused(String),
    /// Its training or its forecasts broke off: the base answers, as for a host that was never trained.
    BrokeOff(String),
}

/// What came of an evaluation.
#[derive(Debug)]
pub struct Evaluated {
    /// The hosts that have windows, in the order of their names.
    pub outcomes: Vec<Outcome>,
    /// Why bases of the fleet could not be fitted: their hosts began from what was to be taught further.
    pub untaught: Vec<String>,
}

/// What trains a host: [`crate::training::train_host`], or a stand-in that fails as a test wants.
pub type Train =
    fn(&TrainRequest, &dyn Progress, &CancellationToken) -> Result<HostModel, TrainError>;

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
    /// What trains a host.
    pub train: Train,
}

/// Why a run was given up.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
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
/// `hosts`. Whatever breaks off on the way concerns that host or that base alone.
///
/// # Errors
///
/// When there is nothing to begin from.
pub fn run(hosts: &[EvaluatedHost], plan: &Plan, watch: &dyn Watch) -> Result<Evaluated, RunError> {
    let mut untaught = Vec::new();
    let mut taught = |from: &Arc<Base>| -> Result<Arc<Base>, RunError> {
        let from = beginning(from, plan)?;
        Ok(
            fleet_base(&from, hosts, plan, watch).unwrap_or_else(|reason| {
                untaught.push(reason);
                from
            }),
        )
    };
    let base = taught(&plan.base)?;
    let extra: Result<_, RunError> = plan.extra.iter().map(&mut taught).collect();
    let plan = &Plan {
        extra: extra?,
        ..plan.clone()
    };
    let asked: Vec<&EvaluatedHost> = hosts.iter().filter(|host| host.is_asked()).collect();
    let outcomes = in_parallel(&asked, |host| {
        let outcome = evaluate(host, plan, &base);
        watch.host_done(&host.host);
        outcome
    });
    Ok(Evaluated { outcomes, untaught })
}

/// Returns what the fleet's base begins from.
fn beginning(from: &Arc<Base>, plan: &Plan) -> Result<Arc<Base>, WeightsError> {
    if plan.recipe.has(Part::Base) {
        return Ok(Arc::clone(from));
    }
    let untaught = Base::untaught(from.shape(), plan.seed)?;
    Ok(Arc::new(untaught.on(from.device())))
}

/// Fits a base over the fleet; what it begins from where there is nothing to learn, or the reason why it broke off.
fn fleet_base(
    from: &Arc<Base>,
    hosts: &[EvaluatedHost],
    plan: &Plan,
    watch: &dyn Watch,
) -> Result<Arc<Base>, String> {
    if !plan.recipe.has(Part::Fleet) {
        return Ok(Arc::clone(from));
    }
    let series = hosts.iter().map(EvaluatedHost::series_count).sum::<usize>();
    let stride = series.div_ceil(fleet::SERIES_MAX).max(1);
    let requests: Vec<TrainRequest> = hosts
        .iter()
        .step_by(stride)
        .map(|host| host.train_request(plan, from))
        .collect();
    let cancelled = CancellationToken::new();
    let fitted = unbroken(|| {
        fleet::fit_base(from, &requests, plan.effort, plan.seed, watch, &cancelled)
            .map_err(|error| error.to_string())
    })?;
    Ok(fitted.map_or_else(|| Arc::clone(from), Arc::new))
}

/// Trains a host and asks it; where either breaks off the base answers, and where that cannot, the newest value goes on.
fn evaluate(host: &EvaluatedHost, plan: &Plan, base: &Arc<Base>) -> Outcome {
    let (forecasts, without_model) = match unbroken(|| trained(host, plan, base)) {
        Ok((forecasts, refused)) => (forecasts, refused.map(WithoutModel::Refused)),
        Err(reason) => {
            let of_base = unbroken(|| Ok(host.forecasts_of_base(base)));
            let forecasts = of_base.unwrap_or_else(|_| host.newest_values());
            (forecasts, Some(WithoutModel::BrokeOff(reason)))
        }
    };
    Outcome {
        host: host.host.clone(),
        forecasts,
        without_model,
    }
}

/// Returns the forecasts of a host's own model, or why it was refused one.
fn trained(
    host: &EvaluatedHost,
    plan: &Plan,
    base: &Arc<Base>,
) -> Result<(Vec<WindowForecast>, Option<String>), String> {
    let request = host.train_request(plan, base);
    let model = match (plan.train)(&request, &(), &CancellationToken::new()) {
        Ok(model) => model,
        Err(error @ TrainError::NothingToTrain { .. }) => {
            return Ok((host.newest_values(), Some(error.to_string())));
        }
        Err(error) => return Err(error.to_string()),
    };
    let model = match plan.served {
        Served::Best => model,
        Served::Only(kind) => model.serving_only(kind),
    };
    Ok((host.forecasts(&model), None))
}

/// Does work whose panic is a reason like any other.
fn unbroken<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(said(panic.as_ref())))
}

/// Does the work for each item on as many threads as there are cores, and returns the results in the items' order.
fn in_parallel<I: Sync, T: Send>(items: &[I], work: impl Fn(&I) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<Option<T>>> = Mutex::new(items.iter().map(|_| None).collect());
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
