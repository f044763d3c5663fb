//! `/api/v1/predict`: forecasts of values that come along.

use actix_web::{post, web};
use chrono::{DateTime, Utc};
use headroom_openapi::problem::Problem;
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use serde_json::{Map, Value};
use utoipa::{
    ToSchema,
    openapi::schema::{Array, ArrayBuilder, ObjectBuilder, SchemaType, Type},
};

use super::{
    forecasts::{ErrorsAnswer, levels},
    instant, object,
};
use crate::{
    ad_hoc::{self, Candidate},
    app::App,
    error::ApiError,
    quantile::HORIZON_STEPS,
    statistical::Past,
    target::Kind,
};

/// A month of five-minute values and a few more.
const VALUES_MAX: usize = 10_000;
/// The steps that are forecast where nobody says how many.
const HORIZON_DEFAULT: usize = 48;
/// The longest step: a week.
const STEP_MAX_S: u32 = 7 * 86_400;
/// Every percentile, and the ends.
const QUANTILES_MAX: usize = 101;
/// The longest season that may be named.
const SEASON_MAX: usize = 2_016;
/// Beyond this a 32-bit number has no room for sums.
const VALUE_MAX: f64 = 1e30;
/// The year 2100.
const START_MAX_S: i64 = 4_102_444_800;

/// Values, and what is asked of them.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PredictRequest {
    /// The values, oldest first, one a step; null where one is missing, which the first is not.
    #[schema(schema_with = values_schema)]
    pub values: Vec<Option<f64>>,
    /// The length of a step, in seconds; 300 where it is left out.
    #[serde(default, deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 604_800)]
    pub step_s: Option<u32>,
    /// The beginning of the first step, from 1970 to 2100; where it is left out, the values end now.
    #[serde(default)]
    #[schema(pattern = "^(19[7-9]|20[0-9])[0-9]-")]
    pub start: Option<DateTime<Utc>>,
    /// How many steps ahead; 48 where it is left out.
    #[serde(default, deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 96)]
    pub horizon: Option<u32>,
    /// What the values can be; a gauge where it is left out.
    #[serde(default)]
    pub kind: Option<Kind>,
    /// The steps of a season that is known, beside a day and a week.
    #[serde(default, deserialize_with = "whole")]
    #[schema(minimum = 2, maximum = 2016)]
    pub season_steps: Option<u32>,
    /// The model; the best on the values' own last part where it is left out.
    #[serde(default)]
    pub model: Option<PredictModel>,
    /// The probabilities of the quantiles, between 0 and 1; the deciles, 0.025 and 0.975 where they are left out.
    #[serde(default)]
    #[schema(max_items = 101)]
    pub quantiles: Option<Vec<Probability>>,
}

/// A probability: a millionth from 0 and from 1 at least, beyond which a forecast says nothing.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[schema(minimum = 0.000_001, maximum = 0.999_999)]
pub struct Probability(f64);

/// Reads a whole number, also where JSON writes it as 16.0.
fn whole<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<u32>, D::Error> {
    let number = Option::<f64>::deserialize(reader)?;
    let is_whole =
        |number: &f64| number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(number);
    match number {
        Some(number) if !is_whole(&number) => Err(D::Error::custom(format!(
            "{number} is no whole number of steps or seconds"
        ))),
        number => Ok(number.map(|number| number as u32)),
    }
}

/// Values whose first is a number: a series begins with what was observed.
fn values_schema() -> Array {
    let number = || {
        ObjectBuilder::new()
            .minimum(Some(-VALUE_MAX))
            .maximum(Some(VALUE_MAX))
    };
    let first = number().schema_type(Type::Number);
    let nullable = number().schema_type(SchemaType::from_iter([Type::Number, Type::Null]));
    ArrayBuilder::new()
        .description(Some("The values, oldest first, one a step; null where one is missing, which the first is not."))
        .prefix_items([first])
        .items(nullable)
        .min_items(Some(1))
        .max_items(Some(VALUES_MAX))
        .build()
}

