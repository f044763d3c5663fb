//! A host's model: the manifest, and the network with its weights.
//!
//! One network serves a host, over all its targets; libtorch appears in this module alone. In the order in
//! which data flows: `base` is where a fit begins, `scale` normalises, `window` makes inputs, `network` answers, `loss` judges, `fit` learns,
//! `widening` calibrates, `weights` carries to disk and back.

mod base;
mod fit;
mod loss;
mod network;
mod scale;
mod weights;
mod widening;
mod window;

use std::{
    ops::Range,
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use tch::TchError;

use self::network::Batch;
pub(crate) use self::{
    base::SeriesName,
    fit::{Course, Lesson, fit},
    network::PatchLstm,
    weights::{digest, to_bytes},
    window::Series,
};
pub use self::{
    base::{Base, BaseError},
    fit::FitError,
    network::Shape,
    scale::SeriesScale,
    weights::WeightsError,
    widening::Widening,
    window::NEWCOMER_STEPS_MIN,
};
use crate::{
    grid::Grid,
    manifest::{Manifest, ModelKind},
    quantile::{HORIZON_STEPS, LEVELS, QuantilePath},
    target::Kind,
};

/// The steps that the network sees before an origin: a day.
pub const CONTEXT_STEPS: usize = 288;

/// The steps of a patch: an hour.
pub const PATCH_STEPS: usize = 12;

/// The steps of the horizon that are decoded together.
pub(crate) const SEGMENT_STEPS: usize = 12;

/// The segments of the horizon.
pub(crate) const SEGMENTS: usize = HORIZON_STEPS / SEGMENT_STEPS;

/// Why libtorch did not answer.
pub(crate) type ModelRefusal = TchError;

/// What a manifest says of the network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkEntry {
    /// The sizes.
    pub shape: Shape,
    /// The number of trained parameters.
    pub parameters: usize,
    /// The SHA-256 of the weights' file.
    pub weights_sha256: String,
    /// The epoch whose weights were kept.
    pub epoch: usize,
    /// Their mean pinball loss on the validation part, in units of the windows' spreads.
    pub validation_loss: f64,
    /// How the intervals are widened.
    pub widening: Widening,
}

/// What a manifest says of a target's place in the network.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeriesEntry {
    /// The row of the embedding.
    pub index: usize,
    /// The scale that the target's values are carried to.
    pub scale: SeriesScale,
}

impl SeriesEntry {
    /// The place of a series that no network ever saw, with the scale of its first values; `None` when they do not
    /// differ.
    pub(crate) fn of_newcomer(kind: Kind, values: &[f32]) -> Option<Self> {
        let scale = SeriesScale::fit(kind, values)?;
        Some(Self { index: 0, scale })
    }

    /// Makes the series of a grid ready, and returns the origin at its end. A history shorter than the context of a
    /// series that was never seen is taken for all there is.
    pub(crate) fn series(&self, grid: &Grid) -> (Series, usize) {
        let series = Series::new(self.index, self.scale, grid);
        let end = series.len();
        if self.index == 0 && end < CONTEXT_STEPS {
            series.newcomer(end, end)
        } else {
            (series, end)
        }
    }
}

/// Why a manifest and weights do not make a model.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The weights are not those of the manifest.
    #[error(
        "the weights have the SHA-256 {found}, the manifest names {named}: the file was damaged or exchanged"
    )]
    DigestUnlike {
        /// The hash that the manifest names.
        named: String,
        /// The hash of the bytes.
        found: String,
    },
    /// The manifest is there without the weights.
    #[error("the manifest names a network, and the weights' file is missing")]
    WeightsMissing,
    /// Nobody asked for them.
    #[error("there are weights, and the manifest names no network")]
    WeightsUnasked,
    /// The weights do not fit.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}

/// A model that serves one host.
#[derive(Debug)]
pub struct HostModel {
    manifest: Manifest,
    /// libtorch's tensors belong to one thread at a time.
    network: Option<Mutex<PatchLstm>>,
}

impl HostModel {
    pub(crate) fn new(manifest: Manifest, network: Option<PatchLstm>) -> Self {
        Self {
            manifest,
            network: network.map(Mutex::new),
        }
    }

    /// Makes a model of a host that knows no target.
    pub(crate) fn empty(host: &str) -> Self {
        Self::new(Manifest::empty(host), None)
    }

    /// Makes a model of a host that was never trained: the base answers.
    pub(crate) fn of_newcomer(mut manifest: Manifest, base: &Base) -> Self {
        let network = base.network(&[]).ok();
        manifest.network = network.as_ref().map(|network| NetworkEntry {
            shape: network.shape(),
            parameters: network.parameters(),
            weights_sha256: String::new(),
            epoch: 0,
            validation_loss: 0.0,
            widening: Widening::default(),
        });
        Self::new(manifest, network)
    }

