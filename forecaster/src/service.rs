//! Wires everything together: starts the service, and stops it in order.
//!
//! ```text
//! newcomers ─▶ fleet ─▶ serving ◀─ routes
//!     │                   ▲  │
//!     ▼                   │  ▼
//!   book ─▶ trainer ─▶ champions    rounds ─▶ gateway (points), watch ─▶ ledger ─▶ webhook
//! ```
//!
//! It stops from the front: no new requests, those under way are finished, then the loops end, then the process.

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use actix_web::{App as Service, HttpServer, dev::ServerHandle, middleware::from_fn, web};
use headroom_openapi::operations::Operations;
use tokio::sync::{Notify, mpsc};
use tracing_actix_web::TracingLogger;
use utoipa::OpenApi;
use utoipa_actix_web::AppExt;
use utoipa_swagger_ui::SwaggerUi;

use crate::{
    access::{self, Access},
    alert::{
        ledger::{Ledger, LedgerError},
        webhook::Webhook,
    },
    app::App,
    champions::Champions,
    clock::Clock,
    config::{AlertSettings, Settings, SettingsError, TrainingSettings},
    error::ApiError,
    fleet::Fleet,
    fleet_base::FleetBase,
    gateway::Gateway,
    jobs::{
        Book,
        trainer::{self, Train, Trainer},
    },
    loops::Loops,
    metrics::Metrics,
    model::{Base, BaseError},
    newcomers::Newcomers,
    openapi,
    recent::Recent,
    registry::{Registry, RegistryError},
    rounds::{Pulse, Rounds},
    routes, scheduler,
    serving::Serving,
    shadow::Shadow,
    training::{BaseFileError, Budget, train_host},
    turns::Turns,
    watch::Watch,
};

/// A request's body: thresholds of ten thousand targets fit.
const BODY_MAX_BYTES: usize = 1 << 20;
/// Each worker only waits for others, so two of them saturate the gateway.
const WORKERS: usize = 2;
/// How long requests under way may take at the end.
const FINISH_REQUESTS_S: u64 = 10;
/// How long the loops may take at the end: a train notices within moments.
const FINISH_LOOPS: Duration = Duration::from_secs(15);
/// Requests that fit models on the spot, at a time: as many as the smallest machine has cores.
const PREDICTING: usize = 2;
/// New models that may wait to be shown; the trainer waits when the rounds fall behind.
const TRAINED_WAITING: usize = 64;

/// What a test may put in another's place.
pub struct Parts {
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// What trains a host.
    pub train: Arc<Train>,
    /// The work that a fit may take.
    pub budget: Budget,
}

