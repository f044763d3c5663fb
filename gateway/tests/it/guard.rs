//! Contract, series limits, float fields and types, over real sockets.

use std::{fs, path::PathBuf};

use headroom_gateway::config::{Flags, GuardFlags};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{NOW_NS, TestApp, gzip, read};

const CONTRACT: &str = r#"
other_measurements = "refuse"
max_past = "1d"
max_future = "10m"

[[measurement]]
name = "cpu"
other_tags = "refuse"
tags.host = { required = true, pattern = "web-[0-9]+" }
fields.idle = "float"
other_fields = "refuse"
"#;

/// Lines of which only the last two may come, each refused by a rule of its own.
fn broken_lines() -> (String, [&'static str; 8]) {
    let (past, future) = (NOW_NS - 2 * 86_400_000_000_000, NOW_NS + 3_600_000_000_000);
    let text = format!(
        "mem f=1\ncpu idle=1\ncpu,host=db-1 idle=1\ncpu,host=web-1,rack=2 idle=1\ncpu,host=web-1 user=1\ncpu,host=web-1 idle=1i\n\
         cpu,host=web-1 idle=1 {past}\ncpu,host=web-1 idle=1 {future}\ncpu,host=web-1 idle=2 {NOW_NS}\ncpu,host=web-2 idle=3\n"
    );
    let rules = [
        "contract_measurement",
        "contract_tag_required",
        "contract_tag_pattern",
        "contract_tag",
        "contract_field",
        "contract_field_type",
        "contract_past",
        "contract_future",
    ];
    (text, rules)
}

fn contract_file(text: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("contract.toml");
    fs::write(&path, text).expect("writable");
    (dir, path)
}

fn with(guard: GuardFlags) -> Flags {
    Flags {
        guard,
        ..Flags::default()
    }
}

async fn values(app: &TestApp, query: &str) -> Value {
    app.query(query).await["results"][0]["series"][0]["values"].clone()
}

#[tokio::test]
async fn lines_that_break_the_contract_are_refused_with_their_rule_and_others_are_stored() {
    let (_dir, path) = contract_file(CONTRACT);
    let app = TestApp::start_with(with(GuardFlags {
        contract_file: Some(path),
        ..GuardFlags::default()
    }))
    .await;
    let (text, rules) = broken_lines();
    let request = app
        .post("/api/v2/write?bucket=telegraf")
        .header("content-encoding", "gzip")
        .body(gzip(&text));
    let (status, body) = read(request).await;
    let body: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((status, &body["line"]), (400, &json!(1)));
    let message = body["message"].as_str().expect("a message");
    for part in [
        "line 3: column 10: the value of the tag \"host\"",
        "tags.host.pattern",
        "line 6: column 21:",
        "2 lines accepted",
        "dropped=8",
    ] {
        assert!(message.contains(part), "{part} in {message}");
    }
    for rule in rules {
        let metric = format!("headroom_lines_rejected_total{{reason=\"{rule}\"}}");
        assert_eq!(app.metric(&metric).await, 1, "{rule}");
    }
    assert_eq!(
        values(&app, "SELECT idle, host FROM cpu").await,
        json!([[NOW_NS, 2, "web-1"], [NOW_NS, 3, "web-2"]])
    );
    let (_, report) = app.push("/api/v1/validate", text).await;
    let verdicts: Vec<_> = report
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["verdict"] == "accept")
        .collect();
    assert_eq!(verdicts, [vec![false; 8], vec![true; 2]].concat());
}

