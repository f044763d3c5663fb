//! What is counted, for Prometheus.

mod destinations;

use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts,
    Registry, TextEncoder, core::Collector,
};

pub use destinations::{Destination, DestinationMetrics};

/// From a sync on a fast disk to a slow answer, in seconds.
const BUCKETS: [f64; 12] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];

/// The gateway's metrics, in a registry of their own.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Lines that came, blanks and comments aside.
    pub lines_received: IntCounter,
    /// Lines that were stored.
    pub lines_accepted: IntCounter,
    /// Lines that were refused, by rule.
    pub lines_rejected: IntCounterVec,
    /// How long a batch waited for its commit.
    pub commit_seconds: Histogram,
    /// The bytes of the journal's segments.
    pub journal_pending_bytes: IntGauge,
    /// Since when the oldest batch waits that no reader has, in seconds.
    pub journal_age_seconds: IntGauge,
    /// Damaged records that were passed over.
    pub journal_damaged_records: IntGauge,
    /// What the embedded store takes on disk.
    pub store_bytes: IntGauge,
    /// What it may take; 0: without bound.
    pub store_max_bytes: IntGauge,
    /// What points that are not in its file yet take of memory.
    pub store_memory_bytes: IntGauge,
    /// What they may take.
    pub store_memory_max_bytes: IntGauge,
    /// Values that went with their bucket's retention.
    pub store_expired_values: IntGauge,
    /// Values that went for want of space.
    pub store_evicted_values: IntGauge,
    /// Whether recent points are being sealed.
    pub store_sealing: IntGauge,
    /// Whether chunks are being merged.
    pub store_merging: IntGauge,
    /// What becomes of batches at each destination.
    pub destinations: DestinationMetrics,
    /// Series that the guards know.
    pub guard_series: IntGauge,
    /// Fields whose types the guards know.
    pub guard_fields: IntGauge,
    /// Requests by route, method and status.
    pub http_seconds: HistogramVec,
    /// Requests that are being answered.
    pub http_in_flight: IntGauge,
    /// Pushes that were turned away because their token pushes too fast, by what there was too much of.
    pub pushes_limited: IntCounterVec,
    /// Rejects that are kept.
    pub rejects: IntGauge,
    /// What they take on disk.
    pub rejects_bytes: IntGauge,
    /// Rejects that were not kept, or not any longer, by cause.
    rejects_dropped: IntCounterVec,
    /// Rejects that were replayed and accepted.
    pub rejects_replayed: IntCounter,
    /// What bodies take in memory.
    pub inflight_bytes: IntGauge,
    /// Bytes of line protocol that came, decompressed.
    pub received_bytes: IntCounter,
}

