//! The gateway's OpenAPI document, gathered from the routes.

use actix_web::App;
use serde::Serialize;
use utoipa::{
    OpenApi, ToSchema,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
};
use utoipa_actix_web::AppExt;

use crate::routes;

/// An error as InfluxDB 1.x shapes it.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"error": "partial write: line 2: column 9: the value is no number, string or boolean (1 lines accepted) dropped=1"}))]
pub struct ErrorV1 {
    /// What was wrong, and what would be right.
    pub error: String,
}

/// An error as InfluxDB 2.x shapes it.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"code": "invalid", "message": "the parameter bucket is missing; write bucket=telegraf"}))]
pub struct ErrorV2 {
    /// The error's kind.
    pub code: String,
    /// What was wrong, and what would be right.
    pub message: String,
    /// The first line that was refused.
    pub line: Option<usize>,
}

/// An error as InfluxDB 3.x shapes it.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"error": "partial write of line protocol occurred: 1 lines accepted, 1 refused", "data": [{"line_number": 2, "error_message": "column 9: the value is no number, string or boolean"}]}))]
pub struct ErrorV3 {
    /// What was wrong.
    pub error: String,
    /// The lines that were refused.
    pub data: Option<Vec<RefusedLineV3>>,
}

/// A refused line as InfluxDB 3.x lists it.
#[derive(Serialize, ToSchema)]
pub struct RefusedLineV3 {
    /// The line's number in the batch, from 1.
    pub line_number: usize,
    /// What was wrong, and what would be right.
    pub error_message: String,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Headroom gateway",
        description = "Takes line protocol from Telegraf, makes it durable, stores it, and answers InfluxQL.",
    ),
    tags(
        (name = "write", description = "Push line protocol"),
        (name = "query", description = "Read with InfluxQL"),
        (name = "buckets", description = "Buckets and their points, as InfluxDB 2 has them"),
        (name = "rejects", description = "Lines that were refused: read them, replay them"),
        (name = "tokens", description = "Who may do what: make, list and revoke tokens"),
        (name = "health", description = "How the gateway is"),
    )
)]
struct Preface;

/// What the document says before its operations.
pub(crate) fn preface() -> utoipa::openapi::OpenApi {
    let mut document = Preface::openapi();
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "A token of `headroom-gateway token create` or HEADROOM_TOKENS_FILE; `Token`, `Basic` and `u`/`p` are taken as well. Not needed while there are none.",
        ))
        .build();
    document
        .components
        .get_or_insert_default()
        .add_security_scheme("token", SecurityScheme::Http(scheme));
    document.security = Some(vec![
        SecurityRequirement::new("token", Vec::<String>::new()),
        SecurityRequirement::default(),
    ]);
    document
}

/// Gathers the whole document.
#[must_use]
pub fn document() -> utoipa::openapi::OpenApi {
    App::new()
        .into_utoipa_app()
        .openapi(preface())
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
