//! What probes and clients that ask first are told.

use headroom_gateway::config::{ByteSize, Flags};
use serde_json::Value;

use crate::support::{StoreFile, TestApp};

#[tokio::test]
async fn ping_tells_the_version_to_get_and_head() {
    let app = TestApp::start().await;
    for method in [reqwest::Method::GET, reqwest::Method::HEAD] {
        let answer = app
            .client
            .request(method, app.url("/ping"))
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status(), 204);
        assert!(
            answer.headers()["x-influxdb-version"]
                .to_str()
                .expect("text")
                .starts_with("1.8")
        );
        assert_eq!(answer.headers()["x-influxdb-build"], "OSS");
    }
}

#[tokio::test]
async fn health_and_readiness_are_json() {
    let app = TestApp::start().await;
    let health: Value = app.get("/health").await.json().await.expect("JSON");
    assert_eq!(
        (&health["status"], &health["name"]),
        (&"pass".into(), &"headroom-gateway".into())
    );
    let ready: Value = app.get("/ready").await.json().await.expect("JSON");
    assert_eq!(ready["status"], "ready");
    assert_eq!(ready["checks"][0]["name"], "journal");
    assert_eq!(ready["checks"][1]["name"], "store");
}

#[tokio::test]
async fn a_store_that_cannot_seal_says_so_until_it_can_and_pushes_are_taken_meanwhile() {
    let app = TestApp::start_with(Flags {
        journal_max_bytes: Some(ByteSize(1 << 20)),
        ..Flags::default()
    })
    .await;
    let file = StoreFile::open(app.data_dir());
    let store_check = async |app: &TestApp| {
        let answer = app.get("/ready").await;
        assert_eq!(answer.status(), 200);
        let mut ready: Value = answer.json().await.expect("JSON");
        ready["checks"][1].take()
    };
    file.break_seals();
    // A quarter of the journal: a seal is due.
    let batch = format!("m f=\"{}\" 1", "x".repeat(300_000));
    assert_eq!(app.push("/write?db=telegraf", batch).await.0, 204);
    app.until("the check fails", async |app| {
        store_check(app).await["status"] == "fail"
    })
    .await;
    let message = store_check(&app).await["message"].to_string();
    assert!(message.contains("the last seal failed"), "{message}");
    assert_eq!(app.push("/write?db=telegraf", "m f=\"y\" 2").await.0, 204);

    file.mend_seals();
    app.until("the check passes", async |app| {
        store_check(app).await["status"] == "pass"
    })
    .await;
    let check = store_check(&app).await["message"].to_string();
    assert!(check.contains("sealed through batch 2"), "{check}");
    app.stop().await;
}

#[tokio::test]
async fn metrics_count_requests_by_route() {
    let app = TestApp::start().await;
    app.push("/write?db=telegraf", "m f=1 1").await;
    app.get("/nothing").await;
    for (route, method, status) in [("/write", "POST", "204"), ("unmatched", "GET", "404")] {
        let name = format!(
            "headroom_http_request_seconds_count{{method=\"{method}\",route=\"{route}\",status=\"{status}\"}}"
        );
        assert_eq!(app.metric(&name).await, 1, "{name}");
    }
    assert_eq!(app.metric("headroom_journal_commit_seconds_count").await, 1);
    assert!(app.metric("headroom_journal_pending_bytes").await > 0);
}

#[tokio::test]
async fn the_documentation_is_served_from_here() {
    let app = TestApp::start().await;
    for path in ["/", "/docs", "/docs/"] {
        let answer = app.get(path).await;
        assert_eq!(answer.status(), 200, "{path}");
        assert!(
            answer.text().await.expect("text").contains("swagger-ui"),
            "{path}"
        );
    }
}
