//! What an InfluxDB will never take, and large batches that cannot go as they came.

use std::sync::{Arc, Mutex};

use headroom_gateway::config::{Flags, GuardFlags};
use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers::path};

use crate::support::{TestApp, gzip, init, read};

const LAG: &str = "headroom_upstream_lag_batches{destination=\"influxdb\"}";

/// An InfluxDB 1 that remembers writes and orders.
#[derive(Clone, Default)]
struct Server {
    /// Database, policy and text of every write that was taken.
    taken: Arc<Mutex<Vec<(String, String)>>>,
    writes: Arc<Mutex<Vec<usize>>>,
    orders: Arc<Mutex<Vec<String>>>,
}

/// What a write to a place is answered, other than 204.
type Excuse = fn(&Server, place: &str, text: &str) -> Option<ResponseTemplate>;

impl Server {
    async fn start(&self, excuse: Excuse, order_error: Option<&'static str>) -> MockServer {
        init();
        let mock = MockServer::start().await;
        let server = self.clone();
        let write = move |request: &Request| {
            let text = String::from_utf8_lossy(&request.body).into_owned();
            server.writes.lock().expect("lock").push(text.len());
            let named = |name| {
                let mut pairs = request.url.query_pairs();
                let found = pairs.find(|(key, _)| key == name);
                found.map_or_else(String::new, |(_, value)| value.into_owned())
            };
            let place = format!("{}/{}", named("db"), named("rp"));
            excuse(&server, &place, &text).unwrap_or_else(|| {
                server.taken.lock().expect("lock").push((place, text));
                ResponseTemplate::new(204)
            })
        };
        Mock::given(path("/write"))
            .respond_with(write)
            .mount(&mock)
            .await;
        let server = self.clone();
        let order = move |request: &Request| {
            let form = url::form_urlencoded::parse(&request.body);
            let statements = form.filter(|(key, _)| key == "q");
            let statements = statements.map(|(_, statement)| statement.into_owned());
            server.orders.lock().expect("lock").extend(statements);
            let outcome = order_error.map_or_else(
                || serde_json::json!({ "statement_id": 0 }),
                |error| serde_json::json!({ "statement_id": 0, "error": error }),
            );
            ResponseTemplate::new(200).set_body_json(serde_json::json!({ "results": [outcome] }))
        };
        Mock::given(path("/query"))
            .respond_with(order)
            .mount(&mock)
            .await;
        mock
    }

    fn lines(&self) -> Vec<String> {
        let taken = self.taken.lock().expect("lock");
        taken
            .iter()
            .flat_map(|(place, text)| text.lines().map(move |line| format!("{place} {line}")))
            .collect()
    }
}

fn before(mock: &MockServer) -> Flags {
    Flags {
        influx_url: Some(mock.uri()),
        influx_version: Some(1),
        guard: GuardFlags {
            type_guard: Some(false),
            ..GuardFlags::default()
        },
        ..Flags::default()
    }
}

fn error(status: u16, message: &str) -> ResponseTemplate {
    let body = serde_json::json!({ "error": message });
    ResponseTemplate::new(status).set_body_json(body)
}

#[tokio::test]
async fn a_database_that_the_server_refuses_to_make_holds_up_no_other_one() {
    let server = Server::default();
    let missing = |_: &Server, place: &str, _: &str| {
        let is_odd = place.starts_with("odd");
        is_odd.then(|| error(404, "database not found: \"odd\""))
    };
    let mock = server.start(missing, Some("invalid name")).await;
    let app = TestApp::start_with(before(&mock)).await;
    // The same series, so that only the database tells them apart.
    for n in 1..=3 {
        for db in ["odd", "telegraf"] {
            let (status, _) = app
                .push(&format!("/write?db={db}"), format!("m f={n} {n}"))
                .await;
            assert_eq!(status, 204);
        }
    }
    app.until("the other one's lines arrived", async |_| {
        server.lines().len() == 3
    })
    .await;
    app.until_metric(LAG, 0).await;
    let page: serde_json::Value = app.get("/api/v1/rejects").await.json().await.expect("JSON");
    let rejects = page["rejects"].as_array().expect("rejects");
    let lines: Vec<_> = rejects.iter().rev().map(|reject| &reject["line"]).collect();
    assert_eq!(lines, ["m f=1 1", "m f=2 2", "m f=3 3"]);
    let message = rejects[0]["message"].as_str().expect("text");
    assert!(
        message.contains("refuses to make the bucket \"odd\": invalid name"),
        "{message}"
    );
}

