//! What must stay private: no token and no line in any log.

use std::{fs, time::Duration};

use reqwest::Client;
use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers::path};

use crate::{
    process,
    support::{gzip, init},
};

const TOKEN: &str = "listed-token-0123456789abcdef";
const UPSTREAM_TOKEN: &str = "upstream-token-0123456789abcdef";
/// Stands in every line, in names, tags, values and faults.
const PRIVATE: &str = "topsecret";

#[tokio::test]
async fn no_token_and_no_line_shows_in_a_log() {
    init();
    let server = MockServer::start().await;
    let refuse = |request: &Request| {
        let text = String::from_utf8_lossy(&request.body).into_owned();
        if text.contains("poison") {
            let message = format!("unable to parse '{text}': it is poison");
            ResponseTemplate::new(400).set_body_json(serde_json::json!({ "message": message }))
        } else {
            ResponseTemplate::new(204)
        }
    };
    Mock::given(path("/api/v2/write"))
        .respond_with(refuse)
        .mount(&server)
        .await;
    let dir = tempfile::tempdir().expect("a folder");
    let tokens = dir.path().join("tokens");
    fs::write(&tokens, format!("{TOKEN} admin\n")).expect("writable");
    let mut command = process::program();
    command.env("RUST_LOG", "trace");
    command.arg("--tokens-file").arg(&tokens);
    command.args(["--influx-url", &server.uri(), "--influx-version", "2"]);
    command.args(["--influx-token", UPSTREAM_TOKEN]);
    let mut gateway = process::start(&mut command, &dir.path().join("data")).await;
    let client = Client::new();
    let url = |path: &str| format!("{}{path}", gateway.base);
    let made = client.post(url("/api/v1/tokens")).bearer_auth(TOKEN);
    let made = made.body(r#"{"name": "mine", "scopes": ["write"]}"#);
    let made: serde_json::Value = made.send().await.expect("sent").json().await.expect("JSON");
    let own = made["token"].as_str().expect("a secret").to_owned();
    let text = format!(
        "m,t={PRIVATE} f=1 1\n{PRIVATE} f=\"poison\" 2\n{PRIVATE},t= f=1\nm f={PRIVATE}\nm f=\"{PRIVATE}"
    );
    let zipped = gzip(&text);
    let half = zipped[..zipped.len() / 2].to_vec();
    let gzipped = |body: Vec<u8>| {
        let request = client.post(url("/api/v2/write?bucket=b"));
        request.header("content-encoding", "gzip").body(body)
    };
    let mut statuses = Vec::new();
    for request in [
        gzipped(zipped.clone()).header("authorization", format!("Token {own}")),
        gzipped(half).header("authorization", format!("Token {TOKEN}")),
        client
            .post(url(&format!("/write?db=d&u=me&p={TOKEN}")))
            .body(text.clone()),
        client
            .post(url("/write?db=d"))
            .basic_auth("me", Some(&own))
            .body(text.clone()),
        client
            .post(url("/write?db=d&p=wrong-token-0123456789abcdef"))
            .body(text.clone()),
        client
            .post(url("/api/v1/validate"))
            .bearer_auth(TOKEN)
            .body(text.clone()),
        client
            .post(url("/api/v1/rejects/replay"))
            .bearer_auth(TOKEN),
        client.get(url("/api/v1/rejects")).bearer_auth(TOKEN),
    ] {
        statuses.push(request.send().await.expect("an answer").status().as_u16());
    }
    assert_eq!(statuses, [400, 400, 400, 400, 401, 200, 200, 200]);
    // The server has refused a line by then, and the log says so.
    gateway.until_logged("InfluxDB refused lines").await;
    gateway.signal("TERM");
    let ended = tokio::time::timeout(Duration::from_mins(1), gateway.ended());
    assert!(ended.await.expect("it ends").success());
    let log = gateway.log();
    assert!(log.contains("lines of a batch were refused"), "{log}");
    for private in [TOKEN, UPSTREAM_TOKEN, &own, "wrong-token", PRIVATE] {
        let line = log.lines().find(|line| line.contains(private));
        assert_eq!(line, None, "{private}");
    }
}

#[tokio::test]
async fn a_push_of_which_every_line_is_refused_is_one_short_line_of_the_log() {
    init();
    let dir = tempfile::tempdir().expect("a folder");
    let gateway = process::start(&mut process::program(), dir.path()).await;
    let client = Client::new();
    let push = client.post(format!("{}/write?db=d", gateway.base));
    let answer = push.body("m f=\n".repeat(5_000)).send().await;
    assert_eq!(answer.expect("an answer").status(), 400);
    gateway.until_logged("lines of a batch were refused").await;
    // What is logged behind the answer is there before a later request's.
    let unknown = client.get(format!("{}/nowhere", gateway.base)).send().await;
    assert_eq!(unknown.expect("an answer").status(), 404);
    gateway.until_logged("a request was refused").await;
    let longest = gateway.log().lines().map(str::len).max();
    assert!(longest < Some(1_000), "{longest:?}");
}
