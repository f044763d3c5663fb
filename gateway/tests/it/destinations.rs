//! Several destinations, and several requests in flight to one.

use std::{
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex},
    time::Duration,
};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    web::{self, Bytes, Data, PayloadConfig},
};
use flate2::read::MultiGzDecoder;
use headroom_gateway::config::{ByteSize, Flags};
use tokio::sync::Semaphore;

use crate::support::{TestApp, gzip, init, read};

/// An InfluxDB 1 that answers a write only when it is allowed to.
#[derive(Clone)]
struct Upstream {
    address: SocketAddr,
    /// Writes that may be answered.
    allowed: Arc<Semaphore>,
    /// The text of every write that came, in the order of their coming.
    came: Arc<Mutex<Vec<String>>>,
    /// The text of every write that was answered.
    answered: Arc<Mutex<Vec<String>>>,
    /// What they are answered, where it is not 204.
    status: Arc<Mutex<u16>>,
}

impl Upstream {
    /// Must be called within a runtime.
    fn start(allowed: usize) -> Self {
        init();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let upstream = Self {
            address: listener.local_addr().expect("an address"),
            allowed: Arc::new(Semaphore::new(allowed)),
            came: Arc::default(),
            answered: Arc::default(),
            status: Arc::new(Mutex::new(204)),
        };
        let data = Data::new(upstream.clone());
        let server = HttpServer::new(move || {
            App::new()
                .app_data(data.clone())
                .app_data(PayloadConfig::new(64 << 20))
                .route("/write", web::post().to(write))
                .default_service(web::to(|| async {
                    HttpResponse::Ok()
                        .insert_header(("X-Influxdb-Version", "1.8.10"))
                        .body("{\"results\":[{\"statement_id\":0}]}")
                }))
        });
        let server = server
            .workers(1)
            .listen(listener)
            .expect("listens")
            .disable_signals()
            .run();
        tokio::spawn(server);
        upstream
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn came(&self) -> Vec<String> {
        self.came.lock().expect("lock").clone()
    }

    /// Every line that was answered 204, in the order of the answers.
    fn lines(&self) -> Vec<String> {
        let answered = self.answered.lock().expect("lock");
        let lines = answered.iter().flat_map(|text| text.lines());
        lines
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect()
    }

    fn answers(&self, status: u16) {
        *self.status.lock().expect("lock") = status;
    }
}

async fn write(upstream: Data<Upstream>, request: HttpRequest, body: Bytes) -> HttpResponse {
    let text = match request.headers().get("content-encoding") {
        Some(_) => std::io::read_to_string(MultiGzDecoder::new(&body[..])).expect("gzip of UTF-8"),
        None => String::from_utf8(body.to_vec()).expect("UTF-8"),
    };
    upstream.came.lock().expect("lock").push(text.clone());
    upstream.allowed.acquire().await.expect("open").forget();
    let status = *upstream.status.lock().expect("lock");
    match status {
        204 => {
            upstream.answered.lock().expect("lock").push(text);
            HttpResponse::NoContent().finish()
        }
        429 => HttpResponse::TooManyRequests()
            .insert_header(("Retry-After", "600"))
            .finish(),
        _ => HttpResponse::Ok().body("<html>welcome</html>"),
    }
}

fn before(upstream: &Upstream) -> Flags {
    Flags {
        influx_url: Some(upstream.url()),
        ..Flags::default()
    }
}

/// Settings from a file, with the destinations in it.
fn with_file(text: &str, flags: Flags) -> (tempfile::TempDir, Flags) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("gateway.toml");
    std::fs::write(&path, text).expect("writable");
    let flags = Flags {
        config: Some(path),
        ..flags
    };
    (dir, flags)
}

async fn push(app: &TestApp, line: &str) {
    assert_eq!(app.push("/write?db=telegraf", line).await.0, 204, "{line}");
}

