//! `/query` of the embedded store: the form of errors, and the bounds of a query.

use std::io::Read;

use headroom_gateway::config::Flags;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::support::{TestApp, read};

#[tokio::test]
async fn text_that_is_no_influxql_is_refused_in_the_form_that_was_asked_for() {
    let app = TestApp::start().await;
    let asked = || app.client.get(app.url("/query")).query(&[("q", "SELEC")]);
    let (status, json) = read(asked()).await;
    assert_eq!(status, 400);
    assert!(
        json.starts_with("{\"error\":\"error parsing query: found SELEC"),
        "{json}"
    );
    for accept in ["application/csv", "text/csv"] {
        let answer = asked()
            .header("Accept", accept)
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status(), 400);
        assert_eq!(answer.headers()["content-type"], "text/csv");
        let text = answer.text().await.expect("text");
        let (header, message) = text.split_once('\n').expect("two lines");
        assert_eq!(header, "error");
        assert!(
            message.starts_with("\"error parsing query: found SELEC, expected"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn a_chain_of_operators_is_as_long_as_the_stack_bears() {
    let app = TestApp::start().await;
    assert_eq!(app.push("/write?db=telegraf", "m,t=1 f=1 1").await.0, 204);
    let chain = |operators: usize, part: &str, operator: &str| {
        vec![part; operators + 1].join(&format!(" {operator} "))
    };
    let ask = async |query: String| {
        let form = app
            .post("/query")
            .form(&[("db", "telegraf"), ("q", &query)]);
        read(form).await
    };
    for (select, condition) in [
        ("f".to_owned(), chain(499, "t = '1'", "OR")),
        ("f".to_owned(), chain(499, "f = 1", "AND")),
        (chain(999, "f", "+"), "t = '1'".to_owned()),
    ] {
        let (status, body) = ask(format!("SELECT {select} FROM m WHERE {condition}")).await;
        assert!(status == 200 && body.contains("\"values\""), "{body}");
    }
    for operators in [1000, 100_000] {
        let condition = chain(operators, "t", "OR");
        let (status, body) = ask(format!("SELECT f FROM m WHERE f = 1 OR {condition}")).await;
        assert!(
            status == 400 && body.contains("more than 1000 operators"),
            "{body}"
        );
    }
}

#[tokio::test]
async fn a_query_over_a_limit_is_told_the_setting() {
    let limits = [
        (
            Flags {
                query_max_buckets: Some(10),
                ..Flags::default()
            },
            "SELECT mean(f) FROM m WHERE time >= 0 AND time < 1h GROUP BY time(1s)",
            "HEADROOM_QUERY_MAX_BUCKETS",
        ),
        (
            Flags {
                query_max_values: Some(1),
                ..Flags::default()
            },
            "SELECT f FROM m",
            "HEADROOM_QUERY_MAX_VALUES",
        ),
        (
            Flags {
                query_max_rows: Some(2),
                ..Flags::default()
            },
            "SELECT f FROM m LIMIT 2; SELECT f FROM m",
            "HEADROOM_QUERY_MAX_ROWS",
        ),
    ];
    for (flags, query, setting) in limits {
        let app = TestApp::start_with(flags).await;
        let (status, _) = app
            .push("/write?db=telegraf", "m f=1 1\nm f=2 2\nm f=3 3")
            .await;
        assert_eq!(status, 204);
        let answer = app.query(query).await;
        let results = answer["results"].as_array().expect("results");
        let last = results.last().expect("a result");
        let error = last["error"].as_str().expect("an error");
        assert!(error.contains(setting), "{error}");
    }
}

#[tokio::test]
async fn a_script_in_flux_is_told_what_is_spoken() {
    let app = TestApp::start().await;
    let script = r#"from(bucket: "telegraf") |> range(start: -1h)"#;
    let request = app.post("/api/v2/query?org=headroom").body(script);
    let (status, answer) = read(request.header("Content-Type", "application/vnd.flux")).await;
    assert_eq!(status, 400);
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(answer["code"], "invalid");
    let message = answer["message"].as_str().expect("a message");
    assert!(
        message.contains("InfluxQL") && message.contains("/query?db="),
        "{message}"
    );
    app.stop().await;
}

#[tokio::test]
async fn a_query_whose_client_is_gone_gives_its_place_back() {
    let app = TestApp::start_with(Flags {
        query_max_concurrent: Some(1),
        query_timeout_s: Some(3_600),
        ..Flags::default()
    })
    .await;
    let lines: Vec<String> = (0..5_000).map(|n| format!("m f={n} {n}")).collect();
    let (status, _) = app.push("/write?db=telegraf", lines.join("\n")).await;
    assert_eq!(status, 204);
    // So many statements are under way for minutes.
    let form = format!(
        "db=telegraf&q={}",
        "SELECT+median(f)+FROM+m;".repeat(50_000)
    );
    let head = format!(
        "POST /query HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n",
        form.len()
    );
    let mut socket = TcpStream::connect(app.address).await.expect("it listens");
    socket.write_all(head.as_bytes()).await.expect("sent");
    socket.write_all(form.as_bytes()).await.expect("sent");
    let place_is_taken =
        async |app: &TestApp| app.get("/query?q=SHOW+DATABASES").await.status() == 503;
    app.until("the only place is taken", place_is_taken).await;
    drop(socket);
    app.until("the place is free", async |app| !place_is_taken(app).await)
        .await;
    app.stop().await;
}

/// A gateway with 500 points of `m`.
async fn five_hundred_points() -> TestApp {
    let app = TestApp::start().await;
    let lines: Vec<String> = (0..500).map(|n| format!("m f={n} {n}")).collect();
    let (status, _) = app.push("/write?db=telegraf", lines.join("\n")).await;
    assert_eq!(status, 204);
    app
}

/// Asks with an encoding and further parameters: whether the answer came compressed, and its body as it came.
async fn ask(app: &TestApp, encoding: &str, more: &[(&str, &str)]) -> (bool, Vec<u8>) {
    let client = reqwest::Client::builder()
        .no_gzip()
        .build()
        .expect("a client");
    let request = client
        .get(app.url("/query"))
        .query(&[("db", "telegraf"), ("epoch", "ns")])
        .query(more)
        .header("Accept-Encoding", encoding);
    let answer = request.send().await.expect("an answer");
    let zipped = answer.headers().contains_key("content-encoding");
    (zipped, answer.bytes().await.expect("a whole body").to_vec())
}

fn unpacked(packed: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    flate2::read::MultiGzDecoder::new(packed)
        .read_to_end(&mut bytes)
        .expect("gzip");
    bytes
}

#[tokio::test]
async fn large_answers_are_compressed_for_who_takes_gzip() {
    let app = five_hundred_points().await;
    let all = [("q", "SELECT f FROM m")];
    let (zipped, plain) = ask(&app, "identity, gzip;q=0", &all).await;
    assert!(!zipped);
    let (zipped, packed) = ask(&app, "deflate, gzip;q=0.5", &all).await;
    assert!(zipped && packed.len() < plain.len());
    assert_eq!(unpacked(&packed), plain);
    let (zipped, _) = ask(&app, "gzip", &[("q", "SHOW DATABASES")]).await;
    assert!(!zipped, "too small to pay");
}

#[tokio::test]
async fn answers_in_chunks_come_over_http_plain_and_compressed() {
    let app = five_hundred_points().await;
    let in_chunks = [
        ("chunked", "true"),
        ("chunk_size", "200"),
        ("q", "SELECT f FROM m"),
    ];
    let (zipped, plain) = ask(&app, "identity", &in_chunks).await;
    assert!(!zipped);
    let documents = String::from_utf8_lossy(&plain);
    let rows: Vec<usize> = documents
        .lines()
        .map(|document| document.matches("],[").count() + 1)
        .collect();
    assert_eq!(rows, [200, 200, 100]);
    let (zipped, packed) = ask(&app, "gzip", &in_chunks).await;
    assert!(zipped);
    assert_eq!(unpacked(&packed), plain);
}
