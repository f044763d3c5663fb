//! The OpenAPI document: what the registered operations say of themselves.

use actix_web::App;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        self,
        security::{
            ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
        },
    },
};
use utoipa_actix_web::AppExt;

use crate::routes;

/// What stands at the head of the document.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Headroom forecaster",
        description = "Says where every host is heading and when it runs out of room: forecasts with quantiles, honest \
                       errors, and the time to each threshold.",
    ),
    servers((url = "/", description = "This service")),
    tags(
        (name = "hosts", description = "Who is there, and what of them is forecast"),
        (name = "forecasts", description = "Where a host is heading"),
        (name = "thresholds", description = "Which values should not be reached"),
        (name = "alerts", description = "What was worth telling somebody"),
        (name = "models", description = "What was trained, and how well it does"),
        (name = "jobs", description = "Retrains"),
        (name = "state", description = "The service itself"),
    ),
    modifiers(&Credentials)
)]
pub struct Head;

/// Tokens, for where they are needed.
struct Credentials;

impl Modify for Credentials {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        components.add_security_scheme(
            "bearer",
            SecurityScheme::Http(
                HttpBuilder::new()
                    .scheme(HttpAuthScheme::Bearer)
                    .description(Some("A token of HEADROOM_TOKENS_FILE"))
                    .build(),
            ),
        );
        components.add_security_scheme(
            "token",
            SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(
                "Authorization",
                "`Token` and a token of HEADROOM_TOKENS_FILE",
            ))),
        );
        let none: [&str; 0] = [];
        document.security = Some(vec![
            SecurityRequirement::default(),
            SecurityRequirement::new("bearer", none),
            SecurityRequirement::new("token", none),
        ]);
    }
}

/// Makes the document.
#[must_use]
pub fn document() -> openapi::OpenApi {
    let (_, document) = App::new()
        .into_utoipa_app()
        .openapi(Head::openapi())
        .configure(routes::configure)
        .split_for_parts();
    document
}

/// Renders the document as it is published: pretty JSON with a line feed at its end.
///
/// # Errors
///
/// When it cannot be rendered, which a test would show.
pub fn rendered() -> Result<String, serde_json::Error> {
    Ok(document().to_pretty_json()? + "\n")
}
