//! The pinball loss over quantiles and steps, for windows of unlike weight and values that may be missing.

use tch::{Device, Kind, TchError, Tensor};

use crate::quantile::{HORIZON_STEPS, LEVELS};

/// An answer is cut here: one jump out of a window that was all but flat must not outweigh everything else.
const ANSWER_MAX: f32 = 32.0;

/// What came behind one window.
#[derive(Debug)]
pub(super) struct Came {
    /// Normalised, NaN where missing.
    pub(super) values: Vec<f32>,
    /// What the window counts for.
    pub(super) weight: f32,
}

/// What came behind the windows of a batch.
#[derive(Debug)]
pub(super) struct Answers {
    /// Normalised, 0 where missing: `[B, HORIZON_STEPS, 1]`.
    values: Tensor,
    /// The window's weight, 0 where missing: `[B, HORIZON_STEPS, 1]`.
    weights: Tensor,
}

impl Answers {
    /// Stacks what came behind windows, on the device that computes.
    pub(super) fn new(came: &[Came], device: Device) -> Result<Self, TchError> {
        let mut values = Vec::with_capacity(came.len() * HORIZON_STEPS);
        let mut weights = Vec::with_capacity(came.len() * HORIZON_STEPS);
        for Came {
            values: behind,
            weight,
        } in came
        {
            for value in behind {
                let missing = value.is_nan();
                values.push(if missing {
                    0.0
                } else {
                    value.clamp(-ANSWER_MAX, ANSWER_MAX)
                });
                weights.push(if missing { 0.0 } else { *weight });
            }
        }
        let shape = [came.len() as i64, HORIZON_STEPS as i64, 1];
        Ok(Self {
            values: Tensor::f_from_slice(&values)?.f_view(shape)?.f_to(device)?,
            weights: Tensor::f_from_slice(&weights)?
                .f_view(shape)?
                .f_to(device)?,
        })
    }

    /// Returns the weighted mean over windows, steps and levels of the pinball loss (Koenker & Bassett 1978):
    /// `max(q e, (q - 1) e)` for an error `e` at level `q`. `quantiles` are `[B, HORIZON_STEPS, LEVELS]`.
    pub(super) fn loss(&self, quantiles: &Tensor) -> Result<Tensor, TchError> {
        let levels =
            Tensor::f_from_slice(&LEVELS.map(|level| level as f32))?.f_to(self.values.device())?;
        let error = self.values.f_sub(quantiles)?;
        let above = error.f_mul(&levels)?;
        let loss = above.f_maximum(&above.f_sub(&error)?)?;
        let total = self.weights.f_sum(None::<Kind>)?.f_clamp_min(1e-6)?;
        loss.f_mul(&self.weights)?
            .f_sum(None::<Kind>)?
            .f_div(&total)?
            .f_div_scalar(LEVELS.len() as f64)
    }
}
