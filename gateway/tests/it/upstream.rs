//! An InfluxDB that misbehaves; a real one is in the end-to-end run.

use std::{
    io::Read,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use flate2::read::MultiGzDecoder;
use headroom_gateway::config::Flags;
use wiremock::{
    Mock, MockServer, Request, Respond, ResponseTemplate,
    matchers::{body_string_contains, header, method, path, query_param},
};

use crate::support::{NOW_NS, TestApp, gzip, init, read};

/// Takes writes, remembers them, and refuses lines that hold a word.
#[derive(Clone, Default)]
struct Server {
    lines: Arc<Mutex<Vec<String>>>,
    requests: Arc<AtomicUsize>,
    /// Answered before anything is taken, the first one last.
    excuses: Arc<Mutex<Vec<ResponseTemplate>>>,
    /// A line with the word is answered this.
    poison: Option<(&'static str, u16, &'static str)>,
}

impl Respond for Server {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        self.requests.fetch_add(1, Ordering::SeqCst);
        if let Some(excuse) = self.excuses.lock().expect("lock").pop() {
            return excuse;
        }
        let mut text = String::new();
        if request.headers.contains_key("content-encoding") {
            let mut members = MultiGzDecoder::new(&request.body[..]);
            members.read_to_string(&mut text).expect("gzip of UTF-8");
        } else {
            text.push_str(std::str::from_utf8(&request.body).expect("UTF-8"));
        }
        if let Some((word, status, message)) = self.poison
            && text.contains(word)
        {
            let body = serde_json::json!({ "code": "invalid", "message": message });
            return ResponseTemplate::new(status).set_body_json(body);
        }
        self.lines.lock().expect("lock").extend(
            text.lines()
                .filter(|line| !line.is_empty())
                .map(str::to_owned),
        );
        ResponseTemplate::new(204)
    }
}

impl Server {
    fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("lock").clone()
    }

    async fn mount(&self, mock: &MockServer) {
        Mock::given(method("GET"))
            .and(path("/ping"))
            .respond_with(ResponseTemplate::new(204).insert_header("X-Influxdb-Version", "v2.7.12"))
            .mount(mock)
            .await;
        let health = serde_json::json!({ "name": "influxdb", "status": "pass" });
        Mock::given(path("/health"))
            .respond_with(ResponseTemplate::new(200).set_body_json(health))
            .mount(mock)
            .await;
        let buckets =
            serde_json::json!({ "buckets": [{ "name": "telegraf", "retentionRules": [] }] });
        Mock::given(method("GET"))
            .and(path("/api/v2/buckets"))
            .respond_with(ResponseTemplate::new(200).set_body_json(buckets))
            .mount(mock)
            .await;
        Mock::given(method("POST"))
            .and(path("/api/v2/write"))
            .respond_with(self.clone())
            .mount(mock)
            .await;
    }
}

fn flags(mock: &MockServer) -> Flags {
    Flags {
        influx_url: Some(mock.uri()),
        influx_token: Some("the-upstream-token".into()),
        influx_org: Some("headroom".to_owned()),
        ..Flags::default()
    }
}

async fn started(server: &Server) -> (TestApp, MockServer) {
    init();
    let mock = MockServer::start().await;
    server.mount(&mock).await;
    (TestApp::start_with(flags(&mock)).await, mock)
}

#[tokio::test]
async fn batches_are_delivered_in_order_as_the_client_wrote_them() {
    let server = Server::default();
    let (app, mock) = started(&server).await;
    let first = gzip("m,t=a  f=.5 1\n# a \"comment\nbad\nm f=2");
    let push = app
        .post("/api/v2/write?bucket=telegraf&precision=s")
        .header("content-encoding", "gzip")
        .body(first);
    assert_eq!(read(push).await.0, 400, "one line is bad");
    assert_eq!(
        app.push("/write?db=telegraf&rp=week&precision=m", "n f=3 2")
            .await
            .0,
        204
    );
    app.until("both batches arrived", async |_| server.lines().len() == 3)
        .await;
    let now_s = NOW_NS / 1_000_000_000;
    assert_eq!(
        server.lines(),
        [
            "m,t=a  f=.5 1".to_owned(),
            format!("m f=2 {now_s}"),
            "n f=3 120".to_owned()
        ]
    );
    let requests = mock.received_requests().await.expect("recorded");
    let writes: Vec<_> = requests
        .iter()
        .filter(|request| request.url.path() == "/api/v2/write")
        .collect();
    assert_eq!(
        writes[0].url.query(),
        Some("bucket=telegraf&precision=s&org=headroom")
    );
    assert_eq!(
        writes[1].url.query(),
        Some("bucket=telegraf%2Fweek&precision=s&org=headroom")
    );
    assert_eq!(
        writes[0].headers["authorization"],
        "Token the-upstream-token"
    );
}

