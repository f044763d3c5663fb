//! Pushes in every dialect, and what becomes of them.

use headroom_gateway::config::{ByteSize, Flags};
use serde_json::json;

use crate::support::{NOW_NS, TestApp, gzip, read};

#[tokio::test]
async fn a_push_in_every_dialect_is_readable_at_once() {
    let app = TestApp::start().await;
    let pushes = [
        (
            "/api/v2/write?bucket=telegraf&org=any&precision=s",
            "m,d=v2 f=2 1",
        ),
        ("/write?db=telegraf&precision=s&u=x&p=y", "m,d=v1 f=1 1"),
        (
            "/api/v3/write_lp?db=telegraf&precision=second",
            "m,d=v3 f=3 1",
        ),
    ];
    for (path, line) in pushes {
        assert_eq!(app.push(path, line).await, (204, String::new()), "{path}");
        let dialect = line.split(['=', ' ']).nth(1).expect("the tag's value");
        let answer = app
            .query(&format!("SELECT f FROM m WHERE d = '{dialect}'"))
            .await;
        let number: u64 = dialect[1..].parse().expect("a digit");
        assert_eq!(
            answer["results"][0]["series"][0]["values"],
            json!([[1_000_000_000, number]]),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn gzip_chunked_and_empty_bodies_are_taken() {
    let app = TestApp::start().await;
    let path = "/api/v2/write?bucket=telegraf";
    let gzipped = app
        .post(path)
        .header("content-encoding", "gzip")
        .body(gzip("m f=1 1\nm f=2 2\n"));
    assert_eq!(read(gzipped).await.0, 204);
    let chunks: Vec<Result<&str, std::io::Error>> = vec![Ok("m f=3"), Ok(" 3\nm f"), Ok("=4 4")];
    let chunked = app
        .post(path)
        .body(reqwest::Body::wrap_stream(futures_util::stream::iter(
            chunks,
        )));
    assert_eq!(read(chunked).await.0, 204);
    for encoding in ["gzip", "identity"] {
        let empty = app.post(path).header("content-encoding", encoding).body("");
        assert_eq!(read(empty).await.0, 204, "{encoding}");
    }
    let empty_member = app
        .post(path)
        .header("content-encoding", "gzip")
        .body(gzip(""));
    assert_eq!(read(empty_member).await.0, 204);
    let answer = app.query("SELECT f FROM m").await;
    assert_eq!(
        answer["results"][0]["series"][0]["values"],
        json!([[1, 1], [2, 2], [3, 3], [4, 4]])
    );
}

#[tokio::test]
async fn a_line_without_a_timestamp_gets_the_time_of_receipt() {
    let app = TestApp::start().await;
    assert_eq!(
        app.push("/write?db=telegraf&precision=h", "m f=1").await.0,
        204
    );
    let answer = app.query("SELECT f FROM m").await;
    assert_eq!(
        answer["results"][0]["series"][0]["values"],
        json!([[NOW_NS, 1]])
    );
}

#[tokio::test]
async fn good_lines_are_stored_and_bad_ones_are_named() {
    let app = TestApp::start().await;
    let batch = "# cpu\nm f=1 1\nm f=oops 2\n\nm f=3 3\nm,t= f=4 4";
    let (status, body) = app.push("/api/v2/write?bucket=telegraf", batch).await;
    let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(
        (status, &body["code"], &body["line"]),
        (400, &json!("invalid"), &json!(3))
    );
    let message = body["message"].as_str().expect("a message");
    for part in [
        "partial write",
        "line 3: column 5: the value",
        "line 6: column 5: a tag's value is empty",
        "2 lines accepted",
        "dropped=2",
    ] {
        assert!(message.contains(part), "{part} in {message}");
    }
    let (status, body) = app.push("/write?db=telegraf", batch).await;
    assert!(
        status == 400 && body.starts_with("{\"error\":\"partial write: line 3"),
        "{body}"
    );
    let (status, body) = app.push("/api/v3/write_lp?db=telegraf", batch).await;
    let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((status, &body["data"][1]["line_number"]), (400, &json!(6)));
    let answer = app.query("SELECT f FROM m").await;
    assert_eq!(
        answer["results"][0]["series"][0]["values"],
        json!([[1, 1], [3, 3]])
    );
    assert_eq!(app.metric("headroom_lines_received_total").await, 12);
    assert_eq!(app.metric("headroom_lines_accepted_total").await, 6);
    assert_eq!(
        app.metric("headroom_lines_rejected_total{reason=\"value\"}")
            .await,
        3
    );
    assert_eq!(
        app.metric("headroom_lines_rejected_total{reason=\"tag\"}")
            .await,
        3
    );
}

#[tokio::test]
async fn a_push_that_has_to_come_again_counts_once() {
    let app = TestApp::start_with(Flags {
        influx_url: Some("http://127.0.0.1:9".to_owned()),
        influx_version: Some(1),
        journal_max_bytes: Some(ByteSize(1 << 20)),
        ..Flags::default()
    })
    .await;
    let batch = format!("m f=oops 1\nm f=\"{}\" 1", "x".repeat(300_000));
    let mut taken = 0;
    while app.push("/write?db=telegraf", batch.clone()).await.0 == 400 {
        taken += 1;
    }
    assert!(taken > 0);
    assert_eq!(app.push("/write?db=telegraf", batch.clone()).await.0, 503);
    for (metric, expected) in [
        ("headroom_lines_received_total", 2 * taken),
        ("headroom_lines_accepted_total", taken),
        ("headroom_lines_rejected_total{reason=\"value\"}", taken),
        ("headroom_received_bytes_total", taken * batch.len() as u64),
    ] {
        assert_eq!(app.metric(metric).await, expected, "{metric}");
    }
}

#[tokio::test]
async fn a_field_keeps_its_type_and_both_are_named() {
    let app = TestApp::start().await;
    assert_eq!(app.push("/write?db=telegraf", "m f=1i 1").await.0, 204);
    let (status, body) = app.push("/write?db=telegraf", "m f=1 2\nm g=1 2").await;
    assert_eq!(status, 400);
    for part in ["line 1", "integer", "float", "1 lines accepted"] {
        assert!(body.contains(part), "{part} in {body}");
    }
    let answer = app.query("SELECT f FROM m").await;
    assert_eq!(answer["results"][0]["series"][0]["values"], json!([[1, 1]]));
}

#[tokio::test]
async fn the_first_line_of_a_batch_decides_on_a_new_fields_type() {
    let app = TestApp::start().await;
    let (status, body) = app
        .push(
            "/write?db=telegraf&precision=s",
            "m f=1 1\nm f=2i 2\nm g=1i,f=3 3",
        )
        .await;
    assert_eq!(status, 400, "{body}");
    assert!(body.contains("line 2"), "{body}");
    let answer = app.query("SELECT f, g FROM m").await;
    assert_eq!(
        answer["results"][0]["series"][0]["values"],
        json!([[1_000_000_000, 1, null], [3_000_000_000_u64, 3, 1]]),
        "{answer}"
    );
}

#[tokio::test]
async fn concurrent_batches_never_give_a_new_field_two_types() {
    let app = TestApp::start().await;
    for round in 0..20 {
        let float = format!("m{round} f=1.5 1");
        let integer = format!("m{round} f=1i 2");
        let path = "/write?db=telegraf&precision=s";
        let (first, second) = tokio::join!(app.push(path, float), app.push(path, integer));
        let mut statuses = [first.0, second.0];
        statuses.sort_unstable();
        assert_eq!(statuses, [204, 400], "one of the two is refused, aloud");
    }
}

#[tokio::test]
async fn a_bucket_with_a_slash_is_database_and_retention_policy() {
    let app = TestApp::start().await;
    assert_eq!(
        app.push("/api/v2/write?bucket=telegraf/week", "m f=1 1")
            .await
            .0,
        204
    );
    assert_eq!(
        app.push("/write?db=telegraf&rp=week", "m f=2 2").await.0,
        204
    );
    let answer = app.query("SELECT f FROM \"week\".m").await;
    assert_eq!(
        answer["results"][0]["series"][0]["values"],
        json!([[1, 1], [2, 2]])
    );
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let app = TestApp::start().await;
    assert_eq!(
        app.push(
            "/write?db=telegraf",
            "m f=1 1\nbad\nm f=\"two\" 2\nm g=\"x\ny\" 3"
        )
        .await
        .0,
        400
    );
    let before = app.query("SELECT * FROM m").await;
    let app = app
        .restart_with(headroom_gateway::config::Flags::default())
        .await;
    assert_eq!(app.query("SELECT * FROM m").await, before);
    assert_eq!(app.push("/write?db=telegraf", "m f=4 4").await.0, 204);
    app.stop().await;
}

#[tokio::test]
async fn concurrent_pushes_are_all_there() {
    let app = TestApp::start().await;
    let pushes =
        (1..=40).map(|n| app.push("/write?db=telegraf", format!("m,n={} f={n} {n}", n % 4)));
    for (status, body) in futures_util::future::join_all(pushes).await {
        assert_eq!(status, 204, "{body}");
    }
    let answer = app.query("SELECT count(f) FROM m").await;
    assert_eq!(answer["results"][0]["series"][0]["values"][0][1], json!(40));
}
