//! Verdicts without storing anything.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use headroom_gateway::config::Flags;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{TestApp, gzip, read};

const TEXT: &str = "# cpu\ncpu,host=a idle=1,idle=2 5\r\n\ncpu idle=oops\n";

fn reports(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

fn expected() -> Vec<Value> {
    vec![
        json!({
            "line": 2, "verdict": "accept", "reason": null, "column": null,
            "point": {
                "measurement": "cpu", "tags": [["host", "a"]],
                "fields": [["idle", "float", 1.0], ["idle", "float", 2.0]], "time_ns": 5_000_000_000_i64,
            },
        }),
        json!({
            "line": 4, "verdict": "reject", "column": 10, "point": null,
            "reason": "the value is no number, string or boolean; strings stand in double quotes, booleans are true or false",
        }),
    ]
}

#[tokio::test]
async fn the_api_judges_every_line_and_stores_none() {
    let app = TestApp::start().await;
    let path = "/api/v1/validate?precision=s";
    let (status, body) = app.push(path, TEXT).await;
    assert_eq!((status, reports(&body)), (200, expected()));
    let packed = app
        .post(path)
        .header("content-encoding", "gzip")
        .body(gzip(TEXT));
    assert_eq!(reports(&read(packed).await.1), expected());
    assert_eq!(app.push(path, "").await, (200, String::new()));
    let (status, body) = app.push("/api/v1/validate?precision=m", TEXT).await;
    assert_eq!(status, 400, "{body}");
    let stored = app.query("SHOW MEASUREMENTS").await;
    assert_eq!(stored["results"][0]["series"], Value::Null, "{stored}");
}

#[tokio::test]
async fn a_long_report_comes_whole() {
    let app = TestApp::start().await;
    let text = "m f=1i,s=\"a\nb\" 5\n".repeat(20_000);
    let (_, body) = app.push("/api/v1/validate", text).await;
    let lines: Vec<_> = reports(&body)
        .into_iter()
        .map(|report| report["line"].clone())
        .collect();
    assert_eq!(
        lines,
        (0..20_000).map(|n| json!(2 * n + 1)).collect::<Vec<_>>()
    );
}

/// Sends lines whose report is far longer than what sockets hold, and reads no more than its beginning.
async fn read_the_beginning(app: &TestApp, text: &str) -> TcpStream {
    let head = format!(
        "POST /api/v1/validate HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n",
        text.len()
    );
    let mut socket = TcpStream::connect(app.address).await.expect("it listens");
    socket.write_all(head.as_bytes()).await.expect("sent");
    socket.write_all(text.as_bytes()).await.expect("sent");
    let mut answer = [0; 12];
    socket.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 200");
    socket
}

#[tokio::test]
async fn a_body_counts_as_in_memory_until_its_report_is_read_or_its_reader_gone() {
    let app = TestApp::start().await;
    let text = "m f=1i\n".repeat(300_000);
    let reader = read_the_beginning(&app, &text).await;
    let held = app.metric("headroom_inflight_bytes").await;
    assert_eq!(held, text.len() as u64);
    drop(reader);
    app.until_metric("headroom_inflight_bytes", 0).await;
}

#[tokio::test]
async fn a_report_that_is_read_too_slowly_gives_its_memory_back_and_breaks_off() {
    let app = TestApp::start_with(Flags {
        query_timeout_s: Some(1),
        ..Flags::default()
    })
    .await;
    let text = "m f=1i\n".repeat(300_000);
    let mut reader = read_the_beginning(&app, &text).await;
    app.until_metric("headroom_inflight_bytes", 0).await;
    let mut report = Vec::new();
    // A connection that is closed within an answer may be reset as well.
    let _ = reader.read_to_end(&mut report).await;
    assert!(!report.ends_with(b"\r\n0\r\n\r\n"), "it came whole");
}

#[test]
fn the_program_judges_a_text_and_says_so_by_its_exit_code() {
    let run = |arguments: &[&str], text: &str| {
        let mut process = Command::new(env!("CARGO_BIN_EXE_headroom-gateway"))
            .arg("validate")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        process
            .stdin
            .take()
            .expect("piped")
            .write_all(text.as_bytes())
            .expect("it reads");
        let ended = process.wait_with_output().expect("it ends");
        (
            ended.status.code(),
            String::from_utf8(ended.stdout).expect("UTF-8"),
        )
    };
    let (code, report) = run(&["--precision", "s", "--format", "json", "-"], TEXT);
    assert_eq!((code, reports(&report)), (Some(1), expected()));
    let (code, report) = run(&[], TEXT);
    assert_eq!(
        (code, report.starts_with("-:4:10: the value")),
        (Some(1), true),
        "{report}"
    );
    assert_eq!(run(&["-"], "m f=1\n\n# c"), (Some(0), String::new()));
    assert_eq!(run(&["--precision", "m"], "").0, Some(2));
    assert_eq!(run(&["/nowhere.lp"], "").0, Some(1));
}
