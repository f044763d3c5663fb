//! The metrics as Prometheus reads them.

use actix_web::{HttpResponse, get, web::Data};

use crate::{
    error::{ApiError, Dialect, Failure},
    sink::Sink,
    state::State,
};

/// Read the metrics
///
/// Answers in Prometheus' text format.
#[utoipa::path(
    tag = "health",
    operation_id = "metrics",
    responses((status = 200, description = "All metrics", body = String, content_type = "text/plain", example = "headroom_lines_accepted_total 12000\n"))
)]
#[get("/metrics")]
pub(super) async fn metrics(state: Data<State>) -> Result<HttpResponse, ApiError> {
    let held_bytes = state.intake.held_bytes();
    state.metrics.inflight_bytes.set(held_bytes as i64);
    if let Ok(core) = state.core() {
        let metrics = &state.metrics;
        let (rejects, rejects_bytes) = core.rejects.usage();
        metrics.rejects.set(rejects as i64);
        metrics.rejects_bytes.set(rejects_bytes as i64);
        metrics
            .journal_pending_bytes
            .set(core.journal.pending_bytes() as i64);
        let oldest_ns = core.journal.oldest_unread_ns();
        let age_ns = oldest_ns.map_or(0, |oldest| state.now_ns().saturating_sub(oldest));
        metrics
            .journal_age_seconds
            .set(age_ns.max(0) / 1_000_000_000);
        metrics
            .journal_damaged_records
            .set(core.journal.damaged_records() as i64);
        let guards = core.ingest.guard().usage();
        metrics.guard_series.set(guards.series as i64);
        metrics.guard_fields.set(guards.fields as i64);
        for destination in &core.destinations {
            let counts = metrics.destinations.of(destination.name());
            let behind = destination.behind(core.journal.last_sequence());
            counts.lag_batches.set(behind as i64);
            let lag = destination.lag(state.now_ns()).as_secs();
            counts.lag_seconds.set(lag as i64);
        }
        if let Sink::Embedded(embedded) = &core.sink {
            let store = embedded.store();
            let usage = store.usage();
            metrics.store_bytes.set(usage.file_bytes as i64);
            metrics
                .store_max_bytes
                .set(usage.max_bytes.unwrap_or_default() as i64);
            metrics.store_memory_bytes.set(store.head_bytes() as i64);
            let memory_max_bytes = store.memory_max_bytes();
            metrics.store_memory_max_bytes.set(memory_max_bytes as i64);
            metrics
                .store_expired_values
                .set(usage.expired_values as i64);
            metrics
                .store_evicted_values
                .set(usage.evicted_values as i64);
            metrics.store_sealing.set(usage.is_sealing.into());
            metrics.store_merging.set(usage.is_merging.into());
        }
    }
    let text = state.metrics.render().map_err(|error| {
        tracing::error!(%error, "the metrics cannot be written");
        Failure::Internal.for_dialect(Dialect::Problem)
    })?;
    Ok(HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4")
        .body(text))
}
