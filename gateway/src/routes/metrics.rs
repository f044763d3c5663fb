//! The metrics as Prometheus reads them.

use actix_web::{HttpResponse, get, web::Data};

use crate::{
    app::State,
    error::{ApiError, Dialect, Failure},
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
    if let Ok(core) = state.core() {
        let metrics = &state.metrics;
        metrics
            .journal_pending_bytes
            .set(core.journal.pending_bytes() as i64);
        metrics
            .journal_damaged_records
            .set(core.journal.damaged_records() as i64);
    }
    let text = state.metrics.render().map_err(|error| {
        tracing::error!(%error, "the metrics cannot be written");
        Failure::Internal.for_dialect(Dialect::Problem)
    })?;
    Ok(HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4")
        .body(text))
}
