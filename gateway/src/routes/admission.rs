//! Lets requests in: closed unless a path is listed as open.

use std::sync::Arc;

use actix_web::{
    Error, HttpMessage, HttpRequest, ResponseError,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header,
    middleware::Next,
    web::Data,
};
use headroom_openapi::access::{Scope, presented_secret};

use crate::{
    access::{Bounds, Grant},
    error::{Dialect, Failure},
    state::State,
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

/// As whom a request was let in.
#[derive(Clone)]
struct Admitted(Arc<Grant>);

/// Lets a request pass if its credentials have the scope that its path needs.
pub(super) async fn guard<B: MessageBody + 'static>(
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
    let scopes = scopes_of(request.path());
    let Some(first) = scopes.first() else {
        return Ok(());
    };
    let state = request.app_data::<Data<State>>();
    let state = state.ok_or(Failure::Internal)?;
    let grant = match state.access.keyring() {
        None => Arc::new(Grant::everybody()),
        Some(keyring) => {
            let secret = secret_of(request.request()).ok_or(Failure::Unauthorized)?;
            keyring.identify(&secret).ok_or(Failure::Unauthorized)?
        }
    };
    if !scopes.iter().any(|scope| grant.has(*scope)) {
        return Err(Failure::Forbidden(*first));
    }
    request.extensions_mut().insert(Admitted(grant));
    Ok(())
}

/// As whom a request was let in.
///
/// # Errors
///
/// [`Failure::Unauthorized`] where nobody was asked, because the path is open.
pub(super) fn grant_of(request: &HttpRequest) -> Result<Arc<Grant>, Failure> {
    let extensions = request.extensions();
    let admitted = extensions.get::<Admitted>();
    admitted
        .map(|admitted| Arc::clone(&admitted.0))
        .ok_or(Failure::Unauthorized)
}

/// Says whether a request's credentials have a scope.
///
/// # Errors
///
/// [`Failure::Unauthorized`] or [`Failure::Forbidden`].
pub(super) fn check(request: &HttpRequest, needed: Scope) -> Result<(), Failure> {
    if grant_of(request)?.has(needed) {
        Ok(())
    } else {
        Err(Failure::Forbidden(needed))
    }
}

/// Says whether a request's credentials are bound to nothing, as they must be to see what others have sent.
///
/// # Errors
///
/// [`Failure::OutOfBounds`].
pub(super) fn check_unbound(request: &HttpRequest) -> Result<(), Failure> {
    if grant_of(request)?.bounds == Bounds::NONE {
        return Ok(());
    }
    Err(Failure::OutOfBounds(
        "the token is bound to a part of the points, and this shows those of all; use one without bounds".to_owned(),
    ))
}

/// The secret that a request presents.
fn secret_of(request: &HttpRequest) -> Option<String> {
    let authorization = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    presented_secret(authorization, request.query_string())
}

/// The scopes of which a path needs one; none: the path is open. This is the first door only: a path may be written in
/// several ways (`%71uery`), so that every handler asks for what it needs beyond `write`.
fn scopes_of(path: &str) -> &'static [Scope] {
    let open =
        OPEN_PATHS.contains(&path) || OPEN_PREFIXES.iter().any(|prefix| path.starts_with(prefix));
    match path {
        _ if open => &[],
        "/query" | "/api/v2/query" | "/api/v1/validate" | "/api/v2/buckets" | "/api/v2/orgs" => {
            &[Scope::Read, Scope::Write]
        }
        "/api/v1/rejects" => &[Scope::Read],
        "/api/v1/rejects/replay" => &[Scope::Admin],
        _ if path.starts_with("/api/v1/tokens") => &[Scope::Admin],
        _ => &[Scope::Write],
    }
}
