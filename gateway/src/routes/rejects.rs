//! The lines that were refused: listed, replayed, removed.

use actix_web::{
    HttpRequest, delete, get, post,
    web::{Data, Json, Query},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, SecondsFormat};
use headroom_openapi::{access::Scope, problem::Problem};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use super::{admission, trace};
use crate::{
    error::{ApiError, Dialect, Failure},
    rejects::{Filter, Reject},
    state::State,
};

/// Rejects of one page.
const LIST_LIMIT_DEFAULT: usize = 100;
const LIST_LIMIT_MOST: usize = 1_000;
/// Rejects of one replay.
const REPLAY_LIMIT_DEFAULT: usize = 10_000;
const REPLAY_LIMIT_MOST: usize = 100_000;

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(list).service(remove).service(replay);
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Listed {
    /// Only those that broke this rule.
    #[param(example = "field_type")]
    reason: Option<String>,
    /// Only those of this measurement.
    #[param(example = "cpu")]
    measurement: Option<String>,
    /// Only those of this token (its name) or address.
    #[param(example = "10.0.0.7")]
    client: Option<String>,
    /// Only those with a smaller id: the `next` of the page before.
    #[param(example = 18)]
    before: Option<i64>,
    /// At most so many; without it 100.
    #[param(minimum = 1, maximum = 1_000)]
    limit: Option<usize>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Replay {
    /// Only those that broke this rule.
    #[param(example = "field_type")]
    reason: Option<String>,
    /// Only those of this measurement.
    #[param(example = "cpu")]
    measurement: Option<String>,
    /// Only those of this token (its name) or address.
    #[param(example = "10.0.0.7")]
    client: Option<String>,
    /// Only those with a larger id: the `next` of the replay before.
    #[param(example = 0)]
    after: Option<i64>,
    /// At most so many; without it 10,000.
    #[param(minimum = 1, maximum = 100_000)]
    limit: Option<usize>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Removal {
    /// Only those that broke this rule.
    #[param(example = "field_type")]
    reason: Option<String>,
    /// Only those of this measurement.
    #[param(example = "cpu")]
    measurement: Option<String>,
    /// Only those of this token (its name) or address.
    #[param(example = "10.0.0.7")]
    client: Option<String>,
}

fn filter(reason: Option<String>, measurement: Option<String>, client: Option<String>) -> Filter {
    Filter {
        reason,
        measurement,
        client,
    }
}

fn within(limit: Option<usize>, default: usize, most: usize) -> Result<usize, Failure> {
    let limit = limit.unwrap_or(default);
    if (1..=most).contains(&limit) {
        return Ok(limit);
    }
    Err(Failure::Invalid(format!(
        "the parameter limit is {limit}; it can be 1 to {most}"
    )))
}

/// A line that was refused.
#[derive(Serialize, ToSchema)]
struct RefusedLine {
    /// Its number, which grows.
    #[schema(example = 17)]
    id: i64,
    /// When it was refused.
    #[schema(example = "2025-01-01T00:00:00.000000000Z")]
    time: String,
    /// The name of the token that it was pushed with; empty without tokens.
    #[schema(example = "web-fleet")]
    client: String,
    /// The address that it was pushed from; empty where it is not known.
    #[schema(example = "10.0.0.7")]
    address: String,
    /// The destination whose InfluxDB refused it, once its push was answered; null: the gateway refused it.
    #[schema(example = "influxdb")]
    destination: Option<String>,
    /// The rule that it broke, as in `headroom_lines_rejected_total`.
    #[schema(example = "field_type")]
    reason: String,
    /// What was wrong, and what would be right; for `upstream` the words of InfluxDB.
    message: String,
    /// Its number in its batch, from 1.
    #[schema(example = 3)]
    line_number: usize,
    /// The byte in `line` where it was, from 1.
    #[schema(example = 9)]
    column: Option<usize>,
    /// The database.
    #[schema(example = "telegraf")]
    database: String,
    /// The retention policy, if one was named.
    retention_policy: Option<String>,
    /// The unit of the timestamp, as `/write` names it.
    #[schema(example = "n")]
    precision: String,
    /// The measurement, as far as the line has one.
    #[schema(example = "cpu")]
    measurement: String,
    /// The line.
    #[schema(example = "cpu,host=web-1 usage_idle=\"high\"")]
    line: String,
    /// The line's bytes, if they are no UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    line_base64: Option<String>,
}

impl From<Reject> for RefusedLine {
    fn from(reject: Reject) -> Self {
        let is_text = std::str::from_utf8(&reject.line).is_ok();
        Self {
            id: reject.id,
            time: DateTime::from_timestamp_nanos(reject.time_ns)
                .to_rfc3339_opts(SecondsFormat::Nanos, true),
            client: reject.source.client.clone(),
            address: reject.source.peer.clone(),
            destination: reject.destination.map(|name| name.to_string()),
            reason: reject.reason,
            message: reject.message,
            line_number: reject.number,
            column: reject.column,
            database: reject.source.database.clone(),
            retention_policy: reject.source.retention_policy.clone(),
            precision: reject.source.precision.word().to_owned(),
            measurement: reject.measurement,
            line: String::from_utf8_lossy(&reject.line).into_owned(),
            line_base64: (!is_text).then(|| STANDARD.encode(&reject.line)),
        }
    }
}

/// A page of rejects, the newest first.
#[derive(Serialize, ToSchema)]
struct RejectsPage {
    /// The rejects.
    rejects: Vec<RefusedLine>,
    /// What to give as `before` for the next page; null: this was the last.
    next: Option<i64>,
    /// How many are kept in all.
    kept: u64,
    /// How many bytes they take on disk.
    kept_bytes: u64,
}

/// What a replay has done.
#[derive(Serialize, ToSchema)]
struct ReplayReport {
    /// Lines that were accepted, and are rejects no more.
    #[schema(example = 240)]
    accepted: u64,
    /// Lines that were refused again; they stay, with today's reason.
    #[schema(example = 2)]
    refused: u64,
    /// What to give as `after` to go on; null: there are no more.
    next: Option<i64>,
}

/// How many rejects were removed.
#[derive(Serialize, ToSchema)]
struct Removed {
    /// How many.
    #[schema(example = 12)]
    removed: u64,
}

type Asked<T> = Result<Query<T>, actix_web::Error>;

/// List refused lines
///
/// Answers the lines that were refused, the newest first, with when, from whom and why. They are kept up to
/// `HEADROOM_REJECTS_MAX_BYTES` and `HEADROOM_REJECTS_MAX_AGE_H`.
#[utoipa::path(
    tag = "rejects",
    operation_id = "listRejects",
    params(Listed),
    responses(
        (status = 200, description = "A page of rejects", body = RejectsPage),
        (status = 400, description = "A parameter is wrong", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No known token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The token lacks the scope `read`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The gateway is starting, or the rejects cannot be read", body = Problem, content_type = "application/problem+json"),
    )
)]
#[get("/api/v1/rejects")]
async fn list(
    state: Data<State>,
    request: HttpRequest,
    asked: Asked<Listed>,
) -> Result<Json<RejectsPage>, ApiError> {
    let page = async {
        admission::check(&request, Scope::Read)?;
        admission::check_unbound(&request)?;
        let Query(asked) = asked.map_err(super::bad_query)?;
        let limit = within(asked.limit, LIST_LIMIT_DEFAULT, LIST_LIMIT_MOST)?;
        let filter = filter(asked.reason, asked.measurement, asked.client);
        let rejects = &state.core()?.rejects;
        let found = rejects.newest(filter, asked.before, limit).await?;
        let last = found.last().map(|reject| reject.id);
        let (kept, kept_bytes) = rejects.usage();
        Ok(Json(RejectsPage {
            next: last.filter(|_| found.len() == limit),
            rejects: found.into_iter().map(RefusedLine::from).collect(),
            kept,
            kept_bytes,
        }))
    };
    page.await.map_err(problem)
}

/// Remove refused lines
///
/// Removes the rejects that match; without a parameter, all of them.
#[utoipa::path(
    tag = "rejects",
    operation_id = "removeRejects",
    params(Removal),
    responses(
        (status = 200, description = "They are gone", body = Removed),
        (status = 400, description = "A parameter is wrong", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No known token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The token lacks the scope `admin`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The gateway is starting, or the rejects cannot be written", body = Problem, content_type = "application/problem+json"),
    )
)]
#[delete("/api/v1/rejects")]
async fn remove(
    state: Data<State>,
    request: HttpRequest,
    asked: Asked<Removal>,
) -> Result<Json<Removed>, ApiError> {
    let done = async {
        admission::check(&request, Scope::Admin)?;
        let Query(asked) = asked.map_err(super::bad_query)?;
        let filter = filter(asked.reason, asked.measurement, asked.client);
        let removed = state.core()?.rejects.remove(filter).await?;
        Ok(Json(Removed { removed }))
    };
    done.await.map_err(problem)
}

