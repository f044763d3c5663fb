//! The network: one decoder, and what reads the patches in front of it.
//!
//! A window's context is cut into patches, and an encoder reads the patches instead of the steps. Each segment of the
//! horizon is decoded at once, with the segment's position and calendar (the parallel decoding of `SegRNN`, Lin et al.
//! 2023). The network is channel-independent (`PatchTST`, Nie et al. 2023): all series of a host share it, and embeddings
//! of the kind and of the series tell them apart.
//!
//! | encoder | what it is | after |
//! |---|---|---|
//! | `lstm` | an LSTM over embedded patches; its newest state | P-sLSTM (Kong et al. 2024), `SegRNN` (Lin et al. 2023) |
//! | `tcn` | dilated causal convolutions over embedded patches; their newest place | Bai, Kolter & Koltun 2018 |
//! | `attention` | variable selection and attention; a token for each segment | the Temporal Fusion Transformer (Lim et al. 2021) |
//!
//! ```text
//! patches [B, P, F], statics ── encoder ──▶ [B, S, D] ── decoder ──▶ quantiles [B, 96, Q]
//! ```

mod attention;
mod batch;
mod decoder;
mod embedding;
mod gated;
mod layers;
mod lstm;
#[cfg(test)]
mod reference;
mod shape;
mod tcn;

use std::fmt;

use tch::{Device, TchError, Tensor, nn};

pub(crate) use self::batch::Batch;
pub use self::shape::Shape;
use self::{decoder::Decoder, layers::table};
use super::{CONTEXT_STEPS, PATCH_STEPS};
use crate::{model_kind::EncoderKind, target};

const PATCHES: usize = CONTEXT_STEPS / PATCH_STEPS;
/// The name of the series' embedding.
const SERIES: &str = "series";

const KIND_WIDTH: i64 = 4;
const SERIES_WIDTH: i64 = 8;
/// The embeddings of kind and series, and the window's place in it.
const STATIC_WIDTH: i64 = KIND_WIDTH + SERIES_WIDTH + 2;

/// What reads the patches.
trait Encode: fmt::Debug + Send {
    /// Reads the patches of a batch, whose series are described by `statics` `[B, STATIC_WIDTH]`, and hands on what
    /// each segment is decoded from `[B, SEGMENTS, hidden]`.
    fn encode(&self, batch: &Batch, statics: &Tensor) -> Result<Tensor, TchError>;

    /// Sets the first values that are more than drawn.
    fn begin(&self) -> Result<(), TchError> {
        Ok(())
    }
}

/// The network. Its tensors move between threads; one thread at a time may use it.
#[derive(Debug)]
pub(crate) struct Network {
    shape: Shape,
    store: nn::VarStore,
    kinds: Tensor,
    series: Tensor,
    encoder: Box<dyn Encode>,
    decoder: Decoder,
}

impl Network {
    /// Makes a network whose weights follow from the seed alone.
    pub(crate) fn new(shape: Shape, seed: u64, device: Device) -> Result<Self, TchError> {
        let network = Self::blank(shape, device)?;
        layers::draw(&network.variables(), seed)?;
        network.encoder.begin()?;
        network.decoder.begin()?;
        Ok(network)
    }

    /// Makes a network whose weights are still to be set.
    pub(super) fn blank(shape: Shape, device: Device) -> Result<Self, TchError> {
        let store = nn::VarStore::new(device);
        let root = store.root();
        let hidden = shape.hidden as i64;
        let encoder: Box<dyn Encode> = match shape.encoder {
            EncoderKind::Lstm => Box::new(lstm::Lstm::new(&root, hidden)?),
            EncoderKind::Tcn => Box::new(tcn::Tcn::new(&root, hidden)?),
            EncoderKind::Attention => Box::new(attention::Attention::new(&root, hidden)?),
        };
        Ok(Self {
            shape,
            kinds: table(&root, "kinds", target::Kind::ALL.len(), KIND_WIDTH)?,
            series: table(&root, SERIES, shape.series + 1, SERIES_WIDTH)?,
            encoder,
            decoder: Decoder::new(&root, hidden, shape.decoder as i64)?,
            store,
        })
    }

