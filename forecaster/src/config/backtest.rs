//! The flags of `backtest`.

use std::{num::NonZeroUsize, path::PathBuf};

use super::{DEVICE, Raw, SEED, Settings, SettingsError};
use crate::{
    model::Device,
    model_kind::ModelKind,
    training::{ExtraModel, Part},
};

/// The flags of `backtest`: files, or a host of the gateway.
#[derive(clap::Args)]
pub struct Backtest {
    /// Series: `series_id`, `epoch_s`, `value`; `series.csv` with `n_train` lies beside it
    #[arg(long, value_name = "FILE", required_unless_present = "host", requires_all = ["windows", "out"])]
    series: Option<PathBuf>,

    /// Windows: `series_id`, `origin_index`, and a column of 0 and 1 a scope
    #[arg(long, value_name = "FILE", requires = "series")]
    windows: Option<PathBuf>,

    /// Which windows: a column of their file, or `full_all`
    #[arg(long, default_value = "core", requires = "series")]
    scope: String,

    /// Take every N-th host that has windows alone, in the order of names, for a sample that can be repeated
    #[arg(long, value_name = "N", default_value = "1", requires = "series")]
    every: NonZeroUsize,

    /// Where the forecasts go; Parquet when it ends so, gzip when it ends in .gz, else CSV
    #[arg(long, value_name = "FILE", requires = "series")]
    out: Option<PathBuf>,

    /// Seed of every training
    #[arg(long, default_value_t = SEED)]
    seed: u64,

    /// What answers: best, or one kind for every target that has it, such as lstm or `seasonal_naive_day`
    #[arg(long, default_value = "best", requires = "series", value_parser = served)]
    model: Served,

    /// Base to begin from, of the kind that answers [default: the one that is part of the program, or random weights]
    #[arg(long, value_name = "FILE", requires = "series")]
    base: Option<PathBuf>,

    /// Kind of model that is fitted beside and judged with the others: tcn, attention, or KIND=FILE to begin from a base,
    /// `auto_ets`, `mstl_ets`, `auto_sarima`; may be given more than once
    #[arg(long, value_name = "KIND", requires = "series")]
    extra: Vec<ExtraModel>,

    /// Where networks are fitted and asked: cpu, cuda, cuda:N or auto
    #[arg(long, env = "HEADROOM_DEVICE", default_value = DEVICE)]
    device: Device,

    /// Leave a part of the training out, to see what it is worth: base, fleet, tuning, widening or refresh
    #[arg(long, value_name = "PART", requires = "series")]
    without: Vec<Part>,

    /// A host of the gateway to judge instead of files
    #[arg(long, conflicts_with = "series", requires = "metric")]
    host: Option<String>,

    /// The host's target, such as cpu.usage
    #[arg(long, requires = "host")]
    metric: Option<String>,

    #[command(flatten)]
    gateway: GatewayFlags,
}

/// Which gateway a host's history is read from.
#[derive(clap::Args)]
struct GatewayFlags {
    /// Where history is read [default: `http://127.0.0.1:8186`]
    #[arg(long, env = "HEADROOM_GATEWAY_URL", value_name = "URL")]
    gateway_url: Option<String>,

    /// Token that is presented to the gateway
    #[arg(
        long,
        env = "HEADROOM_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    token: Option<String>,

    /// Database of the history [default: telegraf]
    #[arg(long, env = "HEADROOM_DATABASE", value_name = "NAME")]
    database: Option<String>,

    /// Days of history that are read [default: 28]
    #[arg(long, env = "HEADROOM_HISTORY_DAYS", value_name = "DAYS")]
    history_days: Option<u64>,

    /// Settings file (TOML), for its `[[target]]` tables
    #[arg(long, env = "HEADROOM_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Which of a host's models answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Served {
    /// The one that the training chose for each target.
    Best,
    /// One kind for every target that has it; the training's choice for the others.
    Only(ModelKind),
}

/// An evaluation that is to be run.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// Its series.
    pub series: PathBuf,
    /// Its windows.
    pub windows: PathBuf,
    /// The column of the windows that are asked.
    pub scope: String,
    /// Of the hosts that have windows, every so many-th is trained and asked.
    pub every: NonZeroUsize,
    /// Where the forecasts go.
    pub out: PathBuf,
    /// The seed of every training.
    pub seed: u64,
    /// Which models answer.
    pub served: Served,
    /// The base that is begun from; the one that is part of the program where none is named.
    pub base: Option<PathBuf>,
    /// The kinds of model that are fitted beside.
    pub extra: Vec<ExtraModel>,
    /// The device that computes.
    pub device: Device,
    /// What of a training is left out.
    pub without: Vec<Part>,
}

/// What is to be judged.
pub enum Judged {
    /// The windows of files.
    Files(Evaluation),
    /// A target of a host.
    Host {
        /// Where its history is.
        settings: Box<Settings>,
        /// The host.
        host: String,
        /// The target.
        metric: String,
    },
}

impl Backtest {
    /// Checks what was given.
    ///
    /// # Errors
    ///
    /// Names the setting that is wrong and what would be right.
    pub fn judged(self) -> Result<Judged, SettingsError> {
        let judged = match (self.series, self.windows, self.out) {
            (Some(series), Some(windows), Some(out)) => Judged::Files(Evaluation {
                series,
                windows,
                scope: self.scope,
                every: self.every,
                out,
                seed: self.seed,
                served: self.model,
                base: self.base,
                extra: self.extra,
                device: self.device,
                without: self.without,
            }),
            _ => Judged::Host {
                settings: Box::new(self.gateway.settings(self.seed, self.device)?),
                host: self.host.unwrap_or_default(),
                metric: self.metric.unwrap_or_default(),
            },
        };
        Ok(judged)
    }
}

impl GatewayFlags {
    fn settings(self, seed: u64, device: Device) -> Result<Settings, SettingsError> {
        let raw = Raw {
            gateway_url: self.gateway_url,
            token: self.token,
            database: self.database,
            history_days: self.history_days,
            seed: Some(seed),
            device: Some(device.to_string()),
            ..Raw::default()
        };
        super::cli::load(&raw, self.config)
    }
}

fn served(name: &str) -> Result<Served, String> {
    if name == "best" {
        return Ok(Served::Best);
    }
    let kind = ModelKind::ALL.into_iter().find(|kind| kind.name() == name);
    kind.map(Served::Only).ok_or_else(|| {
        let names: Vec<&str> = ModelKind::ALL.iter().map(|kind| kind.name()).collect();
        format!("write best, or one of {}", names.join(", "))
    })
}
