//! A destination's reader of the journal: it reads ahead as far as memory is set aside for it, keeps every lane busy, and notes
//! how far everything is delivered.

use std::{future::pending, pin::pin, sync::Arc};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::time::{Duration, Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    BUCKET_DEFAULT, Upstream, Version,
    delivery::{Delivery, PAUSE_MOST, pauses},
    lanes::{Lanes, Numbered},
    shipment::Load,
};
use crate::{
    journal::{Batch, Journal, JournalError, Place, Reader},
    metrics::Metrics,
    rejects::Rejects,
};

/// Under load the position is written this often; a crash repeats what came after.
const POSITION_EVERY: Duration = Duration::from_secs(1);

/// The sender's loop and what it carries along.
struct Sender {
    delivery: Delivery,
    journal: Journal,
    place: Place,
    lanes: Lanes,
    flights: FuturesUnordered<BoxFuture<'static, (usize, Option<Vec<Numbered>>)>>,
    /// A batch that was read and has to wait for others to arrive.
    waiting: Option<Numbered>,
    /// The last batch that was read.
    read_through: u64,
    saved_at: Instant,
}

impl Upstream {
    /// Delivers the journal until the token is cancelled, and then waits as long as `drain_timeout` for the answers to what is on its
    /// way.
    pub async fn send_until(
        self,
        journal: Journal,
        place: Place,
        rejects: Rejects,
        metrics: Arc<Metrics>,
        drain_timeout: Duration,
        stop: CancellationToken,
    ) {
        let sent_through = self.sent_through();
        let mut sender = Sender {
            place,
            lanes: Lanes::new(self.0.settings.in_flight),
            flights: FuturesUnordered::new(),
            waiting: None,
            read_through: sent_through,
            saved_at: Instant::now(),
            delivery: Delivery {
                counts: metrics.destinations.of(self.name()),
                upstream: self,
                rejects,
                metrics,
                stop: stop.clone(),
            },
            journal,
        };
        stop.run_until_cancelled(sender.run()).await;
        sender.settle(drain_timeout).await;
        sender.save(true);
    }
}

impl Sender {
    async fn run(&mut self) {
        let delivery = self.delivery.clone();
        let mut reaching = pin!(reach_server(&delivery));
        let mut version = None;
        let mut reader = self.journal.reader(self.read_through + 1);
        loop {
            let filled = self.fill(&mut reader);
            if let Err(error) = &filled {
                tracing::error!(%error, "the journal cannot be read; it is tried again");
            }
            while let Some(version) = version
                && let Some(lane) = self.lanes.due()
            {
                self.depart(lane, version);
            }
            self.note_progress();
            let may_read = filled.is_ok() && self.waiting.is_none() && self.lanes.has_room();
            tokio::select! {
                reached = &mut reaching, if version.is_none() => version = Some(reached),
                Some((lane, delivered)) = self.flights.next() => self.landed(lane, delivered),
                // What cannot be read is met again, and answered for, by the next turn.
                Ok(read) = reader.next(), if may_read => match read {
                    Some(read) => self.take(read),
                    None => return,
                },
                () = sleep(PAUSE_MOST), if filled.is_err() => {}
                // The stop has ended every delivery, and ends this.
                else => pending().await,
            }
        }
    }

    /// Reads what is in the journal by now, as far as there is room for it.
    fn fill(&mut self, reader: &mut Reader) -> Result<(), JournalError> {
        if let Some(waiting) = self.waiting.take() {
            self.waiting = self.lanes.offer(waiting).err();
        }
        while self.waiting.is_none() && self.lanes.has_room() {
            match reader.next_committed()? {
                Some(read) => self.take(read),
                None => break,
            }
        }
        Ok(())
    }

