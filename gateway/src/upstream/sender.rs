//! The one reader of the journal in InfluxDB mode.
//!
//! Batches that may be sent as they came travel together, as many as are waiting and fit into one request, in the journal's order;
//! the others go one by one, their accepted lines rewritten. A batch that the server refuses for its content is halved until the refused lines stand alone; these are counted,
//! logged and left, so that nothing behind them waits. Everything else is tried again until it succeeds.

use std::{
    ops::Range,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::Bytes;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{
    BUCKET_DEFAULT, Upstream, Version, outgoing::Outgoing, shipment::Shipment, write::Answer,
};
use crate::{
    journal::{Batch, Encoding, Journal, Reader},
    lines::{Precision, Refusal, Rule},
    metrics::Metrics,
    rejects::{Rejects, Source},
};

/// The pauses between tries grow from this …
const PAUSE_LEAST: Duration = Duration::from_millis(250);
/// … to this: an InfluxDB that is back is noticed within the time of one push.
const PAUSE_MOST: Duration = Duration::from_secs(10);
/// Under load the position is written this often; a crash repeats what came after.
const POSITION_EVERY: Duration = Duration::from_secs(1);

/// The sender's loop and what it carries along.
struct Sender {
    upstream: Upstream,
    journal: Journal,
    rejects: Rejects,
    metrics: Arc<Metrics>,
    /// A batch that was read and did not fit into the last request.
    waiting: Option<(u64, Batch)>,
    saved_at: Instant,
}

impl Upstream {
    /// Delivers the journal until the token is cancelled.
    pub async fn send_until(
        self,
        journal: Journal,
        rejects: Rejects,
        metrics: Arc<Metrics>,
        stop: CancellationToken,
    ) {
        let mut sender = Sender {
            upstream: self,
            journal,
            rejects,
            metrics,
            waiting: None,
            saved_at: Instant::now(),
        };
        stop.run_until_cancelled(sender.run()).await;
        sender.save(true);
    }
}

impl Sender {
    async fn run(&mut self) {
        self.make_bucket_at_start().await;
        let mut reader = self.journal.reader(self.upstream.sent_through() + 1);
        loop {
            let read = match self.waiting.take() {
                Some(waiting) => Ok(Some(waiting)),
                None => reader.next().await,
            };
            match read {
                Ok(Some((sequence, batch))) => {
                    let version = self.version().await;
                    let sequence = if Shipment::takes(&batch, version) {
                        let shipment = Shipment::begin(&self.upstream, sequence, batch);
                        let shipment = self.fill(shipment, version, &mut reader);
                        self.ship(&shipment, version).await;
                        shipment.last_sequence()
                    } else {
                        self.deliver(sequence, &batch, version).await;
                        sequence
                    };
                    self.arrived(sequence);
                }
                Ok(None) => return,
                Err(error) => {
                    tracing::error!(%error, "the journal cannot be read; it is tried again");
                    sleep(PAUSE_MOST).await;
                }
            }
        }
    }

    /// Notes that everything up to a sequence is delivered.
    fn arrived(&mut self, sequence: u64) {
        self.upstream
            .0
            .sent_through
            .store(sequence, Ordering::Release);
        let lag = self.journal.last_sequence().saturating_sub(sequence);
        self.metrics.upstream_lag_batches.set(lag as i64);
        self.save(lag == 0);
    }

    /// Adds what is in the journal by now and fits into the same request; what does not fit waits.
    fn fill(&mut self, mut shipment: Shipment, version: Version, reader: &mut Reader) -> Shipment {
        while shipment.has_room(version) {
            // What cannot be read now is met again, and answered for, by the next turn.
            let Ok(Some((sequence, batch))) = reader.next_committed() else {
                break;
            };
            let left = if Shipment::takes(&batch, version) {
                let next = Shipment::begin(&self.upstream, sequence, batch);
                shipment.join(next).and_then(|mut left| left.batches.pop())
            } else {
                Some((sequence, batch))
            };
            if left.is_some() {
                self.waiting = left;
                break;
            }
        }
        shipment
    }

    /// Sends batches as they came; where the server refuses one of their lines, they go line by line.
    async fn ship(&mut self, shipment: &Shipment, version: Version) {
        let sent = self
            .send(
                &shipment.bucket,
                shipment.precision,
                shipment.encoding,
                shipment.body(),
            )
            .await;
        if sent.is_ok() {
            self.metrics.upstream_lines.inc_by(shipment.lines);
            return;
        }
        for (sequence, batch) in &shipment.batches {
            self.deliver(*sequence, batch, version).await;
        }
    }

    /// The server's version, as soon as it is known.
    async fn version(&mut self) -> Version {
        loop {
            match self.upstream.version().await {
                Ok(version) => return version,
                Err(reason) => {
                    self.report(Some(reason));
                    sleep(PAUSE_MOST).await;
                }
            }
        }
    }

    /// Makes the bucket as soon as the server can be reached, so that queries find it before the first push.
    async fn make_bucket_at_start(&mut self) {
        let bucket = self
            .upstream
            .0
            .settings
            .bucket
            .clone()
            .unwrap_or_else(|| BUCKET_DEFAULT.to_owned());
        let mut pauses = pauses();
        while let Err(reason) = self.upstream.version().await {
            self.report(Some(reason));
            sleep(pauses.next().unwrap_or(PAUSE_MOST)).await;
        }
        match self.upstream.ensure_bucket(&bucket).await {
            Ok(()) => self.report(None),
            Err(reason) => {
                tracing::warn!(
                    bucket,
                    reason,
                    "the bucket could not be made; writes go on without"
                );
            }
        }
    }

    /// Sends a batch until every line of it is taken or refused for its content.
    async fn deliver(&mut self, sequence: u64, batch: &Batch, version: Version) {
        let outgoing = match Outgoing::of(batch, version) {
            Ok(outgoing) => outgoing,
            Err(error) => {
                tracing::error!(sequence, %error, "a journalled batch cannot be decompressed and is passed over; check the disk");
                return;
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
            let text = Bytes::copy_from_slice(outgoing.text(part.clone()));
            let sent = self.send(&bucket, outgoing.precision, Encoding::Identity, text);
            match sent.await {
                Ok(()) => self.metrics.upstream_lines.inc_by(part.len() as u64),
                Err(_) if part.len() > 1 => {
                    let middle = part.start + part.len() / 2;
                    parts.push(middle..part.end);
                    parts.push(part.start..middle);
                }
                Err(message) => {
                    let line = outgoing.text(part.clone()).trim_ascii_end();
                    self.keep(batch, outgoing.precision, part.start, &message, line)
                        .await;
                    self.leave(sequence, part.start, &message);
                }
            }
        }
    }

    /// Sends lines until the server takes them, or refuses them for their content.
    async fn send(
        &mut self,
        bucket: &str,
        precision: Precision,
        encoding: Encoding,
        body: Bytes,
    ) -> Result<(), String> {
        let mut pauses = pauses();
        loop {
            let answer = self
                .upstream
                .write(bucket, precision, encoding, body.clone())
                .await;
            let (reason, after) = match answer {
                Answer::Taken => {
                    self.report(None);
                    return Ok(());
                }
                Answer::ContentRefused(message) => {
                    self.report(None);
                    return Err(message);
                }
                Answer::BucketMissing => match self.upstream.ensure_bucket(bucket).await {
                    Ok(()) => ("the bucket was missing and is made".to_owned(), None),
                    Err(reason) => (format!("the bucket {bucket:?} is missing: {reason}"), None),
                },
                Answer::Later { reason, after } => (reason, after),
            };
            self.report(Some(reason));
            let pause = pauses.next().unwrap_or(PAUSE_MOST);
            sleep(after.map_or(pause, |after| after.max(pause))).await;
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
        self.metrics.upstream_lines_rejected.inc();
        self.metrics
            .lines_rejected
            .with_label_values(&[Rule::Upstream.code()])
            .inc();
        // The server's message repeats the line; what stands before its first quote does not.
        let reason = message.split(['\'', '"']).next().unwrap_or_default();
        tracing::warn!(
            sequence,
            line = index + 1,
            reason = reason_of(message).unwrap_or(reason),
            "InfluxDB refused a line for its content; it is left out"
        );
    }

    /// Notes whether the server takes batches, and logs the change.
    fn report(&self, trouble: Option<String>) {
        self.metrics.upstream_up.set(i64::from(trouble.is_none()));
        let mut current = self.upstream.0.trouble.lock();
        if *current != trouble {
            if let Some(reason) = &trouble {
                tracing::warn!(
                    reason,
                    "InfluxDB does not take batches; they wait in the journal"
                );
            } else {
                tracing::info!("InfluxDB takes batches");
            }
            *current = trouble;
        }
    }

    /// Writes the position and frees what is delivered; under load not after every batch.
    fn save(&mut self, now: bool) {
        if !now && self.saved_at.elapsed() < POSITION_EVERY {
            return;
        }
        self.saved_at = Instant::now();
        let sequence = self.upstream.sent_through();
        match self.upstream.0.position.write(sequence) {
            Ok(()) => self.journal.trim_through(sequence),
            Err(error) => {
                tracing::error!(%error, "the position cannot be written; after a restart batches are sent again");
            }
        }
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

fn pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(PAUSE_LEAST)
        .with_max_delay(PAUSE_MOST)
        .with_jitter()
        .without_max_times()
        .build()
}
