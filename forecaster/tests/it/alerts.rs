//! One true alert: from the forecast to the receiver.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers::method};

use crate::support::{FakeGateway, HostSpec, Setup};

const SECRET: &str = "a secret of the receiver";

async fn full_disk() -> FakeGateway {
    FakeGateway::start(&[(
        "db-1",
        HostSpec {
            disk_now: 95.0,
            ..HostSpec::default()
        },
    )])
    .await
}

async fn receiver(status: u16) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(status))
        .mount(&server)
        .await;
    server
}

async fn received(server: &MockServer) -> Vec<Request> {
    server
        .received_requests()
        .await
        .expect("requests are recorded")
}

fn setup(folder: &tempfile::TempDir, gateway: &FakeGateway, receiver: &MockServer) -> Setup {
    Setup::new(folder.path(), gateway).with(|raw| {
        raw.webhook_url = Some(receiver.uri());
        raw.webhook_secret = Some(SECRET.to_owned());
    })
}

#[tokio::test]
async fn a_receiver_sees_one_signed_alert_over_rounds_and_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let (gateway, receiver) = (full_disk().await, receiver(200).await);
    let app = setup(&folder, &gateway, &receiver).start();
    gateway.until_written(3).await;
    let alerts = app
        .until("/api/v1/alerts", |answer| {
            answer["alerts"][0]["delivery"] == "delivered"
        })
        .await;
    assert_eq!(alerts["alerts"].as_array().expect("a list").len(), 1);
    app.stop().await;
    let rounds = gateway.written().await.len();
    let app = setup(&folder, &gateway, &receiver).start();
    gateway.until_written(rounds + 2).await;
    app.stop().await;

    let requests = received(&receiver).await;
    assert_eq!(requests.len(), 1);
    let message: Value = serde_json::from_slice(&requests[0].body).expect("JSON");
    assert_eq!(message["kind"], "threshold_crossing");
    assert_eq!(
        (&message["host"], &message["metric"]),
        (&json!("db-1"), &json!("disk.used_percent{path=/}"))
    );
    assert_eq!(
        (&message["p_cross"], &message["eta_p50"]),
        (&json!(1.0), &json!(0))
    );
    assert!(
        message["message"]
            .as_str()
            .expect("a sentence")
            .contains("at or above 90 %")
    );
    let header = |name: &str| requests[0].headers[name].to_str().expect("text").to_owned();
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("a key");
    mac.update(format!("{}.", header("x-headroom-timestamp")).as_bytes());
    mac.update(&requests[0].body);
    let expected = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
    assert_eq!(header("x-headroom-signature"), expected);
    assert_eq!(
        header("x-headroom-alert-id"),
        alerts["alerts"][0]["id"].to_string()
    );
}

#[tokio::test]
async fn an_alert_that_is_refused_waits_for_the_next_try() {
    let folder = tempfile::tempdir().expect("a folder");
    let (gateway, receiver) = (full_disk().await, receiver(500).await);
    let app = setup(&folder, &gateway, &receiver).start();
    let alerts = app
        .until("/api/v1/alerts", |answer| {
            answer["alerts"][0]["attempts"] == 1
        })
        .await;
    let alert = &alerts["alerts"][0];
    assert_eq!(alert["delivery"], "pending");
    assert!(
        alert["last_error"]
            .as_str()
            .expect("an error")
            .contains("500")
    );
    app.stop().await;
    // The clock stands still, so the next try is not due.
    assert_eq!(received(&receiver).await.len(), 1);
}

#[tokio::test]
async fn without_a_receiver_alerts_are_listed() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = full_disk().await;
    let app = Setup::new(folder.path(), &gateway).start();
    let alerts = app
        .until("/api/v1/alerts?host=db-1", |answer| {
            answer["alerts"][0].is_object()
        })
        .await;
    assert_eq!(alerts["alerts"][0]["delivery"], "unaddressed");
    app.stop().await;
}

#[tokio::test]
async fn a_disk_with_room_raises_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (gateway, receiver) = (
        FakeGateway::start(&[("db-1", HostSpec::default())]).await,
        receiver(200).await,
    );
    let app = setup(&folder, &gateway, &receiver).start();
    gateway.until_written(3).await;
    assert_eq!(app.ok("/api/v1/alerts").await["alerts"], json!([]));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(received(&receiver).await.len(), 0);
    app.stop().await;
}
