//! Running an evaluation: every host trained and asked, on all cores.
//!
//! What a host answers follows from its values and the seed alone, and the answers stand in the order of the
//! hosts' names: how many cores there are changes nothing but the time.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use tokio_util::sync::CancellationToken;

use super::{EvaluatedHost, Served, WindowForecast};
use crate::{
    model::HostModel,
    training::{Budget, TrainError, train_host},
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

/// Why a run was given up.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A training broke off.
    #[error(transparent)]
    Train(#[from] TrainError),
}

/// Hears how a run goes on.
pub trait Watch: Sync {
    /// A host is done.
    fn host_done(&self, host: &str);
}

/// Trains every host that has windows, and forecasts them; the outcomes stand in the order of `hosts`.
///
/// # Errors
///
/// When a training breaks off. A host that cannot be trained is no error.
pub fn run(
    hosts: &[EvaluatedHost],
    served: Served,
    seed: u64,
    budget: Budget,
    watch: &dyn Watch,
) -> Result<Vec<Outcome>, RunError> {
    let asked: Vec<&EvaluatedHost> = hosts.iter().filter(|host| host.is_asked()).collect();
    in_parallel(&asked, |host| {
        let outcome = evaluate(host, served, seed, budget);
        watch.host_done(&host.host);
        outcome
    })
}

fn evaluate(
    host: &EvaluatedHost,
    served: Served,
    seed: u64,
    budget: Budget,
) -> Result<Outcome, RunError> {
    let request = host.train_request(seed, budget);
    let (model, refused) = match train_host(&request, &(), &CancellationToken::new()) {
        Ok(model) => (model, None),
        Err(error @ TrainError::NothingToTrain { .. }) => {
            (HostModel::empty(&request.host), Some(error.to_string()))
        }
        Err(error) => return Err(error.into()),
    };
    let model = match served {
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
