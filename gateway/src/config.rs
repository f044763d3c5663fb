//! The settings: command line over environment over file over default.
//!
//! Every setting is a flag (`--data-dir`), an environment variable (`HEADROOM_DATA_DIR`) and a key of the optional TOML
//! file (`data_dir`). Environment and arguments are read here and nowhere else.

mod command;
mod destinations;
mod flags;
mod guards;
mod service;
mod size;

use std::{
    fmt, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::ValueEnum;
use figment::{
    Figment,
    providers::{Format, Serialized, Toml},
};
use headroom_openapi::access::{Tokens, TokensError, may_listen};
use serde::{Deserialize, Serialize};
use url::Url;

pub use command::{
    Cli, Command, ExportArgs, ExportFormat, ImportArgs, TokenCommand, TokenCreateArgs,
};
pub use destinations::{InfluxSettings, OwnEncoding, PRIMARY};
pub use flags::{Flags, ServiceFlags};
pub use guards::GuardFlags;
pub use service::{ConnectionLimits, RejectsLimits, TlsFiles, TraceSettings};
pub use size::ByteSize;

use crate::{
    access::IssuedFile,
    guard::{ContractError, GuardOptions},
    influxql::{self, QueryLimits},
    store,
};

/// Telegraf's own default port for its InfluxDB listener; loopback, because there are no tokens by default.
const LISTEN_DEFAULT: &str = "127.0.0.1:8186";
/// Beside where the program is started: a first try needs no rights.
const DATA_DIR_DEFAULT: &str = "./headroom-data/gateway";
/// InfluxDB 1.x' own limit, in whole mebibytes.
const MAX_BODY_BYTES_DEFAULT: ByteSize = ByteSize(25 << 20);
/// Ten times the body: line protocol shrinks to a tenth under gzip.
const MAX_DECODED_BYTES_DEFAULT: ByteSize = ByteSize(250 << 20);
/// Days of outage for a small fleet, and little enough for a small disk.
const JOURNAL_MAX_BYTES_DEFAULT: ByteSize = ByteSize(4 << 30);
/// Below this a single batch could fill the journal.
const JOURNAL_MAX_BYTES_LEAST: ByteSize = ByteSize(1 << 20);
/// Below this every batch would have to be sealed by itself.
const STORE_MEMORY_MAX_BYTES_LEAST: ByteSize = ByteSize(1 << 20);

/// A week: an outage of a weekend and a long repair.
const JOURNAL_MAX_AGE_H_DEFAULT: u32 = 7 * 24;

/// A day: no dashboard waits longer.
const QUERY_TIMEOUT_S_MOST: u32 = 86_400;
/// A query has a thread, and the runtime has no more.
const QUERY_MAX_CONCURRENT_MOST: u32 = 512;

/// How log lines are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// A text that never shows in logs.
#[derive(Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text itself, to present it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.trim().to_owned())
    }
}

/// The settings after all sources were merged and judged.
#[derive(Debug)]
pub struct Settings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The folder of journal and store.
    pub data_dir: PathBuf,
    /// The accepted tokens; `None`: everybody on loopback is trusted.
    pub tokens: Option<Tokens>,
    /// What request bodies may take.
    pub limits: BodyLimits,
    /// The bounds on connections and on their ends.
    pub connections: ConnectionLimits,
    /// Certificate and key; `None`: plain HTTP.
    pub tls: Option<TlsFiles>,
    /// What may be kept of refused lines.
    pub rejects: RejectsLimits,
    /// Where traces go; `None`: nowhere.
    pub traces: Option<TraceSettings>,
    /// What lines are held to.
    pub guards: GuardOptions,
    /// The most the journal may hold.
    pub journal_max_bytes: u64,
    /// How long a batch may wait in the journal.
    pub journal_max_age: Duration,
    /// The most the embedded store may take on disk.
    pub store_max_bytes: Option<u64>,
    /// The most that points of the embedded store may take in memory before they are sealed.
    pub store_memory_max_bytes: usize,
    /// What a query of the embedded store may take.
    pub query_limits: QueryLimits,
    /// The InfluxDB behind the gateway; `None`: the embedded store.
    pub influx: Option<InfluxSettings>,
    /// The servers that get every batch as well.
    pub destinations: Vec<InfluxSettings>,
    /// How log lines are written.
    pub log_format: LogFormat,
}

/// What request bodies may take.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
    /// The largest one as it comes.
    pub max_body_bytes: u64,
    /// The largest one after decompression.
    pub max_decoded_bytes: u64,
    /// All that are in memory together, packed and unpacked.
    pub max_inflight_bytes: u64,
    /// How many are decompressed at once.
    pub max_decodes: usize,
    /// How long one may take to come.
    pub timeout: Duration,
}

