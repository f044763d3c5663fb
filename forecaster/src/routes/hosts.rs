//! `/api/v1/hosts`: who is there, what of them is forecast, and how one that is gone is forgotten.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, delete, get, web};
use chrono::{DateTime, Utc};
use headroom_openapi::problem::Problem;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::instant;
use crate::{app::App, discovery::Host, error::ApiError, serving::ServeError, target::Kind};

/// The hosts that were heard of lately.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct HostsAnswer {
    /// In order of their names.
    pub hosts: Vec<HostAnswer>,
}

/// One host.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct HostAnswer {
    /// Its name: the value of the tag `host`.
    pub host: String,
    /// The time of its newest point.
    pub last_seen_at: DateTime<Utc>,
    /// The age of that point, in seconds.
    pub staleness_s: i64,
    /// What of it is forecast.
    pub targets: Vec<TargetAnswer>,
    /// How many further targets are left out, since there are too many.
    pub targets_left_out: usize,
    /// Their names.
    pub left_out: Vec<String>,
    /// The model that serves; null before the first train.
    pub model: Option<HostModelAnswer>,
}

/// One target.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct TargetAnswer {
    /// Its name.
    pub metric: String,
    /// What its values can be.
    pub kind: Kind,
    /// Their unit.
    pub unit: String,
}

/// The model that serves a host.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct HostModelAnswer {
    /// Its version.
    pub version: String,
    /// When it was trained.
    pub trained_at: DateTime<Utc>,
}

/// List hosts and their targets
///
/// A host is here when it sent a point that one of the target rules looks for within the last 14 days. Hosts are looked
/// for every minute; a new one appears by itself.
#[utoipa::path(
    tag = "hosts",
    operation_id = "listHosts",
    responses(
        (status = 200, description = "The hosts, in order of their names", body = HostsAnswer, example = json!({
            "hosts": [{
                "host": "web-1", "last_seen_at": "2026-11-21T12:00:10Z", "staleness_s": 4,
                "targets": [
                    {"metric": "cpu.usage", "kind": "percent", "unit": "%"},
                    {"metric": "disk.used_percent{path=/}", "kind": "percent", "unit": "%"}
                ],
                "targets_left_out": 0, "left_out": [],
                "model": {"version": "000003", "trained_at": "2026-11-21T03:30:04Z"}
            }]
        })),
        (status = 401, description = "No known token", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "The gateway refuses the token or a statement", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The gateway is away and no host is known yet", body = Problem, content_type = "application/problem+json"),
    )
)]
#[get("/api/v1/hosts")]
pub(crate) async fn list(app: web::Data<App>) -> Result<web::Json<HostsAnswer>, ApiError> {
    let known = match app.fleet.known() {
        Some(known) => known,
        None => app.fleet.refresh().await.map_err(ServeError::from)?,
    };
    let hosts = known
        .iter()
        .map(|(name, host)| answer(&app, name, host))
        .collect();
    Ok(web::Json(HostsAnswer { hosts }))
}

/// Forget a host
///
/// Removes all that is kept of a host: its models with the errors of their trainings, what was set as its thresholds, and its
/// history in memory. For hosts that are gone, whose models nothing else removes. Its points and alerts stay. A host that
/// sent a point within the last 14 days is found again at the next look, and trained anew as any new host.
#[utoipa::path(
    tag = "hosts",
    operation_id = "forgetHost",
    params(("host" = String, Path, description = "The host's name", example = "web-1")),
    responses(
        (status = 204, description = "Nothing is kept of it"),
        (status = 401, description = "No known token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The token lacks the scope write", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "The host is unknown, and nothing is kept of it", body = Problem, content_type = "application/problem+json"),
        (status = 500, description = "The disk refuses", body = Problem, content_type = "application/problem+json"),
    )
)]
#[delete("/api/v1/hosts/{host}")]
pub(crate) async fn forget(
    app: web::Data<App>,
    host: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let (app, host) = (app.into_inner(), host.into_inner());
    let is_heard_of = app.fleet.host(&host).is_some();
    let forgotten = web::block(move || {
        let had_models = app.champions.forget(&host)?;
        let had_thresholds = !app.ledger.thresholds(&host)?.is_empty();
        app.ledger.set_thresholds(&host, &BTreeMap::new())?;
        app.serving.recent.forget(&host);
        if had_models || had_thresholds || is_heard_of {
            tracing::info!(%host, "a host is forgotten");
            Ok(())
        } else {
            Err(ApiError::from(ServeError::HostUnknown { host }))
        }
    })
    .await;
    forgotten.map_err(|_| ApiError::Internal)??;
    Ok(HttpResponse::NoContent().finish())
}

fn answer(app: &App, name: &str, host: &Host) -> HostAnswer {
    let targets = host.targets.iter().map(|target| TargetAnswer {
        metric: target.metric.clone(),
        kind: target.kind,
        unit: target.unit.clone(),
    });
    HostAnswer {
        host: name.to_owned(),
        last_seen_at: instant(host.last_seen_s),
        staleness_s: (app.clock.now_s() - host.last_seen_s).max(0),
        targets: targets.collect(),
        targets_left_out: host.left_out.len(),
        left_out: host.left_out.iter().cloned().collect(),
        model: app.champions.of(name).map(|champion| HostModelAnswer {
            version: champion.version.clone(),
            trained_at: instant(champion.manifest().trained_at_s),
        }),
    }
}
