//! The members beside the network: naive forecasts and statistical models.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    baseline::SeasonalNaive,
    model_kind::ModelKind,
    quantile::QuantilePath,
    statistical::{
        AutoEts, AutoSarima, AutoTheta, Ets, Fit, MstlEts, MstlWithEts, Newest, NewestValue, Past,
        Predict, Sarima, Theta, WithSpread,
    },
    target::Kind,
};

/// What each kind of model answers.
pub type Paths = BTreeMap<ModelKind, QuantilePath>;

/// The statistical models of a target; null where the history was too short, or one was not asked for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statistical {
    /// The newest value.
    pub newest: Option<WithSpread<Newest>>,
    /// The theta model.
    pub theta: Option<WithSpread<Theta>>,
    /// Exponential smoothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ets: Option<WithSpread<Ets>>,
    /// Seasons by loess, and exponential smoothing of the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mstl: Option<WithSpread<MstlEts>>,
    /// Seasonal ARIMA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sarima: Option<WithSpread<Sarima>>,
}

impl Statistical {
    /// Fits each model that the past is long enough for, and those of [`ModelKind::STATISTICAL_EXTRA`] that are asked for: some
    /// 40 ms for 14 days of five minutes without the latter.
    #[must_use]
    pub fn fit(past: Past<'_>, asked: &[ModelKind]) -> Self {
        let is_asked = |kind| asked.contains(&kind);
        Self {
            newest: NewestValue.fit(past),
            theta: AutoTheta.fit(past),
            ets: is_asked(ModelKind::AutoEts)
                .then(|| AutoEts::default().fit(past))
                .flatten(),
            mstl: is_asked(ModelKind::MstlEts)
                .then(|| MstlWithEts.fit(past))
                .flatten(),
            sarima: is_asked(ModelKind::AutoSarima)
                .then(|| AutoSarima::default().fit(past))
                .flatten(),
        }
    }

    /// Returns the model of a kind.
    fn of(&self, kind: ModelKind) -> Option<&dyn Predict> {
        fn some<P: Predict>(model: Option<&P>) -> Option<&dyn Predict> {
            model.map(|model| model as &dyn Predict)
        }
        match kind {
            ModelKind::Persistence => some(self.newest.as_ref()),
            ModelKind::AutoTheta => some(self.theta.as_ref()),
            ModelKind::AutoEts => some(self.ets.as_ref()),
            ModelKind::MstlEts => some(self.mstl.as_ref()),
            ModelKind::AutoSarima => some(self.sarima.as_ref()),
            _ => None,
        }
    }

    /// Returns whether there is a model of this kind.
    #[must_use]
    pub fn has(&self, kind: ModelKind) -> bool {
        self.of(kind).is_some()
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
        .filter_map(|(name, naive)| Some((*name, naive.predict(past.values, steps, kind)?)));
    let of_statistical = ModelKind::ALL.into_iter().filter_map(|name| {
        let path = statistical.of(name)?.predict(past, steps, kind)?;
        Some((name, path))
    });
    of_naive.chain(of_statistical).collect()
}
