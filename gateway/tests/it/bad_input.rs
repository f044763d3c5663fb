//! Every kind of bad input gets an answer that says what was wrong and what would be right.

use std::process::Command;

use headroom_gateway::{
    app::{App, StartError},
    config::{ByteSize, Flags, Settings},
};
use reqwest::{Method, header::HeaderValue};

use crate::{
    process,
    support::{TestApp, gzip, init, read},
};

#[tokio::test]
async fn wrong_parameters_are_named() {
    let app = TestApp::start().await;
    for (path, needles) in [
        ("/api/v2/write", ["bucket", "write bucket=telegraf"]),
        ("/api/v2/write?bucket=", ["bucket", "write bucket=telegraf"]),
        ("/write", ["db", "write db=telegraf"]),
        (
            "/write?db=telegraf&precision=decades",
            ["decades", "n, u, ms, s, m, h"],
        ),
        (
            "/api/v2/write?bucket=b&precision=h",
            ["\\\"h\\\"", "ns, us, ms, s"],
        ),
        (
            "/api/v3/write_lp?db=d&precision=auto",
            ["auto", "nanosecond"],
        ),
    ] {
        let (status, body) = app.push(path, "m f=1").await;
        assert_eq!(status, 400, "{path}: {body}");
        assert!(
            needles.iter().all(|needle| body.contains(needle)),
            "{path}: {body}"
        );
    }
    let long = format!("/write?db={}", "d".repeat(256));
    assert_eq!(app.push(&long, "m f=1").await.0, 400);
}

#[tokio::test]
async fn a_lying_or_unknown_encoding_is_refused() {
    let app = TestApp::start().await;
    let path = "/api/v2/write?bucket=telegraf";
    let mut torn = gzip("m f=1 1\n".repeat(100));
    torn.truncate(torn.len() / 2);
    for body in [b"m f=1 1".to_vec(), torn] {
        let (status, answer) =
            read(app.post(path).header("content-encoding", "gzip").body(body)).await;
        assert_eq!(status, 400, "{answer}");
        assert!(answer.contains("not the gzip"), "{answer}");
    }
    let (status, answer) = read(
        app.post(path)
            .header("content-encoding", "br")
            .body("m f=1"),
    )
    .await;
    assert!(
        status == 415 && answer.contains("gzip or identity"),
        "{answer}"
    );
    assert_eq!(app.metric("headroom_lines_accepted_total").await, 0);
}

#[tokio::test]
async fn bodies_are_bounded_before_and_after_decompression() {
    let flags = Flags {
        max_body_bytes: Some(ByteSize(1000)),
        max_decoded_bytes: Some(ByteSize(2000)),
        ..Flags::default()
    };
    let app = TestApp::start_with(flags).await;
    let path = "/api/v2/write?bucket=telegraf";
    let lines = "m f=1 1\n".repeat(200);
    let (status, answer) = app.push(path, lines.clone()).await;
    assert!(
        status == 413 && answer.contains("HEADROOM_MAX_BODY_BYTES"),
        "{answer}"
    );
    let chunks = [lines.clone(), lines.clone(), lines].map(Ok::<_, std::io::Error>);
    let chunked = app
        .post(path)
        .body(reqwest::Body::wrap_stream(futures_util::stream::iter(
            chunks,
        )));
    assert_eq!(read(chunked).await.0, 413);
    let bomb = gzip("m f=1 1\n".repeat(10_000));
    let (status, answer) = read(app.post(path).header("content-encoding", "gzip").body(bomb)).await;
    assert!(
        status == 413 && answer.contains("HEADROOM_MAX_DECODED_BYTES"),
        "{answer}"
    );
    let line = gzip(format!("m f=\"{}\"", "x".repeat(5000)));
    let (status, answer) = read(app.post(path).header("content-encoding", "gzip").body(line)).await;
    assert!(
        status == 400 && answer.contains("one line alone"),
        "{answer}"
    );
    assert_eq!(app.push(path, "m f=1 1").await.0, 204, "it still serves");
}