#[tokio::test]
async fn a_retention_policy_that_is_missing_is_made() {
    let server = Server::default();
    let missing = |server: &Server, place: &str, _: &str| {
        let orders = server.orders.lock().expect("lock");
        let made = orders.iter().any(|order| order.contains("RETENTION"));
        (place == "d/week" && !made).then(|| error(500, "retention policy not found: week"))
    };
    let mock = server.start(missing, None).await;
    let app = TestApp::start_with(before(&mock)).await;
    assert_eq!(app.push("/write?db=d&rp=week", "m f=1 1").await.0, 204);
    app.until_metric(LAG, 0).await;
    assert_eq!(server.lines(), ["d/week m f=1 1"]);
    let orders = server.orders.lock().expect("lock");
    assert_eq!(
        orders.last().map(String::as_str),
        Some("CREATE RETENTION POLICY \"week\" ON \"d\" DURATION INF REPLICATION 1")
    );
}

#[tokio::test]
async fn lines_that_are_refused_all_together_are_not_asked_about_one_by_one() {
    let server = Server::default();
    let expired = |_: &Server, _: &str, text: &str| {
        let count = text.lines().filter(|line| line.starts_with("old")).count();
        let message = format!("partial write: points beyond retention policy dropped={count}");
        (count > 0).then(|| error(400, &message))
    };
    let mock = server.start(expired, None).await;
    let app = TestApp::start_with(before(&mock)).await;
    let lines: Vec<String> = (0..2000).map(|n| format!("old f={n} {n}")).collect();
    let text = lines.join("\n");
    assert_eq!(app.push("/write?db=telegraf", text).await.0, 204);
    app.until_metric(LAG, 0).await;
    // As it came, and once more by itself.
    assert_eq!(server.writes.lock().expect("lock").len(), 2);
    assert_eq!(app.metric("headroom_rejects").await, 2000);
    let rejected = "headroom_upstream_lines_rejected_total{destination=\"influxdb\"}";
    assert_eq!(app.metric(rejected).await, 2000);
}

#[tokio::test]
async fn a_batch_that_is_large_once_it_is_unpacked_goes_in_several_requests() {
    const REQUEST_MAX_BYTES: usize = 8 << 20;
    let server = Server::default();
    let mock = server.start(|_, _, _| None, None).await;
    let app = TestApp::start_with(before(&mock)).await;
    let filler = "x".repeat(1000);
    let good: Vec<String> = (0..20_000)
        .map(|n| format!("m f={n},s=\"{filler}\" {n}\n"))
        .collect();
    let good = good.concat();
    let text = format!("m f=oops\n{good}");
    let request = app
        .post("/write?db=telegraf")
        .header("content-encoding", "gzip");
    assert_eq!(read(request.body(gzip(&text))).await.0, 400);
    app.until_metric(LAG, 0).await;
    let sizes = server.writes.lock().expect("lock").clone();
    assert_eq!(
        sizes.len(),
        good.len().div_ceil(REQUEST_MAX_BYTES),
        "{sizes:?}"
    );
    // A request ends with the line that fills it.
    assert!(sizes.iter().all(|size| *size < REQUEST_MAX_BYTES + 2000));
    let taken = server.taken.lock().expect("lock");
    let sent: String = taken.iter().map(|(_, text)| text.as_str()).collect();
    assert!(sent == good, "every line, in order");
}
