//! Wires the parts together: start, recovery, shutdown.
//!
//! The order of a start: bind the port, answer `/health`, open and replay the journal, answer `/ready` and everything
//! else. The order of a stop: take no more connections, finish requests, end the tasks, close the journal, seal.

mod embedded;
mod queries;
mod recovery;
mod state;

use std::{net::TcpListener, path::PathBuf, sync::Arc, time::Duration};

use actix_web::{HttpServer, dev::ServerHandle, web::Data};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use embedded::Embedded;
pub use queries::Queries;
pub use recovery::open_data;
pub use state::{Clock, Core, Sink, State};

use crate::{
    config::Settings, journal::JournalError, metrics::Metrics, routes, store::StoreError,
    upstream::UpstreamError,
};

/// How long requests may take to finish after the order to stop: longer than any push, shorter than a supervisor's kill.
const DRAIN_TIMEOUT_S: u64 = 20;
/// How long tasks may take to end after that.
const TASKS_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the gateway cannot run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The port is taken or not allowed.
    #[error("cannot listen on {address}: {source}; choose another HEADROOM_LISTEN")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// The data folder cannot be used.
    #[error("cannot use the data folder {}: {source}; choose another HEADROOM_DATA_DIR", path.display())]
    DataDir {
        /// The folder.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The journal cannot be opened.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The way to InfluxDB cannot be opened.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// The HTTP server or a metric failed.
    #[error("the HTTP server failed: {0}")]
    Server(String),
    /// The order to stop came before the start was done.
    #[error("stopped before the journal was read")]
    Interrupted,
}

/// A gateway that has its port.
pub struct App {
    settings: Settings,
    listener: TcpListener,
    state: Data<State>,
    tasks: TaskTracker,
}

/// Puts other settings in the place of those that a gateway started with.
pub struct Reloader(Data<State>);

impl Reloader {
    /// Takes over the tokens; everything else needs a restart. Requests in hand go on. Tokens are never taken away
    /// altogether: that would open a gateway to everybody.
    pub fn reload(&self, settings: Settings) {
        if let Some(tokens) = settings.tokens {
            self.0.replace_tokens(tokens);
        }
    }
}

impl App {
    /// Takes the port. Must be called within a tokio runtime, whose threads do the work of pushes.
    ///
    /// # Errors
    ///
    /// Fails if the port is taken.
    pub fn bind(mut settings: Settings, clock: Clock) -> Result<Self, StartError> {
        let address = settings.listen;
        let listener =
            TcpListener::bind(address).map_err(|source| StartError::Listen { address, source })?;
        let metrics = Metrics::new().map_err(|error| StartError::Server(error.to_string()))?;
        let tasks = TaskTracker::new();
        let state = State::new(
            settings.tokens.take(),
            settings.limits,
            Arc::new(metrics),
            clock,
            tasks.clone(),
        );
        Ok(Self {
            settings,
            listener,
            state: Data::new(state),
            tasks,
        })
    }

    /// The address it listens on.
    ///
    /// # Errors
    ///
    /// Fails if the socket is gone.
    pub fn address(&self) -> std::io::Result<std::net::SocketAddr> {
        self.listener.local_addr()
    }

    /// A handle that puts other settings in the place of these while it serves.
    #[must_use]
    pub fn reloader(&self) -> Reloader {
        Reloader(self.state.clone())
    }

    /// Serves until the token is cancelled.
    ///
    /// # Errors
    ///
    /// Fails if journal, store or server cannot start.
    pub async fn serve(self, stop: CancellationToken) -> Result<(), StartError> {
        let failed = |error: std::io::Error| StartError::Server(error.to_string());
        let state = self.state.clone();
        let server = HttpServer::new(move || routes::app(state.clone()))
            .listen(self.listener)
            .map_err(failed)?
            .disable_signals()
            .shutdown_timeout(DRAIN_TIMEOUT_S)
            .run();
        let handle = server.handle();
        let mut server = tokio::spawn(server);
        let core = match recovery::open(&self.settings, &self.state, &stop).await {
            Ok(core) => core,
            Err(error) => {
                handle.stop(false).await;
                return if stop.is_cancelled() {
                    Ok(())
                } else {
                    Err(error)
                };
            }
        };
        start_tasks(&core, &self.state, &self.tasks, &stop);
        self.state.set_ready(core.clone());
        tracing::info!(last_sequence = core.journal.last_sequence(), "ready");
        tokio::select! {
            () = stop.cancelled() => {}
            ended = &mut server => {
                stop.cancel();
                close(&core, &self.tasks).await;
                return ended
                    .map_err(|error| StartError::Server(error.to_string()))?
                    .map_err(failed);
            }
        }
        drain(&handle).await;
        close(&core, &self.tasks).await;
        tracing::info!("stopped");
        Ok(())
    }
}

fn start_tasks(core: &Core, state: &Data<State>, tasks: &TaskTracker, stop: &CancellationToken) {
    match &core.sink {
        Sink::Embedded(embedded) => {
            tasks.spawn(embedded.clone().keep_until(
                core.journal.clone(),
                state.clock(),
                stop.clone(),
            ));
        }
        Sink::Influx(upstream) => {
            tasks.spawn(upstream.clone().send_until(
                core.journal.clone(),
                Arc::clone(&state.metrics),
                stop.clone(),
            ));
        }
    }
}

async fn drain(handle: &ServerHandle) {
    tracing::info!("stopping: finishing requests");
    handle.stop(true).await;
}

async fn close(core: &Core, tasks: &TaskTracker) {
    tasks.close();
    if tokio::time::timeout(TASKS_TIMEOUT, tasks.wait())
        .await
        .is_err()
    {
        tracing::warn!("a task did not end in time and is left behind");
    }
    core.journal.close().await;
    if let Sink::Embedded(embedded) = &core.sink {
        embedded.seal(&core.journal).await;
    }
}
