//! `/api/v1/models`: what was trained, and how well it did in its backtest.

use std::collections::BTreeMap;

use actix_web::{get, web};
use chrono::{DateTime, Utc};
use headroom_openapi::problem::Problem;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::instant;
use crate::{
    app::App,
    backtest::Scores,
    error::ApiError,
    manifest::{Manifest, Refused, TargetModel},
    registry::Alias,
    target::Kind,
};

/// Which models.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ModelsQuery {
    /// All versions of this host; the champions of all hosts where it is left out.
    #[param(example = "web-1")]
    host: Option<String>,
}

/// Models.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ModelsAnswer {
    /// In order of hosts; of one host the newest first.
    pub models: Vec<ModelAnswer>,
}

/// One version of a host's model.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = StoredModelAnswer)]
pub struct ModelAnswer {
    /// The host.
    pub host: String,
    /// The version.
    pub version: String,
    /// Whether it serves or waits to; null for a version that is only kept.
    pub alias: Option<Alias>,
    /// When it was trained.
    pub trained_at: DateTime<Utc>,
    /// The beginning of its data.
    pub data_from: DateTime<Utc>,
    /// The end of its data.
    pub data_until: DateTime<Utc>,
    /// The step of its data, in seconds.
    pub step_s: u32,
    /// The seed of everything random.
    pub seed: u64,
    /// The version of the program that trained it.
    pub code_version: String,
    /// The targets that it can forecast.
    pub targets: Vec<TargetModelAnswer>,
    /// The targets that it cannot forecast, and why.
    pub refused: Vec<Refused>,
}

/// What serves one target, and how well.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct TargetModelAnswer {
    /// The target.
    pub metric: String,
    /// What its values can be.
    pub kind: Kind,
    /// Their unit.
    pub unit: String,
    /// The kind of model that serves.
    pub serves: String,
    /// Why it is not the network; null when it is.
    pub fallback_reason: Option<String>,
    /// The backtest of every kind that was tried, all at the same origins.
    pub scores: BTreeMap<String, Scores>,
}

/// List models
///
/// The champions of all hosts, or every kept version of one host: data, seed, and the backtest of each kind of model
/// that was tried (MAE, RMSE, MASE, CRPS, coverage), at the same origins.
#[utoipa::path(
    tag = "models",
    operation_id = "listModels",
    params(ModelsQuery),
    responses(
        (status = 200, description = "The models", body = ModelsAnswer, example = json!({
            "models": [{
                "host": "web-1", "version": "000003", "alias": "champion", "trained_at": "2026-11-21T03:30:04Z",
                "data_from": "2026-10-24T03:30:00Z", "data_until": "2026-11-21T03:30:00Z", "step_s": 300, "seed": 1,
                "code_version": "0.1.0",
                "targets": [{
                    "metric": "cpu.usage", "kind": "percent", "unit": "%", "serves": "lstm", "fallback_reason": null,
                    "scores": {
                        "lstm": {"mae": 2.1, "rmse": 3.4, "mase": 0.61, "crps": 1.5, "coverage80": 0.8,
                            "coverage95": 0.95, "n_origins": 56, "baseline_mae": 3.3, "skill": 0.364},
                        "seasonal_naive_day": {"mae": 3.3, "rmse": 5.2, "mase": 0.96, "crps": 2.4, "coverage80": 0.79,
                            "coverage95": 0.94, "n_origins": 56, "baseline_mae": 3.3, "skill": 0.0}
                    }
                }],
                "refused": []
            }]
        })),
        (status = 401, description = "No known token", body = Problem, content_type = "application/problem+json"),
        (status = 500, description = "The registry cannot be read", body = Problem, content_type = "application/problem+json"),
    )
)]
#[get("/api/v1/models")]
pub(crate) async fn list(
    app: web::Data<App>,
    query: web::Query<ModelsQuery>,
) -> Result<web::Json<ModelsAnswer>, ApiError> {
    let models = match query.into_inner().host {
        None => app
            .champions
            .all()
            .into_iter()
            .map(|(_, champion)| {
                answer(
                    champion.manifest(),
                    champion.version.clone(),
                    Some(Alias::Champion),
                )
            })
            .collect(),
        Some(host) => {
            let registry = app.champions.registry().clone();
            let entries = web::block(move || registry.list(&host)).await;
            let entries = entries.map_err(|_| ApiError::Internal)??;
            entries
                .into_iter()
                .map(|entry| answer(&entry.manifest, entry.version, entry.alias))
                .collect()
        }
    };
    Ok(web::Json(ModelsAnswer { models }))
}

pub(super) fn answer(manifest: &Manifest, version: String, alias: Option<Alias>) -> ModelAnswer {
    ModelAnswer {
        host: manifest.host.clone(),
        version,
        alias,
        trained_at: instant(manifest.trained_at_s),
        data_from: instant(manifest.data_from_s),
        data_until: instant(manifest.data_until_s),
        step_s: manifest.step_s,
        seed: manifest.seed,
        code_version: manifest.code_version.clone(),
        targets: manifest.targets.iter().map(target).collect(),
        refused: manifest.refused.clone(),
    }
}

fn target(model: &TargetModel) -> TargetModelAnswer {
    let scores = model.scores.iter();
    TargetModelAnswer {
        metric: model.metric.clone(),
        kind: model.kind,
        unit: model.unit.clone(),
        serves: model.serves.name().to_owned(),
        fallback_reason: model.fallback_reason.clone(),
        scores: scores
            .map(|(kind, scores)| (kind.name().to_owned(), scores.clone()))
            .collect(),
    }
}
