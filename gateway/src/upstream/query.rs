//! `/query` passed on to the server.

use std::time::Duration;

use super::{Upstream, probe::describe, write::refused};

/// A query that takes longer than this is given up; Grafana's own limit is 30 s.
const QUERY_TIMEOUT: Duration = Duration::from_mins(2);

/// How a query came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryMethod {
    /// GET, parameters in the query string.
    Get,
    /// POST, parameters in a form.
    Post,
}

/// A client's query.
#[derive(Debug)]
pub struct PassedQuery {
    /// How it came.
    pub method: QueryMethod,
    /// Its parameters, credentials left out.
    pub parameters: Vec<(String, String)>,
    /// The form of answer that the client wants, such as `application/csv`.
    pub accept: Option<String>,
}

impl Upstream {
    /// Passes a query on with the server's own token, and answers what the server answers.
    ///
    /// # Errors
    ///
    /// Says why the server could not be reached, or that it sends elsewhere.
    pub async fn query(&self, query: PassedQuery) -> Result<reqwest::Response, String> {
        let parameters = self.with_own_bucket(query.parameters);
        let url = self.url("/query");
        let request = match query.method {
            QueryMethod::Get => self.0.client.get(url).query(&parameters),
            QueryMethod::Post => self.0.client.post(url).form(&parameters),
        };
        let request = match query.accept {
            Some(accept) => request.header(reqwest::header::ACCEPT, accept),
            None => request,
        };
        let answer = self
            .authorized(request)
            .timeout(QUERY_TIMEOUT)
            .send()
            .await
            .map_err(|error| describe(&error))?;
        match answer.status() {
            status if status.is_redirection() => Err(refused(status)),
            _ => Ok(answer),
        }
    }

    /// Says whether the gateway itself must answer CREATE DATABASE: version 2 has no such statement.
    pub async fn lacks_create_database(&self) -> bool {
        !matches!(self.version().await, Ok(super::Version::One))
    }

    /// Reads from where writes go: with one bucket for everything, its name takes the place of the client's database.
    fn with_own_bucket(&self, mut parameters: Vec<(String, String)>) -> Vec<(String, String)> {
        if let Some(bucket) = &self.0.settings.bucket {
            parameters.retain(|(name, _)| name != "rp");
            let (database, policy) = match bucket.split_once('/') {
                Some((database, policy)) => (database, Some(policy)),
                None => (bucket.as_str(), None),
            };
            for (name, value) in &mut parameters {
                if name == "db" {
                    database.clone_into(value);
                }
            }
            if let Some(policy) = policy {
                parameters.push(("rp".to_owned(), policy.to_owned()));
            }
        }
        parameters
    }
}
