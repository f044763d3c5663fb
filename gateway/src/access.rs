//! Who may do what: closed unless a path is listed as open.

use actix_web::{
    Error, HttpRequest,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::header,
    middleware::Next,
    web::Data,
};
use headroom_openapi::access::{Scope, Tokens, Verdict, presented_secret};

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

/// Lets a request pass if its credentials have the scope that its path needs.
pub(crate) async fn guard<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let state = request.app_data::<Data<State>>().cloned();
    let Some(state) = state else {
        return Err(Failure::Internal.for_dialect(Dialect::Problem).into());
    };
    let scopes = scopes_of(request.path());
    let mut verdicts = scopes
        .iter()
        .map(|scope| check(request.request(), state.tokens().as_deref(), *scope));
    if let Some(first) = verdicts.next() {
        first
            .or_else(|failure| verdicts.next().unwrap_or(Err(failure)))
            .map_err(|failure| failure.for_dialect(Dialect::of_path(request.path())))?;
    }
    next.call(request).await
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
    let authorization = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let secret = presented_secret(authorization, request.query_string());
    match tokens.judge(secret.as_deref(), needed) {
        Verdict::Allowed => Ok(()),
        Verdict::Unknown => Err(Failure::Unauthorized),
        Verdict::ScopeLacking => Err(Failure::Forbidden(needed)),
    }
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
        _ => &[Scope::Write],
    }
}