/// Why the settings were refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the settings file {} cannot be read: {source}", path.display())]
    FileUnreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A value or a key is wrong.
    #[error("a setting is wrong: {0}")]
    Invalid(#[from] Box<figment::Error>),
    /// The tokens file is wrong.
    #[error("{} (HEADROOM_TOKENS_FILE): {source}", path.display())]
    Tokens {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        source: TokensError,
    },
    /// The contract is wrong.
    #[error("HEADROOM_CONTRACT_FILE: {0}")]
    Contract(#[from] ContractError),
    /// Without tokens everybody could write.
    #[error(
        "HEADROOM_LISTEN is {0}, which others can reach, and there are no tokens; make one with `headroom-gateway token create`, give a HEADROOM_TOKENS_FILE, or listen on 127.0.0.1"
    )]
    OpenToAll(SocketAddr),
    /// Two settings that do not fit.
    #[error("{0}")]
    Mismatch(String),
}

/// What figment merges.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Merged {
    listen: SocketAddr,
    data_dir: PathBuf,
    tokens_file: Option<PathBuf>,
    max_body_bytes: ByteSize,
    max_decoded_bytes: ByteSize,
    journal_max_bytes: ByteSize,
    journal_max_age_h: u32,
    store_max_bytes: Option<ByteSize>,
    store_memory_max_bytes: ByteSize,
    contract_file: Option<PathBuf>,
    float_fields: Option<String>,
    type_guard: bool,
    series_per_measurement_day: Option<u32>,
    series_per_token_day: Option<u32>,
    series_max: Option<u32>,
    query_timeout_s: u32,
    query_max_buckets: u32,
    query_max_values: u32,
    query_max_rows: Option<u32>,
    query_max_concurrent: u32,
    influx_url: Option<String>,
    influx_token: Option<Secret>,
    influx_org: Option<String>,
    influx_bucket: Option<String>,
    influx_version: Option<u8>,
    influx_encoding: Option<OwnEncoding>,
    influx_in_flight: Option<u32>,
    #[serde(default)]
    destination: Vec<destinations::Given>,
    log_format: LogFormat,
    tls_cert_file: Option<PathBuf>,
    tls_key_file: Option<PathBuf>,
    max_connections: u32,
    max_inflight_bytes: ByteSize,
    max_concurrent_decodes: u32,
    head_timeout_s: u32,
    body_timeout_s: u32,
    drain_timeout_s: u32,
    rejects_max_bytes: ByteSize,
    rejects_max_age_h: u32,
    otlp_url: Option<String>,
    otlp_sample: f64,
}

impl Default for Merged {
    fn default() -> Self {
        Self {
            listen: LISTEN_DEFAULT.parse().expect("the default is an address"),
            data_dir: DATA_DIR_DEFAULT.into(),
            tokens_file: None,
            max_body_bytes: MAX_BODY_BYTES_DEFAULT,
            max_decoded_bytes: MAX_DECODED_BYTES_DEFAULT,
            journal_max_bytes: JOURNAL_MAX_BYTES_DEFAULT,
            journal_max_age_h: JOURNAL_MAX_AGE_H_DEFAULT,
            store_max_bytes: None,
            store_memory_max_bytes: ByteSize(store::MEMORY_MAX_BYTES_DEFAULT as u64),
            contract_file: None,
            float_fields: None,
            type_guard: true,
            series_per_measurement_day: None,
            series_per_token_day: None,
            series_max: None,
            query_timeout_s: influxql::TIMEOUT_S_DEFAULT,
            query_max_buckets: influxql::BUCKETS_MAX_DEFAULT,
            query_max_values: influxql::VALUES_MAX_DEFAULT,
            query_max_rows: None,
            query_max_concurrent: influxql::CONCURRENT_MAX_DEFAULT,
            influx_url: None,
            influx_token: None,
            influx_org: None,
            influx_bucket: None,
            influx_version: None,
            influx_encoding: None,
            influx_in_flight: None,
            destination: Vec::new(),
            log_format: LogFormat::Text,
            tls_cert_file: None,
            tls_key_file: None,
            max_connections: service::MAX_CONNECTIONS_DEFAULT,
            max_inflight_bytes: service::MAX_INFLIGHT_BYTES_DEFAULT,
            max_concurrent_decodes: service::MAX_CONCURRENT_DECODES_DEFAULT,
            head_timeout_s: service::HEAD_TIMEOUT_S_DEFAULT,
            body_timeout_s: service::BODY_TIMEOUT_S_DEFAULT,
            drain_timeout_s: service::DRAIN_TIMEOUT_S_DEFAULT,
            rejects_max_bytes: service::REJECTS_MAX_BYTES_DEFAULT,
            rejects_max_age_h: service::REJECTS_MAX_AGE_H_DEFAULT,
            otlp_url: None,
            otlp_sample: service::OTLP_SAMPLE_DEFAULT,
        }
    }
}