#[tokio::test]
async fn a_full_journal_asks_clients_to_come_later() {
    let influx = Flags {
        journal_max_bytes: Some(ByteSize(1 << 20)),
        // Nobody listens there, so the journal does not drain.
        influx_url: Some("http://127.0.0.1:9".to_owned()),
        ..Flags::default()
    };
    let app = TestApp::start_with(influx).await;
    let line = format!("m f=\"{}\"", "x".repeat(200_000));
    let mut taken = 0;
    let refused = loop {
        let answer = app
            .post("/write?db=telegraf")
            .body(line.clone())
            .send()
            .await
            .expect("an answer");
        if answer.status() != 204 {
            break answer;
        }
        taken += 1;
    };
    assert!(taken >= 3, "{taken}");
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    let body = refused.text().await.expect("text");
    assert!(body.contains("HEADROOM_JOURNAL_MAX_BYTES"), "{body}");
    let (status, ready) = read(app.client.get(app.url("/ready"))).await;
    assert_eq!(status, 503);
    assert!(
        ready.contains("\"failing\"") && ready.contains("HEADROOM_JOURNAL_MAX_BYTES"),
        "{ready}"
    );
    assert!(
        !body.contains("partial write"),
        "Telegraf would drop the batch: {body}"
    );
    assert_eq!(
        app.push("/write?db=telegraf", "m g=1").await.0,
        204,
        "a small batch still fits"
    );
}

#[tokio::test]
async fn unknown_paths_and_methods_say_where_to_look() {
    let app = TestApp::start().await;
    let (status, body) = read(app.client.get(app.url("/api/v1/nothing"))).await;
    assert!(status == 404 && body.contains("/docs"), "{body}");
    for (path, allowed) in [
        ("/api/v2/write", "POST"),
        ("/query", "GET, POST"),
        ("/ping", "GET, HEAD"),
        ("/api/v1/tokens/name", "DELETE"),
    ] {
        let answer = app.client.request(Method::TRACE, app.url(path)).send();
        let answer = answer.await.expect("an answer");
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["allow"]),
            (405, &HeaderValue::from_static(allowed)),
            "{path}"
        );
        let body = answer.text().await.expect("a body");
        assert!(body.contains(&format!("takes {allowed}")), "{body}");
    }
}

#[tokio::test]
async fn a_port_in_use_and_an_unwritable_folder_are_named() {
    init();
    let app = TestApp::start().await;
    let flags = Flags {
        listen: Some(app.address),
        ..Flags::default()
    };
    let settings = Settings::load(&flags).expect("good settings");
    let error = App::bind(settings, std::sync::Arc::new(|| 0))
        .err()
        .expect("the port is taken");
    assert!(matches!(error, StartError::Listen { .. }), "{error}");
    assert!(error.to_string().contains("HEADROOM_LISTEN"), "{error}");

    let file = tempfile::NamedTempFile::new().expect("a file");
    let flags = Flags {
        listen: "127.0.0.1:0".parse().ok(),
        data_dir: Some(file.path().join("below-a-file")),
        ..Flags::default()
    };
    let settings = Settings::load(&flags).expect("good settings");
    let second = App::bind(settings, std::sync::Arc::new(|| 0)).expect("a free port");
    let error = second
        .serve(tokio_util::sync::CancellationToken::new())
        .await
        .expect_err("no folder");
    assert!(error.to_string().contains("HEADROOM_DATA_DIR"), "{error}");
}

#[test]
fn a_data_folder_that_is_read_only_is_named_with_its_setting() {
    let dir = tempfile::tempdir().expect("a folder");
    // Root may write whatever the permissions say, but not what is mounted read-only.
    let read_only = |program: &[&str]| {
        Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c"])
            .arg("mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\" && exec \"$@\"")
            .arg(dir.path())
            .args(program)
            .output()
    };
    if !read_only(&["true"]).is_ok_and(|ended| ended.status.success()) {
        eprintln!("skipped: this machine allows no mounts of one's own");
        return;
    }
    let program = process::program();
    let program = program.get_program().to_str().expect("UTF-8");
    let folder = dir.path().to_str().expect("UTF-8");
    for sink in [&[][..], &["--influx-url", "http://127.0.0.1:9"]] {
        let arguments = ["--listen", "127.0.0.1:0", "--data-dir", folder];
        let ended = read_only(&[&[program][..], &arguments, sink].concat()).expect("it starts");
        assert_eq!(ended.status.code(), Some(1));
        let words = String::from_utf8_lossy(&ended.stderr);
        let expected = format!(
            "no file can be created in the data folder {folder}: Read-only file system (os error 30); allow the gateway's \
             user to write there, or choose another HEADROOM_DATA_DIR"
        );
        assert!(words.contains(&expected), "{words}");
    }
}

#[tokio::test]
async fn one_data_folder_has_one_gateway() {
    let app = TestApp::start().await;
    let flags = Flags {
        listen: "127.0.0.1:0".parse().ok(),
        data_dir: Some(app.data_dir().to_owned()),
        ..Flags::default()
    };
    let settings = Settings::load(&flags).expect("good settings");
    let second = App::bind(settings, std::sync::Arc::new(|| 0)).expect("a free port");
    let error = second
        .serve(tokio_util::sync::CancellationToken::new())
        .await
        .expect_err("in use");
    assert!(
        error.to_string().contains("in use by another process"),
        "{error}"
    );
}
