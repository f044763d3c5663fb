//! One push, from text to durable and visible: judge every line, journal the batch, apply it to the sink.
//!
//! A batch is journalled only if a line of it is accepted; the refused lines' ranges go with it, so that whoever reads
//! the journal passes over the same lines. The points are visible to queries before the push is answered.

mod bounds;
mod converted;
mod replay;
mod verdicts;

use std::{collections::BTreeMap, net::IpAddr, ops::Range, sync::Arc, time::Instant};

use bytes::Bytes;
use tracing::Instrument;

pub use replay::{ReplayError, Replayed, Replayer};

use crate::{
    access::{Client, Grant},
    body::{Encoding, Held},
    guard::{self, Guard},
    journal::{Batch, Journal, JournalError, Provenance},
    lines::{Precision, Refusal, Rule, Scanner},
    metrics::Metrics,
    rejects::{Offered, Rejects, Source},
    sink::Sink,
    store::StoreError,
};
use verdicts::Verdicts;

/// What a client pushed.
#[derive(Debug)]
pub struct Push {
    /// The database.
    pub database: String,
    /// The retention policy; `None`: the database's default.
    pub retention_policy: Option<String>,
    /// The unit of the timestamps.
    pub precision: Precision,
    /// Who pushes; `None` where everybody is trusted.
    pub client: Option<Client>,
    /// To what its lines are bound, if they are.
    pub bound_by: Option<Arc<Grant>>,
    /// The address that it came from.
    pub peer: Option<IpAddr>,
    /// The id of its request.
    pub request_id: String,
    /// When it came.
    pub received_ns: i64,
    /// How the body is encoded.
    pub encoding: Encoding,
    /// The body as it came.
    pub raw: Bytes,
    /// The body decompressed.
    pub text: Bytes,
    /// What it takes of the memory for bodies, until the push is done.
    pub held: Option<Held>,
    /// Whether its lines are rejects already, which are not kept a second time.
    pub is_replay: bool,
}

impl Push {
    fn client_name(&self) -> String {
        self.client
            .as_ref()
            .map_or_else(String::new, |client| client.0.to_string())
    }

    fn peer_text(&self) -> String {
        self.peer.map_or_else(String::new, |peer| peer.to_string())
    }

    fn provenance(&self) -> Provenance {
        Provenance {
            client: self.client_name(),
            peer: self.peer_text(),
            request_id: self.request_id.clone(),
        }
    }

    /// The batch for the journal: the body as it came, or without the letters that have to go. The ranges are those of the
    /// refused lines in the push's text.
    fn batch(
        &self,
        letters: &[u32],
        ranges: Vec<Range<u32>>,
        verbatim_lines: Option<u32>,
        series: Vec<u32>,
    ) -> Batch {
        let (encoding, body, refused) = if letters.is_empty() {
            (self.encoding, self.raw.clone(), ranges)
        } else {
            let (body, moved) = converted::without(&self.text, letters, ranges);
            (Encoding::Identity, body, moved)
        };
        Batch {
            database: self.database.clone(),
            retention_policy: self.retention_policy.clone(),
            precision: self.precision,
            received_ns: self.received_ns,
            provenance: self.provenance(),
            encoding,
            body,
            refused,
            verbatim_lines,
            series,
        }
    }

    fn source(&self) -> Source {
        Source {
            client: self.client_name(),
            peer: self.peer_text(),
            database: self.database.clone(),
            retention_policy: self.retention_policy.clone(),
            precision: self.precision,
            received_ns: self.received_ns,
        }
    }
}

/// A line that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedLine {
    /// Its number in the batch, from 1.
    pub number: usize,
    /// Why.
    pub refusal: Refusal,
}

/// What became of a push.
#[derive(Debug, PartialEq, Eq)]
pub struct Receipt {
    /// How many lines are stored.
    pub accepted: usize,
    /// The lines that are not.
    pub refused: Vec<RefusedLine>,
}

/// Why nothing of a push may be relied on; sending it again is safe.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// It could not be made durable.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// It is durable, and could not be made visible.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The points in memory wait for the store's disk, and are as many as may be.
    #[error("points in memory take {max_bytes} bytes, the limit, until the store has sealed them")]
    StoreFull {
        /// The limit.
        max_bytes: usize,
    },
}

/// The way in.
#[derive(Clone)]
pub struct Ingest {
    journal: Journal,
    sink: Sink,
    rejects: Rejects,
    guard: Arc<Guard>,
    /// Whether batches are sent on as well.
    has_destinations: bool,
    metrics: Arc<Metrics>,
}

