//! Embedding: patches as vectors, moved by what is known of their series.

use tch::{TchError, Tensor, nn};

use super::{Batch, STATIC_WIDTH, layers::Linear};
use crate::model::window::PATCH_FEATURES;

/// Embeds each patch by a linear map, as `PatchTST` does (Nie et al. 2023).
#[derive(Debug)]
pub(super) struct PatchEmbedding {
    patch: Linear,
    statics: Linear,
}

impl PatchEmbedding {
    pub(super) fn new(root: &nn::Path, hidden: i64) -> Result<Self, TchError> {
        Ok(Self {
            patch: Linear::new(&(root / "patch"), PATCH_FEATURES as i64, hidden)?,
            statics: Linear::new(&(root / "statics"), STATIC_WIDTH, hidden)?,
        })
    }

    /// Returns the embedded patches `[B, PATCHES, hidden]`.
    pub(super) fn forward(&self, batch: &Batch, statics: &Tensor) -> Result<Tensor, TchError> {
        self.patch
            .forward(&batch.patches)?
            .f_add(&self.statics.forward(statics)?.f_unsqueeze(1)?)?
            .f_gelu("none")
    }
}
