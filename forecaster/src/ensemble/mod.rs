//! A target's ensemble: the network, the naive forecasts and the statistical models, pooled.
//!
//! 1. The [`members`](Paths) answer at origins behind what they were fitted on, each a [`Sitting`].
//! 2. Their weights are those with which the pool's CRPS was least there, drawn towards weights that hold for many hosts
//!    (`weights`).
//! 3. The pool (`pool`) is wider than its members where they disagree; conformal factors for each step draw it to what
//!    it promises ([`Widening`]).
//! 4. At an answer the members are first asked what they would have said four hours ago. Those that were right gain weight,
//!    and all intervals grow or shrink with the share of values that fell outside: so the ensemble follows a series that
//!    drifts, without being trained anew (in the sense of the scale tracker of Angelopoulos, Candès & Tibshirani 2023;
//!    Gibbs & Candès 2021).
//! 5. Where the series has stood still for these four hours, the median is the value that it stands at, wherever the pool
//!    is no further from it than the network usually errs. A network ends near such a value and never on it, and the
//!    likeliest value of a series that rests is exactly that one; a change that the members foresee is larger and stays.
//!
//! 6. How the steps of a pooled answer go together follows from how earlier ones erred ([`Dependence`]).
//!
//! Training and service ask by the same code.

mod members;
mod pool;
mod standing;
mod weights;

use std::{cmp::Ordering, collections::BTreeMap};

use serde::{Deserialize, Serialize};

pub use self::{
    members::{Paths, Statistical, answers},
    standing::{PastKey, Standing, Standings},
};
use crate::{
    backtest::ScoreSheet,
    baseline::Rhythm,
    joint::Dependence,
    model_kind::ModelKind,
    quantile::{LEVELS, MEDIAN, QuantilePath},
    target::Kind,
    widening::Widening,
};

/// How long ago the recent forecast was made that an answer learns from: four hours, all of which have come.
pub const RECENT_STEPS: usize = 48;

/// How fast a weight follows the recent forecast's error: by `e` where a member was off by the usual error more than
/// the network.
const WEIGHT_RATE: f64 = 1.0;

/// The share of the usual error in the unit of a recent one.
const USUAL_SHARE: f64 = 0.3;

/// How fast the intervals follow the share of recent values outside the one of 80 %.
const WIDTH_RATE: f64 = 0.5;

/// The interval that is watched: of 80 %, by its levels.
const WATCHED: (usize, usize) = (1, LEVELS.len() - 2);

/// The share of values that may lie outside it.
const OUTSIDE: f64 = 0.2;

/// Of so many equal values among the recent ones, and no other, a series is taken to stand still.
const STILL_MIN: usize = RECENT_STEPS / 2;

/// What the members answered at an origin, and what came behind it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sitting {
    /// The step of the first value that is forecast.
    pub origin: usize,
    /// The answers.
    pub paths: Paths,
    /// What came, as far as it is known; NaN where missing.
    pub came: Vec<f32>,
}

/// How a target's members are pooled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ensemble {
    /// The weights of the members, which add up to 1.
    pub weights: BTreeMap<ModelKind, f64>,
    /// The network's mean CRPS at the origins that the weights were found at, in the metric's own unit.
    pub usual_crps: f64,
    /// How the pool's intervals are drawn.
    pub widening: Widening,
    /// How the errors of its answers hang together from step to step; the default where a model was made without it.
    #[serde(default)]
    pub dependence: Dependence,
}

