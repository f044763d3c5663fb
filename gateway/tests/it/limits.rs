//! Clients that are slow, many or greedy: each bound holds, and says which setting it is.

use std::time::Duration;

use headroom_gateway::config::{ByteSize, Flags, ServiceFlags};
use reqwest::Client;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    process,
    support::{TestApp, gzip, init},
};

async fn with(service: ServiceFlags) -> TestApp {
    TestApp::start_with(Flags {
        service,
        ..Flags::default()
    })
    .await
}

/// Sends bytes on a connection of their own, and answers what comes until the gateway closes it.
async fn say(app: &TestApp, bytes: &str) -> String {
    let mut socket = TcpStream::connect(app.address).await.expect("it listens");
    socket.write_all(bytes.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.expect("text");
    answer
}

#[tokio::test]
async fn a_client_that_is_slow_with_its_head_is_sent_away() {
    let app = with(ServiceFlags {
        head_timeout_s: Some(1),
        ..ServiceFlags::default()
    })
    .await;
    let answer = say(&app, "POST /write?db=telegraf HTTP/1.1\r\nhost: a\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert_eq!(app.push("/write?db=telegraf", "m f=1 1").await.0, 204);
}

#[tokio::test]
async fn a_client_that_is_slow_with_its_body_may_come_again() {
    let app = with(ServiceFlags {
        body_timeout_s: Some(1),
        ..ServiceFlags::default()
    })
    .await;
    for path in ["/write?db=telegraf", "/api/v2/write?bucket=telegraf"] {
        let head = format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 90\r\n\r\nm f=");
        let answer = say(&app, &head).await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.contains("retry-after: 5"), "{answer}");
        assert!(answer.contains("HEADROOM_BODY_TIMEOUT_S"), "{answer}");
    }
    app.until_metric("headroom_inflight_bytes", 0).await;
}

#[tokio::test]
async fn bombs_beside_each_other_stay_within_the_memory_for_bodies() {
    let app = TestApp::start_with(Flags {
        max_body_bytes: Some(ByteSize(1 << 20)),
        max_decoded_bytes: Some(ByteSize(16 << 20)),
        service: ServiceFlags {
            max_inflight_bytes: Some(ByteSize(24 << 20)),
            ..ServiceFlags::default()
        },
        ..Flags::default()
    })
    .await;
    let bomb = gzip("m f=1 1\n".repeat(4 << 20));
    assert!(bomb.len() < 1 << 20, "{}", bomb.len());
    let pushes = (0..16).map(|_| {
        let request = app.post("/api/v2/write?bucket=telegraf");
        let request = request
            .header("content-encoding", "gzip")
            .body(bomb.clone());
        async move {
            let answer = request.send().await.expect("an answer");
            let later = answer.headers().contains_key("retry-after");
            let status = answer.status().as_u16();
            (status, later, answer.text().await.expect("text"))
        }
    });
    for (status, later, body) in futures_util::future::join_all(pushes).await {
        let full = status == 503 && later && body.contains("HEADROOM_MAX_INFLIGHT_BYTES");
        let large = status == 413 && body.contains("HEADROOM_MAX_DECODED_BYTES");
        assert!(full || large, "{status}: {body}");
    }
    app.until_metric("headroom_inflight_bytes", 0).await;
    assert_eq!(app.push("/write?db=telegraf", "m f=1 1").await.0, 204);
}

#[tokio::test]
async fn one_connection_too_many_waits_until_another_ends() {
    let app = with(ServiceFlags {
        max_connections: Some(1),
        ..ServiceFlags::default()
    })
    .await;
    // Answered once, it holds the one place while it is kept alive.
    let mut holder = TcpStream::connect(app.address).await.expect("it listens");
    let request = b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n";
    holder.write_all(request).await.expect("sent");
    let mut answer = [0; 12];
    holder.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 200");
    let request = Client::new().get(app.url("/health")).send();
    let waiting = tokio::spawn(request);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!waiting.is_finished(), "there is no place for it");
    drop(holder);
    let answer = waiting.await.expect("no panic").expect("an answer");
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn a_stop_finishes_what_comes_and_leaves_what_does_not() {
    init();
    let dir = tempfile::tempdir().expect("a folder");
    let mut command = process::program();
    command.args(["--drain-timeout-s", "5"]);
    let mut gateway = process::start(&mut command, dir.path()).await;
    let address = gateway.base.trim_start_matches("http://").to_owned();
    let head = "POST /write?db=telegraf HTTP/1.1\r\nhost: a\r\ncontent-length: 7\r\n\r\nm f=1";
    let mut quick = TcpStream::connect(&address).await.expect("it listens");
    let mut stuck = TcpStream::connect(&address).await.expect("it listens");
    quick.write_all(head.as_bytes()).await.expect("sent");
    stuck.write_all(head.as_bytes()).await.expect("sent");
    // Both requests are in hand before the order to stop.
    let metrics = format!("{}/metrics", gateway.base);
    loop {
        let text = Client::new().get(&metrics).send().await.expect("an answer");
        let text = text.text().await.expect("text");
        if text.contains("headroom_http_requests_in_flight 3\n") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    gateway.signal("TERM");
    tokio::time::sleep(Duration::from_millis(200)).await;
    quick.write_all(b" 1").await.expect("sent");
    let mut answer = [0; 12];
    quick.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 204");
    let ended = tokio::time::timeout(Duration::from_mins(1), gateway.ended());
    assert!(
        ended
            .await
            .expect("it ends although one is stuck")
            .success()
    );
}
