//! Refused lines: kept with their reason, listed, replayed, and never in the way.

use headroom_gateway::config::{Flags, GuardFlags};
use serde_json::Value;
use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers::path};

use crate::support::TestApp;

async fn list(app: &TestApp, query: &str) -> Value {
    let answer = app.get(&format!("/api/v1/rejects{query}")).await;
    assert_eq!(answer.status(), 200);
    answer.json().await.expect("JSON")
}

/// Waits until so many rejects are kept, and lists them, the newest first.
async fn kept(app: &TestApp, count: u64) -> Vec<Value> {
    app.until_metric("headroom_rejects", count).await;
    list(app, "").await["rejects"]
        .as_array()
        .expect("a list")
        .clone()
}

async fn replay(app: &TestApp, query: &str) -> (u64, u64) {
    let request = app.post(&format!("/api/v1/rejects/replay{query}"));
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let report: Value = answer.json().await.expect("JSON");
    let number = |name: &str| report[name].as_u64().expect("a number");
    (number("accepted"), number("refused"))
}

#[tokio::test]
async fn a_column_counts_from_the_first_byte_in_the_answer_and_in_the_line_that_is_kept() {
    let app = TestApp::start().await;
    let push = app.push("/write?db=telegraf", "m f=1 1\n  m f=x").await;
    assert_eq!(push.0, 400);
    assert!(push.1.contains("line 2: column 7: "), "{}", push.1);
    let rejects = kept(&app, 1).await;
    let reject = &rejects[0];
    assert_eq!(
        (&reject["line"], &reject["column"]),
        (&"m f=x".into(), &5.into())
    );
}

#[tokio::test]
async fn a_refused_line_is_kept_with_time_client_reason_and_text() {
    let app = TestApp::start().await;
    let text = "m f=1 1\nm f=oops\n\ncpu,host=a\\ b f=\"x 2";
    assert_eq!(
        app.push("/write?db=telegraf&rp=week&precision=s", text)
            .await
            .0,
        400
    );
    let rejects = kept(&app, 2).await;
    let (quotes, value) = (&rejects[0], &rejects[1]);
    for (field, expected) in [
        ("line", "m f=oops"),
        ("reason", "value"),
        ("measurement", "m"),
        ("database", "telegraf"),
        ("retention_policy", "week"),
        ("precision", "s"),
        ("address", "127.0.0.1"),
        ("time", "2025-01-01T00:00:00.000000000Z"),
    ] {
        assert_eq!(value[field], expected, "{value}");
    }
    assert_eq!(
        (&value["line_number"], &value["column"]),
        (&2.into(), &5.into())
    );
    assert!(
        value["message"]
            .as_str()
            .is_some_and(|text| !text.is_empty())
    );
    assert_eq!(quotes["reason"], "quotes");
    let page = list(&app, "?limit=1").await;
    assert_eq!(page["rejects"][0]["id"], quotes["id"]);
    let next = page["next"].as_i64().expect("more");
    let page = list(&app, &format!("?limit=1&before={next}")).await;
    assert_eq!(page["rejects"][0]["id"], value["id"]);
    assert_eq!(
        list(&app, "?reason=quotes").await["rejects"][0]["measurement"],
        "cpu"
    );
    assert_eq!(
        list(&app, "?client=10.9.9.9").await["rejects"],
        Value::Array(vec![])
    );
    assert_eq!(app.get("/api/v1/rejects?limit=0").await.status(), 400);
}

#[tokio::test]
async fn a_line_that_is_no_text_is_shown_as_its_bytes() {
    let app = TestApp::start().await;
    assert_eq!(
        app.push("/write?db=telegraf", &b"m\xff f=1"[..]).await.0,
        400
    );
    let rejects = kept(&app, 1).await;
    assert_eq!(rejects[0]["line_base64"], "bf8gZj0x");
    assert_eq!(rejects[0]["reason"], "encoding");
}

