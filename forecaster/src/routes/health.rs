//! `/health`: the process listens. `/ready`: it can do its work.

use actix_web::{HttpResponse, get, web};
use headroom_openapi::health::{Check, Health, Readiness, ReadyStatus, Status};

use crate::{app::App, loops::Loops};

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
/// Ready when the models are loaded, the gateway answers, and what runs behind the requests does: forecasts go on being made,
/// and no loop has ended. When it is not, the checks say what is missing.
#[utoipa::path(
    tag = "state",
    operation_id = "ready",
    responses(
        (status = 200, description = "Ready", body = Readiness, example = json!({
            "status": "ready",
            "checks": [
                {"name": "registry", "status": "pass", "message": "6 models are loaded"},
                {"name": "gateway", "status": "pass", "message": "http://127.0.0.1:8186/ answers; 6 hosts are known"},
                {"name": "rounds", "status": "pass", "message": "the last round over all hosts ended 31 s ago"},
                {"name": "loops", "status": "pass", "message": "all run"}
            ]
        })),
        (status = 503, description = "Not ready; the checks say what is missing", body = Readiness, example = json!({
            "status": "starting",
            "checks": [
                {"name": "registry", "status": "pass", "message": "6 models are loaded"},
                {"name": "gateway", "status": "fail", "message": "http://127.0.0.1:8186/ does not answer; start it, or set HEADROOM_GATEWAY_URL"},
                {"name": "rounds", "status": "pass", "message": "the last round over all hosts ended 331 s ago"},
                {"name": "loops", "status": "pass", "message": "all run"}
            ]
        })),
    )
)]
#[get("/ready")]
pub(crate) async fn ready(app: web::Data<App>) -> HttpResponse {
    let needed = [registry(&app), gateway(&app)];
    let running = [rounds(&app), loops(&app.loops)];
    let pass = |checks: &[Check]| checks.iter().all(|check| check.status == Status::Pass);
    let status = match (pass(&needed), pass(&running)) {
        (true, true) => ReadyStatus::Ready,
        (true, false) => ReadyStatus::Failing,
        (false, _) => ReadyStatus::Starting,
    };
    let mut answer = if status == ReadyStatus::Ready {
        HttpResponse::Ok()
    } else {
        HttpResponse::ServiceUnavailable()
    };
    let checks = needed.into_iter().chain(running).collect();
    answer.json(Readiness { status, checks })
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

fn rounds(app: &App) -> Check {
    let now_s = app.clock.now_s();
    let (status, message) = match (app.pulse.late_s(now_s), app.pulse.round_ended_s()) {
        (Some(late_s), _) => (
            Status::Fail,
            format!("no host was forecast for {late_s} s; the log says why"),
        ),
        (None, None) => (Status::Pass, "the first round has not ended yet".to_owned()),
        (None, Some(ended_s)) => (
            Status::Pass,
            format!(
                "the last round over all hosts ended {} s ago",
                (now_s - ended_s).max(0)
            ),
        ),
    };
    Check {
        name: "rounds".to_owned(),
        status,
        message,
    }
}

fn loops(loops: &Loops) -> Check {
    let ended = loops.ended();
    let (status, message) = if ended.is_empty() {
        (Status::Pass, "all run".to_owned())
    } else {
        let message = format!(
            "{} ended; the log says why: restart the service",
            ended.join(", ")
        );
        (Status::Fail, message)
    };
    Check {
        name: "loops".to_owned(),
        status,
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_loop_that_has_ended_fails_the_check() {
        let running = Loops::default();
        assert_eq!(loops(&running).status, Status::Pass);
        running.spawn("rounds", async {});
        while running.ended().is_empty() {
            tokio::task::yield_now().await;
        }
        let check = loops(&running);
        assert_eq!(check.status, Status::Fail);
        assert!(check.message.contains("rounds"), "{}", check.message);
    }
}
