//! History as agents really send it: irregular, ahead of the time, late, twice, out of order, shifted, all but constant. The
//! README has the rules.

use std::sync::Arc;

use headroom_forecaster::{
    fleet::Fleet,
    forecast::predict,
    gateway::Gateway,
    grid::{Grid, STEP_S, Sample},
    history::{self, Span},
    recent::{Recent, WHOLE_AFTER_S},
    target::{Kind, Target, default_rules},
    training::{Budget, TrainRequest, train_host},
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::{
    FakeGateway, HostSpec, NOW_S, Readings, Setup, TestApp,
    histories::{DAY, START_S, grid, host, recent, target, wave},
};

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

const HOUR_S: i64 = 3_600;
const DAY_S: i64 = 24 * HOUR_S;

/// A counter that grows by a thousand a second, read at these times.
fn steady(times: impl IntoIterator<Item = i64>) -> Readings {
    let since_s = NOW_S - 10 * DAY_S;
    let read = |time_s: i64| (time_s, 1_000.0 * (time_s - since_s) as f64);
    Readings::received("web-1", times.into_iter().map(read))
}

fn received() -> [Target; 1] {
    let rule = Arc::new(default_rules().swap_remove(3));
    [rule.target(&[("interface".into(), "eth0".into())].into())]
}

/// A gateway with these readings, and a client of it.
async fn holding(readings: Readings) -> (FakeGateway, Arc<Gateway>) {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = FakeGateway::start(&[]).await;
    gateway.send(readings);
    let (_, _, client) = Setup::new(folder.path(), &gateway).parts();
    (gateway, client)
}

/// The rates of the newest day.
async fn rates(client: &Gateway) -> Vec<f32> {
    let span = Span::before(NOW_S, DAY);
    let mut grids = history::read(client, "web-1", &received(), span)
        .await
        .expect("an answer");
    grids.remove(0).1.values
}

fn are_near(rates: &[f32], off: f32) -> bool {
    rates
        .iter()
        .all(|rate| (rate - 1_000.0).abs() <= 1_000.0 * off)
}

#[tokio::test]
async fn a_counter_that_is_read_every_seven_minutes_has_its_own_rate() {
    let first_s = NOW_S - 9 * DAY_S;
    let readings = (0..).map(|place| first_s + 420 * place);
    let (gateway, client) = holding(steady(
        readings.take_while(|time_s| *time_s < NOW_S + DAY_S),
    ))
    .await;
    let rates = rates(&client).await;
    // The newest reading may lie before the middle of the newest step.
    assert!(are_near(&rates[..DAY - 2], 1e-3), "{rates:?}");

    // Where only the newest steps are read again, too.
    let recent = Recent::new(client, 10);
    for _ in 0..4 {
        let now_s = gateway.time_s().load(std::sync::atomic::Ordering::SeqCst);
        let read = recent
            .read("web-1", &received(), now_s, WHOLE_AFTER_S)
            .await;
        let grid = read.expect("an answer").remove(0).1;
        let known = grid.values.len() - 2;
        assert!(are_near(&grid.values[..known], 1e-3), "{:?}", grid.values);
        gateway.pass(2 * i64::from(STEP_S));
    }
}

#[tokio::test]
async fn a_counter_that_is_read_every_ten_seconds_is_read_in_steps() {
    let first_s = NOW_S - 2 * DAY_S;
    let jittered = (0..2 * DAY_S / 10).map(|place| first_s + 10 * place + place * 7_919 % 9);
    let (gateway, client) = holding(steady(jittered)).await;
    let rates = rates(&client).await;
    // Its last reading lies up to a reading's distance before the end of a step.
    assert!(are_near(&rates, 18.0 / 300.0), "{rates:?}");
    let asked = gateway.asked().await;
    assert!(
        asked
            .iter()
            .all(|statement| statement.contains("GROUP BY time(")),
        "{asked:?}"
    );
}

#[tokio::test]
async fn a_counter_that_was_read_often_until_lately_is_not_read_one_by_one() {
    let slow_s = NOW_S - 4 * HOUR_S;
    let often = (NOW_S - 2 * DAY_S..slow_s).step_by(10);
    let rarely = (slow_s..NOW_S).step_by(420);
    let (gateway, client) = holding(steady(often.chain(rarely))).await;
    let rates = rates(&client).await;
    assert!(are_near(&rates[..DAY - 4 * 12], 0.05), "{rates:?}");
    let asked = gateway.asked().await;
    let last = asked.last().expect("a statement");
    assert!(last.starts_with("SELECT last("), "{asked:?}");
}

#[tokio::test]
async fn a_counter_that_is_read_too_rarely_for_a_rate_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = FakeGateway::start(&[]).await;
    gateway.send(steady((NOW_S - 7 * DAY_S..NOW_S).step_by(1_200)));
    let app = Setup::new(folder.path(), &gateway).start();
    let job = app.retrained(&["web-1"]).await;
    let error = job["hosts"][0]["error"].as_str().expect("an error");
    assert!(
        error.contains("two readings of the counter within 15 minutes")
            && error.contains("every 5 minutes"),
        "{error}"
    );
    app.stop().await;
}

