//! Tokens: made, listed and revoked by administrators.

use actix_web::{
    HttpRequest, HttpResponse, delete, get, post,
    web::{Data, Path, Payload},
};
use chrono::{DateTime, Utc};
use headroom_openapi::{access::Scope, problem::Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::admission;
use crate::{
    access::{Access, Bounds, Issued, IssuedError, NewToken, Rates},
    body::Body,
    error::{ApiError, Dialect, Failure},
    glob::Glob,
    state::State,
};

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(list).service(create).service(revoke);
}

/// What a token allows.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Terms {
    /// Its name: 1 to 64 letters, digits, dots, dashes and underscores.
    #[schema(
        example = "web-fleet",
        min_length = 1,
        max_length = 64,
        pattern = "^[A-Za-z0-9._-]+$"
    )]
    name: String,
    /// `read`, `write`, `admin`; admin is everything.
    #[schema(example = json!(["write"]), value_type = Vec<Scope>, min_items = 1)]
    scopes: Vec<String>,
    /// Buckets that it is bound to: `telegraf` with all its retention policies, or `telegraf/week`; none: all.
    #[serde(default)]
    #[schema(example = json!(["telegraf"]))]
    buckets: Vec<String>,
    /// Measurements that it may write, `*` standing for any characters; none: all.
    #[serde(default)]
    #[schema(example = json!(["cpu*", "mem"]))]
    measurements: Vec<String>,
    /// The value that the tag `host` must have in every line that it writes.
    #[serde(default)]
    #[schema(example = "web-1")]
    host: Option<String>,
    /// How many lines a second it may push.
    #[serde(default)]
    #[schema(example = 5000, value_type = Option<i64>, minimum = 1, maximum = 4_294_967_295_u32)]
    lines_per_s: Option<u32>,
    /// How many bytes of line protocol a second it may push, decompressed.
    #[serde(default)]
    #[schema(example = 1_000_000, value_type = Option<i64>, minimum = 1, maximum = 4_294_967_295_u32)]
    bytes_per_s: Option<u32>,
}

impl Terms {
    fn wanted(self) -> Result<NewToken, Failure> {
        let scope = |word: &String| {
            word.parse::<Scope>().map_err(|word| {
                Failure::Invalid(format!(
                    "the scope {word:?} is unknown; there are read, write and admin"
                ))
            })
        };
        Ok(NewToken {
            scopes: self.scopes.iter().map(scope).collect::<Result<_, _>>()?,
            name: self.name,
            bounds: Bounds {
                buckets: self.buckets,
                measurements: self
                    .measurements
                    .iter()
                    .map(|name| Glob::new(name))
                    .collect(),
                host: self.host,
            },
            rates: Rates {
                lines_per_s: self.lines_per_s,
                bytes_per_s: self.bytes_per_s,
            },
        })
    }
}

impl From<&Issued> for Terms {
    fn from(token: &Issued) -> Self {
        let scopes = token.scopes().unwrap_or_default();
        let measurements = token.bounds.measurements.iter();
        Self {
            name: token.name.clone(),
            scopes: scopes.iter().map(Scope::to_string).collect(),
            buckets: token.bounds.buckets.clone(),
            measurements: measurements.map(Glob::to_string).collect(),
            host: token.bounds.host.clone(),
            lines_per_s: token.rates.lines_per_s,
            bytes_per_s: token.rates.bytes_per_s,
        }
    }
}

/// A token, without its secret.
#[derive(Serialize, ToSchema)]
struct TokenEntry {
    /// When it was made.
    created: DateTime<Utc>,
    /// What it allows.
    terms: Terms,
}

/// The tokens that were made here.
#[derive(Serialize, ToSchema)]
struct TokenList {
    /// The tokens, the oldest first.
    tokens: Vec<TokenEntry>,
}

/// A token that was just made.
#[derive(Serialize, ToSchema)]
struct MadeToken {
    /// The secret, which is shown here and never again.
    #[schema(example = "6f1c0b0c6a4a4e0fb9d0e2a7a7a1f3d5c9b8e7f6a5d4c3b2a1908f7e6d5c4b3a")]
    token: String,
    /// When it was made.
    created: DateTime<Utc>,
    /// What it allows.
    terms: Terms,
}

