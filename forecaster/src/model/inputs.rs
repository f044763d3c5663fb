//! What the network is told of a series: everything, unless an ablation leaves something out to see what it is worth.

use serde::{Deserialize, Serialize};

/// The parts of a window that can be left out. They stand in the series' scale, so that a network is always asked as it was
/// taught.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is left out by itself")]
pub struct Inputs {
    /// A transform by the kind of the target; else values as they are.
    pub transform: bool,
    /// Median and interquartile range; else mean and standard deviation.
    pub robust: bool,
    /// Time of day and day of the week.
    pub calendar: bool,
    /// The simple forecasts of the linear skip.
    pub candidates: bool,
}

impl Inputs {
    /// Everything.
    pub const WHOLE: Self = Self {
        transform: true,
        robust: true,
        calendar: true,
        candidates: true,
    };
}

impl Default for Inputs {
    fn default() -> Self {
        Self::WHOLE
    }
}
