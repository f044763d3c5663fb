//! Pushing: batches of gzipped line protocol to `/api/v2/write`, several in flight, patient with a busy gateway.

use std::{
    io::Write,
    sync::Arc,
    time::{Duration, Instant},
};

use flate2::{Compression, write::GzEncoder};
use reqwest::{
    StatusCode,
    header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER},
};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::progress::Progress;

/// An answer later than this counts as none.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The first wait before a batch is sent again; it doubles up to the longest.
const BACKOFF_FIRST: Duration = Duration::from_millis(200);
const BACKOFF_LONGEST: Duration = Duration::from_secs(5);

/// A gateway may ask for a longer wait with Retry-After, but not for more than this.
const RETRY_AFTER_LONGEST: Duration = Duration::from_mins(1);

/// The messages of refused batches that are kept to be shown.
const REFUSALS_KEPT: usize = 3;

/// Where and how to push.
#[derive(Debug, Clone)]
pub struct Destination {
    /// The gateway's address, without a path.
    pub url: reqwest::Url,
    /// The token to present.
    pub token: Option<Secret>,
    /// The organisation that the request names.
    pub org: String,
    /// The bucket.
    pub bucket: String,
    /// The unit of the timestamps: ns, us, ms or s.
    pub precision: &'static str,
    /// Requests at a time.
    pub in_flight: usize,
    /// How long a batch is tried before the push has failed.
    pub give_up_after: Duration,
}

/// A token that no output shows.
#[derive(Clone)]
pub struct Secret(String);

impl From<String> for Secret {
    fn from(token: String) -> Self {
        Self(token)
    }
}

impl Secret {
    /// Says whether it was given and left empty, as an unset variable of a script is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

/// Lines that go in one request.
#[derive(Debug, Clone)]
pub struct Batch {
    /// How many lines.
    pub lines: u64,
    /// Their text, gzipped.
    pub body: bytes::Bytes,
}

impl Batch {
    /// Compresses the text of a batch: fast, because the network here is short.
    #[must_use]
    pub fn new(lines: u64, text: &[u8]) -> Self {
        Self {
            lines,
            body: compress(text).into(),
        }
    }
}

fn compress(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 4), Compression::new(1));
    encoder.write_all(text).expect("writing to memory succeeds");
    encoder.finish().expect("writing to memory succeeds")
}

/// Why a push failed.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The HTTP client could not be made.
    #[error("the HTTP client could not be made")]
    Client(#[source] reqwest::Error),
    /// The gateway refused the batch's lines; other batches may be good.
    #[error("the gateway refused lines ({status}): {message}")]
    LinesRefused {
        /// The status.
        status: StatusCode,
        /// The gateway's words.
        message: String,
    },
    /// The gateway refused the request, and would refuse the next one too.
    #[error("the gateway at {url} answered {status}: {message}{hint}")]
    RequestRefused {
        /// Where.
        url: String,
        /// The status.
        status: StatusCode,
        /// The gateway's words.
        message: String,
        /// What would be right.
        hint: &'static str,
    },
    /// The gateway was away or busy for too long.
    #[error(
        "the gateway at {url} took nothing for {seconds} s ({reason}); start it, or name another with --gateway-url"
    )]
    GaveUp {
        /// Where.
        url: String,
        /// How long it was tried.
        seconds: u64,
        /// The last answer.
        reason: String,
    },
}

/// What was pushed.
#[derive(Debug, Default)]
pub struct Summary {
    /// Lines in batches that were taken whole.
    pub lines: u64,
    /// Requests.
    pub batches: u64,
    /// Bytes on the wire.
    pub bytes: u64,
    /// Batches of which the gateway refused lines.
    pub refused_batches: u64,
    /// The first answers of those.
    pub refusals: Vec<String>,
}

/// A gateway to push to.
#[derive(Debug, Clone)]
pub struct Gateway {
    client: reqwest::Client,
    destination: Arc<Destination>,
}

enum Attempt {
    Taken,
    Failed(PushError),
    Later {
        reason: String,
        wait: Option<Duration>,
    },
}

