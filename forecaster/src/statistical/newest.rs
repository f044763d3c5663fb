//! Persistence: the newest value goes on, with the spread that such a forecast had at each hour of the horizon.

use serde::{Deserialize, Serialize};

use super::{Learn, Past, Points};

/// Learns [`Newest`], of which the spread is all there is.
#[derive(Debug, Clone, Copy, Default)]
pub struct NewestValue;

/// The newest value that was observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Newest;

impl Learn for NewestValue {
    type Learned = Newest;

    fn learn(&self, past: Past<'_>) -> Option<Newest> {
        past.observed().next().map(|_| Newest)
    }
}

impl Points for Newest {
    fn points(&self, past: Past<'_>, steps: usize) -> Option<Vec<f64>> {
        let newest = past.values.iter().rev().find(|value| !value.is_nan())?;
        Some(vec![f64::from(*newest); steps])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        quantile::{LEVELS, MEDIAN},
        statistical::{Fit, Predict},
        target::Kind,
    };

    #[test]
    fn the_newest_value_goes_on_with_a_spread_that_grows() {
        // A saw tooth of a day: the longer ago, the further off.
        let values: Vec<f32> = (0..288 * 6).map(|step| (step % 288) as f32).collect();
        let past = Past {
            start_s: 0,
            step_s: 300,
            values: &values,
        };
        let fitted = NewestValue.fit(past).expect("six days");
        let path = fitted.predict(past, 96, Kind::Gauge).expect("a value");
        assert!((path.median()[95] - 287.0).abs() < 1e-9);
        let width = |step: usize| path.levels()[LEVELS.len() - 1][step] - path.levels()[0][step];
        assert!(width(95) > width(0), "{} {}", width(95), width(0));
        assert!(path.levels()[0][0] <= path.levels()[MEDIAN][0]);
        let missing = [f32::NAN; 9];
        let nothing = Past {
            values: &missing,
            ..past
        };
        assert!(fitted.predict(nothing, 9, Kind::Gauge).is_none());
    }
}
