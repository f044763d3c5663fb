//! The scale on which the network works: a transform by kind, then a robust and reversible normalisation.
//!
//! 1. A transform by kind makes noise alike at every height: a percentage goes through a logit (so that no
//!    forecast leaves its bounds), a rate through `ln(1 + y / unit)` with the series' median as unit, a gauge
//!    as it is.
//! 2. Each window is centred on its median and divided by its spread. This is reversible instance normalisation
//!    (`RevIN`, Kim et al. 2022) with median and interquartile range for mean and variance, which outliers
//!    break, and without the learned affine. The spread has a floor of [`FLOOR_SHARE`] of the series' own, so
//!    that a quiet window is not blown up to the size of its rounding errors.

use serde::{Deserialize, Serialize};

use super::Inputs;
use crate::{quantile::interpolated, target::Kind};

/// The least spread of a window as a share of its series' spread.
const FLOOR_SHARE: f32 = 0.05;

/// Half a percentage point beyond either bound keeps the logit finite at the bounds themselves.
const PERCENT_MARGIN: f64 = 0.5;

/// The interquartile range of a normal distribution in standard deviations.
const NORMAL_IQR: f32 = 1.349;

/// A series' own scale, found on its training part.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeriesScale {
    /// What the values can be.
    kind: Kind,
    /// What a rate is divided by before its logarithm.
    unit: f64,
    /// The median of the transformed values.
    center: f32,
    /// The spread of the transformed values; positive.
    spread: f32,
    #[serde(default, skip_serializing_if = "is_default")]
    inputs: Inputs,
}

/// A window's place and size on its series' transformed scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct WindowScale {
    /// The median of the context.
    pub(crate) center: f32,
    /// The spread of the context, at least the floor.
    pub(crate) spread: f32,
}

impl SeriesScale {
    /// Finds the scale of a series; `None` when its values do not differ.
    #[must_use]
    pub fn fit(kind: Kind, values: &[f32]) -> Option<Self> {
        Self::fit_for(kind, values, Inputs::WHOLE)
    }

    /// Finds the scale of a series of which a network is told some inputs alone.
    #[must_use]
    pub fn fit_for(kind: Kind, values: &[f32], inputs: Inputs) -> Option<Self> {
        let mut scale = Self {
            kind,
            unit: 1.0,
            center: 0.0,
            spread: 1.0,
            inputs,
        };
        if kind == Kind::Rate {
            scale.unit = unit_of(values)?;
        }
        let transformed: Vec<f32> = values
            .iter()
            .filter(|value| !value.is_nan())
            .map(|value| scale.transform(*value))
            .collect();
        let (center, spread) = scale.center_and_spread(transformed)?;
        scale.center = center;
        scale.spread = spread;
        (spread > 0.0 && spread.is_finite()).then_some(scale)
    }

    /// Returns what the values can be.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns what the network is told.
    pub(crate) fn inputs(&self) -> Inputs {
        self.inputs
    }

    /// Returns the spread of the transformed values.
    pub(crate) fn spread(&self) -> f32 {
        self.spread
    }

    /// Returns the kind's place in its embedding.
    pub(crate) fn kind_index(&self) -> usize {
        Kind::ALL
            .iter()
            .position(|kind| *kind == self.kind)
            .unwrap_or(0)
    }

    /// Carries a value to the transformed scale.
    pub(crate) fn transform(&self, value: f32) -> f32 {
        let value = self.kind.clamp(f64::from(value));
        let transformed = match self.kind {
            _ if !self.inputs.transform => value,
            Kind::Percent => {
                let share = (value + PERCENT_MARGIN) / (100.0 + 2.0 * PERCENT_MARGIN);
                (share / (1.0 - share)).ln()
            }
            Kind::Rate => (value / self.unit).ln_1p(),
            Kind::Gauge => value,
        };
        transformed as f32
    }

    /// Carries a transformed value back; always within the kind's bounds.
    pub(crate) fn restore(&self, transformed: f32) -> f64 {
        let transformed = f64::from(transformed);
        let value = match self.kind {
            _ if !self.inputs.transform => transformed,
            Kind::Percent => {
                let share = 1.0 / (1.0 + (-transformed).exp());
                share * (100.0 + 2.0 * PERCENT_MARGIN) - PERCENT_MARGIN
            }
            Kind::Rate => transformed.exp_m1() * self.unit,
            Kind::Gauge => transformed,
        };
        self.kind.clamp(value)
    }

