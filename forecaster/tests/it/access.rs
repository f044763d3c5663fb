//! Who may do what.

use reqwest::Method;

use crate::support::{FakeGateway, HostSpec, Setup};

const READER: &str = "a-token-that-reads-only";
const WRITER: &str = "a-token-that-does-all";

#[tokio::test]
async fn reading_and_changing_need_their_scopes_and_health_needs_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let tokens = folder.path().join("tokens");
    std::fs::write(&tokens, format!("{READER} read\n{WRITER} read,write\n")).expect("written");
    let gateway = FakeGateway::start(&[("db-1", HostSpec::default())]).await;
    let mut app = Setup::new(&folder.path().join("data"), &gateway)
        .with(|raw| raw.tokens_file = Some(tokens))
        .start();
    let status = async |app: &crate::support::TestApp, method: Method, path: &str| {
        app.send(method, path, None).await.status().as_u16()
    };
    for path in [
        "/health",
        "/ready",
        "/metrics",
        "/docs/",
        "/api-docs/openapi.json",
    ] {
        assert!(
            ![401, 403].contains(&status(&app, Method::GET, path).await),
            "{path} is open"
        );
    }
    for path in [
        "/api/v1/hosts",
        "/api/v1/models",
        "/api/v1/jobs",
        "/api/v1/alerts",
        "/nothing",
    ] {
        app.problem(path, 401, "token_unknown").await;
    }
    assert_eq!(status(&app, Method::POST, "/api/v1/retrain").await, 401);
    app.token = Some(READER.to_owned());
    assert_eq!(status(&app, Method::GET, "/api/v1/hosts").await, 200);
    assert_eq!(status(&app, Method::POST, "/api/v1/retrain").await, 403);
    assert_eq!(
        status(&app, Method::PUT, "/api/v1/hosts/db-1/thresholds").await,
        403
    );
    app.token = Some(WRITER.to_owned());
    assert_eq!(status(&app, Method::POST, "/api/v1/retrain").await, 202);
    app.stop().await;
}
