//! What a forecast says of its horizon as a whole: its greatest, least and mean value, and the time over a value.

use actix_web::{HttpRequest, HttpResponse, get, web};
use chrono::{DateTime, Utc};
use headroom_openapi::problem::Problem;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::asked::levels;
use crate::{
    app::App,
    error::ApiError,
    grid::STEP_S,
    joint::{Distribution, Joint},
    quantile::{HORIZON_STEPS, QuantilePath},
    routes::{
        freshness::{Body, Freshness},
        instant,
    },
    serving::{Served, Status, Unserved},
    target::Kind,
};

/// What is asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AggregatesQuery {
    /// One target by its name; all of the host's where it is left out.
    #[param(example = "cpu.usage")]
    target: Option<String>,
    /// How many steps of 5 minutes are looked at; 96, which is 8 hours, where it is left out.
    #[param(minimum = 1, maximum = 96, example = 96)]
    horizon: Option<u32>,
    /// The value of the time over it; each target's threshold where it is left out.
    #[param(example = 80.0)]
    over: Option<f64>,
    /// Probabilities between 0 and 1, with commas between them; the deciles, 0.025 and 0.975 where it is left out.
    #[param(
        example = "0.1,0.5,0.9",
        pattern = r"^0\.[0-9]{0,6}[1-9][0-9]{0,6}(,0\.[0-9]{0,6}[1-9][0-9]{0,6}){0,100}$"
    )]
    quantiles: Option<String>,
}

/// The aggregates of a host's forecasts.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AggregatesAnswer {
    /// The host.
    pub host: String,
    /// When the forecasts were made.
    pub issued_at: DateTime<Utc>,
    /// How far they look, in seconds.
    pub horizon_s: u32,
    /// The probabilities of the quantiles.
    pub quantile_levels: Vec<f64>,
    /// One a target.
    pub targets: Vec<TargetAggregates>,
    /// Targets that cannot be forecast, and why.
    pub without_forecast: Vec<Unserved>,
}

/// What a target's forecast says of its horizon as a whole; each list has a value a quantile.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct TargetAggregates {
    /// The target.
    pub metric: String,
    /// What its values can be.
    pub kind: Kind,
    /// Their unit.
    pub unit: String,
    /// Everything before this time is known.
    pub data_until: DateTime<Utc>,
    /// How far the forecast may be relied on.
    pub status: Status,
    /// The greatest value.
    pub maximum: Vec<f64>,
    /// The least value.
    pub minimum: Vec<f64>,
    /// The mean value.
    pub mean: Vec<f64>,
    /// The time at or over a value; null without one.
    pub over: Option<TimeOver>,
}

/// How long a target is at or over a value.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct TimeOver {
    /// The value.
    pub value: f64,
    /// The expected time, in seconds.
    pub expected_s: f64,
    /// The time by quantile, in seconds.
    pub quantiles_s: Vec<u32>,
}

