//! Databases, retention policies and points that are made, changed and deleted by statements.

use serde_json::{Value, json};

use crate::support::{NOW_NS, TestApp};

async fn change(app: &TestApp, q: &str) -> Value {
    let request = app.post("/query").query(&[("db", "telegraf")]);
    let answer = request.form(&[("q", q)]).send().await.expect("an answer");
    answer.json::<Value>().await.expect("JSON")["results"][0].take()
}

async fn values(app: &TestApp, q: &str) -> Value {
    app.query(q).await["results"][0]["series"][0]["values"].take()
}

const LINES: &str = "cpu,host=a v=1 1000000000\ncpu,host=a v=2 2000000000\ncpu,host=b v=3 3000000000\n\
                     mem,host=a v=4 4000000000\n";

#[tokio::test(flavor = "multi_thread")]
async fn points_are_deleted_by_tag_and_time_in_memory_and_on_disk() {
    let mut app = TestApp::start().await;
    assert_eq!(app.push("/write?db=telegraf", LINES).await.0, 204);
    for sealed in [false, true] {
        if sealed {
            assert_eq!(app.push("/write?db=telegraf", LINES).await.0, 204);
            app = app
                .restart_with(headroom_gateway::config::Flags::default())
                .await;
        }
        let gone = "DELETE FROM cpu WHERE host = 'a' AND time >= 2s";
        assert_eq!(change(&app, gone).await, json!({"statement_id": 0}));
        assert_eq!(
            values(&app, "SELECT v FROM cpu").await,
            json!([[1_000_000_000, 1], [3_000_000_000_i64, 3]])
        );
        assert_eq!(
            change(&app, "DROP SERIES FROM cpu WHERE host = 'b'").await,
            json!({"statement_id": 0})
        );
        assert_eq!(
            values(&app, "SHOW SERIES").await,
            json!([["cpu,host=a"], ["mem,host=a"]])
        );
        assert_eq!(
            change(&app, "DROP MEASUREMENT mem").await,
            json!({"statement_id": 0})
        );
        assert_eq!(values(&app, "SHOW MEASUREMENTS").await, json!([["cpu"]]));
        assert_eq!(
            values(&app, "SHOW SERIES EXACT CARDINALITY").await,
            json!([[1]])
        );
    }
    let refused = change(&app, "DELETE FROM cpu WHERE v = 1").await;
    let error = refused["error"].as_str().expect("an error");
    assert!(error.contains("only tags and time"), "{error}");
    app.stop().await;
}