#[tokio::test]
async fn an_outage_loses_nothing_and_repeats_nothing_after_a_restart() {
    let server = Server::default();
    let later = || ResponseTemplate::new(503).insert_header("Retry-After", "0");
    server
        .excuses
        .lock()
        .expect("lock")
        .extend([later(), later(), ResponseTemplate::new(500)]);
    let (app, mock) = started(&server).await;
    for n in 1..=3 {
        assert_eq!(
            app.push("/write?db=telegraf", format!("m f={n} {n}"))
                .await
                .0,
            204
        );
    }
    app.until("all batches arrived", async |_| server.lines().len() == 3)
        .await;
    assert_eq!(server.lines(), ["m f=1 1", "m f=2 2", "m f=3 3"]);
    let app = app.restart_with(flags(&mock)).await;
    assert_eq!(app.push("/write?db=telegraf", "m f=4 4").await.0, 204);
    app.until("the next batch arrived", async |_| server.lines().len() > 3)
        .await;
    assert_eq!(server.lines().last().map(String::as_str), Some("m f=4 4"));
    assert_eq!(server.lines().len(), 4, "nothing was sent twice");
    assert_eq!(
        app.metric("headroom_upstream_up{destination=\"influxdb\"}")
            .await,
        1
    );
}

#[tokio::test]
async fn good_bodies_are_sent_as_they_came_and_those_that_wait_travel_together() {
    let server = Server::default();
    let (app, mock) = started(&server).await;
    let push = async |body: Vec<u8>, encoding: &str| {
        let request = app
            .post("/api/v2/write?bucket=telegraf&precision=s")
            .header("content-encoding", encoding)
            .body(body);
        assert_eq!(read(request).await.0, 204);
    };
    let body = gzip("m,t=a  f=.5,s=\"x\ny\" 1\n# kept\n\nm f=2 2");
    push(body.clone(), "gzip").await;
    app.until("the first batch arrived", async |_| {
        !server.lines().is_empty()
    })
    .await;
    server
        .excuses
        .lock()
        .expect("lock")
        .push(ResponseTemplate::new(503).set_delay(std::time::Duration::from_millis(500)));
    for n in 3..6 {
        push(gzip(format!("m f={n} {n}")), "gzip").await;
    }
    for n in 6..9 {
        push(format!("m f={n} {n}").into_bytes(), "identity").await;
    }
    app.until("all arrived", async |_| {
        server.lines().last().is_some_and(|line| line == "m f=8 8")
    })
    .await;
    let sent: Vec<_> = server
        .lines()
        .into_iter()
        .filter(|line| line.starts_with("m f="))
        .collect();
    let expected: Vec<_> = (2..9).map(|n| format!("m f={n} {n}")).collect();
    assert_eq!(sent, expected, "each once, in the journal's order");
    let requests = mock.received_requests().await.expect("recorded");
    let writes: Vec<_> = requests
        .iter()
        .filter(|request| request.url.path() == "/api/v2/write")
        .collect();
    assert_eq!(writes[0].body, body, "byte for byte");
    assert!(
        writes.len() <= 6,
        "{} requests for seven batches, one of them repeated",
        writes.len()
    );
    app.until_metric("headroom_upstream_lines_total{destination=\"influxdb\"}", 8)
        .await;
}

#[tokio::test]
async fn what_influxdb_reads_otherwise_is_not_sent_as_it_came() {
    let server = Server::default();
    let (app, _mock) = started(&server).await;
    for body in [
        "# it's \"odd\nm f=1 1\n",
        "m f=2 2\r\nm f=3 3\r\n",
        "# C:\\\nm f=4 4\n",
        "m f=5 5",
    ] {
        assert_eq!(app.push("/write?db=telegraf", body).await.0, 204);
    }
    app.until("all arrived", async |_| {
        server.lines().last().is_some_and(|line| line == "m f=5 5")
    })
    .await;
    let lines: Vec<_> = (1..=5).map(|n| format!("m f={n} {n}")).collect();
    assert_eq!(server.lines(), lines);
}

