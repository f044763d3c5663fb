//! The gateway's OpenAPI document, gathered from the routes.

use actix_web::App;
use utoipa_actix_web::AppExt;

use crate::routes;

/// Gathers the whole document.
#[must_use]
pub fn document() -> utoipa::openapi::OpenApi {
    App::new()
        .into_utoipa_app()
        .openapi(routes::preface())
        .configure(routes::configure)
        .split_for_parts()
        .1
}

/// Writes the document as it is published: indented, with a newline at its end.
///
/// # Errors
///
/// Fails only if the document cannot be written as JSON.
pub fn print() -> serde_json::Result<String> {
    Ok(serde_json::to_string_pretty(&document())? + "\n")
}