/// The models that may be asked for.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PredictModel {
    /// The newest value goes on.
    Persistence,
    /// The value a season ago, or a day ago where no season is named.
    SeasonalNaive,
    /// Exponential smoothing.
    Ets,
    /// The optimised theta model.
    Theta,
    /// Seasons of a day and a week by loess, and exponential smoothing of the rest.
    MstlEts,
    /// Seasonal ARIMA with a season of an hour, which takes seconds.
    Sarima,
}

/// The forecast of values that came along.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PredictAnswer {
    /// What made it.
    pub model: String,
    /// Why it is not the model that was asked for; null when it is, or none was.
    pub fallback_reason: Option<String>,
    /// The length of a step, in seconds.
    pub step_s: u32,
    /// The probabilities of the quantiles.
    pub quantile_levels: Vec<f64>,
    /// The beginning of each step.
    pub timestamps: Vec<DateTime<Utc>>,
    /// The quantiles: one list a level, one value a step in it.
    pub quantiles: Vec<Vec<f64>>,
    /// The errors at origins within the values, beside the naive forecast's; null when the values are too few.
    pub metrics: Option<ErrorsAnswer>,
}

/// Forecast values that come along
///
/// No host, no stored model: statistical models are fitted to the values on the spot, judged on their last part, and the
/// best one answers. Two requests compute at a time, others wait up to ten seconds; a computation may take thirty.
#[utoipa::path(
    tag = "forecasts",
    operation_id = "predict",
    request_body(content = PredictRequest, description = "The values", example = json!({
        "values": [41.0, 43.5, null, 44.1, 46.0], "step_s": 300, "start": "2026-11-21T11:35:00Z", "horizon": 2,
        "kind": "percent", "quantiles": [0.1, 0.5, 0.9]
    })),
    responses(
        (status = 200, description = "The forecast", body = PredictAnswer, example = json!({
            "model": "persistence", "fallback_reason": null, "step_s": 300, "quantile_levels": [0.1, 0.5, 0.9],
            "timestamps": ["2026-11-21T12:00:00Z", "2026-11-21T12:05:00Z"],
            "quantiles": [[44.9, 44.9], [46.0, 46.0], [47.2, 47.2]], "metrics": null
        })),
        (status = 400, description = "The body cannot be read, or a value is out of range", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No known token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The token lacks the scope write", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "No value was observed, or the model takes too long over these", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Others have been computing for ten seconds", body = Problem, content_type = "application/problem+json"),
    )
)]
#[post("/api/v1/predict")]
pub(crate) async fn predict(
    app: web::Data<App>,
    body: web::Json<Map<String, Value>>,
) -> Result<web::Json<PredictAnswer>, ApiError> {
    let request: PredictRequest = object(body.into_inner())?;
    let asked = Asked::check(&request, app.clock.now_s())?;
    let answer = app.predicting.take(move || asked.answer()).await??;
    Ok(web::Json(answer))
}

/// A checked request.
struct Asked {
    values: Vec<f32>,
    start_s: i64,
    step_s: u32,
    horizon: usize,
    kind: Kind,
    season_steps: Option<usize>,
    candidate: Option<Candidate>,
    levels: Vec<f64>,
}