#[tokio::test]
async fn a_deletion_that_tags_and_texts_do_not_decide_takes_nothing() {
    let app = TestApp::start().await;
    let lines = "cpu,host=a,v=x v=1 1\ncpu,host=b,v=y v=2 1";
    assert_eq!(app.push("/write?db=telegraf", lines).await.0, 204);
    for condition in [
        "v = 'x'",
        "v =~ /x/",
        "v::field = 1",
        "v > 'x'",
        "host = v",
        "host > 'a'",
        "host = 5",
    ] {
        for statement in ["DELETE", "DROP SERIES"] {
            let q = format!("{statement} FROM cpu WHERE {condition}");
            assert!(change(&app, &q).await.get("error").is_some(), "{q}");
            let left = values(&app, "SELECT count(v) FROM cpu").await;
            assert_eq!(left, json!([[0, 2]]), "{q}");
        }
    }
    let decided = change(&app, "DELETE FROM cpu WHERE v::tag = 'x'").await;
    assert_eq!(decided, json!({"statement_id": 0}));
    let left = values(&app, "SHOW SERIES").await;
    assert_eq!(left, json!([["cpu,host=b,v=y"]]));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_policies_are_made_changed_shown_and_dropped() {
    let app = TestApp::start().await;
    let done = json!({"statement_id": 0});
    for q in [
        "CREATE DATABASE telegraf WITH DURATION 30d REPLICATION 1 NAME \"month\"",
        "CREATE RETENTION POLICY year ON telegraf DURATION 52w REPLICATION 1",
        "ALTER RETENTION POLICY year ON telegraf DURATION 104w DEFAULT",
    ] {
        assert_eq!(change(&app, q).await, done, "{q}");
    }
    let policies = || values(&app, "SHOW RETENTION POLICIES ON telegraf");
    assert_eq!(
        policies().await,
        json!([
            ["autogen", "0s", "168h0m0s", 1, false],
            ["month", "720h0m0s", "168h0m0s", 1, false],
            ["year", "17472h0m0s", "168h0m0s", 1, true],
        ])
    );
    let refused = change(&app, "DROP RETENTION POLICY year ON telegraf").await;
    assert!(
        refused["error"]
            .as_str()
            .expect("an error")
            .contains("default")
    );
    for name in ["month", "autogen"] {
        let q = format!("DROP RETENTION POLICY {name} ON telegraf");
        assert_eq!(change(&app, &q).await, done);
    }
    assert_eq!(policies().await.as_array().expect("rows").len(), 1);
    assert_eq!(change(&app, "DROP DATABASE telegraf").await, done);
    assert_eq!(values(&app, "SHOW DATABASES").await, json!(null));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_says_what_a_query_reads() {
    let app = TestApp::start().await;
    assert_eq!(app.push("/write?db=telegraf", LINES).await.0, 204);
    let rows = values(&app, "EXPLAIN SELECT mean(v) FROM cpu WHERE host = 'a'").await;
    let text = rows.to_string();
    assert!(text.contains("NUMBER OF SERIES: 1"), "{text}");
    let rows = values(&app, "EXPLAIN ANALYZE SELECT v FROM cpu").await;
    assert!(rows.to_string().contains("3 rows in 1 series"), "{rows}");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn buckets_are_made_and_listed_and_points_deleted_as_by_influxdb_2() {
    // The points are of 1970.
    const CENTURY_S: u64 = 100 * 365 * 86_400;
    let app = TestApp::start().await;
    assert_eq!(app.get("/api/v2/ping").await.status(), 204);
    let orgs: Value = app.get("/api/v2/orgs").await.json().await.expect("JSON");
    assert_eq!(orgs["orgs"][0]["name"], "headroom");
    let bucket = json!({"orgID": orgs["orgs"][0]["id"], "name": "telegraf",
        "retentionRules": [{"type": "expire", "everySeconds": CENTURY_S}]});
    let create = || app.post("/api/v2/buckets").json(&bucket);
    let made = create().send().await.expect("an answer");
    assert_eq!(made.status(), 201);
    let made: Value = made.json().await.expect("JSON");
    assert_eq!(made["retentionRules"][0]["everySeconds"], CENTURY_S);
    assert_eq!(create().send().await.expect("an answer").status(), 422);
    let listed = app.get("/api/v2/buckets?name=telegraf").await;
    let listed: Value = listed.json().await.expect("JSON");
    assert_eq!(listed["buckets"], json!([made]));
    assert_eq!(
        values(&app, "SHOW RETENTION POLICIES").await[0][1],
        json!("876000h0m0s")
    );

    assert_eq!(
        app.push("/api/v2/write?bucket=telegraf", LINES).await.0,
        204
    );
    let delete = |predicate: &str| {
        app.post("/api/v2/delete?bucket=telegraf&org=headroom").json(&json!({
            "start": "1970-01-01T00:00:01Z", "stop": "1970-01-01T00:00:02Z", "predicate": predicate}))
    };
    for wrong in [
        "v = 1 OR host = \"a\"",
        "_measurement",
        "host = \"a\"; DROP DATABASE telegraf",
    ] {
        let answer = delete(wrong).send().await.expect("an answer");
        assert_eq!(answer.status(), 400, "{wrong}");
    }
    let gone = delete("_measurement=\"cpu\" AND host=\"a\"")
        .send()
        .await
        .expect("an answer");
    assert_eq!(gone.status(), 204);
    assert_eq!(
        values(&app, "SHOW SERIES").await,
        json!([["cpu,host=b"], ["mem,host=a"]])
    );
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn points_beyond_the_retention_are_refused_as_influxdb_refuses_them_and_kept_as_rejects() {
    const DAY_NS: i64 = 86_400_000_000_000;
    let app = TestApp::start().await;
    let two_days = "CREATE DATABASE telegraf WITH DURATION 2d REPLICATION 1 NAME autogen";
    assert_eq!(change(&app, two_days).await, json!({"statement_id": 0}));
    let kept = format!("cpu v=1 {}", NOW_NS - DAY_NS);
    let old = |value: u8| format!("cpu v={value} {}", NOW_NS - 3 * DAY_NS);
    for (path, status, key) in [
        ("/write?db=telegraf", 400, "error"),
        ("/api/v2/write?bucket=telegraf", 422, "message"),
    ] {
        let mixed = format!("{kept}\n{}\n{}", old(2), old(3));
        for (text, accepted, dropped) in [(mixed, 1, 2), (old(4), 0, 1)] {
            let (answered, body) = app.push(path, text).await;
            assert_eq!(answered, status, "{body}");
            let body: Value = serde_json::from_str(&body).expect("JSON");
            let message = body[key].as_str().expect("a message");
            for part in [
                "partial write: ",
                "points beyond retention policy: the point is of 2024-12-29T00:00:00Z, and \"autogen\" keeps the last 172800s",
                &format!("({accepted} lines accepted) dropped={dropped}"),
            ] {
                assert!(message.contains(part), "{message}");
            }
        }
    }
    let (status, body) = app
        .push(
            "/api/v2/write?bucket=telegraf",
            format!("{}\nno line", old(5)),
        )
        .await;
    assert_eq!(status, 400, "one line is malformed: {body}");
    let rejected = "headroom_lines_rejected_total{reason=\"retention\"}";
    assert_eq!(app.metric(rejected).await, 7);
    let rejects = app.get("/api/v1/rejects?reason=retention").await;
    let rejects: Value = rejects.json().await.expect("JSON");
    assert_eq!(rejects["rejects"].as_array().map(Vec::len), Some(7));
    // Where the policy keeps more, they are welcome.
    let longer = "ALTER RETENTION POLICY autogen ON telegraf DURATION 4d";
    assert_eq!(change(&app, longer).await, json!({"statement_id": 0}));
    assert_eq!(app.push("/write?db=telegraf", old(6)).await.0, 204);
    assert_eq!(
        values(&app, "SELECT v FROM cpu").await,
        json!([[NOW_NS - 3 * DAY_NS, 6], [NOW_NS - DAY_NS, 1]])
    );
    app.stop().await;
}
