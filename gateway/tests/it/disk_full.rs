//! A file system that takes no more: the process's files are limited in size.

use std::{path::Path, process::Command};

use reqwest::Client;

use crate::{
    process::{self, Gateway},
    support::init,
};

/// Starts the program behind a shell that sets a limit; writes beyond it fail, as on a full disk.
async fn spawn(data_dir: &Path, limit: &str) -> Gateway {
    let mut command = Command::new("bash");
    command
        .arg("-c")
        .arg(format!("trap '' XFSZ; ulimit -f {limit}; exec \"$@\""))
        .arg("gateway")
        .arg(process::program().get_program())
        // A reader that is away keeps everything in the journal.
        .args([
            "--influx-url",
            "http://127.0.0.1:9",
            "--influx-version",
            "1",
        ]);
    process::start(&mut command, data_dir).await
}

async fn push(gateway: &Gateway, bytes: usize) -> (u16, bool, String) {
    let answer = Client::new()
        .post(format!("{}/write?db=telegraf", gateway.base))
        .body(format!("m f=\"{}\" 1", "x".repeat(bytes)))
        .send()
        .await
        .expect("an answer");
    let later = answer.headers().contains_key("retry-after");
    (
        answer.status().as_u16(),
        later,
        answer.text().await.expect("text"),
    )
}

async fn pending_bytes(gateway: &Gateway) -> u64 {
    let metrics = Client::new()
        .get(format!("{}/metrics", gateway.base))
        .send()
        .await
        .expect("an answer");
    let text = metrics.text().await.expect("text");
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix("headroom_journal_pending_bytes "));
    value.expect("the metric").parse().expect("a number")
}

#[tokio::test]
async fn a_full_disk_turns_pushes_away_and_keeps_what_was_acked() {
    init();
    let dir = tempfile::tempdir().expect("a folder");
    // In blocks of 1,024 bytes.
    let gateway = spawn(dir.path(), "256").await;
    let mut acked = 0;
    let (status, later, body) = loop {
        let answer = push(&gateway, 20_000).await;
        if answer.0 != 204 {
            break answer;
        }
        acked += 1;
    };
    assert!(acked >= 10, "{acked}");
    assert!(status == 503 && later, "{status}: {body}");
    assert!(
        !body.contains("partial write"),
        "Telegraf would drop the batch: {body}"
    );
    assert_eq!(push(&gateway, 20_000).await.0, 503, "it lives on");
    assert_eq!(push(&gateway, 10).await.0, 204, "and takes what still fits");
    let before = pending_bytes(&gateway).await;
    drop(gateway);
    let gateway = spawn(dir.path(), "unlimited").await;
    assert_eq!(
        pending_bytes(&gateway).await,
        before,
        "nothing torn, nothing lost"
    );
    assert!(before > acked * 20_000);
    assert_eq!(push(&gateway, 20_000).await.0, 204);
}