impl Asked {
    fn check(request: &PredictRequest, now_s: i64) -> Result<Self, ApiError> {
        bounded("the number of values", request.values.len(), 1, VALUES_MAX)?;
        if request
            .values
            .iter()
            .flatten()
            .any(|value| value.abs() > VALUE_MAX)
        {
            return Err(ApiError::RequestInvalid {
                reason: format!("a value is beyond {VALUE_MAX:e}; scale the values"),
            });
        }
        if request.values[0].is_none() {
            return Err(ApiError::RequestInvalid {
                reason: "the first value is missing; begin with the first that was observed"
                    .to_owned(),
            });
        }
        let values: Vec<f32> = request
            .values
            .iter()
            .map(|value| value.map_or(f32::NAN, |value| value as f32))
            .collect();
        let step_s = request.step_s.unwrap_or(crate::grid::STEP_S);
        bounded("step_s", step_s as usize, 1, STEP_MAX_S as usize)?;
        let horizon = request
            .horizon
            .map_or(HORIZON_DEFAULT, |horizon| horizon as usize);
        bounded("horizon", horizon, 1, HORIZON_STEPS)?;
        let season_steps = request.season_steps.map(|steps| steps as usize);
        if let Some(steps) = season_steps {
            bounded("season_steps", steps, 2, SEASON_MAX)?;
        }
        let start_s = request
            .start
            .map_or(now_s - values.len() as i64 * i64::from(step_s), |start| {
                start.timestamp()
            });
        if request.start.is_some() && !(0..START_MAX_S).contains(&start_s) {
            return Err(ApiError::RequestInvalid {
                reason:
                    "start is not between 1970 and 2100; write a time such as 2026-11-21T11:35:00Z"
                        .to_owned(),
            });
        }
        let quantiles = request.quantiles.as_deref().unwrap_or_default();
        bounded("the number of quantiles", quantiles.len(), 0, QUANTILES_MAX)?;
        if let Some(Probability(level)) = quantiles
            .iter()
            .find(|level| !(1e-6..=0.999_999).contains(&level.0))
        {
            return Err(ApiError::RequestInvalid {
                reason: format!(
                    "{level} is no quantile; write probabilities from 0.000001 to 0.999999"
                ),
            });
        }
        let listed = quantiles
            .iter()
            .map(|level| level.0.to_string())
            .collect::<Vec<_>>()
            .join(",");
        Ok(Self {
            values,
            start_s,
            step_s,
            horizon,
            kind: request.kind.unwrap_or(Kind::Gauge),
            season_steps,
            candidate: request.model.map(|model| candidate(model, season_steps)),
            levels: levels(
                Some(listed.as_str()).filter(|listed| !listed.is_empty()),
                None,
            )?,
        })
    }

    fn answer(&self) -> Result<PredictAnswer, ApiError> {
        let past = Past {
            start_s: self.start_s,
            step_s: self.step_s,
            values: &self.values,
        };
        let forecast = ad_hoc::forecast(
            past,
            self.season_steps,
            self.candidate,
            self.horizon,
            self.kind,
        )?;
        let end_s = self.start_s + self.values.len() as i64 * i64::from(self.step_s);
        let time = |step: usize| instant(end_s + step as i64 * i64::from(self.step_s));
        Ok(PredictAnswer {
            fallback_reason: self
                .candidate
                .filter(|asked| *asked != forecast.candidate)
                .map(|asked| {
                    format!(
                        "the {} values are too few for {}, so the newest one goes on",
                        self.values.len(),
                        asked.name()
                    )
                }),
            model: forecast.candidate.name().to_owned(),
            step_s: self.step_s,
            timestamps: (0..self.horizon).map(time).collect(),
            quantiles: self
                .levels
                .iter()
                .map(|level| forecast.path.at(*level, self.kind))
                .collect(),
            quantile_levels: self.levels.clone(),
            metrics: forecast.scores.map(ErrorsAnswer::of),
        })
    }
}

fn candidate(model: PredictModel, season_steps: Option<usize>) -> Candidate {
    match model {
        PredictModel::Persistence => Candidate::Persistence,
        PredictModel::SeasonalNaive => {
            season_steps.map_or(Candidate::SeasonalNaiveDay, Candidate::SeasonalNaive)
        }
        PredictModel::Ets => Candidate::Ets,
        PredictModel::Theta => Candidate::Theta,
        PredictModel::MstlEts => Candidate::MstlEts,
        PredictModel::Sarima => Candidate::Sarima,
    }
}

fn bounded(name: &str, number: usize, least: usize, most: usize) -> Result<(), ApiError> {
    if (least..=most).contains(&number) {
        Ok(())
    } else {
        Err(ApiError::RequestInvalid {
            reason: format!("{name} is {number}; it may be {least} to {most}"),
        })
    }
}
