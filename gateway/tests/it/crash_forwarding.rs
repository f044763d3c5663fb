//! `kill -9` while batches are forwarded to two servers that do not always behave.
//!
//! Of each of them is held, whatever the other one does:
//!
//! - It gets every line that was answered, as its client wrote it, and none that was refused.
//! - In every series the batches of a client come in the order of their pushes. A repetition begins at an earlier one and
//!   leaves none out on its way forward, so that the last value of every point is the one that was pushed last.
//! - What it answered with 204 comes again only after a kill.
//!
//! And both get the same. No order can be promised where a server applies a request of a killed gateway after the
//! repetition: what these servers were sent they have applied before the next gateway is started.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use reqwest::Client;

use crate::{
    crash,
    process::{self, Gateway},
    recorder::{Recorder, Write},
    support::{gzip, init},
};

const WRITERS: usize = 3;
/// Series of each writer, and points of each series, that are written again and again.
const HOSTS: usize = 3;
const POINTS: usize = 2;
/// Batches that are answered before a kill, at most.
const ACKED_BEFORE_KILL_MOST: u64 = 40;
/// From there on to the kill, at most.
const UNTIL_KILL_MOST_US: u64 = 60_000;
/// A start takes about as long: it is killed somewhere on its way, or when it has sent something.
const START_KILLED_MOST_US: u64 = 120_000;
const ROUNDS_DEFAULT: u64 = 3;
/// After so many rounds everything is delivered and looked at, and a new folder is begun.
const ROUNDS_A_FOLDER: u64 = 10;
const POLL: Duration = Duration::from_millis(10);

/// A line that was pushed.
struct Line {
    text: String,
    /// Its series, and whose it is.
    track: String,
    /// Its series and time.
    point: String,
    /// That of its batch, the value of its field.
    number: u64,
    acked: bool,
}

impl Line {
    fn new(series: &str, writer: usize, time: usize, number: u64) -> Self {
        let words = ["", "a b", "a\nb", "\\\"=, #", "C:\\\\"];
        let word = words[rand::random_range(0..words.len())];
        Self {
            text: format!("{series} n={number}i,word=\"{word}\",w={writer}i {time}"),
            track: format!("{series} of {writer}"),
            point: format!("{series} {time}"),
            number,
            acked: false,
        }
    }
}

/// Some points of a writer, or all of them; one of them in a series that it shares with the others.
fn batch(writer: usize, number: u64, all: bool) -> Vec<Line> {
    let chosen = |chance| all || rand::random_bool(chance);
    let mut lines = Vec::new();
    for host in 0..HOSTS {
        for time in (0..POINTS).filter(|_| chosen(0.3)) {
            let series = format!("m,writer={writer},host={host}");
            lines.push(Line::new(&series, writer, time, number));
        }
    }
    if lines.is_empty() || chosen(0.1) {
        lines.push(Line::new("shared", writer, writer, number));
    }
    lines
}

/// A body of lines in one of the ways in which clients write them, and what it must be answered.
fn body(lines: &[Line]) -> (Vec<u8>, &'static str, u16) {
    let pick = |of: &[&'static str]| of[rand::random_range(0..of.len())];
    let before = pick(&["", "", "# it's = \"odd\n", "# C:\\\n", "bad\n"]);
    let end = pick(&["\n", "\n", "\r\n"]);
    let texts: Vec<_> = lines.iter().map(|line| line.text.as_str()).collect();
    let text = format!("{before}{}{}", texts.join(end), pick(&["", end]));
    let status = if before == "bad\n" { 400 } else { 204 };
    match rand::random_range(0..4) {
        0 | 1 => (text.into_bytes(), "identity", status),
        2 => (gzip(text), "gzip", status),
        _ => {
            let (one, other) = text.split_at(rand::random_range(0..=text.len()));
            ([gzip(one), gzip(other)].concat(), "gzip", status)
        }
    }
}

/// Pushes lines; says whether they were answered, or `None` where the gateway is gone.
async fn push(client: &Client, base: &str, lines: &mut [Line]) -> Option<bool> {
    let (body, encoding, expected) = body(lines);
    let request = client
        .post(format!("{base}/write?db=telegraf"))
        .header("content-encoding", encoding);
    let status = request.body(body).send().await.ok()?.status().as_u16();
    assert!(status == expected || status == 503, "{status}");
    let acked = status == expected;
    for line in lines {
        line.acked = acked;
    }
    Some(acked)
}

/// Pushes batches from a number on until the gateway is gone; answers their lines.
async fn push_until_gone(
    base: String,
    writer: usize,
    first: u64,
    acked: Arc<AtomicU64>,
) -> Vec<Line> {
    let client = Client::new();
    let mut pushed = Vec::new();
    for number in first.. {
        let mut lines = batch(writer, number, false);
        let answer = push(&client, &base, &mut lines).await;
        pushed.extend(lines);
        match answer {
            Some(answered) => acked.fetch_add(u64::from(answered), Ordering::SeqCst),
            None => break,
        };
    }
    pushed
}

/// A data folder, its two destinations, and what was pushed for them.
struct Scene<'s> {
    dir: &'s Path,
    servers: &'s [Recorder; 2],
    pushed: Vec<Line>,
    next: u64,
    kills: u64,
}

