//! `/query` answered by the InfluxDB behind the gateway.

use actix_web::{HttpResponse, http::StatusCode, web::Bytes};
use futures_util::TryStreamExt;
use headroom_openapi::query::QueryAnswer;

use crate::{
    access::Bounds,
    error::Failure,
    upstream::{PassedQuery, Upstream},
};

/// The headers of an answer that mean something to its client.
const PASSED_HEADERS: [&str; 4] = [
    "content-type",
    "x-influxdb-version",
    "x-influxdb-build",
    "x-influxdb-error",
];

/// Passes a query on and streams the answer back as it comes.
pub(super) async fn pass(upstream: &Upstream, query: PassedQuery) -> Result<HttpResponse, Failure> {
    let creates_database = query
        .parameters
        .iter()
        .any(|(name, value)| name == "q" && is_create_database(value));
    if creates_database && upstream.lacks_create_database().await {
        // The bucket is made by the first write to it.
        let answer = serde_json::json!({ "results": [{ "statement_id": 0 }] });
        return Ok(HttpResponse::Ok().json(answer));
    }
    let answer = upstream.query(query).await.map_err(Failure::UpstreamAway)?;
    let status = StatusCode::from_u16(answer.status().as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut response = HttpResponse::build(status);
    for name in PASSED_HEADERS {
        if let Some(value) = answer.headers().get(name) {
            response.insert_header((name, value.as_bytes()));
        }
    }
    let body = answer
        .bytes_stream()
        .map_ok(Bytes::from)
        .map_err(std::io::Error::other);
    Ok(response.streaming(body))
}

/// Passes SHOW DATABASES on, and answers those of the server's databases that are within a token's bounds, as JSON.
pub(super) async fn list_databases(
    upstream: &Upstream,
    mut query: PassedQuery,
    bounds: &Bounds,
) -> Result<HttpResponse, Failure> {
    // Neither in chunks nor as CSV: one object, which can be read here.
    query.parameters.retain(|(name, _)| name == "q");
    query.accept = None;
    let answer = upstream.query(query).await.map_err(Failure::UpstreamAway)?;
    let status = answer.status();
    let body = answer.bytes().await;
    let listed = body
        .ok()
        .and_then(|body| serde_json::from_slice::<QueryAnswer>(&body).ok());
    let mut listed = listed.filter(|_| status.is_success()).ok_or_else(|| {
        Failure::UpstreamAway(format!(
            "SHOW DATABASES was answered {status}, without a list"
        ))
    })?;
    let series = listed
        .results
        .iter_mut()
        .flat_map(|result| &mut result.series);
    for one in series {
        let is_within = |row: &Vec<serde_json::Value>| {
            let name = row.first().and_then(serde_json::Value::as_str);
            name.is_some_and(|name| bounds.has_database(name))
        };
        one.values.retain(is_within);
    }
    Ok(HttpResponse::Ok().json(listed))
}

/// Says whether a text is one CREATE DATABASE statement.
pub(super) fn is_create_database(q: &str) -> bool {
    let mut words = q.split_ascii_whitespace();
    let mut next_is = |word: &str| {
        words
            .next()
            .is_some_and(|found| found.eq_ignore_ascii_case(word))
    };
    next_is("create") && next_is("database")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn create_database_is_told_from_queries() {
        assert!(is_create_database("CREATE DATABASE \"telegraf\""));
        assert!(is_create_database(" create\n database x"));
        assert!(!is_create_database("CREATE RETENTION POLICY x"));
        assert!(!is_create_database("SELECT database FROM \"create\""));
    }
}