impl Gateway {
    /// Creates the client.
    ///
    /// # Errors
    ///
    /// Where the TLS stack cannot be set up.
    pub fn new(destination: Destination) -> Result<Self, PushError> {
        let client = reqwest::Client::builder()
            .timeout(REQUEST_TIMEOUT)
            .user_agent(concat!("headroom-simulator/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(PushError::Client)?;
        Ok(Self {
            client,
            destination: Arc::new(destination),
        })
    }

    /// Pushes one batch and waits for a busy gateway.
    ///
    /// # Errors
    ///
    /// Where the gateway refuses the batch, or is away for too long.
    pub async fn push(&self, batch: &Batch, progress: &Progress) -> Result<(), PushError> {
        let began = Instant::now();
        let mut backoff = BACKOFF_FIRST;
        let mut told = false;
        loop {
            let (reason, wait) = match self.attempt(batch).await {
                Attempt::Taken => return Ok(()),
                Attempt::Failed(error) => return Err(error),
                Attempt::Later { reason, wait } => (reason, wait),
            };
            let wait = wait.unwrap_or(backoff).min(RETRY_AFTER_LONGEST);
            if began.elapsed() + wait > self.destination.give_up_after {
                return Err(PushError::GaveUp {
                    url: self.destination.url.to_string(),
                    seconds: self.destination.give_up_after.as_secs(),
                    reason,
                });
            }
            if !told {
                progress.note(&format!(
                    "the gateway took no batch ({reason}); trying again"
                ));
                told = true;
            }
            tokio::time::sleep(wait).await;
            backoff = (backoff * 2).min(BACKOFF_LONGEST);
        }
    }

    async fn attempt(&self, batch: &Batch) -> Attempt {
        let destination = &self.destination;
        let mut url = destination.url.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/api/v2/write"));
        let mut request = self
            .client
            .post(url)
            .query(&[
                ("org", destination.org.as_str()),
                ("bucket", destination.bucket.as_str()),
                ("precision", destination.precision),
            ])
            .header(CONTENT_TYPE, "text/plain; charset=utf-8")
            .header(CONTENT_ENCODING, "gzip")
            .body(batch.body.clone());
        if let Some(token) = &destination.token {
            request = request.header(AUTHORIZATION, format!("Token {}", token.0));
        }
        match request.send().await {
            Ok(response) if response.status().is_success() => Attempt::Taken,
            Ok(response) => self.refusal(response).await,
            Err(error) => Attempt::Later {
                reason: innermost(&error),
                wait: None,
            },
        }
    }

    async fn refusal(&self, response: reqwest::Response) -> Attempt {
        let status = response.status();
        let wait = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        let message = message_of(&response.text().await.unwrap_or_default());
        let hint = match status.as_u16() {
            400 | 422 => {
                return Attempt::Failed(PushError::LinesRefused { status, message });
            }
            429 | 500..=599 => {
                return Attempt::Later {
                    reason: format!("{status}: {message}"),
                    wait,
                };
            }
            401 => "; give a token with --token or HEADROOM_TOKEN",
            403 => "; give a token with the scope write",
            404 => "; is --gateway-url a gateway, and does the bucket exist?",
            413 => "; give a smaller --batch-lines",
            _ => "",
        };
        Attempt::Failed(PushError::RequestRefused {
            url: self.destination.url.to_string(),
            status,
            message,
            hint,
        })
    }

    /// Pushes all batches that come, several at a time, until there are no more or the run is cancelled.
    ///
    /// # Errors
    ///
    /// The first failure that would meet every other batch too.
    ///
    /// # Panics
    ///
    /// Where a push panicked.
    pub async fn push_all(
        &self,
        mut batches: mpsc::Receiver<Batch>,
        progress: &Arc<Progress>,
        cancelled: &CancellationToken,
    ) -> Result<Summary, PushError> {
        let mut summary = Summary::default();
        let mut flying = JoinSet::new();
        loop {
            if flying.len() >= self.destination.in_flight
                && let Some(landed) = flying.join_next().await
            {
                summary.count(landed.expect("a push does not panic"), progress)?;
            }
            let batch = tokio::select! {
                () = cancelled.cancelled() => None,
                batch = batches.recv() => batch,
            };
            let Some(batch) = batch else { break };
            let (gateway, progress) = (self.clone(), Arc::clone(progress));
            flying.spawn(async move {
                let outcome = gateway.push(&batch, &progress).await;
                (batch, outcome)
            });
        }
        while let Some(landed) = flying.join_next().await {
            summary.count(landed.expect("a push does not panic"), progress)?;
        }
        Ok(summary)
    }
}

impl Summary {
    fn count(
        &mut self,
        (batch, outcome): (Batch, Result<(), PushError>),
        progress: &Progress,
    ) -> Result<(), PushError> {
        self.batches += 1;
        self.bytes += batch.body.len() as u64;
        match outcome {
            Ok(()) => self.lines += batch.lines,
            Err(error @ PushError::LinesRefused { .. }) => {
                self.refused_batches += 1;
                if self.refusals.len() < REFUSALS_KEPT {
                    self.refusals.push(error.to_string());
                }
            }
            Err(error) => return Err(error),
        }
        progress.advance(batch.lines);
        Ok(())
    }
}

/// Takes the words out of a JSON answer of either dialect, or the text as it is, shortened.
fn message_of(body: &str) -> String {
    #[derive(serde::Deserialize)]
    struct Answer {
        #[serde(alias = "error", alias = "detail")]
        message: String,
    }
    let message =
        serde_json::from_str::<Answer>(body).map_or(body.trim().to_owned(), |a| a.message);
    if message.is_empty() {
        return "no reason given".to_owned();
    }
    message.chars().take(500).collect()
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateways_words_are_found_in_either_dialect() {
        assert_eq!(
            message_of(r#"{"error":"partial write: x"}"#),
            "partial write: x"
        );
        assert_eq!(message_of(r#"{"code":"invalid","message":"y"}"#), "y");
        assert_eq!(message_of("plain\n"), "plain");
        assert_eq!(message_of(""), "no reason given");
    }
}
