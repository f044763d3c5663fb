//! The sizes of a network, as manifests and bases name them.

use serde::{Deserialize, Serialize};

use crate::model_kind::EncoderKind;

/// The sizes that make up a network, beside the constants of [`crate::model`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// What reads the patches.
    #[serde(default)]
    pub encoder: EncoderKind,
    /// The series that have a place in the embedding.
    pub series: usize,
    /// The width of an embedded patch, and of what the encoder hands on.
    pub hidden: usize,
    /// The width of the decoder.
    pub decoder: usize,
}

impl Shape {
    /// Returns the sizes of a network of a kind without a series of its own: what a request for ten targets affords within
    /// its few milliseconds.
    #[must_use]
    pub fn of(encoder: EncoderKind) -> Self {
        Self {
            encoder,
            series: 0,
            hidden: match encoder {
                EncoderKind::Lstm | EncoderKind::Tcn => 64,
                EncoderKind::Attention => 48,
            },
            decoder: 128,
        }
    }
}