    /// Makes another network with the same weights.
    pub(crate) fn copy(&self) -> Result<Self, TchError> {
        let copy = Self::blank(self.shape, self.device())?;
        for ((_, to), (_, from)) in copy.variables().iter().zip(self.variables()) {
            tch::no_grad(|| to.shallow_clone().f_copy_(&from))?;
        }
        Ok(copy)
    }

    /// Makes a network for other series: everything but the series' embedding is the same, and the new rows are
    /// copies of `rows`; the first is that of a series never seen.
    pub(crate) fn for_series(&self, rows: &[usize]) -> Result<Self, TchError> {
        let series = rows.len();
        let shape = Shape {
            series,
            ..self.shape
        };
        let copy = Self::blank(shape, self.device())?;
        let rows: Vec<i64> = [0].iter().chain(rows).map(|row| *row as i64).collect();
        let rows = Tensor::f_from_slice(&rows)?.f_to(self.device())?;
        for ((name, to), (_, from)) in copy.variables().iter().zip(self.variables()) {
            let from = if name == SERIES {
                from.f_index_select(0, &rows)?
            } else {
                from
            };
            tch::no_grad(|| to.shallow_clone().f_copy_(&from))?;
        }
        Ok(copy)
    }

    /// Returns the sizes.
    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    /// Returns the device that it computes on.
    pub(crate) fn device(&self) -> Device {
        self.store.device()
    }

    /// Returns the variables, by name.
    pub(crate) fn variables(&self) -> Vec<(String, Tensor)> {
        let mut variables: Vec<_> = self.store.variables().into_iter().collect();
        variables.sort_by(|(one, _), (other, _)| one.cmp(other));
        variables
    }

    /// Returns the variables' owner, which an optimiser is built on.
    pub(crate) fn store(&self) -> &nn::VarStore {
        &self.store
    }

    /// Returns the number of trained parameters.
    pub(crate) fn parameters(&self) -> usize {
        self.variables()
            .iter()
            .map(|(_, tensor)| tensor.numel())
            .sum()
    }

    /// Answers with normalised quantiles `[B, HORIZON_STEPS, LEVELS]`, not yet sorted.
    pub(crate) fn forward(&self, batch: &Batch) -> Result<Tensor, TchError> {
        let statics = self.describe(batch)?;
        let encoded = self.encoder.encode(batch, &statics)?;
        self.decoder.decode(&encoded, batch, &statics)
    }

    /// Describes each window's series: the embeddings of kind and series, and its place in it `[B, STATIC_WIDTH]`.
    fn describe(&self, batch: &Batch) -> Result<Tensor, TchError> {
        let row = |table: &Tensor, places: &Tensor| table.f_index_select(0, places);
        Tensor::f_cat(
            &[
                &row(&self.kinds, &batch.kinds)?,
                &row(&self.series, &batch.series)?,
                &batch.statics,
            ],
            1,
        )
    }
}

/// Replaces a variable's values.
pub(super) fn assign(variable: &Tensor, values: &[f32]) -> Result<(), TchError> {
    let source = Tensor::f_from_slice(values)?.f_view(&variable.size()[..])?;
    tch::no_grad(|| variable.shallow_clone().f_copy_(&source))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::to_bytes;

    #[test]
    fn weights_follow_from_the_seed_alone() {
        for kind in EncoderKind::ALL {
            let weights = |seed| {
                let network = Network::new(Shape::of(kind), seed, Device::Cpu).expect("a network");
                to_bytes(&network).expect("bytes")
            };
            assert_eq!(weights(3), weights(3), "{kind}");
            assert_ne!(weights(3), weights(4), "{kind}");
        }
    }

    #[test]
    fn a_network_for_forty_targets_keeps_to_its_size() {
        let parameters = |kind: EncoderKind| {
            let shape = Shape {
                series: 40,
                ..Shape::of(kind)
            };
            let network = Network::new(shape, 0, Device::Cpu).expect("a network");
            network.parameters()
        };
        assert!(parameters(EncoderKind::Lstm) < 100_000);
        for kind in EncoderKind::EXTRA {
            assert!(parameters(kind) < 300_000, "{kind}: {}", parameters(kind));
        }
    }

    #[test]
    fn shapes_of_before_there_were_kinds_are_an_lstm_s() {
        let shape: Shape =
            serde_json::from_str(r#"{"series":2,"hidden":64,"decoder":128}"#).expect("a shape");
        assert_eq!(shape.encoder, EncoderKind::Lstm);
    }
}
