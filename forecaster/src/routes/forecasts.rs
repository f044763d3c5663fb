//! `/api/v1/hosts/{host}/forecasts`: where a host is heading.

use actix_web::{get, web};
use chrono::{DateTime, Utc};
use headroom_openapi::problem::Problem;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::instant;
use crate::{
    app::App,
    backtest::Scores,
    error::ApiError,
    grid::STEP_S,
    quantile::{HORIZON_STEPS, LEVELS, QuantilePath},
    serving::{HostForecast, Served, Status, Unserved},
    target::Kind,
};

/// Four hours of five minutes.
const HORIZON_DEFAULT: usize = 48;

/// What is asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ForecastQuery {
    /// One target by its name; all of the host's where it is left out.
    #[param(example = "disk.used_percent{path=/}")]
    target: Option<String>,
    /// How many steps ahead; 48 where it is left out, and at most 8 hours.
    #[param(minimum = 1, maximum = 96, example = 48)]
    horizon: Option<u32>,
    /// The length of a step: a multiple of 5 minutes such as `5m`, `15m`, `1h`, or seconds; `5m` where it is left out.
    #[param(example = "5m")]
    step: Option<String>,
}

/// The forecasts of a host.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct HostForecastAnswer {
    /// The host.
    pub host: String,
    /// When they were made.
    pub issued_at: DateTime<Utc>,
    /// One a target.
    pub forecasts: Vec<ForecastAnswer>,
    /// Targets that cannot be forecast, and why.
    pub without_forecast: Vec<Unserved>,
}

/// The forecast of one target.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ForecastAnswer {
    /// The host.
    pub host: String,
    /// The target.
    pub metric: String,
    /// What its values can be.
    pub kind: Kind,
    /// Their unit.
    pub unit: String,
    /// When the forecast was made.
    pub issued_at: DateTime<Utc>,
    /// Everything before this time is known; the forecast begins here.
    pub data_until: DateTime<Utc>,
    /// The length of a step, in seconds.
    pub step_s: u32,
    /// What made it.
    pub model: ModelAnswer,
    /// How far it may be relied on.
    pub status: Status,
    /// The age of the newest data, in seconds.
    pub staleness_s: i64,
    /// The newest value.
    pub value_now: f64,
    /// The probabilities of the quantiles.
    pub quantile_levels: Vec<f64>,
    /// The beginning of each step.
    pub timestamps: Vec<DateTime<Utc>>,
    /// The quantiles: one list a level, one value a step in it.
    pub quantiles: Vec<Vec<f64>>,
    /// The errors of the backtest; null when the history was too short for one.
    pub metrics: Option<ErrorsAnswer>,
    /// The threshold; null when there is none.
    pub threshold: Option<ThresholdOutlook>,
}

/// The model that made a forecast.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ModelAnswer {
    /// The host and the version; null before the first train.
    pub id: Option<String>,
    /// The version; null before the first train.
    pub version: Option<String>,
    /// `champion`; null before the first train.
    pub alias: Option<String>,
    /// What kind of model it is, such as `lstm`.
    pub kind: String,
    /// When it was trained; null before the first train.
    pub trained_at: Option<DateTime<Utc>>,
    /// Why it is not the network; null when it is.
    pub fallback_reason: Option<String>,
}

/// The errors of a model over its backtest, in the unit of the target.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ErrorsAnswer {
    /// The errors.
    #[serde(flatten)]
    pub scores: Scores,
    /// The mean absolute error divided by that of seasonal naive: below 1 is better; null when that makes no error.
    pub vs_seasonal_naive: Option<f64>,
}

/// When a target crosses its threshold.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ThresholdOutlook {
    /// The threshold.
    pub value: f64,
    /// The probability that it is reached within the horizon.
    pub p_cross: f64,
    /// Seconds from the time of issue before which it is reached with probability 0.1; 0: it is reached now; null: not
    /// within the horizon.
    pub eta_p10: Option<i64>,
    /// The same with probability 0.5.
    pub eta_p50: Option<i64>,
    /// The same with probability 0.9.
    pub eta_p90: Option<i64>,
}

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
        (status = 200, description = "The forecasts", body = HostForecastAnswer, example = json!({
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
        })),
        (status = 400, description = "The horizon or the step is out of range", body = Problem, content_type = "application/problem+json"),
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
) -> Result<web::Json<HostForecastAnswer>, ApiError> {
    let asked = Asked::check(&query)?;
    let steps = asked.horizon * asked.stride;
    let forecast = app
        .serving
        .forecast(&host, query.target.as_deref(), steps)
        .await?;
    Ok(web::Json(answer(forecast, asked.stride)))
}

/// Checked parameters: steps to answer, and how many of the model's steps make one of them.
struct Asked {
    horizon: usize,
    stride: usize,
}

impl Asked {
    fn check(query: &ForecastQuery) -> Result<Self, ApiError> {
        let stride = match &query.step {
            None => 1,
            Some(step) => {
                stride(step).ok_or_else(|| ApiError::StepInvalid { step: step.clone() })?
            }
        };
        let most = HORIZON_STEPS / stride;
        let horizon = query
            .horizon
            .map_or(HORIZON_DEFAULT.min(most), |horizon| horizon as usize);
        if (1..=most).contains(&horizon) {
            Ok(Self { horizon, stride })
        } else {
            Err(ApiError::HorizonOutOfRange {
                horizon: query.horizon.unwrap_or_default(),
                step_s: stride as u32 * STEP_S,
                most,
            })
        }
    }
}

