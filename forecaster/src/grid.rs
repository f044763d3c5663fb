//! Regular grids: samples as they came, averaged into bins of one length; counters turned into rates.
//!
//! Bin `i` covers `[start_s + i * step_s, start_s + (i + 1) * step_s)` and is named by its first second, as
//! `GROUP BY time()` names it. A bin without a sample is missing (NaN); nothing is interpolated.

use serde::{Deserialize, Serialize};

/// The step of every model, in seconds.
pub const STEP_S: u32 = 300;

/// The longest time between two samples of a counter that still makes a rate; beyond it the host was away, and how
/// the increase was spread is unknown.
pub const COUNTER_GAP_MAX_S: i64 = 900;

/// A bin needs this share of its seconds covered by a counter's samples to have a rate.
const COVERED_MIN: f64 = 0.5;

/// One observed value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Seconds since the epoch.
    pub time_s: i64,
    /// The value.
    pub value: f64,
}

/// Values at a regular step.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    /// The first bin's first second.
    pub start_s: i64,
    /// The length of a bin.
    pub step_s: u32,
    /// One value a bin; NaN where it is missing.
    pub values: Vec<f32>,
}

impl Grid {
    /// Makes a grid without any value for the bins that touch `[from_s, until_s)`.
    #[must_use]
    pub fn missing(from_s: i64, until_s: i64, step_s: u32) -> Self {
        let step = i64::from(step_s.max(1));
        let start_s = from_s.div_euclid(step) * step;
        let bins = ((until_s - start_s).max(0) + step - 1) / step;
        Self {
            start_s,
            step_s: step_s.max(1),
            values: vec![f32::NAN; bins as usize],
        }
    }

    /// Averages samples into bins. Samples outside `[from_s, until_s)` and values that are not finite are
    /// passed over; the order of the samples is free.
    #[must_use]
    pub fn of_values(samples: &[Sample], from_s: i64, until_s: i64, step_s: u32) -> Self {
        let mut grid = Self::missing(from_s, until_s, step_s);
        let mut sums = vec![(0.0_f64, 0_u32); grid.values.len()];
        for sample in samples.iter().filter(|sample| sample.value.is_finite()) {
            if let Some(bin) = grid.bin_of(sample.time_s) {
                sums[bin].0 += sample.value;
                sums[bin].1 += 1;
            }
        }
        for (value, (sum, count)) in grid.values.iter_mut().zip(sums) {
            if count > 0 {
                *value = (sum / f64::from(count)) as f32;
            }
        }
        grid
    }

    /// Turns a counter's samples, ordered by time, into its increase per second.
    ///
    /// The increase between two samples is spread evenly over the time between them. A value below its predecessor
    /// is a restart from zero, so the increase is the value itself. Two samples further apart than
    /// [`COUNTER_GAP_MAX_S`] or two bins, whichever is longer, make no rate.
    #[must_use]
    pub fn of_counter(samples: &[Sample], from_s: i64, until_s: i64, step_s: u32) -> Self {
        let mut grid = Self::missing(from_s, until_s, step_s);
        let step = i64::from(grid.step_s);
        let gap_max_s = COUNTER_GAP_MAX_S.max(2 * step);
        let mut sums = vec![(0.0_f64, 0.0_f64); grid.values.len()];
        let finite = samples.iter().filter(|sample| sample.value.is_finite());
        for (earlier, later) in finite.clone().zip(finite.skip(1)) {
            let elapsed_s = later.time_s - earlier.time_s;
            if elapsed_s <= 0 || elapsed_s > gap_max_s {
                continue;
            }
            let increase = if later.value < earlier.value {
                later.value
            } else {
                later.value - earlier.value
            };
            let rate = increase / elapsed_s as f64;
            let (mut time_s, end_s) = (earlier.time_s.max(grid.start_s), later.time_s);
            while time_s < end_s {
                let Some(bin) = grid.bin_of(time_s) else {
                    break;
                };
                let until = end_s.min(grid.time_of(bin) + step);
                let covered_s = (until - time_s) as f64;
                sums[bin].0 += rate * covered_s;
                sums[bin].1 += covered_s;
                time_s = until;
            }
        }
        for (value, (increase, covered_s)) in grid.values.iter_mut().zip(sums) {
            if covered_s >= COVERED_MIN * step as f64 {
                *value = (increase / covered_s) as f32;
            }
        }
        grid
    }

    /// Applies a function to every value that is not missing.
    #[must_use]
    pub fn map(mut self, change: impl Fn(f32) -> f32) -> Self {
        for value in self.values.iter_mut().filter(|value| !value.is_nan()) {
            *value = change(*value);
        }
        self
    }

    /// Returns the first second behind the last bin.
    #[must_use]
    pub fn end_s(&self) -> i64 {
        self.time_of(self.values.len())
    }

