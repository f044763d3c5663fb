//! The inputs of many windows, stacked.

use tch::{Device, TchError, Tensor};

use super::PATCHES;
use crate::model::{
    SEGMENT_STEPS, SEGMENTS,
    window::{CANDIDATES, PATCH_FEATURES, SEGMENT_FEATURES, Window},
};

/// The inputs of a batch of windows; the dimensions stand at the head of [`crate::model::window`], behind `B`.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(super) patches: Tensor,
    pub(super) statics: Tensor,
    /// `[B, SEGMENTS, SEGMENT_STEPS * CANDIDATES]`.
    pub(super) candidates: Tensor,
    pub(super) segments: Tensor,
    pub(super) kinds: Tensor,
    pub(super) series: Tensor,
}

impl Batch {
    /// Stacks windows, on the device that computes.
    pub(crate) fn new(windows: &[Window], device: Device) -> Result<Self, TchError> {
        let stack = |part: fn(&Window) -> &[f32], dimensions: &[usize]| {
            let flat: Vec<f32> = windows.iter().flat_map(part).copied().collect();
            let mut shape = vec![windows.len() as i64];
            shape.extend(dimensions.iter().map(|size| *size as i64));
            Tensor::f_from_slice(&flat)?
                .f_view(&shape[..])?
                .f_to(device)
        };
        let indices = |place: fn(&Window) -> usize| {
            let places: Vec<i64> = windows.iter().map(|window| place(window) as i64).collect();
            Tensor::f_from_slice(&places)?.f_to(device)
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

    /// Returns how many windows there are.
    pub(super) fn windows(&self) -> i64 {
        self.patches.size()[0]
    }
}

/// Repeats what holds for a whole window `[B, ·]` for each segment of its horizon `[B, SEGMENTS, ·]`.
pub(super) fn for_each_segment(part: &Tensor) -> Result<Tensor, TchError> {
    part.f_unsqueeze(1)?
        .f_expand([-1, SEGMENTS as i64, -1], false)
}
