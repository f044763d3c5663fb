//! `kill -9` in the middle of a seal, and of a merge: nothing is lost, nothing is there twice, the file is sound.

use std::{collections::BTreeSet, ops::Range, path::Path, time::Duration};

use reqwest::Client;

use crate::{
    crash,
    process::{self, Gateway},
    support::init,
};

/// Series of a batch, with two fields each: a seal writes twice as many chunks, in several slices.
const SERIES: u64 = 3_000;
const ROUNDS_DEFAULT: u64 = 2;
/// A folder serves so many rounds: every one of them looks at all that came before.
const ROUNDS_A_FOLDER: u64 = 10;
/// The times of batches lie apart by this.
const STEP_NS: u64 = 1_000;
/// While merges are waited for, pushes leave them time.
const PAUSE: Duration = Duration::from_millis(40);

async fn spawn(data_dir: &Path) -> Gateway {
    // A seal is due at a quarter of it: after some ten batches.
    let small_journal = ["--journal-max-bytes", "4MiB"];
    // All that a folder holds is counted in one query.
    let patient = ["--query-timeout-s", "600"];
    let mut program = process::program();
    process::start(program.args(small_journal).args(patient), data_dir).await
}

/// A point of every series at the time of a number.
fn batch(number: u64) -> String {
    let time = number * STEP_NS;
    let line = |series| format!("s,h={series} a={number}i,b={number}.25 {time}\n");
    (0..SERIES).map(line).collect()
}

/// Pushes batches until the gateway is gone; answers the numbers of those that were answered 204, and the next number.
async fn push_until_gone(base: String, first: u64, pause: Duration) -> (Vec<u64>, u64) {
    let client = Client::new();
    let mut acked = Vec::new();
    for number in first.. {
        let request = client.post(format!("{base}/write?db=telegraf"));
        match request.body(batch(number)).send().await {
            Ok(answer) if answer.status() == 204 => acked.push(number),
            Ok(answer) if answer.status() == 503 => {}
            _ => return (acked, number + 1),
        }
        tokio::time::sleep(pause).await;
    }
    unreachable!("the gateway is killed before numbers run out")
}

/// Says whether a gauge of `/metrics` is 1.
async fn shows(client: &Client, gateway: &Gateway, gauge: &str) -> bool {
    let request = client.get(format!("{}/metrics", gateway.base)).send();
    let text = request.await.expect("it lives").text().await.expect("text");
    text.lines().any(|line| line == format!("{gauge} 1"))
}

/// Kills a gateway under load while a gauge says that its work is under way.
async fn killed_while(dir: &Path, gauge: &str, first: u64, pause: Duration) -> (Vec<u64>, u64) {
    let mut gateway = spawn(dir).await;
    let client = Client::new();
    let writer = tokio::spawn(push_until_gone(gateway.base.clone(), first, pause));
    loop {
        while !shows(&client, &gateway, gauge).await {
            assert!(!writer.is_finished(), "the writer is gone");
        }
        let somewhere_in_it = Duration::from_micros(rand::random_range(0..30_000));
        tokio::time::sleep(somewhere_in_it).await;
        // It may have ended in the meantime: then the next one is waited for.
        if shows(&client, &gateway, gauge).await {
            break;
        }
    }
    gateway.process.kill().expect("SIGKILL");
    gateway.process.wait().expect("it is gone");
    writer.await.expect("no panic")
}

/// Has the file read through, every checksum and every rollup.
fn assert_sound(dir: &Path) {
    let mut check = process::program();
    let check = check.arg("check").arg("--data-dir").arg(dir);
    let said = check.output().expect("it runs");
    let (out, err) = (&said.stdout, &said.stderr);
    let words = [out, err].map(|bytes| String::from_utf8_lossy(bytes));
    assert!(said.status.success(), "{words:?}");
}

/// Every batch that is there is whole and there once; those that were answered are there.
async fn assert_whole(gateway: &Gateway, acked: &BTreeSet<u64>, end: u64) {
    let q = format!(
        "SELECT count(a), count(b), sum(a) FROM s WHERE time >= 0 AND time < {} GROUP BY time(1u) fill(none)",
        end * STEP_NS
    );
    let answer = gateway.query(&q).await;
    let rows = answer["results"][0]["series"][0]["values"].as_array();
    let mut found = BTreeSet::new();
    for row in rows.unwrap_or_else(|| panic!("no rows: {answer}")) {
        let number = row[0].as_u64().expect("a time") / STEP_NS;
        let whole = serde_json::json!([row[0], SERIES, SERIES, SERIES * number]);
        assert_eq!(row, &whole, "batch {number}");
        found.insert(number);
    }
    let lost: Vec<_> = acked.difference(&found).collect();
    assert!(lost.is_empty(), "acked batches are lost: {lost:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_the_middle_of_a_seal_or_a_merge_loses_and_doubles_nothing() {
    init();
    let rounds = crash::rounds(ROUNDS_DEFAULT);
    let mut batches = 0;
    for begun in (0..rounds).step_by(ROUNDS_A_FOLDER as usize) {
        let end = rounds.min(begun + ROUNDS_A_FOLDER);
        batches += kill_in_one_folder(begun..end).await;
        println!("{end} of {rounds} kills in seals and merges, {batches} acked batches so far");
    }
    println!(
        "{rounds} kills in seals and merges, {batches} acked batches of {SERIES} lines, none lost, none doubled"
    );
}

/// Kills a gateway once a round, on one folder; returns how many batches were answered 204, all of which are there.
async fn kill_in_one_folder(rounds: Range<u64>) -> usize {
    let dir = tempfile::tempdir().expect("a folder");
    let (mut acked, mut next) = (BTreeSet::new(), 1);
    for round in rounds {
        let (gauge, pause) = if round.is_multiple_of(2) {
            ("headroom_store_sealing", Duration::ZERO)
        } else {
            ("headroom_store_merging", PAUSE)
        };
        let (answered, end) = killed_while(dir.path(), gauge, next, pause).await;
        acked.extend(answered);
        next = end;
        assert_sound(dir.path());
        let gateway = spawn(dir.path()).await;
        assert_whole(&gateway, &acked, next).await;
    }
    acked.len()
}
