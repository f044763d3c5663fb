//! One request followed: its id in answer and log, its trace in the log and at a collector.

use std::time::Duration;

use reqwest::{Client, RequestBuilder};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{method, path},
};

use crate::{
    process::{self, Gateway},
    support::init,
};

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

async fn answered_id(request: RequestBuilder) -> String {
    let answer = request.send().await.expect("an answer");
    let id = answer.headers()["x-request-id"].to_str().expect("text");
    id.to_owned()
}

fn push(gateway: &Gateway) -> RequestBuilder {
    let url = format!("{}/write?db=telegraf", gateway.base);
    Client::new().post(url).body("m f=1 1\nm f=")
}

/// Waits for a log line with a text, and answers it.
async fn logged(gateway: &Gateway, text: &str) -> String {
    let found = async {
        loop {
            let log = gateway.log();
            if let Some(line) = log.lines().find(|line| line.contains(text)) {
                return line.to_owned();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let found = tokio::time::timeout(Duration::from_mins(1), found).await;
    found.unwrap_or_else(|_| panic!("no {text} in {}", gateway.log()))
}

#[tokio::test]
async fn an_id_and_a_trace_lead_from_the_answer_to_the_log() {
    init();
    let dir = tempfile::tempdir().expect("a folder");
    let gateway = process::start(&mut process::program(), dir.path()).await;
    let id = answered_id(push(&gateway)).await;
    assert_eq!(id.len(), 32, "{id}");
    let line = logged(&gateway, &id).await;
    assert!(line.contains("lines of a batch were refused"), "{line}");
    let own = push(&gateway).header("x-request-id", "agent-7:42");
    let own = own.header("traceparent", TRACEPARENT);
    assert_eq!(answered_id(own).await, "agent-7:42");
    let line = logged(&gateway, "agent-7:42").await;
    assert!(line.contains(TRACE_ID), "{line}");
    for bad in ["two words", "\"quoted\"", &"x".repeat(200)] {
        let answered = answered_id(push(&gateway).header("x-request-id", bad)).await;
        assert_eq!(answered.len(), 32, "{answered}");
    }
    let missing = Client::new().get(format!("{}/nothing", gateway.base));
    assert_eq!(answered_id(missing).await.len(), 32);
}

#[tokio::test]
async fn spans_hang_below_the_clients_at_the_collector() {
    init();
    let collector = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/v1/traces"))
        .respond_with(ResponseTemplate::new(200))
        .mount(&collector)
        .await;
    let dir = tempfile::tempdir().expect("a folder");
    let mut command = process::program();
    command.args(["--otlp-url", &collector.uri()]);
    let mut gateway = process::start(&mut command, dir.path()).await;
    answered_id(push(&gateway).header("traceparent", TRACEPARENT)).await;
    // What waits is sent at the end.
    gateway.signal("TERM");
    let ended = tokio::time::timeout(Duration::from_mins(1), gateway.ended());
    assert!(ended.await.expect("it ends").success());
    let sent = collector.received_requests().await.expect("recorded");
    let bytes: Vec<u8> = sent.into_iter().flat_map(|request| request.body).collect();
    let contains = |wanted: &[u8]| bytes.windows(wanted.len()).any(|window| window == wanted);
    let trace_id: [u8; 16] = u128::from_str_radix(TRACE_ID, 16)
        .expect("hexadecimal")
        .to_be_bytes();
    assert!(contains(&trace_id), "the client's trace goes on");
    for name in ["headroom-gateway", "POST /write", "journal"] {
        assert!(contains(name.as_bytes()), "{name}");
    }
    assert!(!contains(b"m f=1 1"), "no line travels");
}
