//! The bound on points in memory: nobody's are lost at it, neither by pushes nor by a long journal.

use std::path::Path;

use headroom_gateway::{
    app::open_data,
    commands,
    config::{ByteSize, Flags},
    store::StoreOptions,
};
use reqwest::Client;
use serde_json::{Value, json};

use crate::{
    commands::export_args,
    process,
    support::{NOW_NS, StoreFile, TestApp, init},
};

const MEMORY_MAX_BYTES: u64 = 1 << 20;
/// What a line of [`line`] takes of it, and a little more.
const LINE_BYTES: usize = 150_000;

fn line(number: usize) -> String {
    format!("m f=\"{number}{}\" {number}", "x".repeat(LINE_BYTES))
}

async fn readiness(app: &TestApp) -> (u16, Value) {
    let answer = app.get("/ready").await;
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

async fn count(app: &TestApp) -> u64 {
    let answer = app.query("SELECT count(f) FROM m").await;
    let count = &answer["results"][0]["series"][0]["values"][0][1];
    count.as_u64().unwrap_or_else(|| panic!("{answer}"))
}

#[tokio::test]
async fn pushes_are_asked_to_come_later_while_memory_is_full_and_the_store_cannot_seal() {
    let app = TestApp::start_with(Flags {
        store_memory_max_bytes: Some(ByteSize(MEMORY_MAX_BYTES)),
        ..Flags::default()
    })
    .await;
    let file = StoreFile::open(app.data_dir());
    file.break_seals();
    let mut taken = 0;
    let refused = loop {
        let push = app.post("/write?db=telegraf").body(line(taken));
        let answer = push.send().await.expect("an answer");
        if answer.status() != 204 {
            break answer;
        }
        taken += 1;
        assert!(taken <= 8, "more than memory may hold");
    };
    assert!(taken >= 6, "{taken} of them fit");
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "5");
    let words = refused.text().await.expect("text");
    assert!(words.contains("HEADROOM_STORE_MEMORY_MAX_BYTES"), "{words}");
    assert_eq!(count(&app).await, taken as u64);

    app.until("a seal has failed", async |app| {
        readiness(app).await.0 == 503
    })
    .await;
    let (_, ready) = readiness(&app).await;
    assert_eq!(ready["status"], "failing");
    assert_eq!(ready["checks"][1]["status"], "fail");

    file.mend_seals();
    app.until("there is room again", async |app| {
        app.push("/write?db=telegraf", line(taken)).await.0 == 204
    })
    .await;
    assert_eq!(readiness(&app).await.0, 200);
    assert_eq!(count(&app).await, taken as u64 + 1);
    app.stop().await;
}

#[tokio::test]
async fn a_database_that_goes_gives_back_the_memory_of_its_points() {
    let app = TestApp::start().await;
    assert_eq!(app.push("/write?db=telegraf", line(1)).await.0, 204);
    let before = app.metric("headroom_store_memory_bytes").await;
    assert!(before > LINE_BYTES as u64, "{before}");
    assert_eq!(app.push("/write?db=other", line(1)).await.0, 204);
    let dropped = app.query("DROP DATABASE other").await;
    assert_eq!(dropped["results"][0].get("error"), None);
    let after = app.metric("headroom_store_memory_bytes").await;
    assert_eq!(after, before);
    app.query("DROP DATABASE telegraf").await;
    assert_eq!(app.metric("headroom_store_memory_bytes").await, 0);
    app.stop().await;
}

