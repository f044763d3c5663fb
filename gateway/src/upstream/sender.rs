//! The one reader of the journal in InfluxDB mode.
//!
//! A batch that the server refuses for its content is halved until the refused lines stand alone; these are counted,
//! logged and left, so that nothing behind them waits. Everything else is tried again until it succeeds.

use std::{
    ops::Range,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{BUCKET_DEFAULT, Upstream, outgoing::Outgoing, write::Answer};
use crate::{
    journal::{Batch, Journal},
    lines::Rule,
    metrics::Metrics,
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
    metrics: Arc<Metrics>,
    saved_at: Instant,
}

impl Upstream {
    /// Delivers the journal until the token is cancelled.
    pub async fn send_until(
        self,
        journal: Journal,
        metrics: Arc<Metrics>,
        stop: CancellationToken,
    ) {
        let mut sender = Sender {
            upstream: self,
            journal,
            metrics,
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
            match reader.next().await {
                Ok(Some((sequence, batch))) => {
                    self.deliver(sequence, &batch).await;
                    self.upstream
                        .0
                        .sent_through
                        .store(sequence, Ordering::Release);
                    let lag = self.journal.last_sequence().saturating_sub(sequence);
                    self.metrics.upstream_lag_batches.set(lag as i64);
                    self.save(lag == 0);
                }
                Ok(None) => return,
                Err(error) => {
                    tracing::error!(%error, "the journal cannot be read; it is tried again");
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
    async fn deliver(&mut self, sequence: u64, batch: &Batch) {
        let version = loop {
            match self.upstream.version().await {
                Ok(version) => break version,
                Err(reason) => {
                    self.report(Some(reason));
                    sleep(PAUSE_MOST).await;
                }
            }
        };
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
            match self.send(&bucket, &outgoing, part.clone()).await {
                Ok(()) => self.metrics.upstream_lines.inc_by(part.len() as u64),
                Err(_) if part.len() > 1 => {
                    let middle = part.start + part.len() / 2;
                    parts.push(middle..part.end);
                    parts.push(part.start..middle);
                }
                Err(message) => self.leave(sequence, part.start, &message),
            }
        }
    }

    /// Sends lines until the server takes them, or refuses them for their content.
    async fn send(
        &mut self,
        bucket: &str,
        outgoing: &Outgoing,
        part: Range<usize>,
    ) -> Result<(), String> {
        let mut pauses = pauses();
        loop {
            let text = outgoing.text(part.clone());
            let (reason, after) = match self.upstream.write(bucket, outgoing.precision, text).await
            {
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
