//! The command line, and how flags, environment, file and defaults become [`Settings`].

use std::{fmt::Display, path::PathBuf, str::FromStr, time::Duration};

use clap::{Parser, Subcommand};
use figment::{
    Figment,
    providers::{Format, Serialized, Toml},
};
use serde_json::Value;
use url::Url;

use super::{
    ALERT_COOLDOWN_MIN, ALERT_PROBABILITY, AlertSettings, Backtest, DATA_DIR, DATABASE, DEVICE,
    DISCOVERY_INTERVAL_S, FORECAST_INTERVAL_S, ForecastSettings, GATEWAY_TIMEOUT_S, GATEWAY_URL,
    GatewaySettings, HISTORIES_IN_MEMORY, HISTORY_DAYS, LISTEN, MODELS_IN_MEMORY, Pretrain,
    RETRAIN_CRON, Raw, SEED, SHADOW_HOURS, STALE_AFTER_S, Secret, Settings, SettingsError,
    TRAIN_TIMEOUT_S, TRAIN_WORKERS, TrainingSettings, WebhookSettings, rules,
};
use crate::{training::ExtraModel, version::CODE_VERSION};

/// Retrains an LSTM per host and serves forecasts that carry their errors.
///
/// Without a command it serves: it reads history from the gateway, trains every host it finds, answers under /api/v1,
/// shows Swagger UI at /docs, and writes forecasts back as points. Flags go before HEADROOM_* variables, these before
/// the settings file.
#[derive(Parser)]
#[command(
    name = "headroom-forecaster",
    version = CODE_VERSION,
    args_conflicts_with_subcommands = true
)]
pub struct Cli {
    /// What to do instead of serving
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Settings file (TOML), with the settings' names in `snake_case`, `[[target]]` and `[[threshold]]` tables
    #[arg(long, env = "HEADROOM_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(flatten)]
    raw: Raw,
}

/// What the program can do instead of serving.
#[derive(Subcommand)]
pub enum Command {
    /// Serve (also without a command)
    Serve(Box<Serve>),
    /// Print the OpenAPI document of the service
    Openapi,
    /// Judge forecasts on history: of files, for a scoring program, or of a host of the gateway
    Backtest(Box<Backtest>),
    /// Make a base, the network that every host's own begins from
    Pretrain(Box<Pretrain>),
}

/// The flags of `serve`.
#[derive(clap::Args)]
pub struct Serve {
    /// Settings file (TOML), with the settings' names in `snake_case`, `[[target]]` and `[[threshold]]` tables
    #[arg(long, env = "HEADROOM_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(flatten)]
    raw: Raw,
}

impl Cli {
    /// Makes the settings of the service that is to be started.
    ///
    /// # Errors
    ///
    /// Names the setting that is wrong and what would be right.
    pub fn settings(self) -> Result<Settings, SettingsError> {
        match self.command {
            Some(Command::Serve(serve)) => load(&serve.raw, serve.config),
            _ => load(&self.raw, self.config),
        }
    }
}

pub(super) fn load(given: &Raw, file: Option<PathBuf>) -> Result<Settings, SettingsError> {
    let mut figment = Figment::new();
    if let Some(path) = file.as_ref().filter(|path| !path.as_os_str().is_empty()) {
        figment = figment.merge(Toml::file_exact(path));
    }
    figment
        .merge(Serialized::defaults(present(given)))
        .extract::<Raw>()
        .map_err(|error| SettingsError::File {
            path: file.unwrap_or_default(),
            reason: first_line(&error),
        })
        .and_then(Settings::from_raw)
}

/// The first of what is wrong; figment writes the others below it.
fn first_line(error: &figment::Error) -> String {
    let said = error.to_string();
    said.lines().next().unwrap_or_default().to_owned()
}

