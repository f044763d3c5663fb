//! Who is told that a target will cross its threshold, and when.
//!
//! ```text
//! forecast ─▶ thresholds (which value?) ─▶ watch (likely enough? quiet long enough?) ─▶ ledger ─▶ webhook
//! ```
//!
//! An alert is a row of the ledger before anybody is told, so a restart neither loses nor repeats it. Within the
//! cooldown a target raises one alert, whatever its forecasts do.

pub mod ledger;
pub mod thresholds;
pub mod webhook;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A crossing that was likely enough to tell somebody.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Alert {
    /// Counts up; a receiver that has seen it may pass over a repetition.
    pub id: i64,
    /// When it was raised.
    pub raised_at: DateTime<Utc>,
    /// What is expected.
    #[serde(flatten)]
    pub crossing: LikelyCrossing,
    /// What became of the message.
    pub delivery: Delivery,
    /// How often the receiver was tried.
    pub attempts: u32,
    /// Why the last try failed.
    pub last_error: Option<String>,
}

/// A threshold that a target is likely to cross.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LikelyCrossing {
    /// The host.
    pub host: String,
    /// The target.
    pub metric: String,
    /// The unit of the values.
    pub unit: String,
    /// The value that should not be reached.
    pub threshold: f64,
    /// The newest value that was observed.
    pub value_now: Option<f64>,
    /// The probability with which the threshold is reached within the horizon.
    pub p_cross: f64,
    /// Seconds until it is reached with probability 0.1; null: not within the horizon.
    pub eta_p10: Option<i64>,
    /// Seconds until it is reached with probability 0.5; null: not within the horizon.
    pub eta_p50: Option<i64>,
    /// Seconds until it is reached with probability 0.9; null: not within the horizon.
    pub eta_p90: Option<i64>,
    /// How far the forecast looks, in seconds.
    pub horizon_s: i64,
    /// The kind of the model that forecast it.
    pub model: String,
}

/// What became of an alert's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// No receiver is set.
    Unaddressed,
    /// It will be tried (again).
    Pending,
    /// The receiver took it.
    Delivered,
    /// It was given up.
    Failed,
}

impl LikelyCrossing {
    /// One sentence for a person.
    #[must_use]
    pub fn sentence(&self) -> String {
        let Self {
            host,
            metric,
            threshold,
            unit,
            ..
        } = self;
        if self.eta_p50 == Some(0) && self.value_now.is_some_and(|value| value >= *threshold) {
            return format!("{host}: {metric} is at or above {threshold} {unit}")
                .trim_end()
                .to_owned();
        }
        let percent = (self.p_cross * 100.0).round();
        let when = self.eta_p50.map_or_else(
            || format!("within {}", duration(self.horizon_s)),
            |eta_s| format!("in about {}", duration(eta_s)),
        );
        format!("{host}: {metric} is likely ({percent} %) to reach {threshold} {unit} {when}")
            .replace("  ", " ")
    }
}

fn duration(seconds: i64) -> String {
    let minutes = (seconds + 30) / 60;
    match (minutes / 60, minutes % 60) {
        (0, minutes) => format!("{minutes} min"),
        (hours, 0) => format!("{hours} h"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn crossing(host: &str, metric: &str) -> LikelyCrossing {
        LikelyCrossing {
            host: host.to_owned(),
            metric: metric.to_owned(),
            unit: "%".to_owned(),
            threshold: 90.0,
            value_now: Some(80.0),
            p_cross: 0.87,
            eta_p10: Some(3_600),
            eta_p50: Some(7_800),
            eta_p90: None,
            horizon_s: 28_800,
            model: "lstm".to_owned(),
        }
    }

    #[test]
    fn the_sentence_says_what_when_and_how_likely() {
        let mut crossing = crossing("db-1", "disk.used_percent{path=/}");
        assert_eq!(
            crossing.sentence(),
            "db-1: disk.used_percent{path=/} is likely (87 %) to reach 90 % in about 2 h 10 min"
        );
        crossing.eta_p50 = Some(0);
        crossing.value_now = Some(93.0);
        assert_eq!(
            crossing.sentence(),
            "db-1: disk.used_percent{path=/} is at or above 90 %"
        );
    }
}
