//! `/metrics`: figures for Prometheus.

use actix_web::{HttpResponse, get, web};

use crate::{app::App, error::ApiError, metrics::FleetState};

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
    let text = app
        .metrics
        .render(&fleet_state(&app), app.clock.now_s())
        .map_err(|error| {
            tracing::error!(%error, "the figures cannot be rendered");
            ApiError::Internal
        })?;
    Ok(HttpResponse::Ok()
        .content_type(prometheus::TEXT_FORMAT)
        .body(text))
}

fn fleet_state(app: &App) -> FleetState {
    let load = app.book.load();
    let hosts = app.fleet.known().unwrap_or_default();
    let champions = app.champions.all();
    FleetState {
        is_gateway_up: app.gateway.is_answering(),
        round_ended_s: app.pulse.round_ended_s(),
        trains_waiting: load.waiting,
        trains_running: load.training,
        on_trial: app.champions.contests().len(),
        last_seen_s: hosts
            .iter()
            .map(|(host, known)| (host.clone(), known.last_seen_s))
            .collect(),
        trained_at_s: champions
            .into_iter()
            .map(|(host, champion)| (host, champion.manifest().trained_at_s))
            .collect(),
    }
}
