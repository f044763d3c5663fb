//! The patch LSTM.
//!
//! A window's context is cut into patches, each patch embedded, and an LSTM runs over the patches instead of
//! the steps (P-sLSTM, Kong et al. 2024; `SegRNN`, Lin et al. 2023). Each segment of the horizon is decoded at
//! once from the *newest* state, with the segment's position and calendar (the parallel decoding of `SegRNN`).
//! The network is channel-independent (`PatchTST`, Nie et al. 2023): all series of a host share it, and
//! embeddings of the kind and of the series tell them apart.
//!
//! The decoder answers with weights for the candidates of [`super::window`] and with quantiles about their mix:
//! a linear skip in the sense of `NLinear` and `DLinear` (Zeng et al. 2023), of which the rest learns the
//! residual.
//!
//! ```text
//! patches [B, P, F] ── linear ──▶ [B, P, D] ── + statics ── gelu ── LSTM ──▶ newest state [B, H]
//! [state | position | calendar | statics | candidates] [B, S, ·] ── linear ── gelu ── linear ──▶ [B, S, K + 12 Q]
//! softmax of the first K over candidates [B, S, 12, K] ──▶ base [B, S, 12]; + 12 Q residuals, sorted ──▶ [B, 96, Q]
//! ```

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, TchError, Tensor, nn};

use super::{
    CONTEXT_STEPS, PATCH_STEPS, SEGMENT_STEPS, SEGMENTS,
    window::{CANDIDATES, PATCH_FEATURES, SEGMENT_FEATURES, Window},
};
use crate::{
    quantile::{HORIZON_STEPS, LEVELS},
    target,
};

const PATCHES: usize = CONTEXT_STEPS / PATCH_STEPS;
/// The name of the series' embedding.
const SERIES: &str = "series";

const KIND_WIDTH: i64 = 4;
const SERIES_WIDTH: i64 = 8;
const POSITION_WIDTH: i64 = 16;
const STATIC_WIDTH: i64 = KIND_WIDTH + SERIES_WIDTH + 2;

/// The sizes that make up a network, beside the constants of [`super`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// The series that have a place in the embedding.
    pub series: usize,
    /// The width of an embedded patch, and of the LSTM's state.
    pub hidden: usize,
    /// The width of the decoder.
    pub decoder: usize,
}

/// The inputs of a batch of windows; the dimensions stand at the head of [`super::window`], behind `B`.
#[derive(Debug)]
pub(crate) struct Batch {
    patches: Tensor,
    statics: Tensor,
    candidates: Tensor,
    segments: Tensor,
    kinds: Tensor,
    series: Tensor,
}

impl Batch {
    /// Stacks windows.
    pub(crate) fn new(windows: &[Window]) -> Result<Self, TchError> {
        let stack = |part: fn(&Window) -> &[f32], dimensions: &[usize]| {
            let flat: Vec<f32> = windows.iter().flat_map(part).copied().collect();
            let mut shape = vec![windows.len() as i64];
            shape.extend(dimensions.iter().map(|size| *size as i64));
            Tensor::f_from_slice(&flat)?.f_view(&shape[..])
        };
        let indices = |place: fn(&Window) -> usize| {
            let places: Vec<i64> = windows.iter().map(|window| place(window) as i64).collect();
            Tensor::f_from_slice(&places)
        };
        Ok(Self {
            patches: stack(|w| &w.patches, &[PATCHES, PATCH_FEATURES])?,
            statics: stack(|w| &w.statics, &[2])?,
            candidates: stack(|w| &w.candidates, &[SEGMENTS, SEGMENT_STEPS * CANDIDATES])?,
            segments: stack(|w| &w.segments, &[SEGMENTS, SEGMENT_FEATURES])?,
            kinds: indices(|w| w.kind)?,
            series: indices(|w| w.index)?,
        })
    }
}

#[derive(Debug)]
struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    fn new(path: &nn::Path, inputs: i64, outputs: i64) -> Result<Self, TchError> {
        Ok(Self {
            weight: path.f_var("weight", &[outputs, inputs], nn::Init::Const(0.0))?,
            bias: path.f_var("bias", &[outputs], nn::Init::Const(0.0))?,
        })
    }

    fn forward(&self, input: &Tensor) -> Result<Tensor, TchError> {
        input.f_linear(&self.weight, Some(&self.bias))
    }
}