/// Aggregate a forecast
///
/// The greatest, least and mean value of each target over the horizon, and the time at or over a value. Their quantiles are of
/// 1,000 paths through the steps' forecasts, which go together as the errors of the target's earlier forecasts did, and are the
/// same for the same forecast; thresholds are judged by the same paths.
#[utoipa::path(
    tag = "forecasts",
    operation_id = "aggregateForecast",
    params(("host" = String, Path, description = "The host's name", example = "web-1"), AggregatesQuery),
    responses(
        (status = 200, description = "The aggregates", body = AggregatesAnswer, headers(
            ("ETag" = String, description = "Changes with the data, the model and the question"),
            ("Cache-Control" = String, description = "How long no newer data can be there"),
        ), example = json!({
            "host": "web-1", "issued_at": "2026-11-21T12:00:14Z", "horizon_s": 28800, "quantile_levels": [0.1, 0.5, 0.9],
            "targets": [{
                "metric": "cpu.usage", "kind": "percent", "unit": "%", "data_until": "2026-11-21T12:00:00Z", "status": "ok",
                "maximum": [71.2, 78.9, 91.4], "minimum": [20.1, 24.0, 27.8], "mean": [44.0, 48.2, 53.9],
                "over": {"value": 80.0, "expected_s": 1260.0, "quantiles_s": [0, 0, 5400]}
            }],
            "without_forecast": []
        })),
        (status = 304, description = "Nothing is newer than what `If-None-Match` names"),
        (status = 400, description = "A parameter is out of range", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No known token", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "The host or the target is unknown", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The history is too short for any forecast", body = Problem, content_type = "application/problem+json"),
        (status = 500, description = "Thresholds cannot be read, or the model broke down", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "The gateway refuses the token or a statement", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The gateway is away", body = Problem, content_type = "application/problem+json"),
    )
)]
#[get("/api/v1/hosts/{host}/aggregates")]
pub(crate) async fn aggregate(
    app: web::Data<App>,
    host: web::Path<String>,
    query: web::Query<AggregatesQuery>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let horizon = query
        .horizon
        .map_or(HORIZON_STEPS, |horizon| horizon as usize);
    if !(1..=HORIZON_STEPS).contains(&horizon) {
        return Err(ApiError::HorizonOutOfRange {
            horizon: horizon as u32,
            step_s: STEP_S,
            most: HORIZON_STEPS,
        });
    }
    if query.over.is_some_and(|over| !over.is_finite()) {
        return Err(ApiError::RequestInvalid {
            reason: "over is no number; write a value such as 80".to_owned(),
        });
    }
    let levels = levels(query.quantiles.as_deref(), None)?;
    let forecast = app
        .serving
        .forecast(&host, query.target.as_deref(), horizon)
        .await?;
    let freshness = Freshness::of([&forecast], &request, app.clock.now_s());
    let targets = forecast
        .served
        .iter()
        .map(|served| TargetAggregates::of(served, query.over, &levels));
    let answer = AggregatesAnswer {
        issued_at: instant(forecast.issued_at_s),
        horizon_s: horizon as u32 * STEP_S,
        targets: targets.collect(),
        quantile_levels: levels,
        host: forecast.host,
        without_forecast: forecast.unserved,
    };
    freshness.answer(&request, || Body::json(&answer))
}

impl TargetAggregates {
    fn of(served: &Served, over: Option<f64>, levels: &[f64]) -> Self {
        let forecast = &served.forecast;
        let joint = Joint::new(&forecast.path, forecast.dependence);
        let extent = joint.extent(forecast.kind);
        let each = |of: &Distribution| levels.iter().map(|level| of.quantile(*level)).collect();
        Self {
            metric: forecast.metric.clone(),
            kind: forecast.kind,
            unit: forecast.unit.clone(),
            data_until: instant(forecast.data_until_s),
            status: served.status,
            maximum: each(&extent.maximum),
            minimum: each(&extent.minimum),
            mean: each(&extent.mean),
            over: over
                .or(served.threshold.value)
                .map(|value| TimeOver::of(value, &forecast.path, &joint, levels)),
        }
    }
}

impl TimeOver {
    fn of(value: f64, path: &QuantilePath, joint: &Joint<'_>, levels: &[f64]) -> Self {
        let step_s = f64::from(STEP_S);
        let over = joint.steps_over(value);
        let seconds = levels.iter().map(|level| over.quantile(*level) * step_s);
        Self {
            value,
            expected_s: (0..path.steps())
                .map(|step| path.probability_reached(step, value) * step_s)
                .sum(),
            quantiles_s: seconds.map(|seconds| seconds.round() as u32).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{joint::Dependence, quantile::LEVELS};

    #[test]
    fn the_time_over_a_value_is_expected_step_by_step() {
        // Uniform from 0 to 10 at each of four steps; half of each lies over 5.
        let path = QuantilePath::from_fn(4, Kind::Gauge, |level, _| 10.0 * LEVELS[level]);
        let joint = Joint::new(&path, Dependence::default());
        let over = TimeOver::of(5.0, &path, &joint, &[0.1, 0.9]);
        assert!(
            (over.expected_s - 600.0).abs() < 1e-3,
            "{}",
            over.expected_s
        );
        // The four steps go together enough that a tenth of the paths is never over it, and a tenth always.
        assert_eq!(over.quantiles_s, [0, 1_200]);
    }
}
