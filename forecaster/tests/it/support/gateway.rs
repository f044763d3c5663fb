//! A gateway that answers the forecaster's InfluxQL from formulas, in InfluxDB's JSON, and keeps what is written.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use wiremock::{
    Mock, MockServer, Request, Respond, ResponseTemplate,
    matchers::{method, path},
};

use super::NOW_S;

/// A host whose CPU follows the day, and whose disk fills.
#[derive(Clone, Copy)]
pub(crate) struct HostSpec {
    /// How far its history goes back.
    pub(crate) hours: i64,
    /// The age of its newest point.
    pub(crate) silent_s: i64,
    /// How full its disk is now.
    pub(crate) disk_now: f64,
}

impl Default for HostSpec {
    fn default() -> Self {
        Self {
            hours: 7 * 24,
            silent_s: 4,
            disk_now: 50.0,
        }
    }
}

pub(crate) struct FakeGateway {
    server: MockServer,
    is_away: Arc<AtomicBool>,
}

struct Queries {
    hosts: BTreeMap<String, HostSpec>,
    is_away: Arc<AtomicBool>,
}

struct Writes {
    is_away: Arc<AtomicBool>,
}

impl FakeGateway {
    pub(crate) async fn start(hosts: &[(&str, HostSpec)]) -> Self {
        let is_away = Arc::new(AtomicBool::new(false));
        let server = MockServer::start().await;
        let hosts = hosts
            .iter()
            .map(|(name, spec)| ((*name).to_owned(), *spec))
            .collect();
        let queries = Queries {
            hosts,
            is_away: Arc::clone(&is_away),
        };
        Mock::given(method("POST"))
            .and(path("/query"))
            .respond_with(queries)
            .mount(&server)
            .await;
        let writes = Writes {
            is_away: Arc::clone(&is_away),
        };
        let write = Mock::given(method("POST")).and(path("/api/v2/write"));
        write.respond_with(writes).mount(&server).await;
        Self { server, is_away }
    }

    pub(crate) fn url(&self) -> String {
        self.server.uri()
    }

    /// From now on every request is answered 503.
    pub(crate) fn go_away(&self) {
        self.is_away.store(true, Ordering::SeqCst);
    }

    /// Returns the bodies that were written, with their query strings.
    pub(crate) async fn written(&self) -> Vec<(String, String)> {
        let requests = self
            .server
            .received_requests()
            .await
            .expect("requests are recorded");
        requests
            .iter()
            .filter(|request| request.url.path() == "/api/v2/write")
            .map(|request| {
                let query = request.url.query().unwrap_or_default().to_owned();
                (
                    query,
                    String::from_utf8(request.body.clone()).expect("text"),
                )
            })
            .collect()
    }

    /// Waits for this many writes.
    pub(crate) async fn until_written(&self, count: usize) -> Vec<(String, String)> {
        let wait = async {
            loop {
                let written = self.written().await;
                if written.len() >= count {
                    return written;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), wait)
            .await
            .expect("forecasts are written back")
    }
}

impl Respond for Writes {
    fn respond(&self, _: &Request) -> ResponseTemplate {
        let status = if self.is_away.load(Ordering::SeqCst) {
            503
        } else {
            204
        };
        ResponseTemplate::new(status)
    }
}

impl Respond for Queries {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        if self.is_away.load(Ordering::SeqCst) {
            return ResponseTemplate::new(503).set_body_string("{\"error\":\"starting\"}");
        }
        let form: BTreeMap<String, String> = url::form_urlencoded::parse(&request.body)
            .into_owned()
            .collect();
        let results: Vec<Value> = form["q"]
            .split("; ")
            .enumerate()
            .map(|(id, statement)| {
                let series = self.series(&Statement::parse(statement));
                if series.is_empty() {
                    json!({ "statement_id": id })
                } else {
                    json!({ "statement_id": id, "series": series })
                }
            })
            .collect();
        ResponseTemplate::new(200).set_body_json(json!({ "results": results }))
    }
}

/// What the forecaster asks, taken apart.
struct Statement {
    field: String,
    measurement: String,
    host: Option<String>,
    from_s: i64,
    until_s: i64,
}

impl Statement {
    fn parse(text: &str) -> Self {
        let between = |start: &str, end: &str| {
            let rest = &text[text.find(start)? + start.len()..];
            Some(rest[..rest.find(end)?].to_owned())
        };
        let seconds = |start: &str| {
            let millis: i64 = between(start, "ms")
                .expect("a bound")
                .parse()
                .expect("a number");
            millis / 1_000
        };
        Self {
            field: between("(\"", "\")").expect("a field"),
            measurement: between("FROM \"", "\"").expect("a measurement"),
            host: between("\"host\" = '", "'"),
            from_s: seconds("time >= "),
            until_s: seconds("time < "),
        }
    }
}

impl Queries {
    fn series(&self, statement: &Statement) -> Vec<Value> {
        let tags = match (statement.measurement.as_str(), statement.field.as_str()) {
            ("cpu", "usage_idle") => json!({}),
            ("disk", "used_percent") => json!({"path": "/"}),
            _ => return Vec::new(),
        };
        let hosts = self
            .hosts
            .iter()
            .filter(|(name, _)| statement.host.as_ref().is_none_or(|host| host == *name));
        hosts
            .filter_map(|(name, spec)| {
                let rows = rows(statement, *spec);
                let mut tags = tags.clone();
                if statement.host.is_none() {
                    tags["host"] = json!(name);
                }
                let column = if statement.host.is_none() {
                    "last"
                } else {
                    "mean"
                };
                (!rows.is_empty()).then(|| {
                    json!({"name": statement.measurement, "tags": tags, "columns": ["time", column],
                           "values": rows})
                })
            })
            .collect()
    }
}

fn rows(statement: &Statement, spec: HostSpec) -> Vec<Value> {
    let newest_s = NOW_S - spec.silent_s;
    let value = |time_s: i64| match statement.measurement.as_str() {
        "cpu" => {
            let day = std::f64::consts::TAU * time_s as f64 / 86_400.0;
            let noise = (time_s / 300 * 7_919 % 101) as f64 / 50.0;
            70.0 + 20.0 * day.sin() + noise
        }
        _ => spec.disk_now - (NOW_S - time_s) as f64 / 86_400.0,
    };
    if statement.host.is_none() {
        return vec![json!([newest_s, value(newest_s)])];
    }
    let from_s = statement
        .from_s
        .max((newest_s - spec.hours * 3_600) / 300 * 300);
    (from_s / 300..=statement.until_s / 300)
        .map(|step| step * 300)
        .take_while(|&time_s| time_s < statement.until_s && time_s <= newest_s)
        .map(|time_s| json!([time_s, value(time_s)]))
        .collect()
}