#[tokio::test]
async fn a_push_to_a_new_database_does_not_wait_for_a_seal() {
    let app = TestApp::start_with(Flags {
        store_memory_max_bytes: Some(ByteSize(MEMORY_MAX_BYTES)),
        ..Flags::default()
    })
    .await;
    let file = StoreFile::open(app.data_dir());
    file.hold();
    for number in 0..3 {
        assert_eq!(app.push("/write?db=telegraf", line(number)).await.0, 204);
    }
    app.until_metric("headroom_store_sealing", 1).await;
    assert_eq!(app.push("/write?db=new", line(1)).await.0, 204);
    assert_eq!(
        app.push("/write?db=telegraf&rp=other", line(1)).await.0,
        204
    );
    assert_eq!(app.metric("headroom_store_sealing").await, 1);
    let shown = app.query("SHOW DATABASES").await.to_string();
    assert!(shown.contains(r#"["new"]"#), "{shown}");
    file.let_go();
    app.until_metric("headroom_store_sealing", 0).await;
    // The stop seals, and the next start reads what that wrote.
    let app = app.restart_with(Flags::default()).await;
    let both = "SELECT count(f) FROM new.autogen.m; SELECT count(f) FROM telegraf.other.m";
    let answer = app.query(both).await;
    for result in 0..2 {
        let count = &answer["results"][result]["series"][0]["values"][0][1];
        assert_eq!(*count, json!(1), "{answer}");
    }
    app.stop().await;
}

/// Pushes lines to a gateway that is killed before it seals them.
async fn leave_in_journal(dir: &Path, lines: usize) {
    let client = Client::new();
    let gateway = process::start(&mut process::program(), dir).await;
    for number in 0..lines {
        let push = client.post(format!("{}/write?db=telegraf", gateway.base));
        let answer = push.body(line(number)).send().await.expect("an answer");
        assert_eq!(answer.status(), 204);
    }
}

#[tokio::test]
async fn a_journal_that_is_longer_than_memory_is_sealed_while_it_is_read() {
    init();
    let dir = tempfile::tempdir().expect("a folder");
    let lines = 20;
    leave_in_journal(dir.path(), lines).await;

    let mut small = process::program();
    small.args(["--store-memory-max-bytes", "1MiB"]);
    let gateway = process::start(&mut small, dir.path()).await;
    let log = gateway.log();
    let read = log.find("the journal is replayed").expect("it is logged");
    let sealed = log[..read].matches("\"sealed\"").count();
    assert_eq!(
        sealed,
        lines * LINE_BYTES / MEMORY_MAX_BYTES as usize,
        "{log}"
    );
    let answer = gateway.query("SELECT count(f) FROM m").await;
    assert_eq!(
        answer["results"][0]["series"][0]["values"][0][1],
        json!(lines)
    );
}

#[tokio::test]
async fn a_data_folder_whose_journal_is_longer_than_memory_is_exported_whole() {
    init();
    let dir = tempfile::tempdir().expect("a folder");
    let lines = 20;
    leave_in_journal(dir.path(), lines).await;

    let small = StoreOptions {
        memory_max_bytes: MEMORY_MAX_BYTES as usize,
        ..StoreOptions::default()
    };
    let (journal, store) = open_data(dir.path(), small).expect("sound data");
    assert!(store.head_bytes() < MEMORY_MAX_BYTES as usize);
    assert!(store.sealed_through() > 0);
    drop(store);
    journal.close().await;
    drop(journal);

    let args = export_args(&dir.path().join("points.lp"));
    let exported = commands::export(dir.path(), &args).await;
    assert_eq!(exported.expect("an export"), lines as u64);
    let gateway = process::start(&mut process::program(), dir.path()).await;
    let answer = gateway.query("SELECT count(f) FROM m").await;
    assert_eq!(
        answer["results"][0]["series"][0]["values"][0][1],
        json!(lines)
    );
}

#[tokio::test]
async fn an_old_backups_points_are_exported_whose_retention_ended_since() {
    let app = TestApp::start().await;
    let day = "CREATE DATABASE telegraf WITH DURATION 1d";
    let made = app.query(day).await;
    assert!(made["results"][0]["error"].is_null(), "{made}");
    let (kept, last) = (NOW_NS - 80_000_000_000_000, NOW_NS);
    for time in [kept, last] {
        assert_eq!(
            app.push("/write?db=telegraf", format!("m f=1 {time}"))
                .await
                .0,
            204
        );
    }
    let dir = tempfile::tempdir().expect("a folder");
    let copy = dir.path().join("copy");
    commands::backup(app.data_dir(), &copy).expect("a backup");
    app.stop().await;
    let args = export_args(&dir.path().join("points.lp"));
    let exported = commands::export(&copy, &args).await;
    assert_eq!(exported.expect("an export"), 2);
}
