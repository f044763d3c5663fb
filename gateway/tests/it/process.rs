//! The built program as a process of its own.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use reqwest::Client;

/// How often it is asked whether it is ready.
const POLL: Duration = Duration::from_millis(10);

/// A gateway that is killed when it is dropped.
pub(crate) struct Gateway {
    pub(crate) process: Child,
    pub(crate) base: String,
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

/// Starts the program on a free port, and waits until it is ready.
pub(crate) async fn start(command: &mut Command, data_dir: &Path) -> Gateway {
    let mut process = command
        .args([
            "--listen",
            "127.0.0.1:0",
            "--log-format",
            "json",
            "--data-dir",
        ])
        .arg(data_dir)
        .env("RUST_LOG", "info")
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut log = BufReader::new(process.stderr.take().expect("piped")).lines();
    let address = log.by_ref().map_while(Result::ok).find_map(|line| {
        let entry: serde_json::Value = serde_json::from_str(&line).ok()?;
        entry["fields"]["address"].as_str().map(str::to_owned)
    });
    // The pipe is read on, so that the process never waits for it.
    std::thread::spawn(move || log.map_while(Result::ok).for_each(drop));
    let gateway = Gateway {
        process,
        base: format!("http://{}", address.expect("it listens")),
    };
    let (client, ready) = (Client::new(), format!("{}/ready", gateway.base));
    while client.get(&ready).send().await.expect("it lives").status() != 200 {
        tokio::time::sleep(POLL).await;
    }
    gateway
}
