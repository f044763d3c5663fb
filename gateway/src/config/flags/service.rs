//! The settings of the service around the pushes: connections, times, TLS, rejects, traces.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::ByteSize;

/// The settings as they may be given; what is left out comes from the next source.
#[derive(Debug, Clone, Default, Args, Serialize)]
#[command(next_help_heading = "Service")]
pub struct ServiceFlags {
    /// The certificate chain as PEM; with it and its key, TLS is spoken, and both are read anew when they change.
    #[arg(
        long,
        env = "HEADROOM_TLS_CERT_FILE",
        global = true,
        value_name = "FILE"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_cert_file: Option<PathBuf>,
    /// The certificate's private key as PEM.
    #[arg(
        long,
        env = "HEADROOM_TLS_KEY_FILE",
        global = true,
        value_name = "FILE"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key_file: Option<PathBuf>,
    /// How many connections may be open; more wait until one ends [default: 4096].
    #[arg(
        long,
        env = "HEADROOM_MAX_CONNECTIONS",
        global = true,
        value_name = "NUMBER"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<u32>,
    /// How many bytes of request bodies, packed and unpacked, may be in memory at once; more are asked to come later
    /// [default: 1GiB].
    #[arg(
        long,
        env = "HEADROOM_MAX_INFLIGHT_BYTES",
        global = true,
        value_name = "SIZE"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_inflight_bytes: Option<ByteSize>,
    /// How many bodies may be decompressed at once; more wait a little and are then asked to come later [default: 4].
    #[arg(
        long,
        env = "HEADROOM_MAX_CONCURRENT_DECODES",
        global = true,
        value_name = "NUMBER"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_concurrent_decodes: Option<u32>,
    /// How many seconds a client may take for a request's head, and for its part of a TLS handshake [default: 5].
    #[arg(
        long,
        env = "HEADROOM_HEAD_TIMEOUT_S",
        global = true,
        value_name = "SECONDS"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_timeout_s: Option<u32>,
    /// How many seconds a client may take for a request's body [default: 30].
    #[arg(
        long,
        env = "HEADROOM_BODY_TIMEOUT_S",
        global = true,
        value_name = "SECONDS"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_timeout_s: Option<u32>,
    /// How many seconds requests may take to finish after SIGTERM; the rest of the stop takes ten more at most
    /// [default: 20].
    #[arg(
        long,
        env = "HEADROOM_DRAIN_TIMEOUT_S",
        global = true,
        value_name = "SECONDS"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain_timeout_s: Option<u32>,
    /// The most that refused lines may take on disk before the oldest go [default: 64MiB].
    #[arg(
        long,
        env = "HEADROOM_REJECTS_MAX_BYTES",
        global = true,
        value_name = "SIZE"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejects_max_bytes: Option<ByteSize>,
    /// How many hours refused lines are kept [default: 168].
    #[arg(
        long,
        env = "HEADROOM_REJECTS_MAX_AGE_H",
        global = true,
        value_name = "HOURS"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejects_max_age_h: Option<u32>,
    /// An OpenTelemetry collector that gets traces over OTLP/HTTP, such as `http://127.0.0.1:4318`.
    #[arg(long, env = "HEADROOM_OTLP_URL", global = true, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp_url: Option<String>,
    /// The part of requests without a trace of their own that are traced, from 0 to 1 [default: 1].
    #[arg(long, env = "HEADROOM_OTLP_SAMPLE", global = true, value_name = "PART")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp_sample: Option<f64>,
}
