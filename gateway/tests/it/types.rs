//! Types of fields before an InfluxDB: learned, kept, asked of the server.

use headroom_gateway::config::{Flags, GuardFlags};
use serde_json::{Value, json};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{method, path, query_param},
};

use crate::support::{TestApp, gzip, init, read};

/// An InfluxDB 1 that takes everything and answers SHOW FIELD KEYS.
async fn server(fields: ResponseTemplate) -> MockServer {
    init();
    let mock = MockServer::start().await;
    Mock::given(path("/query"))
        .and(query_param("q", "SHOW FIELD KEYS"))
        .respond_with(fields)
        .mount(&mock)
        .await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(204))
        .mount(&mock)
        .await;
    mock
}

fn fields(values: &Value) -> ResponseTemplate {
    let series = json!([{ "name": "cpu", "columns": ["fieldKey", "fieldType"], "values": values }]);
    let results = json!({ "results": [{ "statement_id": 0, "series": series }] });
    ResponseTemplate::new(200).set_body_json(results)
}

fn flags(mock: &MockServer) -> Flags {
    Flags {
        influx_url: Some(mock.uri()),
        influx_version: Some(1),
        ..Flags::default()
    }
}

/// The lines that the server was sent.
async fn sent(mock: &MockServer) -> Vec<String> {
    let requests = mock.received_requests().await.expect("recorded");
    let writes = requests
        .iter()
        .filter(|request| request.url.path() == "/write");
    writes
        .flat_map(|request| {
            let text = if request.headers.contains_key("content-encoding") {
                headroom_gateway::body::decode(&request.body, 1 << 20).expect("gzip")
            } else {
                request.body.clone()
            };
            let text = String::from_utf8(text).expect("UTF-8");
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        })
        .filter(|line| !line.is_empty())
        .collect()
}

#[tokio::test]
async fn the_servers_types_are_known_from_the_start() {
    let mock = server(fields(&json!([
        ["idle", "float"],
        ["n", "integer"],
        ["n", "float"]
    ])))
    .await;
    let app = TestApp::start_with(flags(&mock)).await;
    app.until_metric("headroom_guard_fields", 2).await;
    let (status, body) = app
        .push(
            "/write?db=telegraf",
            "cpu idle=1i 1\ncpu idle=1 2\ncpu n=1 3\ncpu n=1i 4\ncpu n=t 5",
        )
        .await;
    assert_eq!(status, 400, "{body}");
    for part in [
        "line 1: column 10: input field \\\"idle\\\" on measurement \\\"cpu\\\" is type integer, already exists as type float",
        "line 5:",
        "already exists as type float or integer",
        "3 lines accepted",
    ] {
        assert!(body.contains(part), "{part} in {body}");
    }
    app.until("the others arrived", async |_| {
        !sent(&mock).await.is_empty()
    })
    .await;
    assert_eq!(
        sent(&mock).await,
        ["cpu idle=1 2", "cpu n=1 3", "cpu n=1i 4"]
    );
    assert_eq!(
        app.metric("headroom_lines_rejected_total{reason=\"field_type\"}")
            .await,
        2
    );
}

#[tokio::test]
async fn learned_types_are_kept_while_the_server_is_away() {
    let mock = server(ResponseTemplate::new(503)).await;
    let app = TestApp::start_with(flags(&mock)).await;
    let path = "/api/v2/write?bucket=telegraf";
    assert_eq!(app.push(path, "m f=1,g=\"x\" 1").await.0, 204);
    let app = app.restart_with(flags(&mock)).await;
    let (status, body) = app.push(path, "m f=1i 2\nm g=\"y\" 2\nm g=2 3").await;
    assert_eq!(status, 400, "{body}");
    for part in [
        "type integer, already exists as type float",
        "type float, already exists as type string",
        "1 lines accepted",
    ] {
        assert!(body.contains(part), "{part} in {body}");
    }
    let off = Flags {
        guard: GuardFlags {
            type_guard: Some(false),
            ..GuardFlags::default()
        },
        ..flags(&mock)
    };
    let app = app.restart_with(off).await;
    assert_eq!(
        app.push(path, "m f=1i 4").await.0,
        204,
        "the server decides"
    );
}

#[tokio::test]
async fn what_the_server_does_not_list_is_forgotten_at_the_next_start() {
    let mock = server(fields(&json!([["idle", "float"]]))).await;
    let app = TestApp::start_with(flags(&mock)).await;
    app.until_metric("headroom_guard_fields", 1).await;
    assert_eq!(app.push("/write?db=telegraf", "m f=1 1").await.0, 204);
    assert_eq!(app.push("/write?db=telegraf", "m f=1i 1").await.0, 400);
    assert_eq!(app.metric("headroom_guard_fields").await, 2);
    app.until("it is delivered", async |_| sent(&mock).await.len() == 1)
        .await;
    let app = app.restart_with(flags(&mock)).await;
    app.until_metric("headroom_guard_fields", 1).await;
    assert_eq!(app.push("/write?db=telegraf", "m f=1i 1").await.0, 204);
}

#[tokio::test]
async fn a_body_goes_as_it_came_unless_integers_of_it_became_floats() {
    let mock = server(fields(&json!([["usage", "float"]]))).await;
    let app = TestApp::start_with(Flags {
        guard: GuardFlags {
            float_fields: Some("cpu.usage".to_owned()),
            ..GuardFlags::default()
        },
        ..flags(&mock)
    })
    .await;
    let path = "/api/v2/write?bucket=telegraf&precision=s";
    let as_it_came = gzip("cpu usage=.5 1\n# kept\nmem used=1i 1\n");
    let push = |body: Vec<u8>| read(app.post(path).header("content-encoding", "gzip").body(body));
    assert_eq!(push(as_it_came.clone()).await.0, 204);
    app.until("the first arrived", async |_| sent(&mock).await.len() == 3)
        .await;
    let (status, body) = push(gzip(
        "cpu usage=7i 2\nbad\ncpu,t=i usage=9007199254740993i,n=1i 3\ncpu usage=5u 4",
    ))
    .await;
    assert!(
        status == 400 && body.contains("line 2:") && body.contains("3 lines accepted"),
        "{body}"
    );
    app.until("the second arrived", async |_| sent(&mock).await.len() == 6)
        .await;
    let lines = sent(&mock).await;
    assert_eq!(
        lines[3..],
        [
            "cpu usage=7 2",
            "cpu,t=i usage=9007199254740993,n=1i 3",
            "cpu usage=5 4"
        ]
    );
    let requests = mock.received_requests().await.expect("recorded");
    let first = requests
        .iter()
        .find(|request| request.url.path() == "/write")
        .expect("a write");
    assert_eq!(first.body, as_it_came, "byte for byte");
}