impl Parts {
    /// The parts of the real service.
    #[must_use]
    pub fn real() -> Self {
        Self {
            clock: Arc::new(crate::clock::SystemClock),
            train: Arc::new(train_host),
            budget: Budget::default(),
        }
    }
}

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting is wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The data folder cannot be made.
    #[error(
        "HEADROOM_DATA_DIR is {path}, which cannot be made: {source}; name a folder that this user may write to"
    )]
    DataDir {
        /// The folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The models' folder cannot be used.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The ledger cannot be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The port is taken, or the address is not this machine's.
    #[error(
        "HEADROOM_LISTEN is {address}, where nothing can listen: {source}; end what listens there, or choose another port"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// TLS cannot be set up.
    #[error("no HTTP client can be made: {0}")]
    Client(#[from] reqwest::Error),
    /// The program was built with a broken base.
    #[error("the base that is part of the program cannot be read: {0}")]
    Base(#[from] BaseError),
    /// A base that is named cannot be begun from.
    #[error("HEADROOM_EXTRA_MODELS: {0}")]
    Extra(#[from] BaseFileError),
    /// A figure is registered twice.
    #[error("the figures cannot be registered: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// A service that runs.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    server: ServerHandle,
    loops: Arc<Loops>,
}

impl Running {
    /// Stops: requests first, then the loops.
    pub async fn stop(self) {
        self.server.stop(true).await;
        if !self.loops.finish(FINISH_LOOPS).await {
            tracing::error!("something did not end in time; what was acknowledged is on disk");
        }
    }
}

/// Starts the service: it listens when this returns, and loads its models behind it.
///
/// # Errors
///
/// Says which setting is wrong, or what of the machine is in the way.
pub fn start(settings: Settings, parts: Parts) -> Result<Running, StartError> {
    let tokens = settings.tokens()?;
    std::fs::create_dir_all(&settings.data_dir).map_err(|source| StartError::DataDir {
        path: settings.data_dir.clone(),
        source,
    })?;
    let app = web::Data::new(wire(&settings, &parts)?);
    let (address, server) = serve(settings.listen, app.clone(), Access(tokens))?;
    start_loops(&app, settings, parts)?;
    tracing::info!(%address, gateway = %app.gateway.shown_url(), "the forecaster listens; Swagger UI at /docs/");
    Ok(Running {
        address,
        server,
        loops: Arc::clone(&app.loops),
    })
}

fn wire(settings: &Settings, parts: &Parts) -> Result<App, StartError> {
    let clock = Arc::clone(&parts.clock);
    let metrics = Arc::new(Metrics::new()?);
    let gateway = Arc::new(Gateway::new(settings.gateway.clone())?);
    let device = settings.training.device;
    let registry = Registry::open(&settings.data_dir.join("registry"))?.on(device);
    let shipped = Arc::new(Base::shipped()?.on(device));
    let extra = settings.training.extra.iter();
    let extra: Result<_, _> = extra
        .map(|asked| asked.base(settings.training.seed, device))
        .collect();
    let base = Arc::new(FleetBase::load(registry.clone(), shipped, extra?));
    let champions = Arc::new(Champions::new(
        registry,
        settings.forecasting.models_in_memory,
    ));
    let ledger = Arc::new(Ledger::open(&settings.data_dir.join("alerts.sqlite"))?);
    let fleet = Arc::new(Fleet::new(
        settings.forecasting.rules.clone(),
        Arc::clone(&gateway),
        Arc::clone(&clock),
    ));
    let serving = Arc::new(Serving {
        fleet: Arc::clone(&fleet),
        gateway: Arc::clone(&gateway),
        recent: Recent::new(
            Arc::clone(&gateway),
            settings.forecasting.histories_in_memory,
        ),
        computing: Turns::new(std::thread::available_parallelism().map_or(2, usize::from)),
        champions: Arc::clone(&champions),
        base: Arc::clone(&base),
        ledger: Arc::clone(&ledger),
        file_thresholds: settings.alerts.thresholds.clone(),
        stale_after_s: settings.forecasting.stale_after_s,
        clock: Arc::clone(&clock),
        metrics: Arc::clone(&metrics),
    });
    let book = Arc::new(
        Book::new(Arc::clone(&clock))
            .with_workers(settings.training.workers)
            .kept_in(settings.data_dir.join("jobs.json")),
    );
    Ok(App {
        fleet,
        gateway,
        champions,
        base,
        serving,
        book,
        ledger,
        metrics,
        loops: Arc::default(),
        pulse: Arc::new(Pulse::new(settings.forecasting.interval)),
        clock,
        predicting: Turns::new(PREDICTING),
    })
}

fn serve(
    listen: SocketAddr,
    app: web::Data<App>,
    access: Access,
) -> Result<(SocketAddr, ServerHandle), StartError> {
    let access = web::Data::new(access);
    let failed = |source| StartError::Listen {
        address: listen,
        source,
    };
    let server = HttpServer::new(move || {
        let (service, document) = Service::new()
            .into_utoipa_app()
            .openapi(openapi::Head::openapi())
            .app_data(app.clone())
            .app_data(access.clone())
            .configure(routes::configure)
            .split_for_parts();
        service
            .app_data(web::Data::new(Operations::of(&document)))
            .configure(read_requests)
            .service(web::redirect("/", "/docs/"))
            .service(web::redirect("/docs", "/docs/"))
            .service(SwaggerUi::new("/docs/{_:.*}").url("/api-docs/openapi.json", document))
            .default_service(web::to(routes::unknown::answer))
            .wrap(from_fn(access::guard))
            .wrap(TracingLogger::default())
    })
    .workers(WORKERS)
    .shutdown_timeout(FINISH_REQUESTS_S)
    .disable_signals()
    .bind(listen)
    .map_err(failed)?;
    let address = server.addrs().first().copied().unwrap_or(listen);
    let server = server.run();
    let handle = server.handle();
    tokio::spawn(server);
    Ok((address, handle))
}

/// Lets what cannot be read be answered as a problem.
fn read_requests(services: &mut web::ServiceConfig) {
    let refused = |reason: String| ApiError::RequestInvalid { reason }.into();
    services
        .app_data(web::PayloadConfig::new(BODY_MAX_BYTES))
        .app_data(web::JsonConfig::default().limit(BODY_MAX_BYTES).error_handler(
            move |error, _| refused(format!("the body cannot be read as JSON: {error}; send Content-Type: application/json")),
        ))
        .app_data(web::QueryConfig::default().error_handler(move |error, _| {
            refused(format!("a parameter of the query cannot be read: {error}; horizon and limit are whole numbers above 0"))
        }))
        .app_data(web::PathConfig::default().error_handler(move |error, _| {
            refused(format!("the path cannot be read: {error}"))
        }));
}

fn start_loops(app: &App, settings: Settings, parts: Parts) -> Result<(), StartError> {
    let (loops, cancelled) = (Arc::clone(&app.loops), app.loops.cancelled());
    let bell = Arc::new(Notify::new());
    let watch = watch(app, &settings.alerts, Arc::clone(&bell));
    if let Some(webhook) = settings.alerts.webhook {
        let (ledger, clock) = (Arc::clone(&app.ledger), Arc::clone(&app.clock));
        let webhook = Webhook::new(webhook, ledger, clock, bell)?;
        loops.spawn("webhook", webhook.run(cancelled.clone()));
    }
    let (tell, trained) = mpsc::channel(TRAINED_WAITING);
    let rounds = rounds(app, watch, settings.forecasting.interval);
    let jobs = Arc::new(trainer(app, &settings.training, parts, tell));
    let newcomers = Newcomers {
        fleet: Arc::clone(&app.fleet),
        champions: Arc::clone(&app.champions),
        book: Arc::clone(&app.book),
        clock: Arc::clone(&app.clock),
        interval: settings.forecasting.discovery_interval,
        train: settings.training.on_start,
    };
    let known = scheduler::Known {
        fleet: Arc::clone(&app.fleet),
        champions: Arc::clone(&app.champions),
        gateway: Arc::clone(&app.gateway),
        book: Arc::clone(&app.book),
        clock: Arc::clone(&app.clock),
    };
    let (champions, metrics) = (Arc::clone(&app.champions), Arc::clone(&app.metrics));
    let training = settings.training;
    app.loops.spawn_once(async move {
        // Whoever looks for hosts without a model must know the models first.
        load(champions, &metrics).await;
        loops.spawn("newcomers", newcomers.run(cancelled.clone()));
        loops.spawn("rounds", rounds.run(trained, cancelled.clone()));
        for _ in 0..training.workers {
            loops.spawn("trainer", Arc::clone(&jobs).work(cancelled.clone()));
        }
        loops.spawn("schedule", async move {
            if let Err(error) = scheduler::run(training, known, cancelled).await {
                tracing::error!(%error, "hosts are not retrained by schedule");
            }
        });
    });
    Ok(())
}

fn watch(app: &App, alerts: &AlertSettings, bell: Arc<Notify>) -> Watch {
    Watch {
        ledger: Arc::clone(&app.ledger),
        bell,
        metrics: Arc::clone(&app.metrics),
        cooldown: alerts.cooldown,
        probability: alerts.probability,
        has_receiver: alerts.webhook.is_some(),
    }
}

fn rounds(app: &App, watch: Watch, interval: Duration) -> Rounds {
    Rounds {
        serving: Arc::clone(&app.serving),
        shadow: Shadow {
            serving: Arc::clone(&app.serving),
            metrics: Arc::clone(&app.metrics),
        },
        fleet: Arc::clone(&app.fleet),
        gateway: Arc::clone(&app.gateway),
        watch: Arc::new(watch),
        pulse: Arc::clone(&app.pulse),
        clock: Arc::clone(&app.clock),
        interval,
    }
}

fn trainer(
    app: &App,
    settings: &TrainingSettings,
    parts: Parts,
    trained: mpsc::Sender<String>,
) -> Trainer {
    Trainer {
        book: Arc::clone(&app.book),
        fleet: Arc::clone(&app.fleet),
        gateway: Arc::clone(&app.gateway),
        champions: Arc::clone(&app.champions),
        clock: Arc::clone(&app.clock),
        metrics: Arc::clone(&app.metrics),
        settings: settings.clone(),
        budget: parts.budget,
        base: Arc::clone(&app.base),
        train: parts.train,
        trained,
        shared: trainer::Shared::default(),
    }
}

async fn load(champions: Arc<Champions>, metrics: &Metrics) {
    let loading = Arc::clone(&champions);
    match tokio::task::spawn_blocking(move || loading.load()).await {
        Ok(Ok(models)) => tracing::info!(models, "models are loaded"),
        Ok(Err(error)) => {
            tracing::error!(%error, "models cannot be loaded; hosts are trained anew");
        }
        Err(error) => tracing::error!(%error, "models cannot be loaded; hosts are trained anew"),
    }
    for (_, champion) in champions.all() {
        metrics.was_trained(champion.manifest().trained_at_s);
    }
}