    /// Lets one kind serve every target that has it; the others keep theirs.
    pub(crate) fn serving_only(mut self, kind: ModelKind) -> Self {
        for target in &mut self.manifest.targets {
            if target.has(kind) {
                target.serves = kind;
                target.fallback_reason = None;
            }
        }
        self
    }

    /// Puts a model together from what was published.
    ///
    /// # Errors
    ///
    /// When the weights are not those that the manifest names.
    pub fn from_parts(manifest: Manifest, weights: Option<&[u8]>) -> Result<Self, ModelError> {
        let network = match (&manifest.network, weights) {
            (None, None) => None,
            (Some(entry), Some(bytes)) => {
                let found = digest(bytes);
                if found != entry.weights_sha256 {
                    return Err(ModelError::DigestUnlike {
                        named: entry.weights_sha256.clone(),
                        found,
                    });
                }
                Some(weights::from_bytes(entry.shape, bytes)?)
            }
            (Some(_), None) => return Err(ModelError::WeightsMissing),
            (None, Some(_)) => return Err(ModelError::WeightsUnasked),
        };
        Ok(Self::new(manifest, network))
    }

    /// Returns what is known about the model.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Returns the weights in the safetensors form; `None` when no target has a network.
    ///
    /// # Errors
    ///
    /// When libtorch refuses to hand them over.
    pub fn weights(&self) -> Result<Option<Vec<u8>>, WeightsError> {
        let network = self.network.as_ref();
        network
            .map(|network| to_bytes(&network.lock().unwrap_or_else(PoisonError::into_inner)))
            .transpose()
    }

    /// Answers for series at their origins, in one batch. `None` stands where the network cannot be asked:
    /// without a network, or with too little observed before the origin.
    pub(crate) fn answer(
        &self,
        asked: &[(&Series, usize)],
    ) -> Result<Vec<Option<QuantilePath>>, ModelRefusal> {
        let (Some(network), Some(entry)) = (&self.network, &self.manifest.network) else {
            return Ok(vec![None; asked.len()]);
        };
        use_one_thread();
        let network = network.lock().unwrap_or_else(PoisonError::into_inner);
        answer(&network, &entry.widening, asked)
    }
}

/// Answers for series at their origins, in one batch, and carries the answers back to the metrics' own units.
pub(crate) fn answer(
    network: &PatchLstm,
    widening: &Widening,
    asked: &[(&Series, usize)],
) -> Result<Vec<Option<QuantilePath>>, TchError> {
    let windows: Vec<_> = asked
        .iter()
        .map(|(series, origin)| series.window(*origin))
        .collect();
    let present: Vec<_> = windows.iter().flatten().cloned().collect();
    if present.is_empty() {
        return Ok(vec![None; asked.len()]);
    }
    let quantiles = tch::no_grad(|| {
        let raw = network.forward(&Batch::new(&present)?)?;
        let median = raw.f_narrow(2, crate::quantile::MEDIAN as i64, 1)?;
        let drawn = raw.f_sub(&median)?.f_mul(&widening.factors()?)?;
        weights::values(&drawn.f_add(&median)?)
    })?;
    let mut rows = quantiles.chunks_exact(HORIZON_STEPS * LEVELS.len());
    let paths = asked.iter().zip(&windows).map(|((series, _), window)| {
        let scale = window.as_ref()?.scale;
        let row = rows.next()?;
        let own = series.scale();
        Some(QuantilePath::from_fn(
            HORIZON_STEPS,
            own.kind(),
            |level, step| {
                own.restore(row[step * LEVELS.len() + level] * scale.spread + scale.center)
            },
        ))
    });
    Ok(paths.collect())
}

/// Finds how the intervals must be widened, at windows that the network never learned from: of each lesson, those at
/// the origins that `unseen` names.
pub(crate) fn calibrate(
    network: &PatchLstm,
    lessons: &[Lesson],
    unseen: impl Fn(&Lesson) -> Vec<Range<usize>>,
) -> Result<Widening, TchError> {
    let mut quantiles = Vec::new();
    let mut answers = Vec::new();
    for lesson in lessons {
        let origins = unseen(lesson)
            .into_iter()
            .flat_map(|range| range.step_by(SEGMENT_STEPS));
        let (windows, came): (Vec<_>, Vec<_>) = origins
            .filter_map(|origin| {
                let window = lesson.series.window(origin)?;
                let came = lesson.series.answer(origin, window.scale);
                Some((window, came))
            })
            .unzip();
        if !windows.is_empty() {
            let raw = tch::no_grad(|| network.forward(&Batch::new(&windows)?))?;
            quantiles.extend(weights::values(&raw)?);
            answers.extend(came.into_iter().flatten());
        }
    }
    Ok(Widening::fit(&quantiles, &answers))
}

/// Uses one thread for the arithmetic of the calling thread: hosts are trained and served side by side.
pub(crate) fn use_one_thread() {
    tch::set_num_threads(1);
}
