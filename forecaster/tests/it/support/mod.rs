//! A service to test: real from the socket to the registry, with a clock that stands still until time is let pass.

pub(crate) mod gateway;
pub(crate) mod histories;
pub(crate) mod prophet;
pub(crate) mod readings;

use std::{
    fmt::Write,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use headroom_forecaster::{
    clock::Clock,
    config::{Raw, RawThreshold, Settings},
    gateway::Gateway,
    host_model::HostModel,
    jobs::trainer::Train,
    progress::Progress,
    service::{self, Parts, Running},
    training::{Budget, TrainError, TrainRequest, train_host},
};
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

pub(crate) use self::{
    gateway::{FakeGateway, HostSpec, idle},
    readings::Readings,
};

/// The time of every test: 2026-01-01 12:00:14 UTC.
pub(crate) const NOW_S: i64 = 1_767_268_814;
/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_mins(2);

/// A clock that stands still until the test lets time pass.
struct GatewaysClock(Arc<AtomicI64>);

impl Clock for GatewaysClock {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(self.0.load(Ordering::SeqCst), 0).expect("a time")
    }
}

/// How the service under test is set up.
pub(crate) struct Setup {
    pub(crate) raw: Raw,
    pub(crate) train: Arc<Train>,
    time_s: Arc<AtomicI64>,
}

impl Setup {
    pub(crate) fn new(folder: &Path, gateway: &FakeGateway) -> Self {
        let raw = Raw {
            listen: Some("127.0.0.1:0".to_owned()),
            data_dir: Some(folder.to_owned()),
            gateway_url: Some(gateway.url()),
            train_on_start: Some(false),
            history_days: Some(7),
            discovery_interval_s: Some(1),
            forecast_interval_s: Some(1),
            ..Raw::default()
        };
        Self {
            raw,
            train: Arc::new(train_host),
            time_s: gateway.time_s(),
        }
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Raw)) -> Self {
        change(&mut self.raw);
        self
    }

    pub(crate) fn threshold(self, target: &str, value: f64) -> Self {
        let threshold = RawThreshold {
            host: None,
            target: target.to_owned(),
            value,
        };
        self.with(|raw| raw.threshold.push(threshold))
    }

    pub(crate) fn training_by<F>(mut self, train: F) -> Self
    where
        F: Fn(&TrainRequest, &dyn Progress, &CancellationToken) -> Result<HostModel, TrainError>
            + Send
            + Sync
            + 'static,
    {
        self.train = Arc::new(train);
        self
    }

    /// The settings, the clock and the gateway without a service.
    pub(crate) fn parts(self) -> (Settings, Arc<dyn Clock>, Arc<Gateway>) {
        install_tls();
        let settings = Settings::from_raw(self.raw).expect("good settings");
        let gateway = Gateway::new(settings.gateway.clone()).expect("an address");
        let clock = Arc::new(GatewaysClock(self.time_s));
        (settings, clock, Arc::new(gateway))
    }

    pub(crate) fn start(self) -> TestApp {
        install_tls();
        let settings = Settings::from_raw(self.raw).expect("good settings");
        let parts = Parts {
            clock: Arc::new(GatewaysClock(self.time_s)),
            train: self.train,
            budget: Budget::tiny(),
        };
        let running = service::start(settings, parts).expect("the service starts");
        TestApp {
            address: running.address,
            running,
            http: Client::new(),
            token: None,
        }
    }
}

pub(crate) fn install_tls() {
    // Whichever test comes first installs it.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A running service and a client of it.
pub(crate) struct TestApp {
    pub(crate) address: SocketAddr,
    running: Running,
    http: Client,
    pub(crate) token: Option<String>,
}

impl TestApp {
    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Response {
        let mut request = self
            .http
            .request(method, format!("http://{}{path}", self.address));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        request.send().await.expect("the service answers")
    }

    /// Returns the entity tag of an answer.
    pub(crate) async fn tag(&self, path: &str) -> String {
        let response = self.send(Method::GET, path, None).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.headers()["etag"]
            .to_str()
            .expect("text")
            .to_owned()
    }

    /// Asks for what a client that has an answer with this tag does not have yet.
    pub(crate) async fn send_knowing(&self, path: &str, tag: &str) -> Response {
        let url = format!("http://{}{path}", self.address);
        let request = self.http.get(url).header("If-None-Match", tag);
        request.send().await.expect("the service answers")
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Value) {
        let response = self.send(Method::GET, path, None).await;
        (response.status(), response.json().await.expect("JSON"))
    }

    pub(crate) async fn ok(&self, path: &str) -> Value {
        let (status, answer) = self.get(path).await;
        assert_eq!(status, StatusCode::OK, "{path}: {answer}");
        answer
    }

    /// Asserts a problem and returns its detail.
    pub(crate) async fn problem(&self, path: &str, status: u16, code: &str) -> String {
        let response = self.send(Method::GET, path, None).await;
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json",
            "{path}"
        );
        assert_eq!(response.status().as_u16(), status, "{path}");
        let problem: Value = response.json().await.expect("JSON");
        assert_eq!(
            (&problem["code"], &problem["status"]),
            (&code.into(), &status.into())
        );
        problem["detail"].as_str().expect("a detail").to_owned()
    }

    /// Asks again until the answer is as it should be.
    pub(crate) async fn until(&self, path: &str, is_right: impl Fn(&Value) -> bool) -> Value {
        let mut last = String::new();
        let wait = async {
            loop {
                let (_, answer) = self.get(path).await;
                if is_right(&answer) {
                    return answer;
                }
                last.clear();
                let _ = write!(last, "{answer}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let outcome = tokio::time::timeout(PATIENCE, wait).await;
        outcome.unwrap_or_else(|_| panic!("{path} never answered what it should; last: {last}"))
    }

    /// Queues a retrain of these hosts and returns the job's id.
    pub(crate) async fn retrain(&self, hosts: &[&str]) -> String {
        let body = serde_json::json!({ "hosts": hosts });
        self.queued(Some(body)).await
    }

    async fn queued(&self, body: Option<Value>) -> String {
        let response = self.send(Method::POST, "/api/v1/retrain", body).await;
        assert_eq!(response.status(), StatusCode::ACCEPTED);
        let location = response.headers()["location"]
            .to_str()
            .expect("a path")
            .to_owned();
        let job: Value = response.json().await.expect("JSON");
        assert_eq!(
            location,
            format!("/api/v1/jobs/{}", job["id"].as_str().expect("an id"))
        );
        location
    }

    /// Retrains these hosts and returns the job when it has ended.
    pub(crate) async fn retrained(&self, hosts: &[&str]) -> Value {
        let job = self.retrain(hosts).await;
        self.until(&job, |job| !job["finished_at"].is_null()).await
    }

    /// Retrains every host and returns the job when it has ended.
    pub(crate) async fn retrained_all(&self) -> Value {
        let job = self.queued(None).await;
        self.until(&job, |job| !job["finished_at"].is_null()).await
    }

    pub(crate) async fn stop(self) {
        self.running.stop().await;
    }
}
