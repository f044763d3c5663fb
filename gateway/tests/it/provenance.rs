//! Who a line came from and in which request, on its way to an InfluxDB.

use std::time::Duration;

use headroom_gateway::config::{Flags, GuardFlags};
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers::path};

use crate::{
    process::{self, Gateway},
    support::{TestApp, init, read},
};

const ADMIN: &str = "listed-admin-0123456789";

/// An InfluxDB that never takes a line with the word `poison`.
async fn influxdb() -> MockServer {
    init();
    let server = MockServer::start().await;
    let judge = |request: &Request| {
        let text = String::from_utf8_lossy(&request.body);
        if text.contains("poison") {
            let message = "field type conflict: input field \"f\" is type string";
            ResponseTemplate::new(422).set_body_json(json!({ "message": message }))
        } else {
            ResponseTemplate::new(204)
        }
    };
    Mock::given(path("/api/v2/write"))
        .respond_with(judge)
        .mount(&server)
        .await;
    server
}

async fn before(server: &MockServer) -> TestApp {
    let dir = tempfile::tempdir().expect("a folder");
    let tokens = dir.path().join("tokens");
    std::fs::write(&tokens, format!("{ADMIN} admin\n")).expect("writable");
    TestApp::start_with(Flags {
        tokens_file: Some(tokens),
        influx_url: Some(server.uri()),
        influx_version: Some(2),
        influx_bucket: Some("b".into()),
        // The gateway would find the conflict itself.
        guard: GuardFlags {
            type_guard: Some(false),
            ..GuardFlags::default()
        },
        ..Flags::default()
    })
    .await
}

/// What an order of the admin's is answered.
async fn told(request: RequestBuilder) -> Value {
    let (_, text) = read(request.bearer_auth(ADMIN)).await;
    serde_json::from_str(&text).unwrap_or_default()
}

/// Makes the token `fleet` for one measurement, and answers its secret.
async fn fleet(app: &TestApp, measurement: &str) -> String {
    let terms = json!({"name": "fleet", "scopes": ["write"], "measurements": [measurement]});
    let made = told(app.post("/api/v1/tokens").json(&terms)).await;
    made["token"].as_str().expect("a secret").to_owned()
}

async fn rejects(app: &TestApp, query: &str) -> Vec<Value> {
    let url = app.url(&format!("/api/v1/rejects{query}"));
    let page = told(app.client.get(url)).await;
    page["rejects"].as_array().expect("rejects").clone()
}

async fn replayed(app: &TestApp) -> (Value, Value) {
    let report = told(app.post("/api/v1/rejects/replay")).await;
    (report["accepted"].clone(), report["refused"].clone())
}

#[tokio::test]
async fn a_line_that_influxdb_refused_names_its_client_its_address_and_the_destination() {
    let server = influxdb().await;
    let app = before(&server).await;
    let secret = fleet(&app, "m*").await;
    let push = app.post("/write?db=d").bearer_auth(&secret);
    let text = "m f=1 1\nm f=\"poison\" 2\nx f=1 3";
    assert_eq!(read(push.body(text)).await.0, 400);
    app.until_metric("headroom_rejects", 2).await;
    let of_fleet = rejects(&app, "?client=fleet").await;
    let upstream = |found: &[Value]| {
        let mut found = found.iter().filter(|one| one["reason"] == "upstream");
        let one = found.next().expect("InfluxDB refused a line").clone();
        (
            one["line"].clone(),
            one["client"].clone(),
            one["address"].clone(),
            one["destination"].clone(),
        )
    };
    let expected = (
        "m f=\"poison\" 2".into(),
        "fleet".into(),
        "127.0.0.1".into(),
        "influxdb".into(),
    );
    assert_eq!(upstream(&of_fleet), expected);
    let own = of_fleet.iter().find(|one| one["line"] == "x f=1 3");
    assert_eq!(
        own.expect("the gateway refused it")["destination"],
        json!(null)
    );
    assert_eq!(rejects(&app, "?client=10.9.9.9").await, Vec::<Value>::new());
    // It comes back from the server, and is still whose it was.
    assert_eq!(replayed(&app).await, (1.into(), 1.into()));
    app.until_metric("headroom_rejects", 2).await;
    assert_eq!(
        upstream(&rejects(&app, "?client=127.0.0.1").await),
        expected
    );
}

