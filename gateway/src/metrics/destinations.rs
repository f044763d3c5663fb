//! What is counted for each destination, labelled by its name.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

const LABEL: &[&str] = &["destination"];

/// The metrics of all destinations.
#[derive(Debug)]
pub struct DestinationMetrics {
    lag_batches: IntGaugeVec,
    lag_seconds: IntGaugeVec,
    in_flight: IntGaugeVec,
    up: IntGaugeVec,
    lines: IntCounterVec,
    lines_rejected: IntCounterVec,
    retries: IntCounterVec,
    passed_over: IntCounterVec,
}

/// The metrics of one destination.
#[derive(Debug, Clone)]
pub struct Destination {
    /// Batches between the journal's end and what the destination has.
    pub lag_batches: IntGauge,
    /// Since when its oldest batch waits, in seconds.
    pub lag_seconds: IntGauge,
    /// Requests that are under way.
    pub in_flight: IntGauge,
    /// 1 while it takes batches.
    pub up: IntGauge,
    /// Lines that it took.
    pub lines: IntCounter,
    /// Lines that it refused.
    pub lines_rejected: IntCounter,
    /// Requests that had to be sent again.
    pub retries: IntCounter,
    /// Batches that it lost because the journal was full for its sake.
    pub passed_over: IntCounter,
}

impl DestinationMetrics {
    /// Makes and registers them.
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let gauge = |name: &str, help: &str| -> prometheus::Result<IntGaugeVec> {
            let gauge = IntGaugeVec::new(Opts::new(name, help), LABEL)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let counter = |name: &str, help: &str| -> prometheus::Result<IntCounterVec> {
            let counter = IntCounterVec::new(Opts::new(name, help), LABEL)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        Ok(Self {
            lag_batches: gauge(
                "headroom_upstream_lag_batches",
                "Batches that are in the journal and not yet in the destination",
            )?,
            lag_seconds: gauge(
                "headroom_upstream_lag_seconds",
                "How long the oldest batch waits that is on its way to the destination",
            )?,
            in_flight: gauge(
                "headroom_upstream_requests_in_flight",
                "Write requests that the destination has not answered yet",
            )?,
            up: gauge(
                "headroom_upstream_up",
                "1 while the destination takes batches, 0 while it does not",
            )?,
            lines: counter(
                "headroom_upstream_lines_total",
                "Lines that the destination took",
            )?,
            lines_rejected: counter(
                "headroom_upstream_lines_rejected_total",
                "Lines that the destination refused for their content",
            )?,
            retries: counter(
                "headroom_upstream_retries_total",
                "Write requests that had to be sent again",
            )?,
            passed_over: counter(
                "headroom_upstream_batches_passed_over_total",
                "Batches that an optional destination lost because the journal was full for its sake",
            )?,
        })
    }

    /// The metrics of a destination.
    #[must_use]
    pub fn of(&self, name: &str) -> Destination {
        let label = &[name];
        Destination {
            lag_batches: self.lag_batches.with_label_values(label),
            lag_seconds: self.lag_seconds.with_label_values(label),
            in_flight: self.in_flight.with_label_values(label),
            up: self.up.with_label_values(label),
            lines: self.lines.with_label_values(label),
            lines_rejected: self.lines_rejected.with_label_values(label),
            retries: self.retries.with_label_values(label),
            passed_over: self.passed_over.with_label_values(label),
        }
    }
}
