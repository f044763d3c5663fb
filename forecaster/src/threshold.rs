//! When a forecast crosses a threshold: the probability within the horizon, and the time as quantiles.
//!
//! The time `T` to the crossing is the first step of a path that reaches the threshold, paths being drawn as the target's
//! errors hang together ([`crate::joint`]). Its quantile p is the first step h with `P(T ≤ h) ≥ p`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    joint::{self, Dependence},
    quantile::QuantilePath,
};

/// A threshold's crossing as the forecast sees it. A time of `None` means: not within the horizon.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Crossing {
    /// The threshold, in the metric's own unit.
    pub value: f64,
    /// The probability with which the threshold is reached within the horizon.
    pub p_cross: f64,
    /// The time (seconds since the epoch) before which it is reached with probability 0.1.
    pub eta_p10: Option<i64>,
    /// The time before which it is reached with probability 0.5.
    pub eta_p50: Option<i64>,
    /// The time before which it is reached with probability 0.9.
    pub eta_p90: Option<i64>,
}

impl Crossing {
    /// Judges a threshold against a forecast whose step `h` is the bin that starts at `timestamps_s[h]`.
    #[must_use]
    pub fn of(
        value: f64,
        path: &QuantilePath,
        dependence: Dependence,
        timestamps_s: &[i64],
    ) -> Self {
        let reached = joint::reached_by(value, path, dependence);
        let eta = |probability: f64| {
            let step = reached.iter().position(|&p| p >= probability)?;
            timestamps_s.get(step).copied()
        };
        Self {
            value,
            p_cross: reached.last().copied().unwrap_or(0.0),
            eta_p10: eta(0.1),
            eta_p50: eta(0.5),
            eta_p90: eta(0.9),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{quantile::LEVELS, target::Kind};

    /// A disk that fills by 1 a step from 50, known better than to ±2.
    fn filling() -> (QuantilePath, Vec<i64>) {
        let path = QuantilePath::from_fn(96, Kind::Percent, |level, step| {
            50.0 + step as f64 + 4.0 * (LEVELS[level] - 0.5)
        });
        (path, (0..96).map(|step| 1_000 + 300 * step).collect())
    }

    #[test]
    fn a_rising_forecast_crosses_at_its_quantiles() {
        let (path, times) = filling();
        let crossing = Crossing::of(90.0, &path, Dependence::default(), &times);
        assert!(crossing.p_cross > 0.999);
        // Level p reaches 90 when 50 + h + 4 (p' - 0.5) >= 90 with p' = 1 - p.
        assert_eq!(crossing.eta_p10, Some(1_000 + 300 * 39));
        assert_eq!(crossing.eta_p50, Some(1_000 + 300 * 40));
        assert_eq!(crossing.eta_p90, Some(1_000 + 300 * 42));
    }

    #[test]
    fn what_is_out_of_reach_has_no_time() {
        let (path, times) = filling();
        let crossing = Crossing::of(99.0, &path.truncated(20), Dependence::default(), &times);
        assert!(crossing.p_cross < f64::EPSILON);
        assert_eq!(
            (crossing.eta_p10, crossing.eta_p50, crossing.eta_p90),
            (None, None, None)
        );
    }

    #[test]
    fn a_flat_forecast_at_its_bound_has_reached_it() {
        let path = QuantilePath::from_fn(3, Kind::Percent, |_, _| 100.0);
        let crossing = Crossing::of(100.0, &path, Dependence::default(), &[0, 300, 600]);
        assert!((crossing.p_cross - 1.0).abs() < f64::EPSILON);
        assert_eq!(crossing.eta_p90, Some(0));
    }

    #[test]
    fn noise_around_the_threshold_adds_up_as_far_as_the_steps_go_their_own_ways() {
        let path = QuantilePath::from_fn(96, Kind::Gauge, |level, _| LEVELS[level]);
        let times: Vec<i64> = (0..96).map(|step| 300 * step).collect();
        let [lasting, fleeting] = [97, 0].map(|share_percent| {
            let dependence = Dependence {
                share_percent,
                decay_steps: 96,
            };
            Crossing::of(0.9, &path, dependence, &times)
        });
        assert!(
            0.15 < lasting.p_cross && lasting.p_cross < 0.4,
            "{lasting:?}"
        );
        assert_eq!(lasting.eta_p50, None);
        assert!(fleeting.p_cross > 0.8, "{fleeting:?}");
        assert!(fleeting.eta_p50 < Some(96 * 300 / 4), "{fleeting:?}");
        // The first step reaches it with a probability of 0.1, however the others go on.
        assert_eq!(lasting.eta_p10, Some(0));
    }
}
