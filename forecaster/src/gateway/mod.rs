//! The gateway's client: InfluxQL in through `/query`, line protocol out through `/api/v2/write`.
//!
//! Every answer is bounded in time and size. What may succeed later is tried again a few times, as patiently as the
//! gateway asks for; points can be written twice without harm, since a later point takes the place of an equal one.

mod error;
pub mod influxql;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use backon::{ExponentialBuilder, Retryable};
use headroom_openapi::query::{QueryAnswer, StatementResult};
use reqwest::{RequestBuilder, Response, StatusCode, header};
use url::{Host, Url};

use crate::config::GatewaySettings;
pub use error::GatewayError;

/// A month of fifty targets is about 20 MB of JSON; what is larger is no answer to a question of ours.
const ANSWER_MAX_BYTES: usize = 256 << 20;
/// As much of an error's body as a message may quote.
const QUOTED_MAX_CHARS: usize = 300;
/// Three tries: a restart of the gateway takes about a second.
const RETRIES: usize = 2;
/// The wait before the first of them.
const RETRY_FIRST: Duration = Duration::from_millis(250);
/// The longest wait between two of them, also when the gateway asks for more.
const RETRY_LONGEST: Duration = Duration::from_secs(5);
/// Time to establish a connection: on loopback and in a data centre far less is usual.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The organisation that writes name; the gateway takes any.
const ORGANISATION: &str = "headroom";

/// A client of one gateway and one database.
pub struct Gateway {
    http: reqwest::Client,
    settings: GatewaySettings,
    answered: AtomicBool,
}

impl Gateway {
    /// Makes the client; nothing is sent yet.
    ///
    /// # Errors
    ///
    /// When the system has no usable TLS settings.
    pub fn new(settings: GatewaySettings) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(settings.timeout)
            .redirect(reqwest::redirect::Policy::none())
            // On one machine packing an answer and unpacking it takes longer than handing it over.
            .gzip(!is_on_this_machine(&settings.url))
            .build()?;
        Ok(Self {
            http,
            settings,
            answered: AtomicBool::new(false),
        })
    }

    /// Says whether the last request was answered.
    #[must_use]
    pub fn is_answering(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// Asks statements in one request and returns their results in the same order. Times are in seconds.
    ///
    /// # Errors
    ///
    /// When the gateway is away, refuses, or one of the statements fails.
    pub async fn query(&self, statements: &[String]) -> Result<Vec<StatementResult>, GatewayError> {
        if statements.is_empty() {
            return Ok(Vec::new());
        }
        let url = self.endpoint("query", &[("db", &self.settings.database), ("epoch", "s")]);
        let text = statements.join("; ");
        let body = self
            .retried(|| self.http.post(url.clone()).form(&[("q", text.as_str())]))
            .await?;
        let answer: QueryAnswer =
            serde_json::from_slice(&body).map_err(|error| self.unreadable(error.to_string()))?;
        if let Some(message) = answer.error {
            return Err(self.refused_statement(text, message));
        }
        for result in &answer.results {
            if let Some(message) = &result.error {
                let statement = statements
                    .get(result.statement_id)
                    .cloned()
                    .unwrap_or_default();
                return Err(self.refused_statement(statement, message.clone()));
            }
        }
        if answer.results.len() == statements.len() {
            Ok(answer.results)
        } else {
            Err(self.unreadable(format!(
                "{} results to {} statements",
                answer.results.len(),
                statements.len()
            )))
        }
    }

    /// Writes line protocol whose times are in seconds.
    ///
    /// # Errors
    ///
    /// When the gateway is away or refuses the lines.
    pub async fn write(&self, lines: Vec<u8>) -> Result<(), GatewayError> {
        if lines.is_empty() {
            return Ok(());
        }
        let bucket = self.settings.database.as_str();
        let url = self.endpoint(
            "api/v2/write",
            &[
                ("bucket", bucket),
                ("org", ORGANISATION),
                ("precision", "s"),
            ],
        );
        let lines = bytes::Bytes::from(lines);
        self.retried(|| {
            self.http
                .post(url.clone())
                .header(header::CONTENT_TYPE, "text/plain; charset=utf-8")
                .body(lines.clone())
        })
        .await
        .map(drop)
    }

    fn endpoint(&self, path: &str, query: &[(&str, &str)]) -> Url {
        let mut url = self.settings.url.clone();
        let prefix = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{prefix}/{path}"));
        url.query_pairs_mut().extend_pairs(query);
        url
    }

    async fn retried(&self, request: impl Fn() -> RequestBuilder) -> Result<Vec<u8>, GatewayError> {
        let backoff = ExponentialBuilder::default()
            .with_min_delay(RETRY_FIRST)
            .with_max_delay(RETRY_LONGEST)
            .with_max_times(RETRIES)
            .with_jitter();
        let outcome = (|| self.once(request()))
            .retry(backoff)
            .when(GatewayError::is_retryable)
            .adjust(|error, wait| {
                wait.map(|wait| {
                    error
                        .retry_after()
                        .map_or(wait, |asked| asked.min(RETRY_LONGEST))
                })
            })
            .await;
        let answered = match &outcome {
            Ok(_) => true,
            Err(error) => !error.is_retryable(),
        };
        self.answered.store(answered, Ordering::Relaxed);
        outcome
    }

    async fn once(&self, request: RequestBuilder) -> Result<Vec<u8>, GatewayError> {
        let request = match &self.settings.token {
            Some(token) => {
                request.header(header::AUTHORIZATION, format!("Token {}", token.expose()))
            }
            None => request,
        };
        let response = request.send().await.map_err(|error| self.away(&error))?;
        let status = response.status();
        let retry_after = retry_after(&response);
        let body = self.body(response).await?;
        if status.is_success() {
            return Ok(body);
        }
        Err(match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => GatewayError::Refused {
                url: self.shown_url(),
                status: status.as_u16(),
            },
            _ => GatewayError::Status {
                url: self.shown_url(),
                status: status.as_u16(),
                message: String::from_utf8_lossy(&body)
                    .chars()
                    .take(QUOTED_MAX_CHARS)
                    .collect(),
                retry_after,
            },
        })
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, GatewayError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.away(&error))? {
            if body.len() + chunk.len() > ANSWER_MAX_BYTES {
                return Err(self.unreadable(format!("more than {ANSWER_MAX_BYTES} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn away(&self, error: &reqwest::Error) -> GatewayError {
        if error.is_timeout() {
            GatewayError::TimedOut {
                url: self.shown_url(),
                timeout_s: self.settings.timeout.as_secs(),
            }
        } else {
            GatewayError::Away {
                url: self.shown_url(),
                reason: innermost(error),
            }
        }
    }

    fn unreadable(&self, reason: String) -> GatewayError {
        GatewayError::Unreadable {
            url: self.shown_url(),
            reason,
        }
    }

    fn refused_statement(&self, statement: String, message: String) -> GatewayError {
        GatewayError::Statement {
            url: self.shown_url(),
            statement,
            message,
        }
    }

    /// The gateway's address, without the credentials that somebody may have put into it.
    #[must_use]
    pub fn shown_url(&self) -> String {
        self.settings.url[..url::Position::BeforeUsername].to_owned()
            + &self.settings.url[url::Position::BeforeHost..url::Position::AfterPath]
    }
}

fn is_on_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response
        .headers()
        .get(header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds))
}

/// The cause that says most: reqwest's own message only names the address again.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