impl Ingest {
    /// Joins the parts.
    #[must_use]
    pub fn new(
        journal: Journal,
        sink: Sink,
        guard: Arc<Guard>,
        rejects: Rejects,
        has_destinations: bool,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            journal,
            sink,
            rejects,
            guard,
            has_destinations,
            metrics,
        }
    }

    /// The guards that lines pass.
    #[must_use]
    pub fn guard(&self) -> &Arc<Guard> {
        &self.guard
    }

    /// Takes a push. Must be driven to its end: run it in a task of its own, for clients hang up.
    ///
    /// # Errors
    ///
    /// Fails if the batch could not be made durable and visible.
    pub async fn accept(&self, push: Push) -> Result<Receipt, IngestError> {
        if let Sink::Embedded(embedded) = &self.sink
            && embedded.store().is_full()
        {
            let max_bytes = embedded.store().memory_max_bytes();
            return Err(IngestError::StoreFull { max_bytes });
        }
        let (verdicts, letters) = tracing::debug_span!("judge").in_scope(|| self.judge(&push));
        let Verdicts {
            accepted,
            batch: taken,
            refused,
            ranges,
            verbatim_lines,
            series,
            ..
        } = verdicts;
        let mut sequence = None;
        if accepted > 0 {
            let batch = push.batch(&letters, ranges.clone(), verbatim_lines, series);
            sequence = Some(self.append(batch, accepted).await?);
        }
        // What the journal did not take comes again, and counts then.
        self.count(&push, accepted, &refused);
        if let (Sink::Embedded(embedded), Some(taken), Some(sequence)) =
            (&self.sink, taken, sequence)
        {
            embedded
                .apply(
                    sequence,
                    &push.database,
                    push.retention_policy.as_deref(),
                    push.received_ns,
                    taken,
                )
                .instrument(tracing::debug_span!("store"))
                .await?;
        }
        if !refused.is_empty() && !push.is_replay {
            self.keep(&push, &refused, &ranges);
        }
        Ok(Receipt { accepted, refused })
    }

    /// Makes a batch durable, and answers its sequence.
    async fn append(&self, batch: Batch, accepted: usize) -> Result<u64, JournalError> {
        let started = Instant::now();
        let appending = self.journal.append(batch);
        let sequence = appending
            .instrument(tracing::debug_span!("journal"))
            .await?;
        tracing::debug!(sequence, accepted, "a batch is on disk");
        self.metrics
            .commit_seconds
            .observe(started.elapsed().as_secs_f64());
        Ok(sequence)
    }

    /// Offers refused lines to be kept. This comes last: a push that failed comes again as a whole.
    fn keep(&self, push: &Push, refused: &[RefusedLine], ranges: &[Range<u32>]) {
        let lines = refused.iter().zip(ranges).map(|(line, range)| {
            let (start, end) = (range.start as usize, range.end as usize);
            let newline = memchr::memrchr(b'\n', &push.text[..start]);
            Offered {
                number: line.number,
                refusal: &line.refusal,
                indent: start - newline.map_or(0, |newline| newline + 1),
                text: &push.text[start..end],
            }
        });
        self.rejects.offer(push.source(), lines);
    }

    /// Judges every line, and says where in the text the letters stand that have to go for integers to be floats.
    fn judge<'a>(&'a self, push: &'a Push) -> (Verdicts<'a>, Vec<u32>) {
        let policy = push.retention_policy.as_deref();
        let bucket = match &self.sink {
            Sink::Embedded(_) => push.database.clone(),
            Sink::Influx(upstream) => upstream.bucket_named(&push.database, policy),
        };
        let mut guards = self.guard.session(guard::Source {
            database: &push.database,
            bucket: &bucket,
            client: push.client.as_ref().map(|client| client.0.as_ref()),
            received_ns: push.received_ns,
        });
        let scanner = Scanner::new(&push.text, push.precision);
        let bounds = push.bound_by.as_ref().map(|grant| &grant.bounds);
        let verdicts = match &self.sink {
            Sink::Embedded(embedded) => {
                let intake = embedded
                    .store()
                    .intake(
                        &push.database,
                        policy,
                        push.received_ns,
                        &push.text,
                        push.precision,
                    )
                    .refusing_expired_at(push.received_ns);
                Verdicts::with_intake(
                    &push.text,
                    scanner,
                    bounds,
                    &mut guards,
                    intake,
                    self.has_destinations,
                )
            }
            // The points are nobody's business here.
            Sink::Influx(_) => Verdicts::alone(&push.text, scanner, bounds, &mut guards),
        };
        (verdicts, guards.finish())
    }

    fn count(&self, push: &Push, accepted: usize, refused: &[RefusedLine]) {
        let metrics = &self.metrics;
        metrics.received_bytes.inc_by(push.text.len() as u64);
        metrics
            .lines_received
            .inc_by((accepted + refused.len()) as u64);
        metrics.lines_accepted.inc_by(accepted as u64);
        let mut rules: BTreeMap<Rule, u64> = BTreeMap::new();
        for line in refused {
            *rules.entry(line.refusal.rule).or_default() += 1;
        }
        for (rule, count) in rules {
            metrics
                .lines_rejected
                .with_label_values(&[rule.code()])
                .inc_by(count);
        }
        if let Some(first) = refused.first() {
            tracing::info!(
                refused = refused.len(),
                accepted,
                line = first.number,
                rule = first.refusal.rule.code(),
                "lines of a batch were refused; the answer names them"
            );
        }
    }
}
