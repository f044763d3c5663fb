//! `/health`: the process listens. `/ready`: it can do its work.

use actix_web::{HttpResponse, get, web};
use headroom_openapi::health::{Check, Health, Readiness, ReadyStatus, Status};

use crate::app::App;

/// Say that the process listens
///
/// Answers as soon as the service listens, whatever else is missing; `/ready` says whether it can do its work.
#[utoipa::path(
    tag = "state",
    operation_id = "health",
    responses((status = 200, description = "The process listens", body = Health, example = json!({
        "name": "headroom-forecaster", "message": "listening", "status": "pass", "version": "0.1.0"
    })))
)]
#[get("/health")]
pub(crate) async fn health() -> web::Json<Health> {
    web::Json(Health {
        name: env!("CARGO_PKG_NAME").to_owned(),
        message: "listening".to_owned(),
        status: Status::Pass,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// Say whether the service can do its work
///
/// Ready when the models are loaded and the gateway answers. When it is not, the checks say what is missing.
#[utoipa::path(
    tag = "state",
    operation_id = "ready",
    responses(
        (status = 200, description = "Ready", body = Readiness, example = json!({
            "status": "ready",
            "checks": [
                {"name": "registry", "status": "pass", "message": "6 models are loaded"},
                {"name": "gateway", "status": "pass", "message": "http://127.0.0.1:8186/ answers; 6 hosts are known"}
            ]
        })),
        (status = 503, description = "Not ready; the checks say what is missing", body = Readiness, example = json!({
            "status": "starting",
            "checks": [
                {"name": "registry", "status": "pass", "message": "6 models are loaded"},
                {"name": "gateway", "status": "fail", "message": "http://127.0.0.1:8186/ does not answer; start it, or set HEADROOM_GATEWAY_URL"}
            ]
        })),
    )
)]
#[get("/ready")]
pub(crate) async fn ready(app: web::Data<App>) -> HttpResponse {
    let checks = vec![registry(&app), gateway(&app)];
    if checks.iter().all(|check| check.status == Status::Pass) {
        HttpResponse::Ok().json(Readiness {
            status: ReadyStatus::Ready,
            checks,
        })
    } else {
        HttpResponse::ServiceUnavailable().json(Readiness {
            status: ReadyStatus::Starting,
            checks,
        })
    }
}

fn registry(app: &App) -> Check {
    let loaded = app.champions.are_loaded();
    Check {
        name: "registry".to_owned(),
        status: if loaded { Status::Pass } else { Status::Fail },
        message: if loaded {
            format!("{} models are loaded", app.champions.all().len())
        } else {
            "the models are being loaded".to_owned()
        },
    }
}

fn gateway(app: &App) -> Check {
    let url = app.gateway.shown_url();
    let known = app.fleet.known();
    let (status, message) = match (known, app.gateway.is_answering()) {
        (Some(hosts), true) => (
            Status::Pass,
            format!("{url} answers; {} hosts are known", hosts.len()),
        ),
        (Some(hosts), false) => (
            Status::Fail,
            format!(
                "{url} does not answer now; {} hosts are known from before",
                hosts.len()
            ),
        ),
        (None, _) => (
            Status::Fail,
            format!(
                "{url} has not answered a query yet; start it, or set HEADROOM_GATEWAY_URL and HEADROOM_TOKEN"
            ),
        ),
    };
    Check {
        name: "gateway".to_owned(),
        status,
        message,
    }
}
