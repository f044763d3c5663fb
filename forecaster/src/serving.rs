//! Answers to "where is this host heading": recent history from the gateway, the champion's forecast of it, and what
//! the threshold makes of that.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    alert::{
        ledger::{Ledger, LedgerError},
        thresholds::{self, Effective},
    },
    champions::{Champion, Champions},
    clock::Clock,
    cold_start::{self, Peer},
    config::RawThreshold,
    discovery::Host,
    fleet::Fleet,
    fleet_base::FleetBase,
    forecast::TargetForecast,
    gateway::{Gateway, GatewayError},
    metrics::Metrics,
    quantile::HORIZON_STEPS,
    recent::{Recent, WHOLE_AFTER_S, WHOLE_AT_LATEST_S},
    target::Target,
    threshold::Crossing,
    turns::Turns,
};

/// How far a forecast may be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ForecastStatus)]
pub enum Status {
    /// The host's own network made it, from fresh data.
    Ok,
    /// The data is old; the forecast starts where the data ended.
    Stale,
    /// The host has not been trained yet.
    ColdStart,
    /// Something simpler than the network did better in the backtest, or the network cannot answer.
    Fallback,
}

impl Status {
    /// Returns its word, as answers have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Stale => "stale",
            Self::ColdStart => "cold_start",
            Self::Fallback => "fallback",
        }
    }
}

/// When the threshold is reached, in seconds from the time of issue. `None`: not within the horizon.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outlook {
    /// The probability with which it is reached within the horizon.
    pub p_cross: f64,
    /// Reached before this with probability 0.1.
    pub eta_p10: Option<i64>,
    /// Reached before this with probability 0.5.
    pub eta_p50: Option<i64>,
    /// Reached before this with probability 0.9.
    pub eta_p90: Option<i64>,
}

/// One target's forecast, judged.
pub struct Served {
    /// What the model said.
    pub forecast: TargetForecast,
    /// How far it may be relied on.
    pub status: Status,
    /// The age of the newest data, in seconds.
    pub staleness_s: i64,
    /// The threshold, and who set it.
    pub threshold: Effective,
    /// When it is reached; `None` without a threshold.
    pub outlook: Option<Outlook>,
}

/// A target that has no forecast, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Unserved {
    /// The target.
    pub metric: String,
    /// Why, and what would be right.
    pub reason: String,
}

/// The forecasts of a host.
pub struct HostForecast {
    /// The host.
    pub host: String,
    /// When they were made, in seconds since 1970.
    pub issued_at_s: i64,
    /// The model that serves; `None` before the first train.
    pub champion: Option<Arc<Champion>>,
    /// The targets that have a forecast.
    pub served: Vec<Served>,
    /// The targets that have none.
    pub unserved: Vec<Unserved>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Nobody has heard of the host.
    #[error("no host {host:?} has sent anything lately; GET /api/v1/hosts lists those that have")]
    HostUnknown {
        /// The host.
        host: String,
    },
    /// The host has no such target.
    #[error("host {host:?} has no target {metric:?}; it has {}", known.join(", "))]
    TargetUnknown {
        /// The host.
        host: String,
        /// The target.
        metric: String,
        /// The targets that it has.
        known: Vec<String>,
    },
    /// No target can be forecast.
    #[error("host {host:?} has no forecast yet: {}", reasons(unserved))]
    NothingServed {
        /// The host.
        host: String,
        /// Why, by target.
        unserved: Vec<Unserved>,
    },
    /// History cannot be read.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// Thresholds cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The model broke down.
    #[error("the model of host {host:?} broke down; look at the log, and retrain the host")]
    ModelBroke {
        /// The host.
        host: String,
    },
}

fn reasons(unserved: &[Unserved]) -> String {
    let reasons: Vec<&str> = unserved
        .iter()
        .map(|unserved| unserved.reason.as_str())
        .collect();
    reasons.join("; ")
}

/// Makes forecasts.
pub struct Serving {
    /// The hosts.
    pub fleet: Arc<Fleet>,
    /// The gateway.
    pub gateway: Arc<Gateway>,
    /// Where history comes from.
    pub recent: Recent,
    /// Turns of those that compute.
    pub computing: Turns,
    /// The models.
    pub champions: Arc<Champions>,
    /// What answers for a host without a model.
    pub base: Arc<FleetBase>,
    /// Thresholds that were set.
    pub ledger: Arc<Ledger>,
    /// Thresholds of the settings file.
    pub file_thresholds: Vec<RawThreshold>,
    /// Age of the newest data from which a forecast is stale.
    pub stale_after_s: i64,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Where the time taken is counted.
    pub metrics: Arc<Metrics>,
}

impl Serving {
    /// Finds a host; asks the gateway when no host is known at all yet.
    ///
    /// # Errors
    ///
    /// When the host is unknown, or the gateway has not answered since the start.
    pub async fn host(&self, name: &str) -> Result<Host, ServeError> {
        if self.fleet.known().is_none() {
            self.fleet.refresh().await?;
        }
        self.fleet
            .host(name)
            .ok_or_else(|| ServeError::HostUnknown {
                host: name.to_owned(),
            })
    }

