//! The weights of a target's ensemble, from origins that come before those that are scored.
//!
//! Each member is judged at the origins of the validation part, which the network was stopped by and never learned
//! from. Its weight goes with the inverse square of its CRPS there, drawn a quarter of the way towards equal weights:
//! few origins say little, and equal weights are hard to beat (Clemen 1989).

use std::collections::BTreeMap;

use super::{history::History, naive};
use crate::{
    backtest::ScoreSheet,
    manifest::ModelKind,
    quantile::{HORIZON_STEPS, QuantilePath},
};

/// How far the weights are drawn towards equal ones.
const SHRINKAGE: f64 = 0.25;

/// A member whose error vanishes still gets a finite weight.
const CRPS_SHARE_MIN: f64 = 1e-3;

/// Finds the weights of the network, whose answers at the validation origins are given, and of the naive forecasts;
/// empty when fewer than two members can be judged.
pub(super) fn weights(
    history: &History,
    network: &[Option<QuantilePath>],
) -> BTreeMap<ModelKind, f64> {
    let Some(split) = history.split else {
        return BTreeMap::new();
    };
    let values = &history.grid.values;
    let naive = naive::fit(&values[..split.training_end]);
    let mut sheets: BTreeMap<ModelKind, ScoreSheet> = BTreeMap::new();
    for (origin, path) in split.validation_origins().zip(network) {
        let (known, came) = values.split_at(origin);
        let came = &came[..HORIZON_STEPS.min(split.validation_end - origin)];
        let answers = naive.iter().map(|(kind, naive)| {
            let path = naive.predict(known, HORIZON_STEPS, history.target.kind);
            (*kind, path)
        });
        let answers: Option<Vec<_>> = [(ModelKind::Lstm, path.clone())]
            .into_iter()
            .chain(answers)
            .map(|(kind, path)| Some((kind, path?)))
            .collect();
        // Members are compared where all of them answer.
        for (kind, path) in answers.into_iter().flatten() {
            sheets.entry(kind).or_default().add(&path, came);
        }
    }
    let judged: Vec<(ModelKind, f64)> = sheets
        .iter()
        .filter_map(|(kind, sheet)| Some((*kind, sheet.crps()?)))
        .collect();
    shrunk(&judged)
}

/// Makes weights of CRPS values that add up to 1.
fn shrunk(judged: &[(ModelKind, f64)]) -> BTreeMap<ModelKind, f64> {
    let worst = judged.iter().map(|(_, crps)| *crps).fold(0.0, f64::max);
    if judged.len() < 2 || worst <= 0.0 {
        return BTreeMap::new();
    }
    let inverse = |crps: f64| crps.max(CRPS_SHARE_MIN * worst).powi(-2);
    let total: f64 = judged.iter().map(|(_, crps)| inverse(*crps)).sum();
    let equal = 1.0 / judged.len() as f64;
    judged
        .iter()
        .map(|(kind, crps)| {
            let own = inverse(*crps) / total;
            (*kind, (1.0 - SHRINKAGE) * own + SHRINKAGE * equal)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_follow_the_inverse_error_and_are_drawn_towards_equal() {
        let weights = shrunk(&[(ModelKind::Lstm, 1.0), (ModelKind::SeasonalNaiveDay, 2.0)]);
        // Inverse squares are 1 and 1/4: 0.8 and 0.2, a quarter of the way to 0.5.
        assert!((weights[&ModelKind::Lstm] - 0.725).abs() < 1e-12);
        assert!((weights[&ModelKind::SeasonalNaiveDay] - 0.275).abs() < 1e-12);
    }

    #[test]
    fn a_member_without_error_leaves_the_others_their_share_of_equal() {
        let weights = shrunk(&[(ModelKind::Lstm, 0.5), (ModelKind::SeasonalNaiveDay, 0.0)]);
        assert!((weights.values().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!(weights[&ModelKind::Lstm] >= 0.125);
    }

    #[test]
    fn one_member_is_no_ensemble() {
        assert!(shrunk(&[(ModelKind::Lstm, 1.0)]).is_empty());
        assert!(shrunk(&[(ModelKind::Lstm, 0.0), (ModelKind::SeasonalNaiveDay, 0.0)]).is_empty());
    }
}
