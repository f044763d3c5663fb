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

/// Trains a host of `days` beside a champion that was trained `age` days before.
fn beside(days: usize, age: usize, off: f64) -> (Verdict, Arc<Prophet>) {
    let request = host(days);
    let cut = |grid: &Grid| Grid {
        values: grid.values[..grid.values.len() - age * DAY].to_vec(),
        ..grid.clone()
    };
    let earlier = TrainRequest {
        targets: request
            .targets
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
    let (verdict, champion) = beside(12, 2, 0.01);
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
    let (verdict, _) = beside(12, 2, 60.0);
    assert!(verdict.promoted, "{verdict:?}");
    assert!(verdict.crps_ratio.expect("a ratio") < 1.0);
    assert_eq!(verdict.targets.len(), 2);
}

#[test]
fn a_champion_that_has_seen_the_newest_part_cannot_be_compared() {
    let (verdict, champion) = beside(12, 0, 0.0);
    assert!(
        verdict.promoted && verdict.crps_ratio.is_none(),
        "{verdict:?}"
    );
    assert!(verdict.reason.contains("0 origins"), "{}", verdict.reason);
    assert!(champion.origins.lock().expect("nobody panicked").is_empty());
}
