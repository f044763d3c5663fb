use super::*;
use crate::{model::Inputs, target::Kind};

const PATCHES: usize = CONTEXT_STEPS / PATCH_STEPS;

fn series(values: Vec<f32>) -> Series {
    let scale = SeriesScale::fit(Kind::Gauge, &values).expect("values that differ");
    let grid = Grid {
        start_s: 0,
        step_s: 300,
        values,
    };
    Series::new(1, scale, &grid)
}

/// Ten days; each day repeats the last, a unit higher.
fn staircase() -> Vec<f32> {
    (0..10 * DAY_STEPS)
        .map(|step| (step % DAY_STEPS) as f32 + (step / DAY_STEPS) as f32)
        .collect()
}

#[test]
fn a_window_never_looks_past_its_origin() {
    let origin = 8 * DAY_STEPS;
    let mut changed = staircase();
    changed[origin..].fill(-1e6);
    let (one, other) = (series(staircase()), series(changed));
    let scale = one.scale;
    let one = one.window(origin).expect("a window");
    let other = Series { scale, ..other }.window(origin).expect("a window");
    assert_eq!(one.patches, other.patches);
    assert_eq!(one.candidates, other.candidates);
    assert_eq!(one.segments, other.segments);
    assert_eq!(one.statics.to_vec(), other.statics.to_vec());
}

#[test]
fn what_an_ablation_leaves_out_is_not_seen() {
    let values: Vec<f32> = (0..10 * DAY_STEPS)
        .map(|step| (step % DAY_STEPS) as f32 / 4.0 + (step % 7) as f32)
        .collect();
    let (origin, grid) = (
        9 * DAY_STEPS,
        Grid {
            start_s: 3600,
            step_s: 300,
            values: values.clone(),
        },
    );
    let window = |inputs: Inputs| {
        let scale = SeriesScale::fit_for(Kind::Percent, &values, inputs).expect("a scale");
        let series = Series::new(1, scale, &grid);
        series.window(origin).expect("a window")
    };
    let whole = window(Inputs::WHOLE);
    let calendar = |window: &Window| -> Vec<f32> {
        let places = (0..PATCHES).map(|patch| patch * PATCH_FEATURES + 2 * PATCH_STEPS);
        places
            .flat_map(|at| window.patches[at..at + CALENDAR].to_vec())
            .chain(
                window
                    .segments
                    .chunks(SEGMENT_FEATURES)
                    .flat_map(|segment| segment[..CALENDAR].to_vec()),
            )
            .collect()
    };
    assert!(calendar(&whole).iter().any(|value| *value != 0.0));
    let without = window(Inputs {
        calendar: false,
        ..Inputs::WHOLE
    });
    assert!(calendar(&without).iter().all(|value| *value == 0.0));
    assert_eq!(without.candidates, whole.candidates);
    let without = window(Inputs {
        candidates: false,
        ..Inputs::WHOLE
    });
    assert!(without.candidates.iter().all(|value| *value == 0.0));
    assert_eq!(without.patches, whole.patches);
    let plain = window(Inputs {
        transform: false,
        robust: false,
        ..Inputs::WHOLE
    });
    let context = &values[origin - CONTEXT_STEPS..origin];
    let mean = context.iter().sum::<f32>() / CONTEXT_STEPS as f32;
    assert!((plain.scale.center - mean).abs() < 1e-3);
}

#[test]
fn candidates_are_the_simple_forecasts_they_are_named_for() {
    let origin = 8 * DAY_STEPS + 100;
    let series = series(staircase());
    let window = series.window(origin).expect("a window");
    let value = |step: usize, candidate: usize| {
        let normalised = window.candidates[step * CANDIDATES + candidate];
        normalised * window.scale.spread + window.scale.center
    };
    // At step 10 the truth is 110 + 8: time of day 110, ninth day.
    let expected = [
        107.0,
        101.5,
        f32::NAN,
        117.0,
        111.0,
        114.0,
        118.0,
        118.0,
        118.0,
    ];
    for (candidate, expected) in expected.into_iter().enumerate() {
        let found = value(10, candidate);
        // Single precision over values of a few hundred.
        assert!(
            expected.is_nan() || (found - expected).abs() < 1e-3,
            "candidate {candidate}: {found} against {expected}"
        );
    }
}

