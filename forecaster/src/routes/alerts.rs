//! `/api/v1/alerts`: what was worth telling somebody.

use actix_web::{get, web};
use headroom_openapi::problem::Problem;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{alert::Alert, app::App, error::ApiError};

/// As many as a page shows.
const LIMIT_DEFAULT: u32 = 100;
/// A megabyte of JSON.
const LIMIT_MOST: u32 = 1_000;

/// Which alerts.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AlertsQuery {
    /// Those of one host; of all where it is left out.
    #[param(example = "web-1")]
    host: Option<String>,
    /// How many at most; 100 where it is left out.
    #[param(minimum = 1, maximum = 1000, example = 100)]
    limit: Option<u32>,
}

/// Alerts.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AlertsAnswer {
    /// The newest first.
    pub alerts: Vec<Alert>,
}

/// List alerts
///
/// A target raises one when its forecast crosses the threshold within eight hours with the probability of
/// `HEADROOM_ALERT_PROBABILITY` or more (`p_cross`), and then stays quiet for `HEADROOM_ALERT_COOLDOWN` minutes. `delivery` says whether the receiver has it.
#[utoipa::path(
    tag = "alerts",
    operation_id = "listAlerts",
    params(AlertsQuery),
    responses(
        (status = 200, description = "The alerts, the newest first", body = AlertsAnswer, example = json!({
            "alerts": [{
                "id": 7, "raised_at": "2026-11-21T12:00:14Z", "host": "db-1", "metric": "disk.used_percent{path=/}",
                "unit": "%", "threshold": 90.0, "value_now": 81.4, "p_cross": 0.87, "eta_p10": 12600, "eta_p50": 15900,
                "eta_p90": null, "horizon_s": 28800, "model": "lstm", "delivery": "delivered", "attempts": 1,
                "last_error": null
            }]
        })),
        (status = 400, description = "The limit is out of range", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No known token", body = Problem, content_type = "application/problem+json"),
        (status = 500, description = "The ledger cannot be read", body = Problem, content_type = "application/problem+json"),
    )
)]
#[get("/api/v1/alerts")]
pub(crate) async fn list(
    app: web::Data<App>,
    query: web::Query<AlertsQuery>,
) -> Result<web::Json<AlertsAnswer>, ApiError> {
    let AlertsQuery { host, limit } = query.into_inner();
    let limit = limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MOST).contains(&limit) {
        return Err(ApiError::RequestInvalid {
            reason: format!("limit is {limit}; it may be 1 to {LIMIT_MOST}"),
        });
    }
    let ledger = app.ledger.clone();
    let alerts = web::block(move || ledger.alerts(host.as_deref(), limit)).await;
    let alerts = alerts.map_err(|_| ApiError::Internal)??;
    Ok(web::Json(AlertsAnswer { alerts }))
}