impl Ensemble {
    /// Finds weights and widening from sittings in the order of their origins, of which none was learned from; `None`
    /// without two members that answered wherever the network did. `rhythm` is that of all values that may be known.
    #[must_use]
    pub fn fit(sittings: &[Sitting], rhythm: Option<Rhythm>, kind: Kind) -> Option<Self> {
        let judged: Vec<&Sitting> = sittings
            .iter()
            .filter(|sitting| sitting.paths.contains_key(&ModelKind::Lstm))
            .collect();
        let first = judged.first()?;
        let everywhere = |kind: &&ModelKind| judged.iter().all(|s| s.paths.contains_key(*kind));
        let members = first.paths.keys().filter(everywhere).copied();
        let members: Vec<ModelKind> = members.filter(|kind| weights::is_member(*kind)).collect();
        if members.len() < 2 {
            return None;
        }
        let weights = weights::weights(&members, &judged, rhythm);
        let mut network = ScoreSheet::default();
        for sitting in &judged {
            network.add(&sitting.paths[&ModelKind::Lstm], &sitting.came);
        }
        let mut ensemble = Self {
            weights: members.into_iter().zip(weights).collect(),
            usual_crps: network.crps()?,
            widening: Widening::default(),
            dependence: Dependence::default(),
        };
        // The pool is drawn to what it promises first as it is, then with what follows from recent forecasts.
        ensemble.widening = ensemble.calibrated(sittings, kind);
        ensemble.widening = ensemble.calibrated(sittings, kind);
        Some(ensemble)
    }

    /// Finds how the errors of the pool's answers at the sittings that it was fitted on hang together.
    #[must_use]
    pub fn joined(mut self, sittings: &[Sitting], kind: Kind) -> Self {
        let centered = sittings.iter().filter_map(|sitting| {
            let recent = recent_of(sittings, sitting.origin);
            let path = self.answer(&sitting.paths, recent, kind)?;
            let came = sitting.came.iter().take(path.steps()).enumerate();
            let centered = came.map(|(step, came)| path.centered_rank(step, f64::from(*came)));
            Some(centered.collect())
        });
        self.dependence = Dependence::fit(&centered.collect::<Vec<Vec<f64>>>());
        self
    }

    /// Pools the members' answers; `recent` is what they would have answered [`RECENT_STEPS`] before, and what came.
    /// `None` where no member answered.
    #[must_use]
    pub fn answer(
        &self,
        paths: &Paths,
        recent: Option<&Sitting>,
        kind: Kind,
    ) -> Option<QuantilePath> {
        self.answer_by(paths, &self.standing(recent), kind)
    }

    /// Returns what an answer learns from what the members would have answered [`RECENT_STEPS`] before, and what came.
    #[must_use]
    pub fn standing(&self, recent: Option<&Sitting>) -> Standing {
        Standing {
            errors: recent.map_or_else(BTreeMap::new, recent_crps),
            drift: self.drift(recent),
            still: recent.and_then(still),
        }
    }

    /// Pools the members' answers by how right they were lately, for as many steps as each of them has; `None` where no member
    /// answered.
    #[must_use]
    pub fn answer_by(
        &self,
        paths: &Paths,
        standing: &Standing,
        kind: Kind,
    ) -> Option<QuantilePath> {
        let members = self.weighed_by(paths, &standing.errors);
        let steps = members.iter().map(|(_, path)| path.steps()).min()?;
        let values = pool::pooled(&members, 0..steps);
        let drawn = self.drawn(&values, standing.drift);
        let rests_at = |step: usize| {
            let is_near = |still: &f64| (values[step][MEDIAN] - still).abs() <= self.usual_crps;
            standing.still.filter(is_near)
        };
        Some(QuantilePath::from_fn(values.len(), kind, |level, step| {
            let value = drawn(step, level);
            match (rests_at(step), level.cmp(&MEDIAN)) {
                (None, _) => value,
                (Some(still), Ordering::Less) => value.min(still),
                (Some(still), Ordering::Equal) => still,
                (Some(still), Ordering::Greater) => value.max(still),
            }
        }))
    }

