//! What the OpenAPI document says before its operations.

use utoipa::{
    OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
};

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

/// The document without an operation.
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