impl Scene<'_> {
    fn program(&self) -> Command {
        let [first, second] = self.servers;
        let config = self.dir.join("gateway.toml");
        let table = format!(
            "[[destination]]\nname = \"second\"\nurl = \"{}\"\nversion = 3\n",
            second.url()
        );
        std::fs::write(&config, table).expect("writable");
        let mut program = process::program();
        program.args(["--influx-url", &first.url(), "--config"]);
        program.arg(config);
        program
    }

    async fn start(&self) -> Gateway {
        process::start(&mut self.program(), &self.dir.join("data")).await
    }

    /// Notes that the gateway was killed.
    async fn killed(&mut self) {
        self.kills += 1;
        for server in self.servers {
            server.client_is_gone().await;
        }
    }

    /// Starts a gateway and kills it before or soon after it is ready.
    async fn kill_at_start(&mut self) {
        let mut gateway = process::spawn(&mut self.program(), &self.dir.join("data"));
        let somewhere = rand::random_range(0..START_KILLED_MOST_US);
        tokio::time::sleep(Duration::from_micros(somewhere)).await;
        gateway.kill().expect("SIGKILL");
        gateway.wait().expect("it is gone");
        self.killed().await;
    }

    /// Loads a gateway and kills it after a random number of answers and a random moment more.
    async fn kill_under_load(&mut self) {
        let mut gateway = self.start().await;
        let acked = Arc::new(AtomicU64::new(0));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let base = gateway.base.clone();
                let acked = Arc::clone(&acked);
                tokio::spawn(push_until_gone(base, writer, self.next, acked))
            })
            .collect();
        let enough = rand::random_range(1..=ACKED_BEFORE_KILL_MOST);
        while acked.load(Ordering::SeqCst) < enough {
            assert!(
                writers.iter().any(|writer| !writer.is_finished()),
                "no writer is left: {}",
                gateway.log()
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let somewhere = rand::random_range(0..UNTIL_KILL_MOST_US);
        tokio::time::sleep(Duration::from_micros(somewhere)).await;
        gateway.process.kill().expect("SIGKILL");
        gateway.process.wait().expect("it is gone");
        for writer in writers {
            self.pushed.extend(writer.await.expect("no panic"));
        }
        let last = self.pushed.iter().map(|line| line.number).max();
        self.next = last.map_or(0, |last| last + 1);
        self.killed().await;
    }

    /// Writes every point once more, waits until both servers have all that was answered, and looks at what they got.
    async fn deliver_and_check(&mut self) {
        let mut gateway = self.start().await;
        for writer in 0..WRITERS {
            let mut lines = batch(writer, self.next, true);
            let acked = push(&Client::new(), &gateway.base, &mut lines).await;
            assert_eq!(acked, Some(true));
            self.pushed.extend(lines);
        }
        let acked: HashSet<&str> = self
            .pushed
            .iter()
            .filter(|line| line.acked)
            .map(|line| line.text.as_str())
            .collect();
        for server in self.servers {
            let wait = async {
                while !lost(server, &acked).is_empty() {
                    tokio::time::sleep(POLL).await;
                }
            };
            // What is left to say is said below, with the lines.
            let _ = tokio::time::timeout(Duration::from_mins(1), wait).await;
            let lost = lost(server, &acked);
            assert!(lost.is_empty(), "acked lines never came: {lost:?}");
        }
        gateway.process.kill().expect("SIGKILL");
        gateway.process.wait().expect("it is gone");
        self.killed().await;
        let pushed = self.pushed.iter().map(|line| (line.text.as_str(), line));
        let pushed: HashMap<_, _> = pushed.collect();
        let [first, second] = self.servers;
        let got = [first, second].map(|server| check(&server.recorded(), &pushed));
        assert!(got[0] == got[1], "they did not get the same");
    }
}