impl Settings {
    /// Merges all sources and judges the outcome.
    ///
    /// # Errors
    ///
    /// Names the setting that is wrong and what would be right.
    pub fn load(flags: &Flags) -> Result<Self, ConfigError> {
        merged(flags)?.judge()
    }

    /// The data folder alone, for what must work before the other settings do.
    ///
    /// # Errors
    ///
    /// When a source cannot be read.
    pub fn data_dir(flags: &Flags) -> Result<PathBuf, ConfigError> {
        Ok(merged(flags)?.data_dir)
    }
}

fn merged(flags: &Flags) -> Result<Merged, ConfigError> {
    let mut figment = Figment::from(Serialized::defaults(Merged::default()));
    if let Some(path) = &flags.config {
        figment = figment.merge(Toml::string(&read(path)?));
    }
    Ok(figment
        .merge(Serialized::defaults(flags))
        .extract()
        .map_err(Box::new)?)
}

impl Merged {
    fn judge(self) -> Result<Settings, ConfigError> {
        let mismatch = |text: &str| Err(ConfigError::Mismatch(text.to_owned()));
        if self.journal_max_bytes < JOURNAL_MAX_BYTES_LEAST {
            return mismatch(
                "HEADROOM_JOURNAL_MAX_BYTES is under 1MiB; a single batch would fill the journal",
            );
        }
        let least = ByteSize(store::STORE_MAX_BYTES_LEAST);
        if self.store_max_bytes.is_some_and(|size| size < least) {
            return mismatch("HEADROOM_STORE_MAX_BYTES is under 64MiB; leave it out for no bound");
        }
        if self.store_memory_max_bytes < STORE_MEMORY_MAX_BYTES_LEAST {
            return mismatch(
                "HEADROOM_STORE_MEMORY_MAX_BYTES is under 1MiB; every batch would wait for the one before it to be sealed",
            );
        }
        if self.journal_max_age_h == 0 {
            return mismatch("HEADROOM_JOURNAL_MAX_AGE_H is 0; every push would be turned away");
        }
        let tokens = self.tokens_file.as_deref().map(tokens).transpose()?;
        let has_issued = IssuedFile::of(&self.data_dir).path().exists();
        if !has_issued && !may_listen(self.listen, tokens.as_ref()) {
            return Err(ConfigError::OpenToAll(self.listen));
        }
        Ok(Settings {
            listen: self.listen,
            data_dir: self.data_dir.clone(),
            tokens,
            limits: self.body_limits()?,
            connections: self.connection_limits()?,
            tls: self.tls()?,
            rejects: self.rejects()?,
            traces: self.traces()?,
            journal_max_bytes: self.journal_max_bytes.0,
            journal_max_age: Duration::from_hours(self.journal_max_age_h.into()),
            guards: self.guards()?,
            store_max_bytes: self.store_max_bytes.map(|size| size.0),
            store_memory_max_bytes: self.store_memory_max_bytes.0 as usize,
            query_limits: self.query_limits()?,
            log_format: self.log_format,
            influx: destinations::Given {
                url: self.influx_url,
                token: self.influx_token,
                org: self.influx_org,
                bucket: self.influx_bucket,
                version: self.influx_version,
                encoding: self.influx_encoding,
                in_flight: self.influx_in_flight,
                ..destinations::Given::default()
            }
            .primary()?,
            destinations: destinations::Given::others(self.destination)?,
        })
    }

    fn query_limits(&self) -> Result<QueryLimits, ConfigError> {
        for (name, value, most) in [
            ("TIMEOUT_S", self.query_timeout_s, QUERY_TIMEOUT_S_MOST),
            ("MAX_BUCKETS", self.query_max_buckets, u32::MAX),
            ("MAX_VALUES", self.query_max_values, u32::MAX),
            ("MAX_ROWS", self.query_max_rows.unwrap_or(1), u32::MAX),
            (
                "MAX_CONCURRENT",
                self.query_max_concurrent,
                QUERY_MAX_CONCURRENT_MOST,
            ),
        ] {
            if !(1..=most).contains(&value) {
                return Err(ConfigError::Mismatch(format!(
                    "HEADROOM_QUERY_{name} is {value}; it can be 1 to {most}"
                )));
            }
        }
        Ok(QueryLimits {
            time_max: Duration::from_secs(self.query_timeout_s.into()),
            buckets_max: self.query_max_buckets as usize,
            values_max: self.query_max_values as usize,
            rows_max: self.query_max_rows.map(|rows| rows as usize),
            concurrent_max: self.query_max_concurrent as usize,
        })
    }
}

fn http_url(text: &str) -> Option<Url> {
    Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

fn read(path: &Path) -> Result<String, ConfigError> {
    fs::read_to_string(path).map_err(|source| ConfigError::FileUnreadable {
        path: path.to_owned(),
        source,
    })
}

fn tokens(path: &Path) -> Result<Tokens, ConfigError> {
    Tokens::parse(&read(path)?).map_err(|source| ConfigError::Tokens {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests;
