//! What Prometheus may ask of the service.
//!
//! Counters and histograms are kept as things happen; what follows from the state of the fleet is read when asked for,
//! so that silence shows as growing age.

use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts,
    Registry, TextEncoder, core::Collector,
};

/// From a cache-warm answer to a gateway that is under load.
const FORECAST_BUCKETS_S: [f64; 9] = [0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];
/// From a host with one target to a hang.
const TRAIN_BUCKETS_S: [f64; 9] = [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 180.0, 600.0];

/// What becomes of a new model.
const VERDICTS: [&str; 2] = ["promoted", "kept"];

/// The state of the fleet, as far as figures follow from it.
#[derive(Debug, Clone, Default)]
pub struct FleetState {
    /// Whether the last request to the gateway was answered.
    pub is_gateway_up: bool,
    /// When the last round over all hosts ended.
    pub round_ended_s: Option<i64>,
    /// Hosts of all jobs whose turn has not come.
    pub trains_waiting: usize,
    /// Hosts that are being trained.
    pub trains_running: usize,
    /// Challengers that run beside their champion.
    pub on_trial: usize,
    /// The hosts that were heard of lately, each with the time of its newest point.
    pub last_seen_s: Vec<(String, i64)>,
    /// The hosts that have a model, each with the time at which it was trained.
    pub trained_at_s: Vec<(String, i64)>,
}

/// The service's own figures.
pub struct Metrics {
    registry: Registry,
    hosts: IntGauge,
    models: IntGauge,
    gateway_up: IntGauge,
    model_age: GaugeVec,
    staleness: GaugeVec,
    train_seconds: Histogram,
    trains: IntCounterVec,
    verdicts: IntCounterVec,
    on_trial: IntGauge,
    trains_waiting: IntGauge,
    trains_running: IntGauge,
    last_train: IntGauge,
    /// Trainings that were given up and still run.
    pub trains_hanging: IntGauge,
    last_round: IntGauge,
    /// The time that forecasts of a host take, history included.
    pub forecast_seconds: Histogram,
    /// Alerts that were raised.
    pub alerts_total: IntCounter,
}

