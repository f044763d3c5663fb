//! The settings as flags and environment variables.

mod service;

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;
use serde::Serialize;

pub use service::ServiceFlags;

use super::{ByteSize, GuardFlags, LogFormat, OwnEncoding, Secret};

/// The settings as they may be given; what is left out comes from the next source.
#[derive(Debug, Clone, Default, Args, Serialize)]
pub struct Flags {
    /// A TOML file with settings, keys as `data_dir`; its `[[destination]]` tables name servers that get every batch as well.
    #[arg(long, env = "HEADROOM_CONFIG", global = true)]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// The address to listen on; anything but loopback needs a tokens file [default: 127.0.0.1:8186].
    #[arg(
        long,
        env = "HEADROOM_LISTEN",
        global = true,
        value_name = "ADDRESS:PORT"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// The folder of journal and store [default: ./headroom-data/gateway].
    #[arg(long, env = "HEADROOM_DATA_DIR", global = true, value_name = "FOLDER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    /// The file of accepted tokens, `TOKEN read,write` a line.
    #[arg(long, env = "HEADROOM_TOKENS_FILE", global = true, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_file: Option<PathBuf>,
    /// The largest request body as it comes, such as 25MiB [default: 25MiB].
    #[arg(
        long,
        env = "HEADROOM_MAX_BODY_BYTES",
        global = true,
        value_name = "SIZE"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_body_bytes: Option<ByteSize>,
    /// The largest request body after decompression [default: 250MiB].
    #[arg(
        long,
        env = "HEADROOM_MAX_DECODED_BYTES",
        global = true,
        value_name = "SIZE"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_decoded_bytes: Option<ByteSize>,
    /// The most the journal may hold before pushes are asked to come later [default: 4GiB].
    #[arg(
        long,
        env = "HEADROOM_JOURNAL_MAX_BYTES",
        global = true,
        value_name = "SIZE"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal_max_bytes: Option<ByteSize>,
    /// The most the embedded store may take on disk before its oldest points go [default: no bound].
    #[arg(
        long,
        env = "HEADROOM_STORE_MAX_BYTES",
        global = true,
        value_name = "SIZE"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_max_bytes: Option<ByteSize>,
    /// The most memory for points that are not in the embedded store's file yet, before pushes are asked to come later; they are
    /// moved there from a sixth of it on [default: 384MiB].
    #[arg(
        long,
        env = "HEADROOM_STORE_MEMORY_MAX_BYTES",
        global = true,
        value_name = "SIZE"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_memory_max_bytes: Option<ByteSize>,
    /// How many hours a batch may wait in the journal before pushes are asked to come later [default: 168].
    #[arg(
        long,
        env = "HEADROOM_JOURNAL_MAX_AGE_H",
        global = true,
        value_name = "HOURS"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal_max_age_h: Option<u32>,
    /// How many seconds a query may take [default: 30].
    #[arg(
        long,
        env = "HEADROOM_QUERY_TIMEOUT_S",
        global = true,
        value_name = "SECONDS"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_timeout_s: Option<u32>,
    /// How many buckets of GROUP BY time a statement may make [default: 3000000].
    #[arg(
        long,
        env = "HEADROOM_QUERY_MAX_BUCKETS",
        global = true,
        value_name = "NUMBER"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_max_buckets: Option<u32>,
    /// How many values a statement may read [default: 40000000].
    #[arg(
        long,
        env = "HEADROOM_QUERY_MAX_VALUES",
        global = true,
        value_name = "NUMBER"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_max_values: Option<u32>,
    /// How many rows the answer of a SELECT may have [default: any number].
    #[arg(
        long,
        env = "HEADROOM_QUERY_MAX_ROWS",
        global = true,
        value_name = "NUMBER"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_max_rows: Option<u32>,
    /// How many queries may run at once; more wait a little and are then refused [default: 64].
    #[arg(
        long,
        env = "HEADROOM_QUERY_MAX_CONCURRENT",
        global = true,
        value_name = "NUMBER"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_max_concurrent: Option<u32>,
    /// An InfluxDB that stores the points instead of the embedded store.
    #[arg(long, env = "HEADROOM_INFLUX_URL", global = true, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub influx_url: Option<String>,
    /// The token that InfluxDB wants.
    #[arg(
        long,
        env = "HEADROOM_INFLUX_TOKEN",
        global = true,
        value_name = "TOKEN",
        hide_env_values = true
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub influx_token: Option<Secret>,
    /// The organisation in InfluxDB 2.
    #[arg(long, env = "HEADROOM_INFLUX_ORG", global = true, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub influx_org: Option<String>,
    /// The one bucket (or database) that every batch goes to; without it, the one that its client names.
    #[arg(
        long,
        env = "HEADROOM_INFLUX_BUCKET",
        global = true,
        value_name = "NAME"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub influx_bucket: Option<String>,
    /// InfluxDB's major version, 1, 2 or 3; without it, /ping is asked.
    #[arg(
        long,
        env = "HEADROOM_INFLUX_VERSION",
        global = true,
        value_name = "NUMBER"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub influx_version: Option<u8>,
    /// How bodies are encoded for InfluxDB that cannot go as they came [default: identity].
    #[arg(long, env = "HEADROOM_INFLUX_ENCODING", global = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub influx_encoding: Option<OwnEncoding>,
    /// How many requests to InfluxDB may be in flight; the order within a series is kept [default: 4].
    #[arg(
        long,
        env = "HEADROOM_INFLUX_IN_FLIGHT",
        global = true,
        value_name = "NUMBER"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub influx_in_flight: Option<u32>,
    /// How log lines are written.
    #[arg(long, env = "HEADROOM_LOG_FORMAT", global = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_format: Option<LogFormat>,
    /// What lines are held to.
    #[command(flatten)]
    #[serde(flatten)]
    pub guard: GuardFlags,
    /// The service around the pushes.
    #[command(flatten)]
    #[serde(flatten)]
    pub service: ServiceFlags,
}
