//! Makes the bucket, or the database, that batches go to.

use std::time::Duration;

use influxdb2::{
    Client,
    api::{buckets::ListBucketsRequest, organization::ListOrganizationRequest},
    models::PostBucketRequest,
};

use super::{Upstream, Version, probe::describe};
use crate::config::{InfluxSettings, Secret};

/// The crate has no timeouts of its own.
const TIMEOUT: Duration = Duration::from_secs(10);

impl Upstream {
    /// Makes a bucket or a database if it is missing.
    pub(super) async fn ensure_bucket(&self, name: &str) -> Result<(), String> {
        match self.version().await? {
            Version::One => self.create_database(name).await,
            // The first write makes it.
            Version::Three => Ok(()),
            Version::Two => {
                // The crate panics on what it does not expect, so it gets a task of its own.
                let task = tokio::spawn(make(self.0.settings.clone(), name.to_owned()));
                match tokio::time::timeout(TIMEOUT, task).await {
                    Err(_) => Err("no answer in time".to_owned()),
                    Ok(Err(_)) => Err("the server's answer could not be read".to_owned()),
                    Ok(Ok(outcome)) => outcome,
                }
            }
        }
    }

    async fn create_database(&self, bucket: &str) -> Result<(), String> {
        let database = bucket.split('/').next().unwrap_or(bucket);
        let quoted = database.replace('\\', "\\\\").replace('"', "\\\"");
        let request = self
            .0
            .client
            .post(self.url("/query"))
            .timeout(TIMEOUT)
            .form(&[("q", format!("CREATE DATABASE \"{quoted}\""))]);
        let answer = self
            .authorized(request)
            .send()
            .await
            .map_err(|error| describe(&error))?;
        if answer.status().is_success() {
            Ok(())
        } else {
            Err(format!("CREATE DATABASE was answered {}", answer.status()))
        }
    }
}

async fn make(settings: InfluxSettings, name: String) -> Result<(), String> {
    let token = settings.token.as_ref().map_or("", Secret::expose);
    let org = settings.org.unwrap_or_default();
    let client = Client::new(settings.url.as_str().trim_end_matches('/'), &org, token);
    client
        .health()
        .await
        .map_err(|error| format!("/health: {error}"))?;
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
        .map_err(|error| format!("the organisations cannot be listed: {error}"))?;
    let org_id = organisations
        .orgs
        .into_iter()
        .find_map(|found| found.id)
        .ok_or_else(|| format!("there is no organisation {org:?}; set HEADROOM_INFLUX_ORG"))?;
    client
        .create_bucket(Some(PostBucketRequest::new(org_id, name.clone())))
        .await
        .map_err(|error| format!("the bucket {name:?} cannot be made: {error}"))?;
    tracing::info!(bucket = name, "made the bucket");
    Ok(())
}