/// The message of a check in `/ready`.
async fn ready(app: &TestApp, check: &str) -> String {
    let answer: serde_json::Value = app.get("/ready").await.json().await.expect("JSON");
    let checks = answer["checks"].as_array().expect("checks");
    let found = checks.iter().find(|found| found["name"] == check);
    let message = &found.unwrap_or_else(|| panic!("no {check} in {answer}"))["message"];
    message.as_str().expect("text").to_owned()
}

#[tokio::test]
async fn hosts_are_on_their_way_together_and_each_series_in_order() {
    let upstream = Upstream::start(0);
    let app = TestApp::start_with(before(&upstream)).await;
    for round in 1..=3 {
        for host in ["a", "b", "c"] {
            push(&app, &format!("cpu,host={host} v={round} 7")).await;
        }
    }
    // None of them is answered, and still all three hosts' first batches are on their way.
    app.until("three requests are in flight", async |_| {
        upstream.came().len() == 3
    })
    .await;
    assert_eq!(
        app.metric("headroom_upstream_requests_in_flight{destination=\"influxdb\"}")
            .await,
        3
    );
    for text in upstream.came() {
        assert!(
            text.contains("v=1 7"),
            "the first one of its series: {text}"
        );
    }
    upstream.allowed.add_permits(100);
    app.until("all arrived", async |_| upstream.lines().len() == 9)
        .await;
    for host in ["a", "b", "c"] {
        let wanted = format!("cpu,host={host} ");
        let lines = upstream.lines();
        let values: Vec<_> = lines
            .iter()
            .filter_map(|line| line.strip_prefix(&wanted))
            .collect();
        assert_eq!(values, ["v=1 7", "v=2 7", "v=3 7"], "{host}");
    }
    app.until_metric("headroom_upstream_lag_batches{destination=\"influxdb\"}", 0)
        .await;
}

#[tokio::test]
async fn a_batch_of_both_series_waits_for_both() {
    let upstream = Upstream::start(0);
    let app = TestApp::start_with(before(&upstream)).await;
    for line in [
        "m,t=a f=1 1",
        "m,t=b f=1 1",
        "m,t=b f=2 1\nm,t=a f=2 1",
        "m,t=a f=3 1",
    ] {
        push(&app, line).await;
    }
    app.until("two requests are in flight", async |_| {
        upstream.came().len() == 2
    })
    .await;
    upstream.allowed.add_permits(2);
    app.until("the third came", async |_| upstream.came().len() >= 3)
        .await;
    assert_eq!(
        upstream.lines().len(),
        2,
        "when both before it were answered"
    );
    upstream.allowed.add_permits(100);
    app.until("all arrived", async |_| upstream.lines().len() == 5)
        .await;
    let lines = upstream.lines();
    assert_eq!(lines[2..], ["m,t=b f=2 1", "m,t=a f=2 1", "m,t=a f=3 1"]);
}

#[tokio::test]
async fn a_destination_that_hangs_holds_up_neither_clients_nor_the_other_one() {
    let (old, new) = (Upstream::start(0), Upstream::start(100));
    let table = format!(
        "[[destination]]\nname = \"new\"\nurl = \"{}\"\nbucket = \"moved\"",
        new.url()
    );
    let (_dir, flags) = with_file(&table, before(&old));
    let app = TestApp::start_with(flags.clone()).await;
    for n in 1..=5 {
        push(&app, &format!("m f={n} {n}")).await;
    }
    app.until("the new one has all", async |_| new.lines().len() == 5)
        .await;
    assert!(old.lines().is_empty());
    assert!(ready(&app, "influxdb").await.contains("5 are on their way"));
    app.until_metric("headroom_upstream_lag_batches{destination=\"new\"}", 0)
        .await;
    // Each has a place of its own, also through a restart.
    let app = app.restart_with(flags).await;
    push(&app, "m f=6 6").await;
    old.allowed.add_permits(100);
    let expected: Vec<_> = (1..=6).map(|n| format!("m f={n} {n}")).collect();
    // What hung before the restart may come twice, the newest line only behind all others.
    app.until("the old one has the last", async |_| {
        old.lines().last() == expected.last()
    })
    .await;
    app.until("the new one has the last", async |_| new.lines().len() >= 6)
        .await;
    assert_eq!(new.lines(), expected, "nothing was sent twice");
    let lines = old.lines();
    assert!(expected.iter().all(|line| lines.contains(line)));
}

