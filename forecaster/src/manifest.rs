//! What is known about a host's model: its data, its targets, their errors, and which kind serves each.
//!
//! The manifest is published as `manifest.json` beside the weights; [`FORMAT`] names its form.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    backtest::Scores,
    baseline::{DAY_STEPS, SeasonalNaive},
    ensemble::{Ensemble, Statistical},
    grid::STEP_S,
    joint::Dependence,
    model::{NetworkEntry, SeriesEntry},
    model_kind::{EncoderKind, ModelKind},
    target::{Kind, Target},
};

/// The form of the manifest. A reader refuses any other.
pub const FORMAT: u32 = 2;

/// A host's model without its weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// The host.
    pub host: String,
    /// When the training began, in seconds since the epoch.
    pub trained_at_s: i64,
    /// The first second of the data.
    pub data_from_s: i64,
    /// The first second behind the data.
    pub data_until_s: i64,
    /// The step of the data.
    pub step_s: u32,
    /// The seed of everything random; data, seed and code version make the same weights.
    pub seed: u64,
    /// The version of the program that trained, and its commit where the build knew it.
    pub code_version: String,
    /// The SHA-256 of the base that the network began from; null where it began from random weights.
    #[serde(default)]
    pub base_sha256: Option<String>,
    /// The network that the targets share; null when none of them can be learned.
    pub network: Option<NetworkEntry>,
    /// The networks of other kinds that were asked for, over the same targets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra_networks: Vec<NetworkEntry>,
    /// The targets that have a model, by name.
    pub targets: Vec<TargetModel>,
    /// The targets that have none, and why.
    pub refused: Vec<Refused>,
    /// How the model did beside the one that served when it was trained; null for a host's first, or where nothing was
    /// compared.
    #[serde(default)]
    pub gate: Option<Verdict>,
}

/// How a newly trained model, the challenger, did beside the champion on the same origins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// The version that served.
    pub champion: String,
    /// Whether the challenger is the one to serve.
    pub promoted: bool,
    /// Why.
    pub reason: String,
    /// The challenger's CRPS divided by the champion's, as the geometric mean over targets, a tenth of each target's
    /// usual change from day to day added to both; null where nothing could be compared.
    pub crps_ratio: Option<f64>,
    /// The errors of both by target, and of seasonal naive and the ensemble's parts.
    pub targets: BTreeMap<String, Compared>,
}

/// The errors of two models of a target on the same origins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Compared {
    /// How many origins, or how many forecasts that were written beside each other.
    pub n_origins: usize,
    /// The champion's errors.
    pub champion: Judged,
    /// The challenger's.
    pub challenger: Judged,
    /// Those of seasonal naive (day) on the same origins; null for forecasts that were written beside each other.
    #[serde(default)]
    pub seasonal_naive: Option<Judged>,
    /// Those of every further kind of model that the challenger was made of or chosen from, on the same origins; empty for
    /// forecasts that were written beside each other.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<String, Judged>,
}

/// The errors of one of them, in the target's own unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Judged {
    /// The mean absolute error of the median.
    pub mae: f64,
    /// The root of its mean squared error.
    pub rmse: f64,
    /// Twice the mean pinball loss.
    pub crps: f64,
    /// The share of values between the 0.1 and the 0.9 quantile.
    pub coverage80: f64,
}

impl From<&Scores> for Judged {
    fn from(scores: &Scores) -> Self {
        Self {
            mae: scores.mae,
            rmse: scores.rmse,
            crps: scores.crps,
            coverage80: scores.coverage80,
        }
    }
}

impl Manifest {
    /// Makes the manifest of a model that knows no target.
    pub(crate) fn empty(host: &str) -> Self {
        Self {
            format: FORMAT,
            host: host.to_owned(),
            trained_at_s: 0,
            data_from_s: 0,
            data_until_s: 0,
            step_s: STEP_S,
            seed: 0,
            code_version: env!("CARGO_PKG_VERSION").to_owned(),
            base_sha256: None,
            network: None,
            extra_networks: Vec::new(),
            targets: Vec::new(),
            refused: Vec::new(),
            gate: None,
        }
    }

