//! The three ways to push line protocol.

use actix_web::{
    HttpRequest, HttpResponse, post,
    web::{Data, Payload, Query},
};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    app::State,
    body::Body,
    error::{ApiError, Dialect, Failure},
    ingest::Push,
    lines::Precision,
    openapi::{ErrorV1, ErrorV2, ErrorV3},
};

/// The longest name of a database or retention policy: what file systems and the store take.
const NAME_MAX_BYTES: usize = 255;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct WriteV2 {
    /// The bucket: `telegraf`, or `telegraf/week` for the retention policy `week` of the database `telegraf`.
    #[param(example = "telegraf")]
    bucket: Option<String>,
    /// The organisation; any is taken.
    #[param(example = "headroom")]
    #[serde(rename = "org")]
    _org: Option<String>,
    /// The unit of the timestamps: `ns` (default), `us`, `ms` or `s`.
    #[param(example = "ns")]
    precision: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct WriteV1 {
    /// The database.
    #[param(example = "telegraf")]
    db: Option<String>,
    /// The retention policy; without it the database's default.
    #[param(example = "autogen")]
    rp: Option<String>,
    /// The unit of the timestamps: `n` (default), `u`, `ms`, `s`, `m` or `h`.
    #[param(example = "s")]
    precision: Option<String>,
    /// The user's name, which is not looked at.
    #[serde(rename = "u")]
    _u: Option<String>,
    /// The token as a password.
    #[serde(rename = "p")]
    _p: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct WriteV3 {
    /// The database.
    #[param(example = "telegraf")]
    db: Option<String>,
    /// The unit of the timestamps: `nanosecond` (default), `microsecond`, `millisecond` or `second`.
    #[param(example = "nanosecond")]
    precision: Option<String>,
}

/// Where a batch goes, and in which unit its timestamps are.
struct Destination {
    database: String,
    retention_policy: Option<String>,
    precision: Precision,
}

/// Write points (InfluxDB 2)
///
/// Takes line protocol, gzipped or not, and answers 204 once it is on disk. Bad lines do not sink the batch: the answer
/// is then 400 and names them, and the others are stored.
#[utoipa::path(
    tag = "write",
    operation_id = "writeV2",
    params(WriteV2),
    request_body(content = String, content_type = "text/plain", description = "Line protocol", example = "cpu,cpu=cpu-total,host=web-1 usage_idle=92.5 1735689600000000000"),
    responses(
        (status = 204, description = "Every line is on disk and visible to queries"),
        (status = 400, description = "Lines were refused, or the request is wrong; what was accepted is stored", body = ErrorV2),
        (status = 401, description = "No known token", body = ErrorV2),
        (status = 403, description = "The token lacks the scope `write`", body = ErrorV2),
        (status = 413, description = "The body is too large", body = ErrorV2),
        (status = 415, description = "The content encoding is not known", body = ErrorV2),
        (status = 503, description = "Nothing was stored; send it again after `Retry-After` seconds", body = ErrorV2),
    )
)]
#[post("/api/v2/write")]
pub(super) async fn write_v2(
    state: Data<State>,
    request: HttpRequest,
    query: Result<Query<WriteV2>, actix_web::Error>,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let destination = query.map_err(super::bad_query).and_then(|Query(query)| {
        let bucket = query.bucket.unwrap_or_default();
        let (database, policy) = match bucket.split_once('/') {
            Some((database, policy)) => (database.to_owned(), Some(policy.to_owned())),
            None => (bucket, None),
        };
        let precision = Precision::of_v2(query.precision.as_deref().unwrap_or_default())?;
        destination("bucket", database, policy, precision)
    });
    write(&state, &request, destination, payload)
        .await
        .map_err(|failure| failure.for_dialect(Dialect::V2))
}

