//! `/api/v1/forecasts` and `/api/v1/hosts/{host}/forecasts`: where hosts are heading.

mod aggregates;
mod answer;
mod asked;
mod fleet;
mod table;

use actix_web::{HttpRequest, HttpResponse, get, web};
use headroom_openapi::problem::Problem;

pub(crate) use self::{aggregates::aggregate, asked::levels, fleet::of_fleet};
pub use self::{
    aggregates::{AggregatesAnswer, AggregatesQuery, TargetAggregates, TimeOver},
    answer::{
        ErrorsAnswer, FleetForecastAnswer, ForecastAnswer, HostForecastAnswer, ModelAnswer,
        ThresholdOutlook, WithoutForecast,
    },
    asked::{ForecastQuery, Format},
    fleet::FleetQuery,
};
use self::{asked::Asked, table::table};
use super::freshness::{Body, Freshness};
use crate::{app::App, error::ApiError};

/// Forecast a host
///
/// Reads the newest history and forecasts all targets of the host, or one. Each forecast carries its quantiles, the
/// errors of the backtest, and when the threshold is crossed. A longer step answers the mean over the step. The forecast
/// is computed for the request.
#[utoipa::path(
    tag = "forecasts",
    operation_id = "forecastHost",
    params(("host" = String, Path, description = "The host's name", example = "web-1"), ForecastQuery),
    responses(
        (status = 200, description = "The forecasts", headers(
            ("ETag" = String, description = "Changes with the data, the model and the question"),
            ("Cache-Control" = String, description = "How long no newer data can be there"),
        ), content((HostForecastAnswer = "application/json", example = json!({
            "host": "web-1", "issued_at": "2026-11-21T12:00:14Z",
            "forecasts": [{
                "host": "web-1", "metric": "disk.used_percent{path=/}", "kind": "percent", "unit": "%",
                "issued_at": "2026-11-21T12:00:14Z", "data_until": "2026-11-21T12:00:00Z", "step_s": 300,
                "model": {"id": "web-1/000003", "version": "000003", "alias": "champion", "kind": "lstm",
                    "trained_at": "2026-11-21T03:30:04Z", "fallback_reason": null},
                "status": "ok", "staleness_s": 14, "value_now": 88.9,
                "quantile_levels": [0.025, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.975],
                "timestamps": ["2026-11-21T12:00:00Z", "2026-11-21T12:05:00Z"],
                "quantiles": [[88.8, 89.2], [88.9, 89.3], [88.9, 89.4], [89.0, 89.5], [89.0, 89.6], [89.1, 89.7],
                    [89.1, 89.8], [89.2, 89.9], [89.2, 90.0], [89.3, 90.2], [89.5, 90.4]],
                "metrics": {"mae": 0.4, "rmse": 0.6, "mase": 0.5, "crps": 0.3, "coverage80": 0.81, "coverage95": 0.94,
                    "n_origins": 56, "baseline_mae": 0.9, "skill": 0.556, "vs_seasonal_naive": 0.444},
                "threshold": {"value": 90.0, "p_cross": 0.2, "eta_p10": 286, "eta_p50": null, "eta_p90": null}
            }],
            "without_forecast": []
        })), (String = "text/csv", example = "host,metric,time,status,model,data_until,q0.5\nweb-1,cpu.usage,2026-11-21T12:00:00Z,ok,ensemble,2026-11-21T12:00:00Z,41.7\n"))),
        (status = 304, description = "Nothing is newer than what `If-None-Match` names"),
        (status = 400, description = "The horizon, the step or a quantile is out of range", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No known token", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "The host or the target is unknown", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The history is too short for any forecast", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "The gateway refuses the token or a statement", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The gateway is away", body = Problem, content_type = "application/problem+json"),
    )
)]
#[get("/api/v1/hosts/{host}/forecasts")]
pub(crate) async fn of_host(
    app: web::Data<App>,
    host: web::Path<String>,
    query: web::Query<ForecastQuery>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let asked = Asked::check(&query)?;
    let forecast = app
        .serving
        .forecast(&host, query.target.as_deref(), asked.steps())
        .await?;
    let freshness = Freshness::of([&forecast], &request, app.clock.now_s());
    let answer = HostForecastAnswer::of(forecast, &asked);
    freshness.answer(&request, || match query.format.unwrap_or_default() {
        Format::Json => Body::json(&answer),
        Format::Csv => Ok(Body::csv(table(&answer.forecasts))),
    })
}
