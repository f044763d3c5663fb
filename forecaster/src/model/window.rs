//! Windows: what the network sees at an origin, and what it is taught to answer.
//!
//! All values are normalised ([`super::scale`]); a missing value is 0 with a mask of 0.
//!
//! | input | dimensions | content |
//! |---|---|---|
//! | patches | `[PATCHES, PATCH_FEATURES]` | 12 values, their 12 masks, and the calendar of the patch's start |
//! | statics | `[2]` | the window's spread and offset within its series |
//! | candidates | `[HORIZON_STEPS, CANDIDATES]` | simple forecasts of each step, the ends of the linear skip |
//! | segments | `[SEGMENTS, SEGMENT_FEATURES]` | the calendar of the segment's start, and which candidates are real |
//!
//! The candidates are the newest value, the mean of the last hour, the median of the context, the value a day
//! and a week earlier (a day, where the week is not known), the mean over the days of the last week at that time of day, the last two shifted to the
//! present height, and the straight line through the last four hours.

use std::f32::consts::TAU;

use super::{
    CONTEXT_STEPS, PATCH_STEPS, SEGMENT_STEPS, SEGMENTS,
    scale::{SeriesScale, WindowScale},
};
use crate::{
    baseline::{DAY_STEPS, WEEK_STEPS},
    grid::{Grid, filled_forward},
    quantile::HORIZON_STEPS,
};

/// The simple forecasts that the linear skip mixes.
pub(super) const CANDIDATES: usize = 9;

const CALENDAR: usize = 4;

/// A patch's values, masks and calendar.
pub(super) const PATCH_FEATURES: usize = 2 * PATCH_STEPS + CALENDAR;

/// A segment's calendar, and whether the value a week earlier is known.
pub(super) const SEGMENT_FEATURES: usize = CALENDAR + 1;

/// The steps of the context that must be observed for the network to be asked: a quarter of it.
const OBSERVED_STEPS_MIN: usize = CONTEXT_STEPS / 4;

/// The steps that must be observed of a host that has only just been heard of: two hours.
pub const NEWCOMER_STEPS_MIN: usize = 24;

/// Normalised inputs are cut here: an outlier tells that it is one, not how large.
const INPUT_MAX: f32 = 8.0;

/// An hour, the span of the present height.
const HOUR_STEPS: usize = 12;

/// The span of the straight line.
const TREND_STEPS: usize = 48;

const DAY_S: i64 = 86_400;

/// The steps before an origin that say how far its answer may reach: those that a forecast is served from.
const REACH_STEPS: usize = WEEK_STEPS + DAY_STEPS;

/// A series made ready for windows.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    /// The series' place in the embedding; 0 is any series that the network never saw.
    pub(crate) index: usize,
    scale: SeriesScale,
    /// The steps of a context without which there is no window.
    observed_min: usize,
    start_s: i64,
    step_s: i64,
    /// Transformed, NaN where missing.
    values: Vec<f32>,
    /// Transformed, filled forward.
    filled: Vec<f32>,
}

/// The inputs of one window, flat, in the order of the module's table.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    /// The series' place in the embedding.
    pub(crate) index: usize,
    /// The kind's place in its embedding.
    pub(crate) kind: usize,
    /// How to carry the answer back.
    pub(crate) scale: WindowScale,
    pub(super) patches: Vec<f32>,
    pub(super) statics: [f32; 2],
    pub(super) candidates: Vec<f32>,
    pub(super) segments: Vec<f32>,
}

impl Series {
    /// Makes a series ready.
    pub(crate) fn new(index: usize, scale: SeriesScale, grid: &Grid) -> Self {
        let values: Vec<f32> = grid
            .values
            .iter()
            .map(|value| {
                if value.is_nan() {
                    f32::NAN
                } else {
                    scale.transform(*value)
                }
            })
            .collect();
        Self {
            index,
            scale,
            observed_min: OBSERVED_STEPS_MIN,
            start_s: grid.start_s,
            step_s: i64::from(grid.step_s),
            filled: filled_forward(&values),
            values,
        }
    }

    /// Returns the series' own scale.
    pub(crate) fn scale(&self) -> &SeriesScale {
        &self.scale
    }

