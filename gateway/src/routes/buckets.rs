//! What InfluxDB 2's clients ask first: organisations, buckets, a sign of life; and deleting points.
//!
//! A bucket is a retention policy: `telegraf` is the default one of the database `telegraf`, `telegraf/week` its policy
//! `week`.

use actix_web::{
    HttpRequest, HttpResponse, get, head, post,
    web::{Data, Json, Payload, Query},
};
use headroom_openapi::access::Scope;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use super::{admission, health::alive};
use crate::{
    body::Body,
    error::{ApiError, Dialect, ErrorV2, Failure},
    influxql::{self, StatementError},
    sink::Sink,
    state::State,
    store::{DEFAULT_POLICY, PolicyInfo, Store},
};

/// There is one organisation, whatever it is called.
const ORG_ID: &str = "0000000000000001";
const ORG_NAME: &str = "headroom";
const SECOND_NS: i64 = 1_000_000_000;
/// Buckets of one answer, as in InfluxDB.
const LIMIT_DEFAULT: usize = 20;
const LIMIT_MOST: usize = 100;

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config
        .service(ping)
        .service(ping_head)
        .service(list_orgs)
        .service(list_buckets)
        .service(create_bucket)
        .service(delete);
}

/// How long a bucket keeps points.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RetentionRule {
    /// `expire`.
    #[serde(rename = "type", default)]
    #[schema(example = "expire")]
    kind: String,
    /// Seconds; 0: for ever.
    #[schema(example = 2_592_000)]
    every_seconds: i64,
}

/// A bucket.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Bucket {
    /// Its number, 16 hexadecimal digits.
    #[schema(example = "0000000000000001")]
    id: String,
    /// The organisation's number.
    #[serde(rename = "orgID")]
    org_id: String,
    /// `user`.
    #[serde(rename = "type")]
    kind: String,
    /// Its name.
    #[schema(example = "telegraf")]
    name: String,
    /// How long it keeps points; none: for ever.
    retention_rules: Vec<RetentionRule>,
}

/// A list of buckets.
#[derive(Serialize, ToSchema)]
struct Buckets {
    /// The buckets.
    buckets: Vec<Bucket>,
}

/// A bucket to make.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct NewBucket {
    /// Its name.
    #[schema(example = "telegraf")]
    name: String,
    /// How long it keeps points; none: for ever.
    #[serde(default)]
    retention_rules: Vec<RetentionRule>,
}

/// The organisation.
#[derive(Serialize, ToSchema)]
struct Org {
    /// Its number.
    id: String,
    /// Its name.
    name: String,
}

/// A list of organisations.
#[derive(Serialize, ToSchema)]
struct Orgs {
    /// The one that there is.
    orgs: Vec<Org>,
}

/// Points to delete.
#[derive(Deserialize, ToSchema)]
struct Deletion {
    /// The first instant.
    #[schema(example = "2025-01-01T00:00:00Z")]
    start: chrono::DateTime<chrono::Utc>,
    /// The last instant.
    #[schema(example = "2025-01-02T00:00:00Z")]
    stop: chrono::DateTime<chrono::Utc>,
    /// Conditions on the measurement and on tags; without one, all points of the span.
    #[serde(default)]
    #[schema(example = "_measurement=\"cpu\" AND host=\"web-1\"")]
    predicate: String,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Listed {
    /// Only the bucket of this name.
    #[param(example = "telegraf")]
    name: Option<String>,
    /// Buckets of one answer, at most 100.
    limit: Option<usize>,
    /// Buckets that are left out before them.
    offset: Option<usize>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Target {
    /// The bucket.
    #[param(example = "telegraf", required = true, min_length = 1)]
    bucket: Option<String>,
    /// The organisation; any is taken.
    #[param(example = "headroom")]
    #[serde(rename = "org")]
    _org: Option<String>,
}

fn store_of(state: &State) -> Result<&Store, Failure> {
    match &state.core()?.sink {
        Sink::Embedded(embedded) => Ok(embedded.store()),
        Sink::Influx(_) => Err(Failure::Invalid(
            "an InfluxDB stores the points of this gateway; ask it for its buckets".to_owned(),
        )),
    }
}

fn named(database: &str, policy: &PolicyInfo) -> Bucket {
    let name = if policy.is_default {
        database.to_owned()
    } else {
        format!("{database}/{}", policy.name)
    };
    let rule = RetentionRule {
        kind: "expire".to_owned(),
        every_seconds: policy.duration_ns / SECOND_NS,
    };
    Bucket {
        id: format!("{:016x}", policy.id),
        org_id: ORG_ID.to_owned(),
        kind: "user".to_owned(),
        name,
        retention_rules: if policy.duration_ns > 0 {
            vec![rule]
        } else {
            Vec::new()
        },
    }
}

fn all_buckets(store: &Store) -> Vec<Bucket> {
    let databases = store.databases();
    let policies = databases.iter().flat_map(|database| {
        let policies = store.policies(database).unwrap_or_default();
        policies
            .into_iter()
            .map(move |policy| named(database, &policy))
    });
    policies.collect()
}

/// Runs a change of the store off the threads that serve connections.
async fn change<T: Send + 'static>(
    store: &Store,
    work: impl FnOnce(&Store) -> Result<T, StatementError> + Send + 'static,
) -> Result<T, Failure> {
    let store = store.clone();
    let done = tokio::task::spawn_blocking(move || work(&store)).await;
    let done = done.map_err(|error| {
        tracing::error!(%error, "changing the store panicked");
        Failure::Internal
    })?;
    done.map_err(|error| match error {
        StatementError::Store(error) => Failure::Store(error),
        other => Failure::Invalid(other.to_string()),
    })
}

fn bad_request(error: &dyn std::fmt::Display) -> Failure {
    Failure::Invalid(error.to_string())
}

/// Ask for a sign of life (InfluxDB 2)
///
/// Answers as `/ping` does.
#[utoipa::path(
    tag = "health",
    operation_id = "pingV2",
    responses((status = 204, description = "The gateway listens"))
)]
#[get("/api/v2/ping")]
async fn ping() -> HttpResponse {
    alive()
}

