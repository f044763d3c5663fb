//! The series and reference values of `tests/reference/statistical.py`, for the tests of each model.

use std::f64::consts::TAU;

use serde::de::DeserializeOwned;

use super::Past;

/// The steps of each series; a day has 24 of them.
const STEPS: u32 = 480;

fn noise(step: u32) -> f64 {
    f64::from(step * 7_919 % 101) / 50.0 - 1.0
}

/// The series that the script calls by this name.
pub(super) fn series(name: &str) -> Vec<f32> {
    let at = |step: u32| {
        let time = f64::from(step);
        match name {
            "daily" => {
                50.0 + 10.0 * (TAU * time / 24.0).sin()
                    + 4.0 * (time / 37.0).sin()
                    + 2.0 * noise(step)
            }
            "wandering" => 20.0 + 8.0 * (time / 11.0).sin() + 0.02 * time + noise(step),
            _ => panic!("no series {name}"),
        }
    };
    (0..STEPS).map(|step| at(step) as f32).collect()
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
