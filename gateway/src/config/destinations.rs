//! The servers that batches are sent to: the one of `HEADROOM_INFLUX_URL`, and those of the file's `[[destination]]` tables.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{ConfigError, Secret, http_url};

/// What the destination of `HEADROOM_INFLUX_URL` is called.
pub const PRIMARY: &str = "influxdb";
/// Enough to keep a server of a few cores at work through the time that a request is on its way.
const IN_FLIGHT_DEFAULT: u32 = 4;
/// More requests at once only queue up in the server.
const IN_FLIGHT_MOST: u32 = 64;
/// What fits into a file name and a metric's label with room to spare.
const NAME_MAX_BYTES: usize = 40;

/// How a body is encoded that cannot go as it came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OwnEncoding {
    /// Plain text: no CPU for it, which suits a server nearby.
    #[default]
    Identity,
    /// Compressed, for a server behind a thin line.
    Gzip,
}

/// An InfluxDB that batches are sent to.
#[derive(Debug, Clone)]
pub struct InfluxSettings {
    /// What it is called in logs, metrics and `/ready`.
    pub name: String,
    /// Its address; a path is a prefix.
    pub url: Url,
    /// What it wants for authentication.
    pub token: Option<Secret>,
    /// The organisation in InfluxDB 2.
    pub org: Option<String>,
    /// The one bucket for everything.
    pub bucket: Option<String>,
    /// The major version, if it need not be asked for.
    pub version: Option<u8>,
    /// How a body is encoded that cannot go as it came.
    pub encoding: OwnEncoding,
    /// How many requests may be in flight.
    pub in_flight: usize,
    /// Whether it loses batches, rather than that pushes are turned away, when the journal is full for its sake alone.
    pub optional: bool,
}

/// A destination as it is given.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Given {
    pub(super) name: Option<String>,
    pub(super) url: Option<String>,
    pub(super) token: Option<Secret>,
    pub(super) org: Option<String>,
    pub(super) bucket: Option<String>,
    pub(super) version: Option<u8>,
    pub(super) encoding: Option<OwnEncoding>,
    pub(super) in_flight: Option<u32>,
    #[serde(default)]
    pub(super) optional: bool,
}

impl Given {
    /// Judges the destination of `HEADROOM_INFLUX_URL`.
    pub(super) fn primary(self) -> Result<Option<InfluxSettings>, ConfigError> {
        if self.url.is_none() {
            let alone = self.token.is_some() || self.org.is_some() || self.bucket.is_some();
            return if alone {
                Err(ConfigError::Mismatch(
                    "HEADROOM_INFLUX_TOKEN, _ORG or _BUCKET is set and HEADROOM_INFLUX_URL is not; set it, such as http://127.0.0.1:8086".to_owned(),
                ))
            } else {
                Ok(None)
            };
        }
        let name = PRIMARY.to_owned();
        self.judge(name, |setting| {
            format!("HEADROOM_INFLUX_{}", setting.to_uppercase())
        })
        .map(Some)
    }

    /// Judges the file's destinations.
    pub(super) fn others(tables: Vec<Self>) -> Result<Vec<InfluxSettings>, ConfigError> {
        let mut destinations: Vec<InfluxSettings> = Vec::new();
        for mut table in tables {
            let name = table.name.take().unwrap_or_default();
            let is_plain =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            if name.is_empty() || name.len() > NAME_MAX_BYTES || !name.bytes().all(is_plain) {
                return Err(ConfigError::Mismatch(format!(
                    "a [[destination]] has the name {name:?}; write 1 to {NAME_MAX_BYTES} of a to z, 0 to 9 and -"
                )));
            }
            if name == PRIMARY || destinations.iter().any(|other| other.name == name) {
                return Err(ConfigError::Mismatch(format!(
                    "a [[destination]] has the name {name:?}, which another one has ({PRIMARY:?} is that of HEADROOM_INFLUX_URL); give it one of its own"
                )));
            }
            let shown = name.clone();
            destinations.push(table.judge(name, |setting| {
                format!("{setting} of the destination {shown:?}")
            })?);
        }
        Ok(destinations)
    }

    fn judge(
        self,
        name: String,
        setting: impl Fn(&str) -> String,
    ) -> Result<InfluxSettings, ConfigError> {
        let mismatch = |text: String| Err(ConfigError::Mismatch(text));
        let Some(url) = self.url.as_deref().and_then(http_url) else {
            return mismatch(format!(
                "{} is no address; write http://HOST:PORT or https://HOST:PORT",
                setting("url")
            ));
        };
        if !matches!(self.version, None | Some(1..=3)) {
            return mismatch(format!(
                "{} is none of 1, 2 and 3; leave it out to have the server asked",
                setting("version")
            ));
        }
        let in_flight = self.in_flight.unwrap_or(IN_FLIGHT_DEFAULT);
        if !(1..=IN_FLIGHT_MOST).contains(&in_flight) {
            return mismatch(format!(
                "{} is {in_flight}; it can be 1 to {IN_FLIGHT_MOST}",
                setting("in_flight")
            ));
        }
        Ok(InfluxSettings {
            name,
            url,
            token: self.token,
            org: self.org,
            bucket: self.bucket,
            version: self.version,
            encoding: self.encoding.unwrap_or_default(),
            in_flight: in_flight as usize,
            optional: self.optional,
        })
    }
}
