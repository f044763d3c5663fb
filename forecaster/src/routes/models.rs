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
    champions::Champions,
    error::ApiError,
    manifest::{Manifest, Refused, TargetModel, Verdict},
    registry::{Alias, RegistryError, Trial},
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
    /// The version of the program that trained it, and its commit where the build knew it.
    pub code_version: String,
    /// The SHA-256 of the base that its network began from; null where it began from random weights.
    pub base_sha256: Option<String>,
    /// The targets that it can forecast.
    pub targets: Vec<TargetModelAnswer>,
    /// The targets that it cannot forecast, and why.
    pub refused: Vec<Refused>,
    /// How it did beside the champion when it was trained, on the same origins; null for a host's first model.
    pub gate: Option<Verdict>,
    /// Its time beside the champion; null when it had none, or a newer challenger had one since.
    pub trial: Option<TrialAnswer>,
}

/// The time of a challenger beside the champion.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct TrialAnswer {
    /// The version that serves meanwhile.
    pub champion: String,
    /// When it began.
    pub since: DateTime<Utc>,
    /// When it is judged.
    pub until: DateTime<Utc>,
    /// How it ended, from forecasts that were written beside each other; null while it runs.
    pub verdict: Option<Verdict>,
}

impl TrialAnswer {
    fn of(trial: Trial) -> Self {
        Self {
            champion: trial.champion,
            since: instant(trial.since_s),
            until: instant(trial.until_s),
            verdict: trial.verdict,
        }
    }
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
/// The champions of all hosts and the challengers on trial, or every kept version of one host: data, seed, the backtest of
/// each kind of model that was tried (MAE, RMSE, MASE, CRPS, coverage) at the same origins, and how it did beside the
/// champion.
#[utoipa::path(
    tag = "models",
    operation_id = "listModels",
    params(ModelsQuery),
    responses(
        (status = 200, description = "The models", body = ModelsAnswer, example = json!({
            "models": [{
                "host": "web-1", "version": "000003", "alias": "champion", "trained_at": "2026-11-21T03:30:04Z",
                "data_from": "2026-10-24T03:30:00Z", "data_until": "2026-11-21T03:30:00Z", "step_s": 300, "seed": 1,
                "code_version": "0.1.0+735fbe6a1c2d",
                "base_sha256": "9f2c1f0d6f5a4f3a8f0e5b6b7c1f2d3e4a5b6c7d8e9f00112233445566778899",
                "targets": [{
                    "metric": "cpu.usage", "kind": "percent", "unit": "%", "serves": "lstm", "fallback_reason": null,
                    "scores": {
                        "lstm": {"mae": 2.1, "rmse": 3.4, "mase": 0.61, "crps": 1.5, "coverage80": 0.8,
                            "coverage95": 0.95, "n_origins": 56, "baseline_mae": 3.3, "skill": 0.364},
                        "seasonal_naive_day": {"mae": 3.3, "rmse": 5.2, "mase": 0.96, "crps": 2.4, "coverage80": 0.79,
                            "coverage95": 0.94, "n_origins": 56, "baseline_mae": 3.3, "skill": 0.0}
                    }
                }],
                "refused": [],
                "gate": {"champion": "000002", "promoted": true, "crps_ratio": 0.94,
                    "reason": "CRPS is 0.940 of that of version 000002 and 0.625 of seasonal naive's, over 1 targets and up to 5 origins that neither has seen; up to 1.05 of version 000002's the newer model serves",
                    "targets": {"cpu.usage": {"n_origins": 5,
                        "champion": {"mae": 2.3, "rmse": 3.5, "crps": 1.6, "coverage80": 0.78},
                        "challenger": {"mae": 2.1, "rmse": 3.3, "crps": 1.5, "coverage80": 0.8},
                        "seasonal_naive": {"mae": 3.3, "rmse": 5.2, "crps": 2.4, "coverage80": 0.79},
                        "parts": {"auto_theta": {"mae": 2.6, "rmse": 4.0, "crps": 1.9, "coverage80": 0.81}}}}},
                "trial": null
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
        None => now_or_soon(&app.champions),
        Some(host) => {
            let registry = app.champions.registry().clone();
            let read =
                move || Ok::<_, RegistryError>((registry.list(&host)?, registry.trial(&host)?));
            let (entries, trial) = web::block(read).await.map_err(|_| ApiError::Internal)??;
            entries
                .into_iter()
                .map(|entry| {
                    let is_theirs = |trial: &Trial| trial.challenger == entry.version;
                    let trial = trial.clone().filter(is_theirs);
                    answer(&entry.manifest, entry.version, entry.alias, trial)
                })
                .collect()
        }
    };
    Ok(web::Json(ModelsAnswer { models }))
}

/// The models that answer or may soon, in order of hosts, a host's champion first.
fn now_or_soon(champions: &Champions) -> Vec<ModelAnswer> {
    let serving = champions.all().into_iter().map(|(_, champion)| {
        let alias = Some(Alias::Champion);
        answer(champion.manifest(), champion.version.clone(), alias, None)
    });
    let on_trial = champions.contests().into_iter().map(|(_, contest)| {
        let challenger = &contest.challenger;
        answer(
            challenger.manifest(),
            challenger.version.clone(),
            Some(Alias::Challenger),
            Some(contest.trial.clone()),
        )
    });
    let mut models: Vec<ModelAnswer> = serving.chain(on_trial).collect();
    models.sort_by(|one, other| one.host.cmp(&other.host));
    models
}

pub(super) fn answer(
    manifest: &Manifest,
    version: String,
    alias: Option<Alias>,
    trial: Option<Trial>,
) -> ModelAnswer {
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
        base_sha256: manifest.base_sha256.clone(),
        targets: manifest.targets.iter().map(target).collect(),
        refused: manifest.refused.clone(),
        gate: manifest.gate.clone(),
        trial: trial.map(TrialAnswer::of),
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