/// Ask for a sign of life without a body (InfluxDB 2)
///
/// Answers as GET does.
#[utoipa::path(
    tag = "health",
    operation_id = "pingV2Head",
    responses((status = 204, description = "The gateway listens"))
)]
#[head("/api/v2/ping")]
async fn ping_head() -> HttpResponse {
    alive()
}

/// List the organisations (InfluxDB 2)
///
/// There is one, and every name is taken for it.
#[utoipa::path(
    tag = "buckets",
    operation_id = "listOrgs",
    responses(
        (status = 200, description = "The one organisation", body = Orgs, example = json!({"orgs": [{"id": "0000000000000001", "name": "headroom"}]})),
        (status = 401, description = "No known token", body = ErrorV2),
    )
)]
#[get("/api/v2/orgs")]
async fn list_orgs() -> Json<Orgs> {
    Json(Orgs {
        orgs: vec![Org {
            id: ORG_ID.to_owned(),
            name: ORG_NAME.to_owned(),
        }],
    })
}

/// List the buckets (InfluxDB 2)
///
/// A bucket is a retention policy: `telegraf` is the default one of its database, `telegraf/week` another.
#[utoipa::path(
    tag = "buckets",
    operation_id = "listBuckets",
    params(Listed),
    responses(
        (status = 200, description = "The buckets", body = Buckets, example = json!({"buckets": [{
            "id": "0000000000000001", "orgID": "0000000000000001", "type": "user", "name": "telegraf", "retentionRules": []
        }]})),
        (status = 400, description = "An InfluxDB stores the points", body = ErrorV2),
        (status = 401, description = "No known token", body = ErrorV2),
        (status = 503, description = "The gateway is starting", body = ErrorV2),
    )
)]
#[get("/api/v2/buckets")]
async fn list_buckets(
    state: Data<State>,
    request: HttpRequest,
    query: Result<Query<Listed>, actix_web::Error>,
) -> Result<Json<Buckets>, ApiError> {
    let listed = || {
        let Query(query) = query.map_err(|error| bad_request(&error))?;
        let mut buckets = all_buckets(store_of(&state)?);
        buckets.retain(|bucket| query.name.as_ref().is_none_or(|name| *name == bucket.name));
        let grant = admission::grant_of(&request)?;
        buckets.retain(|bucket| {
            let (database, policy) = match bucket.name.split_once('/') {
                Some((database, policy)) => (database, Some(policy)),
                None => (bucket.name.as_str(), None),
            };
            grant.bounds.has_bucket(database, policy)
        });
        let limit = query.limit.unwrap_or(LIMIT_DEFAULT).min(LIMIT_MOST);
        let skipped = buckets.into_iter().skip(query.offset.unwrap_or(0));
        Ok(Json(Buckets {
            buckets: skipped.take(limit).collect(),
        }))
    };
    listed().map_err(|failure: Failure| failure.for_dialect(Dialect::V2))
}