    /// Returns the first second of a bin.
    #[must_use]
    pub fn time_of(&self, bin: usize) -> i64 {
        self.start_s + bin as i64 * i64::from(self.step_s)
    }

    /// Returns the bin that covers a time, if the grid does.
    #[must_use]
    pub fn bin_of(&self, time_s: i64) -> Option<usize> {
        let bin = (time_s - self.start_s).div_euclid(i64::from(self.step_s));
        usize::try_from(bin)
            .ok()
            .filter(|bin| *bin < self.values.len())
    }

    /// Returns how many bins have a value.
    #[must_use]
    pub fn observed(&self) -> usize {
        self.values.iter().filter(|value| !value.is_nan()).count()
    }

    /// Returns the newest value and the end of its bin, before which everything is known.
    #[must_use]
    pub fn newest(&self) -> Option<(f32, i64)> {
        let bin = self.values.iter().rposition(|value| !value.is_nan())?;
        Some((self.values[bin], self.time_of(bin + 1)))
    }

    /// Cuts missing bins from both ends. A grid without any value becomes empty.
    #[must_use]
    pub fn trimmed(&self) -> Self {
        let first = self.values.iter().position(|value| !value.is_nan());
        let last = self.values.iter().rposition(|value| !value.is_nan());
        let (Some(first), Some(last)) = (first, last) else {
            return Self {
                values: Vec::new(),
                ..*self
            };
        };
        Self {
            start_s: self.time_of(first),
            step_s: self.step_s,
            values: self.values[first..=last].to_vec(),
        }
    }
}

/// Fills missing values with the one before them, and leading ones with the first that is there.
#[must_use]
pub fn filled_forward(values: &[f32]) -> Vec<f32> {
    let mut last = values
        .iter()
        .copied()
        .find(|value| !value.is_nan())
        .unwrap_or(f32::NAN);
    values
        .iter()
        .map(|value| {
            if !value.is_nan() {
                last = *value;
            }
            last
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(pairs: &[(i64, f64)]) -> Vec<Sample> {
        pairs
            .iter()
            .map(|&(time_s, value)| Sample { time_s, value })
            .collect()
    }

    #[test]
    fn values_are_averaged_and_gaps_stay_missing() {
        let grid = Grid::of_values(
            &samples(&[(610, 2.0), (300, 1.0), (650, 4.0), (1300, f64::NAN)]),
            300,
            1500,
            300,
        );
        assert_eq!(grid.start_s, 300);
        assert_eq!(grid.values[..2], [1.0, 3.0]);
        assert!(grid.values[2].is_nan() && grid.values[3].is_nan());
        assert_eq!(grid.newest(), Some((3.0, 900)));
    }

    #[test]
    fn a_start_inside_a_bin_covers_the_whole_bin() {
        assert_eq!(Grid::missing(450, 601, 300).start_s, 300);
        assert_eq!(Grid::missing(450, 601, 300).values.len(), 2);
        assert_eq!(Grid::missing(450, 600, 300).values.len(), 1);
        assert_eq!(Grid::missing(600, 300, 300).values.len(), 0);
    }

    #[test]
    fn a_counter_that_restarts_counts_from_zero() {
        let counter = samples(&[(0, 100.0), (300, 400.0), (600, 90.0), (900, 390.0)]);
        assert_eq!(
            Grid::of_counter(&counter, 0, 900, 300).values,
            [1.0, 0.3, 1.0]
        );
    }

    #[test]
    fn a_counters_increase_is_spread_over_the_time_between_its_samples() {
        let counter = samples(&[(150, 0.0), (450, 300.0), (750, 900.0)]);
        let grid = Grid::of_counter(&counter, 0, 900, 300);
        assert_eq!(grid.values, [1.0, 1.5, 2.0]);
    }

    #[test]
    fn a_long_silence_makes_no_rate() {
        let counter = samples(&[(0, 0.0), (300, 300.0), (3_000, 9_000.0), (3_300, 9_300.0)]);
        let grid = Grid::of_counter(&counter, 0, 3_300, 300);
        assert_eq!(grid.values[..1], [1.0]);
        assert!(grid.values[1..10].iter().all(|value| value.is_nan()));
        assert_eq!(grid.values[10..], [1.0]);
    }

    #[test]
    fn trimming_cuts_both_ends_alone() {
        let nan = f32::NAN;
        let grid = Grid {
            start_s: 0,
            step_s: 300,
            values: vec![nan, 1.0, nan, 2.0, nan],
        };
        let trimmed = grid.trimmed();
        assert_eq!((trimmed.start_s, trimmed.values.len()), (300, 3));
        assert_eq!(filled_forward(&grid.values), [1.0, 1.0, 1.0, 2.0, 2.0]);
    }
}
