//! `/metrics`: figures for Prometheus.

use actix_web::{HttpResponse, get, web};

use crate::{app::App, error::ApiError};

/// Show figures for Prometheus
///
/// Hosts, models and their age, trains, forecasts, alerts, and the age of each host's newest point.
#[utoipa::path(
    tag = "state",
    operation_id = "metrics",
    responses((status = 200, description = "The figures, in Prometheus' text format", body = String,
        content_type = "text/plain; version=0.0.4", example = json!("# HELP headroom_hosts Hosts that were heard of lately\n# TYPE headroom_hosts gauge\nheadroom_hosts 6\n")))
)]
#[get("/metrics")]
pub(crate) async fn metrics(app: web::Data<App>) -> Result<HttpResponse, ApiError> {
    let is_up = app.gateway.is_answering();
    let text = app
        .metrics
        .render(
            &app.fleet,
            &app.champions,
            &app.book,
            &app.pulse,
            is_up,
            app.clock.now_s(),
        )
        .map_err(|error| {
            tracing::error!(%error, "the figures cannot be rendered");
            ApiError::Internal
        })?;
    Ok(HttpResponse::Ok()
        .content_type(prometheus::TEXT_FORMAT)
        .body(text))
}
