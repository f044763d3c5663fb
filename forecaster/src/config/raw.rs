//! The settings as people write them: flags, `HEADROOM_*` variables and the settings file, all under the same names.

use std::path::PathBuf;

use clap::Args;
use serde::{Deserialize, Serialize};

/// Every setting, absent where nobody gave it. The file may also hold `[[target]]` and `[[threshold]]` tables.
#[derive(Clone, Default, Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Raw {
    /// Address and port to serve [default: 127.0.0.1:8187]
    #[arg(long, env = "HEADROOM_LISTEN", value_name = "ADDRESS:PORT")]
    pub listen: Option<String>,

    /// Folder of models, thresholds and alerts [default: ./headroom-data/forecaster]
    #[arg(long, env = "HEADROOM_DATA_DIR", value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,

    /// File of accepted tokens, one a line with its scopes; without it only loopback is served
    #[arg(long, env = "HEADROOM_TOKENS_FILE", value_name = "FILE")]
    pub tokens_file: Option<PathBuf>,

    /// Where history is read and forecasts are written [default: `http://127.0.0.1:8186`]
    #[arg(long, env = "HEADROOM_GATEWAY_URL", value_name = "URL")]
    pub gateway_url: Option<String>,

    /// Token that is presented to the gateway; it needs the scopes read and write
    #[arg(
        long,
        env = "HEADROOM_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    pub token: Option<String>,

    /// Database of the history, and bucket of the forecasts [default: telegraf]
    #[arg(long, env = "HEADROOM_DATABASE", value_name = "NAME")]
    pub database: Option<String>,

    /// Longest wait for an answer of the gateway, in seconds [default: 30]
    #[arg(long, env = "HEADROOM_GATEWAY_TIMEOUT_S", value_name = "SECONDS")]
    pub gateway_timeout_s: Option<u64>,

    /// When all hosts are retrained: cron with seconds, or five fields [default: 0 30 3 * * *]
    #[arg(long, env = "HEADROOM_RETRAIN_CRON", value_name = "CRON")]
    pub retrain_cron: Option<String>,

    /// Time zone of the cron expression [default: UTC]
    #[arg(long, env = "HEADROOM_TIMEZONE", value_name = "ZONE")]
    pub timezone: Option<String>,

    /// Train a host as soon as it is seen without a model [default: true]
    #[arg(long, env = "HEADROOM_TRAIN_ON_START", value_name = "BOOL")]
    pub train_on_start: Option<bool>,

    /// Longest training of one host, in seconds [default: 600]
    #[arg(long, env = "HEADROOM_TRAIN_TIMEOUT_S", value_name = "SECONDS")]
    pub train_timeout_s: Option<u64>,

    /// Hosts that are trained at a time; each takes a core, and the memory of one history [default: 1]
    #[arg(long, env = "HEADROOM_TRAIN_WORKERS", value_name = "NUMBER")]
    pub train_workers: Option<u64>,

    /// Hours that a new model runs beside the one that serves before it may serve itself; 0 for none [default: 0]
    #[arg(long, env = "HEADROOM_SHADOW_HOURS", value_name = "HOURS")]
    pub shadow_hours: Option<u64>,

    /// Days of history that a training reads [default: 28]
    #[arg(long, env = "HEADROOM_HISTORY_DAYS", value_name = "DAYS")]
    pub history_days: Option<u64>,

    /// Seed of every training; the same history and seed give the same model [default: 1]
    #[arg(long, env = "HEADROOM_SEED", value_name = "NUMBER")]
    pub seed: Option<u64>,

    /// Kinds of model that are fitted beside the LSTM, with commas between them: tcn, attention, or KIND=FILE to begin from a
    /// base that `pretrain --model KIND` made; `auto_ets`, `mstl_ets`, `auto_sarima` [default: none; each costs more]
    #[arg(long, env = "HEADROOM_EXTRA_MODELS", value_name = "KINDS")]
    pub extra_models: Option<String>,

    /// Where networks are fitted and asked: cpu, cuda, cuda:N, or auto for the first GPU where there is one
    /// [default: cpu]
    #[arg(long, env = "HEADROOM_DEVICE", value_name = "DEVICE")]
    pub device: Option<String>,

    /// How often hosts and targets are looked for, in seconds [default: 60]
    #[arg(long, env = "HEADROOM_DISCOVERY_INTERVAL_S", value_name = "SECONDS")]
    pub discovery_interval_s: Option<u64>,

    /// How often forecasts are written back and alerts judged, in seconds [default: 300]
    #[arg(long, env = "HEADROOM_FORECAST_INTERVAL_S", value_name = "SECONDS")]
    pub forecast_interval_s: Option<u64>,

    /// Hosts whose networks are in memory at a time; the others are read from disk when they are asked about
    /// [default: 256]
    #[arg(long, env = "HEADROOM_MODELS_IN_MEMORY", value_name = "NUMBER")]
    pub models_in_memory: Option<u64>,

    /// Hosts whose newest eight days are in memory at a time; of them only the last hour is read for a forecast
    /// [default: 1000]
    #[arg(long, env = "HEADROOM_HISTORIES_IN_MEMORY", value_name = "NUMBER")]
    pub histories_in_memory: Option<u64>,

    /// Age of the newest point from which a forecast says `stale`, in seconds [default: 900]
    #[arg(long, env = "HEADROOM_STALE_AFTER_S", value_name = "SECONDS")]
    pub stale_after_s: Option<u64>,

    /// Receiver of alerts; without it they are only listed
    #[arg(long, env = "HEADROOM_WEBHOOK_URL", value_name = "URL")]
    pub webhook_url: Option<String>,

    /// Key of the signature that every alert carries
    #[arg(
        long,
        env = "HEADROOM_WEBHOOK_SECRET",
        value_name = "SECRET",
        hide_env_values = true
    )]
    pub webhook_secret: Option<String>,

    /// Minutes in which a target raises one alert at most [default: 60]
    #[arg(long, env = "HEADROOM_ALERT_COOLDOWN", value_name = "MINUTES")]
    pub alert_cooldown: Option<u64>,

    /// Probability of crossing from which an alert is raised [default: 0.5]
    #[arg(long, env = "HEADROOM_ALERT_PROBABILITY", value_name = "0..1")]
    pub alert_probability: Option<f64>,

    /// Whether `[[target]]` tables join the default rules or take their place [default: true: they join]
    #[arg(long, env = "HEADROOM_DEFAULT_TARGETS", value_name = "BOOL")]
    pub default_targets: Option<bool>,

    /// Form of the log on stderr: text or json; `RUST_LOG` says what is logged [default: text]
    #[arg(long, env = "HEADROOM_LOG_FORMAT", value_name = "FORM")]
    pub log_format: Option<String>,

    /// Rules of what is forecast, beside or instead of the defaults.
    #[arg(skip)]
    pub target: Vec<super::rules::RawRule>,

    /// Thresholds of single hosts or targets.
    #[arg(skip)]
    pub threshold: Vec<RawThreshold>,
}

/// A `[[threshold]]` table of the settings file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawThreshold {
    /// The host that it holds for; every host where it is left out.
    #[serde(default)]
    pub host: Option<String>,
    /// The target, such as `disk.used_percent{path=/}`, or without the brackets for all paths.
    pub target: String,
    /// The value that must not be reached.
    pub value: f64,
}
