//! The one edge where errors become answers: a table of status and code, and problem details as RFC 9457 has them.

use actix_web::{
    HttpResponse, ResponseError,
    http::{StatusCode, header},
};
use headroom_openapi::{
    access::Scope,
    problem::{PROBLEM_MEDIA_TYPE, Problem},
};

use crate::{
    ad_hoc::AdHocError,
    alert::ledger::LedgerError,
    gateway::GatewayError,
    jobs::{CancelError, SubmitError},
    registry::RegistryError,
    serving::ServeError,
    turns::TurnError,
};

/// Seconds after which a client may ask again when something is away: a restart takes less.
const RETRY_AFTER_S: u64 = 5;

/// Everything that a request can be refused for.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// There is no forecast.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The values that came along cannot be forecast.
    #[error(transparent)]
    AdHoc(#[from] AdHocError),
    /// The values that came along were not computed.
    #[error(transparent)]
    Turn(#[from] TurnError),
    /// A retrain was not taken.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// A job was not cancelled.
    #[error(transparent)]
    Cancel(#[from] CancelError),
    /// The job that is asked for was cancelled.
    #[error("job {id:?} was cancelled; GET /api/v1/jobs still lists it")]
    JobCancelled {
        /// The job.
        id: String,
    },
    /// Thresholds or alerts cannot be read or written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Models cannot be listed.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The horizon is too short or too long.
    #[error("horizon is {horizon}; with a step of {step_s} s it may be 1 to {most}")]
    HorizonOutOfRange {
        /// What was asked for.
        horizon: u32,
        /// The step, in seconds.
        step_s: u32,
        /// The longest horizon, in steps.
        most: usize,
    },
    /// The step is no multiple of five minutes, or longer than the horizon.
    #[error(
        "step is {step:?}; write 5m, 15m, 1h or another multiple of 5 minutes up to 8h, or seconds such as 900"
    )]
    StepInvalid {
        /// What was asked for.
        step: String,
    },
    /// The body or a parameter cannot be read.
    #[error("{reason}")]
    RequestInvalid {
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// A threshold that can never be reached, or always is.
    #[error("the threshold of {metric:?} is {value}; {right}")]
    ThresholdInvalid {
        /// The target.
        metric: String,
        /// The value.
        value: f64,
        /// What would be right.
        right: &'static str,
    },
    /// No token, or one that is not known.
    #[error("send a known token: `Authorization: Bearer TOKEN` (or `Token TOKEN`)")]
    TokenUnknown,
    /// The token may not do this.
    #[error("the token lacks the scope {needed}; ask for one that has it")]
    ScopeLacking {
        /// The scope.
        needed: Scope,
    },
    /// There is no such path, or not with this method.
    #[error("there is no {method} {path}; /docs shows what there is")]
    RouteUnknown {
        /// The method.
        method: String,
        /// The path.
        path: String,
    },
    /// There is such a path, but not with this method.
    #[error("{path} knows no {method}; it has {allowed}")]
    MethodUnknown {
        /// The method.
        method: String,
        /// The path.
        path: String,
        /// The methods that it has.
        allowed: String,
    },
    /// A fault of the service.
    #[error("the service failed at this; look at its log")]
    Internal,
}

impl ApiError {
    /// The table: which status, and which stable word for programs.
    fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Serve(error) => match error {
                ServeError::HostUnknown { .. } => (StatusCode::NOT_FOUND, "host_unknown"),
                ServeError::TargetUnknown { .. } => (StatusCode::NOT_FOUND, "target_unknown"),
                ServeError::NothingServed { .. } => {
                    (StatusCode::UNPROCESSABLE_ENTITY, "history_insufficient")
                }
                ServeError::Gateway(error) => match error {
                    GatewayError::Away { .. }
                    | GatewayError::TimedOut { .. }
                    | GatewayError::Status { .. } => {
                        (StatusCode::SERVICE_UNAVAILABLE, "gateway_away")
                    }
                    GatewayError::Refused { .. }
                    | GatewayError::Statement { .. }
                    | GatewayError::Unreadable { .. } => {
                        (StatusCode::BAD_GATEWAY, "gateway_refused")
                    }
                },
                ServeError::Ledger(_) => (StatusCode::INTERNAL_SERVER_ERROR, "ledger_failed"),
                ServeError::ModelBroke { .. } => {
                    (StatusCode::INTERNAL_SERVER_ERROR, "model_failed")
                }
            },
            Self::AdHoc(AdHocError::NothingObserved { .. }) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "history_insufficient")
            }
            Self::Turn(error) => match error {
                TurnError::Busy { .. } => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
                TurnError::TooLong { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "takes_too_long"),
                TurnError::Broke => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
            },
            Self::Submit(error) => match error {
                SubmitError::QueueFull => (StatusCode::TOO_MANY_REQUESTS, "queue_full"),
                SubmitError::NoHosts => (StatusCode::CONFLICT, "no_hosts"),
            },
            Self::Cancel(error) => match error {
                CancelError::Unknown { .. } => (StatusCode::NOT_FOUND, "job_unknown"),
                CancelError::Ended { .. } => (StatusCode::CONFLICT, "job_ended"),
            },
            Self::JobCancelled { .. } => (StatusCode::NOT_FOUND, "job_cancelled"),
            Self::Ledger(_) => (StatusCode::INTERNAL_SERVER_ERROR, "ledger_failed"),
            Self::Registry(RegistryError::VersionUnknown { .. }) => {
                (StatusCode::NOT_FOUND, "version_unknown")
            }
            Self::Registry(RegistryError::VersionInUse { .. }) => {
                (StatusCode::CONFLICT, "version_in_use")
            }
            Self::Registry(_) => (StatusCode::INTERNAL_SERVER_ERROR, "registry_failed"),
            Self::HorizonOutOfRange { .. } => (StatusCode::BAD_REQUEST, "horizon_out_of_range"),
            Self::StepInvalid { .. } => (StatusCode::BAD_REQUEST, "step_invalid"),
            Self::RequestInvalid { .. } => (StatusCode::BAD_REQUEST, "request_invalid"),
            Self::ThresholdInvalid { .. } => (StatusCode::BAD_REQUEST, "threshold_invalid"),
            Self::TokenUnknown => (StatusCode::UNAUTHORIZED, "token_unknown"),
            Self::ScopeLacking { .. } => (StatusCode::FORBIDDEN, "scope_lacking"),
            Self::RouteUnknown { .. } => (StatusCode::NOT_FOUND, "route_unknown"),
            Self::MethodUnknown { .. } => (StatusCode::METHOD_NOT_ALLOWED, "method_unknown"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status_and_code().0
    }

    fn error_response(&self) -> HttpResponse {
        let (status, code) = self.status_and_code();
        if status.is_server_error() {
            tracing::warn!(%status, code, error = %self, "a request failed");
        } else {
            tracing::info!(%status, code, "a request was refused");
        }
        let mut answer = HttpResponse::build(status);
        answer.content_type(PROBLEM_MEDIA_TYPE);
        if matches!(
            status,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
        ) {
            answer.insert_header((header::RETRY_AFTER, RETRY_AFTER_S.to_string()));
        }
        if status == StatusCode::UNAUTHORIZED {
            answer.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        if let Self::MethodUnknown { allowed, .. } = self {
            answer.insert_header((header::ALLOW, allowed.as_str()));
        }
        let problem = Problem {
            kind: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or_default().to_owned(),
            status: status.as_u16(),
            code: code.to_owned(),
            detail: self.to_string(),
        };
        answer.body(serde_json::to_string(&problem).unwrap_or_default())
    }
}
