//! InfluxQL over HTTP: answered by the embedded store, or passed on to the InfluxDB behind the gateway.

use std::io::Write as _;

use actix_web::{
    HttpRequest, HttpResponse, get,
    http::header,
    post,
    web::{Data, Payload},
};
use flate2::{Compression, write::GzEncoder};
use headroom_openapi::{access::Scope, query::QueryAnswer};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use super::{admission, client, passthrough};
use crate::{
    access::Bounds,
    body::Body,
    error::{ApiError, Dialect, ErrorV1, Failure},
    influxql::{
        self, QueryRequest,
        answer::{Chunks, Epoch, Format, Style, chunk_rows},
        ast::Statement,
    },
    queries::Pieces,
    sink::{Embedded, Sink},
    state::State,
    upstream::{PassedQuery, QueryMethod},
};

/// Smaller answers fit a packet or two either way.
const ZIPPED_FROM_BYTES: usize = 2_048;

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(query_get).service(query_post);
}

/// What a query is given, in the query string or in a form.
#[derive(Deserialize, IntoParams, ToSchema)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "read by name from both places; this documents the names"
)]
struct Query {
    /// One or more statements, separated by semicolons.
    #[param(
        min_length = 1,
        example = "SELECT mean(usage_idle) FROM cpu WHERE time > now() - 1h GROUP BY time(5m), host"
    )]
    #[schema(min_length = 1, example = "CREATE DATABASE \"telegraf\"")]
    q: String,
    /// The database.
    #[param(example = "telegraf")]
    #[schema(nullable = false, example = "telegraf")]
    db: Option<String>,
    /// The retention policy; without it the database's default.
    #[schema(nullable = false)]
    rp: Option<String>,
    /// The unit of the times in the answer: `ns`, `u`, `ms`, `s`, `m` or `h`; without it they are text.
    #[param(example = "ms")]
    #[schema(nullable = false, example = "ms")]
    epoch: Option<String>,
    /// `true`: the answer comes in chunks, one JSON object each.
    #[param(example = "true")]
    #[schema(nullable = false, example = "true")]
    chunked: Option<String>,
    /// Rows of a chunk.
    #[param(value_type = Option<i64>)]
    #[schema(nullable = false, value_type = Option<i64>)]
    chunk_size: Option<usize>,
    /// `true`: the JSON is indented; anything else is as if it were not there, as in InfluxDB.
    #[param(example = "true")]
    #[schema(nullable = false, example = "true")]
    pretty: Option<String>,
    /// A JSON object: what `$name` in the statements stands for.
    #[schema(nullable = false, example = "{}")]
    params: Option<String>,
}

/// Query (InfluxQL)
///
/// Answers one or more statements. A statement that fails has its error in its result; text that is no InfluxQL is 400.
#[utoipa::path(
    tag = "query",
    operation_id = "query",
    params(Query),
    responses(
        (status = 200, description = "The results, one a statement", body = QueryAnswer, example = json!({
            "results": [{"statement_id": 0, "series": [{"name": "cpu", "columns": ["time", "mean"], "values": [[1_735_689_600_000_i64, 91.5]]}]}]
        })),
        (status = 400, description = "The text is no InfluxQL", body = ErrorV1),
        (status = 401, description = "No known token", body = ErrorV1),
        (status = 403, description = "The token lacks the scope `read`, `write` for CREATE DATABASE, or `admin` for statements that change or delete", body = ErrorV1),
        (status = 502, description = "The InfluxDB behind the gateway cannot be reached", body = ErrorV1),
        (status = 503, description = "The gateway is starting, or as many queries run as may", body = ErrorV1),
    )
)]
#[get("/query")]
async fn query_get(state: Data<State>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    answer(&state, &request, QueryMethod::Get, &[])
        .await
        .map_err(|failure| failure.for_dialect(dialect(&request)))
}

/// Query or change (InfluxQL)
///
/// Answers one or more statements, whose parameters stand in a form; this is how CREATE DATABASE comes.
#[utoipa::path(
    tag = "query",
    operation_id = "queryForm",
    request_body(content = Query, content_type = "application/x-www-form-urlencoded", description = "The parameters"),
    responses(
        (status = 200, description = "The results, one a statement", body = QueryAnswer, example = json!({"results": [{"statement_id": 0}]})),
        (status = 400, description = "The text is no InfluxQL", body = ErrorV1),
        (status = 401, description = "No known token", body = ErrorV1),
        (status = 403, description = "The token lacks the scope `read`, `write` for CREATE DATABASE, or `admin` for statements that change or delete", body = ErrorV1),
        (status = 502, description = "The InfluxDB behind the gateway cannot be reached", body = ErrorV1),
        (status = 503, description = "The gateway is starting, or as many queries run as may", body = ErrorV1),
    )
)]
#[post("/query")]
async fn query_post(
    state: Data<State>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let answered = async {
        let body = Body::read(&request, payload, &state.intake).await?;
        answer(&state, &request, QueryMethod::Post, &body.text).await
    };
    answered
        .await
        .map_err(|failure| failure.for_dialect(dialect(&request)))
}

