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
    /// The server does not want it, in its words.
    #[error("the server refuses to make the bucket {bucket:?}: {words}")]
    Refused {
        /// Its name.
        bucket: String,
        /// What the server said.
        words: String,
    },
    /// The server could not be asked, or could not say.
    #[error("the bucket {bucket:?} cannot be made: {reason}")]
    Later {
        /// Its name.
        bucket: String,
        /// Why not now.
        reason: String,
    },
}

impl BucketError {
    fn later(bucket: &str, reason: impl Into<String>) -> Self {
        Self::Later {
            bucket: bucket.to_owned(),
            reason: reason.into(),
        }
    }

    fn refused(bucket: &str, words: impl Into<String>) -> Self {
        Self::Refused {
            bucket: bucket.to_owned(),
            words: words.into(),
        }
    }
}

impl Upstream {
    /// Makes a bucket, or a database with its retention policy, if it is missing.
    pub(super) async fn ensure_bucket(&self, name: &str) -> Result<(), BucketError> {
        let version = self.version().await;
        match version.map_err(|reason| BucketError::later(name, reason))? {
            Version::One => self.create_database(name).await,
            // The first write makes it.
            Version::Three => Ok(()),
            Version::Two => {
                // The crate panics on what it does not expect, so it gets a task of its own.
                let task = tokio::spawn(make(self.0.settings.clone(), name.to_owned()));
                match tokio::time::timeout(TIMEOUT, task).await {
                    Err(_) => Err(BucketError::later(name, "no answer in time")),
                    Ok(Err(_)) => Err(BucketError::later(
                        name,
                        "the server's answer could not be read",
                    )),
                    Ok(Ok(outcome)) => outcome,
                }
            }
        }
    }

    async fn create_database(&self, bucket: &str) -> Result<(), BucketError> {
        let (database, policy) = split(bucket);
        let database = quoted(database);
        self.order(bucket, format!("CREATE DATABASE {database}"))
            .await?;
        if let Some(policy) = policy.map(quoted) {
            let order = format!(
                "CREATE RETENTION POLICY {policy} ON {database} DURATION INF REPLICATION 1"
            );
            self.order(bucket, order).await?;
        }
        Ok(())
    }

    /// Has an InfluxDB 1 execute a statement.
    async fn order(&self, bucket: &str, statement: String) -> Result<(), BucketError> {
        let request = self
            .0
            .client
            .post(self.url("/query"))
            .timeout(TIMEOUT)
            .form(&[("q", statement)]);
        let answer = self.authorized(request).send().await;
        let answer = answer.map_err(|error| BucketError::later(bucket, describe(&error)))?;
        let status = answer.status();
        let text = answer.text().await;
        let text = text.map_err(|error| BucketError::later(bucket, describe(&error)))?;
        if refuses(status.as_u16()) {
            return Err(BucketError::refused(bucket, format!("{status} {text}")));
        }
        if !status.is_success() {
            return Err(BucketError::later(bucket, format!("it answered {status}")));
        }
        // What a statement ends with stands in its result, whatever the status.
        let answer: Option<serde_json::Value> = serde_json::from_str(&text).ok();
        match answer.and_then(|answer| answer["results"][0]["error"].as_str().map(str::to_owned)) {
            Some(words) => Err(BucketError::refused(bucket, words)),
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
    let later = |reason: String| BucketError::later(&name, reason);
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
            Err(BucketError::refused(&name, format!("{status} {text}")))
        }
        Err(error) => Err(later(error.to_string())),
    }
}