    /// Weighs the members that answered, by what they said before.
    fn weighed<'a>(
        &self,
        paths: &'a Paths,
        recent: Option<&Sitting>,
    ) -> Vec<(f64, &'a QuantilePath)> {
        self.weighed_by(paths, &recent.map_or_else(BTreeMap::new, recent_crps))
    }

    /// Weighs the members that answered, by the errors that each made lately.
    fn weighed_by<'a>(
        &self,
        paths: &'a Paths,
        errors: &BTreeMap<ModelKind, f64>,
    ) -> Vec<(f64, &'a QuantilePath)> {
        let network = errors.get(&ModelKind::Lstm).copied();
        let weighed = self.weights.iter().filter_map(|(member, weight)| {
            let path = paths.get(member)?;
            let gain = match (network, errors.get(member)) {
                (Some(network), Some(error)) => {
                    let unit = (network + USUAL_SHARE * self.usual_crps).max(f64::MIN_POSITIVE);
                    (-WEIGHT_RATE * (error - network) / unit).exp()
                }
                _ => 1.0,
            };
            Some((weight * gain, path))
        });
        let weighed: Vec<_> = weighed.collect();
        let total: f64 = weighed.iter().map(|(weight, _)| weight).sum();
        // Every member may have failed beyond what a float can tell apart.
        if total > 0.0 { weighed } else { Vec::new() }
    }

    /// Returns by what the intervals are drawn for what fell outside them in the recent forecast.
    fn drift(&self, recent: Option<&Sitting>) -> f64 {
        let Some(recent) = recent else {
            return 1.0;
        };
        let members = self.weighed(&recent.paths, None);
        if members.is_empty() {
            return 1.0;
        }
        let known = recent.came.len().min(RECENT_STEPS);
        let values = pool::pooled(&members, 0..known);
        let drawn = self.drawn(&values, 1.0);
        let (mut seen, mut outside) = (0.0, 0.0);
        for (step, came) in recent.came[..known].iter().enumerate() {
            if !came.is_nan() {
                let came = f64::from(*came);
                seen += 1.0;
                if came < drawn(step, WATCHED.0) || came > drawn(step, WATCHED.1) {
                    outside += 1.0;
                }
            }
        }
        if seen > 0.0 {
            (WIDTH_RATE * (outside / seen - OUTSIDE)).exp()
        } else {
            1.0
        }
    }

    /// Draws pooled values apart about their medians, by step and level.
    fn drawn<'a>(
        &'a self,
        values: &'a [[f64; LEVELS.len()]],
        drift: f64,
    ) -> impl Fn(usize, usize) -> f64 + 'a {
        move |step, level| {
            let median = values[step][MEDIAN];
            let factor = f64::from(self.widening.factor(step, level)) * drift;
            median + (values[step][level] - median) * factor
        }
    }

    /// Finds the factors that draw the pools at sittings to what they promise.
    fn calibrated(&self, sittings: &[Sitting], kind: Kind) -> Widening {
        let mut quantiles = Vec::new();
        let mut answers = Vec::new();
        let unit = self.usual_crps.max(f64::MIN_POSITIVE);
        let is_first = self.widening == Widening::default();
        for sitting in sittings {
            let recent = recent_of(sittings, sitting.origin);
            let members = self.weighed(&sitting.paths, recent);
            if members.is_empty() {
                continue;
            }
            let drift = if is_first { 1.0 } else { self.drift(recent) };
            let values = pool::pooled(&members, pool::all_steps());
            for step in pool::all_steps() {
                let median = values[step][MEDIAN];
                let scaled = |value: f64| (kind.clamp(value) - median) / unit;
                let drawn = |value: f64| scaled(median + (value - median) * drift);
                quantiles.extend(values[step].map(|value| drawn(value) as f32));
                let came = sitting.came.get(step).copied().unwrap_or(f32::NAN);
                answers.push(if came.is_nan() {
                    came
                } else {
                    scaled(f64::from(came)) as f32
                });
            }
        }
        Widening::fit(&quantiles, &answers)
    }
}

/// Returns the sitting that an answer at `origin` learns from.
#[must_use]
pub fn recent_of(sittings: &[Sitting], origin: usize) -> Option<&Sitting> {
    let before = origin.checked_sub(RECENT_STEPS)?;
    let place = sittings.binary_search_by_key(&before, |sitting| sitting.origin);
    place.ok().map(|place| &sittings[place])
}

