//! The kinds of network and their sizes, as manifests and bases name them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// What reads the patches of a context.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum EncoderKind {
    /// A recurrent network over the patches; what a retrain fits always.
    #[default]
    Lstm,
    /// Dilated causal convolutions over the patches.
    Tcn,
    /// Variable selection and attention over the patches.
    Attention,
}

impl EncoderKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Lstm, Self::Tcn, Self::Attention];

    /// The kinds that a retrain fits only where they are asked for.
    pub const EXTRA: [Self; 2] = [Self::Tcn, Self::Attention];

    /// Returns the name as it stands in settings, answers and files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Lstm => "lstm",
            Self::Tcn => "tcn",
            Self::Attention => "attention",
        }
    }

    /// Returns the sizes of a network of this kind without a series of its own: what a request for ten targets affords
    /// within its few milliseconds.
    #[must_use]
    pub fn shape(self) -> Shape {
        Shape {
            encoder: self,
            series: 0,
            hidden: match self {
                Self::Lstm | Self::Tcn => 64,
                Self::Attention => 48,
            },
            decoder: 128,
        }
    }
}

impl fmt::Display for EncoderKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl FromStr for EncoderKind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let kind = Self::ALL.into_iter().find(|kind| kind.name() == name);
        kind.ok_or_else(|| {
            let names = Self::ALL.map(Self::name);
            format!(
                "there is no network {name:?}; write one of {}",
                names.join(", ")
            )
        })
    }
}

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
