//! Settings: flags before `HEADROOM_*` variables before the settings file before the defaults.
//!
//! Arguments and environment are read here alone. Everything is checked before anything starts, and what is wrong is
//! named with its setting and with what would be right.

mod backtest;
mod cli;
mod pretrain;
mod raw;
mod rules;
mod schedule;
mod secret;

use std::{net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use chrono_tz::Tz;
use headroom_openapi::access::{Tokens, TokensError};
use url::Url;

use crate::{model::Device, model_kind::ModelKind, training::ExtraNetwork};

pub use backtest::{Backtest, Evaluation, Judged, Served};
pub use cli::{Cli, Command};
pub use pretrain::{Pretrain, Pretraining};
pub use raw::{Raw, RawThreshold};
pub use rules::{RawRule, Rule, RuleError, default_rules};
pub use schedule::{Schedule, ScheduleError};
pub use secret::Secret;

/// 8187: the port behind the gateway's 8186; loopback, because without tokens nobody else may be served.
pub const LISTEN: &str = "127.0.0.1:8187";
/// Beside the gateway's folder, under the folder that the service is started in.
pub const DATA_DIR: &str = "./headroom-data/forecaster";
/// The gateway's own default.
pub const GATEWAY_URL: &str = "http://127.0.0.1:8186";
/// The database that Telegraf's outputs name by default.
pub const DATABASE: &str = "telegraf";
/// A month of one host is read within seconds; half a minute leaves room for a loaded server.
pub const GATEWAY_TIMEOUT_S: u64 = 30;
/// Half past three: after the usual nightly jobs have left their mark, before the day begins.
pub const RETRAIN_CRON: &str = "0 30 3 * * *";
/// A train takes seconds; ten minutes can only be a hang.
pub const TRAIN_TIMEOUT_S: u64 = 600;
/// One leaves the other core of a small machine to the answers.
pub const TRAIN_WORKERS: u64 = 1;
/// 0: a new model has been judged on days that it has not seen, and a trial would make every model older by its length.
pub const SHADOW_HOURS: u64 = 0;
/// A network takes a third of a megabyte, and one that waits on disk answers a few milliseconds later.
pub const MODELS_IN_MEMORY: u64 = 256;
/// The newest eight days of seven targets take 65 kilobytes.
pub const HISTORIES_IN_MEMORY: u64 = 1_000;
/// Four weeks: the weekly rhythm is seen four times, and old habits do not rule.
pub const HISTORY_DAYS: u64 = 28;
/// Any fixed number: a train can be repeated.
pub const SEED: u64 = 1;
/// A new host waits a minute at most.
pub const DISCOVERY_INTERVAL_S: u64 = 60;
/// One step: each new value is followed by a new forecast.
pub const FORECAST_INTERVAL_S: u64 = 300;
/// Three steps: one late push is no silence.
pub const STALE_AFTER_S: u64 = 900;
/// Nobody wants to hear of the same disk more than once an hour.
pub const ALERT_COOLDOWN_MIN: u64 = 60;
/// More likely than not.
pub const ALERT_PROBABILITY: f64 = 0.5;

/// The processor: a GPU is worth its price for fleets of thousands, and every machine has a processor.
pub const DEVICE: &str = "cpu";

/// Everything that the service needs to know, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where models, thresholds and alerts lie.
    pub data_dir: PathBuf,
    /// What it accepts; `None` accepts everybody, on loopback.
    pub tokens_file: Option<PathBuf>,
    /// Where history comes from and forecasts go.
    pub gateway: GatewaySettings,
    /// How and when hosts are trained.
    pub training: TrainingSettings,
    /// What is forecast, and how often.
    pub forecasting: ForecastSettings,
    /// Whom to tell, and when.
    pub alerts: AlertSettings,
    /// The form of the log.
    pub log_format: LogFormat,
}

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("there is no such form".to_owned()),
        }
    }
}

/// Where history comes from and forecasts go.
#[derive(Debug, Clone)]
pub struct GatewaySettings {
    /// The gateway's address.
    pub url: Url,
    /// What is presented to it.
    pub token: Option<Secret>,
    /// Database of the history, and bucket of the forecasts.
    pub database: String,
    /// Longest wait for one answer.
    pub timeout: Duration,
}