    /// Returns what is known of every network.
    pub fn networks(&self) -> impl Iterator<Item = &NetworkEntry> {
        self.network.iter().chain(&self.extra_networks)
    }

    /// Returns what is known of the network of a kind.
    #[must_use]
    pub fn entry(&self, kind: EncoderKind) -> Option<&NetworkEntry> {
        self.networks().find(|entry| entry.shape.encoder == kind)
    }

    /// Returns the model of a target.
    #[must_use]
    pub fn target(&self, metric: &str) -> Option<&TargetModel> {
        self.targets.iter().find(|target| target.metric == metric)
    }

    /// Says whether the training knew a target, be it that it was refused.
    #[must_use]
    pub fn has_heard_of(&self, metric: &str) -> bool {
        let is_refused = |refused: &Refused| refused.metric == metric;
        self.target(metric).is_some() || self.refused.iter().any(is_refused)
    }
}

/// What serves one target, and how well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetModel {
    /// The target's name.
    pub metric: String,
    /// What its values can be.
    pub kind: Kind,
    /// The unit of its values.
    pub unit: String,
    /// The kind of model that serves.
    pub serves: ModelKind,
    /// Why the LSTM has no part in it; null when it has.
    pub fallback_reason: Option<String>,
    /// The backtest of every kind that was tried, all at the same origins; empty when the history is too short
    /// for one.
    pub scores: BTreeMap<ModelKind, Scores>,
    /// The naive forecasts, fitted on the whole history.
    pub naive: BTreeMap<ModelKind, SeasonalNaive>,
    /// The statistical models, fitted on the newest part of the history.
    #[serde(default)]
    pub statistical: Statistical,
    /// How the members are pooled; null where there is no network to pool them with.
    #[serde(default)]
    pub ensemble: Option<Ensemble>,
    /// The target's place in the network; null when it was not learned.
    pub series: Option<SeriesEntry>,
}

impl TargetModel {
    /// Makes what serves a target of a host without a model of its own, from the values that there are: the base, or
    /// the newest value where they never changed.
    pub(crate) fn of_newcomer(target: &Target, values: &[f32], reason: &str) -> Self {
        let series = SeriesEntry::of_newcomer(target.kind, values);
        let mut naive: BTreeMap<_, _> =
            [(ModelKind::Persistence, SeasonalNaive::persistence())].into();
        if let Some(day) = SeasonalNaive::fit(values, DAY_STEPS) {
            naive.insert(ModelKind::SeasonalNaiveDay, day);
        }
        Self {
            metric: target.metric.clone(),
            kind: target.kind,
            unit: target.unit.clone(),
            serves: if series.is_some() {
                ModelKind::Base
            } else {
                ModelKind::Persistence
            },
            fallback_reason: Some(reason.to_owned()),
            scores: BTreeMap::new(),
            naive,
            statistical: Statistical::default(),
            ensemble: None,
            series,
        }
    }

    /// Returns whether there is a model of this kind for the target.
    #[must_use]
    pub fn has(&self, kind: ModelKind) -> bool {
        match kind {
            network if network.is_network() => self.series.is_some(),
            ModelKind::Ensemble => self.ensemble.is_some(),
            simple => self.naive.contains_key(&simple) || self.statistical.has(simple),
        }
    }

    /// Returns how the errors of the target's forecasts hang together: as the ensemble's did, whatever serves.
    #[must_use]
    pub fn dependence(&self) -> Dependence {
        let ensemble = self.ensemble.as_ref();
        ensemble.map_or_else(Dependence::default, |ensemble| ensemble.dependence)
    }

    /// Returns the backtest of the kind that serves.
    #[must_use]
    pub fn served_scores(&self) -> Option<&Scores> {
        self.scores.get(&self.serves)
    }
}

/// A target without a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    /// The target's name.
    pub metric: String,
    /// What was wrong with its history, and what would be right.
    pub reason: String,
}
