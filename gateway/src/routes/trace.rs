//! What ties the log lines, spans and answer of one request together.
//!
//! Every request has an id: the client's `X-Request-Id`, or a new one. It stands in every log line of the request
//! and in the answer, and goes with the batch through the journal to its deliveries. A `traceparent` (W3C Trace Context)
//! is continued: its trace id stands beside the id, and exported spans hang below the client's.

use actix_web::{
    Error, HttpMessage, HttpRequest,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::header::{HeaderMap, HeaderName, HeaderValue},
};
use opentelemetry::{
    propagation::{Extractor, TextMapPropagator},
    trace::TraceContextExt,
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::{Span, field};
use tracing_actix_web::RootSpanBuilder;
use tracing_opentelemetry::OpenTelemetrySpanExt;

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest id that is taken from a client.
const ID_MAX_BYTES: usize = 128;

/// A request's id.
#[derive(Clone)]
pub(super) struct Id(pub(super) HeaderValue);

/// The id of a request.
pub(super) fn id_of(request: &HttpRequest) -> String {
    let extensions = request.extensions();
    let id = extensions.get::<Id>().and_then(|Id(id)| id.to_str().ok());
    id.unwrap_or_default().to_owned()
}

/// Opens a span a request, with its path and without its query, which may hold a password.
pub(super) struct RequestSpan;

impl RootSpanBuilder for RequestSpan {
    fn on_request_start(request: &ServiceRequest) -> Span {
        let id = id(request.headers());
        let span = tracing::info_span!(
            "request",
            id = id.to_str().unwrap_or_default(),
            trace_id = field::Empty,
            method = %request.method(),
            path = request.path(),
            otel.kind = "server",
            otel.name = format!("{} {}", request.method(), request.path()),
            http.response.status_code = field::Empty,
        );
        request.extensions_mut().insert(Id(id));
        continue_trace(&span, request.headers());
        span
    }

    fn on_request_end<B: MessageBody>(span: Span, outcome: &Result<ServiceResponse<B>, Error>) {
        if let Ok(answer) = outcome {
            span.record("http.response.status_code", answer.status().as_u16());
        }
    }
}

/// Hangs a span below the client's, if it names one, and notes the id of the trace.
fn continue_trace(span: &Span, headers: &HeaderMap) {
    let parent = TraceContextPropagator::new().extract(&Headers(headers));
    let named = parent.span().span_context().clone();
    if named.is_valid() {
        span.record("trace_id", field::display(named.trace_id()));
        // Without a collector there is nothing to hang below the client's span.
        let _ = span.set_parent(parent);
        return;
    }
    let own = span.context().span().span_context().clone();
    if own.is_valid() {
        span.record("trace_id", field::display(own.trace_id()));
    }
}

/// The client's id where it is one that may stand in a log, or a new one.
fn id(headers: &HeaderMap) -> HeaderValue {
    let is_plain = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte);
        (1..=ID_MAX_BYTES).contains(&bytes.len()) && bytes.iter().all(plain)
    };
    headers
        .get(REQUEST_ID)
        .filter(is_plain)
        .cloned()
        .unwrap_or_else(|| {
            let number: u128 = rand::random();
            HeaderValue::from_str(&format!("{number:032x}")).expect("digits")
        })
}

/// A request's headers for the propagator.
struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}