fn accept(request: &HttpRequest) -> Option<&str> {
    request.headers().get(header::ACCEPT)?.to_str().ok()
}

fn format(accept: Option<&str>) -> Format {
    let is_csv = |text: &str| text.contains("application/csv") || text.contains("text/csv");
    if accept.is_some_and(is_csv) {
        Format::Csv
    } else {
        Format::Json
    }
}

fn dialect(request: &HttpRequest) -> Dialect {
    match format(accept(request)) {
        Format::Csv => Dialect::V1Csv,
        Format::Json => Dialect::V1,
    }
}

async fn answer(
    state: &State,
    request: &HttpRequest,
    method: QueryMethod,
    form: &[u8],
) -> Result<HttpResponse, Failure> {
    let in_url = url::form_urlencoded::parse(request.query_string().as_bytes());
    let parameters: Vec<(String, String)> = in_url
        .chain(url::form_urlencoded::parse(form))
        .filter(|(name, _)| name != "u" && name != "p")
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    let accept = accept(request).map(str::to_owned);
    let core = state.core();
    let passes_on = matches!(core.as_ref().map(|core| &core.sink), Ok(Sink::Influx(_)));
    let asked = Asked {
        parameters,
        accept,
        takes_gzip: takes_gzip(request),
        method,
    };
    let statements = asked.statements();
    // InfluxDB may know statements that are not known here; what is not known for a query needs every right.
    let unknown = if passes_on { Scope::Admin } else { Scope::Read };
    let needed = statements.as_ref().map_or(vec![unknown], |found| {
        found.iter().map(Statement::scope).collect()
    });
    for scope in needed {
        admission::check(request, scope)?;
    }
    let grant = admission::grant_of(request)?;
    let found = statements.as_deref().unwrap_or_default();
    check_buckets(&grant.bounds, found, &asked, passes_on)?;
    let lists_some = !grant.bounds.buckets.is_empty() && found.contains(&Statement::ShowDatabases);
    match &core?.sink {
        Sink::Influx(upstream) => {
            let query = PassedQuery {
                method,
                parameters: asked.parameters,
                accept: asked.accept,
            };
            if lists_some {
                passthrough::list_databases(upstream, query, &grant.bounds).await
            } else {
                passthrough::pass(upstream, query).await
            }
        }
        Sink::Embedded(embedded) => {
            let listed = lists_some.then(|| {
                let mut names = embedded.store().databases();
                names.retain(|name| grant.bounds.has_database(name));
                names
            });
            let gone = client::gone(request);
            execute(embedded, state.now_ns(), statements?, listed, &asked, gone).await
        }
    }
}

/// Holds the statements of a bound token to its buckets. SHOW DATABASES lists these alone; in an answer that is passed on, only
/// where it is the one statement.
fn check_buckets(
    bounds: &Bounds,
    statements: &[Statement],
    asked: &Asked,
    passes_on: bool,
) -> Result<(), Failure> {
    if bounds.buckets.is_empty() {
        return Ok(());
    }
    for statement in statements {
        if *statement == Statement::ShowDatabases && (!passes_on || statements.len() == 1) {
            continue;
        }
        let buckets = statement.buckets();
        let buckets = buckets.ok_or_else(|| {
            Failure::OutOfBounds(format!(
                "the token is bound to the buckets {}, and the statement {statement} looks beyond them",
                bounds.buckets.join(", ")
            ))
        })?;
        for (database, policy) in buckets {
            let database = database.or(asked.get("db")).unwrap_or_default();
            bounds.check_bucket(database, policy.or(asked.get("rp")))?;
        }
    }
    Ok(())
}

/// A query's parameters, however they came.
struct Asked {
    parameters: Vec<(String, String)>,
    accept: Option<String>,
    takes_gzip: bool,
    method: QueryMethod,
}

