//! A week's rhythm: working days and quiet ends of the week, seen three times, are followed nearly whole.

use std::f64::consts::PI;

use headroom_forecaster::{
    forecast::predict,
    model::HostModel,
    target::Kind,
    training::{Budget, TrainRequest, train_host},
};
use tokio_util::sync::CancellationToken;

use crate::support::histories::{DAY, grid, host, recent, target, wave};

/// A night in the fourth week of a history that begins on a Monday: three ends of a week were seen.
const TRAINED_DAYS: usize = 25;

/// What a working day adds at its height.
const WORK: f64 = 40.0;

/// The median may be off by a sixth of it.
const OFF_MAX: f64 = WORK / 6.0;

/// The load at a step: a level of 20 that wanders a little, and work from 8 to 20 o'clock.
fn load(steps: usize, seed: u64) -> Vec<f32> {
    let work = |step: usize| {
        let hour = (step % DAY) as f64 / 12.0;
        let works = (step / DAY) % 7 < 5 && (8.0..20.0).contains(&hour);
        works.then(|| WORK * ((hour - 8.0) / 12.0 * PI).sin().sqrt())
    };
    let level = wave(steps, 0.0, seed).into_iter().enumerate();
    let values = level.map(|(step, level)| {
        20.0 + 0.3 * (f64::from(level) - 40.0) + work(step).unwrap_or_default()
    });
    values.map(|value| value as f32).collect()
}

fn request(kind: Kind, seed: u64, steps: usize) -> TrainRequest {
    TrainRequest {
        targets: vec![(target("cpu.usage", kind), grid(load(steps, seed)))],
        budget: Budget::default(),
        ..host(14)
    }
}

/// Asks at six in the morning behind `days`; the mean from ten to two, of the median and of what comes.
fn morning(model: &HostModel, kind: Kind, seed: u64, days: usize) -> (f64, f64) {
    let until = days * DAY + DAY / 4;
    let forecast = predict(model, &recent(&request(kind, seed, until)), 96).remove(0);
    let forecast = forecast.expect("a forecast");
    let came = &load(until + 96, seed)[until + 48..];
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let came: Vec<f64> = came.iter().map(|value| f64::from(*value)).collect();
    (mean(&forecast.path.median()[48..]), mean(&came))
}

#[test]
fn quiet_ends_of_a_week_and_the_monday_behind_them_are_expected() {
    for (kind, seed) in [(Kind::Percent, 1), (Kind::Rate, 2), (Kind::Gauge, 3)] {
        let request = request(kind, seed, TRAINED_DAYS * DAY);
        let model = train_host(&request, &(), &CancellationToken::new()).expect("a model");
        for (day, days) in [
            ("Friday", 25),
            ("Saturday", 26),
            ("Sunday", 27),
            ("Monday", 28),
        ] {
            let (median, came) = morning(&model, kind, seed, days);
            assert!(
                (median - came).abs() < OFF_MAX,
                "{kind:?}: {median:.1} where {came:.1} comes on {day}"
            );
        }
    }
}
