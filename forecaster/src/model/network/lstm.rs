//! An LSTM over the patches (P-sLSTM, Kong et al. 2024; `SegRNN`, Lin et al. 2023).
//!
//! What it hands on for every segment is the *newest* state: one that decodes step h from the state so many steps
//! before the origin is blind to the last hours.

use tch::{Kind, TchError, Tensor, nn};

use super::{Batch, Encode, assign, batch::for_each_segment, embedding::PatchEmbedding};
use crate::model::weights::values;

/// The recurrent encoder.
#[derive(Debug)]
pub(super) struct Lstm {
    embedding: PatchEmbedding,
    hidden: i64,
    /// The weights of input and state, and their biases; the gates stand in the order input, forget, cell, output.
    gates: [Tensor; 4],
}

impl Lstm {
    pub(super) fn new(root: &nn::Path, hidden: i64) -> Result<Self, TchError> {
        let lstm = root / "lstm";
        let gates = |name: &str, dims: &[i64]| lstm.f_var(name, dims, nn::Init::Const(0.0));
        Ok(Self {
            embedding: PatchEmbedding::new(root, hidden)?,
            hidden,
            gates: [
                gates("weight_ih", &[4 * hidden, hidden])?,
                gates("weight_hh", &[4 * hidden, hidden])?,
                gates("bias_ih", &[4 * hidden])?,
                gates("bias_hh", &[4 * hidden])?,
            ],
        })
    }
}

impl Encode for Lstm {
    fn encode(&self, batch: &Batch, statics: &Tensor) -> Result<Tensor, TchError> {
        let embedded = self.embedding.forward(batch, statics)?;
        let zeros = Tensor::f_zeros(
            [1, batch.windows(), self.hidden],
            (Kind::Float, embedded.device()),
        )?;
        let (_, state, _) = embedded.f_lstm(
            &[&zeros, &zeros],
            &self.gates.each_ref(),
            true,
            1,
            0.0,
            false,
            false,
            true,
        )?;
        for_each_segment(&state.f_squeeze_dim(0)?)
    }

    /// Opens the forget gate (Jozefowicz et al. 2015).
    fn begin(&self) -> Result<(), TchError> {
        let bias = &self.gates[2];
        let hidden = self.hidden as usize;
        let mut opened = values(bias)?;
        opened[hidden..2 * hidden].fill(1.0);
        assign(bias, &opened)
    }
}
