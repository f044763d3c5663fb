//! `/api/v1/hosts/{host}/quality`: how good forecasts were.

use actix_web::{get, web};
use chrono::{DateTime, Utc};
use headroom_openapi::problem::Problem;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::instant;
use crate::{
    app::App,
    error::ApiError,
    grid::STEP_S,
    history::Span,
    quality::{self, AtLead, Errors},
    registry::TargetScores,
    serving::ServeError,
};

/// Long enough for every hour of the day to count three times.
const HOURS_DEFAULT: u32 = 72;
/// Four weeks.
const HOURS_MOST: u32 = 672;
const HOUR_S: i64 = 3_600;

/// What is asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct QualityQuery {
    /// One target by its name; all of the host's where it is left out.
    #[param(example = "cpu.usage")]
    target: Option<String>,
    /// How many hours back; 72 where it is left out.
    #[param(minimum = 1, maximum = 672, example = 72)]
    hours: Option<u32>,
    /// The hours of a bucket of `over_time`; 24 where it is left out.
    #[param(minimum = 1, maximum = 168, example = 24)]
    bucket_hours: Option<u32>,
}

/// How good the forecasts of a host were.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct QualityAnswer {
    /// The host.
    pub host: String,
    /// Forecasts of instants from this time on are compared.
    pub from: DateTime<Utc>,
    /// Instants before this time.
    pub until: DateTime<Utc>,
    /// One a target.
    pub targets: Vec<TargetQuality>,
}

/// How good the forecasts of one target were.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct TargetQuality {
    /// The target.
    pub metric: String,
    /// The unit of the errors.
    pub unit: String,
    /// What was written against what came, by how far ahead it was written.
    pub leads: Vec<LeadQuality>,
    /// The backtest of what served after each training, the newest first; pruned models keep theirs.
    pub trainings: Vec<TargetScores>,
}

/// The errors at one lead.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct LeadQuality {
    /// How far ahead, in seconds.
    pub lead_s: u32,
    /// Over the whole time.
    pub whole: ErrorsSeen,
    /// The same in buckets, oldest first; those without a comparison are left out.
    pub over_time: Vec<BucketQuality>,
}

/// The errors within a bucket.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct BucketQuality {
    /// The bucket's beginning.
    pub from: DateTime<Utc>,
    /// Its errors.
    #[serde(flatten)]
    pub errors: ErrorsSeen,
}

/// Errors of forecasts that were written earlier; null where nothing could be compared.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ErrorsSeen {
    /// How many forecasts were compared with what came.
    pub count: usize,
    /// The mean absolute error of the median.
    pub mae: Option<f64>,
    /// The root of its mean squared error.
    pub rmse: Option<f64>,
    /// Twice the mean pinball loss over the quantiles 0.1, 0.5 and 0.9: a coarse CRPS.
    pub crps: Option<f64>,
    /// The share of values between the 0.1 and the 0.9 quantile; 0.8 is right.
    pub coverage80: Option<f64>,
    /// The mean absolute error of the value a day before.
    pub baseline_mae: Option<f64>,
}

/// Show how good forecasts were
///
/// Compares the forecasts that were written one, four and eight hours ahead with what came since, and shows the backtest
/// of every training. A target that was never written back has no comparisons yet.
#[utoipa::path(
    tag = "forecasts",
    operation_id = "forecastQuality",
    params(("host" = String, Path, description = "The host's name", example = "web-1"), QualityQuery),
    responses(
        (status = 200, description = "The errors", body = QualityAnswer, example = json!({
            "host": "web-1", "from": "2026-11-18T12:00:00Z", "until": "2026-11-21T12:00:00Z",
            "targets": [{
                "metric": "cpu.usage", "unit": "%",
                "leads": [{
                    "lead_s": 3600,
                    "whole": {"count": 860, "mae": 2.2, "rmse": 3.1, "crps": 1.7, "coverage80": 0.79, "baseline_mae": 3.6},
                    "over_time": [{"from": "2026-11-20T00:00:00Z", "count": 288, "mae": 2.4, "rmse": 3.3, "crps": 1.8,
                        "coverage80": 0.77, "baseline_mae": 3.5}]
                }],
                "trainings": [{"version": "000003", "trained_at": "2026-11-21T03:30:04Z", "serves": "lstm", "mae": 2.1,
                    "rmse": 3.4, "mase": 0.61, "crps": 1.5, "coverage80": 0.8, "skill": 0.364}]
            }]
        })),
        (status = 400, description = "A parameter is out of range", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No known token", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "The host or the target is unknown", body = Problem, content_type = "application/problem+json"),
        (status = 500, description = "The registry cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "The gateway refuses the token or a statement", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The gateway is away", body = Problem, content_type = "application/problem+json"),
    )
)]
#[get("/api/v1/hosts/{host}/quality")]
pub(crate) async fn of_host(
    app: web::Data<App>,
    host: web::Path<String>,
    query: web::Query<QualityQuery>,
) -> Result<web::Json<QualityAnswer>, ApiError> {
    let hours = within("hours", query.hours.unwrap_or(HOURS_DEFAULT), HOURS_MOST)?;
    let bucket_hours = within("bucket_hours", query.bucket_hours.unwrap_or(24), 168)?;
    let targets = app.serving.targets(&host, query.target.as_deref()).await?;
    let span = Span::before(app.clock.now_s(), hours as usize * 3_600 / STEP_S as usize);
    let measured = quality::measure(
        &app.gateway,
        &host,
        &targets,
        span,
        i64::from(bucket_hours) * HOUR_S,
    )
    .await;
    let measured = measured.map_err(ServeError::from)?;
    let (registry, name) = (app.champions.registry().clone(), host.clone());
    let trainings = web::block(move || registry.trainings(&name)).await;
    let trainings = trainings.map_err(|_| ApiError::Internal)??;
    let targets = targets
        .iter()
        .zip(measured)
        .map(|(target, leads)| TargetQuality {
            metric: target.metric.clone(),
            unit: target.unit.clone(),
            leads: leads.iter().map(LeadQuality::of).collect(),
            trainings: trainings
                .iter()
                .rev()
                .filter_map(|training| training.of(&target.metric))
                .collect(),
        });
    Ok(web::Json(QualityAnswer {
        from: instant(span.from_s),
        until: instant(span.until_s),
        targets: targets.collect(),
        host: host.into_inner(),
    }))
}

fn within(name: &str, number: u32, most: u32) -> Result<u32, ApiError> {
    if (1..=most).contains(&number) {
        Ok(number)
    } else {
        Err(ApiError::RequestInvalid {
            reason: format!("{name} is {number}; it may be 1 to {most}"),
        })
    }
}

impl LeadQuality {
    fn of(measured: &AtLead) -> Self {
        let over_time = measured.over_time.iter();
        Self {
            lead_s: measured.lead.hours as u32 * HOUR_S as u32,
            whole: ErrorsSeen::of(&measured.whole),
            over_time: over_time
                .map(|(from_s, errors)| BucketQuality {
                    from: instant(*from_s),
                    errors: ErrorsSeen::of(errors),
                })
                .collect(),
        }
    }
}

impl ErrorsSeen {
    fn of(errors: &Errors) -> Self {
        Self {
            count: errors.count,
            mae: errors.mae(),
            rmse: errors.rmse(),
            crps: errors.crps(),
            coverage80: errors.coverage80(),
            baseline_mae: errors.baseline_mae(),
        }
    }
}
