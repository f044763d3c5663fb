//! Forecasts as they are answered.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::asked::Asked;
use crate::{
    backtest::Scores,
    quantile::QuantilePath,
    routes::instant,
    serving::{HostForecast, Served, Status, Unserved},
    target::Kind,
};

/// The forecasts of a host.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct HostForecastAnswer {
    /// The host.
    pub host: String,
    /// When they were made.
    pub issued_at: DateTime<Utc>,
    /// One a target.
    pub forecasts: Vec<ForecastAnswer>,
    /// Targets that cannot be forecast, and why.
    pub without_forecast: Vec<Unserved>,
}

/// The forecasts of many hosts, a page of them.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct FleetForecastAnswer {
    /// When the page was made.
    pub issued_at: DateTime<Utc>,
    /// One a host and target, in order of hosts.
    pub forecasts: Vec<ForecastAnswer>,
    /// Hosts and targets that cannot be forecast, and why.
    pub without_forecast: Vec<WithoutForecast>,
    /// What to send as `after` for the next page; null on the last.
    pub next_after: Option<String>,
}

/// What of a fleet has no forecast.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct WithoutForecast {
    /// The host.
    pub host: String,
    /// The target; null when it is the whole host.
    pub metric: Option<String>,
    /// Why, and what would be right.
    pub reason: String,
}

/// The forecast of one target.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ForecastAnswer {
    /// The host.
    pub host: String,
    /// The target.
    pub metric: String,
    /// What its values can be.
    pub kind: Kind,
    /// Their unit.
    pub unit: String,
    /// When the forecast was made.
    pub issued_at: DateTime<Utc>,
    /// Everything before this time is known; the forecast begins here.
    pub data_until: DateTime<Utc>,
    /// The length of a step, in seconds.
    pub step_s: u32,
    /// What made it.
    pub model: ModelAnswer,
    /// How far it may be relied on.
    pub status: Status,
    /// The age of the newest data, in seconds.
    pub staleness_s: i64,
    /// The newest value.
    pub value_now: f64,
    /// The probabilities of the quantiles.
    pub quantile_levels: Vec<f64>,
    /// The beginning of each step.
    pub timestamps: Vec<DateTime<Utc>>,
    /// The quantiles: one list a level, one value a step in it.
    pub quantiles: Vec<Vec<f64>>,
    /// The errors of the backtest; null when the history was too short for one.
    pub metrics: Option<ErrorsAnswer>,
    /// The threshold; null when there is none.
    pub threshold: Option<ThresholdOutlook>,
}

/// The model that made a forecast.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ModelAnswer {
    /// The host and the version; null before the first train.
    pub id: Option<String>,
    /// The version; null before the first train.
    pub version: Option<String>,
    /// `champion`; null before the first train.
    pub alias: Option<String>,
    /// What kind of model it is, such as `lstm`.
    pub kind: String,
    /// When it was trained; null before the first train.
    pub trained_at: Option<DateTime<Utc>>,
    /// Why it is not the network; null when it is.
    pub fallback_reason: Option<String>,
}

/// The errors of a model over its backtest, in the unit of the target.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ErrorsAnswer {
    /// The errors.
    #[serde(flatten)]
    pub scores: Scores,
    /// The mean absolute error divided by that of seasonal naive: below 1 is better; null when that makes no error.
    pub vs_seasonal_naive: Option<f64>,
}

/// When a target crosses its threshold.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ThresholdOutlook {
    /// The threshold.
    pub value: f64,
    /// The probability that the threshold is reached within the horizon, at whichever step: the target's earlier forecasts say
    /// how its steps go together.
    pub p_cross: f64,
    /// Seconds from the time of issue until which it is reached with probability 0.1 or more; 0: it is reached now; null: not
    /// within the horizon.
    pub eta_p10: Option<i64>,
    /// The same with probability 0.5.
    pub eta_p50: Option<i64>,
    /// The same with probability 0.9.
    pub eta_p90: Option<i64>,
}

impl HostForecastAnswer {
    pub(super) fn of(forecast: HostForecast, asked: &Asked) -> Self {
        Self {
            issued_at: instant(forecast.issued_at_s),
            forecasts: forecast
                .served
                .iter()
                .map(|served| ForecastAnswer::of(&forecast, served, asked))
                .collect(),
            host: forecast.host,
            without_forecast: forecast.unserved,
        }
    }
}

impl ForecastAnswer {
    pub(super) fn of(host: &HostForecast, served: &Served, asked: &Asked) -> Self {
        let forecast = &served.forecast;
        let stride = asked.stride;
        let path = strided(&forecast.path, forecast.kind, stride);
        Self {
            host: host.host.clone(),
            metric: forecast.metric.clone(),
            kind: forecast.kind,
            unit: forecast.unit.clone(),
            issued_at: instant(host.issued_at_s),
            data_until: instant(forecast.data_until_s),
            step_s: forecast.step_s * stride as u32,
            model: model(host, served),
            status: served.status,
            staleness_s: served.staleness_s,
            value_now: forecast.newest_value,
            quantile_levels: asked.levels.clone(),
            timestamps: forecast
                .timestamps_s
                .iter()
                .step_by(stride)
                .copied()
                .map(instant)
                .collect(),
            quantiles: asked
                .levels
                .iter()
                .map(|level| path.at(*level, forecast.kind))
                .collect(),
            metrics: forecast.scores.clone().map(ErrorsAnswer::of),
            threshold: served
                .threshold
                .value
                .zip(served.outlook)
                .map(|(value, outlook)| ThresholdOutlook {
                    value,
                    p_cross: outlook.p_cross,
                    eta_p10: outlook.eta_p10,
                    eta_p50: outlook.eta_p50,
                    eta_p90: outlook.eta_p90,
                }),
        }
    }
}

impl ErrorsAnswer {
    pub(crate) fn of(scores: Scores) -> Self {
        Self {
            vs_seasonal_naive: scores.skill.map(|skill| 1.0 - skill),
            scores,
        }
    }
}

fn model(host: &HostForecast, served: &Served) -> ModelAnswer {
    let champion = host.champion.as_ref();
    let version = champion.map(|champion| champion.version.clone());
    ModelAnswer {
        id: version
            .as_ref()
            .map(|version| format!("{}/{version}", host.host)),
        alias: version.as_ref().map(|_| "champion".to_owned()),
        version,
        kind: served.forecast.model.name().to_owned(),
        trained_at: champion.map(|champion| instant(champion.manifest().trained_at_s)),
        fallback_reason: served.forecast.fallback_reason.clone(),
    }
}

/// Averages steps. Quantiles are averaged level by level, as if the errors within a step all went the same way: the
/// interval is never too narrow.
pub(super) fn strided(path: &QuantilePath, kind: Kind, stride: usize) -> QuantilePath {
    if stride == 1 {
        return path.clone();
    }
    QuantilePath::from_fn(path.steps() / stride, kind, |level, step| {
        let values = &path.levels()[level][step * stride..(step + 1) * stride];
        values.iter().sum::<f64>() / stride as f64
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longer_steps_are_means() {
        let path = QuantilePath::from_fn(6, Kind::Gauge, |level, step| (10 * step + level) as f64);
        let longer = strided(&path, Kind::Gauge, 3);
        assert_eq!(longer.levels()[0], [10.0, 40.0]);
        assert_eq!(longer.levels()[10], [20.0, 50.0]);
    }
}
