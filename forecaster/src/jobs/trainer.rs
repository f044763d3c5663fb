//! Trains the hosts of the jobs, one at a time on each worker.
//!
//! Each train runs on a named thread of its own under `catch_unwind` and within a time-out. Whatever happens to it, the
//! old model goes on serving, and the next host has its turn.

mod opening;

use std::{
    any::Any,
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use chrono::DateTime;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{Book, HostState, Step, Work};
use crate::{
    champions::{Champions, Published, Shadow},
    clock::Clock,
    config::TrainingSettings,
    fleet::Fleet,
    fleet_base::FleetBase,
    gateway::{Gateway, GatewayError},
    grid::STEP_S,
    history::{self, Span},
    host_model::HostModel,
    metrics::Metrics,
    progress::{Event, Progress},
    registry::RegistryError,
    training::{Budget, Recipe, TrainError, TrainRequest},
};

/// How long a train that ran out of time, or was cancelled, may take to notice.
const GRACE: Duration = Duration::from_secs(10);

/// Histories that are read at a time, whatever the number of workers: an answer of the gateway takes many times the
/// memory of the grids that are made of it.
const READING_MAX: usize = 2;

/// What trains: [`crate::training::train_host`], or a stand-in that fails as a test wants.
pub type Train = dyn Fn(&TrainRequest, &dyn Progress, &CancellationToken) -> Result<HostModel, TrainError>
    + Send
    + Sync;

/// Why a host has no new model.
#[derive(Debug, thiserror::Error)]
enum TrainingFailure {
    #[error(
        "host {host:?} has not been heard of lately, so there is nothing to train; GET /api/v1/hosts lists those that have"
    )]
    HostUnknown { host: String },
    #[error("its history cannot be read: {0}")]
    History(#[from] GatewayError),
    #[error(transparent)]
    Train(#[from] TrainError),
    #[error("the training panicked: {message}; the old model goes on serving")]
    Panicked { message: String },
    #[error(
        "the training took longer than {timeout_s} s and was ended; raise HEADROOM_TRAIN_TIMEOUT_S, or lower \
         HEADROOM_HISTORY_DAYS"
    )]
    TimedOut { timeout_s: u64 },
    #[error("the training was cancelled")]
    Cancelled,
    #[error(
        "an earlier training of host {host:?} was ended and still runs; it is trained again once that has stopped, or \
         after a restart of the service"
    )]
    Hanging { host: String },
    #[error("no thread can be started for the training: {0}")]
    NoThread(std::io::Error),
    #[error("the new model cannot be published: {0}")]
    Publish(#[from] RegistryError),
}

/// Works the book of jobs off.
pub struct Trainer {
    /// The jobs.
    pub book: Arc<Book>,
    /// The hosts.
    pub fleet: Arc<Fleet>,
    /// Where history comes from.
    pub gateway: Arc<Gateway>,
    /// Where models go.
    pub champions: Arc<Champions>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Where trains are counted.
    pub metrics: Arc<Metrics>,
    /// How hosts are trained.
    pub settings: TrainingSettings,
    /// The work that a fit may take.
    pub budget: Budget,
    /// What the networks begin from.
    pub base: Arc<FleetBase>,
    /// What trains.
    pub train: Arc<Train>,
    /// Hears of every host that has a new model.
    pub trained: mpsc::Sender<String>,
    /// What the workers share.
    pub shared: Shared,
}

/// What the workers share.
pub struct Shared {
    reading: Semaphore,
    /// Hosts whose training was given up and has not ended: one thread each at most.
    hanging: Arc<Mutex<BTreeSet<String>>>,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            reading: Semaphore::new(READING_MAX),
            hanging: Arc::default(),
        }
    }
}

impl Trainer {
    /// Works until it is cancelled, one host at a time; a train that runs then is cancelled too.
    pub async fn work(self: Arc<Self>, shutdown: CancellationToken) {
        loop {
            let work = tokio::select! {
                () = shutdown.cancelled() => return,
                work = self.book.next() => work,
            };
            let turn = async {
                match &work.step {
                    Step::Base(wanted) => {
                        self.open(&work, *wanted).await;
                        self.book.opened(&work.id);
                    }
                    Step::Host(host) => {
                        let started = Instant::now();
                        let outcome = self.train_host(&work, host).await;
                        self.note_outcome(&work, host, started.elapsed(), outcome)
                            .await;
                        self.book.release(host);
                        self.book.settle(&work.id);
                    }
                }
            };
            tokio::select! {
                () = turn => {}
                () = shutdown.cancelled() => {
                    // What the job has left stays on disk, for the next start.
                    work.cancelled.cancel();
                    self.book.give_back(&work);
                    return;
                }
            }
        }
    }

    async fn note_outcome(
        &self,
        work: &Work,
        host: &str,
        taken: Duration,
        outcome: Result<Published, TrainingFailure>,
    ) {
        let seconds = taken.as_secs_f64();
        let (state, outcome, error) = match outcome {
            Ok(published) => {
                let said = self.told(&published);
                tracing::info!(%host, seconds, outcome = %said, "host trained");
                self.metrics.trained(seconds, self.clock.now_s());
                (HostState::Done, Some(said), None)
            }
            Err(error) => {
                tracing::warn!(%host, seconds, %error, "host not trained");
                self.metrics.train_failed();
                (HostState::Failed, None, Some(error.to_string()))
            }
        };
        self.book.note(&work.id, host, |progress| {
            progress.state = state;
            progress.share_done = 1.0;
            progress.seconds = Some(seconds);
            progress.outcome = outcome;
            progress.error = error;
        });
        if state == HostState::Done {
            // Nobody listens while the service shuts down.
            let _ = self.trained.send(host.to_owned()).await;
        }
    }

