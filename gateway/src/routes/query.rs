//! InfluxQL over HTTP.

use actix_web::{
    HttpRequest, HttpResponse, get, post,
    web::{Data, Payload},
};
use headroom_openapi::{access::Scope, query::QueryAnswer};
use utoipa_actix_web::service_config::ServiceConfig;

use super::passthrough;
use crate::{
    access,
    app::{Sink, State},
    body::Body,
    error::{ApiError, Dialect, Failure},
    openapi::ErrorV1,
    upstream::{PassedQuery, QueryMethod},
};

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(query_get).service(query_post);
}

/// Query (InfluxQL)
#[utoipa::path(tag = "query", operation_id = "query", responses((status = 200, description = "ok", body = QueryAnswer), (status = 400, description = "bad", body = ErrorV1)))]
#[get("/query")]
async fn query_get(state: Data<State>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    answer(&state, &request, QueryMethod::Get, &[])
        .await
        .map_err(|f| f.for_dialect(Dialect::V1))
}

/// Query or change (InfluxQL)
#[utoipa::path(tag = "query", operation_id = "queryForm", responses((status = 200, description = "ok", body = QueryAnswer)))]
#[post("/query")]
async fn query_post(
    state: Data<State>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let answered = async {
        let body = Body::read(&request, payload, state.limits).await?;
        answer(&state, &request, QueryMethod::Post, &body.text).await
    };
    answered.await.map_err(|f| f.for_dialect(Dialect::V1))
}

async fn answer(
    state: &State,
    request: &HttpRequest,
    method: QueryMethod,
    form: &[u8],
) -> Result<HttpResponse, Failure> {
    let parameters: Vec<(String, String)> =
        url::form_urlencoded::parse(request.query_string().as_bytes())
            .chain(url::form_urlencoded::parse(form))
            .filter(|(name, _)| name != "u" && name != "p")
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
    let changes = parameters
        .iter()
        .any(|(name, value)| name == "q" && passthrough::is_create_database(value));
    access::check(
        request,
        state.tokens.as_ref(),
        if changes { Scope::Write } else { Scope::Read },
    )?;
    match &state.core()?.sink {
        Sink::Influx(upstream) => {
            let accept = request
                .headers()
                .get("accept")
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned);
            passthrough::pass(
                upstream,
                PassedQuery {
                    method,
                    parameters,
                    accept,
                },
            )
            .await
        }
        Sink::Embedded(_) => Err(Failure::Internal),
    }
}
