//! A temporal convolutional network over the patches (Bai, Kolter & Koltun 2018, section 3).
//!
//! Residual blocks follow each other, each of two causal convolutions with weight normalisation (Salimans & Kingma
//! 2016) and a ReLU behind each; the distance between the patches that a kernel reads doubles from block to block, so
//! that the newest place has seen every patch:
//!
//! ```text
//! block: x [B, D, P] ── conv ── relu ── conv ── relu ── + x ── relu ──▶ [B, D, P]
//! ```
//!
//! What is handed on for every segment is the newest place. Two things differ from the paper: there is no dropout,
//! since a fit is stopped by what it never learned from, and every random number is to come from the seed; and no
//! 1 × 1 convolution stands beside a block, since all of them have one width.

use tch::{TchError, Tensor, nn};

use super::{Batch, Encode, PATCHES, assign, batch::for_each_segment, embedding::PatchEmbedding};
use crate::model::weights::values;

/// The patches that a kernel reads.
const KERNEL: usize = 3;

/// The distances between the patches that a kernel reads, a block each.
const DILATIONS: [usize; 3] = [1, 2, 4];

/// The newest place must see the oldest patch.
const _: () =
    assert!(1 + 2 * (KERNEL - 1) * (DILATIONS[0] + DILATIONS[1] + DILATIONS[2]) >= PATCHES);

/// A causal convolution whose weights have a direction and a length of their own for each output.
#[derive(Debug)]
struct Convolution {
    dilation: i64,
    /// `[outputs, inputs, KERNEL]`.
    direction: Tensor,
    /// `[outputs, 1, 1]`.
    length: Tensor,
    bias: Tensor,
}

impl Convolution {
    fn new(path: &nn::Path, width: i64, dilation: usize) -> Result<Self, TchError> {
        let zeros = nn::Init::Const(0.0);
        Ok(Self {
            dilation: dilation as i64,
            direction: path.f_var("direction", &[width, width, KERNEL as i64], zeros)?,
            length: path.f_var("length", &[width, 1, 1], zeros)?,
            bias: path.f_var("bias", &[width], zeros)?,
        })
    }

    /// Returns the length of each output's direction `[outputs, 1, 1]`.
    fn lengths(&self) -> Result<Tensor, TchError> {
        self.direction.f_norm_scalaropt_dim(2.0, [1_i64, 2], true)
    }

    /// Convolves `[B, D, P]` with nothing but what stands before each place, and itself.
    fn forward(&self, input: &Tensor) -> Result<Tensor, TchError> {
        let weight = self
            .direction
            .f_mul(&self.length.f_div(&self.lengths()?)?)?;
        let before = self.dilation * (KERNEL as i64 - 1);
        input.f_constant_pad_nd([before, 0])?.f_conv1d(
            &weight,
            Some(&self.bias),
            [1],
            [0],
            [self.dilation],
            1,
        )
    }
}

/// The convolutional encoder.
#[derive(Debug)]
pub(super) struct Tcn {
    embedding: PatchEmbedding,
    blocks: Vec<[Convolution; 2]>,
}

impl Tcn {
    pub(super) fn new(root: &nn::Path, hidden: i64) -> Result<Self, TchError> {
        let tcn = root / "tcn";
        let block = |(number, dilation): (usize, usize)| {
            let block = &tcn / format!("block{number}");
            Ok([
                Convolution::new(&(&block / "first"), hidden, dilation)?,
                Convolution::new(&(&block / "second"), hidden, dilation)?,
            ])
        };
        Ok(Self {
            embedding: PatchEmbedding::new(root, hidden)?,
            blocks: DILATIONS
                .into_iter()
                .enumerate()
                .map(block)
                .collect::<Result<_, TchError>>()?,
        })
    }
}

impl Encode for Tcn {
    fn encode(&self, batch: &Batch, statics: &Tensor) -> Result<Tensor, TchError> {
        let mut places = self.embedding.forward(batch, statics)?.f_transpose(1, 2)?;
        for [first, second] in &self.blocks {
            let inner = first.forward(&places)?.f_relu()?;
            let inner = second.forward(&inner)?.f_relu()?;
            places = places.f_add(&inner)?.f_relu()?;
        }
        for_each_segment(&places.f_select(2, PATCHES as i64 - 1)?)
    }

    /// Lets each weight begin as its direction was drawn.
    fn begin(&self) -> Result<(), TchError> {
        for convolution in self.blocks.iter().flatten() {
            assign(&convolution.length, &values(&convolution.lengths()?)?)?;
        }
        Ok(())
    }
}
