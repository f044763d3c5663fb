//! Wires the parts together: start, recovery, shutdown.
//!
//! The order of a start: bind the port, answer `/health`, open and replay the journal, answer `/ready` and everything
//! else. The order of a stop: take no more connections, finish requests and those on their way to an InfluxDB, end the tasks,
//! close the journal, seal.

mod known;
mod recovery;
mod replay;
mod watch;

use std::{
    net::TcpListener, num::NonZero, path::PathBuf, sync::Arc, thread::available_parallelism,
    time::Duration,
};

use actix_web::{
    HttpServer,
    dev::{Server, ServerHandle},
    web::Data,
};
use tokio::time::{Instant, timeout_at};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use recovery::open_data;

use crate::{
    access::{Access, IssuedError},
    clock::Clock,
    config::{ConnectionLimits, Settings},
    guard::GuardError,
    journal::JournalError,
    metrics::Metrics,
    rejects::RejectsError,
    routes,
    sink::Sink,
    state::{Core, State},
    store::StoreError,
    tls::{Certificate, TlsError},
    upstream::UpstreamError,
};

/// How long tasks may take to end after the requests.
const TASKS_TIMEOUT: Duration = Duration::from_secs(4);
/// How long sealing may take at the end. What is not sealed stands in the journal, and the next start reads it.
const LAST_SEAL_TIMEOUT: Duration = Duration::from_secs(4);

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
    /// Certificate or key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The tokens cannot be read.
    #[error(transparent)]
    Tokens(#[from] IssuedError),
    /// The data folder cannot be used.
    #[error("cannot use the data folder {}: {source}; choose another HEADROOM_DATA_DIR", path.display())]
    DataDir {
        /// The folder.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Nothing can be created in the data folder.
    #[error(
        "no file can be created in the data folder {}: {source}; allow the gateway's user to write there, or choose another \
         HEADROOM_DATA_DIR",
        path.display()
    )]
    DataDirReadOnly {
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
    /// The rejects cannot be opened.
    #[error(transparent)]
    Rejects(#[from] RejectsError),
    /// What the guards learned cannot be read.
    #[error(transparent)]
    Guard(#[from] GuardError),
    /// The way to InfluxDB cannot be opened.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// The HTTP server or a metric failed.
    #[error("the HTTP server failed: {0}")]
    Server(String),
    /// A contract cannot be replaced yet.
    #[error("the gateway is starting; send SIGHUP again when /ready answers 200")]
    Unready,
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
    /// Takes over tokens and contract, and reads the certificate anew; everything else needs a restart. Requests in hand
    /// go on. Tokens are never taken away altogether: that would open a gateway to everybody. Nor is a contract.
    ///
    /// # Errors
    ///
    /// When tokens or certificate are wrong, or there is a contract and the gateway is starting; all that is in use stays.
    pub fn reload(&self, settings: Settings) -> Result<(), StartError> {
        let state = &self.0;
        // Whatever can fail comes before the first change.
        let issued = state.access.file().read()?;
        let certificate = state.certificate.as_ref();
        let fresh = certificate.map(Certificate::read_anew);
        let fresh = fresh.transpose()?;
        if let Some(contract) = settings.guards.contract {
            let core = state.core().map_err(|_| StartError::Unready)?;
            core.ingest.guard().replace_contract(contract);
        }
        state.access.replace(settings.tokens, issued);
        if let (Some(certificate), Some(fresh)) = (certificate, fresh) {
            certificate.put(fresh);
        }
        Ok(())
    }
}

impl App {
    /// Takes the port. Must be called within a tokio runtime, whose threads do the work of pushes.
    ///
    /// # Errors
    ///
    /// Fails if the port is taken, or the certificate is wrong.
    pub fn bind(mut settings: Settings, clock: Clock) -> Result<Self, StartError> {
        let certificate = settings.tls.take().map(Certificate::read).transpose()?;
        let address = settings.listen;
        let listener =
            TcpListener::bind(address).map_err(|source| StartError::Listen { address, source })?;
        let metrics = Metrics::new().map_err(|error| StartError::Server(error.to_string()))?;
        let tasks = TaskTracker::new();
        let state = State::new(
            Access::open(&settings.data_dir, settings.tokens.take())?,
            settings.limits,
            certificate,
            Arc::new(metrics),
            settings.query_limits.time_max,
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

    /// Says whether a request needs a token.
    #[must_use]
    pub fn asks_for_tokens(&self) -> bool {
        self.state.access.keyring().is_some()
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
    pub async fn serve(mut self, stop: CancellationToken) -> Result<(), StartError> {
        let failed = |error: std::io::Error| StartError::Server(error.to_string());
        let server =
            http_server(self.listener, &self.state, self.settings.connections).map_err(failed)?;
        self.tasks
            .spawn(watch::files(self.state.clone(), stop.clone()));
        let handle = server.handle();
        let mut server = tokio::spawn(server);
        let core = match recovery::open(&mut self.settings, &self.state, &stop).await {
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
        let drain_timeout = self.settings.connections.drain_timeout;
        start_tasks(&core, &self.state, &self.tasks, drain_timeout, &stop);
        self.state.set_ready(core.clone());
        tracing::info!(last_sequence = core.journal.last_sequence(), "ready");
        tokio::select! {
            () = stop.cancelled() => {}
            ended = &mut server => {
                stop.cancel();
                close(&core, &self.tasks, Instant::now() + drain_timeout).await;
                return ended
                    .map_err(|error| StartError::Server(error.to_string()))?
                    .map_err(failed);
            }
        }
        let drained_by = Instant::now() + drain_timeout;
        drain(&handle).await;
        close(&core, &self.tasks, drained_by).await;
        tracing::info!("stopped");
        Ok(())
    }
}

/// Makes the HTTP server, which begins when it is polled.
fn http_server(
    listener: TcpListener,
    state: &Data<State>,
    limits: ConnectionLimits,
) -> std::io::Result<Server> {
    let shared = state.clone();
    let cores = available_parallelism().map_or(1, NonZero::get);
    let workers = cores.min(limits.max_connections);
    let server = HttpServer::new(move || routes::app(shared.clone()))
        .workers(workers)
        .max_connections(limits.max_connections.div_ceil(workers))
        .client_request_timeout(limits.head_timeout)
        .tls_handshake_timeout(limits.head_timeout)
        .shutdown_timeout(limits.drain_timeout.as_secs())
        .disable_signals();
    let server = match &state.certificate {
        Some(certificate) => server.listen_rustls_0_23(listener, certificate.server_config())?,
        None => server.listen(listener)?,
    };
    Ok(server.run())
}

fn start_tasks(
    core: &Core,
    state: &Data<State>,
    tasks: &TaskTracker,
    drain_timeout: Duration,
    stop: &CancellationToken,
) {
    // Every place is taken before the first segment may go.
    let places: Vec<_> = core
        .destinations
        .iter()
        .map(|destination| destination.place(&core.journal))
        .collect();
    if let Sink::Embedded(embedded) = &core.sink {
        let (journal, clock) = (core.journal.clone(), state.clock());
        tasks.spawn(embedded.clone().keep_until(journal, clock, stop.clone()));
    }
    for (destination, place) in core.destinations.iter().zip(places) {
        tasks.spawn(destination.clone().send_until(
            core.journal.clone(),
            place,
            core.rejects.clone(),
            Arc::clone(&state.metrics),
            drain_timeout,
            stop.clone(),
        ));
    }
    if let Sink::Influx(upstream) = &core.sink {
        let preloading = known::preload_types(core.clone(), upstream.clone(), stop.clone());
        tasks.spawn(preloading);
    }
}

async fn drain(handle: &ServerHandle) {
    tracing::info!("stopping: finishing requests");
    handle.stop(true).await;
}

/// Ends the tasks, of which senders may wait for their answers until `drained_by`, and closes the files.
async fn close(core: &Core, tasks: &TaskTracker, drained_by: Instant) {
    tasks.close();
    let ended = timeout_at(drained_by.max(Instant::now()) + TASKS_TIMEOUT, tasks.wait());
    if ended.await.is_err() {
        tracing::warn!("a task did not end in time and is left behind");
    }
    core.rejects.close().await;
    core.journal.close().await;
    let guard = Arc::clone(core.ingest.guard());
    let _ = tokio::task::spawn_blocking(move || guard.close()).await;
    if let Sink::Embedded(embedded) = &core.sink {
        let sealing = embedded.seal();
        if tokio::time::timeout(LAST_SEAL_TIMEOUT, sealing)
            .await
            .is_err()
        {
            tracing::warn!(
                "sealing takes too long for a stop; the next start reads the journal instead"
            );
        }
    }
}