impl Metrics {
    /// Registers every figure.
    ///
    /// # Errors
    ///
    /// When two figures share a name, which the first test would show.
    pub fn new() -> Result<Self, prometheus::Error> {
        let of_host = |name: &str, help: &str| GaugeVec::new(Opts::new(name, help), &["host"]);
        let histogram = |name: &str, help: &str, buckets: &[f64]| {
            Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))
        };
        let metrics = Self {
            registry: Registry::new(),
            hosts: IntGauge::new("headroom_hosts", "Hosts that were heard of lately")?,
            models: IntGauge::new("headroom_models", "Hosts that have a model")?,
            gateway_up: IntGauge::new(
                "headroom_gateway_up",
                "Whether the last request to the gateway was answered",
            )?,
            model_age: of_host(
                "headroom_model_age_seconds",
                "Time since the host's model was trained",
            )?,
            staleness: of_host(
                "headroom_data_staleness_seconds",
                "Age of the host's newest point",
            )?,
            train_seconds: histogram(
                "headroom_train_seconds",
                "Time that trains of a host took",
                &TRAIN_BUCKETS_S,
            )?,
            trains: IntCounterVec::new(
                Opts::new("headroom_trains_total", "Trains of a host, by outcome"),
                &["outcome"],
            )?,
            verdicts: IntCounterVec::new(
                Opts::new(
                    "headroom_verdicts_total",
                    "New models, by whether they came to serve or the champion stayed",
                ),
                &["verdict"],
            )?,
            on_trial: IntGauge::new(
                "headroom_models_on_trial",
                "Challengers that run beside their champion",
            )?,
            trains_waiting: IntGauge::new(
                "headroom_trains_waiting",
                "Hosts of all jobs whose turn has not come",
            )?,
            trains_running: IntGauge::new(
                "headroom_trains_running",
                "Hosts that are being trained",
            )?,
            trains_hanging: IntGauge::new(
                "headroom_trains_hanging",
                "Trainings that were given up and still run; their hosts wait for a restart",
            )?,
            last_train: IntGauge::new(
                "headroom_last_train_success_timestamp_seconds",
                "When a host was last trained, before the start too; 0: never",
            )?,
            last_round: IntGauge::new(
                "headroom_last_round_success_timestamp_seconds",
                "When a round over all hosts last ended; 0 since the start: never",
            )?,
            forecast_seconds: histogram(
                "headroom_forecast_seconds",
                "Time that forecasts of a host took, reading its history included",
                &FORECAST_BUCKETS_S,
            )?,
            alerts_total: IntCounter::new("headroom_alerts_total", "Alerts that were raised")?,
        };
        metrics.register()?;
        for outcome in ["done", "failed"] {
            metrics.trains.with_label_values(&[outcome]).reset();
        }
        for verdict in VERDICTS {
            metrics.verdicts.with_label_values(&[verdict]).reset();
        }
        Ok(metrics)
    }

    fn register(&self) -> Result<(), prometheus::Error> {
        let collectors: [Box<dyn Collector>; 17] = [
            Box::new(self.hosts.clone()),
            Box::new(self.models.clone()),
            Box::new(self.gateway_up.clone()),
            Box::new(self.model_age.clone()),
            Box::new(self.staleness.clone()),
            Box::new(self.train_seconds.clone()),
            Box::new(self.trains.clone()),
            Box::new(self.verdicts.clone()),
            Box::new(self.on_trial.clone()),
            Box::new(self.trains_waiting.clone()),
            Box::new(self.trains_running.clone()),
            Box::new(self.trains_hanging.clone()),
            Box::new(self.last_train.clone()),
            Box::new(self.last_round.clone()),
            Box::new(self.forecast_seconds.clone()),
            Box::new(self.alerts_total.clone()),
            Box::new(build_info()?),
        ];
        collectors
            .into_iter()
            .try_for_each(|collector| self.registry.register(collector))
    }

    /// Counts a train that made a model.
    pub fn trained(&self, seconds: f64, now_s: i64) {
        self.train_seconds.observe(seconds);
        self.trains.with_label_values(&["done"]).inc();
        self.last_train.set(now_s);
    }

    /// Notes when a model was trained before the start.
    pub fn was_trained(&self, at_s: i64) {
        self.last_train.set(self.last_train.get().max(at_s));
    }

    /// Counts a new model that was judged beside the champion.
    pub fn judged(&self, promoted: bool) {
        let verdict = VERDICTS[usize::from(!promoted)];
        self.verdicts.with_label_values(&[verdict]).inc();
    }

    /// Counts a train that made none.
    pub fn train_failed(&self) {
        self.trains.with_label_values(&["failed"]).inc();
    }

    /// Renders every figure as Prometheus reads them.
    ///
    /// # Errors
    ///
    /// When a figure cannot be rendered.
    pub fn render(&self, fleet: &FleetState, now_s: i64) -> Result<Vec<u8>, prometheus::Error> {
        self.gateway_up.set(i64::from(fleet.is_gateway_up));
        self.last_round.set(fleet.round_ended_s.unwrap_or(0));
        self.trains_waiting.set(fleet.trains_waiting as i64);
        self.trains_running.set(fleet.trains_running as i64);
        self.on_trial.set(fleet.on_trial as i64);
        self.hosts.set(fleet.last_seen_s.len() as i64);
        set_ages(&self.staleness, &fleet.last_seen_s, now_s);
        self.models.set(fleet.trained_at_s.len() as i64);
        set_ages(&self.model_age, &fleet.trained_at_s, now_s);
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

fn set_ages(gauges: &GaugeVec, since_s: &[(String, i64)], now_s: i64) {
    gauges.reset();
    for (host, at_s) in since_s {
        let age_s = (now_s - at_s).max(0);
        gauges.with_label_values(&[host]).set(age_s as f64);
    }
}

fn build_info() -> Result<Gauge, prometheus::Error> {
    let options = Opts::new("headroom_build_info", "1, with the version of the program")
        .const_label("version", env!("CARGO_PKG_VERSION"));
    let gauge = Gauge::with_opts(options)?;
    gauge.set(1.0);
    Ok(gauge)
}
