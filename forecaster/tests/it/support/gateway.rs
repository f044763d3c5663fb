//! A gateway that answers the forecaster's InfluxQL from formulas, in InfluxDB's JSON, and keeps what is written.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use influxdb_line_protocol::FieldValue;
use serde_json::{Value, json};
use wiremock::{
    Mock, MockServer, Request, Respond, ResponseTemplate,
    matchers::{method, path},
};

use super::{NOW_S, readings::Readings};

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

/// Points that were written: values by time, by measurement, host, metric and field.
type Points = BTreeMap<[String; 4], BTreeMap<i64, f64>>;

pub(crate) struct FakeGateway {
    server: MockServer,
    world: World,
}

/// What queries and writes share.
#[derive(Clone)]
struct World {
    is_away: Arc<AtomicBool>,
    /// Hosts whose history is answered 503.
    stuck: Arc<Mutex<BTreeSet<String>>>,
    /// Times of points that have not come yet.
    late: Arc<Mutex<BTreeSet<i64>>>,
    /// Whether a second disk has been mounted.
    has_second_disk: Arc<AtomicBool>,
    now_s: Arc<AtomicI64>,
    points: Arc<Mutex<Points>>,
    /// What agents sent beside the formulas.
    readings: Arc<Mutex<Vec<Readings>>>,
}

struct Queries {
    hosts: BTreeMap<String, HostSpec>,
    world: World,
}

struct Writes {
    world: World,
}

impl FakeGateway {
    pub(crate) async fn start(hosts: &[(&str, HostSpec)]) -> Self {
        let world = World {
            is_away: Arc::default(),
            stuck: Arc::default(),
            late: Arc::default(),
            has_second_disk: Arc::default(),
            now_s: Arc::new(AtomicI64::new(NOW_S)),
            points: Arc::default(),
            readings: Arc::default(),
        };
        let server = MockServer::start().await;
        let hosts = hosts
            .iter()
            .map(|(name, spec)| ((*name).to_owned(), *spec))
            .collect();
        let queries = Queries {
            hosts,
            world: world.clone(),
        };
        Mock::given(method("POST"))
            .and(path("/query"))
            .respond_with(queries)
            .mount(&server)
            .await;
        let writes = Writes {
            world: world.clone(),
        };
        let write = Mock::given(method("POST")).and(path("/api/v2/write"));
        write.respond_with(writes).mount(&server).await;
        Self { server, world }
    }

    pub(crate) fn url(&self) -> String {
        self.server.uri()
    }

    /// From now on every request is answered 503.
    pub(crate) fn go_away(&self) {
        self.world.is_away.store(true, Ordering::SeqCst);
    }

    /// From now on the history of these hosts alone is answered 503.
    pub(crate) fn stick(&self, hosts: &[&str]) {
        let stuck = hosts.iter().map(|host| (*host).to_owned()).collect();
        *self.world.stuck.lock().expect("nobody panicked") = stuck;
    }

    /// From now on only the points of these times are missing.
    pub(crate) fn hold_back(&self, times_s: &[i64]) {
        let late = times_s.iter().copied().collect();
        *self.world.late.lock().expect("nobody panicked") = late;
    }

    /// From now on each host has a disk at /data too.
    pub(crate) fn mount(&self) {
        self.world.has_second_disk.store(true, Ordering::SeqCst);
    }

    /// From now on there are these readings too.
    pub(crate) fn send(&self, readings: Readings) {
        let mut sent = self.world.readings.lock().expect("nobody panicked");
        sent.push(readings);
    }

    /// The time, as the service under test is told it.
    pub(crate) fn time_s(&self) -> Arc<AtomicI64> {
        Arc::clone(&self.world.now_s)
    }

    /// Lets time pass, for the service too.
    pub(crate) fn pass(&self, seconds: i64) {
        self.world.now_s.fetch_add(seconds, Ordering::SeqCst);
    }