/// Write points (InfluxDB 1)
///
/// Takes line protocol, gzipped or not, and answers 204 once it is on disk. Bad lines do not sink the batch: the answer
/// is then 400 with `partial write`, and the others are stored.
#[utoipa::path(
    tag = "write",
    operation_id = "writeV1",
    params(WriteV1),
    request_body(content = String, content_type = "text/plain", description = "Line protocol", example = "mem,host=web-1 used_percent=41.2 1735689600"),
    responses(
        (status = 204, description = "Every line is on disk and visible to queries"),
        (status = 400, description = "Lines were refused, or the request is wrong; what was accepted is stored", body = ErrorV1),
        (status = 401, description = "No known token", body = ErrorV1),
        (status = 403, description = "The token lacks the scope `write`", body = ErrorV1),
        (status = 413, description = "The body is too large", body = ErrorV1),
        (status = 415, description = "The content encoding is not known", body = ErrorV1),
        (status = 503, description = "Nothing was stored; send it again", body = ErrorV1),
    )
)]
#[post("/write")]
pub(super) async fn write_v1(
    state: Data<State>,
    request: HttpRequest,
    query: Result<Query<WriteV1>, actix_web::Error>,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let destination = query.map_err(super::bad_query).and_then(|Query(query)| {
        let precision = Precision::of_v1(query.precision.as_deref().unwrap_or_default())?;
        destination("db", query.db.unwrap_or_default(), query.rp, precision)
    });
    write(&state, &request, destination, payload)
        .await
        .map_err(|failure| failure.for_dialect(Dialect::V1))
}

/// Write points (InfluxDB 3)
///
/// Takes line protocol, gzipped or not, and answers 204 once it is on disk. Bad lines do not sink the batch: the answer
/// is then 400 and lists them, and the others are stored.
#[utoipa::path(
    tag = "write",
    operation_id = "writeV3",
    params(WriteV3),
    request_body(content = String, content_type = "text/plain", description = "Line protocol", example = "system,host=web-1 load1=0.4 1735689600000000000"),
    responses(
        (status = 204, description = "Every line is on disk and visible to queries"),
        (status = 400, description = "Lines were refused, or the request is wrong; what was accepted is stored", body = ErrorV3),
        (status = 401, description = "No known token", body = ErrorV3),
        (status = 403, description = "The token lacks the scope `write`", body = ErrorV3),
        (status = 413, description = "The body is too large", body = ErrorV3),
        (status = 415, description = "The content encoding is not known", body = ErrorV3),
        (status = 503, description = "Nothing was stored; send it again after `Retry-After` seconds", body = ErrorV3),
    )
)]
#[post("/api/v3/write_lp")]
pub(super) async fn write_v3(
    state: Data<State>,
    request: HttpRequest,
    query: Result<Query<WriteV3>, actix_web::Error>,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let destination = query.map_err(super::bad_query).and_then(|Query(query)| {
        let precision = Precision::of_v3(query.precision.as_deref().unwrap_or_default())?;
        destination("db", query.db.unwrap_or_default(), None, precision)
    });
    write(&state, &request, destination, payload)
        .await
        .map_err(|failure| failure.for_dialect(Dialect::V3))
}

fn destination(
    parameter: &str,
    database: String,
    retention_policy: Option<String>,
    precision: Precision,
) -> Result<Destination, Failure> {
    if database.is_empty() {
        return Err(Failure::Invalid(format!(
            "the parameter {parameter} is missing; write {parameter}=telegraf"
        )));
    }
    let retention_policy = retention_policy.filter(|policy| !policy.is_empty());
    let longest = database
        .len()
        .max(retention_policy.as_ref().map_or(0, String::len));
    if longest > NAME_MAX_BYTES {
        return Err(Failure::Invalid(format!(
            "the parameter {parameter} is {longest} bytes long; at most {NAME_MAX_BYTES} are taken"
        )));
    }
    Ok(Destination {
        database,
        retention_policy,
        precision,
    })
}

async fn write(
    state: &State,
    request: &HttpRequest,
    destination: Result<Destination, Failure>,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    let received_ns = state.now_ns();
    let destination = destination?;
    state.core()?;
    let body = Body::read(request, payload, state.limits).await?;
    let receipt = state
        .accept(Push {
            database: destination.database,
            retention_policy: destination.retention_policy,
            precision: destination.precision,
            received_ns,
            encoding: body.encoding,
            raw: body.raw,
            text: body.text,
        })
        .await?;
    if receipt.refused.is_empty() {
        Ok(HttpResponse::NoContent().finish())
    } else {
        Err(Failure::LinesRefused {
            lines: receipt.refused,
            accepted: receipt.accepted,
        })
    }
}
