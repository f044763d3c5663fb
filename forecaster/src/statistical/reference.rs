//! The series and reference values of `tests/reference/statistical.py`, for the tests of each model.

use std::f64::consts::TAU;

use serde::de::DeserializeOwned;

use super::{FITTED_SHARE, Past, Points, Spread};

/// The steps of a series, two weeks of hours; the weekly one has twice as many.
const STEPS: u32 = 336;

fn noise(step: u32) -> f64 {
    f64::from(step * 7_919 % 101) / 50.0 - 1.0
}

/// Numbers without a pattern, about normal: sums of four of a linear congruential generator (Knuth's MMIX), less their mean.
fn random(count: u32, seed: u64) -> Vec<f64> {
    let mut state = seed;
    let mut uniform = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / f64::from(1_u32 << 31)
    };
    (0..count)
        .map(|_| (0..4).map(|_| uniform()).sum::<f64>() - 2.0)
        .collect()
}

/// 1 + θ B¹² errors behind an autoregression, about 30.
fn hourly() -> Vec<f64> {
    let random = random(STEPS, 3);
    let mut values: Vec<f64> = Vec::new();
    for step in 0..STEPS as usize {
        let before = values.last().copied().unwrap_or(0.0);
        let hour_ago = if step < 12 { 0.0 } else { random[step - 12] };
        values.push(0.4 * before + random[step] + 0.6 * hour_ago);
    }
    values.iter().map(|value| 30.0 + value).collect()
}

/// A walk with a season of twelve steps.
fn walking() -> Vec<f64> {
    let mut sum = 0.0;
    let walk = random(STEPS, 2).into_iter().zip(0..STEPS);
    walk.map(|(step_by, step)| {
        sum += 0.3 * step_by;
        sum + 3.0 * (TAU * f64::from(step) / 12.0).sin() + 0.2 * noise(step)
    })
    .collect()
}

/// The series that the script calls by this name.
pub(super) fn series(name: &str) -> Vec<f32> {
    let narrow = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect();
    match name {
        "hourly" => return narrow(hourly()),
        "walking" => return narrow(walking()),
        _ => {}
    }
    let at = |step: u32| {
        let time = f64::from(step);
        match name {
            "daily" => {
                50.0 + 10.0 * (TAU * time / 24.0).sin()
                    + 4.0 * (time / 37.0).sin()
                    + 2.0 * noise(step)
            }
            "wandering" => 20.0 + 8.0 * (time / 16.0).sin() + 0.02 * time + noise(step),
            "weekly" => {
                let working = if step / 24 % 7 < 5 { 6.0 } else { -15.0 };
                40.0 + 8.0 * (TAU * time / 24.0).sin() + working + 2.0 * noise(step)
            }
            _ => panic!("no series {name}"),
        }
    };
    let steps = if name == "weekly" { 2 * STEPS } else { STEPS };
    narrow((0..steps).map(at).collect())
}

/// A past of hours.
pub(super) fn past(values: &[f32]) -> Past<'_> {
    Past {
        start_s: 0,
        step_s: 3_600,
        values,
    }
}

/// The reference values of a model.
pub(super) fn cases<T: DeserializeOwned>(model: &str) -> Vec<T> {
    let text = include_str!("../../tests/reference/statistical.json");
    let mut models: serde_json::Value = serde_json::from_str(text).expect("JSON");
    serde_json::from_value(models[model].take()).expect("cases")
}

/// Asserts that a model's errors spread as the reference's do: those with its parameters, from the same origins.
pub(super) fn spreads_agree(
    model: &impl Points,
    values: &[f32],
    reference: &[Vec<f64>],
    share: f64,
) {
    let fitted = (values.len() as f64 * FITTED_SHARE) as usize;
    let spread = Spread::measure(model, past(values), fitted).expect("errors");
    assert_eq!(spread.0.len(), reference.len());
    for (ours, theirs) in spread.0.iter().zip(reference) {
        agree(ours, theirs, share);
    }
}

/// Asserts that numbers are the reference's, within a share of its largest.
pub(super) fn agree(ours: &[f64], reference: &[f64], share: f64) {
    assert_eq!(ours.len(), reference.len());
    let largest = reference
        .iter()
        .fold(0.0_f64, |largest, value| largest.max(value.abs()));
    for (step, (one, other)) in ours.iter().zip(reference).enumerate() {
        assert!(
            (one - other).abs() <= share * largest,
            "step {step}: {one} is not {other}"
        );
    }
}