impl Metrics {
    /// Makes and registers all metrics.
    ///
    /// # Errors
    ///
    /// Fails only if two metrics have one name.
    #[expect(clippy::too_many_lines, reason = "one metric after the other")]
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let counter = |name, help| registered(&registry, IntCounter::new(name, help));
        let gauge = |name, help| registered(&registry, IntGauge::new(name, help));
        let counters = |name, help, label| {
            let options = Opts::new(name, help);
            registered(&registry, IntCounterVec::new(options, &[label]))
        };
        let times = |name, help| HistogramOpts::new(name, help).buckets(BUCKETS.to_vec());
        Ok(Self {
            lines_received: counter(
                "headroom_lines_received_total",
                "Lines that came in, blanks and comments aside; a push that has to come again counts once it is taken",
            )?,
            lines_accepted: counter("headroom_lines_accepted_total", "Lines that are on disk")?,
            journal_pending_bytes: gauge(
                "headroom_journal_pending_bytes",
                "The size of the journal's segments",
            )?,
            journal_age_seconds: gauge(
                "headroom_journal_age_seconds",
                "How long the oldest batch in the journal waits for its reader",
            )?,
            journal_damaged_records: gauge(
                "headroom_journal_damaged_records",
                "Damaged places of the journal that were met since the start",
            )?,
            store_bytes: gauge(
                "headroom_store_bytes",
                "The size of the embedded store's file and its log",
            )?,
            store_max_bytes: gauge(
                "headroom_store_max_bytes",
                "The most that the embedded store may take, 0 without a bound",
            )?,
            store_memory_bytes: gauge(
                "headroom_store_memory_bytes",
                "What points that are not in the embedded store's file yet take of memory",
            )?,
            store_memory_max_bytes: gauge(
                "headroom_store_memory_max_bytes",
                "What they may take before pushes are asked to come later",
            )?,
            store_expired_values: gauge(
                "headroom_store_expired_values",
                "Values that went since the start, because they were older than their bucket's retention",
            )?,
            store_evicted_values: gauge(
                "headroom_store_evicted_values",
                "Values that went since the start, because the store reached HEADROOM_STORE_MAX_BYTES",
            )?,
            store_sealing: gauge(
                "headroom_store_sealing",
                "1 while the embedded store moves recent points into its file, else 0",
            )?,
            store_merging: gauge(
                "headroom_store_merging",
                "1 while the embedded store merges small chunks, else 0",
            )?,
            destinations: DestinationMetrics::new(&registry)?,
            guard_series: gauge(
                "headroom_guard_series",
                "Series that are known, where new ones are limited",
            )?,
            guard_fields: gauge(
                "headroom_guard_fields",
                "Fields whose types are known, where points go to an InfluxDB",
            )?,
            pushes_limited: counters(
                "headroom_pushes_limited_total",
                "Pushes that were turned away because their token pushes too fast, by what there was too much of",
                "limit",
            )?,
            rejects: gauge("headroom_rejects", "Refused lines that are kept")?,
            rejects_bytes: gauge(
                "headroom_rejects_bytes",
                "What the refused lines that are kept take on disk",
            )?,
            rejects_replayed: counter(
                "headroom_rejects_replayed_total",
                "Refused lines that were accepted when they were replayed",
            )?,
            rejects_dropped: counters(
                "headroom_rejects_dropped_total",
                "Refused lines that were not kept, or not any longer, by cause",
                "cause",
            )?,
            http_in_flight: gauge(
                "headroom_http_requests_in_flight",
                "Requests that are being answered",
            )?,
            inflight_bytes: gauge(
                "headroom_inflight_bytes",
                "What request bodies take in memory, packed and unpacked",
            )?,
            received_bytes: counter(
                "headroom_received_bytes_total",
                "Bytes of line protocol that came in, decompressed",
            )?,
            lines_rejected: counters(
                "headroom_lines_rejected_total",
                "Lines that were refused, by the rule they broke",
                "reason",
            )?,
            commit_seconds: registered(
                &registry,
                Histogram::with_opts(times(
                    "headroom_journal_commit_seconds",
                    "How long a batch waited until it was on disk",
                )),
            )?,
            http_seconds: registered(
                &registry,
                HistogramVec::new(
                    times(
                        "headroom_http_request_seconds",
                        "How long requests took, by route, method and status",
                    ),
                    &["route", "method", "status"],
                ),
            )?,
            registry,
        })
    }

    /// Counts rejects that went for a cause other than a replay.
    pub fn count_dropped_rejects(&self, cause: &str, count: u64) {
        if count > 0 {
            self.rejects_dropped
                .with_label_values(&[cause])
                .inc_by(count);
        }
    }

    /// Writes all metrics in Prometheus' text format.
    ///
    /// # Errors
    ///
    /// Fails only on a metric without values.
    pub fn render(&self) -> prometheus::Result<String> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// Registers a metric that was made.
fn registered<M: Collector + Clone + 'static>(
    registry: &Registry,
    made: prometheus::Result<M>,
) -> prometheus::Result<M> {
    let metric = made?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}