/// The value that a series has stood at since a sitting; `None` where it moved, or too little came.
fn still(recent: &Sitting) -> Option<f64> {
    let known = recent.came.len().min(RECENT_STEPS);
    let observed = || recent.came[..known].iter().filter(|value| !value.is_nan());
    let first = observed().next()?;
    let stands = observed().all(|value| value.total_cmp(first).is_eq());
    (stands && observed().count() >= STILL_MIN).then_some(f64::from(*first))
}

/// The CRPS of each member in what came right behind a sitting; empty where nothing did.
fn recent_crps(recent: &Sitting) -> BTreeMap<ModelKind, f64> {
    let known = recent.came.len().min(RECENT_STEPS);
    let crps = recent.paths.iter().filter_map(|(member, path)| {
        let mut sheet = ScoreSheet::default();
        sheet.add(path, &recent.came[..known]);
        Some((*member, sheet.crps()?))
    });
    crps.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantile::HORIZON_STEPS;

    use ModelKind::{Lstm, SeasonalNaiveDay as Day};

    fn path(center: f64) -> QuantilePath {
        QuantilePath::from_fn(HORIZON_STEPS, Kind::Rate, |level, _| {
            center + 4.0 * (LEVELS[level] - 0.5)
        })
    }

    /// The network says 10 and the naive forecast 20 at origins two hours apart; what came lies evenly about the
    /// network's median, `reach` to either side.
    fn sittings(reach: f32) -> Vec<Sitting> {
        let one = |place: usize| Sitting {
            origin: 24 * place,
            paths: [(Lstm, path(10.0)), (Day, path(20.0))].into(),
            came: (0..HORIZON_STEPS)
                .map(|step| 10.0 + reach * (((step * 37 + place * 11) % 97) as f32 / 48.0 - 1.0))
                .collect(),
        };
        (0..40).map(one).collect()
    }

    fn fitted(reach: f32) -> Ensemble {
        Ensemble::fit(&sittings(reach), None, Kind::Rate).expect("two members")
    }

    fn answer(ensemble: &Ensemble, recent: Option<&Sitting>) -> QuantilePath {
        let now = &sittings(1.0)[0];
        let answer = ensemble.answer(&now.paths, recent, Kind::Rate);
        answer.expect("two members")
    }

    fn width(path: &QuantilePath) -> f64 {
        path.levels()[WATCHED.1][0] - path.levels()[WATCHED.0][0]
    }

    #[test]
    fn weights_add_up_to_one_and_the_better_member_leads() {
        let ensemble = fitted(2.0);
        assert!((ensemble.weights.values().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!(ensemble.weights[&Lstm] > 0.6, "{:?}", ensemble.weights);
        assert!(ensemble.weights[&Day] > 0.0);
        let median = answer(&ensemble, None).median()[0];
        assert!((median - 10.0).abs() < 2.0, "{median}");
    }

    #[test]
    fn the_pool_is_drawn_to_hold_what_it_promises() {
        let (ensemble, sittings) = (fitted(2.0), sittings(2.0));
        let mut sheet = ScoreSheet::default();
        for sitting in &sittings {
            let recent = recent_of(&sittings, sitting.origin);
            let path = ensemble.answer(&sitting.paths, recent, Kind::Rate);
            sheet.add(&path.expect("two members"), &sitting.came);
        }
        let scores = sheet.scores(&sheet, 1.0).expect("values");
        assert!(
            (scores.coverage80 - 0.8).abs() < 0.07,
            "{}",
            scores.coverage80
        );
    }

    #[test]
    fn errors_that_last_are_expected_to_last() {
        let lasting = |place: usize| {
            let level = 10.0 + ((place * 11) % 40) as f32 / 10.0 - 2.0;
            Sitting {
                came: vec![level; HORIZON_STEPS],
                ..sittings(2.0).remove(place)
            }
        };
        let lasting: Vec<Sitting> = (0..40).map(lasting).collect();
        let found = |sittings: &[Sitting]| {
            let ensemble = Ensemble::fit(sittings, None, Kind::Rate).expect("two members");
            ensemble.joined(sittings, Kind::Rate).dependence
        };
        let (lasting, fleeting) = (found(&lasting), found(&sittings(2.0)));
        assert!(
            lasting.share_percent >= 90 && lasting.decay_steps >= 48,
            "{lasting:?}"
        );
        assert!(fleeting.share_percent <= 50, "{fleeting:?}");
    }

    #[test]
    fn an_ensemble_that_was_written_without_a_dependence_is_joined_as_most_series_are() {
        let ensemble = fitted(2.0);
        let mut written = serde_json::to_value(&ensemble).expect("JSON");
        let fields = written.as_object_mut().expect("fields");
        assert!(fields.remove("dependence").is_some());
        let read: Ensemble = serde_json::from_value(written).expect("an ensemble");
        assert_eq!(read.dependence, Dependence::default());
    }

    #[test]
    fn what_was_right_lately_gains_weight() {
        let ensemble = fitted(2.0);
        let now = sittings(2.0).remove(0);
        let share = |recent: Option<&Sitting>| {
            let weighed = ensemble.weighed(&now.paths, recent);
            weighed[1].0 / (weighed[0].0 + weighed[1].0)
        };
        let mut recent = now.clone();
        recent.came.fill(20.0);
        let (usual, gained) = (share(None), share(Some(&recent)));
        assert!(gained > 1.3 * usual, "{gained} {usual}");
        assert!(share(Some(&now)) < usual);
    }

    #[test]
    fn intervals_follow_what_fell_outside_lately() {
        let ensemble = fitted(2.0);
        let drift = |reach: f32| ensemble.drift(sittings(reach).first());
        assert!(drift(40.0) > 1.2, "{}", drift(40.0));
        assert!(drift(0.1) < 0.95, "{}", drift(0.1));
        let none = Sitting {
            came: vec![f32::NAN; RECENT_STEPS],
            ..sittings(1.0).remove(0)
        };
        assert!((ensemble.drift(Some(&none)) - 1.0).abs() < 1e-12);
        let calm = answer(&ensemble, sittings(0.1).first());
        assert!(width(&calm) < width(&answer(&ensemble, None)));
    }

    #[test]
    fn a_series_that_stands_still_is_expected_to_where_nothing_else_is_foreseen() {
        let ensemble = fitted(2.0);
        let near = 10.0 + 0.5 * ensemble.usual_crps as f32;
        let far = 10.0 + 5.0 * ensemble.usual_crps as f32;
        for (value, rests) in [(near, true), (far, false)] {
            let mut recent = sittings(2.0).remove(0);
            recent.came.fill(value);
            let path = answer(&ensemble, Some(&recent));
            let is_there = |median: &f64| (median - f64::from(value)).abs() < f64::EPSILON;
            assert_eq!(path.median().iter().all(is_there), rests, "{value}");
            assert!(path.column(0).is_sorted());
            recent.came[17] += 0.01;
            let moved = answer(&ensemble, Some(&recent));
            assert!(!moved.median().iter().any(is_there), "{value}");
        }
    }

    #[test]
    fn a_member_that_cannot_answer_leaves_its_share_to_the_others() {
        let ensemble = fitted(2.0);
        let alone = ensemble.answer(&[(Day, path(20.0))].into(), None, Kind::Rate);
        assert!((alone.expect("a member").median()[3] - 20.0).abs() < 0.1);
        assert_eq!(ensemble.answer(&Paths::new(), None, Kind::Rate), None);
        let mut one = sittings(1.0);
        for sitting in &mut one {
            sitting.paths.remove(&Day);
        }
        assert_eq!(Ensemble::fit(&one, None, Kind::Rate), None);
    }
}