/// Keeps what was given: an empty variable, as Compose passes it for one that is unset, counts as absent.
fn present(given: &Raw) -> Value {
    let mut value = serde_json::to_value(given).unwrap_or_default();
    if let Value::Object(entries) = &mut value {
        entries.retain(|_, entry| match entry {
            Value::Null => false,
            Value::String(text) => !text.trim().is_empty(),
            Value::Array(list) => !list.is_empty(),
            _ => true,
        });
    }
    value
}

impl Settings {
    /// Checks what was given and fills in the defaults.
    ///
    /// # Errors
    ///
    /// Names the first setting that is wrong and what would be right.
    pub fn from_raw(raw: Raw) -> Result<Self, SettingsError> {
        let training = training(&raw)?;
        let forecasting = forecasting(&raw)?;
        let listen = raw.listen.unwrap_or_else(|| LISTEN.to_owned());
        Ok(Self {
            listen: parse(
                "HEADROOM_LISTEN",
                &listen,
                "write ADDRESS:PORT, such as 127.0.0.1:8187",
            )?,
            data_dir: raw.data_dir.unwrap_or_else(|| DATA_DIR.into()),
            tokens_file: raw.tokens_file,
            gateway: GatewaySettings {
                url: http_url(
                    "HEADROOM_GATEWAY_URL",
                    raw.gateway_url.as_deref().unwrap_or(GATEWAY_URL),
                )?,
                token: raw.token.map(Secret::new),
                database: raw.database.unwrap_or_else(|| DATABASE.to_owned()),
                timeout: seconds(
                    "HEADROOM_GATEWAY_TIMEOUT_S",
                    raw.gateway_timeout_s,
                    GATEWAY_TIMEOUT_S,
                )?,
            },
            training,
            forecasting,
            alerts: AlertSettings {
                webhook: raw
                    .webhook_url
                    .map(|url| http_url("HEADROOM_WEBHOOK_URL", &url))
                    .transpose()?
                    .map(|url| WebhookSettings {
                        url,
                        secret: raw.webhook_secret.map(Secret::new),
                    }),
                cooldown: Duration::from_secs(
                    60 * within(
                        "HEADROOM_ALERT_COOLDOWN",
                        raw.alert_cooldown,
                        ALERT_COOLDOWN_MIN,
                        1,
                        10_080,
                    )?,
                ),
                probability: probability(raw.alert_probability)?,
                thresholds: raw.threshold,
            },
            log_format: parse(
                "HEADROOM_LOG_FORMAT",
                raw.log_format.as_deref().unwrap_or("text"),
                "write text or json",
            )?,
        })
    }
}

fn forecasting(raw: &Raw) -> Result<ForecastSettings, SettingsError> {
    let rules = rules::resolve(&raw.target, raw.default_targets.unwrap_or(true))?;
    Ok(ForecastSettings {
        rules,
        discovery_interval: seconds(
            "HEADROOM_DISCOVERY_INTERVAL_S",
            raw.discovery_interval_s,
            DISCOVERY_INTERVAL_S,
        )?,
        interval: seconds(
            "HEADROOM_FORECAST_INTERVAL_S",
            raw.forecast_interval_s,
            FORECAST_INTERVAL_S,
        )?,
        stale_after_s: within(
            "HEADROOM_STALE_AFTER_S",
            raw.stale_after_s,
            STALE_AFTER_S,
            1,
            30 * 86_400,
        )? as i64,
        models_in_memory: within(
            "HEADROOM_MODELS_IN_MEMORY",
            raw.models_in_memory,
            MODELS_IN_MEMORY,
            1,
            100_000,
        )? as usize,
        histories_in_memory: within(
            "HEADROOM_HISTORIES_IN_MEMORY",
            raw.histories_in_memory,
            HISTORIES_IN_MEMORY,
            1,
            100_000,
        )? as usize,
    })
}

