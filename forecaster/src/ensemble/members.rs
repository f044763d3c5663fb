//! The members beside the network: naive forecasts and statistical models.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    baseline::SeasonalNaive,
    model_kind::ModelKind,
    quantile::QuantilePath,
    statistical::{AutoTheta, Fit, Newest, NewestValue, Past, Predict, Theta, WithSpread},
    target::Kind,
};

/// What each kind of model answers.
pub type Paths = BTreeMap<ModelKind, QuantilePath>;

/// The statistical models of a target.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statistical {
    /// The newest value; null when the history was too short to measure its spread.
    pub newest: Option<WithSpread<Newest>>,
    /// The theta model; null when the history was too short.
    pub theta: Option<WithSpread<Theta>>,
}

impl Statistical {
    /// Fits each model that the past is long enough for: some 40 ms for 14 days of five minutes.
    #[must_use]
    pub fn fit(past: Past<'_>) -> Self {
        Self {
            newest: NewestValue.fit(past),
            theta: AutoTheta.fit(past),
        }
    }

    /// Returns whether there is a model of this kind.
    #[must_use]
    pub fn has(&self, kind: ModelKind) -> bool {
        match kind {
            ModelKind::Persistence => self.newest.is_some(),
            ModelKind::AutoTheta => self.theta.is_some(),
            _ => false,
        }
    }
}

/// Lets naive forecasts and statistical models answer for some steps behind a past; those that cannot are left out.
#[must_use]
pub fn answers(
    naive: &BTreeMap<ModelKind, SeasonalNaive>,
    statistical: &Statistical,
    past: Past<'_>,
    steps: usize,
    kind: Kind,
) -> Paths {
    let of_naive = naive
        .iter()
        .map(|(name, naive)| (*name, naive.predict(past.values, steps, kind)));
    let newest = statistical.newest.as_ref();
    let theta = statistical.theta.as_ref();
    let of_statistical = [
        (
            ModelKind::Persistence,
            newest.and_then(|model| model.predict(past, steps, kind)),
        ),
        (
            ModelKind::AutoTheta,
            theta.and_then(|model| model.predict(past, steps, kind)),
        ),
    ];
    of_naive
        .chain(of_statistical)
        .filter_map(|(name, path)| Some((name, path?)))
        .collect()
}
