//! A gateway that is away, refuses, or is none.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::path};

use crate::support::{FakeGateway, HostSpec, Setup};

#[tokio::test]
async fn a_gateway_that_goes_away_is_a_problem_of_the_moment() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = FakeGateway::start(&[("db-1", HostSpec::default())]).await;
    let app = Setup::new(folder.path(), &gateway).start();
    app.until("/ready", |answer| answer["status"] == "ready")
        .await;
    gateway.go_away();
    let path = "/api/v1/hosts/db-1/forecasts";
    app.problem(path, 503, "gateway_away").await;
    let response = app.send(Method::GET, path, None).await;
    assert_eq!(response.headers()["retry-after"], "5");
    let readiness = app
        .until("/ready", |answer| answer["status"] == "starting")
        .await;
    assert_eq!(readiness["checks"][1]["name"], "gateway");
    assert_eq!(app.ok("/api/v1/hosts").await["hosts"][0]["host"], "db-1");
    assert_eq!(app.ok("/health").await["status"], "pass");
    app.stop().await;
}

#[tokio::test]
async fn a_gateway_that_never_answered_makes_the_service_unready_and_not_wrong() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = FakeGateway::start(&[]).await;
    gateway.go_away();
    let app = Setup::new(folder.path(), &gateway).start();
    let readiness = app
        .until("/ready", |answer| answer["checks"][0]["status"] == "pass")
        .await;
    assert_eq!(readiness["status"], "starting");
    let message = readiness["checks"][1]["message"]
        .as_str()
        .expect("a message");
    assert!(message.contains("HEADROOM_GATEWAY_URL"), "{message}");
    app.problem("/api/v1/hosts/db-1/forecasts", 503, "gateway_away")
        .await;
    app.stop().await;
}

#[tokio::test]
async fn a_host_that_the_gateway_does_not_answer_for_holds_up_no_other() {
    let hosts = ["a-1", "b-1", "c-1", "d-1", "e-1"];
    // One is passed over; behind so many in a row the round ends, and the next one goes on behind them.
    for stuck in [&hosts[..1], &hosts[..4]] {
        let folder = tempfile::tempdir().expect("a folder");
        let gateway = FakeGateway::start(&hosts.map(|host| (host, HostSpec::default()))).await;
        gateway.stick(stuck);
        let app = Setup::new(folder.path(), &gateway).start();
        for host in &hosts[stuck.len()..] {
            let series = ["forecast", host, "cpu.usage", "q50"];
            gateway.until_kept(series, 96).await;
        }
        for host in stuck {
            let series = ["forecast", host, "cpu.usage", "q50"];
            assert!(gateway.kept(series).is_empty(), "{host}");
        }
        app.stop().await;
    }
}

#[tokio::test]
async fn a_service_that_has_not_forecast_for_three_intervals_is_not_ready() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = FakeGateway::start(&[("db-1", HostSpec::default())]).await;
    // One round, and the next in an hour.
    let app = Setup::new(folder.path(), &gateway)
        .with(|raw| raw.forecast_interval_s = Some(3_600))
        .start();
    let rounds = |answer: &Value| answer["checks"][2]["message"].as_str().map(str::to_owned);
    app.until("/ready", |answer| {
        rounds(answer).is_some_and(|message| message.contains("ended 0 s ago"))
    })
    .await;
    gateway.pass(3 * 3_600);
    assert_eq!(app.ok("/ready").await["status"], "ready");
    gateway.pass(1);
    let (status, answer) = app.get("/ready").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer["status"], "failing");
    assert_eq!(
        rounds(&answer).as_deref(),
        Some("no host was forecast for 10801 s; the log says why")
    );
    app.stop().await;
}

#[tokio::test]
async fn a_fresh_gateway_without_points_has_no_hosts() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = FakeGateway::start(&[]).await;
    let app = Setup::new(folder.path(), &gateway).start();
    assert_eq!(app.ok("/api/v1/hosts").await, json!({"hosts": []}));
    app.until("/ready", |answer| answer["status"] == "ready")
        .await;
    app.stop().await;
}

#[tokio::test]
async fn refusals_name_the_setting_or_the_statement() {
    let cases = [
        (ResponseTemplate::new(401), "HEADROOM_TOKEN"),
        (
            ResponseTemplate::new(200).set_body_string("<html>"),
            "HEADROOM_GATEWAY_URL",
        ),
        (
            ResponseTemplate::new(200).set_body_json(
                json!({"results": [{"statement_id": 0, "error": "invalid operation"}]}),
            ),
            "invalid operation",
        ),
    ];
    for (answer, named) in cases {
        let folder = tempfile::tempdir().expect("a folder");
        let stranger = MockServer::start().await;
        Mock::given(path("/query"))
            .respond_with(answer)
            .mount(&stranger)
            .await;
        let gateway = FakeGateway::start(&[]).await;
        let url = stranger.uri();
        let app = Setup::new(folder.path(), &gateway)
            .with(|raw| raw.gateway_url = Some(url))
            .start();
        let detail = app.problem("/api/v1/hosts", 502, "gateway_refused").await;
        assert!(detail.contains(named), "{detail}");
        app.stop().await;
    }
}