    /// Finds all targets of a host, or one.
    ///
    /// # Errors
    ///
    /// When the host or target is unknown, or the gateway has not answered since the start.
    pub async fn targets(
        &self,
        name: &str,
        metric: Option<&str>,
    ) -> Result<Vec<Target>, ServeError> {
        let host = self.host(name).await?;
        match metric {
            None => Ok(host.targets),
            Some(metric) => Ok(vec![Self::target(name, &host, metric)?]),
        }
    }

    /// Forecasts all targets of a host, or one, for this many steps.
    ///
    /// # Errors
    ///
    /// When the host or target is unknown, no history can be read, or nothing can be forecast from it.
    pub async fn forecast(
        &self,
        name: &str,
        metric: Option<&str>,
        steps: usize,
    ) -> Result<HostForecast, ServeError> {
        self.timed(name, metric, steps, WHOLE_AT_LATEST_S).await
    }

    /// Forecasts all targets of a host over the whole horizon, its history read whole where an hour has passed since that
    /// was done: for whoever goes round, and can wait for it better than a request.
    ///
    /// # Errors
    ///
    /// As [`Self::forecast`].
    pub async fn going_round(&self, name: &str) -> Result<HostForecast, ServeError> {
        self.timed(name, None, HORIZON_STEPS, WHOLE_AFTER_S).await
    }

    async fn timed(
        &self,
        name: &str,
        metric: Option<&str>,
        steps: usize,
        whole_after_s: i64,
    ) -> Result<HostForecast, ServeError> {
        let targets = self.targets(name, metric).await?;
        let timer = self.metrics.forecast_seconds.start_timer();
        let champion = self.champions.of(name);
        let forecast = self
            .answer(name, targets, champion, steps, whole_after_s)
            .await?;
        timer.observe_duration();
        Ok(forecast)
    }

    /// Forecasts all targets of a host by a challenger, for nobody but its judge.
    ///
    /// # Errors
    ///
    /// As [`Self::forecast`].
    pub async fn aside(
        &self,
        name: &str,
        challenger: Arc<Champion>,
    ) -> Result<HostForecast, ServeError> {
        let targets = self.targets(name, None).await?;
        let challenger = Some(challenger);
        self.answer(name, targets, challenger, HORIZON_STEPS, WHOLE_AT_LATEST_S)
            .await
    }

    async fn answer(
        &self,
        name: &str,
        targets: Vec<Target>,
        champion: Option<Arc<Champion>>,
        steps: usize,
        whole_after_s: i64,
    ) -> Result<HostForecast, ServeError> {
        let issued_at_s = self.clock.now_s();
        let recent = self
            .recent
            .read(name, &targets, issued_at_s, whole_after_s)
            .await?;
        let is_new = |target: &&Target| {
            let known = champion.as_ref().map(|champion| champion.manifest());
            !known.is_some_and(|manifest| manifest.has_heard_of(&target.metric))
        };
        let newcomers: Vec<Target> = targets.iter().filter(is_new).cloned().collect();
        let peers = self.peers(&newcomers, issued_at_s).await;
        // As many compute at a time as the machine has cores: more would only take each other's time and memory.
        let answers = {
            let (champion, host) = (champion.clone(), name.to_owned());
            let base = self.base.current();
            let work = move || match champion {
                Some(champion) => {
                    let mut answers = champion.predict(&recent, steps);
                    cold_start::join(&host, &base, &recent, &peers, steps, &mut answers);
                    answers
                }
                None => cold_start::predict(&host, &base, &recent, &peers, steps),
            };
            let computed = self.computing.take_patiently(work).await;
            computed.map_err(|_| ServeError::ModelBroke {
                host: name.to_owned(),
            })?
        };
        let set = self.ledger.thresholds(name)?;
        let (mut served, mut unserved) = (Vec::new(), Vec::new());
        for (target, answer) in targets.iter().zip(answers) {
            match answer {
                Ok(forecast) => {
                    let effective =
                        thresholds::effective(name, target, &set, &self.file_thresholds);
                    let is_trained = champion.as_ref().is_some_and(|champion| {
                        champion.manifest().target(&target.metric).is_some()
                    });
                    served.push(self.judge(forecast, is_trained, effective, issued_at_s));
                }
                Err(error) => unserved.push(Unserved {
                    metric: target.metric.clone(),
                    reason: error.to_string(),
                }),
            }
        }
        if served.is_empty() {
            return Err(ServeError::NothingServed {
                host: name.to_owned(),
                unserved,
            });
        }
        Ok(HostForecast {
            host: name.to_owned(),
            issued_at_s,
            champion,
            served,
            unserved,
        })
    }

