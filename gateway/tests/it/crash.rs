//! `kill -9` under load: what was answered 204 is there afterwards.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use reqwest::Client;

use crate::support::init;

const WRITERS: u64 = 4;
const ACKED_BEFORE_KILL: u64 = 200;

/// The built program as a process of its own.
struct Gateway {
    process: Child,
    base: String,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn spawn(data_dir: &Path) -> Gateway {
    let mut process = Command::new(env!("CARGO_BIN_EXE_headroom-gateway"))
        .args([
            "--listen",
            "127.0.0.1:0",
            "--log-format",
            "json",
            // A seal is due at a quarter of it, every few seconds of this load.
            "--journal-max-bytes",
            "1MiB",
            "--data-dir",
        ])
        .arg(data_dir)
        .env("RUST_LOG", "info")
        .stderr(Stdio::piped())
        .spawn()
        .expect("the gateway starts");
    let mut log = BufReader::new(process.stderr.take().expect("piped"));
    let address = loop {
        let mut line = String::new();
        assert!(
            log.read_line(&mut line).expect("a log line") > 0,
            "the gateway ended"
        );
        let entry: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        if let Some(address) = entry["fields"]["address"].as_str() {
            break address.to_owned();
        }
    };
    // The pipe is read on, so that the process never waits for it.
    std::thread::spawn(move || log.lines().map_while(Result::ok).for_each(drop));
    let gateway = Gateway {
        process,
        base: format!("http://{address}"),
    };
    let client = Client::new();
    let ready = format!("{}/ready", gateway.base);
    while client.get(&ready).send().await.expect("it lives").status() != 200 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    gateway
}

/// Pushes batches until the connection breaks; answers the numbers of those that were answered 204.
async fn write_until_broken(base: String, writer: u64, acked: Arc<AtomicU64>) -> Vec<u64> {
    let client = Client::new();
    let mut mine = Vec::new();
    for n in 0_u64.. {
        let number = n * WRITERS + writer;
        let batch = format!("m,w={writer} f={number}i {number}\nm,w={writer} g=\"a\nb\" {number}");
        let answer = client
            .post(format!("{base}/write?db=telegraf"))
            .body(batch)
            .send()
            .await;
        match answer {
            Ok(answer) if answer.status() == 204 => {
                mine.push(number);
                acked.fetch_add(1, Ordering::SeqCst);
            }
            _ => break,
        }
    }
    mine
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acked_line_survives_a_kill() {
    init();
    let dir = tempfile::tempdir().expect("a folder");
    let mut acked_numbers = Vec::new();
    for round in 0..2 {
        let mut gateway = spawn(dir.path()).await;
        let acked = Arc::new(AtomicU64::new(0));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                // Each round writes numbers of its own.
                let writer = round * 10_000_000 + writer;
                tokio::spawn(write_until_broken(
                    gateway.base.clone(),
                    writer,
                    Arc::clone(&acked),
                ))
            })
            .collect();
        while acked.load(Ordering::SeqCst) < ACKED_BEFORE_KILL {
            assert!(
                writers.iter().any(|writer| !writer.is_finished()),
                "no writer is left"
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        gateway.process.kill().expect("SIGKILL");
        gateway.process.wait().expect("it is gone");
        for writer in writers {
            acked_numbers.extend(writer.await.expect("no panic"));
        }
    }
    let gateway = spawn(dir.path()).await;
    let answer: serde_json::Value = Client::new()
        .get(format!("{}/query", gateway.base))
        .query(&[
            ("db", "telegraf"),
            ("epoch", "ns"),
            ("q", "SELECT f, g FROM m"),
        ])
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    let rows = answer["results"][0]["series"][0]["values"]
        .as_array()
        .expect("rows");
    let found: std::collections::BTreeSet<u64> = rows
        .iter()
        .filter(|row| row[2] == "a\nb")
        .filter_map(|row| row[1].as_u64())
        .collect();
    assert!(acked_numbers.len() as u64 >= 2 * ACKED_BEFORE_KILL);
    let lost: Vec<_> = acked_numbers
        .iter()
        .filter(|number| !found.contains(number))
        .collect();
    assert!(
        lost.is_empty(),
        "{} acked lines are lost: {lost:?}",
        lost.len()
    );
}

/// Asks a gateway something that changes it, or that reads from it.
async fn ask(gateway: &Gateway, q: &str) -> serde_json::Value {
    let request = Client::new().post(format!("{}/query", gateway.base));
    let form = [("db", "telegraf"), ("epoch", "ns"), ("q", q)];
    let answer = request.form(&form).send().await.expect("an answer");
    answer.json::<serde_json::Value>().await.expect("JSON")["results"][0].take()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answered_deletion_survives_a_kill_and_the_replay() {
    init();
    let dir = tempfile::tempdir().expect("a folder");
    let push = async |gateway: &Gateway, lines: &'static str| {
        let request = Client::new().post(format!("{}/write?db=telegraf", gateway.base));
        let answer = request.body(lines).send().await.expect("an answer");
        assert_eq!(answer.status(), 204);
    };
    let mut gateway = spawn(dir.path()).await;
    push(
        &gateway,
        "m,host=a v=1 1\nm,host=a v=2 2\nm,host=b v=3 3\ngone v=4 4",
    )
    .await;
    for q in [
        "DELETE FROM m WHERE host = 'a' AND time >= 2",
        "DROP MEASUREMENT gone",
        "DROP SERIES FROM m WHERE host = 'b'",
    ] {
        let done = serde_json::json!({"statement_id": 0});
        assert_eq!(ask(&gateway, q).await, done, "{q}");
    }
    push(&gateway, "m,host=b v=5 5").await;
    gateway.process.kill().expect("SIGKILL");
    gateway.process.wait().expect("it is gone");
    let gateway = spawn(dir.path()).await;
    let left = ask(&gateway, "SELECT v FROM m").await;
    let rows = serde_json::json!([[1, 1], [5, 5]]);
    assert_eq!(left["series"][0]["values"], rows);
    let names = ask(&gateway, "SHOW MEASUREMENTS").await;
    assert_eq!(names["series"][0]["values"], serde_json::json!([["m"]]));
}