/// What a host does that works from one to nine (UTC) on weekdays: `busy` then, `idle` else, and some noise.
fn at_work(time_s: i64, idle: f64, busy: f64) -> f64 {
    let days = (time_s - START_S).div_euclid(DAY_S);
    let hour = (time_s - START_S).rem_euclid(DAY_S) / HOUR_S;
    let works = days.rem_euclid(7) < 5 && (1..9).contains(&hour);
    let noise = (time_s / 300 * 7_919 % 101) as f64 / 101.0 - 0.5;
    (if works { busy } else { idle }) + noise * (busy - idle) / 10.0
}

/// The median of a target's forecast, at its eight hours.
async fn median(app: &TestApp, metric: &str) -> Vec<f64> {
    let path = format!("/api/v1/hosts/web-1/forecasts?target={metric}&horizon=96");
    let answer = app.ok(&path).await;
    let forecast = &answer["forecasts"][0];
    let levels = forecast["quantile_levels"].as_array().expect("a list");
    let middle = levels
        .iter()
        .position(|level| level == 0.5)
        .expect("a median");
    let levels = forecast["quantiles"].as_array().expect("a list");
    let median = levels[middle].as_array().expect("a list").iter();
    median
        .map(|value| value.as_f64().expect("a number"))
        .collect()
}

#[tokio::test]
async fn on_sunday_night_a_monday_is_expected_to_be_like_the_last() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = FakeGateway::start(&[]).await;
    // Sunday, an hour before midnight, four weeks on.
    let now_s = START_S + 28 * DAY_S - HOUR_S;
    gateway.pass(now_s + 14 - NOW_S);
    let read_at = || (START_S - HOUR_S..=now_s).step_by(300);
    let queue = read_at().map(|time_s| (time_s, at_work(time_s, 20.0, 60.0)));
    gateway.send(Readings::new(
        ["pool", "queue"],
        &[("host", "web-1")],
        queue,
    ));
    let mut received = 0.0;
    let counted = read_at().map(|time_s| {
        received += 300.0 * at_work(time_s - 300, 2e5, 1e6);
        (time_s, received)
    });
    gateway.send(Readings::received("web-1", counted));
    let gauge = json!({"measurement": "pool", "field": "queue", "kind": "gauge"});
    let app = Setup::new(folder.path(), &gateway)
        .with(|raw| {
            raw.history_days = Some(28);
            raw.target
                .push(serde_json::from_value(gauge).expect("a rule"));
        })
        .training_by(|request, progress, cancelled| {
            // A network that has learned nothing yet outweighs the week before.
            let request = TrainRequest {
                budget: Budget::default(),
                ..request.clone()
            };
            train_host(&request, progress, cancelled)
        })
        .start();
    app.retrained(&["web-1"]).await;
    for (metric, idle, busy) in [
        ("pool.queue", 20.0, 60.0),
        ("net.bytes_recv%7Binterface%3Deth0%7D", 2e5, 1e6),
    ] {
        let forecast = median(&app, metric).await;
        let (mut off, mut naive) = (0.0, 0.0);
        // The busy hours that it reaches: one to seven.
        for (step, value) in forecast.iter().enumerate().skip(2 * 12) {
            let time_s = now_s + 300 * step as i64;
            let last_monday = at_work(time_s - 7 * DAY_S, idle, busy);
            off += (value - last_monday).abs();
            naive += (at_work(time_s - DAY_S, idle, busy) - last_monday).abs();
        }
        assert!(
            off < 0.5 * naive,
            "{metric}: {off} against {naive}: {forecast:?}"
        );
    }
    app.stop().await;
}

