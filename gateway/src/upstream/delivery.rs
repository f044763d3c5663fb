//! The way of one load: until every line of it is taken, or refused for its content.
//!
//! A batch that the server refuses for its content is halved until the refused lines stand alone; these are counted,
//! logged and left, so that nothing behind them waits. Everything else is tried again until it succeeds.

use std::{io::Write, ops::Range, sync::atomic::Ordering, time::Duration};

use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{
    Upstream, Version,
    lanes::Numbered,
    outgoing::Outgoing,
    shipment::{Load, Shipment},
    write::{Answer, Payload},
};
use crate::{
    body::Encoding,
    config::OwnEncoding,
    journal::Batch,
    lines::{Precision, Refusal, Rule},
    metrics::{Destination, Metrics},
    rejects::{Rejects, Source},
};

/// The pauses between tries grow from this …
const PAUSE_LEAST: Duration = Duration::from_millis(250);
/// … to this: an InfluxDB that is back is noticed within the time of one push.
pub(super) const PAUSE_MOST: Duration = Duration::from_secs(10);

/// What a load needs on its way.
#[derive(Clone)]
pub(super) struct Delivery {
    pub(super) upstream: Upstream,
    pub(super) rejects: Rejects,
    pub(super) metrics: std::sync::Arc<Metrics>,
    pub(super) counts: Destination,
    /// Once it is cancelled, nothing is tried again; what is on its way is waited for.
    pub(super) stop: CancellationToken,
}

/// Why lines were not sent.
enum Unsent {
    /// The server will never take one of them; its words.
    Refused(String),
    /// The server does not take them now, and the gateway stops.
    Stopped,
}

/// The gateway stops before every line is taken or refused.
struct Stopped;

impl Delivery {
    /// Delivers a load; answers its batches, or `None` if the gateway stops first.
    pub(super) async fn run(self, load: Load, version: Version) -> Option<Vec<Numbered>> {
        let (delivered, batches) = match load {
            Load::Together(shipment) => (self.ship(&shipment, version).await, shipment.batches),
            Load::Rewritten((sequence, batch)) => (
                self.deliver(sequence, &batch, version).await,
                vec![(sequence, batch)],
            ),
        };
        delivered.is_ok().then_some(batches)
    }

    /// Sends batches as they came; where the server refuses one of their lines, they go line by line.
    async fn ship(&self, shipment: &Shipment, version: Version) -> Result<(), Stopped> {
        let sent = self
            .send(&shipment.bucket, shipment.precision, shipment.payload())
            .await;
        match sent {
            Ok(()) => self.counts.lines.inc_by(shipment.lines),
            Err(Unsent::Stopped) => return Err(Stopped),
            Err(Unsent::Refused(_)) => {
                for (sequence, batch) in &shipment.batches {
                    self.deliver(*sequence, batch, version).await?;
                }
            }
        }
        Ok(())
    }

    /// Sends a batch until every line of it is taken or refused for its content.
    async fn deliver(&self, sequence: u64, batch: &Batch, version: Version) -> Result<(), Stopped> {
        let outgoing = match Outgoing::of(batch, version) {
            Ok(outgoing) => outgoing,
            Err(error) => {
                tracing::error!(sequence, %error, "a journalled batch cannot be decompressed and is passed over; check the disk");
                return Ok(());
            }
        };
        let bucket = self.upstream.bucket_of(batch);
        // The parts still to send, the first one last.
        let mut parts = Vec::from([Range {
            start: 0,
            end: outgoing.len(),
        }]);
        while let Some(part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            let payload = self.encoded(outgoing.text(part.clone()));
            match self.send(&bucket, outgoing.precision, payload).await {
                Ok(()) => self.counts.lines.inc_by(part.len() as u64),
                Err(Unsent::Stopped) => return Err(Stopped),
                Err(Unsent::Refused(_)) if part.len() > 1 => {
                    let middle = part.start + part.len() / 2;
                    parts.push(middle..part.end);
                    parts.push(part.start..middle);
                }
                Err(Unsent::Refused(message)) => {
                    let line = outgoing.text(part.clone()).trim_ascii_end();
                    self.keep(batch, outgoing.precision, part.start, &message, line)
                        .await;
                    self.leave(sequence, part.start, &message);
                }
            }
        }
        Ok(())
    }