    /// Finds the scale of a window from the transformed values of its context; `None` when all are missing.
    pub(crate) fn window(&self, observed: Vec<f32>) -> Option<WindowScale> {
        let (center, spread) = self.center_and_spread(observed)?;
        Some(WindowScale {
            center,
            spread: spread.max(FLOOR_SHARE * self.spread),
        })
    }

    fn center_and_spread(&self, values: Vec<f32>) -> Option<(f32, f32)> {
        if self.inputs.robust {
            robust(values)
        } else {
            moments(&values)
        }
    }

    /// Returns where and how large a window is within its series: `[ln(spread ratio), offset in spreads]`.
    pub(crate) fn place(&self, window: WindowScale) -> [f32; 2] {
        let offset = (window.center - self.center) / self.spread;
        [(window.spread / self.spread).ln(), offset.clamp(-5.0, 5.0)]
    }

    /// Returns the weight of a window in the loss: errors count by their size in the series, damped by a root so
    /// that quiet windows still teach.
    pub(crate) fn weight(&self, window: WindowScale) -> f32 {
        (window.spread / self.spread).sqrt().min(2.0)
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Returns the median of the positive values, or `None` when there are none.
fn unit_of(values: &[f32]) -> Option<f64> {
    let mut positive: Vec<f64> = values
        .iter()
        .filter(|value| **value > 0.0)
        .map(|value| f64::from(*value))
        .collect();
    positive.sort_by(f64::total_cmp);
    (!positive.is_empty()).then(|| interpolated(&positive, 0.5))
}

/// Returns the median and the spread: the greater of the interquartile range over a normal one's and the mean
/// absolute deviation (which sees the spikes of a series that is mostly flat).
fn robust(mut values: Vec<f32>) -> Option<(f32, f32)> {
    if values.is_empty() {
        return None;
    }
    let last = values.len() - 1;
    let mut at = |share: f32| {
        let place = (last as f32 * share) as usize;
        *values.select_nth_unstable_by(place, f32::total_cmp).1
    };
    let (low, center, high) = (at(0.25), at(0.5), at(0.75));
    let deviation = values
        .iter()
        .map(|value| (value - center).abs())
        .sum::<f32>()
        / values.len() as f32;
    Some((center, ((high - low) / NORMAL_IQR).max(deviation)))
}

/// Returns mean and standard deviation.
fn moments(values: &[f32]) -> Option<(f32, f32)> {
    let count = values.len() as f32;
    let mean = values.iter().sum::<f32>() / count;
    let variance = values
        .iter()
        .map(|value| (value - mean).powi(2))
        .sum::<f32>()
        / count;
    (!values.is_empty()).then(|| (mean, variance.sqrt()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scale(kind: Kind) -> SeriesScale {
        SeriesScale::fit(kind, &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0]).expect("values that differ")
    }

    proptest! {
        #[test]
        fn transforms_are_reversible(value in 0.0_f32..100.0) {
            for kind in Kind::ALL {
                let scale = scale(kind);
                let back = scale.restore(scale.transform(value));
                // f32 carries about seven digits; the logit near its ends costs one of them.
                prop_assert!((back - f64::from(value)).abs() < 1e-4 * (1.0 + f64::from(value)));
            }
        }

        #[test]
        fn what_is_restored_keeps_to_the_bounds(transformed in -1e3_f32..1e3) {
            for kind in Kind::ALL {
                let (low, high) = kind.bounds();
                let value = scale(kind).restore(transformed);
                prop_assert!(low <= value && value <= high);
            }
        }
    }

    #[test]
    fn a_quiet_window_keeps_a_share_of_its_series_spread() {
        let scale = scale(Kind::Gauge);
        let window = scale.window(vec![3.0; 40]).expect("values");
        assert!((window.spread - FLOOR_SHARE * scale.spread).abs() < 1e-6);
        assert!((window.center - 3.0).abs() < f32::EPSILON);
    }

    #[test]
    fn an_outlier_moves_the_scale_little() {
        let mut values: Vec<f32> = (0..100).map(|value| value as f32).collect();
        let before = robust(values.clone()).expect("values");
        values.push(1_000.0);
        let after = robust(values).expect("values");
        assert!((after.0 - before.0).abs() <= 1.0);
        assert!(after.1 < 1.3 * before.1);
    }

    #[test]
    fn a_flat_series_has_no_scale() {
        assert_eq!(SeriesScale::fit(Kind::Gauge, &[2.0, f32::NAN, 2.0]), None);
        assert_eq!(SeriesScale::fit(Kind::Rate, &[0.0, 0.0]), None);
    }
}
