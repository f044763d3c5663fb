//! The forecasts of all hosts, page by page.

use std::ops::Bound;

use actix_web::{HttpRequest, HttpResponse, get, web};
use headroom_openapi::problem::Problem;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    answer::{FleetForecastAnswer, ForecastAnswer, WithoutForecast},
    asked::{Asked, ForecastQuery, Format},
    table::table,
};
use crate::{
    app::App,
    error::ApiError,
    routes::{
        freshness::{Body, Freshness},
        instant,
    },
    serving::{HostForecast, ServeError},
};

/// As many as are read at a glance, and computed in a moment.
const LIMIT_DEFAULT: usize = 20;
/// A page of a hundred hosts of ten targets is about ten megabytes.
const LIMIT_MOST: usize = 100;

/// Which hosts, and what is asked of each.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct FleetQuery {
    /// Hosts behind this name alone: the `next_after` of the page before; the first page where it is left out.
    #[param(example = "web-1")]
    after: Option<String>,
    /// How many hosts at most; 20 where it is left out.
    #[param(minimum = 1, maximum = 100, example = 20)]
    limit: Option<u32>,
    /// One target by its name, of the hosts that have it; all targets where it is left out.
    #[param(example = "cpu.usage")]
    target: Option<String>,
    /// How many steps ahead; 48 where it is left out. What lies behind the next 8 hours is left out.
    #[param(minimum = 1, maximum = 96, example = 48)]
    horizon: Option<u32>,
    /// The length of a step: a multiple of 5 minutes such as `5m`, `15m`, `1h`, or seconds; `5m` where it is left out.
    #[param(
        example = "1h",
        pattern = r"^((5|[1-9][05]|[1-3][0-9][05]|4[0-7][05]|480)m|[1-8]h)$"
    )]
    step: Option<String>,
    /// Probabilities between 0 and 1, with commas between them.
    #[param(
        example = "0.1,0.5,0.9",
        pattern = r"^0\.[0-9]{0,6}[1-9][0-9]{0,6}(,0\.[0-9]{0,6}[1-9][0-9]{0,6}){0,100}$"
    )]
    quantiles: Option<String>,
    /// Central intervals in percent, with commas between them; they come with the median.
    #[param(
        example = "80",
        pattern = r"^(0\.[0-9]{0,6}[1-9][0-9]{0,6}|[1-9][0-9]?(\.[0-9]{1,9})?)(,(0\.[0-9]{0,6}[1-9][0-9]{0,6}|[1-9][0-9]?(\.[0-9]{1,9})?)){0,32}$"
    )]
    intervals: Option<String>,
    /// `json` where it is left out.
    #[param(inline)]
    format: Option<Format>,
}

