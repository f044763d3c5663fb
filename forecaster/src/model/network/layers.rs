//! What the networks are made of, and how their weights begin.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{TchError, Tensor, nn};

use super::assign;

/// Added to a variance before it is divided by, as PyTorch's layer normalisation does by default.
const VARIANCE_MIN: f64 = 1e-5;

/// A linear map of the last dimension.
#[derive(Debug)]
pub(super) struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    pub(super) fn new(path: &nn::Path, inputs: i64, outputs: i64) -> Result<Self, TchError> {
        Ok(Self {
            bias: Some(path.f_var("bias", &[outputs], nn::Init::Const(0.0))?),
            ..Self::without_bias(path, inputs, outputs)?
        })
    }

    pub(super) fn without_bias(
        path: &nn::Path,
        inputs: i64,
        outputs: i64,
    ) -> Result<Self, TchError> {
        Ok(Self {
            weight: path.f_var("weight", &[outputs, inputs], nn::Init::Const(0.0))?,
            bias: None,
        })
    }

    pub(super) fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
    }

    pub(super) fn forward(&self, input: &Tensor) -> Result<Tensor, TchError> {
        input.f_linear(&self.weight, self.bias.as_ref())
    }
}

/// Normalisation of the last dimension (Ba et al. 2016).
#[derive(Debug)]
pub(super) struct Norm {
    scale: Tensor,
    bias: Tensor,
}

impl Norm {
    pub(super) fn new(path: &nn::Path, width: i64) -> Result<Self, TchError> {
        Ok(Self {
            scale: path.f_var("scale", &[width], nn::Init::Const(1.0))?,
            bias: path.f_var("bias", &[width], nn::Init::Const(0.0))?,
        })
    }

    pub(super) fn forward(&self, input: &Tensor) -> Result<Tensor, TchError> {
        let width = self.scale.size();
        input.f_layer_norm(
            &width[..],
            Some(&self.scale),
            Some(&self.bias),
            VARIANCE_MIN,
            false,
        )
    }
}

/// A table with a row for each of a few things, that are told apart by their number.
pub(super) fn table(
    path: &nn::Path,
    name: &str,
    rows: usize,
    width: i64,
) -> Result<Tensor, TchError> {
    path.f_var(name, &[rows as i64, width], nn::Init::Const(0.0))
}

/// Gives variables their first values, which follow from their names, sizes and the seed alone: uniform within
/// `1 / sqrt(inputs)`, a tenth of that for the answer, zero for biases and one for the scales of normalisations. Every
/// variable takes its share of the random numbers, in the order of the names.
pub(super) fn draw(variables: &[(String, Tensor)], seed: u64) -> Result<(), TchError> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    for (name, variable) in variables {
        let dims = variable.size();
        let inputs = (variable.numel() / dims[0] as usize) as f32;
        let bound = match dims.len() {
            1 => 0.0,
            _ if name == "output.weight" => 0.1 / inputs.sqrt(),
            _ => 1.0 / inputs.sqrt(),
        };
        let mut values: Vec<f32> = (0..variable.numel())
            .map(|_| (random.random::<f32>() * 2.0 - 1.0) * bound)
            .collect();
        if name.ends_with("norm.scale") {
            values.fill(1.0);
        }
        assign(variable, &values)?;
    }
    Ok(())
}
