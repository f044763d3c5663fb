//! One push, from text to durable and visible: judge every line, journal the batch, apply it to the sink.
//!
//! A batch is journalled only if a line of it is accepted; the refused lines' ranges go with it, so that whoever reads
//! the journal passes over the same lines. The points are visible to queries before the push is answered.

mod verdicts;

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use bytes::Bytes;

use crate::{
    access::Client,
    app::Sink,
    journal::{Batch, Encoding, Journal, JournalError},
    lines::{Precision, Refusal, Rule, Scanner},
    metrics::Metrics,
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
    /// When it came.
    pub received_ns: i64,
    /// How the body is encoded.
    pub encoding: Encoding,
    /// The body as it came.
    pub raw: Bytes,
    /// The body decompressed.
    pub text: Bytes,
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
}

/// The way in.
#[derive(Clone)]
pub struct Ingest {
    journal: Journal,
    sink: Sink,
    metrics: Arc<Metrics>,
}

impl Ingest {
    /// Joins the parts.
    #[must_use]
    pub fn new(journal: Journal, sink: Sink, metrics: Arc<Metrics>) -> Self {
        Self {
            journal,
            sink,
            metrics,
        }
    }

    /// Takes a push. Must be driven to its end: run it in a task of its own, for clients hang up.
    ///
    /// # Errors
    ///
    /// Fails if the batch could not be made durable and visible.
    pub async fn accept(&self, push: Push) -> Result<Receipt, IngestError> {
        let verdicts = self.judge(&push);
        self.count(&verdicts);
        let Verdicts {
            accepted,
            batch: taken,
            refused,
            ranges,
            verbatim_lines,
        } = verdicts;
        if accepted > 0 {
            let batch = Batch {
                database: push.database.clone(),
                retention_policy: push.retention_policy.clone(),
                precision: push.precision,
                received_ns: push.received_ns,
                encoding: push.encoding,
                body: push.raw.clone(),
                refused: ranges,
                verbatim_lines,
            };
            let started = Instant::now();
            let sequence = self.journal.append(batch).await?;
            self.metrics
                .commit_seconds
                .observe(started.elapsed().as_secs_f64());
            if let (Sink::Embedded(embedded), Some(taken)) = (&self.sink, taken) {
                embedded
                    .apply(
                        sequence,
                        &push.database,
                        push.retention_policy.as_deref(),
                        push.received_ns,
                        taken,
                    )
                    .await?;
            }
            self.metrics.lines_accepted.inc_by(accepted as u64);
        }
        Ok(Receipt { accepted, refused })
    }

    fn judge<'a>(&'a self, push: &'a Push) -> Verdicts<'a> {
        let scanner = Scanner::new(&push.text, push.precision);
        match &self.sink {
            Sink::Embedded(embedded) => {
                let intake = embedded.store().intake(
                    &push.database,
                    push.retention_policy.as_deref(),
                    push.received_ns,
                    &push.text,
                    push.precision,
                );
                Verdicts::with_intake(scanner, intake)
            }
            // InfluxDB holds lines to their types itself, and the points are nobody's business here.
            Sink::Influx(_) => Verdicts::alone(scanner),
        }
    }

    fn count(&self, verdicts: &Verdicts<'_>) {
        let received = verdicts.accepted + verdicts.refused.len();
        self.metrics.lines_received.inc_by(received as u64);
        let mut rules: BTreeMap<Rule, u64> = BTreeMap::new();
        for line in &verdicts.refused {
            *rules.entry(line.refusal.rule).or_default() += 1;
        }
        for (rule, count) in rules {
            self.metrics
                .lines_rejected
                .with_label_values(&[rule.code()])
                .inc_by(count);
        }
        if let Some(first) = verdicts.refused.first() {
            tracing::info!(
                refused = verdicts.refused.len(),
                accepted = verdicts.accepted,
                line = first.number,
                rule = first.refusal.rule.code(),
                "lines of a batch were refused; the answer names them"
            );
        }
    }
}
