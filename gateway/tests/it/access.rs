//! Tokens, scopes and the forms in which credentials come.

use headroom_gateway::config::Flags;

use crate::support::{TestApp, read};

const WRITER: &str = "writer-0123456789";
const READER: &str = "reader-0123456789";
const ADMIN: &str = "admin-0123456789";

async fn guarded() -> TestApp {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("tokens");
    std::fs::write(
        &path,
        format!("{WRITER} write\n{READER} read\n{ADMIN} admin\n"),
    )
    .expect("writable");
    TestApp::start_with(Flags {
        tokens_file: Some(path),
        ..Flags::default()
    })
    .await
}

#[tokio::test]
async fn every_form_of_credentials_opens_a_write() {
    let app = guarded().await;
    let path = "/write?db=telegraf";
    let with = |header: String| {
        app.post(path)
            .header("authorization", header)
            .body("m f=1 1")
    };
    for request in [
        with(format!("Token {WRITER}")),
        with(format!("Bearer {WRITER}")),
        with(format!("Token telegraf:{WRITER}")),
        app.post(path)
            .basic_auth("telegraf", Some(WRITER))
            .body("m f=1 1"),
        app.post(&format!("{path}&u=telegraf&p={WRITER}"))
            .body("m f=1 1"),
    ] {
        assert_eq!(read(request).await.0, 204);
    }
}

#[tokio::test]
async fn wrong_missing_and_insufficient_credentials_are_told_apart() {
    let app = guarded().await;
    for (path, header, status) in [
        ("/api/v2/write?bucket=b", None, 401),
        (
            "/api/v2/write?bucket=b",
            Some("Token wrong-0123456789"),
            401,
        ),
        ("/api/v2/write?bucket=b", Some(READER), 403),
        ("/write?db=d", None, 401),
        ("/write?db=d", Some(READER), 403),
        ("/api/v3/write_lp?db=d", None, 401),
        ("/nothing/here", None, 401),
    ] {
        let mut request = app.post(path).body("m f=1 1");
        if let Some(token) = header {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let (answered, body) = read(request).await;
        assert_eq!(answered, status, "{path} {header:?}: {body}");
        assert!(
            !body.contains("0123456789"),
            "no answer repeats a token: {body}"
        );
    }
}

#[tokio::test]
async fn queries_need_read_and_changes_need_write() {
    let app = guarded().await;
    let query = |token: &str, q: &str| {
        app.post("/query")
            .bearer_auth(token)
            .form(&[("db", "telegraf"), ("q", q)])
    };
    assert_eq!(read(query(READER, "SHOW DATABASES")).await.0, 200);
    assert_eq!(read(query(WRITER, "SHOW DATABASES")).await.0, 403);
    assert_eq!(
        read(query(WRITER, "CREATE DATABASE \"telegraf\"")).await.0,
        200
    );
    assert_eq!(
        read(query(READER, "CREATE DATABASE \"telegraf\"")).await.0,
        403
    );
    assert_eq!(
        read(app.post("/query").form(&[("q", "SHOW DATABASES")]))
            .await
            .0,
        401
    );
}

#[tokio::test]
async fn what_takes_points_away_needs_admin() {
    let app = guarded().await;
    assert_eq!(
        read(
            app.post("/write?db=telegraf")
                .bearer_auth(WRITER)
                .body("m f=1 1")
        )
        .await
        .0,
        204
    );
    let statements = [
        "DELETE FROM m",
        "DROP SERIES FROM m",
        "DROP MEASUREMENT m",
        "CREATE RETENTION POLICY w ON telegraf DURATION 1w REPLICATION 1",
        "ALTER RETENTION POLICY w ON telegraf DURATION 2w",
        "DROP RETENTION POLICY w ON telegraf",
        "DROP DATABASE telegraf",
    ];
    for (token, status) in [(READER, 403), (WRITER, 403), (ADMIN, 200)] {
        for q in statements {
            let form = [("db", "telegraf"), ("q", q)];
            let asked = app.post("/query").bearer_auth(token).form(&form);
            let (answered, body) = read(asked).await;
            assert_eq!(answered, status, "{q}: {body}");
            assert_eq!(body.contains("error"), status == 403, "{q}: {body}");
        }
    }
    for path in ["/api/v2/buckets", "/api/v2/delete?bucket=telegraf"] {
        let asked = app.post(path).bearer_auth(WRITER).body("{}");
        assert_eq!(read(asked).await.0, 403, "{path}");
    }
    for token in [READER, WRITER] {
        let asked = app
            .client
            .get(app.url("/api/v2/buckets"))
            .bearer_auth(token);
        assert_eq!(read(asked).await.0, 200);
    }
}

#[tokio::test]
async fn probes_and_documentation_are_open() {
    let app = guarded().await;
    for path in [
        "/ping",
        "/health",
        "/ready",
        "/metrics",
        "/docs/",
        "/api-docs/openapi.json",
    ] {
        assert!(app.get(path).await.status().is_success(), "{path}");
    }
}