fn training(raw: &Raw) -> Result<TrainingSettings, SettingsError> {
    let asked = extra(raw.extra_models.as_deref().unwrap_or_default())?;
    let (networks, statistical) = ExtraModel::apart(&asked);
    Ok(TrainingSettings {
        schedule: parse(
            "HEADROOM_RETRAIN_CRON",
            raw.retrain_cron.as_deref().unwrap_or(RETRAIN_CRON),
            "`0 30 3 * * *` means every day at 03:30:00",
        )?,
        timezone: parse(
            "HEADROOM_TIMEZONE",
            raw.timezone.as_deref().unwrap_or("UTC"),
            "write a name of the time zone database, such as Europe/Berlin",
        )?,
        on_start: raw.train_on_start.unwrap_or(true),
        timeout: seconds(
            "HEADROOM_TRAIN_TIMEOUT_S",
            raw.train_timeout_s,
            TRAIN_TIMEOUT_S,
        )?,
        workers: within(
            "HEADROOM_TRAIN_WORKERS",
            raw.train_workers,
            TRAIN_WORKERS,
            1,
            256,
        )? as usize,
        shadow_s: 3_600
            * within(
                "HEADROOM_SHADOW_HOURS",
                raw.shadow_hours,
                SHADOW_HOURS,
                0,
                720,
            )? as i64,
        history_days: within(
            "HEADROOM_HISTORY_DAYS",
            raw.history_days,
            HISTORY_DAYS,
            1,
            366,
        )?,
        seed: raw.seed.unwrap_or(SEED),
        extra: networks,
        statistical,
        device: parse(
            "HEADROOM_DEVICE",
            raw.device.as_deref().unwrap_or(DEVICE),
            "cuda:1 would be the second GPU",
        )?,
    })
}

fn extra(kinds: &str) -> Result<Vec<ExtraModel>, SettingsError> {
    let kinds = kinds.split(',').map(str::trim);
    kinds
        .filter(|kind| !kind.is_empty())
        .map(|kind| {
            parse(
                "HEADROOM_EXTRA_MODELS",
                kind,
                "several stand with commas between them",
            )
        })
        .collect()
}

fn parse<T>(setting: &'static str, value: &str, right: &str) -> Result<T, SettingsError>
where
    T: FromStr,
    T::Err: Display,
{
    value.parse().map_err(|error: T::Err| SettingsError::Value {
        setting,
        value: value.to_owned(),
        reason: format!("{error}; {right}"),
    })
}

fn http_url(setting: &'static str, value: &str) -> Result<Url, SettingsError> {
    let url: Url = parse(setting, value, "write http://HOST:PORT or https://HOST")?;
    if matches!(url.scheme(), "http" | "https") && url.has_host() {
        Ok(url)
    } else {
        Err(SettingsError::Value {
            setting,
            value: value.to_owned(),
            reason: "it is no address of HTTP; write http://HOST:PORT or https://HOST".to_owned(),
        })
    }
}

fn seconds(
    setting: &'static str,
    value: Option<u64>,
    default: u64,
) -> Result<Duration, SettingsError> {
    within(setting, value, default, 1, 86_400).map(Duration::from_secs)
}

fn within(
    setting: &'static str,
    value: Option<u64>,
    default: u64,
    least: u64,
    most: u64,
) -> Result<u64, SettingsError> {
    let value = value.unwrap_or(default);
    if (least..=most).contains(&value) {
        Ok(value)
    } else {
        Err(SettingsError::Value {
            setting,
            value: value.to_string(),
            reason: format!("write a number from {least} to {most}"),
        })
    }
}

fn probability(value: Option<f64>) -> Result<f64, SettingsError> {
    let value = value.unwrap_or(ALERT_PROBABILITY);
    if value > 0.0 && value <= 1.0 {
        Ok(value)
    } else {
        Err(SettingsError::Value {
            setting: "HEADROOM_ALERT_PROBABILITY",
            value: value.to_string(),
            reason: "write a probability above 0 and up to 1, such as 0.5".to_owned(),
        })
    }
}
