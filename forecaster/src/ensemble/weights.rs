//! The weights of an ensemble, from origins that none of its members was fitted on.
//!
//! The continuous ranked probability score of a linear pool is a square form of the weights (Gneiting & Raftery 2007,
//! equation 21, the energy form): with X, X' drawn from the members i, j and the value y that came,
//!
//! ```text
//! crps(w) = Σ w_i E|X_i − y| − ½ Σ w_i w_j E|X_i − X'_j|
//! ```
//!
//! so that the best weights follow from two tables of means. They are drawn towards what is known to work over many
//! hosts: few origins say little.

use super::{Sitting, pool::MASSES};
use crate::{
    baseline::Rhythm,
    model_kind::ModelKind,
    quantile::{LEVELS, QuantilePath},
};

/// Every so many steps of a horizon count; neighbours say the same.
const STEP_STRIDE: usize = 4;

/// How hard the weights are drawn to where they begin, against a loss in units of the network's own.
const SHRINKAGE: f64 = 2.0;

const ITERATIONS: usize = 200;

const RATE: f64 = 0.5;

/// How fast the week gains on the day where values differ less from those a week before than from those a day before.
const RHYTHM_POWER: i32 = 3;

/// Where a member's weight begins: measured over the development hosts, and the same for all.
fn prior(kind: ModelKind) -> f64 {
    match kind {
        ModelKind::Lstm => 0.45,
        ModelKind::SeasonalNaiveDay => 0.3,
        ModelKind::SeasonalNaiveWeek => 0.05,
        ModelKind::Persistence | ModelKind::AutoTheta => 0.1,
        ModelKind::Tcn
        | ModelKind::Attention
        | ModelKind::Base
        | ModelKind::Ensemble
        | ModelKind::AutoEts
        | ModelKind::MstlEts
        | ModelKind::AutoSarima => 0.0,
    }
}

/// Where it begins in a series of which the rhythm is known: the day and the week divide what both have.
///
/// The origins of an ensemble seldom hold more than one end of a week. The whole past says more: the odds of the week
/// grow with the third power of the day's differences over the week's.
fn prior_in(kind: ModelKind, rhythm: Rhythm) -> f64 {
    let (day, week) = (
        prior(ModelKind::SeasonalNaiveDay),
        prior(ModelKind::SeasonalNaiveWeek),
    );
    let [by_day, by_week] = [rhythm.day, rhythm.week].map(|off| off.max(f64::MIN_POSITIVE));
    let odds = week / day * (by_day / by_week).powi(RHYTHM_POWER);
    let weeks = (day + week) / (1.0 + odds.recip());
    match kind {
        ModelKind::SeasonalNaiveDay => day + week - weeks,
        ModelKind::SeasonalNaiveWeek => weeks,
        other => prior(other),
    }
}

/// Returns whether a kind can have a weight.
pub(super) fn is_member(kind: ModelKind) -> bool {
    prior(kind) > 0.0
}

/// The means that the score of a pool is made of.
struct Means {
    /// `E|X_i − y|` by member.
    off: Vec<f64>,
    /// `E|X_i − X'_j|` by pair of members.
    apart: Vec<Vec<f64>>,
}

/// Finds the weights of members that answered at every sitting, in their order; they add up to 1.
pub(super) fn weights(
    members: &[ModelKind],
    sittings: &[&Sitting],
    rhythm: Option<Rhythm>,
) -> Vec<f64> {
    let begin = |kind| rhythm.map_or(prior(kind), |rhythm| prior_in(kind, rhythm));
    let prior = normalised(members.iter().map(|kind| begin(*kind)).collect());
    let means = Means::of(members, sittings);
    let unit = members
        .iter()
        .position(|kind| *kind == ModelKind::Lstm)
        .map_or(0.0, |network| means.off[network]);
    if unit <= 0.0 {
        return prior;
    }
    descend(&means, unit, &prior)
}

/// Goes down the score by exponentiated gradients (Kivinen & Warmuth 1997), which keep weights positive.
fn descend(means: &Means, unit: f64, prior: &[f64]) -> Vec<f64> {
    let mut weights = prior.to_vec();
    for _ in 0..ITERATIONS {
        let gradient: Vec<f64> = (0..weights.len())
            .map(|member| {
                let apart = means.apart[member].iter().zip(&weights);
                let spread: f64 = apart.map(|(apart, weight)| apart * weight).sum();
                (means.off[member] - spread) / unit + SHRINKAGE * (weights[member] - prior[member])
            })
            .collect();
        let mean: f64 = gradient.iter().zip(&weights).map(|(g, w)| g * w).sum();
        let moved = weights.iter().zip(&gradient);
        let moved = moved.map(|(weight, slope)| weight * (-RATE * (slope - mean)).exp());
        weights = normalised(moved.collect());
    }
    weights
}

