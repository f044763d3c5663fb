//! `/api/v1/retrain`: asks for new models.

use std::collections::BTreeSet;

use actix_web::{HttpResponse, http::header, post, web};
use headroom_openapi::problem::Problem;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::object;
use crate::{
    app::App,
    error::ApiError,
    jobs::{Cause, Job},
    serving::ServeError,
};

/// What is to be trained.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RetrainRequest {
    /// These hosts; all that are known where it is left out.
    #[serde(default)]
    pub hosts: Option<Vec<String>>,
}

/// Retrain hosts
///
/// Queues a job that reads the history of each host, fits a new model, backtests it, and lets it serve. Jobs run one
/// after the other; the answer's `id` leads to the job. The body may be left out to retrain every host, which begins with
/// a new base of the fleet.
#[utoipa::path(
    tag = "jobs",
    operation_id = "retrain",
    request_body(content = Option<RetrainRequest>, description = "The hosts; all where it is left out", example = json!({"hosts": ["web-1"]})),
    responses(
        (status = 202, description = "The job, which waits for its turn", body = Job, headers(("Location" = String, description = "The job's path")), example = json!({
            "id": "9f86d081884c7d65", "state": "queued", "cause": "request", "requested_at": "2026-11-21T12:00:14Z",
            "started_at": null, "finished_at": null, "share_done": 0.0, "eta_s": null, "base": null,
            "hosts": [{"host": "web-1", "state": "waiting", "share_done": 0.0, "seconds": null, "outcome": null, "error": null}]
        })),
        (status = 400, description = "The body cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No known token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The token lacks the scope write", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "A host is unknown", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "No host is known yet", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many jobs wait already", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "The gateway refuses the token or a statement", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The gateway is away", body = Problem, content_type = "application/problem+json"),
    )
)]
#[post("/api/v1/retrain")]
pub(crate) async fn retrain(
    app: web::Data<App>,
    body: web::Bytes,
) -> Result<HttpResponse, ApiError> {
    let request = parse(&body)?;
    // Who has just pushed the first points of a host need not wait for the next look.
    let known = app.fleet.refresh().await.map_err(ServeError::from)?;
    let hosts: Vec<String> = match request.hosts {
        None => known.keys().cloned().collect(),
        Some(hosts) => {
            let hosts: BTreeSet<String> = hosts.into_iter().collect();
            if let Some(unknown) = hosts.iter().find(|host| !known.contains_key(*host)) {
                return Err(ServeError::HostUnknown {
                    host: unknown.clone(),
                }
                .into());
            }
            hosts.into_iter().collect()
        }
    };
    // Who names every host asks for no less than who names none.
    let job = if hosts.len() == known.len() {
        app.book.submit_all(hosts, Cause::Request)?
    } else {
        app.book.submit(hosts, Cause::Request)?
    };
    Ok(HttpResponse::Accepted()
        .insert_header((header::LOCATION, format!("/api/v1/jobs/{}", job.id)))
        .json(job))
}

fn parse(body: &[u8]) -> Result<RetrainRequest, ApiError> {
    if body.trim_ascii().is_empty() {
        return Ok(RetrainRequest::default());
    }
    let given: Option<Map<String, Value>> =
        serde_json::from_slice(body).map_err(|error| ApiError::RequestInvalid {
            reason: format!("the body is no retrain: {error}; write {{\"hosts\": [\"web-1\"]}}, or nothing for all"),
        })?;
    given.map_or_else(|| Ok(RetrainRequest::default()), object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_body_means_all_hosts() {
        for body in ["", "  ", "{}", "null", "{\"hosts\": null}"] {
            assert_eq!(parse(body.as_bytes()).expect(body).hosts, None);
        }
        let one = parse(br#"{"hosts": ["a"]}"#).expect("a host");
        assert_eq!(one.hosts, Some(vec!["a".to_owned()]));
        for body in ["[", "[]", "[\"a\"]", "{\"host\": \"a\"}"] {
            assert!(parse(body.as_bytes()).is_err(), "{body}");
        }
    }
}