/// Replay refused lines
///
/// Pushes the rejects that match once more, the oldest first, as if their clients did: the lines that are accepted now are
/// on disk and no rejects any more; those that are refused again stay, with today's reason. A line without a timestamp
/// gets the time at which it came first. If the gateway is killed meanwhile, a line may be written twice, which
/// makes no difference.
#[utoipa::path(
    tag = "rejects",
    operation_id = "replayRejects",
    params(Replay),
    responses(
        (status = 200, description = "What has become of them", body = ReplayReport),
        (status = 400, description = "A parameter is wrong", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No known token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The token lacks the scope `admin`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The rest was not replayed; ask again", body = Problem, content_type = "application/problem+json"),
    )
)]
#[post("/api/v1/rejects/replay")]
async fn replay(
    state: Data<State>,
    request: HttpRequest,
    asked: Asked<Replay>,
) -> Result<Json<ReplayReport>, ApiError> {
    let done = async {
        admission::check(&request, Scope::Admin)?;
        let Query(asked) = asked.map_err(super::bad_query)?;
        let limit = within(asked.limit, REPLAY_LIMIT_DEFAULT, REPLAY_LIMIT_MOST)?;
        let filter = filter(asked.reason, asked.measurement, asked.client);
        let after = asked.after.unwrap_or(0);
        let request_id = trace::id_of(&request);
        let replayed = state.replay(filter, after, limit, request_id).await?;
        Ok(Json(ReplayReport {
            accepted: replayed.accepted,
            refused: replayed.refused,
            next: replayed.next,
        }))
    };
    done.await.map_err(problem)
}

fn problem(failure: Failure) -> ApiError {
    failure.for_dialect(Dialect::Problem)
}