/// The network. Its tensors move between threads; one thread at a time may use it.
#[derive(Debug)]
pub(crate) struct PatchLstm {
    shape: Shape,
    store: nn::VarStore,
    kinds: Tensor,
    series: Tensor,
    positions: Tensor,
    patch: Linear,
    statics: Linear,
    lstm: [Tensor; 4],
    decoder: Linear,
    output: Linear,
}

impl PatchLstm {
    /// Makes a network whose weights follow from the seed alone.
    pub(crate) fn new(shape: Shape, seed: u64) -> Result<Self, TchError> {
        let store = nn::VarStore::new(Device::Cpu);
        let root = store.root();
        let (hidden, decoder) = (shape.hidden as i64, shape.decoder as i64);
        let table = |name: &str, rows: usize, width: i64| {
            root.f_var(name, &[rows as i64, width], nn::Init::Const(0.0))
        };
        let lstm = &root / "lstm";
        let gates = |name: &str, dims: &[i64]| lstm.f_var(name, dims, nn::Init::Const(0.0));
        let inputs = hidden
            + POSITION_WIDTH
            + STATIC_WIDTH
            + (SEGMENT_FEATURES + SEGMENT_STEPS * CANDIDATES) as i64;
        let outputs = (CANDIDATES + SEGMENT_STEPS * LEVELS.len()) as i64;
        let mut network = Self {
            shape,
            kinds: table("kinds", target::Kind::ALL.len(), KIND_WIDTH)?,
            series: table(SERIES, shape.series + 1, SERIES_WIDTH)?,
            positions: table("positions", SEGMENTS, POSITION_WIDTH)?,
            patch: Linear::new(&(&root / "patch"), PATCH_FEATURES as i64, hidden)?,
            statics: Linear::new(&(&root / "statics"), STATIC_WIDTH, hidden)?,
            lstm: [
                gates("weight_ih", &[4 * hidden, hidden])?,
                gates("weight_hh", &[4 * hidden, hidden])?,
                gates("bias_ih", &[4 * hidden])?,
                gates("bias_hh", &[4 * hidden])?,
            ],
            decoder: Linear::new(&(&root / "decoder"), inputs, decoder)?,
            output: Linear::new(&(&root / "output"), decoder, outputs)?,
            store,
        };
        network.initialise(seed)?;
        Ok(network)
    }

    /// Makes another network with the same weights.
    pub(crate) fn copy(&self) -> Result<Self, TchError> {
        let copy = Self::new(self.shape, 0)?;
        for ((_, to), (_, from)) in copy.variables().iter().zip(self.variables()) {
            tch::no_grad(|| to.shallow_clone().f_copy_(&from))?;
        }
        Ok(copy)
    }

