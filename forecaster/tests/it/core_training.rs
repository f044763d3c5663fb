//! Training a host and serving it, without a service around.

use std::sync::{Arc, Mutex};

use headroom_forecaster::{
    ensemble::Standings,
    fleet_base::FleetBase,
    forecast::{PredictError, predict, predict_by},
    host_model::HostModel,
    model::{Base, Shape},
    model_kind::{EncoderKind, ModelKind},
    progress::{Event, Progress},
    quantile::{HORIZON_STEPS, LEVELS, QuantilePath},
    registry::Registry,
    target::Kind,
    training::{Budget, TrainError, TrainRequest, fleet::PASSES, train_host},
};
use tokio_util::sync::CancellationToken;

use crate::support::histories::{DAY, grid, host, recent, target, wave};

fn train(request: &TrainRequest) -> HostModel {
    train_host(request, &(), &CancellationToken::new()).expect("a host that can be trained")
}

#[test]
fn the_network_learns_what_seasonal_naive_cannot_know() {
    let mut request = host(10);
    request.budget = Budget {
        epochs_max: 8,
        batches_per_epoch: 25,
        batch_windows: 32,
    };
    let model = train(&request);
    let cpu = model.manifest().target("cpu.usage").expect("a target");
    let lstm = &cpu.scores[&ModelKind::Lstm];
    let day = &cpu.scores[&ModelKind::SeasonalNaiveDay];
    assert_eq!(cpu.serves, ModelKind::Ensemble);
    assert_eq!(cpu.fallback_reason, None);
    let weights = &cpu.ensemble.as_ref().expect("an ensemble").weights;
    assert!((weights.values().sum::<f64>() - 1.0).abs() < 1e-9);
    for part in weights.keys() {
        assert!(cpu.scores.contains_key(part), "{part:?} is not scored");
    }
    let ensemble = &cpu.scores[&ModelKind::Ensemble];
    assert!(
        ensemble.crps < 0.9 * day.crps,
        "{} {}",
        ensemble.crps,
        day.crps
    );
    // The naive forecast pays for two days' noise and for where the level wandered in a day.
    assert!(lstm.mae < 0.8 * day.mae, "{} against {}", lstm.mae, day.mae);
    assert!(lstm.crps < lstm.mae, "a spread must be worth something");
    assert_eq!(lstm.n_origins, day.n_origins);
    assert!((lstm.baseline_mae - day.mae).abs() < 1e-12);
    assert!(lstm.mase.is_some_and(|mase| mase > 0.0 && mase < 1.0));
    assert!(lstm.coverage80 > 0.6 && lstm.coverage95 > lstm.coverage80);
}

#[tokio::test]
async fn a_base_tells_how_far_it_is_over_all_its_kinds() {
    let folder = tempfile::tempdir().expect("a folder");
    let registry = Registry::open(folder.path()).expect("a registry");
    let (mut request, tcn) = (host(6), Shape::of(EncoderKind::Tcn));
    request.targets.truncate(1);
    let extra = Base::untaught(tcn, 1).expect("weights");
    let base = FleetBase::load(registry, Arc::clone(&request.base), vec![Arc::new(extra)]);
    let shares: Arc<Mutex<Vec<f64>>> = Arc::default();
    let heard = Arc::clone(&shares);
    let told = move |share| heard.lock().expect("nobody panicked").push(share);
    base.fit(vec![request], 1, told, CancellationToken::new())
        .await
        .expect("fitted");
    let shares = shares.lock().expect("nobody panicked");
    assert_eq!(shares.len(), 2 * PASSES);
    assert!(shares.is_sorted(), "{shares:?}");
    assert_eq!((shares[PASSES - 1], shares[2 * PASSES - 1]), (0.5, 1.0));
}

#[test]
fn the_same_seed_makes_the_same_model() {
    let request = host(6);
    let (one, other) = (train(&request), train(&request));
    assert_eq!(one.manifest(), other.manifest());
    assert!(one.manifest().network.is_some());
    let another = train(&TrainRequest { seed: 8, ..request });
    assert_ne!(one.manifest().network, another.manifest().network);
}

#[test]
fn what_is_kept_back_never_reaches_the_fit() {
    let request = host(8);
    let mut changed = request.clone();
    for (_, grid) in &mut changed.targets {
        let test_start = grid.values.len() * 4 / 5 + 1;
        for value in &mut grid.values[test_start..] {
            *value = 90.0 - *value;
        }
    }
    let fitted = |request| {
        let network = train(request).manifest().network.clone();
        let network = network.expect("a network");
        (network.epoch, network.validation_loss)
    };
    assert_eq!(fitted(&request), fitted(&changed));
}

