//! Lets requests through whose token has the scope: `read` to look, `write` to change.
//!
//! Open to everybody are `/health`, `/ready`, `/metrics`, the Swagger UI and the OpenAPI document.

use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{Method, header},
    middleware::Next,
    web,
};
use headroom_openapi::access::{Scope, Tokens, Verdict, presented_secret};

use crate::error::ApiError;

/// The tokens that are accepted; none accepts everybody.
pub struct Access(pub Option<Tokens>);

/// Judges a request before its handler sees it.
///
/// # Errors
///
/// 401 without a known token, 403 for one that lacks the scope.
pub async fn guard(
    access: web::Data<Access>,
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    if let Some(tokens) = &access.0
        && !is_open(request.path())
    {
        let header = request.headers().get(header::AUTHORIZATION);
        let header = header.and_then(|value| value.to_str().ok());
        let secret = presented_secret(header, request.query_string());
        let needed = match *request.method() {
            Method::GET | Method::HEAD => Scope::Read,
            _ => Scope::Write,
        };
        match tokens.judge(secret.as_deref(), needed) {
            Verdict::Allowed => {}
            Verdict::Unknown => return Err(ApiError::TokenUnknown.into()),
            Verdict::ScopeLacking => return Err(ApiError::ScopeLacking { needed }.into()),
        }
    }
    next.call(request).await
}

fn is_open(path: &str) -> bool {
    matches!(path, "/" | "/health" | "/ready" | "/metrics" | "/docs")
        || path.starts_with("/docs/")
        || path.starts_with("/api-docs/")
}