/// List tokens
///
/// Answers the tokens that were made here or by `headroom-gateway token create`, without their secrets, which are stored
/// nowhere. Those of `HEADROOM_TOKENS_FILE` are not among them.
#[utoipa::path(
    tag = "tokens",
    operation_id = "listTokens",
    responses(
        (status = 200, description = "The tokens", body = TokenList, example = json!({
            "tokens": [{"created": "2025-01-01T00:00:00Z", "terms": {"name": "web-fleet", "scopes": ["write"]}}]
        })),
        (status = 401, description = "No known token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The token lacks the scope `admin`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The tokens cannot be read", body = Problem, content_type = "application/problem+json"),
    )
)]
#[get("/api/v1/tokens")]
async fn list(state: Data<State>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    admission::check(&request, Scope::Admin).map_err(problem)?;
    let tokens = on_file(&state, |access| access.file().read()).await;
    let tokens = tokens.map_err(problem)?.unwrap_or_default();
    let entry = |token: &Issued| TokenEntry {
        created: token.created,
        terms: token.into(),
    };
    Ok(HttpResponse::Ok().json(TokenList {
        tokens: tokens.iter().map(entry).collect(),
    }))
}

/// Make a token
///
/// Answers the new token's secret, once; only its SHA-256 is stored. The first token that is made closes the gateway to
/// requests without one.
#[utoipa::path(
    tag = "tokens",
    operation_id = "createToken",
    request_body(content = Terms, description = "What it is to allow", example = json!({
        "name": "web-fleet", "scopes": ["write"], "buckets": ["telegraf"], "lines_per_s": 5000
    })),
    responses(
        (status = 201, description = "The token and its secret", body = MadeToken),
        (status = 400, description = "It cannot be so", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No known token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The token lacks the scope `admin`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "There is a token of that name", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The content encoding is not known", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The tokens cannot be written", body = Problem, content_type = "application/problem+json"),
    )
)]
#[post("/api/v1/tokens")]
async fn create(
    state: Data<State>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let made = async {
        admission::check(&request, Scope::Admin)?;
        let body = Body::read(&request, payload, &state.intake).await?;
        let terms: Terms = serde_json::from_slice(&body.text).map_err(|error| {
            Failure::Invalid(format!("the body is no token's terms as JSON: {error}"))
        })?;
        let wanted = terms.wanted()?;
        let (token, secret) = on_file(&state, |access| access.create(wanted)).await?;
        tracing::info!(name = token.name, "a token is made");
        Ok(HttpResponse::Created().json(MadeToken {
            token: secret.expose().to_owned(),
            created: token.created,
            terms: (&token).into(),
        }))
    };
    made.await.map_err(problem)
}

/// Revoke a token
///
/// Takes a token away: no request gets in with it any more. Taking the last one away leaves the gateway closed.
#[utoipa::path(
    tag = "tokens",
    operation_id = "revokeToken",
    params(("name" = String, Path, description = "The token's name", example = "web-fleet")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 401, description = "No known token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The token lacks the scope `admin`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no token of that name", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The tokens cannot be written", body = Problem, content_type = "application/problem+json"),
    )
)]
#[delete("/api/v1/tokens/{name}")]
async fn revoke(
    state: Data<State>,
    request: HttpRequest,
    name: Path<String>,
) -> Result<HttpResponse, ApiError> {
    admission::check(&request, Scope::Admin).map_err(problem)?;
    let name = name.into_inner();
    let revoked = name.clone();
    on_file(&state, move |access| access.revoke(&revoked))
        .await
        .map_err(problem)?;
    tracing::info!(name, "a token is revoked");
    Ok(HttpResponse::NoContent().finish())
}

/// Works on the tokens' file off the threads that serve connections.
async fn on_file<T: Send + 'static>(
    state: &State,
    work: impl FnOnce(&Access) -> Result<T, IssuedError> + Send + 'static,
) -> Result<T, Failure> {
    let access = std::sync::Arc::clone(&state.access);
    let done = tokio::task::spawn_blocking(move || work(&access)).await;
    Ok(done.map_err(|_| Failure::Internal)??)
}

fn problem(failure: Failure) -> ApiError {
    failure.for_dialect(Dialect::Problem)
}
