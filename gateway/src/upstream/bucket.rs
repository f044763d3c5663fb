//! Makes the bucket, or the database and its retention policy, that batches go to.

use std::time::Duration;

use influxdb2::{
    Client, RequestError,
    api::{buckets::ListBucketsRequest, organization::ListOrganizationRequest},
    models::PostBucketRequest,
};

use super::{Upstream, Version, probe::describe};
use crate::config::{InfluxSettings, Secret};

/// The crate has no timeouts of its own.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why a bucket could not be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum BucketError {
    /// The server does not want it; its words.
    #[error("the server refuses: {0}")]
    Refused(String),
    /// The server could not be asked, or could not say; why.
    #[error("{0}")]
    Later(String),
}

impl Upstream {
    /// Makes a bucket, or a database with its retention policy, if it is missing.
    pub(super) async fn ensure_bucket(&self, name: &str) -> Result<(), BucketError> {
        match self.version().await.map_err(BucketError::Later)? {
            Version::One => self.create_database(name).await,
            // The first write makes it.
            Version::Three => Ok(()),
            Version::Two => {
                // The crate panics on what it does not expect, so it gets a task of its own.
                let task = tokio::spawn(make(self.0.settings.clone(), name.to_owned()));
                match tokio::time::timeout(TIMEOUT, task).await {
                    Err(_) => Err(BucketError::Later("no answer in time".to_owned())),
                    Ok(Err(_)) => Err(BucketError::Later(
                        "the server's answer could not be read".to_owned(),
                    )),
                    Ok(Ok(outcome)) => outcome,
                }
            }
        }
    }

    async fn create_database(&self, bucket: &str) -> Result<(), BucketError> {
        let (database, policy) = split(bucket);
        let database = quoted(database);
        self.order(format!("CREATE DATABASE {database}")).await?;
        if let Some(policy) = policy.map(quoted) {
            let order = format!(
                "CREATE RETENTION POLICY {policy} ON {database} DURATION INF REPLICATION 1"
            );
            self.order(order).await?;
        }
        Ok(())
    }

    /// Has an InfluxDB 1 execute a statement.
    async fn order(&self, statement: String) -> Result<(), BucketError> {
        let request = self
            .0
            .client
            .post(self.url("/query"))
            .timeout(TIMEOUT)
            .form(&[("q", statement)]);
        let later = |error| BucketError::Later(describe(&error));
        let answer = self.authorized(request).send().await.map_err(later)?;
        let status = answer.status();
        let text = answer.text().await.map_err(later)?;
        if refuses(status.as_u16()) {
            return Err(BucketError::Refused(format!("{status} {text}")));
        }
        if !status.is_success() {
            return Err(BucketError::Later(format!("it answered {status}")));
        }
        // What a statement ends with stands in its result, whatever the status.
        let answer: Option<serde_json::Value> = serde_json::from_str(&text).ok();
        match answer.and_then(|answer| answer["results"][0]["error"].as_str().map(str::to_owned)) {
            Some(words) => Err(BucketError::Refused(words)),
            None => Ok(()),
        }
    }
}

/// Says whether a status is the server's last word: neither 408 nor 429 is.
fn refuses(status: u16) -> bool {
    matches!(status, 400..500) && !matches!(status, 408 | 429)
}

/// The database and the retention policy that a name means to an InfluxDB 1.
pub(super) fn split(bucket: &str) -> (&str, Option<&str>) {
    match bucket.split_once('/') {
        Some((database, policy)) => (database, Some(policy)),
        None => (bucket, None),
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}

async fn make(settings: InfluxSettings, name: String) -> Result<(), BucketError> {
    let later = BucketError::Later;
    let token = settings.token.as_ref().map_or("", Secret::expose);
    let org = settings.org.unwrap_or_default();
    let client = Client::new(settings.url.as_str().trim_end_matches('/'), &org, token);
    client
        .health()
        .await
        .map_err(|error| later(format!("/health: {error}")))?;
    let request = ListBucketsRequest {
        name: Some(name.clone()),
        ..ListBucketsRequest::default()
    };
    // A bucket that is not there is an empty list on some versions and 404 on others.
    if let Ok(found) = client.list_buckets(Some(request)).await
        && found.buckets.iter().any(|bucket| bucket.name == name)
    {
        return Ok(());
    }
    let request = ListOrganizationRequest {
        org: (!org.is_empty()).then(|| org.clone()),
        ..ListOrganizationRequest::default()
    };
    let organisations = client
        .list_organizations(request)
        .await
        .map_err(|error| later(format!("the organisations cannot be listed: {error}")))?;
    let org_id = organisations
        .orgs
        .into_iter()
        .find_map(|found| found.id)
        .ok_or_else(|| {
            later(format!(
                "there is no organisation {org:?}; set HEADROOM_INFLUX_ORG"
            ))
        })?;
    let made = client
        .create_bucket(Some(PostBucketRequest::new(org_id, name.clone())))
        .await;
    match made {
        Ok(()) => {
            tracing::info!(bucket = name, "made the bucket");
            Ok(())
        }
        Err(RequestError::Http { status, text }) if refuses(status.as_u16()) => {
            Err(BucketError::Refused(format!("{status} {text}")))
        }
        Err(error) => Err(later(error.to_string())),
    }
}