#[tokio::test]
async fn the_embedded_store_can_be_mirrored_and_starts_with_what_the_journal_holds() {
    let app = TestApp::start().await;
    push(&app, "m f=1 1").await;
    let upstream = Upstream::start(100);
    let table = format!(
        "[[destination]]\nname = \"mirror\"\nurl = \"{}\"",
        upstream.url()
    );
    let (_dir, flags) = with_file(&table, Flags::default());
    let app = app.restart_with(flags).await;
    let (status, _) = app.push("/write?db=telegraf", "m f=2 2\nbad\nm f=3").await;
    assert_eq!(status, 400);
    let body = gzip("m f=4 4\n");
    let request = app
        .post("/write?db=telegraf")
        .header("content-encoding", "gzip");
    assert_eq!(read(request.body(body)).await.0, 204);
    app.until("the mirror has all", async |_| {
        upstream
            .lines()
            .last()
            .is_some_and(|line| line == "m f=4 4")
    })
    .await;
    let lines = upstream.lines();
    assert!(
        lines.contains(&"m f=2 2".to_owned()) && !lines.contains(&"bad".to_owned()),
        "{lines:?}"
    );
    let answer = app.query("SELECT count(f) FROM m").await;
    let count = &answer["results"][0]["series"][0]["values"][0][1];
    assert_eq!(count, 4, "the store answers queries: {answer}");
    assert!(ready(&app, "mirror").await.contains("takes batches"));
}

#[tokio::test]
async fn an_optional_destination_that_stays_away_fills_nobodys_journal() {
    let (kept, away) = (Upstream::start(1_000_000), Upstream::start(0));
    let table = format!(
        "[[destination]]\nname = \"away\"\nurl = \"{}\"\noptional = true",
        away.url()
    );
    let small = Flags {
        journal_max_bytes: Some(ByteSize(2 << 20)),
        ..before(&kept)
    };
    let (_dir, flags) = with_file(&table, small);
    let app = TestApp::start_with(flags).await;
    let text = "x".repeat(400_000);
    // More than is read ahead.
    for n in 1..=60 {
        push(&app, &format!("m f={n},s=\"{text}\" {n}")).await;
        // A journal that is full for a moment because of the one that is kept would be another test.
        app.until_metric("headroom_upstream_lag_batches{destination=\"influxdb\"}", 0)
            .await;
    }
    assert!(app.metric("headroom_journal_pending_bytes").await <= 2 << 20);
    away.allowed.add_permits(1_000_000);
    app.until("the last one arrived", async |_| {
        away.lines()
            .last()
            .is_some_and(|line| line.ends_with(" 60"))
    })
    .await;
    let lost = 60 - away.lines().len() as u64;
    assert!(lost > 0, "the journal held all of it");
    assert_eq!(
        app.metric("headroom_upstream_batches_passed_over_total{destination=\"away\"}")
            .await,
        lost,
        "what it lost is counted"
    );
}