#[tokio::test]
async fn what_is_right_by_now_is_replayed_and_the_rest_stays() {
    let app = TestApp::start().await;
    assert_eq!(
        app.push("/write?db=telegraf", "m f=1 1\nm f=1").await.0,
        204
    );
    // Good lines but for the type that stands in their week, one with a newline, one without a time; and a bad one.
    let text = "m f=\"one\" 2\nm f=\"two\nlines\" 3\nm f=\"now\"\nm f=\"open 4\nn f=1 1";
    assert_eq!(app.push("/write?db=telegraf", text).await.0, 400);
    kept(&app, 4).await;
    assert_eq!(replay(&app, "?reason=field_type&limit=2").await, (0, 2));
    assert_eq!(kept(&app, 4).await.len(), 4, "the cause is still there");
    let gone = app
        .post("/query")
        .form(&[("db", "telegraf"), ("q", "DROP MEASUREMENT m")]);
    assert_eq!(gone.send().await.expect("an answer").status(), 200);
    assert_eq!(replay(&app, "?measurement=other").await, (0, 0));
    assert_eq!(replay(&app, "").await, (3, 1));
    let left = kept(&app, 1).await;
    assert_eq!(
        (&left[0]["reason"], &left[0]["line"]),
        (&"quotes".into(), &"m f=\"open 4".into())
    );
    let answer = app.query("SELECT f FROM m").await;
    let values = &answer["results"][0]["series"][0]["values"];
    let texts: Vec<_> = values
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| &row[1])
        .collect();
    assert_eq!(texts, ["one", "two\nlines", "now"]);
    assert_eq!(
        values[2][0], 1_735_689_600_000_000_000_i64,
        "the time at which it came"
    );
    assert_eq!(app.metric("headroom_rejects_replayed_total").await, 3);
    let app = app.restart_with(Flags::default()).await;
    assert_eq!(kept(&app, 1).await[0]["line"], "m f=\"open 4");
    let removed = app.client.delete(app.url("/api/v1/rejects?reason=quotes"));
    let removed: Value = removed
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    assert_eq!(removed["removed"], 1);
    kept(&app, 0).await;
}

#[tokio::test]
async fn an_old_reject_that_is_replayed_begins_no_day_anew() {
    let app = TestApp::start_with(Flags {
        guard: GuardFlags {
            series_per_measurement_day: Some(1),
            ..GuardFlags::default()
        },
        ..Flags::default()
    })
    .await;
    assert_eq!(app.push("/write?db=telegraf", "m,t=a f=1").await.0, 204);
    assert_eq!(app.push("/write?db=telegraf", "m,t=b f=1").await.0, 400);
    kept(&app, 1).await;
    let file = app.data_dir().join("rejects/rejects.sqlite");
    let rejects = rusqlite::Connection::open(&file).expect("a file");
    let aged = "UPDATE rejects SET received_ns = received_ns - 3 * 86400 * 1000000000";
    assert_eq!(rejects.execute(aged, []).expect("writable"), 1);
    assert_eq!(replay(&app, "").await, (0, 1), "today's series are counted");
    assert_eq!(app.push("/write?db=telegraf", "m,t=c f=1").await.0, 400);
    assert_eq!(app.metric("headroom_journal_age_seconds").await, 0);
}

#[tokio::test]
async fn rejects_that_cannot_be_kept_sink_no_push() {
    let app = TestApp::start().await;
    let file = app.data_dir().join("rejects/rejects.sqlite");
    let broken = rusqlite::Connection::open(&file).expect("a file");
    broken
        .execute_batch("DROP TABLE rejects")
        .expect("writable");
    let (status, body) = app.push("/write?db=telegraf", "m f=1 1\nm f=oops").await;
    assert_eq!(status, 400);
    assert!(body.contains("1 lines accepted"), "{body}");
    app.until("it is counted", async |app| {
        let text = app.get("/metrics").await.text().await.expect("text");
        text.contains("headroom_rejects_dropped_total{cause=\"disk\"} 1")
    })
    .await;
    assert_eq!(app.push("/write?db=telegraf", "m f=2 2").await.0, 204);
    assert_eq!(app.get("/api/v1/rejects").await.status(), 503);
}

#[tokio::test]
async fn a_line_that_influxdb_refused_is_a_reject_with_its_words() {
    let server = MockServer::start().await;
    let refuse = |request: &Request| {
        if request.body.windows(6).any(|bytes| bytes == b"poison") {
            let message = "field type conflict: input field \"f\" is type string, already exists as type float";
            ResponseTemplate::new(422).set_body_json(serde_json::json!({ "message": message }))
        } else {
            ResponseTemplate::new(204)
        }
    };
    Mock::given(path("/api/v2/write"))
        .respond_with(refuse)
        .mount(&server)
        .await;
    Mock::given(path("/api/v2/buckets"))
        .respond_with(ResponseTemplate::new(200))
        .mount(&server)
        .await;
    let app = TestApp::start_with(Flags {
        influx_url: Some(server.uri()),
        influx_version: Some(2),
        influx_bucket: Some("b".into()),
        // The gateway would find the conflict itself.
        guard: GuardFlags {
            type_guard: Some(false),
            ..GuardFlags::default()
        },
        ..Flags::default()
    })
    .await;
    let text = "m f=1 1\nm f=\"poison\" 2\nm f=3 3";
    assert_eq!(app.push("/api/v2/write?bucket=b", text).await.0, 204);
    let rejects = kept(&app, 1).await;
    assert_eq!(rejects[0]["line"], "m f=\"poison\" 2");
    assert_eq!(rejects[0]["reason"], "upstream");
    let words = rejects[0]["message"].as_str().expect("text");
    assert!(words.contains("already exists as type float"), "{words}");
    // It is refused again: one reject leaves for the journal, and one comes from the server.
    assert_eq!(replay(&app, "").await, (1, 0));
    let again = kept(&app, 1).await;
    assert!(again[0]["id"].as_i64() > rejects[0]["id"].as_i64());
}
