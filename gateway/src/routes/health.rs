//! Whether the gateway lives and whether it can work.

use actix_web::{
    HttpResponse, get, head,
    http::StatusCode,
    web::{Data, Json},
};
use chrono::{DateTime, SecondsFormat};
use headroom_openapi::health::{Check, Health, Readiness, ReadyStatus, Status};

use crate::{
    sink::{Embedded, Sink},
    state::{Core, State},
};

/// What clients that look at the version are told: 1.8 has everything that `/query` and `/write` speak here.
const INFLUXDB_VERSION: (&str, &str) = ("X-Influxdb-Version", "1.8.10-headroom");
const INFLUXDB_BUILD: (&str, &str) = ("X-Influxdb-Build", "OSS");

/// Answers 204 with the version by which InfluxDB's clients go.
pub(super) fn alive() -> HttpResponse {
    HttpResponse::NoContent()
        .insert_header(INFLUXDB_VERSION)
        .insert_header(INFLUXDB_BUILD)
        .finish()
}

/// Ask for a sign of life (InfluxDB)
///
/// Answers 204 with the headers by which InfluxDB's clients tell the server's version.
#[utoipa::path(
    tag = "health",
    operation_id = "ping",
    responses((status = 204, description = "The gateway listens", headers(
        ("X-Influxdb-Version" = String, description = "The InfluxDB version whose `/query` and `/write` are spoken: `1.8.10-headroom`"),
        ("X-Influxdb-Build" = String, description = "`OSS`"),
    )))
)]
#[get("/ping")]
pub(super) async fn ping() -> HttpResponse {
    alive()
}

/// Ask for a sign of life without a body (InfluxDB)
///
/// Answers as GET does.
#[utoipa::path(
    tag = "health",
    operation_id = "pingHead",
    responses((status = 204, description = "The gateway listens"))
)]
#[head("/ping")]
pub(super) async fn ping_head() -> HttpResponse {
    alive()
}

/// Ask whether the process lives
///
/// Answers as soon as the port is open, while the journal may still be read.
#[utoipa::path(
    tag = "health",
    operation_id = "health",
    responses((status = 200, description = "The process listens", body = Health, example = json!({
        "name": "headroom-gateway", "message": "takes requests", "status": "pass", "version": "0.1.0"
    })))
)]
#[get("/health")]
pub(super) async fn health() -> Json<Health> {
    Json(Health {
        name: env!("CARGO_PKG_NAME").to_owned(),
        message: "takes requests".to_owned(),
        status: Status::Pass,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// Ask whether pushes are taken
///
/// Answers 503 until the journal is read, and while batches cannot be made durable. An InfluxDB that is away does not make the gateway unready: pushes are taken
/// and delivered later; its check, `influxdb` or the name of the destination, says so. Nor does a store that cannot seal, whose points stay in journal and
/// memory: the check `store` fails, and the gateway becomes unready only when memory has no more room.
#[utoipa::path(
    tag = "health",
    operation_id = "ready",
    responses(
        (status = 200, description = "Pushes are taken", body = Readiness, example = json!({
            "status": "ready", "checks": [{"name": "journal", "status": "pass", "message": "1200 batches in 3145728 bytes"}]
        })),
        (status = 503, description = "The journal is being read, or the last batch could not be made durable", body = Readiness, example = json!({
            "status": "starting", "checks": [{"name": "journal", "status": "fail", "message": "being read"}]
        })),
    )
)]
#[get("/ready")]
pub(super) async fn ready(state: Data<State>) -> HttpResponse {
    let (code, answer) = match state.core() {
        Ok(core) => {
            let (answered, status) = if takes_pushes(core) {
                (StatusCode::OK, ReadyStatus::Ready)
            } else {
                (StatusCode::SERVICE_UNAVAILABLE, ReadyStatus::Failing)
            };
            let mut checks = vec![journal_check(core)];
            if let Sink::Embedded(embedded) = &core.sink {
                checks.push(store_check(embedded));
            }
            let now_ns = state.now_ns();
            let last_sequence = core.journal.last_sequence();
            checks.extend(core.destinations.iter().map(|destination| {
                let (status, message) = destination.describe(last_sequence, now_ns);
                Check {
                    name: destination.name().to_owned(),
                    status,
                    message,
                }
            }));
            (answered, Readiness { status, checks })
        }
        Err(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            Readiness {
                status: ReadyStatus::Starting,
                checks: vec![Check {
                    name: "journal".to_owned(),
                    status: Status::Fail,
                    message: "being read".to_owned(),
                }],
            },
        ),
    };
    HttpResponse::build(code).json(answer)
}

/// Says whether batches can be made durable, and the store has room for them or will make some.
fn takes_pushes(core: &Core) -> bool {
    let is_stuck = match &core.sink {
        Sink::Embedded(embedded) => embedded.store().is_full() && embedded.seal_failed(),
        Sink::Influx(_) => false,
    };
    core.journal.failing().is_none() && !is_stuck
}

fn journal_check(core: &Core) -> Check {
    let (status, message) = match core.journal.failing() {
        None => (
            Status::Pass,
            format!(
                "through batch {}, {} bytes on disk",
                core.journal.last_sequence(),
                core.journal.pending_bytes()
            ),
        ),
        Some(error) => (Status::Fail, error.for_clients()),
    };
    Check {
        name: "journal".to_owned(),
        status,
        message,
    }
}

fn store_check(embedded: &Embedded) -> Check {
    let store = embedded.store();
    let usage = store.usage();
    let bound = usage
        .max_bytes
        .map_or_else(String::new, |max| format!(" of at most {max}"));
    let gone = usage.evicted_through_ns.map_or_else(String::new, |newest| {
        format!(
            "; HEADROOM_STORE_MAX_BYTES was reached, {} values up to {} are gone",
            usage.evicted_values,
            DateTime::from_timestamp_nanos(newest).to_rfc3339_opts(SecondsFormat::Secs, true)
        )
    });
    let (status, failed) = match (store.is_full(), embedded.seal_failed()) {
        (true, true) => (
            Status::Fail,
            "the last seal failed, the log says why; no more pushes are taken until one succeeds, for as many points wait in \
             memory as HEADROOM_STORE_MEMORY_MAX_BYTES allows; ",
        ),
        (true, false) => (
            Status::Fail,
            "points come faster than they are sealed, and pushes are asked to come later; ",
        ),
        (false, true) => (
            Status::Fail,
            "the last seal failed, the log says why; pushes are taken until memory or journal are full; ",
        ),
        (false, false) => (Status::Pass, ""),
    };
    Check {
        name: "store".to_owned(),
        status,
        message: format!(
            "{failed}sealed through batch {}, {}{bound} bytes on disk{gone}",
            store.sealed_through(),
            usage.file_bytes
        ),
    }
}
