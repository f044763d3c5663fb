//! Who may do what: closed unless a path is listed as open.

use std::sync::Arc;

use actix_web::{
    Error, HttpMessage, HttpRequest, ResponseError,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header,
    middleware::Next,
    web::Data,
};
use headroom_openapi::access::{Scope, Tokens, Verdict, fingerprint, presented_secret};

use crate::{
    app::State,
    error::{Dialect, Failure},
};

/// What probes, scrapers and people who look for the documentation need.
const OPEN_PATHS: [&str; 6] = [
    "/",
    "/ping",
    "/api/v2/ping",
    "/health",
    "/ready",
    "/metrics",
];
const OPEN_PREFIXES: [&str; 2] = ["/docs", "/api-docs/"];

/// Who pushes: a name of the token that was presented, which is not the token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Client(pub Arc<str>);

/// Lets a request pass if its credentials have the scope that its path needs.
pub(crate) async fn guard<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    match admit(&request) {
        Ok(()) => Ok(next.call(request).await?.map_into_left_body()),
        Err(failure) => {
            let answer = failure.for_dialect(Dialect::of_path(request.path()));
            let answer = request.into_response(answer.error_response());
            Ok(answer.map_into_right_body())
        }
    }
}

fn admit(request: &ServiceRequest) -> Result<(), Failure> {
    let state = request.app_data::<Data<State>>().cloned();
    let state = state.ok_or(Failure::Internal)?;
    let scopes = scopes_of(request.path());
    let mut verdicts = scopes
        .iter()
        .map(|scope| check(request.request(), state.tokens().as_deref(), *scope));
    if let Some(first) = verdicts.next() {
        first.or_else(|failure| verdicts.next().unwrap_or(Err(failure)))?;
        if state.tokens().is_some()
            && let Some(secret) = secret_of(request.request())
        {
            let client = Client(fingerprint(&secret).into());
            request.extensions_mut().insert(client);
        }
    }
    Ok(())
}

/// Says whether a request's credentials have a scope.
///
/// # Errors
///
/// [`Failure::Unauthorized`] or [`Failure::Forbidden`].
pub fn check(request: &HttpRequest, tokens: Option<&Tokens>, needed: Scope) -> Result<(), Failure> {
    let Some(tokens) = tokens else {
        return Ok(());
    };
    match tokens.judge(secret_of(request).as_deref(), needed) {
        Verdict::Allowed => Ok(()),
        Verdict::Unknown => Err(Failure::Unauthorized),
        Verdict::ScopeLacking => Err(Failure::Forbidden(needed)),
    }
}

/// The secret that a request presents.
fn secret_of(request: &HttpRequest) -> Option<String> {
    let authorization = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    presented_secret(authorization, request.query_string())
}

/// The scopes of which a path needs one; none: the path is open. The handlers of `/query`, of
/// new buckets and of deletions ask for what those need.
fn scopes_of(path: &str) -> &'static [Scope] {
    let open =
        OPEN_PATHS.contains(&path) || OPEN_PREFIXES.iter().any(|prefix| path.starts_with(prefix));
    match path {
        _ if open => &[],
        "/query" | "/api/v1/validate" | "/api/v2/buckets" | "/api/v2/orgs" => {
            &[Scope::Read, Scope::Write]
        }
        "/api/v1/rejects" => &[Scope::Read],
        "/api/v1/rejects/replay" => &[Scope::Admin],
        _ => &[Scope::Write],
    }
}