    async fn train_host(&self, work: &Work, host: &str) -> Result<Published, TrainingFailure> {
        if self.shared.hanging.lock().contains(host) {
            return Err(TrainingFailure::Hanging {
                host: host.to_owned(),
            });
        }
        let request = self.request(host).await?;
        self.book.note(&work.id, host, |progress| {
            progress.state = HostState::Training;
        });
        let model = self.train_within_time(work, request).await?;
        if work.cancelled.is_cancelled() {
            return Err(TrainingFailure::Cancelled);
        }
        let champions = Arc::clone(&self.champions);
        let shadow = Shadow {
            now_s: self.clock.now_s(),
            length_s: self.settings.shadow_s,
        };
        let published = tokio::task::spawn_blocking(move || champions.publish(model, shadow)).await;
        match published {
            Ok(outcome) => Ok(outcome?),
            Err(error) => Err(TrainingFailure::Panicked {
                message: error.to_string(),
            }),
        }
    }

    /// Reads a host's history and says how it is trained.
    async fn request(&self, host: &str) -> Result<TrainRequest, TrainingFailure> {
        if self.fleet.host(host).is_none() {
            self.fleet.refresh().await?;
        }
        let known = self
            .fleet
            .host(host)
            .ok_or_else(|| TrainingFailure::HostUnknown {
                host: host.to_owned(),
            })?;
        let now_s = self.clock.now_s();
        let steps = self.settings.history_days as usize * 86_400 / STEP_S as usize;
        let span = Span::before(now_s, steps);
        let reading = self.shared.reading.acquire().await;
        let targets = history::read(&self.gateway, host, &known.targets, span).await?;
        drop(reading);
        Ok(TrainRequest {
            host: host.to_owned(),
            targets,
            seed: self.settings.seed,
            trained_at_s: now_s,
            budget: self.budget,
            base: self.base.current(),
            extra: self.base.extra(),
            recipe: Recipe::default().with(self.settings.statistical.iter().copied()),
            champion: self.champions.of(host).map(|champion| champion as _),
        })
    }

    async fn train_within_time(
        &self,
        work: &Work,
        request: TrainRequest,
    ) -> Result<HostModel, TrainingFailure> {
        let host = request.host.clone();
        let token = work.cancelled.child_token();
        let noted = Noted {
            book: Arc::clone(&self.book),
            job: work.id.clone(),
            host: host.clone(),
        };
        let mut outcome = on_thread(Arc::clone(&self.train), request, noted, token.clone())?;
        let ended = tokio::select! {
            ended = &mut outcome => return ended.unwrap_or(Err(TrainingFailure::Cancelled)),
            () = tokio::time::sleep(self.settings.timeout) => {
                TrainingFailure::TimedOut { timeout_s: self.settings.timeout.as_secs() }
            }
            () = work.cancelled.cancelled() => TrainingFailure::Cancelled,
        };
        token.cancel();
        if tokio::time::timeout(GRACE, &mut outcome).await.is_err() {
            tracing::error!(%host, "a training does not end; its thread is left behind");
            self.leave_behind(host, outcome);
        }
        Err(ended)
    }
}

impl Trainer {
    /// Counts what became of a new model, and says it.
    fn told(&self, published: &Published) -> String {
        match published {
            Published::Serves(champion) => {
                self.metrics.judged(true);
                format!("version {} serves", champion.version)
            }
            Published::OnTrial(trial) => format!(
                "version {} runs beside version {}, which serves, until {}",
                trial.challenger,
                trial.champion,
                DateTime::from_timestamp(trial.until_s, 0).unwrap_or_default()
            ),
            Published::Kept { version, verdict } => {
                self.metrics.judged(false);
                format!(
                    "version {} goes on serving, version {version} is kept: {}",
                    verdict.champion, verdict.reason
                )
            }
        }
    }

    /// Keeps a host from further trainings while one that was given up still runs.
    fn leave_behind(&self, host: String, outcome: oneshot::Receiver<Outcome>) {
        let (hanging, metrics) = (Arc::clone(&self.shared.hanging), Arc::clone(&self.metrics));
        hanging.lock().insert(host.clone());
        metrics.trains_hanging.inc();
        tokio::spawn(async move {
            // What it made is of no use any more.
            drop(outcome.await);
            hanging.lock().remove(&host);
            metrics.trains_hanging.dec();
        });
    }
}

/// Notes a training's progress in the book.
struct Noted {
    book: Arc<Book>,
    job: String,
    host: String,
}

impl Progress for Noted {
    fn report(&self, event: Event) {
        let share_done = event.share_done().clamp(0.0, 0.99);
        self.book.note(&self.job, &self.host, |progress| {
            progress.share_done = share_done;
        });
    }
}

type Outcome = Result<HostModel, TrainingFailure>;

fn on_thread(
    train: Arc<Train>,
    request: TrainRequest,
    progress: Noted,
    cancelled: CancellationToken,
) -> Result<oneshot::Receiver<Outcome>, TrainingFailure> {
    let (send, receive) = oneshot::channel();
    let name = format!("train {}", request.host);
    thread::Builder::new()
        .name(name)
        .spawn(move || {
            let trained = catch_unwind(AssertUnwindSafe(|| train(&request, &progress, &cancelled)));
            let outcome = match trained {
                Ok(outcome) => outcome.map_err(TrainingFailure::from),
                Err(panic) => Err(TrainingFailure::Panicked {
                    message: said(panic.as_ref()),
                }),
            };
            // The receiver is gone when the training was given up.
            let _ = send.send(outcome);
        })
        .map_err(TrainingFailure::NoThread)?;
    Ok(receive)
}

/// Returns what a panic said.
pub(crate) fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned())
}
