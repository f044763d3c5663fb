//! A disk that fills and is cleaned, at many phases: the forecast goes on with the fill, and does not fall with
//! teeth that came before.

use headroom_forecaster::{
    forecast::predict,
    target::Kind,
    training::{Budget, TrainRequest, train_host},
};
use tokio_util::sync::CancellationToken;

use crate::support::histories::{DAY, grid, host, recent, target};

/// Percentage points a step: 0.6 an hour.
const RISE: f64 = 0.05;
const FLOOR: f64 = 40.0;
const PEAK: f64 = 96.0;
const METRIC: &str = "disk.used_percent";

/// The last `days` of a disk that stands at `level`.
fn filling(days: usize, level: f64) -> Vec<f32> {
    let steps = days * DAY;
    let at = |step: usize| {
        let before = RISE * (steps - 1 - step) as f64;
        FLOOR + (level - FLOOR - before).rem_euclid(PEAK - FLOOR)
    };
    (0..steps).map(|step| at(step) as f32).collect()
}

/// Returns the error of the median four hours ahead, in percentage points.
fn error_of(level: f64, seed: u64) -> f64 {
    let mut request: TrainRequest = host(14);
    request.seed = seed;
    request.budget = Budget::default();
    request
        .targets
        .push((target(METRIC, Kind::Percent), grid(filling(14, level))));
    let model = train_host(&request, &(), &CancellationToken::new()).expect("a model");
    let forecast = predict(&model, &recent(&request), 48)[2]
        .clone()
        .expect("a forecast");
    forecast.path.median()[47] - (level + 48.0 * RISE)
}

#[test]
fn a_filling_disk_goes_on_filling_at_every_phase() {
    for (level, seed) in [(87.0, 1), (60.0, 2), (75.0, 3), (92.0, 4), (48.0, 5)] {
        let error = error_of(level, seed);
        assert!(
            error.abs() < 1.5,
            "at {level} % the median is off by {error:.2}"
        );
    }
}
