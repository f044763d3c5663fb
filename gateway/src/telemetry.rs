//! Logs on the standard error, and spans that go to an OpenTelemetry collector where one is set.
//!
//! The log shows what `RUST_LOG` asks for. Spans of this program are exported down to the level debug whatever the log
//! shows; without a collector those below the log's level cost nothing. A collector that is away costs spans, never a
//! request: they wait in a bounded queue and are dropped when it is full.

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use async_trait::async_trait;
use opentelemetry::{KeyValue, trace::TracerProvider};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{Sampler, SdkTracerProvider},
};
use tokio::runtime::Handle;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    EnvFilter, Layer, Registry, filter::Targets, layer::SubscriberExt, util::SubscriberInitExt,
};

use crate::config::{LogFormat, TraceSettings};

/// The spans of this program, and of nothing that it is made of.
const SPANS_OF: &str = "headroom_gateway";
/// What a collector has for a request.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);
/// What the last spans have at the end.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// Why traces cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The HTTP client cannot be made.
    #[error("the HTTP client for the collector cannot be made: {0}")]
    Client(#[source] reqwest::Error),
    /// The exporter cannot be made.
    #[error("traces cannot be exported to HEADROOM_OTLP_URL: {0}")]
    Exporter(String),
}

/// What must be ended in order, so that the last spans arrive.
#[derive(Debug, Default)]
pub struct Telemetry(Option<SdkTracerProvider>);

impl Telemetry {
    /// Sends what waits, as long as that takes little time.
    pub fn finish(self) {
        if let Some(provider) = self.0
            && let Err(error) = provider.shutdown_with_timeout(FLUSH_TIMEOUT)
        {
            tracing::warn!(%error, "the last spans could not be exported");
        }
    }
}

/// Starts logging, and exporting where a collector is set; then it must be called within a tokio runtime, whose threads
/// send the spans.
///
/// # Errors
///
/// When the exporter cannot be made.
pub fn start(
    format: LogFormat,
    traces: Option<&TraceSettings>,
) -> Result<Telemetry, TelemetryError> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    let log: Box<dyn Layer<Registry> + Send + Sync> = match format {
        LogFormat::Text => log.with_filter(filter).boxed(),
        LogFormat::Json => log.json().with_filter(filter).boxed(),
    };
    let provider = traces.map(provider).transpose()?;
    let spans = provider.as_ref().map(|provider| {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer(env!("CARGO_PKG_NAME")))
            .with_filter(Targets::new().with_target(SPANS_OF, LevelFilter::DEBUG))
    });
    tracing_subscriber::registry().with(log).with(spans).init();
    Ok(Telemetry(provider))
}

fn provider(settings: &TraceSettings) -> Result<SdkTracerProvider, TelemetryError> {
    let client = reqwest::Client::builder()
        .timeout(EXPORT_TIMEOUT)
        .build()
        .map_err(TelemetryError::Client)?;
    let base = settings.url.as_str().trim_end_matches('/');
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Collector {
            client,
            runtime: Handle::current(),
        })
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{base}/v1/traces"))
        .with_timeout(EXPORT_TIMEOUT)
        .build()
        .map_err(|error| TelemetryError::Exporter(error.to_string()))?;
    let resource = Resource::builder_empty()
        .with_service_name(env!("CARGO_PKG_NAME"))
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    let sampler = Sampler::TraceIdRatioBased(settings.sample);
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(Sampler::ParentBased(Box::new(sampler)))
        .with_resource(resource)
        .build())
}

/// The way to the collector. Spans are gathered on a thread outside of the runtime, and sent within it.
#[derive(Debug)]
struct Collector {
    client: reqwest::Client,
    runtime: Handle,
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request)?;
        let client = self.client.clone();
        let sent = self.runtime.spawn(async move {
            let answer = client.execute(request).await?;
            let status = answer.status();
            Ok::<_, reqwest::Error>((status, answer.bytes().await?))
        });
        let (status, body) = sent.await??;
        Ok(Response::builder().status(status).body(body)?)
    }
}
