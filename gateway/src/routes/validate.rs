//! Judges lines without storing them.
//!
//! The report is made as fast as the client reads it, for as long as a query may take. Body and report would otherwise stay in
//! memory, beyond what bodies may take there, for as long as a client pleases.

use std::io;

use actix_web::{
    HttpRequest, HttpResponse, post, rt,
    web::{Bytes, Data, Payload, Query},
};
use futures_util::stream::{self, Stream};
use serde::Deserialize;
use tokio::{sync::mpsc, time::Instant};
use utoipa::IntoParams;

use crate::{
    body::Body,
    error::{ApiError, Dialect, Failure},
    lines::{Checkpoint, Precision},
    state::State,
    validate::{LineReport, Rules, json_from},
};

/// The report is made in parts of about this size.
const PART_BYTES: usize = 256 << 10;
/// Parts that wait for the client, at most; the report waits then.
const PARTS_WAITING: usize = 2;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Validate {
    /// The unit of the timestamps: `ns` (default), `us`, `ms` or `s`.
    #[param(example = "ns", pattern = "^(ns|us|ms|s)$")]
    precision: Option<String>,
}

/// Judge lines without storing them
///
/// Takes line protocol, gzipped or not, and answers one JSON object a line: what would become of each line that is neither
/// blank nor a comment. The contract is looked at; types and series that were learned are not.
#[utoipa::path(
    tag = "write",
    operation_id = "validate",
    params(Validate),
    request_body(content = String, content_type = "text/plain", description = "Line protocol", example = "cpu,host=web-1 usage_idle=92.5\ncpu,host=web-1 usage_idle=oops"),
    responses(
        (status = 200, description = "One JSON object for each point or refused line, a line each", body = LineReport, content_type = "application/x-ndjson"),
        (status = 400, description = "The request is wrong", body = headroom_openapi::problem::Problem, content_type = "application/problem+json"),
        (status = 401, description = "No known token", body = headroom_openapi::problem::Problem, content_type = "application/problem+json"),
        (status = 403, description = "The token lacks the scopes `read` and `write`", body = headroom_openapi::problem::Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = headroom_openapi::problem::Problem, content_type = "application/problem+json"),
        (status = 415, description = "The content encoding is not known", body = headroom_openapi::problem::Problem, content_type = "application/problem+json"),
    )
)]
#[post("/api/v1/validate")]
pub(super) async fn validate(
    state: Data<State>,
    request: HttpRequest,
    query: Result<Query<Validate>, actix_web::Error>,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    report(&state, &request, query, payload)
        .await
        .map_err(|failure| failure.for_dialect(Dialect::Problem))
}

async fn report(
    state: &State,
    request: &HttpRequest,
    query: Result<Query<Validate>, actix_web::Error>,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    let Query(query) = query.map_err(super::bad_query)?;
    let precision = Precision::of_v2(query.precision.as_deref().unwrap_or_default())?;
    let core = state.core().ok();
    let rules = Rules {
        precision,
        contract: core.and_then(|core| core.ingest.guard().contract()),
        now_ns: state.now_ns(),
    };
    let body = Body::read(request, payload, &state.intake).await?;
    let deadline = Instant::now() + state.answer_time_max;
    Ok(HttpResponse::Ok()
        .content_type("application/x-ndjson")
        .streaming(parts(body, rules, deadline)))
}

/// Reports on a body, in parts.
fn parts(
    body: Body,
    rules: Rules,
    deadline: Instant,
) -> impl Stream<Item = io::Result<Bytes>> + 'static {
    let (sender, parts) = mpsc::channel(PARTS_WAITING);
    let making = rt::spawn(make(body, rules, deadline, sender));
    stream::unfold((parts, Some(making)), async |(mut parts, mut making)| {
        if let Some(part) = parts.recv().await {
            return Some((Ok(part), (parts, making)));
        }
        // The connection is closed before the answer's end, by which the client sees that something is missing.
        let ended = making.take()?.await.unwrap_or_else(|error| {
            tracing::error!(%error, "judging lines panicked");
            Err(io::Error::other("the gateway failed"))
        });
        ended.err().map(|error| (Err(error), (parts, making)))
    })
}

/// Makes the parts of a report. The body counts as in memory until the last one is made, the client has gone or the time is up.
async fn make(
    body: Body,
    rules: Rules,
    deadline: Instant,
    sender: mpsc::Sender<Bytes>,
) -> io::Result<()> {
    let mut checkpoint = Some(Checkpoint::default());
    while let Some(from) = checkpoint {
        let (part, next) = json_from(&body.text, &rules, from, PART_BYTES)?;
        let sending = tokio::time::timeout_at(deadline, sender.send(part.into()));
        if !matches!(sending.await, Ok(Ok(()))) {
            return Err(io::Error::other("the client took the report too slowly"));
        }
        checkpoint = next;
    }
    Ok(())
}