#[test]
fn a_wrong_contract_stops_the_start_and_says_what_would_be_right() {
    let (_dir, path) = contract_file("other_measurements = \"deny\"");
    let mut command = crate::process::program();
    command
        .arg("--contract-file")
        .arg(&path)
        .arg("--listen=127.0.0.1:0");
    let output = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    for part in [
        "HEADROOM_CONTRACT_FILE",
        "contract.toml",
        "line 1",
        "accept",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
}

#[test]
fn the_program_judges_a_file_by_a_contract() {
    let (dir, path) = contract_file(CONTRACT);
    let lines = dir.path().join("lines.lp");
    fs::write(&lines, "cpu,host=web-1 idle=1\ncpu,host=x idle=1\n").expect("writable");
    let mut command = crate::process::program();
    command
        .arg("validate")
        .arg("--contract")
        .arg(&path)
        .arg(&lines);
    let output = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("lines.lp:2:10: the value of the tag"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[tokio::test]
async fn integers_of_float_fields_are_stored_as_floats_also_after_a_replay() {
    let flags = || {
        with(GuardFlags {
            float_fields: Some("cpu.usage_*".to_owned()),
            ..GuardFlags::default()
        })
    };
    let app = TestApp::start_with(flags()).await;
    let text = "cpu usage_a=1.5 1\nbad\ncpu usage_a=2i,n=3i 2\ncpu usage_a=t 3\ncpu usage_b=9007199254740993i 4\n";
    let (status, body) = app.push("/write?db=telegraf", text).await;
    assert_eq!(status, 400, "{body}");
    for part in ["line 2: column 4", "line 4:", "3 lines accepted"] {
        assert!(body.contains(part), "{part} in {body}");
    }
    let types = json!([["n", "integer"], ["usage_a", "float"], ["usage_b", "float"]]);
    let stored = json!([
        [1, null, 1.5, null],
        [2, 3, 2, null],
        [4, null, null, 9_007_199_254_740_992_u64]
    ]);
    let check = async |app: &TestApp| {
        assert_eq!(values(app, "SHOW FIELD KEYS").await, types);
        let found = values(app, "SELECT n, usage_a, usage_b FROM cpu").await;
        let found: Vec<Vec<Option<f64>>> = serde_json::from_value(found).expect("numbers");
        let stored: Vec<Vec<Option<f64>>> =
            serde_json::from_value(stored.clone()).expect("numbers");
        assert_eq!(found, stored);
    };
    check(&app).await;
    let data = app.data_dir().to_owned();
    let app = app.restart_with(flags()).await;
    check(&app).await;
    assert!(!data.join("guard.sqlite").exists(), "nothing is learned");
}

#[tokio::test]
async fn new_series_over_a_limit_are_refused_and_known_ones_go_on() {
    let flags = || {
        with(GuardFlags {
            series_per_measurement_day: Some(3),
            ..GuardFlags::default()
        })
    };
    let app = TestApp::start_with(flags()).await;
    let batch = "m,h=a,id=1 f=1 1\nm,h=a,id=2 f=1 1\nm,h=a,id=3 f=1 1\nm,h=a,id=4 f=1 1\nm,id=1,h=a f=2 2\nn f=1 1";
    for path in [
        "/write?db=telegraf",
        "/api/v2/write?bucket=telegraf",
        "/api/v3/write_lp?db=telegraf",
    ] {
        let (status, body) = app.push(path, batch).await;
        assert_eq!(status, 400, "{body}");
        for part in [
            "the series is new",
            "id",
            "grows fastest, by 3 values today",
        ] {
            assert!(body.contains(part), "{part} in {body}");
        }
    }
    let app = app.restart_with(flags()).await;
    let (status, body) = app.push("/write?db=telegraf", batch).await;
    assert!(
        status == 400 && body.contains("dropped=1") && body.contains("line 4"),
        "{body}"
    );
    assert_eq!(
        app.metric("headroom_lines_rejected_total{reason=\"series_limit\"}")
            .await,
        1
    );
    assert_eq!(app.metric("headroom_guard_series").await, 4);
    assert_eq!(
        values(&app, "SELECT count(f) FROM m WHERE id = '4'").await,
        Value::Null
    );
}

#[tokio::test]
async fn series_that_were_stored_before_a_limit_was_set_are_known() {
    let app = TestApp::start().await;
    assert_eq!(
        app.push("/write?db=telegraf", "m,b=2,a=x\\ y f=1 1\nm,a=2 f=1 1")
            .await
            .0,
        204
    );
    let app = app
        .restart_with(with(GuardFlags {
            series_max: Some(2),
            ..GuardFlags::default()
        }))
        .await;
    let (status, body) = app
        .push(
            "/write?db=telegraf",
            "m,a=x\\ y,b=2 f=1 2\nm,a=2 f=1 2\nm,a=3 f=1 2",
        )
        .await;
    assert!(
        status == 400 && body.contains("HEADROOM_SERIES_MAX"),
        "{body}"
    );
    assert!(body.contains("2 lines accepted"), "{body}");
}

#[tokio::test]
async fn a_token_has_a_limit_of_its_own() {
    let dir = tempfile::tempdir().expect("a folder");
    let tokens = dir.path().join("tokens");
    fs::write(
        &tokens,
        "first-0123456789abc write\nsecond-0123456789abc write\n",
    )
    .expect("writable");
    let app = TestApp::start_with(Flags {
        tokens_file: Some(tokens),
        ..with(GuardFlags {
            series_per_token_day: Some(2),
            ..GuardFlags::default()
        })
    })
    .await;
    let push = async |token: &str, body: &'static str| {
        let request = app.post("/write?db=telegraf").bearer_auth(token).body(body);
        read(request).await
    };
    let (status, body) = push("first-0123456789abc", "a f=1\nb f=1\nc f=1").await;
    assert!(
        status == 400 && body.contains("HEADROOM_SERIES_PER_TOKEN_DAY"),
        "{body}"
    );
    assert!(!body.contains("first-0123456789abc"), "{body}");
    assert_eq!(
        push("second-0123456789abc", "a f=1\nc f=1\nd f=1").await.0,
        204
    );
    assert_eq!(
        push("first-0123456789abc", "a f=2\nc f=2\nd f=2").await.0,
        204,
        "known by now"
    );
}
