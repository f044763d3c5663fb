//! The settings of the guards: as flags and environment variables, and judged.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::{ConfigError, Merged};
use crate::guard::{Contract, FloatFields, GuardOptions, SeriesLimits};

/// So many series are known at most where series are counted: some 180 MB.
const SERIES_MAX_DEFAULT: u32 = 5_000_000;

/// The settings as they may be given; what is left out comes from the next source.
#[derive(Debug, Clone, Default, Args, Serialize)]
#[command(next_help_heading = "Guards")]
pub struct GuardFlags {
    /// A TOML file that says which measurements, tags and fields may come; SIGHUP reads it anew.
    #[arg(
        long,
        visible_alias = "contract",
        env = "HEADROOM_CONTRACT_FILE",
        global = true,
        value_name = "FILE"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contract_file: Option<PathBuf>,
    /// Fields whose integers become floats, such as cpu.usage_*,mem.*
    #[arg(
        long,
        env = "HEADROOM_FLOAT_FIELDS",
        global = true,
        value_name = "MEASUREMENT.FIELD,…"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub float_fields: Option<String>,
    /// Whether fields that go to an InfluxDB are held to their first type [default: true].
    #[arg(
        long,
        env = "HEADROOM_TYPE_GUARD",
        global = true,
        value_name = "true|false"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub type_guard: Option<bool>,
    /// How many series may be new in a measurement each day (UTC) [default: no bound].
    #[arg(
        long,
        env = "HEADROOM_SERIES_PER_MEASUREMENT_DAY",
        global = true,
        value_name = "NUMBER"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series_per_measurement_day: Option<u32>,
    /// How many new series a token may bring each day (UTC) [default: no bound].
    #[arg(
        long,
        env = "HEADROOM_SERIES_PER_TOKEN_DAY",
        global = true,
        value_name = "NUMBER"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series_per_token_day: Option<u32>,
    /// How many series may be known altogether [default: no bound; 5000000 where one of the two above is set].
    #[arg(
        long,
        env = "HEADROOM_SERIES_MAX",
        global = true,
        value_name = "NUMBER"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series_max: Option<u32>,
}

impl Merged {
    /// Reads and judges what the guards are to hold lines to.
    pub(super) fn guards(&self) -> Result<GuardOptions, ConfigError> {
        let contract = self
            .contract_file
            .as_deref()
            .map(Contract::read)
            .transpose()?;
        let float_fields = match self.float_fields.as_deref().map(str::trim) {
            None | Some("") => FloatFields::default(),
            Some(text) => text.parse().map_err(|error| {
                ConfigError::Mismatch(format!("HEADROOM_FLOAT_FIELDS: {error}"))
            })?,
        };
        Ok(GuardOptions {
            float_fields,
            contract,
            series: self.series_limits()?,
            holds_types: self.type_guard && self.influx_url.is_some(),
        })
    }

    fn series_limits(&self) -> Result<Option<SeriesLimits>, ConfigError> {
        let given = [
            ("PER_MEASUREMENT_DAY", self.series_per_measurement_day),
            ("PER_TOKEN_DAY", self.series_per_token_day),
            ("MAX", self.series_max),
        ];
        if let Some((name, ..)) = given.iter().find(|(_, limit)| *limit == Some(0)) {
            return Err(ConfigError::Mismatch(format!(
                "HEADROOM_SERIES_{name} is 0, so that no line could be taken; write 1 or more, or leave it out"
            )));
        }
        let counts = given.iter().any(|(_, limit)| limit.is_some());
        Ok(counts.then(|| SeriesLimits {
            per_measurement_day: self.series_per_measurement_day,
            per_token_day: self.series_per_token_day,
            total: self.series_max.unwrap_or(SERIES_MAX_DEFAULT),
        }))
    }
}