#[test]
fn a_target_that_cannot_be_forecast_never_sinks_its_host() {
    let mut request = host(6);
    let steps = 6 * DAY;
    let mut young = vec![f32::NAN; steps];
    young[steps - 100..].fill(1.0);
    let mut vanished = wave(steps, 3.0, 5);
    vanished[steps - 300..].fill(f32::NAN);
    for (name, values) in [
        ("missing", vec![f32::NAN; steps]),
        ("young", young),
        ("vanished", vanished),
        ("constant", vec![5.0; steps]),
    ] {
        request
            .targets
            .push((target(name, Kind::Gauge), grid(values)));
    }
    let model = train(&request);
    let manifest = model.manifest();
    let refused: Vec<_> = manifest
        .refused
        .iter()
        .map(|refused| (refused.metric.as_str(), refused.reason.as_str()))
        .collect();
    assert_eq!(refused.len(), 3, "{refused:?}");
    assert!(refused[0].1.contains("no value at all"), "{refused:?}");
    assert!(refused[1].1.contains("100 values"), "{refused:?}");
    assert!(refused[2].1.contains("silent"), "{refused:?}");

    let constant = manifest.target("constant").expect("a target");
    assert_eq!(constant.serves, ModelKind::Persistence);
    assert!(constant.fallback_reason.is_some() && constant.scores.is_empty());
    let forecasts = predict(&model, &recent(&request), 12);
    let constant = forecasts[5].as_ref().expect("a forecast");
    assert!(
        constant
            .path
            .levels()
            .iter()
            .flatten()
            .all(|v| (v - 5.0).abs() < 1e-9)
    );
    assert!(matches!(
        &forecasts[2],
        Err(PredictError::Unknown {
            reason: Some(_),
            ..
        })
    ));
}

#[test]
fn a_young_target_is_served_by_seasonal_naive() {
    let mut request = host(8);
    let mut values = vec![f32::NAN; 8 * DAY];
    let young = wave(2 * DAY, 10.0, 9);
    values[6 * DAY..].copy_from_slice(&young);
    request
        .targets
        .push((target("disk.used_percent", Kind::Percent), grid(values)));
    let model = train(&request);
    let disk = model
        .manifest()
        .target("disk.used_percent")
        .expect("a target");
    assert_eq!(disk.serves, ModelKind::SeasonalNaiveDay);
    assert!(
        disk.fallback_reason
            .as_ref()
            .is_some_and(|reason| reason.contains("576 steps"))
    );
    assert!(predict(&model, &recent(&request), 96)[2].is_ok());
}

#[test]
fn a_history_too_short_names_what_would_do() {
    let mut request = host(6);
    for (_, grid) in &mut request.targets {
        grid.values.truncate(200);
    }
    let error = train_host(&request, &(), &CancellationToken::new()).expect_err("too short");
    let message = error.to_string();
    assert!(
        message.contains("200 values") && message.contains("at least 384"),
        "{message}"
    );
}

#[test]
fn grids_of_unlike_steps_are_refused() {
    let mut request = host(6);
    request.targets[1].1.step_s = 60;
    let error = train_host(&request, &(), &CancellationToken::new()).expect_err("unlike steps");
    assert!(matches!(
        error,
        TrainError::StepsDiffer {
            one_s: 300,
            other_s: 60,
            ..
        }
    ));
}

#[test]
fn a_cancelled_training_makes_no_model() {
    let cancelled = CancellationToken::new();
    cancelled.cancel();
    let error = train_host(&host(6), &(), &cancelled).expect_err("cancelled");
    assert!(matches!(error, TrainError::Cancelled { .. }));
}

#[test]
fn progress_tells_of_every_epoch_and_target() {
    struct Heard(Mutex<Vec<Event>>);
    impl Progress for Heard {
        fn report(&self, event: Event) {
            self.0.lock().expect("no panic").push(event);
        }
    }
    let heard = Heard(Mutex::new(Vec::new()));
    train_host(&host(6), &heard, &CancellationToken::new()).expect("a model");
    let events = heard.0.into_inner().expect("no panic");
    let shares: Vec<f64> = events.iter().map(Event::share_done).collect();
    assert!(shares.is_sorted() && shares.last().is_some_and(|share| *share <= 1.0));
    let epochs = events
        .iter()
        .filter(|event| matches!(event, Event::Fitted { .. }));
    assert_eq!(epochs.count(), Budget::tiny().epochs_max);
}

#[test]
fn a_short_horizon_is_the_beginning_of_a_long_one() {
    let request = host(6);
    let model = train(&request);
    let recent = recent(&request);
    let whole = predict(&model, &recent, HORIZON_STEPS);
    for (short, whole) in predict(&model, &recent, 7).into_iter().zip(whole) {
        let (short, whole) = (short.expect("a forecast"), whole.expect("a forecast"));
        assert_eq!(short.timestamps_s, whole.timestamps_s[..7]);
        assert_eq!(
            (short.model, short.path),
            (whole.model, whole.path.truncated(7))
        );
    }
}

