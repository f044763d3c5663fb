//! The kinds of network, and the kinds of model that serve: what settings, manifests and answers name them by.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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

/// The kinds of model that can serve a target.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ModelKind {
    /// The host's patch LSTM.
    Lstm,
    /// The host's convolutional network; only where it is asked for.
    Tcn,
    /// The host's network with attention; only where it is asked for.
    Attention,
    /// The base, which learned from other hosts and never from this one.
    Base,
    /// The host's network, the naive forecasts and the theta model, pooled by their weights.
    Ensemble,
    /// The value a day ago.
    SeasonalNaiveDay,
    /// The value a week ago.
    SeasonalNaiveWeek,
    /// The newest value.
    Persistence,
    /// The optimised theta model.
    AutoTheta,
    /// Exponential smoothing; only where it is asked for.
    AutoEts,
    /// Seasons of a day and a week by loess, and exponential smoothing of the rest; only where it is asked for.
    MstlEts,
    /// Seasonal ARIMA; only where it is asked for.
    AutoSarima,
}

impl ModelKind {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::Lstm,
        Self::Tcn,
        Self::Attention,
        Self::Base,
        Self::Ensemble,
        Self::SeasonalNaiveDay,
        Self::SeasonalNaiveWeek,
        Self::Persistence,
        Self::AutoTheta,
        Self::AutoEts,
        Self::MstlEts,
        Self::AutoSarima,
    ];

    /// The statistical models that a retrain fits only where they are asked for.
    pub const STATISTICAL_EXTRA: [Self; 3] = [Self::AutoEts, Self::MstlEts, Self::AutoSarima];

    /// Returns whether a network answers.
    #[must_use]
    pub fn is_network(self) -> bool {
        matches!(self, Self::Lstm | Self::Tcn | Self::Attention | Self::Base)
    }

    /// Returns which network is asked for an answer, alone or as a member; `None` when none is.
    #[must_use]
    pub fn encoder(self) -> Option<EncoderKind> {
        match self {
            Self::Lstm | Self::Base | Self::Ensemble => Some(EncoderKind::Lstm),
            Self::Tcn => Some(EncoderKind::Tcn),
            Self::Attention => Some(EncoderKind::Attention),
            Self::SeasonalNaiveDay
            | Self::SeasonalNaiveWeek
            | Self::Persistence
            | Self::AutoTheta
            | Self::AutoEts
            | Self::MstlEts
            | Self::AutoSarima => None,
        }
    }

    /// Returns what a host's own network of a kind serves as.
    #[must_use]
    pub fn of_network(encoder: EncoderKind) -> Self {
        match encoder {
            EncoderKind::Lstm => Self::Lstm,
            EncoderKind::Tcn => Self::Tcn,
            EncoderKind::Attention => Self::Attention,
        }
    }

    /// Returns the name as it stands in answers and points.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Lstm => EncoderKind::Lstm.name(),
            Self::Tcn => EncoderKind::Tcn.name(),
            Self::Attention => EncoderKind::Attention.name(),
            Self::Base => "base",
            Self::Ensemble => "ensemble",
            Self::SeasonalNaiveDay => "seasonal_naive_day",
            Self::SeasonalNaiveWeek => "seasonal_naive_week",
            Self::Persistence => "persistence",
            Self::AutoTheta => "auto_theta",
            Self::AutoEts => "auto_ets",
            Self::MstlEts => "mstl_ets",
            Self::AutoSarima => "auto_sarima",
        }
    }
}