/// How and when hosts are trained.
#[derive(Debug, Clone)]
pub struct TrainingSettings {
    /// When all hosts are retrained.
    pub schedule: Schedule,
    /// The time zone of the schedule.
    pub timezone: Tz,
    /// Whether a host that is seen without a model is trained at once.
    pub on_start: bool,
    /// Longest training of one host.
    pub timeout: Duration,
    /// How many hosts are trained at a time.
    pub workers: usize,
    /// How long a new model runs beside the champion before it may serve, in seconds; 0 for not at all.
    pub shadow_s: i64,
    /// Days of history that are read.
    pub history_days: u64,
    /// The seed of every training.
    pub seed: u64,
    /// The kinds of network that are fitted beside the LSTM.
    pub extra: Vec<ExtraNetwork>,
    /// The statistical models that are fitted beyond the usual ones.
    pub statistical: Vec<ModelKind>,
    /// The device that networks are fitted and asked on.
    pub device: Device,
}

/// What is forecast, and how often.
#[derive(Debug, Clone)]
pub struct ForecastSettings {
    /// Which series are targets.
    pub rules: Vec<Rule>,
    /// How often hosts and targets are looked for.
    pub discovery_interval: Duration,
    /// How often forecasts are written back and alerts judged.
    pub interval: Duration,
    /// Age of the newest point from which a forecast is stale, in seconds.
    pub stale_after_s: i64,
    /// Networks that are in memory at most.
    pub models_in_memory: usize,
    /// Hosts whose newest history is in memory at most.
    pub histories_in_memory: usize,
}

/// Whom to tell, and when.
#[derive(Debug, Clone)]
pub struct AlertSettings {
    /// The receiver; without it alerts are only listed.
    pub webhook: Option<WebhookSettings>,
    /// How long a target stays quiet after an alert.
    pub cooldown: Duration,
    /// Probability of crossing from which an alert is raised.
    pub probability: f64,
    /// Thresholds from the settings file.
    pub thresholds: Vec<RawThreshold>,
}

/// Where alerts are sent.
#[derive(Debug, Clone)]
pub struct WebhookSettings {
    /// The receiver's address.
    pub url: Url,
    /// The key of the signature; without it alerts are sent unsigned.
    pub secret: Option<Secret>,
}

/// Why the settings were refused.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The settings file cannot be read or holds something unknown.
    #[error("the settings file {path}: {reason}")]
    File {
        /// Its path.
        path: PathBuf,
        /// What is wrong; it names the key.
        reason: String,
    },
    /// A value that means nothing.
    #[error("{setting} is {value:?}: {reason}")]
    Value {
        /// The setting's variable.
        setting: &'static str,
        /// What was given.
        value: String,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// A rule that cannot be followed.
    #[error("[[target]] number {number} of the settings file: {source}")]
    Rule {
        /// Its place, from 1.
        number: usize,
        /// What is wrong.
        source: RuleError,
    },
    /// The tokens file cannot be read.
    #[error("HEADROOM_TOKENS_FILE is {path}, which cannot be read: {source}")]
    TokensUnreadable {
        /// Its path.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The tokens file holds something wrong.
    #[error("HEADROOM_TOKENS_FILE: {0}")]
    Tokens(#[from] TokensError),
    /// Anybody could come in.
    #[error(
        "HEADROOM_LISTEN is {listen}, which other machines reach, and there are no tokens; set HEADROOM_TOKENS_FILE, or \
         listen on 127.0.0.1"
    )]
    Unguarded {
        /// The address.
        listen: SocketAddr,
    },
}

impl Settings {
    /// Reads the tokens that are accepted, and refuses an address that needs them where there are none.
    ///
    /// # Errors
    ///
    /// Says what is wrong with the file or the address.
    pub fn tokens(&self) -> Result<Option<Tokens>, SettingsError> {
        let tokens = match &self.tokens_file {
            None => None,
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|source| {
                    SettingsError::TokensUnreadable {
                        path: path.clone(),
                        source,
                    }
                })?;
                Some(Tokens::parse(&text)?)
            }
        };
        if headroom_openapi::access::may_listen(self.listen, tokens.as_ref()) {
            Ok(tokens)
        } else {
            Err(SettingsError::Unguarded {
                listen: self.listen,
            })
        }
    }
}