    /// What was written about a host's target into a field, by time.
    pub(crate) fn kept(&self, series: [&str; 4]) -> BTreeMap<i64, f64> {
        let points = self.world.points.lock().expect("nobody panicked");
        points
            .get(&series.map(ToOwned::to_owned))
            .cloned()
            .unwrap_or_default()
    }

    /// Waits until a field has so many points.
    pub(crate) async fn until_kept(&self, series: [&str; 4], count: usize) {
        let wait = async {
            while self.kept(series).len() < count {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), wait)
            .await
            .unwrap_or_else(|_| panic!("{series:?} never had {count} points"));
    }

    /// Returns the statements that were asked.
    pub(crate) async fn asked(&self) -> Vec<String> {
        let requests = self.server.received_requests().await;
        let requests = requests.expect("requests are recorded").into_iter();
        let queries = requests.filter(|request| request.url.path() == "/query");
        queries
            .flat_map(|request| {
                let form = url::form_urlencoded::parse(&request.body).into_owned();
                let asked: Vec<String> = form
                    .filter(|(name, _)| name == "q")
                    .flat_map(|(_, text)| {
                        text.split("; ").map(ToOwned::to_owned).collect::<Vec<_>>()
                    })
                    .collect();
                asked
            })
            .collect()
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
    fn respond(&self, request: &Request) -> ResponseTemplate {
        if self.world.is_away.load(Ordering::SeqCst) {
            return ResponseTemplate::new(503);
        }
        let body = std::str::from_utf8(&request.body).expect("text");
        let mut points = self.world.points.lock().expect("nobody panicked");
        for line in influxdb_line_protocol::parse_lines(body) {
            let line = line.expect("a line");
            let tag = |key: &str| line.tag_value(key).map(ToString::to_string);
            let (Some(host), Some(metric)) = (tag("host"), tag("metric")) else {
                continue;
            };
            let measurement = line.series.measurement.to_string();
            let time_s = line.timestamp.expect("a time");
            for (field, value) in &line.field_set {
                if let FieldValue::F64(value) = value {
                    let series = [
                        measurement.clone(),
                        host.clone(),
                        metric.clone(),
                        field.to_string(),
                    ];
                    points.entry(series).or_default().insert(time_s, *value);
                }
            }
        }
        ResponseTemplate::new(204)
    }
}

impl Respond for Queries {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        if self.world.is_away.load(Ordering::SeqCst) {
            return ResponseTemplate::new(503).set_body_string("{\"error\":\"starting\"}");
        }
        let form: BTreeMap<String, String> = url::form_urlencoded::parse(&request.body)
            .into_owned()
            .collect();
        let stuck = self.world.stuck.lock().expect("nobody panicked");
        let names_one = |host: &String| form["q"].contains(&format!("\"host\" = '{host}'"));
        if stuck.iter().any(names_one) {
            return ResponseTemplate::new(503);
        }
        drop(stuck);
        let results: Vec<Value> = form["q"]
            .split("; ")
            .enumerate()
            .map(|(id, statement)| {
                let series = if statement.contains("FROM \"forecast_") {
                    self.written(statement)
                } else {
                    let formulas = Statement::parse(statement);
                    let formulas = formulas.map(|statement| self.series(&statement));
                    let readings = self.world.readings.lock().expect("nobody panicked");
                    let sent = readings.iter();
                    let sent = sent.filter_map(|readings| readings.answer(statement));
                    formulas
                        .unwrap_or_default()
                        .into_iter()
                        .chain(sent)
                        .collect()
                };
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
    /// `None` where no function is asked for: the formulas have no readings.
    fn parse(text: &str) -> Option<Self> {
        Some(Self {
            field: between(text, "(\"", "\")")?,
            measurement: between(text, "FROM \"", "\"").expect("a measurement"),
            host: between(text, "\"host\" = '", "'"),
            from_s: bound_s(text, "time >= "),
            until_s: bound_s(text, "time < "),
        })
    }
}

fn between(text: &str, start: &str, end: &str) -> Option<String> {
    let rest = &text[text.find(start)? + start.len()..];
    Some(rest[..rest.find(end)?].to_owned())
}

fn bound_s(text: &str, start: &str) -> i64 {
    let millis = between(text, start, "ms").expect("a bound");
    millis.parse::<i64>().expect("a number") / 1_000
}

impl Queries {
    /// Answers for points that were written: a series a target, with the fields that are asked for.
    fn written(&self, statement: &str) -> Vec<Value> {
        let measurement = between(statement, "FROM \"", "\"").expect("a measurement");
        let host = between(statement, "\"host\" = '", "'").expect("a host");
        let asked = between(statement, "SELECT \"", "\" FROM").expect("fields");
        let fields: Vec<&str> = asked.split("\", \"").collect();
        let times = bound_s(statement, "time >= ")..bound_s(statement, "time < ");
        let points = self.world.points.lock().expect("nobody panicked");
        let mut metrics: BTreeMap<&str, BTreeMap<i64, Vec<Value>>> = BTreeMap::new();
        for ([_, _, metric, field], values) in points
            .iter()
            .filter(|([name, owner, ..], _)| *name == measurement && *owner == host)
        {
            let Some(place) = fields.iter().position(|asked| asked == field) else {
                continue;
            };
            for (time_s, value) in values.range(times.clone()) {
                let row = metrics.entry(metric).or_default().entry(*time_s);
                row.or_insert_with(|| vec![Value::Null; fields.len()])[place] = json!(value);
            }
        }
        let series = metrics.into_iter().map(|(metric, rows)| {
            let columns: Vec<&str> = ["time"].into_iter().chain(fields.clone()).collect();
            let rows: Vec<Vec<Value>> = rows
                .into_iter()
                .map(|(time_s, values)| [json!(time_s)].into_iter().chain(values).collect())
                .collect();
            json!({"name": measurement, "tags": {"metric": metric}, "columns": columns, "values": rows})
        });
        series.collect()
    }

    fn series(&self, statement: &Statement) -> Vec<Value> {
        let mut found = Vec::new();
        match (statement.measurement.as_str(), statement.field.as_str()) {
            ("cpu", "usage_idle") => found.push(json!({})),
            ("disk", "used_percent") => {
                found.push(json!({"path": "/"}));
                if self.world.has_second_disk.load(Ordering::SeqCst) {
                    found.push(json!({"path": "/data"}));
                }
            }
            _ => {}
        }
        let tagged = found.iter();
        tagged
            .flat_map(|tags| self.tagged(statement, tags))
            .collect()
    }

    fn tagged(&self, statement: &Statement, tags: &Value) -> Vec<Value> {
        let now_s = self.world.now_s.load(Ordering::SeqCst);
        let hosts = self
            .hosts
            .iter()
            .filter(|(name, _)| statement.host.as_ref().is_none_or(|host| host == *name));
        hosts
            .filter_map(|(name, spec)| {
                let late = self.world.late.lock().expect("nobody panicked");
                let mut rows = rows(statement, *spec, now_s);
                rows.retain(|row| row[0].as_i64().is_none_or(|time_s| !late.contains(&time_s)));
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

/// How idle every host's CPU is.
pub(crate) fn idle(time_s: i64) -> f64 {
    let day = std::f64::consts::TAU * time_s as f64 / 86_400.0;
    let noise = (time_s / 300 * 7_919 % 101) as f64 / 50.0;
    70.0 + 20.0 * day.sin() + noise
}

fn rows(statement: &Statement, spec: HostSpec, now_s: i64) -> Vec<Value> {
    let newest_s = now_s - spec.silent_s;
    let value = |time_s: i64| match statement.measurement.as_str() {
        "cpu" => idle(time_s),
        _ => spec.disk_now - (NOW_S - time_s) as f64 / 86_400.0,
    };
    if statement.host.is_none() {
        let is_asked = (statement.from_s..statement.until_s).contains(&newest_s);
        let newest = is_asked.then(|| json!([newest_s, value(newest_s)]));
        return newest.into_iter().collect();
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