#[tokio::test]
async fn a_replay_holds_a_line_that_influxdb_refused_to_its_tokens_bounds_of_today() {
    let server = influxdb().await;
    let app = before(&server).await;
    let secret = fleet(&app, "m*").await;
    let push = app.post("/write?db=d").bearer_auth(&secret);
    assert_eq!(read(push.body("m f=\"poison\" 2")).await.0, 204);
    app.until_metric("headroom_rejects", 1).await;
    let revoked = app.client.delete(app.url("/api/v1/tokens/fleet"));
    told(revoked).await;
    fleet(&app, "other").await;
    assert_eq!(replayed(&app).await, (0.into(), 1.into()));
    let left = rejects(&app, "").await;
    assert_eq!(
        (&left[0]["reason"], &left[0]["destination"]),
        (&"token_measurement".into(), &json!(null)),
        "today's reason is the gateway's own"
    );
}

/// The log's lines that hold a text, each by its level and message.
fn followed(gateway: &Gateway, text: &str) -> Vec<(String, String)> {
    let log = gateway.log();
    let lines = log.lines().filter(|line| line.contains(text));
    lines
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .map(|line| {
            let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            (word(&line["level"]), word(&line["fields"]["message"]))
        })
        .collect()
}

/// Waits until the log says of a request's batch that it is delivered.
async fn until_delivered(gateway: &Gateway, id: &str) {
    let wait = async {
        let is_delivered = |(_, message): &(String, String)| message == "a batch is delivered";
        while !followed(gateway, id).iter().any(is_delivered) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_mins(1), wait).await;
    waited.unwrap_or_else(|_| panic!("{id} is not delivered: {}", gateway.log()));
}

#[tokio::test]
async fn an_id_leads_through_the_log_from_a_push_to_its_delivery() {
    let server = influxdb().await;
    // Once it does not take anything.
    Mock::given(path("/api/v2/write"))
        .respond_with(ResponseTemplate::new(503))
        .up_to_n_times(1)
        .with_priority(1)
        .mount(&server)
        .await;
    let dir = tempfile::tempdir().expect("a folder");
    let mut command = process::program();
    command
        .args(["--influx-url", &server.uri(), "--influx-version", "2"])
        .args(["--influx-bucket", "b", "--type-guard", "false"])
        .env("RUST_LOG", "headroom_gateway=debug");
    let gateway = process::start(&mut command, dir.path()).await;
    for (id, text) in [
        ("agent-7:42", "m f=1 1\nm f=\"poison\" 2"),
        ("agent-7:43", "m f=1 3"),
    ] {
        let push = Client::new().post(format!("{}/write?db=d", gateway.base));
        let push = push.header("x-request-id", id).body(text);
        assert_eq!(read(push).await.0, 204);
        until_delivered(&gateway, id).await;
    }
    let is_there = |id: &str, level: &str, message: &str| {
        let lines = followed(&gateway, id);
        let wanted = (level.to_owned(), message.to_owned());
        assert!(lines.contains(&wanted), "{wanted:?} is not in {lines:?}");
    };
    let away = "InfluxDB does not take batches; they wait in the journal";
    let refused = "InfluxDB refused lines; they are kept as rejects";
    for (level, message) in [
        ("DEBUG", "a batch is on disk"),
        ("DEBUG", "batches are sent"),
        ("DEBUG", "a request is tried again"),
        ("WARN", away),
        ("WARN", refused),
        ("DEBUG", "a batch is delivered"),
    ] {
        is_there("agent-7:42", level, message);
    }
    is_there("agent-7:43", "DEBUG", "a batch is delivered");
    let lines = followed(&gateway, "agent-7:43");
    assert!(lines.iter().all(|(level, _)| level == "DEBUG"), "{lines:?}");
}