/// Reads a step as a number of the model's steps.
fn stride(step: &str) -> Option<usize> {
    let digits = step.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit_s = match &step[digits.len()..] {
        "" | "s" => 1,
        "m" | "min" => 60,
        "h" => 3_600,
        _ => return None,
    };
    let step_s = digits.parse::<usize>().ok()?.checked_mul(unit_s)?;
    let stride = step_s / STEP_S as usize;
    (step_s % STEP_S as usize == 0 && (1..=HORIZON_STEPS).contains(&stride)).then_some(stride)
}

fn answer(forecast: HostForecast, stride: usize) -> HostForecastAnswer {
    HostForecastAnswer {
        issued_at: instant(forecast.issued_at_s),
        forecasts: forecast
            .served
            .iter()
            .map(|served| target(&forecast, served, stride))
            .collect(),
        host: forecast.host,
        without_forecast: forecast.unserved,
    }
}

fn target(host: &HostForecast, served: &Served, stride: usize) -> ForecastAnswer {
    let forecast = &served.forecast;
    ForecastAnswer {
        host: host.host.clone(),
        metric: forecast.metric.clone(),
        kind: forecast.kind,
        unit: forecast.unit.clone(),
        issued_at: instant(host.issued_at_s),
        data_until: instant(forecast.data_until_s),
        step_s: forecast.step_s * stride as u32,
        model: model(host, served),
        status: served.status,
        staleness_s: served.staleness_s,
        value_now: forecast.newest_value,
        quantile_levels: LEVELS.to_vec(),
        timestamps: forecast
            .timestamps_s
            .iter()
            .step_by(stride)
            .copied()
            .map(instant)
            .collect(),
        quantiles: strided(&forecast.path, forecast.kind, stride)
            .levels()
            .to_vec(),
        metrics: forecast.scores.clone().map(|scores| ErrorsAnswer {
            vs_seasonal_naive: scores.skill.map(|skill| 1.0 - skill),
            scores,
        }),
        threshold: served
            .threshold
            .value
            .zip(served.outlook)
            .map(|(value, outlook)| ThresholdOutlook {
                value,
                p_cross: outlook.p_cross,
                eta_p10: outlook.eta_p10,
                eta_p50: outlook.eta_p50,
                eta_p90: outlook.eta_p90,
            }),
    }
}

fn model(host: &HostForecast, served: &Served) -> ModelAnswer {
    let champion = host.champion.as_ref();
    let version = champion.map(|champion| champion.version.clone());
    ModelAnswer {
        id: version
            .as_ref()
            .map(|version| format!("{}/{version}", host.host)),
        alias: version.as_ref().map(|_| "champion".to_owned()),
        version,
        kind: served.forecast.model.name().to_owned(),
        trained_at: champion.map(|champion| instant(champion.manifest().trained_at_s)),
        fallback_reason: served.forecast.fallback_reason.clone(),
    }
}

/// Averages steps. Quantiles are averaged level by level, as if the errors within a step all went the same way: the
/// interval is never too narrow.
fn strided(path: &QuantilePath, kind: Kind, stride: usize) -> QuantilePath {
    if stride == 1 {
        return path.clone();
    }
    QuantilePath::from_fn(path.steps() / stride, kind, |level, step| {
        let values = &path.levels()[level][step * stride..(step + 1) * stride];
        values.iter().sum::<f64>() / stride as f64
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_multiples_of_five_minutes() {
        for (step, expected) in [
            ("300", 1),
            ("5m", 1),
            ("15m", 3),
            ("1h", 12),
            ("3600s", 12),
            ("8h", 96),
        ] {
            assert_eq!(stride(step), Some(expected), "{step}");
        }
        for step in [
            "",
            "0",
            "7m",
            "9h",
            "5d",
            "m",
            "-5m",
            "99999999999999999999h",
            "5µ",
        ] {
            assert_eq!(stride(step), None, "{step}");
        }
    }

    #[test]
    fn the_horizon_ends_after_eight_hours() {
        let query = |horizon, step: &str| ForecastQuery {
            target: None,
            horizon,
            step: Some(step.to_owned()),
        };
        let of = |horizon, step| Asked::check(&query(horizon, step)).map(|asked| asked.horizon);
        assert_eq!(of(None, "5m").expect("a default"), 48);
        assert_eq!(of(None, "1h").expect("a shorter default"), 8);
        assert_eq!(of(Some(96), "5m").expect("the longest"), 96);
        for (horizon, step) in [(0, "5m"), (97, "5m"), (9, "1h")] {
            assert!(matches!(
                of(Some(horizon), step),
                Err(ApiError::HorizonOutOfRange { .. })
            ));
        }
    }

    #[test]
    fn longer_steps_are_means() {
        let path = QuantilePath::from_fn(6, Kind::Gauge, |level, step| (10 * step + level) as f64);
        let longer = strided(&path, Kind::Gauge, 3);
        assert_eq!(longer.levels()[0], [10.0, 40.0]);
        assert_eq!(longer.levels()[10], [20.0, 50.0]);
    }
}