#[test]
fn the_week_before_is_known_for_every_step_of_the_horizon() {
    let origin = 8 * DAY_STEPS + 100;
    let values = staircase();
    let series = series(values.clone());
    let window = series.window(origin).expect("a window");
    for step in 0..HORIZON_STEPS {
        let week = window.candidates[step * CANDIDATES + 4];
        let expected = values[origin + step - WEEK_STEPS];
        let found = week * window.scale.spread + window.scale.center;
        assert!((found - expected).abs() < 1e-3, "step {step}: {found}");
    }
    let flags = window.segments.chunks(SEGMENT_FEATURES);
    assert!(flags.clone().all(|segment| segment[CALENDAR] > 0.5));
    assert_eq!(flags.count() * SEGMENT_STEPS, 96);
}

#[test]
fn a_week_before_that_lies_in_a_gap_is_not_known_and_the_day_stands_in() {
    let origin = 8 * DAY_STEPS + 100;
    let mut values = staircase();
    // The second hour of the horizon, and a little of the third.
    let gap = origin - WEEK_STEPS + SEGMENT_STEPS;
    values[gap..gap + SEGMENT_STEPS + 3].fill(f32::NAN);
    let series = series(values);
    let window = series.window(origin).expect("a window");
    let flags = window.segments.chunks(SEGMENT_FEATURES);
    let known: Vec<bool> = flags.map(|segment| segment[CALENDAR] > 0.5).collect();
    let all_but_the_second: Vec<bool> = (0..SEGMENTS).map(|place| place != 1).collect();
    assert_eq!(known, all_but_the_second);
    let (day, week) = (3, 4);
    for step in 0..HORIZON_STEPS {
        let at = |candidate: usize| window.candidates[step * CANDIDATES + candidate];
        let is_day = at(week).to_bits() == at(day).to_bits();
        assert_eq!(is_day, step / SEGMENT_STEPS == 1, "step {step}");
    }
}

#[test]
fn missing_values_are_zero_and_masked() {
    let mut values = staircase();
    let origin = 9 * DAY_STEPS;
    values[origin - 2] = f32::NAN;
    let window = series(values).window(origin).expect("a window");
    let last = &window.patches[window.patches.len() - PATCH_FEATURES..];
    assert_eq!(last[PATCH_STEPS - 2].to_bits(), 0.0_f32.to_bits());
    let seen = last[PATCH_STEPS..2 * PATCH_STEPS]
        .iter()
        .filter(|mask| **mask > 0.5);
    assert_eq!(seen.count(), PATCH_STEPS - 1);
}

#[test]
fn a_context_that_is_short_or_mostly_missing_makes_no_window() {
    let mut values = staircase();
    assert!(series(values.clone()).window(DAY_STEPS - 1).is_none());
    assert!(series(values.clone()).window(DAY_STEPS).is_some());
    let origin = 5 * DAY_STEPS;
    values[origin - 220..origin].fill(f32::NAN);
    assert!(series(values).window(origin).is_none());
}

#[test]
fn an_answer_reaches_as_far_beyond_what_came_as_that_lies_apart() {
    let steps = 10 * DAY_STEPS;
    let mut values: Vec<f32> = (0..steps).map(|step| (step % 7) as f32).collect();
    values[steps / 2] = 1_000.0;
    // Too long ago to count, and not known yet.
    values[0] = 1e9;
    values[steps - 1] = 1e9;
    let grid = Grid {
        start_s: 0,
        step_s: 300,
        values,
    };
    let scale = SeriesScale::fit(Kind::Rate, &grid.values).expect("values that differ");
    let series = Series::new(1, scale, &grid);
    let (low, high) = series.reach(steps - 1).expect("a week of values");
    // The logarithm of a single-precision number carries six digits.
    assert!(
        (low + 1_000.0).abs() < 0.01 && (high - 2_000.0).abs() < 0.01,
        "{low} {high}"
    );
    assert_eq!(series.reach(DAY_STEPS - 1), None);
}