#[tokio::test]
async fn a_clock_that_is_behind_makes_data_that_is_late() {
    let folder = tempfile::tempdir().expect("a folder");
    let behind = HostSpec {
        silent_s: 40 * 60,
        ..HostSpec::default()
    };
    let gateway = FakeGateway::start(&[("slow-1", behind)]).await;
    let app = Setup::new(folder.path(), &gateway).start();
    let newest = |answer: &Value| {
        let cpu = &answer["forecasts"][0];
        assert_eq!(cpu["status"], "stale", "{cpu}");
        assert_eq!(cpu["timestamps"][0], cpu["data_until"]);
        let until = cpu["data_until"].as_str().expect("a time");
        chrono::DateTime::parse_from_rfc3339(until)
            .expect("a time")
            .timestamp()
    };
    let path = "/api/v1/hosts/slow-1/forecasts?target=cpu.usage";
    let first_s = newest(&app.ok(path).await);
    // The step of its newest point is whole in its own time alone.
    assert_eq!(first_s, (NOW_S - 40 * 60) / 300 * 300 + 300);
    // It goes on: the clock is behind, the host is not silent.
    gateway.pass(600);
    assert_eq!(newest(&app.ok(path).await), first_s + 600);
    app.stop().await;
}

#[tokio::test]
async fn a_host_whose_clock_is_more_than_an_hour_ahead_is_told_of_until_its_time_comes() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = FakeGateway::start(&[]).await;
    let points = |from_s: i64| {
        (from_s..from_s + HOUR_S)
            .step_by(60)
            .map(|time_s| (time_s, 50.0))
    };
    gateway.send(Readings::idle("near-1", points(NOW_S - HOUR_S / 2)));
    gateway.send(Readings::idle("far-1", points(NOW_S + 2 * HOUR_S)));
    let (settings, clock, client) = Setup::new(folder.path(), &gateway).parts();
    let fleet = Fleet::new(settings.forecasting.rules, client, clock);
    let known = fleet.refresh().await.expect("an answer");
    assert_eq!(known.keys().collect::<Vec<_>>(), ["near-1"]);
    let ahead = fleet.ahead();
    assert_eq!(
        ahead,
        [("far-1".to_owned(), NOW_S + 3 * HOUR_S - 60)].into()
    );
    gateway.pass(2 * HOUR_S);
    let known = fleet.refresh().await.expect("an answer");
    assert_eq!(known.keys().collect::<Vec<_>>(), ["far-1", "near-1"]);
    assert!(fleet.ahead().is_empty());
}

#[tokio::test]
async fn a_tag_that_vanished_leaves_the_list_after_fourteen_days() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = FakeGateway::start(&[]).await;
    let hourly = |from_s: i64, until_s: i64| {
        (from_s..until_s)
            .step_by(3_600)
            .map(|time_s| (time_s, 50.0))
    };
    gateway.send(Readings::idle(
        "db-1",
        hourly(NOW_S - DAY_S, NOW_S + 20 * DAY_S),
    ));
    let tags = [("host", "db-1"), ("path", "/old"), ("fstype", "ext4")];
    let old = hourly(NOW_S - DAY_S, NOW_S);
    gateway.send(Readings::new(["disk", "used_percent"], &tags, old));
    let (settings, clock, client) = Setup::new(folder.path(), &gateway).parts();
    let fleet = Fleet::new(settings.forecasting.rules, client, clock);
    let metrics = async || {
        let known = fleet.refresh().await.expect("an answer");
        let targets = known["db-1"].targets.iter();
        targets
            .map(|target| target.metric.clone())
            .collect::<Vec<_>>()
    };
    let both = ["cpu.usage", "disk.used_percent{path=/old}"];
    gateway.pass(14 * DAY_S - 2 * HOUR_S);
    assert_eq!(metrics().await, both);
    gateway.pass(2 * HOUR_S);
    assert_eq!(metrics().await, both[..1]);
}
