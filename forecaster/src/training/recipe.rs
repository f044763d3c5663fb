//! What a training does, and what of it may be left out to see what it is worth.

use std::{fmt, str::FromStr};

use crate::{model::Inputs, model_kind::ModelKind};

/// A part of a training that can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The transform by the kind of the target.
    Transform,
    /// Median and interquartile range, for mean and standard deviation.
    Robust,
    /// Time of day and day of the week.
    Calendar,
    /// The simple forecasts of the linear skip.
    Candidates,
    /// The base that is part of the program; without it a fit begins from random weights.
    Base,
    /// The base of the fleet, fitted over the training parts of all hosts.
    Fleet,
    /// The fit on the host's own series.
    Tuning,
    /// The further steps with the values that were kept back for the scores.
    Refresh,
    /// The widening of intervals.
    Widening,
}

impl Part {
    /// Every part, in the order in which a training comes to them.
    pub const ALL: [Self; 9] = [
        Self::Transform,
        Self::Robust,
        Self::Calendar,
        Self::Candidates,
        Self::Base,
        Self::Fleet,
        Self::Tuning,
        Self::Widening,
        Self::Refresh,
    ];

    /// Returns the name as it is written on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Transform => "transform",
            Self::Robust => "robust",
            Self::Calendar => "calendar",
            Self::Candidates => "candidates",
            Self::Base => "base",
            Self::Fleet => "fleet",
            Self::Tuning => "tuning",
            Self::Refresh => "refresh",
            Self::Widening => "widening",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl FromStr for Part {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let part = Self::ALL.into_iter().find(|part| part.name() == name);
        part.ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|part| part.name()).collect();
            format!("write one of {}", names.join(", "))
        })
    }
}

/// Which parts a training has: all but those that are left out, and the statistical models that are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recipe {
    left_out: Vec<Part>,
    statistical: Vec<ModelKind>,
}

impl Recipe {
    /// Makes a recipe without some parts.
    #[must_use]
    pub fn without(parts: &[Part]) -> Self {
        Self {
            left_out: parts.to_vec(),
            statistical: Vec::new(),
        }
    }

    /// Adds statistical models of [`ModelKind::STATISTICAL_EXTRA`].
    #[must_use]
    pub fn with(mut self, statistical: impl IntoIterator<Item = ModelKind>) -> Self {
        self.statistical.extend(statistical);
        self
    }

    /// Returns the statistical models that are asked for.
    #[must_use]
    pub fn statistical(&self) -> &[ModelKind] {
        &self.statistical
    }

    /// Returns what the network is told. A base that was taught more than that is no base to begin from.
    #[must_use]
    pub fn inputs(&self) -> Inputs {
        Inputs {
            transform: self.has(Part::Transform),
            robust: self.has(Part::Robust),
            calendar: self.has(Part::Calendar),
            candidates: self.has(Part::Candidates),
        }
    }

    /// Returns whether a part belongs to it.
    #[must_use]
    pub fn has(&self, part: Part) -> bool {
        !self.left_out.contains(&part)
    }
}
