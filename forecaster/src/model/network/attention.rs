//! A head in the manner of the Temporal Fusion Transformer (Lim et al. 2021), on patches.
//!
//! Gated residual networks throughout, variable selection over what a patch and a segment consist of, enrichment by
//! what is known of the series, and interpretable multi-head attention: the heads share their values, so that the mean
//! of their weights says which patch was looked at. Each segment of the horizon asks for itself:
//!
//! ```text
//! values, masks, calendar of a patch ── selection ──┐
//! calendar, simple forecasts of a segment ── selection ──┴─▶ + places ──▶ tokens [B, P + S, D] ── enrichment
//! segments' tokens ask, all tokens before them answer ── gate ── GRN ── gate over the tokens ──▶ [B, S, D]
//! ```
//!
//! It differs from the paper in three points. The LSTM that tells the tokens' order there is left out: a patch holds an
//! hour already, and a table of places tells their order. The series' description is one linear map of the same inputs
//! that the other encoders have, rather than a selection. And there is no dropout, since a fit is stopped by what it
//! never learned from, and every random number is to come from the seed.

use tch::{Kind, TchError, Tensor, nn};

use super::{
    Batch, Encode, PATCHES, STATIC_WIDTH,
    gated::{Gate, Grn, Selection, Widths},
    layers::{Linear, table},
};
use crate::model::{
    PATCH_STEPS, SEGMENT_STEPS, SEGMENTS,
    window::{CANDIDATES, PATCH_FEATURES, SEGMENT_FEATURES},
};

/// The heads that look side by side.
const HEADS: i64 = 4;

const TOKENS: usize = PATCHES + SEGMENTS;

/// The variables of a patch, in the order in which its features stand.
const OF_PATCH: [(&str, usize); 3] = [
    ("values", PATCH_STEPS),
    ("masks", PATCH_STEPS),
    ("calendar", PATCH_FEATURES - 2 * PATCH_STEPS),
];

/// The variables of a segment.
const OF_SEGMENT: [(&str, usize); 2] = [
    ("calendar", SEGMENT_FEATURES),
    ("candidates", SEGMENT_STEPS * CANDIDATES),
];

/// The encoder with attention.
#[derive(Debug)]
pub(super) struct Attention {
    statics: Linear,
    for_selection: Grn,
    for_enrichment: Grn,
    patches: Selection,
    segments: Selection,
    places: Tensor,
    enrichment: Grn,
    heads: Heads,
    attended: Gate,
    forward: Grn,
    out: Gate,
}

impl Attention {
    pub(super) fn new(root: &nn::Path, hidden: i64) -> Result<Self, TchError> {
        let path = root / "attention";
        let same = Widths::same(hidden);
        Ok(Self {
            statics: Linear::new(&(&path / "statics"), STATIC_WIDTH, hidden)?,
            for_selection: Grn::new(&(&path / "for_selection"), same)?,
            for_enrichment: Grn::new(&(&path / "for_enrichment"), same)?,
            patches: Selection::new(&(&path / "patches"), &OF_PATCH, hidden)?,
            segments: Selection::new(&(&path / "segments"), &OF_SEGMENT, hidden)?,
            places: table(&path, "places", TOKENS, hidden)?,
            enrichment: Grn::with_context(&(&path / "enrichment"), same, hidden)?,
            heads: Heads::new(&(&path / "heads"), hidden)?,
            attended: Gate::new(&(&path / "attended"), hidden, hidden)?,
            forward: Grn::new(&(&path / "forward"), same)?,
            out: Gate::new(&(&path / "out"), hidden, hidden)?,
        })
    }

    /// Returns the tokens `[B, TOKENS, D]`: what was selected of each patch and segment, and where it stands.
    fn tokens(&self, batch: &Batch, statics: &Tensor) -> Result<Tensor, TchError> {
        let context = self.for_selection.forward(statics, None)?;
        let mut from = 0;
        let mut variables = Vec::with_capacity(OF_PATCH.len());
        for (_, width) in OF_PATCH {
            variables.push(batch.patches.f_narrow(2, from, width as i64)?);
            from += width as i64;
        }
        let variables: Vec<&Tensor> = variables.iter().collect();
        let patches = self.patches.forward(&variables, &context)?;
        let segments = self
            .segments
            .forward(&[&batch.segments, &batch.candidates], &context)?;
        Tensor::f_cat(&[&patches, &segments], 1)?.f_add(&self.places)
    }
}

impl Encode for Attention {
    fn encode(&self, batch: &Batch, statics: &Tensor) -> Result<Tensor, TchError> {
        let of_segments = |tokens: &Tensor| tokens.f_narrow(1, PATCHES as i64, SEGMENTS as i64);
        let statics = self.statics.forward(statics)?.f_unsqueeze(1)?;
        let tokens = self.tokens(batch, &statics)?;
        let context = self.for_enrichment.forward(&statics, None)?;
        let enriched = self.enrichment.forward(&tokens, Some(&context))?;
        let asking = of_segments(&enriched)?;
        let attended = self
            .attended
            .forward(&self.heads.forward(&asking, &enriched)?, &asking)?;
        let forward = self.forward.forward(&attended, None)?;
        self.out.forward(&forward, &of_segments(&tokens)?)
    }
}

/// Interpretable multi-head attention (section 4.4).
#[derive(Debug)]
struct Heads {
    queries: Linear,
    keys: Linear,
    /// One map for all heads.
    values: Linear,
    out: Linear,
}

impl Heads {
    fn new(path: &nn::Path, width: i64) -> Result<Self, TchError> {
        let each = width / HEADS;
        Ok(Self {
            queries: Linear::without_bias(&(path / "queries"), width, HEADS * each)?,
            keys: Linear::without_bias(&(path / "keys"), width, HEADS * each)?,
            values: Linear::without_bias(&(path / "values"), width, each)?,
            out: Linear::without_bias(&(path / "out"), each, width)?,
        })
    }

    /// Lets the segments `asking` `[B, SEGMENTS, D]` look at the tokens `[B, TOKENS, D]` up to their own.
    fn forward(&self, asking: &Tensor, tokens: &Tensor) -> Result<Tensor, TchError> {
        let by_head = |tokens: Tensor| {
            let [windows, places, width] = [0, 1, 2].map(|dim| tokens.size()[dim]);
            tokens
                .f_view([windows, places, HEADS, width / HEADS])?
                .f_transpose(1, 2)
        };
        let queries = by_head(self.queries.forward(asking)?)?;
        let keys = by_head(self.keys.forward(tokens)?)?;
        let values = self.values.forward(tokens)?;
        let width = values.size()[2] as f64;
        let later = Tensor::f_ones(
            [SEGMENTS as i64, TOKENS as i64],
            (Kind::Bool, tokens.device()),
        )?
        .f_triu(PATCHES as i64 + 1)?;
        let weights = queries
            .f_matmul(&keys.f_transpose(2, 3)?)?
            .f_div_scalar(width.sqrt())?
            .f_masked_fill(&later, f64::NEG_INFINITY)?
            .f_softmax(3, None::<Kind>)?
            .f_mean_dim(1_i64, false, None::<Kind>)?;
        self.out.forward(&weights.f_matmul(&values)?)
    }
}
