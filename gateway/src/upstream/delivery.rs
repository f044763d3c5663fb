//! The way of one load: until every line of it is taken, or refused for its content.
//!
//! A batch that the server refuses for its content is halved until the refused lines stand alone; these become rejects, so that
//! nothing behind them waits. So do lines for a bucket that is missing and that the server refuses to make. Everything else is
//! tried again until it succeeds.

use std::{io::Write, ops::Range, sync::atomic::Ordering, time::Duration};

use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use tokio::{
    sync::SemaphorePermit,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{
    Upstream, Version,
    bucket::BucketError,
    lanes::Numbered,
    outgoing::{Outgoing, Piece},
    requests::Requests,
    shipment::{Load, Shipment, TEXT_MAX_BYTES},
    write::{Answer, Payload},
};
use crate::{
    body::{self, BodyError, Encoding},
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
/// A bucket that a client names is given up when the server has refused to make it so often in a row.
const BUCKET_REFUSALS: u32 = 5;
/// Clients name buckets: of more than these the refusals are counted anew.
const REFUSED_BUCKETS_MAX: usize = 1000;

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
    /// Their bucket is missing, and the server refuses to make it; its words.
    NoBucket(String),
    /// The server does not take them now, and the gateway stops.
    Stopped,
}

/// The gateway stops before every line is taken or refused.
struct Stopped;

impl Delivery {
    /// Delivers a load; answers its batches, or `None` if the gateway stops first. Whatever is logged meanwhile names their
    /// requests.
    pub(super) async fn run(self, load: Load, version: Version) -> Option<Vec<Numbered>> {
        let requests = Requests(load.batches());
        let span = tracing::warn_span!("delivery", %requests);
        self.deliver_load(load, version).instrument(span).await
    }

    async fn deliver_load(&self, load: Load, version: Version) -> Option<Vec<Numbered>> {
        let destination = self.upstream.name();
        tracing::debug!(
            destination,
            batches = load.batches().len(),
            "batches are sent"
        );
        let (delivered, batches) = match load {
            Load::Together(shipment) => (self.ship(&shipment, version).await, shipment.batches),
            Load::Rewritten(batch) => (self.deliver(&batch, version).await, vec![batch]),
        };
        delivered.ok()?;
        for (sequence, batch) in &batches {
            let request = &batch.provenance.request_id;
            tracing::debug!(destination, sequence, request, "a batch is delivered");
        }
        Some(batches)
    }

    /// Sends batches as they came; where the server refuses one of their lines, they go line by line.
    async fn ship(&self, shipment: &Shipment, version: Version) -> Result<(), Stopped> {
        let sent = self
            .send(&shipment.bucket, shipment.precision, shipment.payload())
            .await;
        match sent {
            Ok(()) => self.counts.lines.inc_by(shipment.lines),
            Err(Unsent::Stopped) => return Err(Stopped),
            Err(Unsent::Refused(_) | Unsent::NoBucket(_)) => {
                for batch in &shipment.batches {
                    self.deliver(batch, version).await?;
                }
            }
        }
        Ok(())
    }

    /// Sends a batch until every line of it is taken or refused for its content.
    async fn deliver(&self, numbered: &Numbered, version: Version) -> Result<(), Stopped> {
        let (sequence, batch) = numbered;
        let (body, _alone) = match self.unpack(batch).await? {
            Ok(unpacked) => unpacked,
            Err(error) => {
                let request = &batch.provenance.request_id;
                tracing::error!(sequence, request, %error, "a journalled batch cannot be decompressed and is passed over; check the disk");
                return Ok(());
            }
        };
        let mut outgoing = Outgoing::new(batch, body, version, TEXT_MAX_BYTES);
        while let Some(piece) = outgoing.next_piece() {
            self.deliver_piece(*sequence, batch, &piece).await?;
        }
        Ok(())
    }

    /// Unpacks a batch. One that is larger than a request is unpacked while no other such is in memory.
    async fn unpack(
        &self,
        batch: &Batch,
    ) -> Result<Result<(Bytes, Option<SemaphorePermit<'_>>), BodyError>, Stopped> {
        if batch.encoding == Encoding::Identity {
            return Ok(Ok((batch.body.clone(), None)));
        }
        if let Ok(text) = body::decode(&batch.body, TEXT_MAX_BYTES as u64) {
            return Ok(Ok((text.into(), None)));
        }
        let alone = self.upstream.0.unpacking.acquire();
        let Some(alone) = self.stop.run_until_cancelled(alone).await else {
            return Err(Stopped);
        };
        let packed = batch.body.clone();
        let unpacked =
            tokio::task::spawn_blocking(move || body::decode(&packed, u64::from(u32::MAX))).await;
        let text = unpacked.unwrap_or(Err(BodyError::Panicked));
        Ok(text.map(|text| (text.into(), alone.ok())))
    }

    /// Sends lines of a batch until each is taken or refused for its content.
    async fn deliver_piece(
        &self,
        sequence: u64,
        batch: &Batch,
        piece: &Piece,
    ) -> Result<(), Stopped> {
        let bucket = self.upstream.bucket_of(batch);
        // The parts still to send, the first one last.
        let mut parts = Vec::from([Range {
            start: 0,
            end: piece.len(),
        }]);
        while let Some(part) = parts.pop() {
            let payload = self.encoded(piece.text(part.clone()));
            match self.send(&bucket, piece.precision, payload).await {
                Ok(()) => self.counts.lines.inc_by(part.len() as u64),
                Err(Unsent::Stopped) => return Err(Stopped),
                Err(Unsent::Refused(message))
                    if part.len() > 1 && !refuses_all(&message, part.len()) =>
                {
                    let middle = part.start + part.len() / 2;
                    parts.push(middle..part.end);
                    parts.push(part.start..middle);
                }
                Err(Unsent::Refused(message) | Unsent::NoBucket(message)) => {
                    self.leave(sequence, batch, piece, part, &message).await;
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
                    self.upstream.0.refused_buckets.lock().remove(bucket);
                    self.report(None);
                    return Ok(());
                }
                Answer::ContentRefused(message) => {
                    self.report(None);
                    return Err(Unsent::Refused(message));
                }
                Answer::BucketMissing => match self.upstream.ensure_bucket(bucket).await {
                    Ok(()) => ("the bucket was missing and is made".to_owned(), None),
                    Err(BucketError::Refused(words)) => {
                        let reason =
                            format!("the server refuses to make the bucket {bucket:?}: {words}");
                        if self.gives_up(bucket, payload.size_bytes()) {
                            return Err(Unsent::NoBucket(reason));
                        }
                        (reason, None)
                    }
                    Err(BucketError::Later(reason)) => {
                        (format!("the bucket {bucket:?} is missing: {reason}"), None)
                    }
                },
                Answer::Later { reason, after } => (reason, after),
            };
            tracing::debug!(
                destination = self.upstream.name(),
                reason,
                "a request is tried again"
            );
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

    /// Counts a refusal to make a bucket, and says whether lines for it are set aside. A bucket that the settings name is waited
    /// for, for nothing goes elsewhere; so is any where rejects have no room for the lines without losing others.
    fn gives_up(&self, bucket: &str, size_bytes: usize) -> bool {
        if self.upstream.0.settings.bucket.is_some() {
            return false;
        }
        let mut refused_buckets = self.upstream.0.refused_buckets.lock();
        if refused_buckets.len() >= REFUSED_BUCKETS_MAX && !refused_buckets.contains_key(bucket) {
            refused_buckets.clear();
        }
        let refusals = refused_buckets.entry(bucket.to_owned()).or_default();
        *refusals = refusals.saturating_add(1);
        *refusals >= BUCKET_REFUSALS && self.rejects.has_room(size_bytes)
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

    /// Makes rejects, with the server's words, of lines that the server will not take; counts and logs them.
    async fn leave(
        &self,
        sequence: u64,
        batch: &Batch,
        piece: &Piece,
        part: Range<usize>,
        message: &str,
    ) {
        let source = Source {
            client: batch.provenance.client.clone(),
            peer: batch.provenance.peer.clone(),
            database: batch.database.clone(),
            retention_policy: batch.retention_policy.clone(),
            precision: piece.precision,
            received_ns: batch.received_ns,
        };
        let count = part.len() as u64;
        let refusal = Refusal::whole(Rule::Upstream, message.to_owned());
        self.rejects
            .keep(
                source,
                self.upstream.name(),
                &refusal,
                piece.lines(part.clone()),
            )
            .await;
        self.counts.lines_rejected.inc_by(count);
        self.metrics
            .lines_rejected
            .with_label_values(&[Rule::Upstream.code()])
            .inc_by(count);
        // The server's message repeats the line; what stands before its first quote does not.
        let reason = message.split(['\'', '"']).next().unwrap_or_default();
        tracing::warn!(
            destination = self.upstream.name(),
            sequence,
            request = batch.provenance.request_id,
            lines = count,
            first_line = piece.lines(part).next().map(|(number, _)| number),
            reason = reason_of(message).unwrap_or(reason),
            "InfluxDB refused lines; they are kept as rejects"
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

/// Says whether a server that takes the good lines of a request, and says how many it dropped, dropped all of them.
fn refuses_all(message: &str, lines: usize) -> bool {
    let dropped = message.split_once("dropped=").map(|(_, count)| count);
    let digits = |count: &str| {
        count
            .split(|letter: char| !letter.is_ascii_digit())
            .next()?
            .parse()
            .ok()
    };
    dropped.and_then(digits) == Some(lines)
}

/// The kind of refusal, in words that hold nothing of the line.
fn reason_of(message: &str) -> Option<&'static str> {
    [
        ("field type conflict", "field type conflict"),
        ("beyond retention policy", "older than the retention policy"),
        ("unable to parse", "unable to parse"),
        ("too large", "too large"),
        (
            "refuses to make the bucket",
            "its bucket is missing and cannot be made",
        ),
    ]
    .into_iter()
    .find_map(|(word, reason)| message.contains(word).then_some(reason))
}

/// Pauses that grow, each with jitter, so that many gateways do not come back at once.
pub(super) fn pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(PAUSE_LEAST)
        // Jitter adds as much again at most.
        .with_max_delay(PAUSE_MOST / 2)
        .with_jitter()
        .without_max_times()
        .build()
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, iter::successors};

    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_without_an_end_and_no_two_gateways_pause_alike() {
        let doubled = successors(Some(PAUSE_LEAST), |pause| {
            Some((*pause * 2).min(PAUSE_MOST / 2))
        });
        for (pause, least) in pauses().zip(doubled).take(100) {
            assert!(
                pause >= least && pause <= least * 2,
                "{pause:?} after {least:?}"
            );
        }
        let first: HashSet<_> = (0..20).filter_map(|_| pauses().next()).collect();
        assert!(first.len() > 1, "jitter tells gateways apart: {first:?}");
        assert!(pauses().nth(1000).is_some());
    }
}
