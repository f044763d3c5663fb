//! `/api/v1/hosts/{host}/thresholds`: which values should not be reached.

use std::collections::BTreeMap;

use actix_web::{get, put, web};
use headroom_openapi::problem::Problem;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::object;
use crate::{
    alert::thresholds::{Source, effective},
    app::App,
    discovery::Host,
    error::ApiError,
    serving::ServeError,
    target::Kind,
};

/// The thresholds of a host.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ThresholdsAnswer {
    /// The host.
    pub host: String,
    /// One a target.
    pub thresholds: Vec<ThresholdAnswer>,
}

/// The threshold of a target.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ThresholdAnswer {
    /// The target.
    pub metric: String,
    /// The unit of the value.
    pub unit: String,
    /// The value; null where no crossing is worth an alert.
    pub value: Option<f64>,
    /// Who set it.
    pub source: Source,
}

/// The thresholds that a host shall have.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ThresholdsRequest {
    /// One a target; targets that are not among them go back to their defaults.
    pub thresholds: Vec<ThresholdRequest>,
}

/// The threshold that a target shall have.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ThresholdRequest {
    /// The target.
    pub metric: String,
    /// The value; null switches alerts off.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(required)]
    pub value: Option<f64>,
}

/// Show a host's thresholds
///
/// What was set through this API goes before the settings file, and the file before the defaults (90 % of CPU, memory
/// and disks).
#[utoipa::path(
    tag = "thresholds",
    operation_id = "getThresholds",
    params(("host" = String, Path, description = "The host's name", example = "web-1")),
    responses(
        (status = 200, description = "The thresholds of all targets", body = ThresholdsAnswer, example = json!({
            "host": "web-1",
            "thresholds": [
                {"metric": "cpu.usage", "unit": "%", "value": 90.0, "source": "rule"},
                {"metric": "disk.used_percent{path=/}", "unit": "%", "value": 85.0, "source": "api"},
                {"metric": "system.load1", "unit": "", "value": null, "source": "none"}
            ]
        })),
        (status = 401, description = "No known token", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "The host is unknown", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "The gateway refuses the token or a statement", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The gateway is away and no host is known yet", body = Problem, content_type = "application/problem+json"),
    )
)]
#[get("/api/v1/hosts/{host}/thresholds")]
pub(crate) async fn of_host(
    app: web::Data<App>,
    name: web::Path<String>,
) -> Result<web::Json<ThresholdsAnswer>, ApiError> {
    let host = app.serving.host(&name).await?;
    answer(&app, &name, &host)
}

/// Set a host's thresholds
///
/// Replaces everything that was set for the host through this API. `null` switches the alerts of a target off; a target
/// that is left out goes back to its default. Kept over a restart.
#[utoipa::path(
    tag = "thresholds",
    operation_id = "setThresholds",
    params(("host" = String, Path, description = "The host's name", example = "web-1")),
    request_body(content = ThresholdsRequest, description = "The thresholds that differ from the defaults", example = json!({
        "thresholds": [
            {"metric": "disk.used_percent{path=/}", "value": 85.0},
            {"metric": "cpu.usage", "value": null}
        ]
    })),
    responses(
        (status = 200, description = "The thresholds of all targets, as they are now", body = ThresholdsAnswer, example = json!({
            "host": "web-1",
            "thresholds": [
                {"metric": "cpu.usage", "unit": "%", "value": null, "source": "api"},
                {"metric": "disk.used_percent{path=/}", "unit": "%", "value": 85.0, "source": "api"}
            ]
        })),
        (status = 400, description = "The body cannot be read, or a value can never be reached", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No known token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The token lacks the scope write", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "The host or a target is unknown", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "The gateway refuses the token or a statement", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The gateway is away and no host is known yet", body = Problem, content_type = "application/problem+json"),
    )
)]
#[put("/api/v1/hosts/{host}/thresholds")]
pub(crate) async fn set(
    app: web::Data<App>,
    name: web::Path<String>,
    body: web::Json<Map<String, Value>>,
) -> Result<web::Json<ThresholdsAnswer>, ApiError> {
    let request: ThresholdsRequest = object(body.into_inner())?;
    let host = app.serving.host(&name).await?;
    let mut wanted = BTreeMap::new();
    for ThresholdRequest { metric, value } in request.thresholds {
        check(&name, &host, &metric, value)?;
        if wanted.insert(metric.clone(), value).is_some() {
            return Err(ApiError::RequestInvalid {
                reason: format!(
                    "{metric:?} stands twice among the thresholds; name each target once"
                ),
            });
        }
    }
    let (ledger, key) = (app.ledger.clone(), name.clone());
    web::block(move || ledger.set_thresholds(&key, &wanted))
        .await
        .map_err(|_| ApiError::Internal)??;
    answer(&app, &name, &host)
}

fn check(name: &str, host: &Host, metric: &str, value: Option<f64>) -> Result<(), ApiError> {
    let target = host
        .target(metric)
        .ok_or_else(|| ServeError::TargetUnknown {
            host: name.to_owned(),
            metric: metric.to_owned(),
            known: host
                .targets
                .iter()
                .map(|target| target.metric.clone())
                .collect(),
        })?;
    let invalid = |value, right| ApiError::ThresholdInvalid {
        metric: metric.to_owned(),
        value,
        right,
    };
    match (value, target.kind) {
        (Some(value), Kind::Percent) if !(value > 0.0 && value <= 100.0) => Err(invalid(
            value,
            "a percentage needs one above 0 and up to 100",
        )),
        (Some(value), Kind::Rate) if value.is_nan() || value <= 0.0 => {
            Err(invalid(value, "a rate needs one above 0"))
        }
        _ => Ok(()),
    }
}

fn answer(app: &App, name: &str, host: &Host) -> Result<web::Json<ThresholdsAnswer>, ApiError> {
    let stored = app.ledger.thresholds(name)?;
    let thresholds = host
        .targets
        .iter()
        .map(|target| {
            let found = effective(name, target, &stored, &app.serving.file_thresholds);
            ThresholdAnswer {
                metric: target.metric.clone(),
                unit: target.unit.clone(),
                value: found.value,
                source: found.source,
            }
        })
        .collect();
    Ok(web::Json(ThresholdsAnswer {
        host: name.to_owned(),
        thresholds,
    }))
}