/// Make a bucket (InfluxDB 2)
///
/// Makes the database, or with a slash in the name a further retention policy of it.
#[utoipa::path(
    tag = "buckets",
    operation_id = "createBucket",
    request_body(content = NewBucket, description = "The bucket", example = json!({
        "orgID": "0000000000000001", "name": "telegraf", "retentionRules": [{"type": "expire", "everySeconds": 2_592_000}]
    })),
    responses(
        (status = 201, description = "The bucket is made", body = Bucket, example = json!({
            "id": "0000000000000001", "orgID": "0000000000000001", "type": "user", "name": "telegraf",
            "retentionRules": [{"type": "expire", "everySeconds": 2_592_000}]
        })),
        (status = 400, description = "The name is none or the body is wrong", body = ErrorV2),
        (status = 401, description = "No known token", body = ErrorV2),
        (status = 403, description = "The token lacks the scope `admin`", body = ErrorV2),
        (status = 413, description = "The body is too large", body = ErrorV2),
        (status = 415, description = "The content encoding is not known", body = ErrorV2),
        (status = 422, description = "There is such a bucket already", body = ErrorV2),
        (status = 503, description = "The gateway is starting", body = ErrorV2),
    )
)]
#[post("/api/v2/buckets")]
async fn create_bucket(
    state: Data<State>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let made = async {
        admission::check(&request, Scope::Admin)?;
        let body = Body::read(&request, payload, &state.intake).await?;
        let wanted: NewBucket =
            serde_json::from_slice(&body.text).map_err(|error| bad_request(&error))?;
        let store = store_of(&state)?;
        let is_wanted = |bucket: &Bucket| bucket.name == wanted.name;
        if all_buckets(store).iter().any(is_wanted) {
            return Err(Failure::BucketExists(wanted.name));
        }
        let rule = wanted.retention_rules.first();
        let seconds = rule.map_or(0, |rule| rule.every_seconds).max(0);
        let duration_ns = seconds.saturating_mul(SECOND_NS);
        let name = wanted.name.clone();
        change(store, move |store| {
            let (database, policy) = name.split_once('/').unwrap_or((&name, DEFAULT_POLICY));
            Ok(store.create_policy(database, policy, duration_ns, false)?)
        })
        .await?;
        let buckets = all_buckets(store);
        let bucket = buckets.into_iter().find(is_wanted);
        let bucket = bucket.ok_or(Failure::Internal)?;
        Ok(HttpResponse::Created().json(bucket))
    };
    made.await
        .map_err(|failure: Failure| failure.for_dialect(Dialect::V2))
}

/// Delete points (InfluxDB 2)
///
/// Deletes the points of a bucket between two instants, the ends included, that a predicate on measurement and tags names.
#[utoipa::path(
    tag = "buckets",
    operation_id = "deletePoints",
    params(Target),
    request_body(content = Deletion, description = "Which points", example = json!({
        "start": "2025-01-01T00:00:00Z", "stop": "2025-01-02T00:00:00Z", "predicate": "_measurement=\"cpu\" AND host=\"web-1\""
    })),
    responses(
        (status = 204, description = "The points are gone, durably"),
        (status = 400, description = "The bucket, the body or the predicate is wrong", body = ErrorV2),
        (status = 401, description = "No known token", body = ErrorV2),
        (status = 403, description = "The token lacks the scope `admin`", body = ErrorV2),
        (status = 413, description = "The body is too large", body = ErrorV2),
        (status = 415, description = "The content encoding is not known", body = ErrorV2),
        (status = 503, description = "The gateway is starting", body = ErrorV2),
    )
)]
#[post("/api/v2/delete")]
async fn delete(
    state: Data<State>,
    request: HttpRequest,
    query: Result<Query<Target>, actix_web::Error>,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let deleted = async {
        admission::check(&request, Scope::Admin)?;
        let Query(target) = query.map_err(|error| bad_request(&error))?;
        let bucket = target.bucket.ok_or_else(|| {
            Failure::Invalid("the parameter bucket is missing; write bucket=telegraf".to_owned())
        })?;
        let body = Body::read(&request, payload, &state.intake).await?;
        let wanted: Deletion =
            serde_json::from_slice(&body.text).map_err(|error| bad_request(&error))?;
        let nanos = |time: chrono::DateTime<chrono::Utc>| time.timestamp_nanos_opt();
        let first = nanos(wanted.start).unwrap_or(i64::MIN);
        let last = nanos(wanted.stop).unwrap_or(i64::MAX);
        change(store_of(&state)?, move |store| {
            influxql::delete(store, &bucket, &wanted.predicate, first, last)
        })
        .await?;
        Ok(HttpResponse::NoContent().finish())
    };
    deleted
        .await
        .map_err(|failure: Failure| failure.for_dialect(Dialect::V2))
}
