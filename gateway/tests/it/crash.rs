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
const ROUNDS_DEFAULT: u64 = 3;

/// How many rounds there are: `make crash` says so.
pub(crate) fn rounds(default: u64) -> u64 {
    let told = std::env::var("HEADROOM_CRASH_ROUNDS");
    told.map_or(default, |rounds| rounds.parse().expect("a number"))
}

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
    let answer = gateway.query(&format!("SELECT f, g FROM m{round}")).await;
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
    let rounds = rounds(ROUNDS_DEFAULT);
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

/// Lines that a replay has to bring in, in pages of a thousand.
const REPLAYED: usize = 5_000;
/// How often a replay is killed before one may come to its end.
const REPLAYS_KILLED: usize = 3;

async fn rejects_left(gateway: &Gateway) -> usize {
    let answer = reqwest::get(format!("{}/api/v1/rejects?limit=1", gateway.base)).await;
    let page: serde_json::Value = answer.expect("an answer").json().await.expect("JSON");
    page["kept"].as_u64().expect("a number") as usize
}

/// The rows of `r`: series, and time.
async fn replayed_rows(gateway: &Gateway) -> Vec<(String, i64)> {
    let answer = ask(gateway, "SELECT f FROM r GROUP BY w").await;
    let all = answer["series"].as_array().cloned().unwrap_or_default();
    let rows = all.iter().flat_map(|series| {
        let series_rows = series["values"].as_array().expect("rows");
        series_rows.iter().map(|row| {
            let name = series["tags"]["w"].as_str().expect("a tag").to_owned();
            assert_eq!(row[1], name.as_str(), "the value of its own line");
            (name, row[0].as_i64().expect("a time"))
        })
    });
    rows.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_of_rejects_that_is_killed_loses_and_doubles_no_line() {
    init();
    let dir = tempfile::tempdir().expect("a folder");
    let mut gateway = process::start(&mut process::program(), dir.path()).await;
    let push = async |gateway: &Gateway, lines: String| {
        let request = Client::new().post(format!("{}/write?db=telegraf", gateway.base));
        let answer = request.body(lines).send().await.expect("an answer");
        answer.status().as_u16()
    };
    // Of another type than what stands there; every other line has no time of its own.
    assert_eq!(push(&gateway, "r f=1 1\nr f=1".to_owned()).await, 204);
    let line = |n: usize| match n % 2 {
        0 => format!("r,w={n} f=\"{n}\" {n}\n"),
        _ => format!("r,w={n} f=\"{n}\"\n"),
    };
    assert_eq!(push(&gateway, (0..REPLAYED).map(line).collect()).await, 400);
    while rejects_left(&gateway).await < REPLAYED {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    ask(&gateway, "DROP MEASUREMENT r").await;
    for _ in 0..REPLAYS_KILLED {
        let before = rejects_left(&gateway).await;
        let replay = Client::new().post(format!("{}/api/v1/rejects/replay", gateway.base));
        let replaying = tokio::spawn(replay.send());
        while rejects_left(&gateway).await == before && !replaying.is_finished() {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(Duration::from_micros(rand::random_range(0..20_000))).await;
        gateway.process.kill().expect("SIGKILL");
        gateway.process.wait().expect("it is gone");
        let _ = replaying.await.expect("no panic");
        gateway = process::start(&mut process::program(), dir.path()).await;
        let (rows, left) = (
            replayed_rows(&gateway).await.len(),
            rejects_left(&gateway).await,
        );
        assert!(
            rows + left >= REPLAYED,
            "{rows} rows and {left} rejects: a line is lost"
        );
    }
    let replay = Client::new().post(format!("{}/api/v1/rejects/replay", gateway.base));
    assert_eq!(replay.send().await.expect("an answer").status(), 200);
    assert_eq!(rejects_left(&gateway).await, 0);
    let rows = replayed_rows(&gateway).await;
    let series: std::collections::HashSet<_> = rows.iter().map(|(name, _)| name).collect();
    assert_eq!(
        (rows.len(), series.len()),
        (REPLAYED, REPLAYED),
        "each line once"
    );
    for (name, time) in &rows {
        let n: i64 = name.parse().expect("a number");
        assert!(
            *time == n || n % 2 == 1 && *time > REPLAYED as i64,
            "{name} {time}"
        );
    }
}
