//! A destination: an InfluxDB that is fed from the journal. `/query` is passed on to the one behind the gateway.
//!
//! Each destination has a sender, a position and a place in the journal of its own; one that is away holds up nobody else.
//!
//! # Invariants
//!
//! - Within every series, batches are delivered in the journal's order, and one is on its way only when those before it were
//!   answered; batches without a series in common may be on their way together (`lanes`).
//! - A batch is left only when every line of it was taken, or has become a reject: the server refused it for its content, or refuses
//!   to make the bucket that the client named. The latter is waited for where rejects have no room without losing others.
//! - The position is that of the last batch before the first that is not delivered. It is written behind the delivery, so a crash repeats deliveries and never skips one; points are
//!   idempotent in InfluxDB.
//! - A request takes what waits in its lane, up to its greatest size, and never waits for more: what comes while another is on its
//!   way goes together with the next, so that batches grow with the load and none grows old for company.
//! - What is sent is the client's own text with the precision made explicit: the body as it came, its gzip included, where
//!   every line of it may be sent; otherwise line by line, those without a timestamp with the time at which the gateway took them.

mod bucket;
mod delivery;
mod fields;
mod lanes;
mod outgoing;
mod position;
mod probe;
mod query;
mod requests;
mod sender;
mod shipment;
mod write;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use headroom_openapi::health::Status;
use parking_lot::Mutex;
use reqwest::{RequestBuilder, header, redirect::Policy};
use tokio::{sync::Semaphore, time::Instant};
use url::Url;

pub use query::{PassedQuery, QueryMethod};

use crate::{
    config::InfluxSettings,
    journal::{Journal, Place},
};
use position::Position;
pub use position::is_position;

/// A server that does not even take the connection in this time is away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A write that takes longer than this is tried again.
const WRITE_TIMEOUT: Duration = Duration::from_mins(1);
/// The bucket that is made at the start where the settings name none: the one in Telegraf's examples.
const BUCKET_DEFAULT: &str = "telegraf";

/// Why the way to InfluxDB cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The HTTP client cannot be made.
    #[error("the HTTP client for InfluxDB cannot be made: {0}")]
    Client(#[source] reqwest::Error),
    /// The position cannot be read.
    #[error("{} cannot be read: {reason}; delete it to deliver the whole journal again", path.display())]
    Position {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}

/// InfluxDB's major version, as far as it makes a difference here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
    Three,
}

/// A handle to the InfluxDB behind the gateway; clones share it.
#[derive(Clone)]
pub struct Upstream(Arc<Inner>);

struct Inner {
    settings: InfluxSettings,
    client: reqwest::Client,
    version: OnceLock<Version>,
    position: Position,
    sent_through: AtomicU64,
    /// When the oldest batch came that is on its way; 0 where there is none.
    oldest_ns: AtomicI64,
    /// The server asked to be left alone until then.
    quiet_until: Mutex<Option<Instant>>,
    /// Buckets that are missing, and how often in a row the server has refused to make them.
    refused_buckets: Mutex<HashMap<String, u32>>,
    /// Held for a batch that is large once it is unpacked.
    unpacking: Semaphore,
    /// Why the last try failed; `None` while the server takes batches.
    trouble: Mutex<Option<String>>,
}

impl Upstream {
    /// Makes the client and reads where delivery stopped.
    ///
    /// # Errors
    ///
    /// Fails if the client cannot be made or the position cannot be read.
    pub fn open(settings: InfluxSettings, data_dir: &Path) -> Result<Self, UpstreamError> {
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            // A write would go on as a GET without its lines, and what answers that 204 would have taken none.
            .redirect(Policy::none())
            .build()
            .map_err(UpstreamError::Client)?;
        let position = Position::new(data_dir, &settings.name);
        let sent_through = position.read()?.unwrap_or_default();
        let version = OnceLock::new();
        if let Some(number) = settings.version {
            let _ = version.set(match number {
                1 => Version::One,
                2 => Version::Two,
                _ => Version::Three,
            });
        }
        Ok(Self(Arc::new(Inner {
            settings,
            client,
            version,
            position,
            sent_through: AtomicU64::new(sent_through),
            oldest_ns: AtomicI64::new(0),
            quiet_until: Mutex::default(),
            refused_buckets: Mutex::default(),
            unpacking: Semaphore::new(1),
            trouble: Mutex::new(Some("not asked yet".to_owned())),
        })))
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.settings.name
    }

    /// Whether it loses batches, rather than that pushes are turned away, when the journal is full for its sake.
    #[must_use]
    pub fn is_optional(&self) -> bool {
        self.0.settings.optional
    }

    /// Takes a place in the journal: one that has delivered nothing yet begins with what the journal holds.
    #[must_use]
    pub fn place(&self, journal: &Journal) -> Place {
        let before_first = journal.first_sequence().saturating_sub(1);
        let _ = self.0.sent_through.compare_exchange(
            0,
            before_first,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        journal.place(self.sent_through(), self.is_optional())
    }

    /// How long the oldest batch waits that is on its way, by the given time in nanoseconds since 1970.
    #[must_use]
    pub fn lag(&self, now_ns: i64) -> Duration {
        match self.0.oldest_ns.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            oldest => {
                Duration::from_nanos(u64::try_from(now_ns.saturating_sub(oldest)).unwrap_or(0))
            }
        }
    }

    /// The last sequence that was delivered, and all before it.
    #[must_use]
    pub fn sent_through(&self) -> u64 {
        self.0.sent_through.load(Ordering::Acquire)
    }

    /// How many batches up to the journal's last one are not delivered.
    #[must_use]
    pub fn behind(&self, last_sequence: u64) -> u64 {
        last_sequence.saturating_sub(self.sent_through())
    }

    /// Says for `/ready` how delivery goes.
    #[must_use]
    pub fn describe(&self, last_sequence: u64, now_ns: i64) -> (Status, String) {
        let behind = self.behind(last_sequence);
        let age = match self.lag(now_ns).as_secs() {
            0 => String::new(),
            seconds => format!(", the oldest for {seconds} s"),
        };
        match self.0.trouble.lock().as_deref() {
            None => (
                Status::Pass,
                format!("takes batches; {behind} are on their way{age}"),
            ),
            Some(trouble) => (
                Status::Fail,
                format!(
                    "{trouble}; pushes are taken, and {behind} batches wait in the journal{age}"
                ),
            ),
        }
    }

    /// The server's address with a path behind its own.
    fn url(&self, path: &str) -> Url {
        let mut url = self.0.settings.url.clone();
        let prefix = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{prefix}{path}"));
        url
    }

    /// Adds the server's token to a request.
    fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.0.settings.token {
            Some(token) => {
                request.header(header::AUTHORIZATION, format!("Token {}", token.expose()))
            }
            None => request,
        }
    }
}
