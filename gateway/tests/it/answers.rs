//! The status and body of every refusal, as each dialect's clients need them: Telegraf drops, repeats or halves a batch by
//! the status alone, and its InfluxDB 1 output looks for words in the body.

use std::fs;

use headroom_gateway::config::{ByteSize, Flags};
use serde_json::Value;

use crate::support::{TestApp, gzip, read};

const DIALECTS: [(&str, &str); 3] = [
    ("/write?db=telegraf", "error"),
    ("/api/v2/write?bucket=telegraf", "message"),
    ("/api/v3/write_lp?db=telegraf", "error"),
];
/// With one of these in a retryable answer, Telegraf's InfluxDB 1 output drops the batch.
const DROPPING_WORDS: [&str; 5] = [
    "partial write",
    "unable to parse",
    "points beyond retention policy",
    "retention policy not found",
    "hinted handoff queue not empty",
];

fn message(body: &str, key: &str) -> String {
    let body: Value = serde_json::from_str(body).expect("JSON");
    let message = body[key].as_str().map(str::to_owned);
    message.unwrap_or_else(|| panic!("no {key} in {body}"))
}

#[tokio::test]
async fn success_is_exactly_204_without_a_body_in_every_dialect() {
    let app = TestApp::start().await;
    for (path, _) in DIALECTS {
        assert_eq!(
            app.push(path, "m f=1").await,
            (204, String::new()),
            "{path}"
        );
        let empty = app.post(path).header("content-encoding", "gzip").body("");
        assert_eq!(read(empty).await.0, 204, "{path}: an empty gzip body");
    }
}