#[test]
fn forecasts_are_sorted_bounded_and_follow_the_newest_value() {
    let mut request = host(6);
    // A percentage at its upper bound half of the day.
    for value in &mut request.targets[0].1.values {
        *value = (*value * 2.0).min(100.0);
    }
    let model = train(&request);
    let mut recent = recent(&request);
    // The newest hour has not come yet.
    let steps = recent[0].1.values.len();
    recent[0].1.values[steps - 12..].fill(f32::NAN);
    for (answer, (target, grid)) in predict(&model, &recent, 200).iter().zip(&recent) {
        let forecast = answer.as_ref().expect("a forecast");
        assert_eq!(forecast.metric, target.metric);
        assert_eq!(forecast.path.steps(), HORIZON_STEPS);
        assert_eq!(forecast.path.levels().len(), LEVELS.len());
        assert_eq!(
            Some(forecast.data_until_s),
            grid.newest().map(|(_, end_s)| end_s)
        );
        assert_eq!(forecast.timestamps_s[0], forecast.data_until_s);
        assert_eq!(forecast.timestamps_s[95], forecast.data_until_s + 95 * 300);
        let (low, high) = target.kind.bounds();
        for step in 0..HORIZON_STEPS {
            let values: Vec<f64> = forecast.path.levels().iter().map(|l| l[step]).collect();
            assert!(values.is_sorted(), "{values:?}");
            assert!(
                values
                    .iter()
                    .all(|v| low <= *v && *v <= high && v.is_finite())
            );
        }
    }
}

#[test]
fn the_network_is_not_asked_about_what_it_cannot_see() {
    let mut request = host(10);
    request.budget.epochs_max = 6;
    let model = train(&request);
    let Some(place) = request.targets.iter().position(|(target, _)| {
        model
            .manifest()
            .target(&target.metric)
            .is_some_and(|t| t.serves == ModelKind::Ensemble)
    }) else {
        panic!(
            "the network serves neither target: {:?}",
            model.manifest().targets
        );
    };
    let mut recent = recent(&request);
    let steps = recent[place].1.values.len();
    recent[place].1.values[steps - 250..steps - 1].fill(f32::NAN);
    let forecast = predict(&model, &recent, 48)[place]
        .clone()
        .expect("a forecast");
    assert_eq!(forecast.model, ModelKind::SeasonalNaiveDay);
    assert!(
        forecast
            .fallback_reason
            .is_some_and(|reason| reason.contains("too few for ensemble"))
    );

    let error = predict(
        &model,
        &[(recent[place].0.clone(), grid(vec![f32::NAN; 300]))],
        48,
    );
    assert!(matches!(
        error[0],
        Err(PredictError::Silent { steps: 300, .. })
    ));
    let error = predict(
        &model,
        &[(recent[place].0.clone(), grid(vec![1.0; 100]))],
        48,
    );
    assert!(matches!(
        error[0],
        Err(PredictError::HistoryTooShort { have: 100, .. })
    ));
}

#[test]
fn what_the_members_said_before_is_asked_once_and_holds_until_a_value_changes() {
    let request = host(8);
    let model = train(&request);
    let mut recent = recent(&request);
    let standings = Standings::default();
    let place = recent
        .iter()
        .position(|(target, _)| {
            let known = model.manifest().target(&target.metric);
            known.is_some_and(|known| known.serves == ModelKind::Ensemble)
        })
        .expect("an ensemble");
    let path = |recent: &[_], standings: &Standings| {
        let answer = predict_by(&model, standings, recent, HORIZON_STEPS).swap_remove(place);
        answer.expect("a forecast").path
    };
    // A batch of another size sums in another order, in single precision.
    let distance = |one: &QuantilePath, other: &QuantilePath| {
        let values = one.levels().iter().flatten();
        let beside = values.zip(other.levels().iter().flatten());
        beside.fold(0.0, |most, (one, other)| {
            f64::max(most, (one - other).abs())
        })
    };
    let first = path(&recent, &standings);
    assert!(distance(&first, &path(&recent, &standings)) < 1e-3);
    assert!(distance(&first, &path(&recent, &Standings::default())) < 1e-3);
    // What came late within the last four hours was off by far.
    let values = &mut recent[place].1.values;
    let end = values.len();
    values[end - 40..end - 20].fill(99.0);
    let late = path(&recent, &standings);
    assert!(distance(&late, &path(&recent, &Standings::default())) < 1e-3);
    assert!(distance(&late, &first) > 0.1);
}