#[tokio::test]
async fn influxdb_3_is_spoken_to_in_its_own_dialect() {
    init();
    let mock = MockServer::start().await;
    Mock::given(path("/ping"))
        .and(header("authorization", "Token the-upstream-token"))
        .respond_with(ResponseTemplate::new(200).insert_header("x-influxdb-version", "3.10.0"))
        .mount(&mock)
        .await;
    let server = Server {
        poison: Some(("poison", 400, "partial write of line protocol occurred")),
        ..Server::default()
    };
    Mock::given(path("/api/v3/write_lp"))
        .respond_with(server.clone())
        .mount(&mock)
        .await;
    let app = TestApp::start_with(flags(&mock)).await;
    let push = app
        .post("/write?db=telegraf&precision=u")
        .header("content-encoding", "gzip")
        .body(gzip("m f=1 1\npoison f=1 1\nm f=2 2\n"));
    assert_eq!(read(push).await.0, 204);
    assert_eq!(
        app.push("/write?db=other&rp=week&precision=h", "n f=1 1")
            .await
            .0,
        204
    );
    app.until("all arrived", async |_| server.lines().len() == 3)
        .await;
    let mut lines = server.lines();
    lines.sort();
    assert_eq!(lines, ["m f=1 1", "m f=2 2", "n f=1 3600"]);
    let requests = mock.received_requests().await.expect("recorded");
    let queries: Vec<_> = requests
        .iter()
        .filter(|request| request.url.path() == "/api/v3/write_lp")
        .filter_map(|request| request.url.query())
        .collect();
    for wanted in ["db=telegraf&precision=us", "db=other%2Fweek&precision=s"] {
        assert!(queries.contains(&wanted), "{queries:?}");
    }
    app.until_metric(
        "headroom_upstream_lines_rejected_total{destination=\"influxdb\"}",
        1,
    )
    .await;
}

#[tokio::test]
async fn refused_lines_are_left_alone_and_the_others_arrive() {
    for (status, message) in [
        (
            422,
            "failure writing points to database: partial write: field type conflict",
        ),
        (400, "unable to parse 'x': invalid number"),
        (413, "too large"),
    ] {
        let server = Server {
            poison: Some(("poison", status, message)),
            ..Server::default()
        };
        let (app, _mock) = started(&server).await;
        let lines: Vec<_> = (1..=20)
            .map(|n| format!("{} f={n} {n}", if n % 9 == 0 { "poison" } else { "m" }))
            .collect();
        assert_eq!(
            app.push("/write?db=telegraf", lines.join("\n")).await.0,
            204
        );
        assert_eq!(app.push("/write?db=telegraf", "m f=21 21").await.0, 204);
        app.until("the batch behind arrived", async |_| {
            server.lines().iter().any(|line| line == "m f=21 21")
        })
        .await;
        assert_eq!(server.lines().len(), 19, "{status}");
        assert_eq!(
            app.metric("headroom_upstream_lines_rejected_total{destination=\"influxdb\"}")
                .await,
            2
        );
        app.until_metric(
            "headroom_upstream_lines_total{destination=\"influxdb\"}",
            19,
        )
        .await;
    }
}

#[tokio::test]
async fn a_wrong_setting_upstream_drops_nothing_and_shows_in_ready() {
    let server = Server::default();
    let (app, _mock) = started(&server).await;
    let excuse = |status: u16| {
        ResponseTemplate::new(status)
            .set_body_string("{\"code\":\"x\",\"message\":\"something else\"}")
    };
    server.excuses.lock().expect("lock").extend([
        excuse(401),
        excuse(400),
        excuse(401),
        excuse(400),
        excuse(401),
    ]);
    assert_eq!(app.push("/write?db=telegraf", "m f=1 1").await.0, 204);
    app.until("the trouble shows", async |app| {
        let ready = app.get("/ready").await;
        assert_eq!(ready.status(), 200, "pushes are still taken");
        let text = ready.text().await.expect("text");
        text.contains("HEADROOM_INFLUX_TOKEN") && text.contains("1 batches wait")
    })
    .await;
    app.until("the batch arrived", async |_| server.lines().len() == 1)
        .await;
}