#[tokio::test]
async fn refused_lines_are_a_400_that_says_which_where_why_and_how_many_were_taken() {
    let app = TestApp::start().await;
    let batch = "m f=1\nm f=oops\nm,a= f=1\nm f=2";
    for (path, _) in DIALECTS {
        let (status, body) = app.push(path, batch).await;
        assert_eq!(status, 400, "{path}: {body}");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        if path.starts_with("/api/v3/") {
            assert_eq!(
                body["error"],
                "partial write of line protocol occurred: 2 lines accepted, 2 refused"
            );
            assert_eq!(body["data"][0]["line_number"], 2, "{body}");
            assert!(
                body["data"][1]["error_message"]
                    .as_str()
                    .is_some_and(|text| text.starts_with("column 5: a tag's value is empty")),
                "{body}"
            );
            continue;
        }
        let text = body["message"]
            .as_str()
            .or(body["error"].as_str())
            .expect("a text");
        for part in [
            "partial write: line 2: column 5: ",
            "; line 3: column 5: ",
            "(2 lines accepted)",
            "dropped=2",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        if path.starts_with("/api/v2/") {
            assert_eq!(
                (&body["code"], body["line"].as_u64()),
                (&"invalid".into(), Some(2)),
                "the line is a number"
            );
        }
    }
}

#[tokio::test]
async fn only_the_first_ten_refused_lines_are_named_and_all_are_counted() {
    let app = TestApp::start().await;
    for (path, key) in DIALECTS {
        let (_, body) = app.push(path, "m f=x\n".repeat(25)).await;
        if path.starts_with("/api/v3/") {
            let body: Value = serde_json::from_str(&body).expect("JSON");
            assert_eq!(body["data"].as_array().map(Vec::len), Some(10));
            assert_eq!(
                body["error"],
                "partial write of line protocol occurred: 0 lines accepted, 25 refused, of which the first 10 are named"
            );
            continue;
        }
        let text = message(&body, key);
        assert_eq!(text.matches("line ").count(), 10, "{text}");
        for part in [
            "unable to parse: line 1",
            "and 15 more",
            "(0 lines accepted)",
            "dropped=25",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}

#[tokio::test]
async fn what_may_pass_later_is_503_with_retry_after_and_no_word_that_drops_the_batch() {
    let app = TestApp::start_with(Flags {
        influx_url: Some("http://127.0.0.1:9".to_owned()),
        influx_version: Some(2),
        journal_max_bytes: Some(ByteSize(1 << 20)),
        ..Flags::default()
    })
    .await;
    let batch = format!("m f=\"{}\" 1", "x".repeat(300_000));
    while app.push(DIALECTS[0].0, batch.clone()).await.0 == 204 {}
    for (path, key) in DIALECTS {
        let answer = app
            .post(path)
            .body(batch.clone())
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status(), 503, "{path}");
        let wait = answer.headers()["retry-after"]
            .to_str()
            .map(str::parse::<u32>);
        assert!(matches!(wait, Ok(Ok(1..=600))), "{path}: {wait:?}");
        let text = message(&answer.text().await.expect("a body"), key);
        assert!(
            text.contains("HEADROOM_JOURNAL_MAX_BYTES"),
            "{path}: {text}"
        );
        for word in DROPPING_WORDS {
            assert!(!text.contains(word), "{path}: {text}");
        }
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_and_one_line_over_it_is_400() {
    let app = TestApp::start_with(Flags {
        max_body_bytes: Some(ByteSize(1000)),
        max_decoded_bytes: Some(ByteSize(4000)),
        ..Flags::default()
    })
    .await;
    let lines = "m f=1 1\n".repeat(1000);
    let line = format!("m f=\"{}\" 1\n", "x".repeat(8000));
    for (path, key) in DIALECTS {
        for (body, encoding, status) in [
            (lines.clone().into_bytes(), "identity", 413),
            (gzip(&lines), "gzip", 413),
            (line.clone().into_bytes(), "identity", 400),
            (gzip(&line), "gzip", 400),
        ] {
            let request = app
                .post(path)
                .header("content-encoding", encoding)
                .body(body);
            let (answered, body) = read(request).await;
            assert_eq!(answered, status, "{path} {encoding}: {body}");
            let text = message(&body, key);
            let names = if status == 413 {
                "HEADROOM_MAX_"
            } else {
                "one line alone"
            };
            assert!(text.contains(names), "{path} {encoding}: {text}");
        }
    }
}

#[tokio::test]
async fn missing_credentials_are_401_and_missing_scopes_403_in_every_dialect() {
    let dir = tempfile::tempdir().expect("a folder");
    let tokens = dir.path().join("tokens");
    fs::write(&tokens, "reader-0123456789ab read\n").expect("writable");
    let app = TestApp::start_with(Flags {
        tokens_file: Some(tokens),
        ..Flags::default()
    })
    .await;
    for (path, key) in DIALECTS {
        let (status, body) = app.push(path, "m f=1").await;
        assert!(
            status == 401 && message(&body, key).contains("Authorization"),
            "{path}: {body}"
        );
        let (status, body) = read(
            app.post(path)
                .bearer_auth("reader-0123456789ab")
                .body("m f=1"),
        )
        .await;
        assert!(
            status == 403 && message(&body, key).contains("write"),
            "{path}: {body}"
        );
    }
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_made_never_404() {
    let app = TestApp::start().await;
    for path in [
        "/write?db=fresh1",
        "/api/v2/write?bucket=fresh2/week&org=none",
        "/api/v3/write_lp?db=fresh3",
    ] {
        assert_eq!(app.push(path, "m f=1").await.0, 204, "{path}");
    }
    let created = app
        .post("/query")
        .form(&[("q", "CREATE DATABASE \"fresh4\"")]);
    let (status, body) = read(created).await;
    let body: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(
        (status, body),
        (
            200,
            serde_json::json!({ "results": [{ "statement_id": 0 }] })
        )
    );
}

#[tokio::test]
async fn clients_that_ask_first_are_told_what_they_expect() {
    let app = TestApp::start().await;
    let answer = app.get("/ping").await;
    assert_eq!(answer.status(), 204);
    for header in ["x-influxdb-version", "x-influxdb-build"] {
        assert!(answer.headers().contains_key(header), "{header}");
    }
    for path in ["/health", "/ready"] {
        let answer = app.get(path).await;
        assert_eq!(answer.status(), 200, "{path}");
        assert!(
            answer
                .json::<Value>()
                .await
                .is_ok_and(|body| body.is_object()),
            "{path}"
        );
    }
}
