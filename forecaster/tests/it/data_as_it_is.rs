//! History as agents really send it: irregular, ahead of the time, late, twice, out of order, shifted, all but constant. The
//! README has the rules.

use headroom_forecaster::{
    forecast::predict,
    grid::{Grid, Sample},
    target::{Kind, Target},
    training::{TrainRequest, train_host},
};
use tokio_util::sync::CancellationToken;

use crate::support::histories::{DAY, grid, host, recent, target, wave};

fn samples(times_and_values: impl IntoIterator<Item = (i64, f64)>) -> Vec<Sample> {
    let samples = times_and_values.into_iter();
    samples
        .map(|(time_s, value)| Sample { time_s, value })
        .collect()
}

#[test]
fn irregular_sampling_gives_the_mean_of_what_came_in_each_step() {
    // Every second at first, then every seven minutes.
    let dense = (0..300).map(|second| (second, if second < 150 { 10.0 } else { 20.0 }));
    let sparse = (1..5).map(|place| (place * 420, 30.0));
    let grid = Grid::of_values(&samples(dense.chain(sparse)), 0, 1_800, 300);
    assert!((grid.values[0] - 15.0).abs() < 1e-6);
    // 420, 840, 1260 and 1680 s; nothing came in the step from 900 s on.
    let observed: Vec<bool> = grid.values.iter().map(|value| !value.is_nan()).collect();
    assert_eq!(observed, [true, true, true, false, true, true]);
}

#[test]
fn points_ahead_of_the_time_are_left_out() {
    let grid = Grid::of_values(
        &samples([(100, 1.0), (700, 2.0), (4_000, 99.0)]),
        0,
        900,
        300,
    );
    assert_eq!(grid.newest(), Some((2.0, 900)));
    let counter = samples([(0, 0.0), (300, 300.0), (600, 600.0), (4_000, 1e9)]);
    assert_eq!(Grid::of_counter(&counter, 0, 600, 300).values, [1.0, 1.0]);
}

#[test]
fn what_is_late_is_missing_until_it_comes_and_never_zero() {
    let in_time = samples([(0, 5.0), (300, 6.0)]);
    let grid = Grid::of_values(&in_time, 0, 1_200, 300);
    // The forecast begins where the data ends.
    assert_eq!(grid.newest(), Some((6.0, 600)));
    assert!(grid.values[2..].iter().all(|value| value.is_nan()));
    let later = samples([(300, 6.0), (900, 8.0), (600, 7.0), (0, 5.0)]);
    assert_eq!(
        Grid::of_values(&later, 0, 1_200, 300).values,
        [5.0, 6.0, 7.0, 8.0]
    );
}

#[test]
fn a_reading_that_comes_twice_or_backwards_makes_no_rate_of_its_own() {
    let counter = samples([
        (0, 0.0),
        (300, 300.0),
        (300, 300.0),
        (290, 290.0),
        (600, 600.0),
    ]);
    let grid = Grid::of_counter(&counter, 0, 600, 300);
    assert!(
        grid.values.iter().all(|rate| (rate - 1.0).abs() < 1e-6),
        "{:?}",
        grid.values
    );
}

#[test]
fn a_reboot_is_a_gap_and_not_a_burst() {
    // Ten minutes of counting, an hour away, and a counter that begins again.
    let before = (0..3).map(|step| (step * 300, 1e6 + 300.0 * step as f64));
    let behind = (0..3).map(|step| (4_200 + step * 300, 300.0 * step as f64));
    let grid = Grid::of_counter(&samples(before.chain(behind)), 0, 4_800, 300);
    assert_eq!(grid.values[..2], [1.0, 1.0]);
    assert!(
        grid.values[2..14].iter().all(|rate| rate.is_nan()),
        "{:?}",
        grid.values
    );
    assert_eq!(grid.values[14..], [1.0, 1.0]);
}

/// The newest days of a target's history, with what is done to them.
fn changed(
    request: &TrainRequest,
    place: usize,
    change: impl Fn(usize, f32) -> f32,
) -> Vec<(Target, Grid)> {
    let (target, mut grid) = recent(request).swap_remove(place);
    let steps = grid.values.len();
    for (step, value) in grid.values.iter_mut().enumerate() {
        *value = change(steps - step, *value);
    }
    vec![(target, grid)]
}

#[test]
fn a_level_that_shifted_lately_is_where_the_forecast_begins() {
    let mut request = host(12);
    let values = wave(12 * DAY, 4.0, 3);
    request.targets = vec![(target("load", Kind::Gauge), grid(values))];
    let model = train_host(&request, &(), &CancellationToken::new()).expect("a model");
    let first_hour = |recent: &[(Target, Grid)]| {
        let forecast = predict(&model, recent, 12).remove(0).expect("a forecast");
        forecast.path.median().iter().sum::<f64>() / 12.0
    };
    let before = first_hour(&changed(&request, 0, |_, value| value));
    // Three hours ago everything rose by 30, far beyond what the day does.
    let shifted = changed(
        &request,
        0,
        |ago, value| if ago <= 36 { value + 30.0 } else { value },
    );
    let moved = first_hour(&shifted) - before;
    assert!((20.0..40.0).contains(&moved), "{moved}");
}

#[test]
fn a_series_that_hardly_ever_changes_is_forecast_at_its_value() {
    let mut request = host(12);
    let mut values = vec![5.0; 12 * DAY];
    for step in [100, 1_500, 2_900] {
        values[step] = 5.1;
    }
    request
        .targets
        .push((target("threads", Kind::Gauge), grid(values)));
    let model = train_host(&request, &(), &CancellationToken::new()).expect("a model");
    let forecast = predict(&model, &changed(&request, 2, |_, value| value), 96)
        .remove(0)
        .expect("a forecast");
    for value in forecast.path.levels().iter().flatten() {
        assert!((4.8..5.3).contains(value), "{value}");
    }
}