#[tokio::test]
async fn a_missing_bucket_is_made() {
    init();
    let mock = MockServer::start().await;
    let made = Arc::new(AtomicUsize::new(0));
    let server = Server::default();
    server
        .excuses
        .lock()
        .expect("lock")
        .push(ResponseTemplate::new(404).set_body_json(
            serde_json::json!({ "code": "not found", "message": "bucket \"other\" not found" }),
        ));
    Mock::given(method("GET"))
        .and(path("/api/v2/buckets"))
        .and(query_param("name", "other"))
        .respond_with(
            ResponseTemplate::new(200).set_body_json(serde_json::json!({ "buckets": [] })),
        )
        .mount(&mock)
        .await;
    let orgs = serde_json::json!({ "orgs": [{ "id": "0000000000000001", "name": "headroom" }] });
    Mock::given(path("/api/v2/orgs"))
        .respond_with(ResponseTemplate::new(200).set_body_json(orgs))
        .mount(&mock)
        .await;
    let counter = Arc::clone(&made);
    Mock::given(method("POST"))
        .and(path("/api/v2/buckets"))
        .and(body_string_contains("\"name\":\"other\""))
        .respond_with(move |_: &Request| {
            counter.fetch_add(1, Ordering::SeqCst);
            ResponseTemplate::new(201)
                .set_body_json(serde_json::json!({ "name": "other", "retentionRules": [] }))
        })
        .mount(&mock)
        .await;
    server.mount(&mock).await;
    let app = TestApp::start_with(flags(&mock)).await;
    assert_eq!(
        app.push("/api/v2/write?bucket=other", "m f=1 1").await.0,
        204
    );
    app.until("the batch arrived", async |_| server.lines().len() == 1)
        .await;
    assert_eq!(made.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn queries_are_passed_through_with_the_servers_own_token() {
    let server = Server::default();
    let (app, mock) = started(&server).await;
    let answer = serde_json::json!({ "results": [{ "statement_id": 0, "series": [] }] });
    Mock::given(path("/query"))
        .and(query_param("q", "SHOW MEASUREMENTS"))
        .respond_with(
            ResponseTemplate::new(200)
                .insert_header("X-Influxdb-Version", "v2.7.12")
                .set_body_json(&answer),
        )
        .mount(&mock)
        .await;
    Mock::given(path("/query"))
        .and(body_string_contains("q=SELECT"))
        .respond_with(ResponseTemplate::new(400).set_body_string("{\"error\":\"no such thing\"}"))
        .mount(&mock)
        .await;
    assert_eq!(app.query("SHOW MEASUREMENTS").await, answer);
    let form = app.post("/query").form(&[
        ("db", "telegraf"),
        ("q", "SELECT nothing"),
        ("p", "a-clients-password"),
    ]);
    assert_eq!(
        read(form).await,
        (400, "{\"error\":\"no such thing\"}".to_owned())
    );
    let created = app
        .post("/query")
        .form(&[("q", "CREATE DATABASE \"telegraf\"")]);
    assert_eq!(
        read(created).await,
        (200, "{\"results\":[{\"statement_id\":0}]}".to_owned())
    );
    let queries: Vec<_> = mock
        .received_requests()
        .await
        .expect("recorded")
        .into_iter()
        .filter(|request| request.url.path() == "/query")
        .filter(|request| {
            request
                .url
                .query()
                .is_none_or(|asked| !asked.contains("FIELD"))
        })
        .collect();
    assert_eq!(queries.len(), 2);
    for query in queries {
        assert_eq!(query.headers["authorization"], "Token the-upstream-token");
        assert!(!String::from_utf8_lossy(&query.body).contains("a-clients-password"));
    }
}

#[tokio::test]
async fn a_query_while_influxdb_is_away_says_so() {
    let app = TestApp::start_with(Flags {
        influx_url: Some("http://127.0.0.1:9".to_owned()),
        influx_version: Some(2),
        ..Flags::default()
    })
    .await;
    let (status, body) = read(
        app.client
            .get(app.url("/query?db=telegraf&q=SHOW+MEASUREMENTS")),
    )
    .await;
    assert!(
        status == 502 && body.contains("InfluxDB cannot be reached"),
        "{body}"
    );
}