/// Those of some lines that a server has not got.
fn lost(server: &Recorder, lines: &HashSet<&str>) -> BTreeSet<String> {
    let recorded = server.recorded();
    let came = recorded.iter().flatten().flat_map(|write| &write.lines);
    let came: HashSet<&str> = came.map(String::as_str).collect();
    let lost = lines.difference(&came);
    lost.map(|line| (*line).to_owned()).collect()
}

/// Holds what came to a server in the lives of several gateways to what is promised; answers the numbers that came on
/// each track.
fn check(lives: &[Vec<Write>], pushed: &HashMap<&str, &Line>) -> BTreeMap<String, BTreeSet<u64>> {
    let line = |text: &String| {
        let line = pushed.get(text.as_str());
        *line.unwrap_or_else(|| panic!("it was never pushed: {text:?}"))
    };
    let mut tracks = BTreeMap::<String, BTreeSet<u64>>::new();
    for text in lives.iter().flatten().flat_map(|write| &write.lines) {
        let line = line(text);
        let numbers = tracks.entry(line.track.clone()).or_default();
        numbers.insert(line.number);
    }
    let (mut last_of_track, mut last_of_point) = (HashMap::new(), HashMap::new());
    for life in lives {
        let mut answered = HashSet::new();
        for write in life {
            for line in write.lines.iter().map(line) {
                let (track, number) = (line.track.as_str(), line.number);
                assert!(
                    !answered.contains(&(track, number)),
                    "{track}: {number} was answered 204 and came again"
                );
                let last = last_of_track.insert(track, number);
                let ahead = match last {
                    Some(last) => tracks[track].range(last + 1..).next(),
                    None => tracks[track].first(),
                };
                let in_turn = ahead == Some(&number) || last.is_some_and(|last| number <= last);
                assert!(
                    in_turn,
                    "{track}: {number} came behind {last:?}, before {ahead:?}"
                );
                last_of_point.insert(line.point.as_str(), number);
            }
            if write.answered {
                let taken = write.lines.iter().map(line);
                answered.extend(taken.map(|line| (line.track.as_str(), line.number)));
            }
        }
    }
    let mut newest = HashMap::new();
    for line in pushed.values().filter(|line| line.acked) {
        let number = newest.entry(line.point.as_str()).or_insert(0);
        *number = line.number.max(*number);
    }
    assert_eq!(last_of_point, newest, "the values that stay");
    tracks
}

#[tokio::test(flavor = "multi_thread")]
async fn destinations_get_every_acked_line_in_order_whatever_is_killed() {
    init();
    let rounds = crash::rounds(ROUNDS_DEFAULT);
    let servers = [Recorder::start().await, Recorder::start().await];
    let (mut acked, mut kills) = (0, 0);
    for begun in (0..rounds).step_by(ROUNDS_A_FOLDER as usize) {
        let dir = tempfile::tempdir().expect("a folder");
        let mut scene = Scene {
            dir: dir.path(),
            servers: &servers,
            pushed: Vec::new(),
            next: 0,
            kills: 0,
        };
        for server in &servers {
            server.misbehave(true);
        }
        for _ in begun..rounds.min(begun + ROUNDS_A_FOLDER) {
            if rand::random() {
                scene.kill_at_start().await;
            }
            scene.kill_under_load().await;
        }
        for server in &servers {
            server.misbehave(false);
        }
        scene.deliver_and_check().await;
        servers.iter().for_each(Recorder::clear);
        acked += scene.pushed.iter().filter(|line| line.acked).count();
        kills += scene.kills;
    }
    println!("{kills} kills before two destinations, {acked} acked lines, none lost, all in order");
}
