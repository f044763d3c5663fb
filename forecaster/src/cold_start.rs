//! Forecasts for a host that has not been trained yet: seasonal naive, fitted on the spot to what there is.

use std::collections::BTreeMap;

use crate::{
    baseline::{DAY_STEPS, SeasonalNaive},
    forecast::{self, PredictError, TargetForecast},
    grid::Grid,
    manifest::{Manifest, ModelKind, Refused, TargetModel},
    model::HostModel,
    target::Target,
};

/// Why the answer is no LSTM's.
const REASON: &str =
    "the host has not been trained yet; its first model is made as soon as its history allows";

/// Forecasts each of `recent`, in its order, without a model.
#[must_use]
pub fn predict(
    host: &str,
    recent: &[(Target, Grid)],
    steps: usize,
) -> Vec<Result<TargetForecast, PredictError>> {
    forecast::predict(&provisional(host, recent), recent, steps)
}

fn provisional(host: &str, recent: &[(Target, Grid)]) -> HostModel {
    let mut targets = Vec::new();
    let mut refused = Vec::new();
    for (target, grid) in recent {
        match SeasonalNaive::fit(&grid.trimmed().values, DAY_STEPS) {
            Some(naive) => targets.push(TargetModel {
                metric: target.metric.clone(),
                kind: target.kind,
                unit: target.unit.clone(),
                serves: ModelKind::SeasonalNaiveDay,
                fallback_reason: Some(REASON.to_owned()),
                scores: BTreeMap::new(),
                naive: [(ModelKind::SeasonalNaiveDay, naive)].into(),
                series: None,
            }),
            None => refused.push(Refused {
                metric: target.metric.clone(),
                reason: format!(
                    "it has {} values of {} s, and no two of them a day apart; a first forecast needs more than \
                     {DAY_STEPS}, which is a day",
                    grid.observed(),
                    grid.step_s
                ),
            }),
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
    HostModel::new(manifest, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::default_rules, grid::STEP_S};

    fn recent(steps: usize) -> Vec<(Target, Grid)> {
        let target = default_rules()[0].target.target(&BTreeMap::new());
        let values = (0..steps)
            .map(|step| (step % DAY_STEPS) as f32 / 10.0)
            .collect();
        vec![(
            target,
            Grid {
                start_s: 0,
                step_s: STEP_S,
                values,
            },
        )]
    }

    #[test]
    fn a_day_is_repeated() {
        let forecasts = predict("h", &recent(2 * DAY_STEPS), 3);
        let forecast = forecasts[0].as_ref().expect("a forecast");
        assert_eq!(forecast.model, ModelKind::SeasonalNaiveDay);
        assert!((forecast.path.median()[2] - 0.2).abs() < 1e-6);
    }

    #[test]
    fn less_than_a_day_is_refused_with_what_is_needed() {
        let forecasts = predict("h", &recent(100), 3);
        let error = forecasts[0].as_ref().expect_err("too short").to_string();
        assert!(
            error.contains("100 values") && error.contains("288"),
            "{error}"
        );
    }
}
