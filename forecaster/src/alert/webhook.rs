//! Delivers alerts to a receiver: JSON by POST, signed, tried again until it is taken.
//!
//! ```text
//! X-Headroom-Alert-Id: 42
//! X-Headroom-Timestamp: 1767225600
//! X-Headroom-Signature: sha256=HEX(HMAC-SHA256(secret, timestamp + "." + body))
//! ```
//!
//! A receiver checks the signature over the bytes that came, and may refuse an old timestamp. Any 2xx is taken as
//! received. A try that fails is followed by others after 10 s, 20 s, 40 s … up to 15 minutes; after
//! [`ATTEMPTS_MAX`] of them the alert is given up and stays in the list as `failed`.

use std::{sync::Arc, time::Duration};

use hmac::{Hmac, KeyInit, Mac};
use reqwest::header;
use serde::Serialize;
use sha2::Sha256;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    Alert, Delivery, LikelyCrossing,
    ledger::{Ledger, LedgerError},
};
use crate::{clock::Clock, config::WebhookSettings};

/// Two hours and a half of trying, which outlives most outages of a receiver.
pub const ATTEMPTS_MAX: u32 = 16;
/// The wait after the first failure.
const WAIT_FIRST_S: i64 = 10;
/// The longest wait between two tries.
const WAIT_LONGEST_S: i64 = 900;
/// A receiver that needs longer should queue.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How often the ledger is looked through when nobody rings.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// Alerts that are delivered in one look.
const LOOK_MAX: u32 = 100;

/// The body of a message.
#[derive(Debug, Serialize)]
struct Message<'a> {
    kind: &'static str,
    id: i64,
    raised_at: String,
    #[serde(rename = "message")]
    sentence: String,
    #[serde(flatten)]
    crossing: &'a LikelyCrossing,
}

/// Sends what the ledger says is due.
pub struct Webhook {
    settings: WebhookSettings,
    http: reqwest::Client,
    ledger: Arc<Ledger>,
    clock: Arc<dyn Clock>,
    bell: Arc<Notify>,
}

impl Webhook {
    /// Makes the sender; nothing is sent yet. The bell wakes it.
    ///
    /// # Errors
    ///
    /// When the system has no usable TLS settings.
    pub fn new(
        settings: WebhookSettings,
        ledger: Arc<Ledger>,
        clock: Arc<dyn Clock>,
        bell: Arc<Notify>,
    ) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self {
            settings,
            http,
            ledger,
            clock,
            bell,
        })
    }

    /// Delivers until it is cancelled.
    pub async fn run(self, cancelled: CancellationToken) {
        loop {
            if let Err(error) = self.deliver_due().await {
                tracing::error!(%error, "alerts cannot be delivered");
            }
            tokio::select! {
                () = cancelled.cancelled() => return,
                () = self.bell.notified() => {}
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
        }
    }

    async fn deliver_due(&self) -> Result<(), LedgerError> {
        for alert in self.ledger.due(self.clock.now_s(), LOOK_MAX)? {
            let outcome = self.deliver(&alert).await;
            let attempts = alert.attempts + 1;
            let (delivery, error) = match outcome {
                Ok(()) => (Delivery::Delivered, None),
                Err(error) if attempts >= ATTEMPTS_MAX => (Delivery::Failed, Some(error)),
                Err(error) => (Delivery::Pending, Some(error)),
            };
            let (id, metric) = (alert.id, &alert.crossing.metric);
            let host = &alert.crossing.host;
            match &error {
                None => tracing::info!(id, %host, %metric, "alert delivered"),
                Some(error) => {
                    tracing::warn!(id, %host, %metric, attempts, %error, "alert not delivered");
                }
            }
            let next_s = self.clock.now_s() + wait_s(attempts);
            self.ledger
                .note_attempt(alert.id, delivery, error.as_deref(), next_s)?;
        }
        Ok(())
    }

    async fn deliver(&self, alert: &Alert) -> Result<(), String> {
        let body = serde_json::to_vec(&Message {
            kind: "threshold_crossing",
            id: alert.id,
            raised_at: alert.raised_at.to_rfc3339(),
            sentence: alert.crossing.sentence(),
            crossing: &alert.crossing,
        })
        .map_err(|error| error.to_string())?;
        let timestamp = self.clock.now_s().to_string();
        let mut request = self
            .http
            .post(self.settings.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header("x-headroom-alert-id", alert.id)
            .header("x-headroom-timestamp", &timestamp);
        if let Some(secret) = &self.settings.secret {
            let signature = signature(secret.expose().as_bytes(), &timestamp, &body);
            request = request.header("x-headroom-signature", signature);
        }
        let response =
            request.body(body).send().await.map_err(|error| {
                format!("the receiver cannot be reached: {}", error.without_url())
            })?;
        let status = response.status();
        if status.is_success() {
            Ok(())
        } else {
            Err(format!(
                "the receiver answered {status}; any 2xx is taken as received"
            ))
        }
    }
}

fn wait_s(attempts: u32) -> i64 {
    WAIT_FIRST_S
        .saturating_mul(1_i64 << attempts.saturating_sub(1).min(20))
        .min(WAIT_LONGEST_S)
}

/// Signs a body as the module's head says.
fn signature(secret: &[u8], timestamp: &str, body: &[u8]) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret).expect("a key of HMAC may have any length");
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_what_openssl_makes() {
        // printf '1767225600.{"id":1}' | openssl dgst -sha256 -hmac secret
        assert_eq!(
            signature(b"secret", "1767225600", br#"{"id":1}"#),
            "sha256=97b5e286e0787bc828806008c500155f0522c15d4e9d491274c2baaf04c4dd8e"
        );
    }

    #[test]
    fn waits_double_up_to_a_quarter_of_an_hour() {
        assert_eq!([1, 2, 3, 7, 8, 16].map(wait_s), [10, 20, 40, 640, 900, 900]);
    }
}
