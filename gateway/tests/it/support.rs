//! A gateway on a free loopback port, and what tests send to it.

use std::{
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Once},
    time::Duration,
};

use flate2::{Compression, write::GzEncoder};
use headroom_gateway::{
    app::{App, StartError},
    clock::Clock,
    config::{Flags, Settings},
};
use reqwest::{Client, RequestBuilder, Response};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What the injected clock says: 2025-01-01T00:00:00Z.
pub(crate) const NOW_NS: i64 = 1_735_689_600_000_000_000;

/// How often a condition that must come true is looked at.
const POLL: Duration = Duration::from_millis(20);

/// A gateway in this process.
pub(crate) struct TestApp {
    pub(crate) address: SocketAddr,
    pub(crate) client: Client,
    data_dir: Arc<TempDir>,
    stop: CancellationToken,
    running: JoinHandle<Result<(), StartError>>,
}

pub(crate) fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        rustls::crypto::ring::default_provider()
            .install_default()
            .expect("the first provider");
    });
}

impl TestApp {
    pub(crate) async fn start() -> Self {
        Self::start_with(Flags::default()).await
    }

    /// Starts with settings, and waits until it is ready.
    pub(crate) async fn start_with(flags: Flags) -> Self {
        let dir = Arc::new(tempfile::tempdir().expect("a folder"));
        Self::start_in(dir, flags).await
    }

    /// Starts with a clock of the test's own.
    pub(crate) async fn start_at(clock: Clock) -> Self {
        let dir = Arc::new(tempfile::tempdir().expect("a folder"));
        let app = Self::start_unready(dir, Flags::default(), clock);
        app.until_ready().await;
        app
    }

    async fn start_in(data_dir: Arc<TempDir>, flags: Flags) -> Self {
        let app = Self::start_unready(data_dir, flags, Arc::new(|| NOW_NS));
        app.until_ready().await;
        app
    }

    async fn until_ready(&self) {
        self.until("ready", async |app| app.get("/ready").await.status() == 200)
            .await;
    }

    fn start_unready(data_dir: Arc<TempDir>, mut flags: Flags, clock: Clock) -> Self {
        init();
        flags.data_dir = Some(data_dir.path().to_owned());
        flags
            .listen
            .get_or_insert_with(|| SocketAddr::from(([127, 0, 0, 1], 0)));
        let settings = Settings::load(&flags).expect("good settings");
        let app = App::bind(settings, clock).expect("a free port");
        let address = app.address().expect("an address");
        let stop = CancellationToken::new();
        let running = tokio::spawn(app.serve(stop.clone()));
        Self {
            address,
            client: Client::new(),
            data_dir,
            stop,
            running,
        }
    }

    /// Stops as SIGTERM does, and starts again on the same folder.
    pub(crate) async fn restart_with(self, flags: Flags) -> Self {
        self.restart_changed(flags, |_| ()).await
    }

    /// Restarts as [`Self::restart_with`] does, with what is done to the folder in between.
    pub(crate) async fn restart_changed(self, flags: Flags, change: impl FnOnce(&Path)) -> Self {
        let data_dir = Arc::clone(&self.data_dir);
        self.stop().await;
        change(data_dir.path());
        Self::start_in(data_dir, flags).await
    }

    /// Gives the order to stop and does not wait.
    pub(crate) fn begin_stop(&self) {
        self.stop.cancel();
    }

    pub(crate) async fn stop(self) {
        self.begin_stop();
        self.running
            .await
            .expect("no panic")
            .expect("an orderly stop");
    }

    /// Stops as SIGTERM does, and leaves the data folder.
    pub(crate) async fn stop_keeping_data(self) -> Arc<TempDir> {
        let data_dir = Arc::clone(&self.data_dir);
        self.stop().await;
        data_dir
    }

    pub(crate) fn data_dir(&self) -> &Path {
        self.data_dir.path()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(self.url(path))
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.client
            .get(self.url(path))
            .send()
            .await
            .expect("an answer")
    }

    /// Pushes text and answers status and body.
    pub(crate) async fn push(&self, path: &str, text: impl Into<Vec<u8>>) -> (u16, String) {
        read(self.post(path).body(text.into())).await
    }

    pub(crate) async fn query(&self, q: &str) -> serde_json::Value {
        let request = self.client.get(self.url("/query")).query(&[
            ("db", "telegraf"),
            ("epoch", "ns"),
            ("q", q),
        ]);
        let answer = request.send().await.expect("an answer");
        answer.json().await.expect("JSON")
    }

    /// The value of a metric, as it stands in `/metrics`.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let text = self.get("/metrics").await.text().await.expect("text");
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
            .unwrap_or_else(|| panic!("no metric {name} in {text}"))
    }

    /// Waits until a metric has a value.
    pub(crate) async fn until_metric(&self, name: &str, value: u64) {
        let what = format!("{name} is {value}");
        self.until(&what, async |app| app.metric(name).await == value)
            .await;
    }

    /// Waits until a condition holds; the test's own timeout ends a wait in vain.
    pub(crate) async fn until(&self, what: &str, holds: impl AsyncFn(&Self) -> bool) {
        let wait = async {
            while !holds(self).await {
                tokio::time::sleep(POLL).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), wait)
            .await
            .unwrap_or_else(|_| panic!("never came true: {what}"));
    }
}

pub(crate) async fn read(request: RequestBuilder) -> (u16, String) {
    let answer = request.send().await.expect("an answer");
    (
        answer.status().as_u16(),
        answer.text().await.expect("a body"),
    )
}

pub(crate) fn gzip(text: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_ref()).expect("memory");
    encoder.finish().expect("memory")
}

/// A file of the shared material; `None`, with a word to the reader, where that is absent.
pub(crate) fn shared(path: &str) -> Option<PathBuf> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared")
        .join(path);
    if file.exists() {
        Some(file)
    } else {
        eprintln!("skipped: {} is absent", file.display());
        None
    }
}

/// The embedded store's file, which another process has open.
pub(crate) struct StoreFile(rusqlite::Connection);

impl StoreFile {
    pub(crate) fn open(data_dir: &Path) -> Self {
        let file = rusqlite::Connection::open(data_dir.join("store/store.sqlite"));
        Self(file.expect("a file"))
    }

    /// Takes away a table, so that no seal succeeds.
    pub(crate) fn break_seals(&self) {
        self.run("ALTER TABLE chunk_fragments RENAME TO gone");
    }

    pub(crate) fn mend_seals(&self) {
        self.run("ALTER TABLE gone RENAME TO chunk_fragments");
    }

    /// Holds the right to write, for which a seal waits.
    pub(crate) fn hold(&self) {
        self.run("BEGIN IMMEDIATE");
    }

    pub(crate) fn let_go(&self) {
        self.run("ROLLBACK");
    }

    fn run(&self, statement: &str) {
        self.0.execute_batch(statement).expect("a change");
    }
}