impl Asked {
    /// A parameter that is given and not empty.
    fn get(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(found, value)| found == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    fn is_true(&self, name: &str) -> bool {
        self.get(name) == Some("true")
    }

    fn statements(&self) -> Result<Vec<Statement>, Failure> {
        let text = self.get("q").ok_or_else(|| {
            Failure::Invalid(
                "missing required parameter \"q\"; write q=SHOW MEASUREMENTS".to_owned(),
            )
        })?;
        let values = match self.get("params") {
            None => serde_json::Map::new(),
            Some(json) => serde_json::from_str(json).map_err(|error| {
                Failure::Invalid(format!(
                    "error parsing query parameters: {error}; params is one JSON object"
                ))
            })?,
        };
        influxql::parse(text, &values).map_err(|error| Failure::Invalid(error.to_string()))
    }

    fn style(&self) -> Style {
        Style {
            format: format(self.accept.as_deref()),
            epoch: Epoch::parse(self.get("epoch")),
            pretty: self.is_true("pretty"),
        }
    }
}

/// Answers from the embedded store, off the threads that serve connections: as a whole, or in chunks as they are found.
async fn execute(
    embedded: &Embedded,
    now_ns: i64,
    statements: Vec<Statement>,
    listed_databases: Option<Vec<String>>,
    asked: &Asked,
    gone: impl Future<Output = ()> + 'static,
) -> Result<HttpResponse, Failure> {
    let request = QueryRequest {
        statements,
        database: asked.get("db").map(str::to_owned),
        retention_policy: asked.get("rp").map(str::to_owned),
        read_only: asked.method == QueryMethod::Get,
        listed_databases,
    };
    let style = asked.style();
    let (store, queries) = (embedded.store().clone(), embedded.queries());
    let zips = asked.takes_gzip;
    let mut answer = HttpResponse::Ok();
    answer
        .insert_header((header::VARY, "accept-encoding"))
        .content_type(style.format.content_type());
    if let Some(rows) = chunk_rows(asked.is_true("chunked"), asked.get("chunk_size")) {
        let query = move |limits, stop: &CancellationToken, send: Pieces<'_>| {
            zipped_pieces(zips, send, |send| {
                let chunks = Chunks::new(style, rows, send);
                influxql::stream(&store, &request, limits, stop, now_ns, chunks);
            });
        };
        let pieces = queries.stream(gone, query).await?;
        if zips {
            answer.insert_header((header::CONTENT_ENCODING, "gzip"));
        }
        return Ok(answer.streaming(pieces));
    }
    let query = move |limits, stop: &CancellationToken| {
        let bytes = influxql::execute(&store, &request, limits, stop, now_ns).written(&style);
        zipped_where_it_pays(bytes, zips)
    };
    let (bytes, is_zipped) = queries.run(gone, query).await?;
    if is_zipped {
        answer.insert_header((header::CONTENT_ENCODING, "gzip"));
    }
    Ok(answer.body(bytes))
}

/// Compresses the pieces of an answer for a client that takes gzip; each can be unpacked when it comes.
fn zipped_pieces(zips: bool, send: Pieces<'_>, answer: impl FnOnce(Pieces<'_>)) {
    if !zips {
        answer(send);
        return;
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let mut is_wanted = true;
    answer(&mut |piece| {
        // Writing into memory does not fail.
        let _ = encoder.write_all(&piece).and_then(|()| encoder.flush());
        is_wanted = send(std::mem::take(encoder.get_mut()));
        is_wanted
    });
    if is_wanted && let Ok(rest) = encoder.finish() {
        send(rest);
    }
}

/// Compresses an answer for a client that takes gzip; says whether it did. Writing into memory does not fail.
fn zipped_where_it_pays(bytes: Vec<u8>, zips: bool) -> (Vec<u8>, bool) {
    if !zips || bytes.len() < ZIPPED_FROM_BYTES {
        return (bytes, false);
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
    match encoder.write_all(&bytes).and_then(|()| encoder.finish()) {
        Ok(zipped) => (zipped, true),
        Err(_) => (bytes, false),
    }
}

/// Says whether a client takes gzip: it names it, and not with `q=0`.
fn takes_gzip(request: &HttpRequest) -> bool {
    let accepted = request.headers().get(header::ACCEPT_ENCODING);
    let accepted = accepted.and_then(|value| value.to_str().ok());
    accepted.unwrap_or_default().split(',').any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().strip_prefix("q=").unwrap_or("1");
        name.trim() == "gzip" && weight.parse().is_ok_and(|weight: f32| weight > 0.0)
    })
}
