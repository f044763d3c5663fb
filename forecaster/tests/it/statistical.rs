//! The statistical models on histories as they come: with gaps, constant, short, and at their cost.

use std::time::Duration;

use headroom_forecaster::{
    statistical::{AutoEts, AutoSarima, AutoTheta, Fit, MstlWithEts, Past, Predict, STRETCH_DAYS},
    target::Kind,
};

use crate::support::histories::{DAY, START_S, wave};

fn past(values: &[f32]) -> Past<'_> {
    Past {
        start_s: START_S,
        step_s: 300,
        values,
    }
}

/// Fits every model and hands each forecast of four hours over with its model's name; `None` where it was not fitted.
fn forecasts(values: &[f32]) -> Vec<(&'static str, Option<Vec<Vec<f64>>>)> {
    fn of(model: &impl Fit, values: &[f32]) -> Option<Vec<Vec<f64>>> {
        let path = model
            .fit(past(values))?
            .predict(past(values), 48, Kind::Percent)?;
        Some(path.levels().to_vec())
    }
    vec![
        ("ets", of(&AutoEts::default(), values)),
        ("theta", of(&AutoTheta, values)),
        ("mstl + ets", of(&MstlWithEts, values)),
        ("sarima", of(&AutoSarima::default(), values)),
    ]
}

#[test]
fn gaps_are_passed_over() {
    let mut values = wave(10 * DAY, 20.0, 3);
    values[400..460].fill(f32::NAN);
    values[5 * DAY..6 * DAY].fill(f32::NAN);
    let before = wave(10 * DAY + 48, 20.0, 3);
    for (name, quantiles) in forecasts(&values) {
        let quantiles = quantiles.expect(name);
        let came = &before[10 * DAY..];
        let error: f64 = quantiles[5]
            .iter()
            .zip(came)
            .map(|(point, came)| (point - f64::from(*came)).abs())
            .sum::<f64>()
            / 48.0;
        // The wave is 40 high from trough to crest.
        assert!(error < 8.0, "{name}: {error}");
        assert!(quantiles[1][47] < quantiles[9][47], "{name}");
    }
}

#[test]
fn a_constant_goes_on_without_spread() {
    for (name, quantiles) in forecasts(&vec![7.0; 5 * DAY]) {
        let quantiles = quantiles.expect(name);
        assert!(
            quantiles
                .iter()
                .flatten()
                .all(|value| (value - 7.0).abs() < 1e-6),
            "{name}"
        );
    }
}

#[test]
fn what_is_short_or_empty_is_refused_and_nothing_panics() {
    let nothing = vec![f32::NAN; 3 * DAY];
    for values in [&[][..], &[1.0], &[1.0, 2.0, 3.0], &nothing] {
        for (name, quantiles) in forecasts(values) {
            assert_eq!(quantiles, None, "{name} of {} values", values.len());
        }
    }
    let mut sparse = nothing;
    for step in (0..sparse.len()).step_by(97) {
        sparse[step] = step as f32;
    }
    sparse[0] = f32::INFINITY;
    for (name, quantiles) in forecasts(&sparse) {
        let is_finite =
            quantiles.is_none_or(|levels| levels.iter().flatten().all(|value| value.is_finite()));
        assert!(is_finite, "{name}");
    }
}

/// The time that this thread has computed, whoever else uses the machine (`proc_pid_schedstat(5)`).
fn computed() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanoseconds = text.split(' ').next().and_then(|first| first.parse().ok());
    Duration::from_nanos(nanoseconds.expect("a number"))
}

#[test]
#[ignore = "a timing, which says something of a release build only"]
fn a_fit_of_fourteen_days_computes_for_a_tenth_of_a_second_at_most() {
    let values = wave(STRETCH_DAYS * DAY, 20.0, 5);
    let time = |name: &str, fit: &dyn Fn() -> bool| {
        let before = computed();
        assert!(fit(), "{name}");
        let taken = computed().saturating_sub(before);
        println!("{name}: {taken:?}");
        assert!(taken < Duration::from_millis(100), "{name}: {taken:?}");
    };
    time("ets", &|| AutoEts::default().fit(past(&values)).is_some());
    time("theta", &|| AutoTheta.fit(past(&values)).is_some());
    time("mstl + ets", &|| MstlWithEts.fit(past(&values)).is_some());
}
