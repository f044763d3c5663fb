//! The networks: what they see, how they learn and what they answer.
//!
//! One serves a host over all its targets; networks of other kinds stand beside it where they are asked for.
//! libtorch appears in this module alone. In the order in which data flows: `device` says where is computed, `base` is
//! where a fit begins, `scale` normalises, `window` makes inputs, `network` answers, `loss` judges, `fit` learns,
//! `weights` carries to disk and back.

mod base;
mod device;
mod fit;
mod inputs;
mod loss;
mod network;
mod scale;
mod weights;
mod window;

use std::ops::Range;

use serde::{Deserialize, Serialize};
use tch::{TchError, Tensor};

use self::network::Batch;
pub(crate) use self::{
    base::SeriesName,
    fit::{Course, Lesson, fit},
    network::Network,
    weights::{digest, from_bytes, to_bytes},
    window::Series,
};
pub use self::{
    base::{Base, BaseError},
    device::{Device, DeviceError, TOLERANCE},
    fit::FitError,
    inputs::Inputs,
    network::Shape,
    scale::SeriesScale,
    weights::WeightsError,
    window::NEWCOMER_STEPS_MIN,
};
use crate::{
    grid::Grid,
    quantile::{HORIZON_STEPS, LEVELS, QuantilePath},
    target::Kind,
    widening::Widening,
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

/// Answers for series at their origins, in one batch, and carries the answers back to the metrics' own units.
pub(crate) fn answer(
    network: &Network,
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
        let raw = network.forward(&Batch::new(&present, network.device())?)?;
        let median = raw.f_narrow(2, crate::quantile::MEDIAN as i64, 1)?;
        let factors = Tensor::f_from_slice(&widening.factors())?
            .f_view([HORIZON_STEPS as i64, LEVELS.len() as i64])?
            .f_to(network.device())?;
        let drawn = raw.f_sub(&median)?.f_mul(&factors)?;
        weights::values(&drawn.f_add(&median)?)
    })?;
    let mut rows = quantiles.chunks_exact(HORIZON_STEPS * LEVELS.len());
    let paths = asked
        .iter()
        .zip(&windows)
        .map(|((series, origin), window)| {
            let scale = window.as_ref()?.scale;
            let row = rows.next()?;
            let own = series.scale();
            let anywhere = (f64::NEG_INFINITY, f64::INFINITY);
            let (low, high) = series.reach(*origin).unwrap_or(anywhere);
            Some(QuantilePath::from_fn(
                HORIZON_STEPS,
                own.kind(),
                |level, step| {
                    let value = row[step * LEVELS.len() + level] * scale.spread + scale.center;
                    own.restore(value).clamp(low, high)
                },
            ))
        });
    Ok(paths.collect())
}

/// Finds how the intervals must be widened, at windows that the network never learned from: of each lesson, those at
/// the origins that `unseen` names.
pub(crate) fn calibrate(
    network: &Network,
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
            let raw = tch::no_grad(|| network.forward(&Batch::new(&windows, network.device())?))?;
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