    /// Takes a batch in that was read.
    fn take(&mut self, (sequence, mut batch): (u64, Batch)) {
        let missing = sequence - self.read_through - 1;
        if missing > 0 {
            self.delivery.counts.passed_over.inc_by(missing);
            tracing::warn!(
                destination = self.delivery.upstream.name(),
                batches = missing,
                "batches are not in the journal any more and this destination never gets them"
            );
        }
        self.read_through = sequence;
        if self.delivery.upstream.0.settings.bucket.is_none() {
            // In another database it is another series; policies may be one bucket by two names.
            let database = crc32c::crc32c(batch.database.as_bytes());
            for series in &mut batch.series {
                *series ^= database;
            }
        }
        self.waiting = self.lanes.offer((sequence, Box::new(batch))).err();
    }

    /// Sends what a lane has waiting, as much as fits into one request.
    fn depart(&mut self, lane: usize, version: Version) {
        let queue = self.lanes.depart(lane);
        if let Some(load) = Load::take(queue, &self.delivery.upstream, version) {
            let delivery = self.delivery.clone();
            let flight = async move { (lane, delivery.run(load, version).await) };
            self.flights.push(flight.boxed());
        }
    }

    /// Waits for the answers to what is on its way. A server that hangs may yet apply what is broken off here, and then after its
    /// repetition and whatever came behind it.
    async fn settle(&mut self, within: Duration) {
        let answers = async {
            while let Some((lane, delivered)) = self.flights.next().await {
                self.landed(lane, delivered);
            }
        };
        if timeout(within, answers).await.is_err() {
            tracing::warn!(
                destination = self.delivery.upstream.name(),
                requests = self.flights.len(),
                "InfluxDB does not answer in the time that a stop may take; what it was sent is sent again after the next start"
            );
        }
    }

    /// Notes what has become of a load.
    fn landed(&mut self, lane: usize, delivered: Option<Vec<Numbered>>) {
        if let Some(batches) = delivered {
            self.lanes.landed(lane, &batches);
            let sent_through = self.note_progress();
            self.save(sent_through == self.journal.last_sequence());
        }
    }

    /// Notes how far everything is delivered, and since when the oldest of the rest waits; answers the former.
    fn note_progress(&self) -> u64 {
        let waiting = self
            .waiting
            .as_ref()
            .map(|(sequence, batch)| (*sequence, batch.received_ns));
        let oldest = self.lanes.oldest().or(waiting);
        let sent_through = oldest.map_or(self.read_through, |(sequence, _)| sequence - 1);
        self.delivery
            .arrived_through(sent_through, oldest.map(|(_, received_ns)| received_ns));
        sent_through
    }

    /// Writes the position and frees what is delivered; under load not after every batch.
    fn save(&mut self, now: bool) {
        if !now && self.saved_at.elapsed() < POSITION_EVERY {
            return;
        }
        self.saved_at = Instant::now();
        let upstream = &self.delivery.upstream;
        let sequence = upstream.sent_through();
        match upstream.0.position.write(sequence) {
            Ok(()) => self.place.read_through(sequence),
            Err(error) => {
                tracing::error!(destination = upstream.name(), %error, "the position cannot be written; after a restart batches are sent again");
            }
        }
    }
}

/// Makes the bucket as soon as the server can be reached, so that queries find it before the first push; answers the
/// server's version.
async fn reach_server(delivery: &Delivery) -> Version {
    let upstream = &delivery.upstream;
    let mut pauses = pauses();
    let version = loop {
        match upstream.version().await {
            Ok(version) => break version,
            Err(reason) => delivery.report(Some(reason)),
        }
        sleep(pauses.next().unwrap_or(PAUSE_MOST)).await;
    };
    let bucket = upstream
        .0
        .settings
        .bucket
        .as_deref()
        .unwrap_or(BUCKET_DEFAULT);
    match upstream.ensure_bucket(bucket).await {
        Ok(()) => delivery.report(None),
        Err(error) => {
            tracing::warn!(
                destination = upstream.name(),
                bucket,
                %error,
                "the bucket could not be made; writes go on without"
            );
        }
    }
    version
}
