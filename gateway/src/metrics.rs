//! What is counted, for Prometheus.

use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts,
    Registry, TextEncoder,
};

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
    /// Values that went with their bucket's retention.
    pub store_expired_values: IntGauge,
    /// Values that went for want of space.
    pub store_evicted_values: IntGauge,
    /// Batches between the journal's end and what InfluxDB has.
    pub upstream_lag_batches: IntGauge,
    /// 1 while InfluxDB takes batches.
    pub upstream_up: IntGauge,
    /// Lines that InfluxDB took.
    pub upstream_lines: IntCounter,
    /// Lines that InfluxDB refused.
    pub upstream_lines_rejected: IntCounter,
    /// Requests by route, method and status.
    pub http_seconds: HistogramVec,
}

impl Metrics {
    /// Makes and registers all metrics.
    ///
    /// # Errors
    ///
    /// Fails only if two metrics have one name.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str| -> prometheus::Result<IntCounter> {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let gauge = |name: &str, help: &str| -> prometheus::Result<IntGauge> {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let lines_rejected = IntCounterVec::new(
            Opts::new(
                "headroom_lines_rejected_total",
                "Lines that were refused, by the rule they broke",
            ),
            &["reason"],
        )?;
        registry.register(Box::new(lines_rejected.clone()))?;
        let commit_seconds = Histogram::with_opts(
            HistogramOpts::new(
                "headroom_journal_commit_seconds",
                "How long a batch waited until it was on disk",
            )
            .buckets(BUCKETS.to_vec()),
        )?;
        registry.register(Box::new(commit_seconds.clone()))?;
        let http_seconds = HistogramVec::new(
            HistogramOpts::new(
                "headroom_http_request_seconds",
                "How long requests took, by route, method and status",
            )
            .buckets(BUCKETS.to_vec()),
            &["route", "method", "status"],
        )?;
        registry.register(Box::new(http_seconds.clone()))?;
        Ok(Self {
            lines_received: counter(
                "headroom_lines_received_total",
                "Lines that came in, blanks and comments aside",
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
                "Damaged journal records that were passed over since the start",
            )?,
            store_bytes: gauge(
                "headroom_store_bytes",
                "The size of the embedded store's file and its log",
            )?,
            store_max_bytes: gauge(
                "headroom_store_max_bytes",
                "The most that the embedded store may take, 0 without a bound",
            )?,
            store_expired_values: gauge(
                "headroom_store_expired_values",
                "Values that went since the start, because they were older than their bucket's retention",
            )?,
            store_evicted_values: gauge(
                "headroom_store_evicted_values",
                "Values that went since the start, because the store reached HEADROOM_STORE_MAX_BYTES",
            )?,
            upstream_lag_batches: gauge(
                "headroom_upstream_lag_batches",
                "Batches that are in the journal and not yet in InfluxDB",
            )?,
            upstream_up: gauge(
                "headroom_upstream_up",
                "1 while InfluxDB takes batches, 0 while it does not",
            )?,
            upstream_lines: counter("headroom_upstream_lines_total", "Lines that InfluxDB took")?,
            upstream_lines_rejected: counter(
                "headroom_upstream_lines_rejected_total",
                "Lines that InfluxDB refused for their content",
            )?,
            lines_rejected,
            commit_seconds,
            http_seconds,
            registry,
        })
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
