//! `kill -9` under load: what was answered 204 is there afterwards.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use reqwest::Client;

use crate::{
    process::{self, Gateway},
    support::{gzip, init},
};

const WRITERS: u64 = 4;
/// Batches that are answered before a kill, at most.
const ACKED_BEFORE_KILL_MOST: u64 = 200;
/// `make crash` runs as many as it is told.
const ROUNDS_DEFAULT: u64 = 3;

async fn spawn(data_dir: &Path) -> Gateway {
    // A seal is due at a quarter of it, every few seconds of this load.
    let small_journal = ["--journal-max-bytes", "1MiB"];
    process::start(process::program().args(small_journal), data_dir).await
}

/// The line of a number, and what it must read afterwards.
fn line(round: u64, number: u64) -> (String, serde_json::Value) {
    let text = format!("a\n{number}");
    (
        format!(
            "m{round},w={} f={number}i,g=\"{text}\" {number}",
            number % WRITERS
        ),
        serde_json::json!([number, number, text]),
    )
}

/// Pushes batches of two lines until the connection breaks; answers the numbers of those that were answered 204.
async fn write_until_broken(
    base: String,
    round: u64,
    writer: u64,
    acked: Arc<AtomicU64>,
) -> Vec<u64> {
    let client = Client::new();
    let mut mine = Vec::new();
    for n in 0_u64.. {
        let numbers = [2 * n, 2 * n + 1].map(|n| n * WRITERS + writer);
        let text = numbers.map(|number| line(round, number).0).join("\n");
        let (body, encoding) = if n % 2 == 0 {
            (gzip(&text), "gzip")
        } else {
            (text.into_bytes(), "identity")
        };
        let answer = client
            .post(format!("{base}/write?db=telegraf"))
            .header("content-encoding", encoding)
            .body(body)
            .send()
            .await;
        match answer {
            Ok(answer) if answer.status() == 204 => {
                mine.extend(numbers);
                acked.fetch_add(1, Ordering::SeqCst);
            }
            // The small journal is full until its seal is done.
            Ok(answer) if answer.status() == 503 => {}
            _ => break,
        }
    }
    mine
}

/// Loads a gateway and kills it after a random number of answers and a random moment more.
async fn killed_under_load(dir: &Path, round: u64) -> Vec<u64> {
    let mut gateway = spawn(dir).await;
    let acked = Arc::new(AtomicU64::new(0));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            tokio::spawn(write_until_broken(
                gateway.base.clone(),
                round,
                writer,
                Arc::clone(&acked),
            ))
        })
        .collect();
    let enough = rand::random_range(1..=ACKED_BEFORE_KILL_MOST);
    while acked.load(Ordering::SeqCst) < enough {
        assert!(
            writers.iter().any(|writer| !writer.is_finished()),
            "no writer is left"
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(Duration::from_micros(rand::random_range(0..3_000))).await;
    gateway.process.kill().expect("SIGKILL");
    gateway.process.wait().expect("it is gone");
    let mut numbers = Vec::new();
    for writer in writers {
        numbers.extend(writer.await.expect("no panic"));
    }
    numbers
}

/// Every acked line is there once, with its values; what is there besides was pushed and not answered.
async fn check(gateway: &Gateway, round: u64, acked: &[u64]) {
    let answer: serde_json::Value = Client::new()
        .get(format!("{}/query", gateway.base))
        .query(&[
            ("db", "telegraf"),
            ("epoch", "ns"),
            ("q", &format!("SELECT f, g FROM m{round}")),
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
    let mut found: Vec<u64> = rows
        .iter()
        .map(|row| row[0].as_u64().expect("a time"))
        .collect();
    for (row, number) in rows.iter().zip(&found) {
        assert_eq!(row, &line(round, *number).1, "round {round}");
    }
    found.sort_unstable();
    assert!(
        found.is_sorted_by(|one, next| one < next),
        "round {round}: a line is there twice"
    );
    let lost: Vec<_> = acked
        .iter()
        .filter(|number| found.binary_search(number).is_err())
        .collect();
    assert!(
        lost.is_empty(),
        "round {round}: {} acked lines are lost: {lost:?}",
        lost.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acked_line_survives_a_kill() {
    init();
    let rounds = std::env::var("HEADROOM_CRASH_ROUNDS")
        .map_or(ROUNDS_DEFAULT, |rounds| rounds.parse().expect("a number"));
    let dir = tempfile::tempdir().expect("a folder");
    let mut acked: Vec<Vec<u64>> = Vec::new();
    for round in 0..rounds {
        acked.push(killed_under_load(dir.path(), round).await);
        let gateway = spawn(dir.path()).await;
        check(&gateway, round, &acked[round as usize]).await;
    }
    let gateway = spawn(dir.path()).await;
    for (round, acked) in acked.iter().enumerate() {
        check(&gateway, round as u64, acked).await;
    }
    println!(
        "{rounds} rounds, {} acked lines, none lost",
        acked.iter().map(Vec::len).sum::<usize>()
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
