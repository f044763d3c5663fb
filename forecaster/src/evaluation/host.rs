//! One host of an evaluation: trained on the first part of its series, asked at the origins behind it.

use std::sync::Arc;

use super::{Plan, SCORED_STEPS};
use crate::{
    baseline::SeasonalNaive,
    cold_start,
    forecast::{HISTORY_STEPS, TargetForecast, predict},
    grid::{Grid, STEP_S},
    host_model::HostModel,
    model::Base,
    model_kind::ModelKind,
    quantile::{HORIZON_STEPS, QuantilePath},
    target::Target,
    training::TrainRequest,
};

/// The series of one host.
#[derive(Debug, Clone)]
pub struct EvaluatedHost {
    /// The host, with its data set: `dataset|host`.
    pub host: String,
    pub(super) series: Vec<EvaluatedSeries>,
}

#[derive(Debug, Clone)]
pub(super) struct EvaluatedSeries {
    pub(super) id: String,
    pub(super) target: Target,
    pub(super) grid: Grid,
    pub(super) training_steps: usize,
    /// In the scope.
    pub(super) origins: Vec<usize>,
}

/// The forecast of one window.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowForecast {
    /// The series.
    pub series_id: String,
    /// The bin of the first step.
    pub origin: usize,
    /// What made it.
    pub model: ModelKind,
    /// The quantiles, by level, of the [`SCORED_STEPS`] from the origin on.
    pub levels: Vec<Vec<f64>>,
}

impl EvaluatedHost {
    /// Returns what the host is trained on.
    #[must_use]
    pub fn train_request(&self, plan: &Plan, base: &Arc<Base>) -> TrainRequest {
        TrainRequest {
            host: self.host.clone(),
            targets: self.training_parts(),
            seed: plan.seed,
            trained_at_s: 0,
            budget: plan.budget,
            base: Arc::clone(base),
            extra: plan.extra.clone(),
            recipe: plan.recipe.clone(),
            champion: None,
        }
    }

    /// Returns what of its series may be learned from.
    #[must_use]
    pub fn training_parts(&self) -> Vec<(Target, Grid)> {
        let part = |series: &EvaluatedSeries| {
            let values = &series.grid.values;
            let grid = Grid {
                values: values[..series.training_steps.min(values.len())].to_vec(),
                ..series.grid
            };
            (series.target.clone(), grid)
        };
        self.series.iter().map(part).collect()
    }

    /// Returns how many series it has.
    #[must_use]
    pub fn series_count(&self) -> usize {
        self.series.len()
    }

    /// Returns whether any of its windows is in the scope.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.series.iter().any(|series| !series.origins.is_empty())
    }

    /// Forecasts every window. Where the model cannot (the target was refused, or has been silent for long), the
    /// newest value before the origin goes on; a window with no value before it is left out.
    #[must_use]
    pub fn forecasts(&self, model: &HostModel) -> Vec<WindowForecast> {
        self.answers(|recent| predict(model, recent, HORIZON_STEPS).pop()?.ok())
    }

    /// Forecasts every window by the base, as of a host that was never trained.
    pub(super) fn forecasts_of_base(&self, base: &Base) -> Vec<WindowForecast> {
        let of_base =
            |recent: &[_]| cold_start::predict(&self.host, base, recent, &[], HORIZON_STEPS);
        self.answers(|recent| of_base(recent).pop()?.ok())
    }

    /// Continues every window with its newest value.
    pub(super) fn newest_values(&self) -> Vec<WindowForecast> {
        self.answers(|_| None)
    }

    fn answers(
        &self,
        answer: impl Fn(&[(Target, Grid)]) -> Option<TargetForecast>,
    ) -> Vec<WindowForecast> {
        let windows = self.series.iter().flat_map(|series| {
            let origins = series.origins.iter();
            origins.filter_map(|&origin| series.forecast(&answer, origin))
        });
        windows.collect()
    }
}

impl EvaluatedSeries {
    fn forecast(
        &self,
        answer: impl Fn(&[(Target, Grid)]) -> Option<TargetForecast>,
        origin: usize,
    ) -> Option<WindowForecast> {
        let from = origin.saturating_sub(HISTORY_STEPS);
        let recent = Grid {
            start_s: self.grid.time_of(from),
            step_s: self.grid.step_s,
            values: self.grid.values.get(from..origin)?.to_vec(),
        };
        let end_s = recent.end_s();
        let (model, path, ahead) = match answer(&[(self.target.clone(), recent)]) {
            // The forecast begins behind the newest value, which may lie before the origin.
            Some(forecast) => {
                let ahead = (end_s - forecast.data_until_s) / i64::from(STEP_S);
                (forecast.model, forecast.path, ahead as usize)
            }
            None => (ModelKind::Persistence, self.newest(origin)?, 0),
        };
        let last = path.steps() - 1;
        let scored = |level: &Vec<f64>| {
            let steps = ahead..ahead + SCORED_STEPS;
            steps.map(|step| level[step.min(last)]).collect()
        };
        Some(WindowForecast {
            series_id: self.id.clone(),
            origin,
            model,
            levels: path.levels().iter().map(scored).collect(),
        })
    }

    fn newest(&self, origin: usize) -> Option<QuantilePath> {
        let known = &self.grid.values[..origin];
        SeasonalNaive::persistence().predict(known, SCORED_STEPS, self.target.kind)
    }
}
