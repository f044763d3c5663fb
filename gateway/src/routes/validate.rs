//! Judges lines without storing them.

use actix_web::{
    HttpRequest, HttpResponse, post,
    web::{Data, Payload, Query},
};
use futures_util::stream;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    app::State,
    body::Body,
    error::{ApiError, Dialect, Failure},
    lines::{Place, Precision},
    validate::{LineReport, Rules, json_from},
};

/// The report is made in parts of about this size, as fast as the client reads them.
const PART_BYTES: usize = 256 << 10;

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
    let parts = stream::unfold(Some(Place::default()), move |place| {
        let (text, rules) = (body.text.clone(), rules.clone());
        async move {
            let (part, next) = match json_from(&text, &rules, place?, PART_BYTES) {
                Ok((part, next)) => (Ok(part.into()), next),
                Err(error) => (Err(error), None),
            };
            Some((part, next))
        }
    });
    Ok(HttpResponse::Ok()
        .content_type("application/x-ndjson")
        .streaming::<_, std::io::Error>(parts))
}
