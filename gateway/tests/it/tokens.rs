//! Tokens that the program makes: by command and over HTTP, with scopes, bounds and rates.

use std::{net::SocketAddr, os::unix::fs::PermissionsExt, process::Output, time::Duration};

use headroom_gateway::config::Flags;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{path, query_param},
};

use crate::{
    process,
    support::{TestApp, init, read},
};

const ADMIN: &str = "listed-admin-0123456789";

async fn guarded() -> TestApp {
    guarded_with(Flags::default()).await
}

async fn guarded_with(flags: Flags) -> TestApp {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("tokens");
    std::fs::write(&file, format!("{ADMIN} admin\n")).expect("writable");
    TestApp::start_with(Flags {
        tokens_file: Some(file),
        ..flags
    })
    .await
}

/// Makes a token over HTTP, and answers its secret.
async fn made(app: &TestApp, terms: Value) -> String {
    let request = app.post("/api/v1/tokens").bearer_auth(ADMIN).json(&terms);
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), 201);
    let made: Value = answer.json().await.expect("JSON");
    made["token"].as_str().expect("a secret").to_owned()
}

fn push(app: &TestApp, path: &str, token: &str, text: &str) -> RequestBuilder {
    app.post(path).bearer_auth(token).body(text.to_owned())
}

fn token(data_dir: &std::path::Path, arguments: &[&str]) -> Output {
    let mut command = process::program();
    command.arg("token").args(arguments).arg("--data-dir");
    command.arg(data_dir).output().expect("it runs")
}

fn said(output: &[u8]) -> String {
    String::from_utf8_lossy(output).trim().to_owned()
}

#[tokio::test]
async fn a_token_is_made_listed_and_revoked_and_its_secret_is_nowhere() {
    let app = guarded().await;
    let secret = made(&app, json!({"name": "fleet", "scopes": ["write"]})).await;
    assert_eq!(secret.len(), 64);
    let file = app.data_dir().join("tokens.json");
    let stored = std::fs::read_to_string(&file).expect("a file");
    assert!(stored.contains("fleet") && !stored.contains(&secret));
    let mode = std::fs::metadata(&file)
        .expect("a file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(
        read(push(&app, "/write?db=d", &secret, "m f=1 1")).await.0,
        204
    );
    let tokens = app.client.get(app.url("/api/v1/tokens"));
    assert_eq!(
        read(tokens.try_clone().expect("a copy").bearer_auth(&secret))
            .await
            .0,
        403
    );
    let (status, list) = read(tokens.bearer_auth(ADMIN)).await;
    let list: Value = serde_json::from_str(&list).expect("JSON");
    assert_eq!(
        (status, &list["tokens"][0]["terms"]["name"]),
        (200, &"fleet".into())
    );
    for path in ["/api/v1/%74okens", "/api/v1/rejects/%72eplay"] {
        let disguised = app.post(path).bearer_auth(&secret);
        let disguised = disguised.json(&json!({"name": "me", "scopes": ["admin"]}));
        assert_eq!(read(disguised).await.0, 403, "{path}");
    }
    let disguised = app
        .client
        .get(app.url("/api/v1/%72ejects"))
        .bearer_auth(&secret);
    assert_eq!(read(disguised).await.0, 403);
    let again = app.post("/api/v1/tokens").bearer_auth(ADMIN);
    let again = again.json(&json!({"name": "fleet", "scopes": ["read"]}));
    assert_eq!(read(again).await.0, 409);
    let app = app.restart_with(Flags::default()).await;
    assert_eq!(
        read(push(&app, "/write?db=d", &secret, "m f=1 1")).await.0,
        204
    );
    assert_eq!(
        read(push(&app, "/write?db=d", ADMIN, "m f=1 1")).await.0,
        401
    );
    let admin = token(app.data_dir(), &["create", "boss", "--scope", "admin"]);
    let admin = said(&admin.stdout);
    let revoke = |name: &str| {
        let request = app
            .client
            .delete(app.url(&format!("/api/v1/tokens/{name}")));
        read(request.bearer_auth(&admin))
    };
    app.until("the command's token is taken", async |_| {
        revoke("nobody").await.0 == 404
    })
    .await;
    assert_eq!(revoke("fleet").await.0, 204);
    assert_eq!(
        read(push(&app, "/write?db=d", &secret, "m f=1 1")).await.0,
        401
    );
    // Taking the last one away closes the gateway; it does not open it.
    assert_eq!(revoke("boss").await.0, 204);
    assert_eq!(app.push("/write?db=d", "m f=1 1").await.0, 401);
}

