//! `/api/v1/jobs`: how retrains go on.

use actix_web::{delete, get, web};
use headroom_openapi::problem::Problem;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    app::App,
    error::ApiError,
    jobs::{CancelError, Job, JobState},
};

/// Jobs.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct JobsAnswer {
    /// The newest first.
    pub jobs: Vec<Job>,
}

/// List jobs
///
/// Those that wait or run, and the last hundred that have ended.
#[utoipa::path(
    tag = "jobs",
    operation_id = "listJobs",
    responses(
        (status = 200, description = "The jobs, the newest first", body = JobsAnswer, example = json!({
            "jobs": [{
                "id": "9f86d081884c7d65", "state": "done", "cause": "schedule", "requested_at": "2026-11-21T03:30:00Z",
                "started_at": "2026-11-21T03:30:00Z", "finished_at": "2026-11-21T03:30:09Z", "share_done": 1.0,
                "eta_s": null, "base": null,
                "hosts": [{"host": "web-1", "state": "done", "share_done": 1.0, "seconds": 8.6,
                    "outcome": "version 000003 serves", "error": null}]
            }]
        })),
        (status = 401, description = "No known token", body = Problem, content_type = "application/problem+json"),
    )
)]
#[get("/api/v1/jobs")]
pub(crate) async fn list(app: web::Data<App>) -> web::Json<JobsAnswer> {
    web::Json(JobsAnswer {
        jobs: app.book.list(),
    })
}

/// Show a job
///
/// How far the base and each of its hosts are, and when it is probably done.
#[utoipa::path(
    tag = "jobs",
    operation_id = "getJob",
    params(("id" = String, Path, description = "The job's id", example = "9f86d081884c7d65")),
    responses(
        (status = 200, description = "The job", body = Job, example = json!({
            "id": "9f86d081884c7d65", "state": "running", "cause": "request", "requested_at": "2026-11-21T12:00:14Z",
            "started_at": "2026-11-21T12:00:14Z", "finished_at": null, "share_done": 0.7, "eta_s": 5.1, "base": null,
            "hosts": [
                {"host": "db-1", "state": "done", "share_done": 1.0, "seconds": 8.5, "outcome": "version 000003 serves", "error": null},
                {"host": "web-1", "state": "training", "share_done": 0.4, "seconds": null, "outcome": null, "error": null}
            ]
        })),
        (status = 401, description = "No known token", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such job, or it was cancelled", body = Problem, content_type = "application/problem+json"),
    )
)]
#[get("/api/v1/jobs/{id}")]
pub(crate) async fn get(
    app: web::Data<App>,
    id: web::Path<String>,
) -> Result<web::Json<Job>, ApiError> {
    let id = id.into_inner();
    let job = app.book.get(&id).ok_or(CancelError::Unknown { id })?;
    if job.state == JobState::Cancelled {
        return Err(ApiError::JobCancelled { id: job.id });
    }
    Ok(web::Json(job))
}

/// Cancel a job
///
/// Hosts that were trained before keep their new models; the others go on with their old ones.
#[utoipa::path(
    tag = "jobs",
    operation_id = "cancelJob",
    params(("id" = String, Path, description = "The job's id", example = "9f86d081884c7d65")),
    responses(
        (status = 200, description = "The job, cancelled", body = Job, example = json!({
            "id": "9f86d081884c7d65", "state": "cancelled", "cause": "request", "requested_at": "2026-11-21T12:00:14Z",
            "started_at": "2026-11-21T12:00:14Z", "finished_at": "2026-11-21T12:00:20Z", "share_done": 0.4,
            "eta_s": null, "base": null,
            "hosts": [{"host": "web-1", "state": "cancelled", "share_done": 0.4, "seconds": null, "outcome": null, "error": null}]
        })),
        (status = 401, description = "No known token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The token lacks the scope write", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such job", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The job has ended already", body = Problem, content_type = "application/problem+json"),
    )
)]
#[delete("/api/v1/jobs/{id}")]
pub(crate) async fn cancel(
    app: web::Data<App>,
    id: web::Path<String>,
) -> Result<web::Json<Job>, ApiError> {
    Ok(web::Json(app.book.cancel(&id)?))
}
