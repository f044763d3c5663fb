//! The decoder: from what an encoder hands on to quantiles.
//!
//! It answers with weights for the candidates of [`crate::model::window`] and with quantiles about their mix: a linear
//! skip in the sense of `NLinear` and `DLinear` (Zeng et al. 2023), of which the rest learns the residual.
//!
//! ```text
//! [encoded | position | calendar | statics | candidates] [B, S, ·] ── linear ── gelu ── linear ──▶ [B, S, K + 12 Q]
//! softmax of the first K over candidates [B, S, 12, K] ──▶ base [B, S, 12]; + 12 Q residuals ──▶ [B, 96, Q]
//! ```

use tch::{Kind, TchError, Tensor, nn};

use super::{
    Batch, STATIC_WIDTH, assign,
    batch::for_each_segment,
    layers::{Linear, table},
};
use crate::{
    model::{
        SEGMENT_STEPS, SEGMENTS,
        weights::values,
        window::{CANDIDATES, SEGMENT_FEATURES},
    },
    quantile::{HORIZON_STEPS, LEVELS},
};

const POSITION_WIDTH: i64 = 16;

/// The spread of the first residuals, in spreads of the window.
const FIRST_SPREAD: f64 = 0.3;

/// The decoder that all kinds of network share.
#[derive(Debug)]
pub(super) struct Decoder {
    positions: Tensor,
    inner: Linear,
    output: Linear,
}

impl Decoder {
    pub(super) fn new(root: &nn::Path, hidden: i64, width: i64) -> Result<Self, TchError> {
        let candidates = (SEGMENT_STEPS * CANDIDATES) as i64;
        let inputs = hidden + POSITION_WIDTH + STATIC_WIDTH + SEGMENT_FEATURES as i64 + candidates;
        let outputs = (CANDIDATES + SEGMENT_STEPS * LEVELS.len()) as i64;
        Ok(Self {
            positions: table(root, "positions", SEGMENTS, POSITION_WIDTH)?,
            inner: Linear::new(&(root / "decoder"), inputs, width)?,
            output: Linear::new(&(root / "output"), width, outputs)?,
        })
    }

    /// Decodes `[B, SEGMENTS, hidden]` into normalised quantiles `[B, HORIZON_STEPS, LEVELS]`, not yet sorted.
    pub(super) fn decode(
        &self,
        encoded: &Tensor,
        batch: &Batch,
        statics: &Tensor,
    ) -> Result<Tensor, TchError> {
        let (windows, segments) = (batch.windows(), SEGMENTS as i64);
        let positions = self
            .positions
            .f_unsqueeze(0)?
            .f_expand([windows, -1, -1], false)?;
        let known = Tensor::f_cat(
            &[
                encoded,
                &positions,
                &batch.segments,
                &for_each_segment(statics)?,
                &batch.candidates,
            ],
            2,
        )?;
        let answer = self
            .output
            .forward(&self.inner.forward(&known)?.f_gelu("none")?)?;

        let (candidates, steps) = (CANDIDATES as i64, SEGMENT_STEPS as i64);
        let weights = answer
            .f_narrow(2, 0, candidates)?
            .f_softmax(2, None::<Kind>)?
            .f_unsqueeze(2)?;
        let base = batch
            .candidates
            .f_view([windows, segments, steps, candidates])?
            .f_mul(&weights)?
            .f_sum_dim_intlist(3_i64, true, None::<Kind>)?;
        let levels = LEVELS.len() as i64;
        let residuals = answer
            .f_narrow(2, candidates, steps * levels)?
            .f_reshape([windows, segments, steps, levels])?;
        let quantiles = base.f_add(&residuals)?;
        quantiles.f_reshape([windows, HORIZON_STEPS as i64, levels])
    }

    /// Spreads the residuals as the quantiles of a small logistic noise, so that a fit begins from a mix of the
    /// candidates.
    pub(super) fn begin(&self) -> Result<(), TchError> {
        let Some(bias) = self.output.bias() else {
            return Ok(());
        };
        let mut biases = values(bias)?;
        for (place, value) in biases[CANDIDATES..].iter_mut().enumerate() {
            let level = LEVELS[place % LEVELS.len()];
            *value = (FIRST_SPREAD * (level / (1.0 - level)).ln()) as f32;
        }
        assign(bias, &biases)
    }
}