    /// Returns the number of steps.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// Returns how far an answer at an origin may reach, in the metric's own unit: beyond the least and the greatest value of
    /// the newest eight days by as much as they lie apart. `None` where less than a day of them was observed, or they do
    /// not differ.
    ///
    /// A rate's scale is logarithmic: where its spikes are millions of times its median, the outer quantiles of a network
    /// would be beyond any number that means something.
    pub(crate) fn reach(&self, origin: usize) -> Option<(f64, f64)> {
        let known = &self.values[origin.saturating_sub(REACH_STEPS)..origin];
        let (mut least, mut greatest, mut observed) = (f32::INFINITY, f32::NEG_INFINITY, 0);
        for value in known.iter().filter(|value| !value.is_nan()) {
            least = least.min(*value);
            greatest = greatest.max(*value);
            observed += 1;
        }
        let (low, high) = (self.scale.restore(least), self.scale.restore(greatest));
        let apart = high - low;
        (observed >= DAY_STEPS && apart > 0.0).then_some((low - apart, high + apart))
    }

    /// Returns the inputs at an origin: what is known before step `origin`. `None` when that is less than
    /// [`CONTEXT_STEPS`] or mostly missing.
    pub(crate) fn window(&self, origin: usize) -> Option<Window> {
        let context = self
            .values
            .get(origin.checked_sub(CONTEXT_STEPS)?..origin)?;
        let observed: Vec<f32> = context.iter().copied().filter(|v| !v.is_nan()).collect();
        if observed.len() < self.observed_min {
            return None;
        }
        let scale = self.scale.window(observed)?;
        Some(Window {
            index: self.index,
            kind: self.scale.kind_index(),
            scale,
            patches: self.patches(context, origin, scale),
            statics: if self.is_newcomer() {
                [0.0; 2]
            } else {
                self.scale.place(scale)
            },
            candidates: self.candidates(origin, scale),
            segments: self.segments(origin),
        })
    }

    /// Returns the stretch about an origin as of a host that was only heard of `known` steps before, and the
    /// origin's place in it: the day and the week before are unknown, and so is where the window lies in its series.
    pub(crate) fn newcomer(&self, origin: usize, known: usize) -> (Self, usize) {
        let known = known.min(CONTEXT_STEPS).min(origin);
        let end = (origin + HORIZON_STEPS).min(self.values.len());
        let mut values = vec![f32::NAN; CONTEXT_STEPS - known];
        values.extend(&self.values[origin - known..end]);
        let series = Self {
            index: 0,
            scale: self.scale,
            observed_min: NEWCOMER_STEPS_MIN,
            start_s: self.start_s + (origin as i64 - CONTEXT_STEPS as i64) * self.step_s,
            step_s: self.step_s,
            filled: filled_forward(&values),
            values,
        };
        (series, CONTEXT_STEPS)
    }

    fn is_newcomer(&self) -> bool {
        self.observed_min == NEWCOMER_STEPS_MIN
    }

    /// Returns what came in the horizon behind an origin, normalised, NaN where missing or not known.
    pub(crate) fn answer(&self, origin: usize, scale: WindowScale) -> Vec<f32> {
        (origin..origin + HORIZON_STEPS)
            .map(|step| {
                let value = self.values.get(step).copied().unwrap_or(f32::NAN);
                (value - scale.center) / scale.spread
            })
            .collect()
    }

    fn patches(&self, context: &[f32], origin: usize, scale: WindowScale) -> Vec<f32> {
        let mut patches = Vec::with_capacity(CONTEXT_STEPS / PATCH_STEPS * PATCH_FEATURES);
        for (patch, values) in context.chunks_exact(PATCH_STEPS).enumerate() {
            patches.extend(values.iter().map(|value| {
                if value.is_nan() {
                    0.0
                } else {
                    scale.normalised(*value)
                }
            }));
            patches.extend(values.iter().map(|v| if v.is_nan() { 0.0 } else { 1.0 }));
            patches.extend(self.calendar(origin - CONTEXT_STEPS + patch * PATCH_STEPS));
        }
        patches
    }

    fn segments(&self, origin: usize) -> Vec<f32> {
        (0..SEGMENTS)
            .flat_map(|segment| {
                let knows_week = origin >= WEEK_STEPS && !self.missed_week(origin, segment);
                let calendar = self.calendar(origin + segment * SEGMENT_STEPS);
                calendar
                    .into_iter()
                    .chain([f32::from(u8::from(knows_week))])
            })
            .collect()
    }

