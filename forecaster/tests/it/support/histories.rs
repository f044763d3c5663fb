//! Made-up hosts: histories with a daily rhythm, a level that wanders, and noise, all by seed.

use std::{collections::BTreeMap, f64::consts::TAU, sync::Arc};

use headroom_forecaster::{
    grid::Grid,
    model::Base,
    target::{Kind, Target, TargetRule, default_rules},
    training::{Budget, Recipe, TrainRequest},
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A Monday, midnight UTC.
pub(crate) const START_S: i64 = 1_767_571_200;

pub(crate) const DAY: usize = 288;

pub(crate) fn target(name: &str, kind: Kind) -> Target {
    let rule = TargetRule {
        name: name.to_owned(),
        kind,
        ..default_rules().remove(1)
    };
    Arc::new(rule).target(&BTreeMap::new())
}

pub(crate) fn grid(values: Vec<f32>) -> Grid {
    Grid {
        start_s: START_S,
        step_s: 300,
        values,
    }
}

/// A daily wave of the given height about a level that wanders, between 0 and 100.
pub(crate) fn wave(steps: usize, height: f64, seed: u64) -> Vec<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut level = 40.0;
    (0..steps)
        .map(|step| {
            level += 0.4 * (random.random::<f64>() - 0.5) + 0.002 * (40.0 - level);
            let daily = height * (step as f64 / DAY as f64 * TAU).sin();
            let noise = 2.0 * (random.random::<f64>() - 0.5);
            (level + daily + noise).clamp(0.0, 100.0) as f32
        })
        .collect()
}

/// A host of two waves, a percentage and a rate.
pub(crate) fn host(days: usize) -> TrainRequest {
    let steps = days * DAY;
    TrainRequest {
        host: "web-1".to_owned(),
        targets: vec![
            (
                target("cpu.usage", Kind::Percent),
                grid(wave(steps, 20.0, 1)),
            ),
            (
                target("net.bytes_recv", Kind::Rate),
                grid(wave(steps, 5.0, 2)),
            ),
        ],
        seed: 7,
        trained_at_s: START_S + steps as i64 * 300,
        budget: Budget::tiny(),
        base: Arc::new(Base::shipped().expect("a base")),
        extra: Vec::new(),
        recipe: Recipe::default(),
        champion: None,
    }
}

/// The newest eight days of a host's targets.
pub(crate) fn recent(request: &TrainRequest) -> Vec<(Target, Grid)> {
    let newest = |grid: &Grid| {
        let from = grid.values.len().saturating_sub(8 * DAY);
        Grid {
            start_s: grid.time_of(from),
            step_s: grid.step_s,
            values: grid.values[from..].to_vec(),
        }
    };
    let targets = request.targets.iter();
    targets
        .map(|(target, grid)| (target.clone(), newest(grid)))
        .collect()
}
