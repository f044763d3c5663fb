//! Gated residual networks and variable selection (Lim et al. 2021, sections 4.1 and 4.2).

use tch::{Kind, TchError, Tensor, nn};

use super::layers::{Linear, Norm};

/// A gated linear unit and a residual connection: `LayerNorm(skip + σ(W4 x + b4) ⊙ (W5 x + b5))`.
#[derive(Debug)]
pub(super) struct Gate {
    /// Both maps of the unit, the values before the gates.
    unit: Linear,
    norm: Norm,
}

impl Gate {
    pub(super) fn new(path: &nn::Path, inputs: i64, outputs: i64) -> Result<Self, TchError> {
        Ok(Self {
            unit: Linear::new(&(path / "unit"), inputs, 2 * outputs)?,
            norm: Norm::new(&(path / "norm"), outputs)?,
        })
    }

    pub(super) fn forward(&self, input: &Tensor, skip: &Tensor) -> Result<Tensor, TchError> {
        let gated = self.unit.forward(input)?.f_glu(-1)?;
        self.norm.forward(&skip.f_add(&gated)?)
    }
}

/// A gated residual network: `η2 = ELU(W2 a + W3 c + b2)`, `η1 = W1 η2 + b1`, then the gate over `a` and `η1`.
#[derive(Debug)]
pub(super) struct Grn {
    input: Linear,
    context: Option<Linear>,
    inner: Linear,
    gate: Gate,
    /// Carries the input to the width of the output where they differ.
    skip: Option<Linear>,
}

/// The widths of a gated residual network.
#[derive(Debug, Clone, Copy)]
pub(super) struct Widths {
    pub(super) inputs: i64,
    pub(super) inner: i64,
    pub(super) outputs: i64,
}

impl Widths {
    /// One width throughout.
    pub(super) fn same(width: i64) -> Self {
        Self {
            inputs: width,
            inner: width,
            outputs: width,
        }
    }
}

impl Grn {
    /// Makes one without a context.
    pub(super) fn new(path: &nn::Path, widths: Widths) -> Result<Self, TchError> {
        let Widths {
            inputs,
            inner,
            outputs,
        } = widths;
        let skip = || Linear::new(&(path / "skip"), inputs, outputs);
        Ok(Self {
            input: Linear::new(&(path / "input"), inputs, inner)?,
            context: None,
            inner: Linear::new(&(path / "inner"), inner, inner)?,
            gate: Gate::new(path, inner, outputs)?,
            skip: (inputs != outputs).then(skip).transpose()?,
        })
    }

    /// Makes one that a context of width `context` moves.
    pub(super) fn with_context(
        path: &nn::Path,
        widths: Widths,
        context: i64,
    ) -> Result<Self, TchError> {
        let context = Linear::without_bias(&(path / "context"), context, widths.inner)?;
        Ok(Self {
            context: Some(context),
            ..Self::new(path, widths)?
        })
    }

    /// Carries `input` `[B, ·, inputs]` to `[B, ·, outputs]`; `context` is `[B, 1, ·]`.
    pub(super) fn forward(
        &self,
        input: &Tensor,
        context: Option<&Tensor>,
    ) -> Result<Tensor, TchError> {
        let mut inner = self.input.forward(input)?;
        if let (Some(map), Some(context)) = (&self.context, context) {
            inner = inner.f_add(&map.forward(context)?)?;
        }
        let inner = self.inner.forward(&inner.f_elu()?)?;
        match &self.skip {
            None => self.gate.forward(&inner, input),
            Some(skip) => self.gate.forward(&inner, &skip.forward(input)?),
        }
    }
}

/// Variable selection: each variable embedded and carried by a network of its own, and their mean by weights that all of
/// them and the context give.
#[derive(Debug)]
pub(super) struct Selection {
    embeddings: Vec<Linear>,
    networks: Vec<Grn>,
    weights: Grn,
}

impl Selection {
    /// Makes one of variables with names and widths.
    pub(super) fn new(
        path: &nn::Path,
        variables: &[(&str, usize)],
        width: i64,
    ) -> Result<Self, TchError> {
        let count = variables.len() as i64;
        let of_each = |name: &str| path / name;
        let embeddings = variables.iter().map(|(name, inputs)| {
            Linear::new(&(of_each(name) / "embedding"), *inputs as i64, width)
        });
        let networks = variables
            .iter()
            .map(|(name, _)| Grn::new(&of_each(name), Widths::same(width)));
        let widths = Widths {
            inputs: count * width,
            inner: width,
            outputs: count,
        };
        Ok(Self {
            embeddings: embeddings.collect::<Result<_, _>>()?,
            networks: networks.collect::<Result<_, _>>()?,
            weights: Grn::with_context(&(path / "weights"), widths, width)?,
        })
    }

    /// Selects of variables `[B, T, ·]`, by a context `[B, 1, width]`; returns `[B, T, width]`.
    pub(super) fn forward(
        &self,
        variables: &[&Tensor],
        context: &Tensor,
    ) -> Result<Tensor, TchError> {
        let embedded: Vec<Tensor> = self
            .embeddings
            .iter()
            .zip(variables)
            .map(|(embedding, variable)| embedding.forward(variable))
            .collect::<Result<_, _>>()?;
        let weights = self
            .weights
            .forward(&Tensor::f_cat(&embedded, 2)?, Some(context))?
            .f_softmax(2, None::<Kind>)?
            .f_unsqueeze(2)?;
        let carried: Vec<Tensor> = self
            .networks
            .iter()
            .zip(&embedded)
            .map(|(network, variable)| network.forward(variable, None))
            .collect::<Result<_, _>>()?;
        Tensor::f_stack(&carried, 3)?
            .f_mul(&weights)?
            .f_sum_dim_intlist(3_i64, false, None::<Kind>)
    }
}
