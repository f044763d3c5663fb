//! The built program as a process of its own.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use reqwest::Client;

/// How often it is asked whether it is ready.
const POLL: Duration = Duration::from_millis(10);

/// A gateway that is killed when it is dropped.
pub(crate) struct Gateway {
    pub(crate) process: Child,
    pub(crate) base: String,
    log: Arc<Mutex<String>>,
}

impl Gateway {
    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().expect("no panic").clone()
    }

    /// Waits until it has logged something, for a minute at most.
    pub(crate) async fn until_logged(&self, words: &str) {
        let wait = async {
            while !self.log().contains(words) {
                tokio::time::sleep(POLL).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), wait)
            .await
            .unwrap_or_else(|_| panic!("never logged: {words}"));
    }

    /// Answers a query of its database `telegraf`, times in nanoseconds.
    pub(crate) async fn query(&self, q: &str) -> serde_json::Value {
        let request = Client::new().get(format!("{}/query", self.base));
        let request = request.query(&[("db", "telegraf"), ("epoch", "ns"), ("q", q)]);
        let answer = request.send().await.expect("an answer");
        answer.json().await.expect("JSON")
    }

    /// Sends it a signal, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        let kill = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status();
        assert!(kill.expect("kill runs").success());
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        loop {
            if let Some(status) = self.process.try_wait().expect("a child") {
                return status;
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The program itself.
pub(crate) fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_headroom-gateway"))
}

/// Starts the program on a free port, and waits for nothing.
pub(crate) fn spawn(command: &mut Command, data_dir: &Path) -> Child {
    if !command.get_envs().any(|(name, _)| name == "RUST_LOG") {
        command.env("RUST_LOG", "info");
    }
    command
        .args([
            "--listen",
            "127.0.0.1:0",
            "--log-format",
            "json",
            "--data-dir",
        ])
        .arg(data_dir)
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts")
}

/// Starts the program on a free port, and waits until it is ready.
pub(crate) async fn start(command: &mut Command, data_dir: &Path) -> Gateway {
    start_seen_by(&Client::new(), command, data_dir).await
}

/// Starts the program on a free port, and waits until a client finds it ready.
pub(crate) async fn start_seen_by(
    client: &Client,
    command: &mut Command,
    data_dir: &Path,
) -> Gateway {
    let mut process = spawn(command, data_dir);
    let mut lines = BufReader::new(process.stderr.take().expect("piped")).lines();
    let log = Arc::new(Mutex::new(String::new()));
    let base = lines.by_ref().map_while(Result::ok).find_map(|line| {
        note(&log, &line);
        let entry: serde_json::Value = serde_json::from_str(&line).ok()?;
        let address = entry["fields"]["address"].as_str()?.to_owned();
        Some(format!(
            "{}://{address}",
            entry["fields"]["scheme"].as_str()?
        ))
    });
    // The pipe is read on, so that the process never waits for it.
    let noted = Arc::clone(&log);
    std::thread::spawn(move || {
        lines
            .map_while(Result::ok)
            .for_each(|line| note(&noted, &line));
    });
    let gateway = Gateway {
        process,
        base: base.expect("it listens"),
        log,
    };
    let ready = format!("{}/ready", gateway.base);
    while client.get(&ready).send().await.expect("it lives").status() != 200 {
        tokio::time::sleep(POLL).await;
    }
    gateway
}

fn note(log: &Mutex<String>, line: &str) {
    let mut log = log.lock().expect("no panic");
    log.push_str(line);
    log.push('\n');
}
