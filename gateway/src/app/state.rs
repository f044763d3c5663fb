//! What every request can see.

use std::sync::{Arc, OnceLock};

use headroom_openapi::access::Tokens;
use parking_lot::RwLock;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use super::Embedded;
use crate::{
    config::BodyLimits,
    error::Failure,
    ingest::{Ingest, Push, Receipt},
    journal::Journal,
    metrics::Metrics,
    upstream::Upstream,
};

/// Tells the time in nanoseconds since 1970; injected, so that tests own it.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Where accepted points go.
#[derive(Clone)]
pub enum Sink {
    /// The embedded store.
    Embedded(Embedded),
    /// An InfluxDB that is fed from the journal.
    Influx(Upstream),
}

/// What exists once recovery is done.
#[derive(Clone)]
pub struct Core {
    /// The journal.
    pub journal: Journal,
    /// Where points go and queries are answered.
    pub sink: Sink,
    /// The way in.
    pub ingest: Ingest,
}

/// What every request can see.
pub struct State {
    /// The accepted tokens; `None`: everybody is trusted.
    tokens: RwLock<Option<Arc<Tokens>>>,
    /// The largest bodies.
    pub limits: BodyLimits,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    clock: Clock,
    runtime: Handle,
    tasks: TaskTracker,
    core: OnceLock<Core>,
}

impl State {
    pub(super) fn new(
        tokens: Option<Tokens>,
        limits: BodyLimits,
        metrics: Arc<Metrics>,
        clock: Clock,
        tasks: TaskTracker,
    ) -> Self {
        Self {
            tokens: RwLock::new(tokens.map(Arc::new)),
            limits,
            metrics,
            clock,
            runtime: Handle::current(),
            tasks,
            core: OnceLock::new(),
        }
    }

    pub(super) fn set_ready(&self, core: Core) {
        let _ = self.core.set(core);
    }

    /// The accepted tokens; `None`: everybody is trusted.
    #[must_use]
    pub fn tokens(&self) -> Option<Arc<Tokens>> {
        self.tokens.read().clone()
    }

    /// Puts other tokens in the place of those that are accepted; requests that were let in go on.
    pub(super) fn replace_tokens(&self, tokens: Tokens) {
        *self.tokens.write() = Some(Arc::new(tokens));
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
        self.runtime
            .spawn(
                self.tasks
                    .track_future(async move { ingest.accept(push).await }),
            )
            .await
            .map_err(|error| {
                tracing::error!(%error, "taking a push panicked");
                Failure::Internal
            })?
            .map_err(Failure::from)
    }
}