    /// Reads the hosts that may lend their past to targets without a model; one that cannot be read is left out.
    async fn peers(&self, targets: &[Target], now_s: i64) -> Vec<Peer> {
        if targets.is_empty() {
            return Vec::new();
        }
        let known = self.fleet.known().unwrap_or_default();
        let mut trained = self.champions.all();
        trained.retain(|(host, _)| known.contains_key(host));
        let manifests = trained.iter().map(|(_, champion)| champion.manifest());
        let mut peers = Vec::new();
        for host in cold_start::choose(targets, manifests) {
            let Some(known) = known.get(host) else {
                continue;
            };
            let shared = |theirs: &&Target| targets.iter().any(|own| own.metric == theirs.metric);
            let shared: Vec<Target> = known.targets.iter().filter(shared).cloned().collect();
            let read = self.recent.read(host, &shared, now_s, WHOLE_AT_LATEST_S);
            match read.await {
                Ok(recent) => peers.push(Peer {
                    host: host.to_owned(),
                    recent,
                }),
                Err(error) => tracing::debug!(%host, %error, "host lends nothing"),
            }
        }
        peers
    }

    fn target(name: &str, host: &Host, metric: &str) -> Result<Target, ServeError> {
        host.target(metric)
            .cloned()
            .ok_or_else(|| ServeError::TargetUnknown {
                host: name.to_owned(),
                metric: metric.to_owned(),
                known: host
                    .targets
                    .iter()
                    .map(|target| target.metric.clone())
                    .collect(),
            })
    }

    fn judge(
        &self,
        forecast: TargetForecast,
        is_trained: bool,
        threshold: Effective,
        issued_at_s: i64,
    ) -> Served {
        let staleness_s = (issued_at_s - forecast.data_until_s).max(0);
        let status = if staleness_s > self.stale_after_s {
            Status::Stale
        } else if !is_trained {
            Status::ColdStart
        } else if forecast.fallback_reason.is_some() {
            Status::Fallback
        } else {
            Status::Ok
        };
        let outlook = threshold
            .value
            .map(|value| outlook(&forecast, value, issued_at_s));
        Served {
            forecast,
            status,
            staleness_s,
            threshold,
            outlook,
        }
    }
}

/// Judges a threshold; one that is reached already counts as crossed now.
fn outlook(forecast: &TargetForecast, value: f64, issued_at_s: i64) -> Outlook {
    if forecast.newest_value >= value {
        return Outlook {
            p_cross: 1.0,
            eta_p10: Some(0),
            eta_p50: Some(0),
            eta_p90: Some(0),
        };
    }
    let crossing = Crossing::of(
        value,
        &forecast.path,
        forecast.dependence,
        &forecast.timestamps_s,
    );
    let eta = |time_s: Option<i64>| time_s.map(|time_s| (time_s - issued_at_s).max(0));
    Outlook {
        p_cross: crossing.p_cross,
        eta_p10: eta(crossing.eta_p10),
        eta_p50: eta(crossing.eta_p50),
        eta_p90: eta(crossing.eta_p90),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        joint::Dependence,
        model_kind::ModelKind,
        quantile::{LEVELS, QuantilePath},
        target::Kind,
    };

    fn filling(newest_value: f64) -> TargetForecast {
        TargetForecast {
            metric: "disk".to_owned(),
            kind: Kind::Percent,
            unit: "%".to_owned(),
            model: ModelKind::Lstm,
            fallback_reason: None,
            newest_value,
            data_until_s: 900,
            step_s: 300,
            timestamps_s: (0..96).map(|step| 900 + 300 * step).collect(),
            path: QuantilePath::from_fn(96, Kind::Percent, |level, step| {
                newest_value + step as f64 + LEVELS[level] - 0.5
            }),
            dependence: Dependence::default(),
            scores: None,
        }
    }

    #[test]
    fn times_count_from_the_issue() {
        let outlook = outlook(&filling(80.0), 90.0, 1_000);
        assert!(outlook.p_cross > 0.999);
        assert_eq!(outlook.eta_p50, Some(900 + 10 * 300 - 1_000));
    }

    #[test]
    fn a_threshold_is_likely_though_no_step_is_likely_to_reach_it() {
        let restless = TargetForecast {
            path: QuantilePath::from_fn(96, Kind::Percent, |level, _| 60.0 + 40.0 * LEVELS[level]),
            ..filling(80.0)
        };
        assert!(restless.path.probability_reached(0, 97.0) < 0.1);
        let whole = outlook(&restless, 97.0, 1_000);
        assert!(whole.p_cross > 0.5 && whole.p_cross < 0.9, "{whole:?}");
        assert!(whole.eta_p10 < whole.eta_p50 && whole.eta_p90.is_none());
    }

    #[test]
    fn a_threshold_that_is_reached_is_crossed_now() {
        let outlook = outlook(&filling(91.0), 90.0, 1_000);
        assert!((outlook.p_cross - 1.0).abs() < f64::EPSILON);
        assert_eq!((outlook.eta_p10, outlook.eta_p90), (Some(0), Some(0)));
    }
}