/// Forecast the fleet
///
/// The forecasts of all hosts in order of their names, a page at a time: `next_after` of one page is `after` of the
/// next. What cannot be forecast is named with its reason and does not fail the page.
#[utoipa::path(
    tag = "forecasts",
    operation_id = "forecastFleet",
    params(FleetQuery),
    responses(
        (status = 200, description = "A page of forecasts", headers(
            ("ETag" = String, description = "Changes with the data, the models and the question"),
            ("Cache-Control" = String, description = "How long no newer data can be there"),
        ), content((FleetForecastAnswer = "application/json", example = json!({
            "issued_at": "2026-11-21T12:00:14Z",
            "forecasts": [{
                "host": "web-1", "metric": "cpu.usage", "kind": "percent", "unit": "%",
                "issued_at": "2026-11-21T12:00:14Z", "data_until": "2026-11-21T12:00:00Z", "step_s": 3600,
                "model": {"id": "web-1/000003", "version": "000003", "alias": "champion", "kind": "lstm",
                    "trained_at": "2026-11-21T03:30:04Z", "fallback_reason": null},
                "status": "ok", "staleness_s": 14, "value_now": 41.2, "quantile_levels": [0.1, 0.5, 0.9],
                "timestamps": ["2026-11-21T12:00:00Z"], "quantiles": [[38.0], [41.7], [46.1]],
                "metrics": null, "threshold": null
            }],
            "without_forecast": [{"host": "web-2", "metric": null, "reason": "no value lately"}],
            "next_after": "web-2"
        })), (String = "text/csv", example = "host,metric,time,status,model,data_until,q0.5\nweb-1,cpu.usage,2026-11-21T12:00:00Z,ok,ensemble,2026-11-21T12:00:00Z,41.7\n"))),
        (status = 304, description = "Nothing is newer than what `If-None-Match` names"),
        (status = 400, description = "A parameter is out of range", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No known token", body = Problem, content_type = "application/problem+json"),
        (status = 500, description = "Thresholds cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "The gateway refuses the token or a statement", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The gateway is away", body = Problem, content_type = "application/problem+json"),
    )
)]
#[get("/api/v1/forecasts")]
pub(crate) async fn of_fleet(
    app: web::Data<App>,
    query: web::Query<FleetQuery>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let query = query.into_inner();
    let limit = query.limit.map_or(LIMIT_DEFAULT, |limit| limit as usize);
    if !(1..=LIMIT_MOST).contains(&limit) {
        return Err(ApiError::RequestInvalid {
            reason: format!("limit is {limit}; it may be 1 to {LIMIT_MOST}"),
        });
    }
    let asked = Asked::check(&ForecastQuery {
        target: None,
        horizon: query.horizon,
        step: query.step,
        quantiles: query.quantiles,
        intervals: query.intervals,
        format: None,
    })?;
    let (hosts, next_after) =
        page(&app, query.after.as_deref(), query.target.as_deref(), limit).await?;
    let (mut forecasts, mut without_forecast) = (Vec::new(), Vec::new());
    for host in hosts {
        match app
            .serving
            .forecast(&host, query.target.as_deref(), asked.steps())
            .await
        {
            Ok(forecast) => forecasts.push(forecast),
            // It went between the page and its turn.
            Err(ServeError::HostUnknown { .. } | ServeError::TargetUnknown { .. }) => {}
            Err(ServeError::NothingServed { host, unserved }) => {
                without_forecast.extend(unserved.into_iter().map(|unserved| WithoutForecast {
                    host: host.clone(),
                    metric: Some(unserved.metric),
                    reason: unserved.reason,
                }));
            }
            Err(error @ ServeError::ModelBroke { .. }) => without_forecast.push(WithoutForecast {
                host,
                metric: None,
                reason: error.to_string(),
            }),
            Err(error @ (ServeError::Gateway(_) | ServeError::Ledger(_))) => {
                return Err(error.into());
            }
        }
    }
    let now_s = app.clock.now_s();
    let mut freshness = Freshness::of(&forecasts, &request, now_s);
    for without in &without_forecast {
        freshness.add(&without.host);
        freshness.add(&without.reason);
    }
    freshness.add(next_after.as_deref().unwrap_or_default());
    let answer = answer(&forecasts, without_forecast, next_after, &asked, now_s);
    freshness.answer(&request, || match query.format.unwrap_or_default() {
        Format::Json => Body::json(&answer),
        Format::Csv => Ok(Body::csv(table(&answer.forecasts))),
    })
}

/// The names of a page's hosts, and where the next page begins.
async fn page(
    app: &App,
    after: Option<&str>,
    target: Option<&str>,
    limit: usize,
) -> Result<(Vec<String>, Option<String>), ServeError> {
    let known = match app.fleet.known() {
        Some(known) => known,
        None => app.fleet.refresh().await?,
    };
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    let has_target =
        |host: &crate::discovery::Host| target.is_none_or(|target| host.target(target).is_some());
    let mut hosts: Vec<String> = known
        .range::<str, _>((from, Bound::Unbounded))
        .filter(|(_, host)| has_target(host))
        .map(|(name, _)| name.clone())
        .take(limit + 1)
        .collect();
    let is_last = hosts.len() <= limit;
    hosts.truncate(limit);
    let next_after = if is_last { None } else { hosts.last().cloned() };
    Ok((hosts, next_after))
}

fn answer(
    forecasts: &[HostForecast],
    mut without_forecast: Vec<WithoutForecast>,
    next_after: Option<String>,
    asked: &Asked,
    now_s: i64,
) -> FleetForecastAnswer {
    for forecast in forecasts {
        without_forecast.extend(forecast.unserved.iter().map(|unserved| WithoutForecast {
            host: forecast.host.clone(),
            metric: Some(unserved.metric.clone()),
            reason: unserved.reason.clone(),
        }));
    }
    let served = forecasts.iter().flat_map(|forecast| {
        forecast
            .served
            .iter()
            .map(move |served| ForecastAnswer::of(forecast, served, asked))
    });
    FleetForecastAnswer {
        issued_at: instant(now_s),
        forecasts: served.collect(),
        without_forecast,
        next_after,
    }
}
