//! Made-up series for the base: what server metrics do, drawn from a seed.
//!
//! A series is a sum of parts, each drawn or left out: a daily and a weekly rhythm of a few harmonics, a level that
//! wanders (Ornstein–Uhlenbeck) and shifts, ramps, saw teeth (a disk that fills and is cleaned, a leak that a
//! restart ends), bursts, spikes at fixed times (cron) and at random ones, noise that grows with the level, and the
//! coarse rounding of real agents. In the manner of the kernel syntheses of Chronos (Ansari et al. 2024,
//! section 4.2).

use std::f64::consts::TAU;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{
    baseline::{DAY_STEPS, WEEK_STEPS},
    grid::{Grid, STEP_S},
    target::Kind,
};

/// The shortest and the longest series, in days.
const DAYS: (usize, usize) = (8, 28);

/// A Monday, midnight UTC.
const MONDAY_S: i64 = 1_767_571_200;

/// Draws a series of any kind.
#[must_use]
pub fn series(seed: u64) -> (Kind, Grid) {
    let mut draw = Draw(ChaCha8Rng::seed_from_u64(seed));
    let steps = DAY_STEPS * draw.whole(DAYS.0, DAYS.1);
    let kind = Kind::ALL[draw.whole(0, Kind::ALL.len() - 1)];
    let values = match draw.whole(0, 9) {
        0 | 1 => sawtooth(&mut draw, steps),
        2 => quiet(&mut draw, steps),
        _ => rhythm(&mut draw, steps),
    };
    let grid = Grid {
        start_s: MONDAY_S + i64::from(STEP_S) * draw.whole(0, WEEK_STEPS) as i64,
        step_s: STEP_S,
        values: finished(&mut draw, kind, &values),
    };
    (kind, grid)
}

/// What is drawn from.
struct Draw(ChaCha8Rng);

impl Draw {
    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.0.random::<f64>()
    }

    /// Both ends included.
    fn whole(&mut self, low: usize, high: usize) -> usize {
        self.0.random_range(low..=high)
    }

    fn chance(&mut self, probability: f64) -> bool {
        self.0.random::<f64>() < probability
    }

    /// Evenly on a logarithmic scale.
    fn magnitude(&mut self, low: f64, high: f64) -> f64 {
        self.between(low.ln(), high.ln()).exp()
    }

    /// Standard normal (Box & Muller 1958).
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.between(1e-12, 1.0).ln()).sqrt();
        radius * self.between(0.0, TAU).cos()
    }
}

/// A load: rhythm about a level that wanders and shifts, with bursts and spikes.
fn rhythm(draw: &mut Draw, steps: usize) -> Vec<f64> {
    let mut values = vec![0.0; steps];
    if draw.chance(0.75) {
        let weekly = draw.chance(0.5);
        add_daily(draw, &mut values, weekly);
    }
    let wander = draw.magnitude(0.02, 1.0);
    let memory = draw.magnitude(6.0, 4.0 * DAY_STEPS as f64);
    add_wander(draw, &mut values, wander, memory);
    if draw.chance(0.4) {
        let (height, memory) = (draw.magnitude(0.1, 1.0), draw.magnitude(1.0, 12.0));
        add_wander(draw, &mut values, height, memory);
    }
    if draw.chance(0.3) {
        for _ in 0..draw.whole(1, 4) {
            let (from, shift) = (draw.whole(0, steps - 1), draw.normal());
            values[from..].iter_mut().for_each(|value| *value += shift);
        }
    }
    if draw.chance(0.15) {
        let slope = draw.normal() * 3.0 / steps as f64;
        for (step, value) in values.iter_mut().enumerate() {
            *value += slope * step as f64;
        }
    }
    if draw.chance(0.3) {
        add_cron(draw, &mut values);
    }
    if draw.chance(0.25) {
        add_bursts(draw, &mut values);
    }
    values
}

/// Little but zero, with bursts and spikes.
fn quiet(draw: &mut Draw, steps: usize) -> Vec<f64> {
    let mut values = vec![0.0; steps];
    add_bursts(draw, &mut values);
    if draw.chance(0.5) {
        add_cron(draw, &mut values);
    }
    values
}

/// A stock that fills, evenly or with the day's rhythm, and is emptied: at a height, or after a time.
fn sawtooth(draw: &mut Draw, steps: usize) -> Vec<f64> {
    let rise = 1.0 / draw.magnitude(24.0, 14.0 * DAY_STEPS as f64);
    let by_height = draw.chance(0.7);
    let ragged = if draw.chance(0.5) {
        0.0
    } else {
        draw.between(0.02, 0.3)
    };
    let uneven = if draw.chance(0.5) {
        0.0
    } else {
        draw.between(0.1, 0.9)
    };
    let left = if draw.chance(0.5) {
        0.0
    } else {
        draw.between(0.0, 0.6)
    };
    let noise = if draw.chance(0.5) {
        0.0
    } else {
        draw.magnitude(1e-3, 3e-2)
    };
    let period = (1.0 / rise * draw.between(0.3, 1.0)) as usize + 1;
    let mut level = draw.between(left, 1.0);
    let mut top = 1.0;
    let mut since = draw.whole(0, period);
    (0..steps)
        .map(|step| {
            let daily = 1.0 + uneven * (TAU * step as f64 / DAY_STEPS as f64).sin();
            level += rise * daily;
            since += 1;
            if level >= top || (!by_height && since >= period) {
                level = left + draw.between(0.0, ragged.max(1e-9));
                top = 1.0 - draw.between(0.0, ragged.max(1e-9));
                since = 0;
            }
            level + noise * draw.normal()
        })
        .collect()
}