    /// Text of our own, encoded as the settings want it.
    fn encoded(&self, text: &[u8]) -> Payload {
        let packed = match self.upstream.0.settings.encoding {
            OwnEncoding::Identity => None,
            OwnEncoding::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                let written = encoder.write_all(text);
                written.and_then(|()| encoder.finish()).ok()
            }
        };
        let (encoding, bytes) = match packed {
            Some(packed) => (Encoding::Gzip, Bytes::from(packed)),
            None => (Encoding::Identity, Bytes::copy_from_slice(text)),
        };
        Payload {
            encoding,
            chunks: vec![bytes],
        }
    }

    /// Sends lines until the server takes them, or refuses them for their content. A request is never broken off: the server
    /// may have it, and would apply it after what comes later.
    async fn send(
        &self,
        bucket: &str,
        precision: Precision,
        payload: Payload,
    ) -> Result<(), Unsent> {
        let mut pauses = pauses();
        loop {
            self.unless_stopped(self.keep_quiet()).await?;
            self.counts.in_flight.inc();
            let answer = self
                .upstream
                .write(bucket, precision, payload.clone())
                .await;
            self.counts.in_flight.dec();
            let (reason, after) = match answer {
                Answer::Taken => {
                    self.report(None);
                    return Ok(());
                }
                Answer::ContentRefused(message) => {
                    self.report(None);
                    return Err(Unsent::Refused(message));
                }
                Answer::BucketMissing => match self.upstream.ensure_bucket(bucket).await {
                    Ok(()) => ("the bucket was missing and is made".to_owned(), None),
                    Err(reason) => (format!("the bucket {bucket:?} is missing: {reason}"), None),
                },
                Answer::Later { reason, after } => (reason, after),
            };
            self.report(Some(reason));
            self.counts.retries.inc();
            if let Some(after) = after {
                let mut quiet_until = self.upstream.0.quiet_until.lock();
                *quiet_until = (*quiet_until).max(Some(Instant::now() + after));
            }
            self.unless_stopped(sleep(pauses.next().unwrap_or(PAUSE_MOST)))
                .await?;
        }
    }

    /// Waits for something that is given up when the gateway stops.
    async fn unless_stopped(&self, wait: impl Future<Output = ()>) -> Result<(), Unsent> {
        let waited = self.stop.run_until_cancelled(wait).await;
        waited.ok_or(Unsent::Stopped)
    }

    /// Waits for as long as the server asked to be left alone, whichever request it said so to.
    async fn keep_quiet(&self) {
        loop {
            let quiet_until = *self.upstream.0.quiet_until.lock();
            match quiet_until {
                Some(until) if until > Instant::now() => sleep_until(until).await,
                _ => return,
            }
        }
    }

    /// Makes a reject, with the server's words, of a line that the server will never take.
    async fn keep(
        &self,
        batch: &Batch,
        precision: Precision,
        index: usize,
        message: &str,
        line: &[u8],
    ) {
        let source = Source {
            client: String::new(),
            peer: String::new(),
            database: batch.database.clone(),
            retention_policy: batch.retention_policy.clone(),
            precision,
            received_ns: batch.received_ns,
        };
        let refusal = Refusal::whole(Rule::Upstream, message.to_owned());
        self.rejects.keep(source, index + 1, &refusal, line).await;
    }

    /// Counts and logs a line that the server will never take.
    fn leave(&self, sequence: u64, index: usize, message: &str) {
        self.counts.lines_rejected.inc();
        self.metrics
            .lines_rejected
            .with_label_values(&[Rule::Upstream.code()])
            .inc();
        // The server's message repeats the line; what stands before its first quote does not.
        let reason = message.split(['\'', '"']).next().unwrap_or_default();
        tracing::warn!(
            destination = self.upstream.name(),
            sequence,
            line = index + 1,
            reason = reason_of(message).unwrap_or(reason),
            "InfluxDB refused a line for its content; it is left out"
        );
    }

    /// Notes whether the server takes batches, and logs the change.
    pub(super) fn report(&self, trouble: Option<String>) {
        self.counts.up.set(i64::from(trouble.is_none()));
        let mut current = self.upstream.0.trouble.lock();
        if *current != trouble {
            let destination = self.upstream.name();
            if let Some(reason) = &trouble {
                tracing::warn!(
                    destination,
                    reason,
                    behind = self.counts.lag_batches.get(),
                    "InfluxDB does not take batches; they wait in the journal"
                );
            } else {
                tracing::info!(destination, "InfluxDB takes batches");
            }
            *current = trouble;
        }
    }

    /// Notes how far delivery has come.
    pub(super) fn arrived_through(&self, sequence: u64, oldest_ns: Option<i64>) {
        let inner = &self.upstream.0;
        inner.sent_through.store(sequence, Ordering::Release);
        inner
            .oldest_ns
            .store(oldest_ns.unwrap_or_default(), Ordering::Relaxed);
    }
}

/// The kind of refusal, in words that hold nothing of the line.
fn reason_of(message: &str) -> Option<&'static str> {
    [
        ("field type conflict", "field type conflict"),
        ("beyond retention policy", "older than the retention policy"),
        ("unable to parse", "unable to parse"),
        ("too large", "too large"),
    ]
    .into_iter()
    .find_map(|(word, reason)| message.contains(word).then_some(reason))
}

/// Pauses that grow, each with jitter, so that many gateways do not come back at once.
pub(super) fn pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(PAUSE_LEAST)
        .with_max_delay(PAUSE_MOST)
        .with_jitter()
        .without_max_times()
        .build()
}
