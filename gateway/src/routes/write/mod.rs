//! The three ways to push line protocol. They differ in their parameters and in the shape of their errors; what is done is one.

mod parameters;

use std::time::Instant;

use actix_web::{
    HttpRequest, HttpResponse, post,
    web::{Data, Payload, Query},
};

use super::{admission, trace};
use crate::{
    body::Body,
    error::{ApiError, ErrorV1, ErrorV2, ErrorV3, Failure},
    ingest::Push,
    state::State,
};
use parameters::{Parameters, WriteV1, WriteV2, WriteV3};

/// A query string, or what is wrong with it.
type Parsed<Q> = Result<Query<Q>, actix_web::Error>;

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
        (status = 422, description = "Lines are older than the retention policy keeps; the others are stored", body = ErrorV2),
        (status = 429, description = "The token pushes faster than it may; send it again after `Retry-After` seconds", body = ErrorV2),
        (status = 503, description = "Nothing was stored; send it again after `Retry-After` seconds", body = ErrorV2),
    )
)]
#[post("/api/v2/write")]
pub(super) async fn write_v2(
    state: Data<State>,
    request: HttpRequest,
    query: Parsed<WriteV2>,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    write(&state, &request, query, payload).await
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
    query: Parsed<WriteV1>,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    write(&state, &request, query, payload).await
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
        (status = 429, description = "The token pushes faster than it may; send it again after `Retry-After` seconds", body = ErrorV3),
        (status = 503, description = "Nothing was stored; send it again after `Retry-After` seconds", body = ErrorV3),
    )
)]
#[post("/api/v3/write_lp")]
pub(super) async fn write_v3(
    state: Data<State>,
    request: HttpRequest,
    query: Parsed<WriteV3>,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    write(&state, &request, query, payload).await
}

/// Takes a push, and answers in the dialect of its parameters.
async fn write<Q: Parameters>(
    state: &State,
    request: &HttpRequest,
    query: Parsed<Q>,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    push(state, request, query, payload)
        .await
        .map_err(|failure| failure.for_dialect(Q::DIALECT))
}

async fn push<Q: Parameters>(
    state: &State,
    request: &HttpRequest,
    query: Parsed<Q>,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    let received_ns = state.now_ns();
    let Query(query) = query.map_err(super::bad_query)?;
    let destination = query.destination()?;
    let grant = admission::grant_of(request)?;
    let policy = destination.retention_policy.as_deref();
    grant.bounds.check_bucket(&destination.database, policy)?;
    grant.pace.admit(Instant::now()).inspect_err(|limited| {
        state
            .metrics
            .pushes_limited
            .with_label_values(&[limited.of])
            .inc();
    })?;
    state.core()?;
    let body = Body::read(request, payload, &state.intake).await?;
    let lines = memchr::memchr_iter(b'\n', &body.text).count() + 1;
    grant
        .pace
        .charge(Instant::now(), lines as u64, body.text.len() as u64);
    let receipt = state
        .accept(Push {
            database: destination.database,
            retention_policy: destination.retention_policy,
            precision: destination.precision,
            client: grant.client.clone(),
            bound_by: grant.bounds.hold_for_lines().then_some(grant),
            peer: request.peer_addr().map(|address| address.ip()),
            request_id: trace::id_of(request),
            received_ns,
            encoding: body.encoding,
            raw: body.raw,
            text: body.text,
            held: Some(body.held),
            is_replay: false,
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