/// Up to five harmonics of the day; quieter at weekends where the week counts.
fn add_daily(draw: &mut Draw, values: &mut [f64], weekly: bool) {
    let height = draw.magnitude(0.1, 3.0);
    let harmonics: Vec<(f64, f64, f64)> = (1..=draw.whole(1, 5))
        .map(|harmonic| {
            let harmonic = harmonic as f64;
            (
                harmonic,
                height * draw.normal() / harmonic,
                draw.between(0.0, TAU),
            )
        })
        .collect();
    let weekend = if weekly { draw.between(0.0, 0.8) } else { 1.0 };
    let first_day = draw.whole(0, 6);
    for (step, value) in values.iter_mut().enumerate() {
        let day = step as f64 / DAY_STEPS as f64;
        let share = if (first_day + step / DAY_STEPS) % 7 >= 5 {
            weekend
        } else {
            1.0
        };
        let wave: f64 = harmonics
            .iter()
            .map(|(harmonic, height, phase)| height * (TAU * harmonic * day + phase).sin())
            .sum();
        *value += share * wave;
    }
}

/// A level that wanders and returns, with the given spread and memory in steps.
fn add_wander(draw: &mut Draw, values: &mut [f64], spread: f64, memory: f64) {
    let keep = (-1.0 / memory).exp();
    let kick = spread * (1.0 - keep * keep).sqrt();
    let mut level = spread * draw.normal();
    for value in values {
        level = keep * level + kick * draw.normal();
        *value += level;
    }
}

/// A job that runs at fixed times: every quarter of an hour up to once a day.
fn add_cron(draw: &mut Draw, values: &mut [f64]) {
    let every = [3, 6, 12, 36, 72, 144, 288][draw.whole(0, 6)];
    let lasts = draw.whole(1, (every / 2).clamp(1, 24));
    let (phase, height) = (draw.whole(0, every - 1), draw.magnitude(0.3, 5.0));
    for (step, value) in values.iter_mut().enumerate() {
        if (step + phase) % every < lasts {
            *value += height;
        }
    }
}

/// A load that comes and goes at random times.
fn add_bursts(draw: &mut Draw, values: &mut [f64]) {
    let begins = 1.0 / draw.magnitude(24.0, 3.0 * DAY_STEPS as f64);
    let ends = 1.0 / draw.magnitude(1.0, 72.0);
    let height = draw.magnitude(0.5, 8.0);
    let mut now: Option<f64> = None;
    for value in values {
        now = match now {
            Some(_) if draw.chance(ends) => None,
            None if draw.chance(begins) => Some(height * draw.between(0.3, 1.0)),
            going_on => going_on,
        };
        *value += now.unwrap_or(0.0);
    }
}

/// Carries a shape to the values of a kind: noise, height, bounds, rounding, and a gap now and then.
fn finished(draw: &mut Draw, kind: Kind, shape: &[f64]) -> Vec<f32> {
    let noise = if draw.chance(0.3) {
        0.0
    } else {
        draw.magnitude(3e-3, 0.5)
    };
    let floor = shape.iter().copied().fold(f64::INFINITY, f64::min);
    let top = shape.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let range = (top - floor).max(1e-9);
    let (low, high, step) = match kind {
        Kind::Percent => {
            let low = draw.between(0.0, 60.0);
            (low, draw.between(low + 2.0, 100.0), 0.1)
        }
        Kind::Rate => {
            let high = draw.magnitude(1.0, 1e7);
            (0.0, high, high / 1e4)
        }
        Kind::Gauge => {
            let low = draw.between(-0.5, 1.0);
            (low, low + draw.magnitude(0.05, 10.0), 0.01)
        }
    };
    let rounding = if draw.chance(0.4) { step } else { 0.0 };
    let growing = draw.chance(0.4);
    let missing = if draw.chance(0.15) {
        draw.between(0.0, 0.05)
    } else {
        0.0
    };
    let values = shape.iter().map(|value| {
        let height = (value - floor) / range;
        let size = if growing { noise * height } else { 0.3 * noise };
        let value = low + (high - low) * (height + size * draw.normal());
        if draw.chance(missing) {
            return f32::NAN;
        }
        let value = if rounding > 0.0 {
            (value / rounding).round() * rounding
        } else {
            value
        };
        kind.clamp(value) as f32
    });
    values.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_follow_from_the_seed_and_keep_to_their_kind() {
        for seed in 0..60 {
            let (kind, grid) = series(seed);
            let (_, again) = series(seed);
            assert!(
                grid.values
                    .iter()
                    .zip(&again.values)
                    .all(|(one, other)| one.to_bits() == other.to_bits())
            );
            let (low, high) = kind.bounds();
            let observed = grid.values.iter().filter(|value| !value.is_nan());
            assert!(
                observed.clone().count() * 10 > grid.values.len() * 9,
                "seed {seed}"
            );
            assert!(
                observed
                    .clone()
                    .all(|v| low <= f64::from(*v) && f64::from(*v) <= high)
            );
            assert!(grid.values.len() >= DAYS.0 * DAY_STEPS);
        }
    }

    #[test]
    fn saw_teeth_rise_slowly_and_fall_at_once() {
        let mut draw = Draw(ChaCha8Rng::seed_from_u64(3));
        let values = sawtooth(&mut draw, 20 * DAY_STEPS);
        let falls = values
            .windows(2)
            .filter(|pair| pair[1] < pair[0] - 0.2)
            .count();
        assert!((1..500).contains(&falls), "{falls}");
    }
}