#[tokio::test]
async fn a_journal_that_was_lost_gives_no_batch_a_sequence_that_an_optional_destination_has() {
    let mirror = Upstream::start(100);
    let table = format!(
        "[[destination]]\nname = \"mirror\"\nurl = \"{}\"\noptional = true",
        mirror.url()
    );
    let away = Flags {
        influx_url: Some("http://127.0.0.1:9".to_owned()),
        influx_version: Some(1),
        ..Flags::default()
    };
    let (_dir, flags) = with_file(&table, away);
    let app = TestApp::start_with(flags.clone()).await;
    push(&app, "m f=1 1").await;
    app.until_metric("headroom_upstream_lag_batches{destination=\"mirror\"}", 0)
        .await;
    let app = app
        .restart_changed(flags, |data_dir| {
            std::fs::remove_dir_all(data_dir.join("journal")).expect("it is there");
        })
        .await;
    push(&app, "m f=2 2").await;
    app.until("the next one arrives", async |_| {
        mirror.lines() == ["m f=1 1", "m f=2 2"]
    })
    .await;
}

#[tokio::test]
async fn a_stop_waits_for_the_answer_to_what_is_on_its_way() {
    let upstream = Upstream::start(0);
    let app = TestApp::start_with(before(&upstream)).await;
    push(&app, "m v=1 1").await;
    app.until("it is on its way", async |_| upstream.came().len() == 1)
        .await;
    app.begin_stop();
    upstream.allowed.add_permits(2);
    let app = app.restart_with(before(&upstream)).await;
    push(&app, "m v=2 1").await;
    app.until("the next one arrives", async |_| {
        upstream.lines().contains(&"m v=2 1".to_owned())
    })
    .await;
    assert_eq!(
        upstream.came(),
        ["m v=1 1", "m v=2 1"],
        "neither is repeated"
    );
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_server_that_hangs() {
    let upstream = Upstream::start(0);
    let mut flags = before(&upstream);
    flags.service.drain_timeout_s = Some(1);
    let app = TestApp::start_with(flags).await;
    push(&app, "m v=1 1").await;
    app.until("it is on its way", async |_| upstream.came().len() == 1)
        .await;
    let app = app.restart_with(before(&upstream)).await;
    app.until("it is sent again", async |_| upstream.came().len() == 2)
        .await;
    assert_eq!(upstream.came(), ["m v=1 1", "m v=1 1"]);
}

#[tokio::test]
async fn an_answer_that_is_not_an_influxdbs_delivers_nothing() {
    let upstream = Upstream::start(100);
    upstream.answers(200);
    let app = TestApp::start_with(before(&upstream)).await;
    push(&app, "m f=1 1").await;
    app.until("the trouble shows", async |app| {
        ready(app, "influxdb")
            .await
            .contains("200 OK, where an InfluxDB that has the lines answers 204")
    })
    .await;
    assert_eq!(
        app.metric("headroom_upstream_lines_total{destination=\"influxdb\"}")
            .await,
        0
    );
    upstream.answers(204);
    app.until("it arrived", async |_| upstream.lines() == ["m f=1 1"])
        .await;
}

#[tokio::test]
async fn retry_after_holds_for_all_requests_to_a_server() {
    let upstream = Upstream::start(2);
    upstream.answers(429);
    let app = TestApp::start_with(before(&upstream)).await;
    push(&app, "m,t=a f=1 1").await;
    app.until("it was answered to come later", async |app| {
        ready(app, "influxdb").await.contains("429")
    })
    .await;
    push(&app, "m,t=b f=1 1").await;
    // Longer than the first pause without the header, and not a matter of how fast the machine is: nothing must come.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(upstream.came().len(), 1, "neither again nor the other one");
}

#[tokio::test]
async fn what_cannot_go_as_it_came_goes_as_the_setting_says() {
    let upstream = Upstream::start(100);
    let flags = Flags {
        influx_encoding: Some(headroom_gateway::config::OwnEncoding::Gzip),
        ..before(&upstream)
    };
    let app = TestApp::start_with(flags).await;
    assert_eq!(
        app.push("/write?db=telegraf", "m f=1 1\nbad\nm f=2 2")
            .await
            .0,
        400
    );
    app.until("they arrived", async |_| {
        upstream.lines() == ["m f=1 1", "m f=2 2"]
    })
    .await;
}
