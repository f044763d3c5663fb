//! A destination that is away: what is said of it, and how a gateway stops meanwhile.

use std::{net::TcpListener, time::Duration};

use headroom_gateway::config::Flags;
use reqwest::Client;

use crate::{
    process,
    support::{TestApp, init},
};

/// An address at which nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    format!("http://{}", listener.local_addr().expect("an address"))
}

async fn text_of(url: String) -> String {
    let answer = Client::new().get(url).send().await.expect("an answer");
    answer.text().await.expect("text")
}

#[tokio::test]
async fn the_lag_grows_also_where_nothing_was_ever_delivered() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut program = process::program();
    program.env("HEADROOM_INFLUX_URL", nobody());
    let gateway = process::start(&mut program, dir.path()).await;
    for n in 1..=3 {
        let push = Client::new().post(format!("{}/write?db=telegraf", gateway.base));
        let answer = push.body(format!("m f={n} {n}")).send().await;
        assert_eq!(answer.expect("an answer").status(), 204);
    }
    let lag = async || {
        let text = text_of(format!("{}/metrics", gateway.base)).await;
        let value = |name: &str| {
            let name = format!("headroom_upstream_lag_{name}{{destination=\"influxdb\"}} ");
            let found = text.lines().find_map(|line| line.strip_prefix(&name));
            found.expect("the metric").parse::<u64>().expect("a number")
        };
        (value("batches"), value("seconds"))
    };
    let grown = async {
        loop {
            let (batches, seconds) = lag().await;
            assert_eq!(batches, 3);
            if seconds > 0 {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_mins(1), grown)
        .await
        .expect("it waits for longer and longer");
    let ready = text_of(format!("{}/ready", gateway.base)).await;
    assert!(
        ready.contains("3 batches wait in the journal, the oldest for"),
        "{ready}"
    );
}

#[tokio::test]
async fn a_stop_ends_also_with_more_waiting_than_is_read_ahead() {
    init();
    let flags = || Flags {
        influx_url: Some(nobody()),
        influx_version: Some(1),
        ..Flags::default()
    };
    let app = TestApp::start_with(flags()).await;
    let filler = "x".repeat(900_000);
    for n in 1..=24 {
        let line = format!("m f={n},s=\"{filler}\" {n}");
        assert_eq!(app.push("/write?db=telegraf", line).await.0, 204);
    }
    app.until("it was tried", async |app| {
        let name = "headroom_upstream_retries_total{destination=\"influxdb\"}";
        app.metric(name).await > 0
    })
    .await;
    let app = app.restart_with(flags()).await;
    let behind = "headroom_upstream_lag_batches{destination=\"influxdb\"}";
    assert_eq!(app.metric(behind).await, 24, "nothing is lost");
}
