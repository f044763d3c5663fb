//! The HTTP API: one module a resource, each with the types of its answers.

pub mod alerts;
pub mod champion;
pub mod forecasts;
mod freshness;
pub mod health;
pub mod hosts;
pub mod jobs;
pub mod metrics;
pub mod models;
pub mod predict;
pub mod quality;
pub mod retrain;
pub mod thresholds;
pub(crate) mod unknown;

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::error::ApiError;

/// Registers every operation; what is registered is documented.
pub fn configure(services: &mut ServiceConfig<'_>) {
    services
        .service(hosts::list)
        .service(hosts::forget)
        .service(forecasts::of_fleet)
        .service(forecasts::of_host)
        .service(forecasts::aggregate)
        .service(predict::predict)
        .service(quality::of_host)
        .service(thresholds::of_host)
        .service(thresholds::set)
        .service(models::list)
        .service(champion::promote)
        .service(champion::remove)
        .service(retrain::retrain)
        .service(jobs::list)
        .service(jobs::get)
        .service(jobs::cancel)
        .service(alerts::list)
        .service(health::health)
        .service(health::ready)
        .service(metrics::metrics);
}

/// Reads a body that is an object; serde alone would take a list for one, its fields in their order.
fn object<T: DeserializeOwned>(body: Map<String, Value>) -> Result<T, ApiError> {
    serde_json::from_value(Value::Object(body)).map_err(|error| ApiError::RequestInvalid {
        reason: format!("the body is not as it should be: {error}; /docs shows an example"),
    })
}

/// Writes a time of this service, which lies within what the calendar can express.
fn instant(time_s: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(time_s, 0).unwrap_or_default()
}