    /// Makes a network for other series: everything but the series' embedding is the same, and the new rows are
    /// copies of `rows`; the first is that of a series never seen.
    pub(crate) fn for_series(&self, rows: &[usize]) -> Result<Self, TchError> {
        let series = rows.len();
        let copy = Self::new(
            Shape {
                series,
                ..self.shape
            },
            0,
        )?;
        let rows: Vec<i64> = [0].iter().chain(rows).map(|row| *row as i64).collect();
        let rows = Tensor::f_from_slice(&rows)?;
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
        let windows = batch.patches.size()[0];
        let (segments, steps) = (SEGMENTS as i64, SEGMENT_STEPS as i64);
        let statics = self.describe(batch)?;
        let state = self.encode(batch, &statics)?;

        let spread = |part: &Tensor| part.f_unsqueeze(1)?.f_expand([-1, segments, -1], false);
        let positions = self
            .positions
            .f_unsqueeze(0)?
            .f_expand([windows, -1, -1], false)?;
        let known = Tensor::f_cat(
            &[
                &spread(&state)?,
                &positions,
                &batch.segments,
                &spread(&statics)?,
                &batch.candidates,
            ],
            2,
        )?;
        let answer = self
            .output
            .forward(&self.decoder.forward(&known)?.f_gelu("none")?)?;

        let candidates = CANDIDATES as i64;
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

    /// Runs the LSTM over the patches and returns its newest state `[B, hidden]`.
    fn encode(&self, batch: &Batch, statics: &Tensor) -> Result<Tensor, TchError> {
        let embedded = self
            .patch
            .forward(&batch.patches)?
            .f_add(&self.statics.forward(statics)?.f_unsqueeze(1)?)?
            .f_gelu("none")?;
        let zeros = Tensor::f_zeros(
            [1, batch.patches.size()[0], self.shape.hidden as i64],
            (Kind::Float, Device::Cpu),
        )?;
        let (_, state, _) = embedded.f_lstm(
            &[&zeros, &zeros],
            &self.lstm.each_ref(),
            true,
            1,
            0.0,
            false,
            false,
            true,
        )?;
        state.f_squeeze_dim(0)
    }

    /// Draws the weights uniformly within `1 / sqrt(inputs)`, opens the LSTM's forget gate (Jozefowicz et al.
    /// 2015), and spreads the residuals' biases as the quantiles of a small logistic noise, so that training
    /// begins from a mix of the candidates.
    fn initialise(&mut self, seed: u64) -> Result<(), TchError> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        for (name, tensor) in self.variables() {
            let dims = tensor.size();
            let bound = match dims.len() {
                1 => 0.0,
                _ if name == "output.weight" => 0.1 / (dims[1] as f32).sqrt(),
                _ => 1.0 / (dims[1] as f32).sqrt(),
            };
            let mut values: Vec<f32> = (0..tensor.numel())
                .map(|_| (random.random::<f32>() * 2.0 - 1.0) * bound)
                .collect();
            if name == "output.bias" {
                for (place, value) in values[CANDIDATES..].iter_mut().enumerate() {
                    let level = LEVELS[place % LEVELS.len()];
                    *value = (0.3 * (level / (1.0 - level)).ln()) as f32;
                }
            }
            if name == "lstm.bias_ih" {
                let hidden = self.shape.hidden;
                values[hidden..2 * hidden].fill(1.0);
            }
            assign(&tensor, &values)?;
        }
        Ok(())
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
    use crate::model::weights::values;

    const SHAPE: Shape = Shape {
        series: 2,
        hidden: 6,
        decoder: 7,
    };

    #[derive(Deserialize)]
    struct Reference {
        shape: Vec<i64>,
        every_97th: Vec<f32>,
    }

    /// The numbers of `tests/reference/patch_lstm.py`.
    fn numbers(seed: usize, count: usize) -> Vec<f32> {
        let number = |place: usize| 0.4 * (1.3 * place as f64 + seed as f64).sin();
        (0..count).map(|place| number(place) as f32).collect()
    }

    fn tensor(seed: usize, dims: &[usize]) -> Tensor {
        let dims_of_tensor: Vec<i64> = dims.iter().map(|size| *size as i64).collect();
        Tensor::from_slice(&numbers(seed, dims.iter().product())).view(&dims_of_tensor[..])
    }

    #[test]
    fn forward_agrees_with_pytorch() {
        let network = PatchLstm::new(SHAPE, 0).expect("a network");
        for (seed, (_, variable)) in network.variables().iter().enumerate() {
            assign(variable, &numbers(seed, variable.numel())).expect("as many numbers");
        }
        let batch = Batch {
            patches: tensor(20, &[3, PATCHES, PATCH_FEATURES]),
            statics: tensor(21, &[3, 2]),
            candidates: tensor(22, &[3, SEGMENTS, SEGMENT_STEPS * CANDIDATES]),
            segments: tensor(23, &[3, SEGMENTS, SEGMENT_FEATURES]),
            kinds: Tensor::from_slice(&[0_i64, 1, 2]),
            series: Tensor::from_slice(&[2_i64, 1, 0]),
        };
        let quantiles = network.forward(&batch).expect("an answer");
        let reference: Reference =
            serde_json::from_str(include_str!("../../tests/reference/patch_lstm.json"))
                .expect("the script's output");
        assert_eq!(quantiles.size(), reference.shape);
        let quantiles = values(&quantiles).expect("numbers");
        let every_97th: Vec<f32> = quantiles.into_iter().step_by(97).collect();
        assert_eq!(every_97th.len(), reference.every_97th.len());
        for (ours, theirs) in every_97th.iter().zip(&reference.every_97th) {
            // The same operations in single precision, maybe summed in another order.
            assert!((ours - theirs).abs() < 2e-6, "{ours} against {theirs}");
        }
    }

    #[test]
    fn weights_follow_from_the_seed_alone() {
        let weights = |seed| {
            let network = PatchLstm::new(SHAPE, seed).expect("a network");
            crate::model::to_bytes(&network).expect("bytes")
        };
        assert_eq!(weights(3), weights(3));
        assert_ne!(weights(3), weights(4));
    }

    #[test]
    fn a_network_for_forty_targets_keeps_to_its_size() {
        let shape = Shape {
            series: 40,
            hidden: 64,
            decoder: 128,
        };
        let parameters = PatchLstm::new(shape, 0).expect("a network").parameters();
        assert!(parameters < 100_000, "{parameters}");
    }
}
