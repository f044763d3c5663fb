//! Forecasts for a host that has not been trained yet: the base's, which learned from other hosts, from the first two
//! hours on.

use crate::{
    forecast::{self, PredictError, TargetForecast},
    grid::Grid,
    manifest::{Manifest, Refused, TargetModel},
    model::{Base, HostModel, NEWCOMER_STEPS_MIN},
    target::Target,
};

/// Why the answer is not that of the host's own network.
const REASON: &str =
    "the host has not been trained yet; its first model is made as soon as its history allows";

/// Forecasts each of `recent`, in its order, without a model of the host's own.
#[must_use]
pub fn predict(
    host: &str,
    base: &Base,
    recent: &[(Target, Grid)],
    steps: usize,
) -> Vec<Result<TargetForecast, PredictError>> {
    forecast::predict(&provisional(host, base, recent), recent, steps)
}

fn provisional(host: &str, base: &Base, recent: &[(Target, Grid)]) -> HostModel {
    let mut targets = Vec::new();
    let mut refused = Vec::new();
    for (target, grid) in recent {
        let observed = grid.observed();
        if observed < NEWCOMER_STEPS_MIN {
            refused.push(Refused {
                metric: target.metric.clone(),
                reason: format!(
                    "it has {observed} values of {} s; a first forecast needs {NEWCOMER_STEPS_MIN}, which is two hours",
                    grid.step_s
                ),
            });
        } else {
            targets.push(TargetModel::of_newcomer(
                target,
                &grid.trimmed().values,
                REASON,
            ));
        }
    }
    let span = recent
        .first()
        .map(|(_, grid)| (grid.start_s, grid.end_s(), grid.step_s));
    let (data_from_s, data_until_s, step_s) = span.unwrap_or((0, 0, crate::grid::STEP_S));
    let manifest = Manifest {
        trained_at_s: data_until_s,
        data_from_s,
        data_until_s,
        step_s,
        targets,
        refused,
        ..Manifest::empty(host)
    };
    HostModel::of_newcomer(manifest, base)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{config::default_rules, grid::STEP_S, manifest::ModelKind};

    fn recent(steps: usize, value: impl Fn(usize) -> f32) -> Vec<(Target, Grid)> {
        let target = default_rules()[0].target.target(&BTreeMap::new());
        let grid = Grid {
            start_s: 0,
            step_s: STEP_S,
            values: (0..steps).map(value).collect(),
        };
        vec![(target, grid)]
    }

    fn forecast(recent: &[(Target, Grid)]) -> Result<TargetForecast, PredictError> {
        let base = Base::shipped().expect("a base");
        predict("h", &base, recent, 12).remove(0)
    }

    #[test]
    fn two_hours_make_a_forecast_that_goes_on_where_they_end() {
        let forecast = forecast(&recent(24, |step| 30.0 + (step % 3) as f32)).expect("a forecast");
        assert_eq!(forecast.model, ModelKind::Base);
        assert!(forecast.fallback_reason.is_some());
        // The values seen lie between 30 and 32.
        for value in forecast.path.median() {
            assert!((28.0..34.0).contains(value), "{value}");
        }
        let widths = forecast.path.levels();
        assert!(widths[10][11] > widths[0][11]);
    }

    #[test]
    fn less_is_refused_with_what_is_needed() {
        let error = forecast(&recent(23, |step| step as f32)).expect_err("too short");
        let error = error.to_string();
        assert!(
            error.contains("23 values") && error.contains("24"),
            "{error}"
        );
    }

    #[test]
    fn what_never_changed_goes_on() {
        let forecast = forecast(&recent(40, |_| 7.0)).expect("a forecast");
        assert_eq!(forecast.model, ModelKind::Persistence);
        assert!(
            forecast
                .path
                .median()
                .iter()
                .all(|value| (value - 7.0).abs() < 1e-9)
        );
    }
}
