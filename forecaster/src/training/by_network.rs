//! The networks behind the trait of the statistical models: one series in, a forecaster out.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{Budget, Recipe, TrainRequest, train_host};
use crate::{
    forecast,
    grid::{Grid, STEP_S},
    host_model::HostModel,
    model::Base,
    model_kind::ModelKind,
    quantile::QuantilePath,
    statistical::{Fit, Past, Predict},
    target::{Kind, Target, TargetRule},
};

/// Fits a network to one series, as a host's retrain does to all of its targets: of the kind of its base, be it LSTM,
/// TCN or attention.
#[derive(Debug, Clone)]
pub struct ByNetwork {
    /// What the network begins from.
    pub base: Arc<Base>,
    /// What the values can be.
    pub kind: Kind,
    /// The seed of everything random.
    pub seed: u64,
    /// The work that the fit may take.
    pub budget: Budget,
}

/// A network that was fitted to one series.
#[derive(Debug)]
pub struct FittedNetwork {
    model: HostModel,
    target: Target,
    serves: ModelKind,
}

impl Fit for ByNetwork {
    type Fitted = FittedNetwork;

    /// Fits the network; `None` when the past is too short or too even for it, or not of five-minute steps, which are
    /// all that a base knows.
    fn fit(&self, past: Past<'_>) -> Option<FittedNetwork> {
        if past.step_s != STEP_S {
            return None;
        }
        let target =
            Arc::new(TargetRule::new("series", "series", "value", self.kind)).target(&[].into());
        let request = TrainRequest {
            host: "series".to_owned(),
            targets: vec![(target.clone(), grid(past))],
            seed: self.seed,
            trained_at_s: 0,
            budget: self.budget,
            base: Arc::clone(&self.base),
            extra: Vec::new(),
            recipe: Recipe::default(),
            champion: None,
        };
        let serves = ModelKind::of_network(self.base.encoder());
        let model = train_host(&request, &(), &CancellationToken::new()).ok()?;
        let model = model.serving_only(serves);
        let is_fitted = model.manifest().target(&target.metric)?.serves == serves;
        is_fitted.then_some(FittedNetwork {
            model,
            target,
            serves,
        })
    }
}

impl Predict for FittedNetwork {
    fn predict(&self, past: Past<'_>, steps: usize, _: Kind) -> Option<QuantilePath> {
        let recent = [(self.target.clone(), grid(past))];
        let forecast = forecast::predict(&self.model, &recent, steps).pop()?.ok()?;
        (forecast.model == self.serves).then_some(forecast.path)
    }
}

fn grid(past: Past<'_>) -> Grid {
    Grid {
        start_s: past.start_s,
        step_s: past.step_s,
        values: past.values.to_vec(),
    }
}
