//! What every request can see.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::{
    access::Access,
    body::Intake,
    clock::Clock,
    config::BodyLimits,
    error::Failure,
    ingest::{Ingest, Push, Receipt, Replayed, Replayer},
    journal::Journal,
    metrics::Metrics,
    rejects::{Filter, Rejects},
    sink::Sink,
    tls::Certificate,
    upstream::Upstream,
};

/// What exists once recovery is done.
#[derive(Clone)]
pub struct Core {
    /// The journal.
    pub journal: Journal,
    /// Where points go and queries are answered.
    pub sink: Sink,
    /// The lines that were refused.
    pub rejects: Rejects,
    /// Where batches are sent, the InfluxDB that answers queries included.
    pub destinations: Vec<Upstream>,
    /// The way in.
    pub ingest: Ingest,
}

/// What every request can see.
pub struct State {
    /// The accepted tokens.
    pub access: Arc<Access>,
    /// What bodies may take.
    pub intake: Intake,
    /// The certificate that new connections get; `None`: plain HTTP.
    pub(crate) certificate: Option<Certificate>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// How long an answer that goes out in parts may take, as a query may.
    pub answer_time_max: Duration,
    clock: Clock,
    runtime: Handle,
    tasks: TaskTracker,
    core: OnceLock<Core>,
}

impl State {
    pub(crate) fn new(
        access: Access,
        limits: BodyLimits,
        certificate: Option<Certificate>,
        metrics: Arc<Metrics>,
        answer_time_max: Duration,
        clock: Clock,
        tasks: TaskTracker,
    ) -> Self {
        Self {
            access: Arc::new(access),
            intake: Intake::new(limits),
            certificate,
            metrics,
            answer_time_max,
            clock,
            runtime: Handle::current(),
            tasks,
            core: OnceLock::new(),
        }
    }

    pub(crate) fn set_ready(&self, core: Core) {
        let _ = self.core.set(core);
    }

    /// The time now, in nanoseconds since 1970.
    #[must_use]
    pub fn now_ns(&self) -> i64 {
        (self.clock)()
    }

    /// The clock, for tasks.
    #[must_use]
    pub fn clock(&self) -> Clock {
        Arc::clone(&self.clock)
    }

    /// What recovery has made.
    ///
    /// # Errors
    ///
    /// [`Failure::Starting`] until recovery is done.
    pub fn core(&self) -> Result<&Core, Failure> {
        self.core.get().ok_or(Failure::Starting)
    }

    /// Takes a push in a task of its own: a client that hangs up does not leave a batch half done.
    ///
    /// # Errors
    ///
    /// Says why the push may not be relied on.
    pub async fn accept(&self, push: Push) -> Result<Receipt, Failure> {
        let ingest = self.core()?.ingest.clone();
        let push = async move { ingest.accept(push).await };
        self.runtime
            .spawn(self.tasks.track_future(push.in_current_span()))
            .await
            .map_err(|error| {
                tracing::error!(%error, "taking a push panicked");
                Failure::Internal
            })?
            .map_err(Failure::from)
    }
    /// Replays rejects in a task of its own, as [`Self::accept`] takes a push.
    ///
    /// # Errors
    ///
    /// Says why the rest was not replayed.
    pub async fn replay(
        &self,
        filter: Filter,
        after: i64,
        limit: usize,
        request_id: String,
    ) -> Result<Replayed, Failure> {
        let core = self.core()?;
        let replayer = Replayer {
            rejects: core.rejects.clone(),
            ingest: core.ingest.clone(),
            access: Arc::clone(&self.access),
            request_id,
        };
        let work = async move { replayer.replay(filter, after, limit).await };
        let done = self
            .runtime
            .spawn(self.tasks.track_future(work.in_current_span()))
            .await
            .map_err(|error| {
                tracing::error!(%error, "replaying rejects panicked");
                Failure::Internal
            })??;
        self.metrics.rejects_replayed.inc_by(done.accepted);
        Ok(done)
    }
}