#[tokio::test]
async fn terms_that_make_no_sense_are_refused_with_what_would_be_right() {
    let app = guarded().await;
    for (terms, needle) in [
        (json!({"name": "a b", "scopes": ["write"]}), "letters"),
        (json!({"name": "a", "scopes": []}), "needs a scope"),
        (
            json!({"name": "a", "scopes": ["all"]}),
            "read, write and admin",
        ),
        (
            json!({"name": "a", "scopes": ["admin"], "buckets": ["b"]}),
            "cannot be bound",
        ),
        (
            json!({"name": "a", "scopes": ["read"], "host": "h"}),
            "for reading",
        ),
        (
            json!({"name": "a", "scopes": ["write"], "lines_per_s": 0}),
            "lets nothing in",
        ),
        (
            json!({"name": "a", "scopes": ["write"], "bucket": "b"}),
            "unknown field",
        ),
    ] {
        let request = app.post("/api/v1/tokens").bearer_auth(ADMIN).json(&terms);
        let (status, body) = read(request).await;
        assert_eq!(status, 400, "{terms}");
        assert!(body.contains(needle), "{terms}: {body}");
    }
}

#[tokio::test]
async fn the_command_makes_tokens_for_a_gateway_that_others_can_reach() {
    init();
    let dir = tempfile::tempdir().expect("a folder");
    let data = dir.path().join("data");
    let listening = || {
        let mut command = process::program();
        let open: SocketAddr = ([0, 0, 0, 0], 0).into();
        command
            .args(["--listen", &open.to_string(), "--data-dir"])
            .arg(&data);
        command
    };
    let refused = listening().output().expect("it runs");
    assert!(!refused.status.success());
    assert!(said(&refused.stderr).contains("headroom-gateway token create"));
    let arguments = [
        "create", "reader", "--scope", "read", "--bucket", "telegraf",
    ];
    let secret = said(&token(&data, &arguments).stdout);
    assert_eq!(secret.len(), 64);
    assert!(said(&token(&data, &arguments).stderr).contains("already"));
    let list = said(&token(&data, &["list"]).stdout);
    assert!(
        list.starts_with("reader  ") && list.ends_with("read bucket=telegraf"),
        "{list}"
    );
    assert!(!list.contains(&secret));
    let mut gateway = listening()
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("it starts");
    let early = tokio::time::timeout(Duration::from_millis(500), async {
        while gateway.try_wait().expect("a child").is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(early.await.is_err(), "with a token it serves");
    gateway.kill().expect("a child");
    gateway.wait().expect("a child");
    assert!(token(&data, &["revoke", "reader"]).status.success());
    assert!(said(&token(&data, &["revoke", "reader"]).stderr).contains("there is no token"));
    assert_eq!(said(&token(&data, &["list"]).stdout), "");
}

#[tokio::test]
async fn a_bound_token_writes_and_reads_within_its_bounds_alone() {
    let app = guarded().await;
    let writer = made(&app, json!({
        "name": "w", "scopes": ["write"], "buckets": ["telegraf", "other/week"], "measurements": ["cpu*"], "host": "a b",
    }))
    .await;
    let good = "cpu,host=a\\ b f=1 1";
    for (path, status) in [
        ("/write?db=telegraf", 204),
        ("/api/v2/write?bucket=telegraf/day", 204),
        ("/api/v3/write_lp?db=telegraf", 204),
        ("/api/v2/write?bucket=other/week", 204),
        ("/write?db=other&rp=week", 204),
        ("/write?db=other", 403),
        ("/api/v2/write?bucket=third", 403),
    ] {
        let (answered, body) = read(push(&app, path, &writer, good)).await;
        assert_eq!(answered, status, "{path}: {body}");
    }
    let text = format!("{good}\nmem,host=a\\ b f=1\ncpu,host=c f=1\ncpu f=1");
    let (status, body) = read(push(&app, "/write?db=telegraf", &writer, &text)).await;
    assert_eq!(status, 400);
    for needle in [
        "(1 lines accepted) dropped=3",
        "line 2: column 1: the token may write the measurements cpu*",
        "line 3: column 10: the token may write points of the host",
        "has no tag host",
    ] {
        assert!(body.contains(needle), "{needle} in {body}");
    }
    // Replaying them with every right does not let them in: they are that token's lines.
    let replay = || read(app.post("/api/v1/rejects/replay").bearer_auth(ADMIN));
    assert!(replay().await.1.contains("\"accepted\":0,\"refused\":3"));
    let revoke = app.client.delete(app.url("/api/v1/tokens/w"));
    assert_eq!(read(revoke.bearer_auth(ADMIN)).await.0, 204);
    assert!(replay().await.1.contains("\"accepted\":0,\"refused\":3"));

    let reader = made(
        &app,
        json!({"name": "r", "scopes": ["read"], "buckets": ["telegraf"]}),
    )
    .await;
    for (q, status) in [
        ("SELECT f FROM cpu", 200),
        ("SELECT f FROM telegraf..cpu", 200),
        ("SHOW MEASUREMENTS", 200),
        ("SHOW RETENTION POLICIES", 200),
        ("SELECT f FROM other.week.cpu", 403),
        ("SELECT max(f) FROM (SELECT f FROM other.week.cpu)", 403),
        ("SELECT f FROM cpu, other..cpu", 403),
        ("SHOW TAG KEYS ON other", 403),
        ("SHOW SERIES FROM other..cpu", 403),
        ("SHOW DATABASES", 200),
        ("EXPLAIN SELECT f FROM other..cpu", 403),
    ] {
        let form = [("db", "telegraf"), ("q", q)];
        let (answered, body) = read(app.post("/query").bearer_auth(&reader).form(&form)).await;
        assert_eq!(answered, status, "{q}: {body}");
    }
    let listed = [("q", "SHOW DATABASES; SHOW MEASUREMENTS ON telegraf")];
    let (_, body) = read(app.post("/query").bearer_auth(&reader).form(&listed)).await;
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(
        answer["results"][0]["series"][0]["values"],
        json!([["telegraf"]]),
        "it exists beside others: {body}"
    );
    let elsewhere = [("db", "other"), ("q", "SELECT f FROM cpu")];
    assert_eq!(
        read(app.post("/query").bearer_auth(&reader).form(&elsewhere))
            .await
            .0,
        403
    );
    let get = |path: &str| read(app.client.get(app.url(path)).bearer_auth(&reader));
    assert!(!get("/api/v2/buckets").await.1.contains("other"));
    assert_eq!(get("/api/v1/rejects").await.0, 403, "they are everybody's");
}

#[tokio::test]
async fn a_bound_reader_sees_those_databases_of_an_influxdb_that_it_may_read() {
    let server = MockServer::start().await;
    let all = json!({"results": [{"statement_id": 0, "series": [
        {"name": "databases", "columns": ["name"], "values": [["_internal"], ["telegraf"], ["other"]]}
    ]}]});
    Mock::given(path("/query"))
        .and(query_param("q", "SHOW DATABASES"))
        .respond_with(ResponseTemplate::new(200).set_body_json(&all))
        .mount(&server)
        .await;
    let app = guarded_with(Flags {
        influx_url: Some(server.uri()),
        influx_version: Some(1),
        ..Flags::default()
    })
    .await;
    let terms = json!({"name": "r", "scopes": ["read"], "buckets": ["telegraf", "new/week"]});
    let reader = made(&app, terms).await;
    let ask = |token: &str, q: &str| {
        let request = app.client.get(app.url("/query")).bearer_auth(token);
        read(request.query(&[("q", q), ("chunked", "true")]))
    };
    let (status, body) = ask(&reader, "SHOW DATABASES").await;
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    let listed = &answer["results"][0]["series"][0]["values"];
    assert_eq!((status, listed), (200, &json!([["telegraf"]])), "{body}");
    let both = "SHOW DATABASES; SHOW MEASUREMENTS ON telegraf";
    assert_eq!(ask(&reader, both).await.0, 403);
    assert!(ask(ADMIN, "SHOW DATABASES").await.1.contains("_internal"));
}

#[tokio::test]
async fn who_pushes_too_fast_is_told_when_to_come_again_in_its_own_dialect() {
    let app = guarded().await;
    let slow = json!({"name": "slow", "scopes": ["write"], "lines_per_s": 1});
    let slow = made(&app, slow).await;
    let bytes = json!({"name": "bytes", "scopes": ["write"], "bytes_per_s": 10});
    let bytes = made(&app, bytes).await;
    let text = "m f=1 1\n".repeat(1000);
    for token in [&slow, &bytes] {
        // What is more than may come at once is taken, and the next push waits for it.
        assert_eq!(read(push(&app, "/write?db=d", token, &text)).await.0, 204);
        for (path, status) in [
            ("/write?db=d", 503),
            ("/api/v2/write?bucket=d", 429),
            ("/api/v3/write_lp?db=d", 429),
        ] {
            let answer = push(&app, path, token, "m f=1 1")
                .send()
                .await
                .expect("an answer");
            assert_eq!(answer.status(), status, "{path}");
            let after = answer.headers()["retry-after"].to_str().expect("text");
            let after_s: u32 = after.parse().expect("seconds");
            assert!((600..=1000).contains(&after_s), "{after_s}");
        }
    }
    let other = made(&app, json!({"name": "other", "scopes": ["write"]})).await;
    assert_eq!(
        read(push(&app, "/write?db=d", &other, "m f=1 1")).await.0,
        204
    );
    let again = read(push(&app, "/write?db=d", &slow, "m f=1 1")).await;
    assert_eq!(again.0, 503, "another token that is made forgives no debt");
    let limited = app
        .metric("headroom_pushes_limited_total{limit=\"lines\"}")
        .await;
    assert_eq!(limited, 4);
}