fn normalised(mut weights: Vec<f64>) -> Vec<f64> {
    let total: f64 = weights.iter().sum();
    for weight in &mut weights {
        *weight /= total;
    }
    weights
}

impl Means {
    fn of(members: &[ModelKind], sittings: &[&Sitting]) -> Self {
        let count = members.len();
        let mut means = Self {
            off: vec![0.0; count],
            apart: vec![vec![0.0; count]; count],
        };
        let mut steps = 0.0;
        for sitting in sittings {
            let paths: Vec<&QuantilePath> = members
                .iter()
                .filter_map(|kind| sitting.paths.get(kind))
                .collect();
            let came = sitting.came.iter().enumerate().step_by(STEP_STRIDE);
            for (step, came) in came.filter(|(_, came)| !came.is_nan()) {
                steps += 1.0;
                means.add(&paths, step, f64::from(*came));
            }
        }
        let each = means.off.iter_mut().chain(means.apart.iter_mut().flatten());
        each.for_each(|sum| *sum /= f64::max(steps, 1.0));
        means
    }

    fn add(&mut self, paths: &[&QuantilePath], step: usize, came: f64) {
        let columns: Vec<_> = paths.iter().map(|path| path.column(step)).collect();
        for (member, values) in columns.iter().enumerate() {
            self.off[member] += distance(values, &[came], &[1.0]);
            for (other, beside) in columns.iter().enumerate().skip(member) {
                let distance = distance(values, beside, &MASSES);
                self.apart[member][other] += distance;
                if other != member {
                    self.apart[other][member] += distance;
                }
            }
        }
    }
}

/// Returns the mean distance of a value drawn from a member from one drawn from others with their masses.
fn distance(values: &[f64; LEVELS.len()], others: &[f64], masses: &[f64]) -> f64 {
    let mut sum = 0.0;
    for (value, mass) in values.iter().zip(MASSES) {
        for (other, other_mass) in others.iter().zip(masses) {
            sum += mass * other_mass * (value - other).abs();
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{quantile::HORIZON_STEPS, target::Kind};

    const MEMBERS: [ModelKind; 2] = [ModelKind::Lstm, ModelKind::SeasonalNaiveDay];

    /// Sittings at which the network says 1 and the naive forecast 0, and `value` comes.
    fn sittings(value: f32) -> Vec<Sitting> {
        let about = |center: f64| {
            QuantilePath::from_fn(HORIZON_STEPS, Kind::Gauge, |level, _| {
                center + 0.2 * (LEVELS[level] - 0.5)
            })
        };
        let one = |origin| Sitting {
            origin,
            paths: [(MEMBERS[0], about(1.0)), (MEMBERS[1], about(0.0))].into(),
            came: vec![value; HORIZON_STEPS],
        };
        (0..3).map(one).collect()
    }

    fn found(value: f32) -> Vec<f64> {
        let sittings = sittings(value);
        weights(&MEMBERS, &sittings.iter().collect::<Vec<_>>(), None)
    }

    #[test]
    fn the_better_member_gains_and_the_other_keeps_a_share() {
        // Weights begin at 0.6 and 0.4.
        let (right, wrong) = (found(1.0), found(0.0));
        assert!(right[0] > 0.65 && right[1] > 0.01, "{right:?}");
        assert!(wrong[0] < 0.5 && wrong[0] > 0.01, "{wrong:?}");
        for weights in [right, wrong] {
            assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn without_a_value_the_weights_stay_where_they_begin() {
        let weights = found(f32::NAN);
        assert!((weights[0] - 0.6).abs() < 1e-12, "{weights:?}");
    }

    #[test]
    fn the_week_takes_the_days_share_where_the_past_repeats_by_the_week() {
        let members = [
            ModelKind::Lstm,
            ModelKind::SeasonalNaiveDay,
            ModelKind::SeasonalNaiveWeek,
        ];
        let begun = |day, week| weights(&members, &[], Some(Rhythm { day, week }));
        let (weekly, even, flat) = (begun(4.0, 1.0), begun(1.0, 1.0), begun(0.0, 0.0));
        assert!(weekly[2] > 0.38 && weekly[1] < 0.05, "{weekly:?}");
        assert!(even[2] < 0.07 && even[1] > 0.35, "{even:?}");
        assert_eq!(flat, even);
        assert!((begun(1.0, 0.0)[2] - 0.35 / 0.8).abs() < 1e-12);
        assert!((weekly.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }
}
