//! `/api/v1/hosts/{host}/champion` and `/api/v1/hosts/{host}/models/{version}`: which version serves, and which is kept.

use actix_web::{HttpResponse, delete, put, web};
use headroom_openapi::problem::Problem;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{
    models::{self, ModelAnswer},
    object,
};
use crate::{app::App, error::ApiError, registry::Alias};

/// The version that is to serve.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChampionRequest {
    /// One of the host's kept versions, six digits.
    pub version: String,
}

/// Choose the version that serves
///
/// Rolls a host back to an earlier version, or promotes a challenger: from the next forecast on it serves. A trial that is
/// under way ends. The next retrain judges its own model beside this one.
#[utoipa::path(
    tag = "models",
    operation_id = "chooseChampion",
    params(("host" = String, Path, description = "The host's name", example = "web-1")),
    request_body(content = ChampionRequest, description = "The version", example = json!({"version": "000002"})),
    responses(
        (status = 200, description = "The version, which serves now", body = ModelAnswer, example = json!({
            "host": "web-1", "version": "000002", "alias": "champion", "trained_at": "2026-11-20T03:30:04Z",
            "data_from": "2026-10-23T03:30:00Z", "data_until": "2026-11-20T03:30:00Z", "step_s": 300, "seed": 1,
            "code_version": "0.1.0+735fbe6a1c2d", "base_sha256": null, "targets": [], "refused": [], "gate": null, "trial": null
        })),
        (status = 400, description = "The body cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No known token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The token lacks the scope write", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "The host has no such version", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = Problem, content_type = "application/problem+json"),
        (status = 500, description = "The version cannot be read, or the disk refuses", body = Problem, content_type = "application/problem+json"),
    )
)]
#[put("/api/v1/hosts/{host}/champion")]
pub(crate) async fn promote(
    app: web::Data<App>,
    host: web::Path<String>,
    body: web::Json<Map<String, Value>>,
) -> Result<web::Json<ModelAnswer>, ApiError> {
    let ChampionRequest { version } = object(body.into_inner())?;
    let (app, host) = (app.into_inner(), host.into_inner());
    let promoted = web::block(move || app.champions.promote(&host, &version)).await;
    let champion = promoted.map_err(|_| ApiError::Internal)??;
    let alias = Some(Alias::Champion);
    Ok(web::Json(models::answer(
        champion.manifest(),
        champion.version.clone(),
        alias,
        None,
    )))
}

/// Remove a version
///
/// The newest five versions are kept by themselves; this removes one before its time. The champion and the challenger
/// cannot be removed, and the errors of the training stay.
#[utoipa::path(
    tag = "models",
    operation_id = "removeModel",
    params(
        ("host" = String, Path, description = "The host's name", example = "web-1"),
        ("version" = String, Path, description = "The version, six digits", example = "000001"),
    ),
    responses(
        (status = 204, description = "It is gone"),
        (status = 401, description = "No known token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The token lacks the scope write", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "The host has no such version", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It is the champion or the challenger", body = Problem, content_type = "application/problem+json"),
        (status = 500, description = "The disk refuses", body = Problem, content_type = "application/problem+json"),
    )
)]
#[delete("/api/v1/hosts/{host}/models/{version}")]
pub(crate) async fn remove(
    app: web::Data<App>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    let (app, (host, version)) = (app.into_inner(), path.into_inner());
    let removed = web::block(move || app.champions.registry().remove(&host, &version)).await;
    removed.map_err(|_| ApiError::Internal)??;
    Ok(HttpResponse::NoContent().finish())
}
