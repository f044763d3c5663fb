//! The gate: a new model beside the one that serves, at origins that neither has seen.

use std::sync::{Arc, Mutex};

use headroom_forecaster::{
    forecast::{PredictError, TargetForecast, predict},
    grid::Grid,
    host_model::HostModel,
    manifest::{Manifest, Verdict},
    target::Target,
    training::{Incumbent, TrainRequest, train_host},
};
use tokio_util::sync::CancellationToken;

use crate::support::{
    histories::{DAY, START_S, host},
    prophet::Prophet,
};

const STEP_S: i64 = 300;
const HORIZON_STEPS: i64 = 96;

/// A model outside of any registry.
#[derive(Debug)]
struct Trained(HostModel);

impl Incumbent for Trained {
    fn version(&self) -> &'static str {
        "000007"
    }

    fn manifest(&self) -> &Manifest {
        self.0.manifest()
    }

    fn predict(
        &self,
        recent: &[(Target, Grid)],
        steps: usize,
    ) -> Vec<Result<TargetForecast, PredictError>> {
        predict(&self.0, recent, steps)
    }
}

/// Trains a host of twelve days beside a champion that was trained `age` days before, of the first `known` of its targets.
fn beside(age: usize, known: usize, off: f64) -> (Verdict, Arc<Prophet>) {
    let request = host(12);
    let cut = |grid: &Grid| Grid {
        values: grid.values[..grid.values.len() - age * DAY].to_vec(),
        ..grid.clone()
    };
    let earlier = TrainRequest {
        targets: request.targets[..known]
            .iter()
            .map(|(target, grid)| (target.clone(), cut(grid)))
            .collect(),
        ..request.clone()
    };
    let train = |request: &TrainRequest| {
        train_host(request, &(), &CancellationToken::new()).expect("a model")
    };
    let champion = Arc::new(Prophet {
        champion: Arc::new(Trained(train(&earlier))),
        known: request.targets.clone(),
        off,
        origins: Mutex::default(),
    });
    let request = TrainRequest {
        champion: Some(Arc::clone(&champion) as _),
        ..request
    };
    let verdict = train(&request).manifest().gate.clone().expect("a verdict");
    (verdict, champion)
}

#[test]
fn a_champion_that_is_clearly_better_stays() {
    let (verdict, champion) = beside(2, 2, 0.01);
    assert!(!verdict.promoted, "{verdict:?}");
    assert_eq!(verdict.champion, "000007");
    assert!(verdict.crps_ratio.expect("a ratio") > 1.05);
    let cpu = &verdict.targets["cpu.usage"];
    assert!((cpu.champion.mae - 0.01).abs() < 1e-4, "{cpu:?}");
    assert!(cpu.champion.crps < cpu.challenger.crps);
    // Whatever the champion has learned from lies a horizon before every origin that it is judged at.
    let end_s = START_S + (10 * DAY) as i64 * STEP_S;
    let origins = champion.origins.lock().expect("nobody panicked").clone();
    assert!(origins.len() >= 2 * cpu.n_origins);
    for origin_s in origins {
        assert!(origin_s >= end_s + HORIZON_STEPS * STEP_S, "{origin_s}");
        assert!(origin_s + HORIZON_STEPS * STEP_S <= end_s + (2 * DAY) as i64 * STEP_S);
    }
}

#[test]
fn a_champion_that_is_worse_gives_way() {
    let (verdict, _) = beside(2, 2, 60.0);
    assert!(verdict.promoted, "{verdict:?}");
    assert!(verdict.crps_ratio.expect("a ratio") < 1.0);
    assert_eq!(verdict.targets.len(), 2);
    // Seasonal naive and the ensemble's parts stand beside the two, at the same origins.
    for (target, compared) in &verdict.targets {
        let naive = compared.seasonal_naive.expect("the day before is known");
        assert!(
            naive.crps > 0.0 && naive.mae < compared.champion.mae,
            "{target}: {compared:?}"
        );
        for part in ["lstm", "auto_theta", "persistence"] {
            assert!(compared.parts.contains_key(part), "{target}: {compared:?}");
        }
        assert!(
            !compared.parts.contains_key("seasonal_naive_day"),
            "{compared:?}"
        );
    }
    assert!(
        verdict.reason.contains("of seasonal naive's"),
        "{}",
        verdict.reason
    );
}

#[test]
fn a_target_that_only_the_new_model_knows_decides_where_the_others_do_not_speak_against_it() {
    let (better, _) = beside(2, 1, 0.01);
    assert!(!better.promoted, "{better:?}");
    assert!(better.crps_ratio.expect("a ratio") > 1.05);
    let (worse, _) = beside(2, 1, 60.0);
    assert!(worse.promoted, "{worse:?}");
    let (young, _) = beside(0, 1, 0.01);
    assert!(young.promoted && young.crps_ratio.is_none(), "{young:?}");
    for verdict in [better, worse, young] {
        assert!(
            verdict.reason.contains("net.bytes_recv"),
            "{}",
            verdict.reason
        );
    }
}

#[test]
fn where_too_little_is_told_a_champion_stays_while_its_data_is_young() {
    let (young, champion) = beside(0, 2, 60.0);
    assert!(!young.promoted && young.crps_ratio.is_none(), "{young:?}");
    assert!(young.reason.contains("0 origins"), "{}", young.reason);
    assert!(champion.origins.lock().expect("nobody panicked").is_empty());

    // Two and a half days of history have too few origins, whatever the age of the champion.
    let first = |steps: usize, champion| {
        let whole = host(3);
        let targets = whole.targets.iter().map(|(target, grid)| {
            let values = grid.values[..steps].to_vec();
            (target.clone(), Grid { values, ..*grid })
        });
        let request = TrainRequest {
            targets: targets.collect(),
            champion,
            ..whole
        };
        train_host(&request, &(), &CancellationToken::new()).expect("a model")
    };
    let beside = |champion: usize| {
        let champion: Arc<dyn Incumbent> = Arc::new(Trained(first(champion, None)));
        let model = first(5 * DAY / 2, Some(champion));
        model.manifest().gate.clone().expect("a verdict")
    };
    let half_a_day = beside(2 * DAY);
    assert!(
        !half_a_day.promoted && half_a_day.crps_ratio.is_none(),
        "{half_a_day:?}"
    );
    let a_day = beside(3 * DAY / 2);
    assert!(a_day.promoted && a_day.crps_ratio.is_none(), "{a_day:?}");
}