    /// Says whether a segment's steps a week earlier lie in a gap: more of them are missing than observed.
    fn missed_week(&self, origin: usize, segment: usize) -> bool {
        let first = (origin + segment * SEGMENT_STEPS).checked_sub(WEEK_STEPS);
        first.is_some_and(|first| {
            let week_before = &self.values[first..first + SEGMENT_STEPS];
            let missing = week_before.iter().filter(|value| value.is_nan()).count();
            2 * missing > SEGMENT_STEPS
        })
    }

    fn candidates(&self, origin: usize, scale: WindowScale) -> Vec<f32> {
        if !self.scale.inputs().candidates {
            return vec![0.0; HORIZON_STEPS * CANDIDATES];
        }
        let known = &self.filled[..origin];
        let mean = |values: &[f32]| values.iter().sum::<f32>() / values.len() as f32;
        let newest = known[origin - 1];
        let height = mean(&known[origin - HOUR_STEPS..]);
        let day = |step: usize| known[origin + step - DAY_STEPS];
        let missed: Vec<bool> = (0..SEGMENTS)
            .map(|segment| self.missed_week(origin, segment))
            .collect();
        let week = |step: usize| match (origin + step).checked_sub(WEEK_STEPS) {
            Some(place) if !missed[step / SEGMENT_STEPS] => known[place],
            _ => day(step),
        };
        let days = (origin / DAY_STEPS).min(7);
        let profile = |step: usize| {
            let at = |ago: usize| known[origin + step - ago * DAY_STEPS];
            (1..=days).map(at).sum::<f32>() / days as f32
        };
        let (day_height, profile_height) = if origin >= DAY_STEPS + HOUR_STEPS {
            let last_hour = origin - HOUR_STEPS..origin;
            let whole_days = ((origin - HOUR_STEPS) / DAY_STEPS).min(7);
            let ago = |days: usize| {
                let span = last_hour.start - days * DAY_STEPS..last_hour.end - days * DAY_STEPS;
                mean(&known[span])
            };
            let profile = (1..=whole_days).map(ago).sum::<f32>() / whole_days as f32;
            (ago(1), profile)
        } else {
            (height, height)
        };
        let slope = slope(&known[origin - TREND_STEPS..]);
        // The mean of the last hour stands in its middle.
        let from_height = (HOUR_STEPS + 1) as f32 / 2.0;
        let mut candidates = Vec::with_capacity(HORIZON_STEPS * CANDIDATES);
        for step in 0..HORIZON_STEPS {
            let simple: [f32; CANDIDATES] = [
                newest,
                height,
                scale.center,
                day(step),
                week(step),
                profile(step),
                height + day(step) - day_height,
                height + profile(step) - profile_height,
                height + slope * (step as f32 + from_height),
            ];
            candidates.extend(simple.map(|value| scale.normalised(value)));
        }
        candidates
    }

    /// Returns the sine and cosine of the time of day and of the day of the week (UTC).
    fn calendar(&self, step: usize) -> [f32; CALENDAR] {
        if !self.scale.inputs().calendar {
            return [0.0; CALENDAR];
        }
        let time_s = self.start_s + step as i64 * self.step_s;
        let turn = |period_s: i64| time_s.rem_euclid(period_s) as f32 / period_s as f32 * TAU;
        let (day_sin, day_cos) = turn(DAY_S).sin_cos();
        let (week_sin, week_cos) = turn(7 * DAY_S).sin_cos();
        [day_sin, day_cos, week_sin, week_cos]
    }
}

impl WindowScale {
    /// Normalises a transformed value, cut at [`INPUT_MAX`].
    fn normalised(self, transformed: f32) -> f32 {
        ((transformed - self.center) / self.spread).clamp(-INPUT_MAX, INPUT_MAX)
    }
}

/// Returns the slope of the least-squares line through the values.
fn slope(values: &[f32]) -> f32 {
    let middle = (values.len() - 1) as f32 / 2.0;
    let (mut covariance, mut variance) = (0.0, 0.0);
    for (step, value) in values.iter().enumerate() {
        let distance = step as f32 - middle;
        covariance += distance * value;
        variance += distance * distance;
    }
    covariance / variance
}

#[cfg(test)]
mod tests;
