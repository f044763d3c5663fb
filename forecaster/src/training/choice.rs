//! Choosing what serves a target.

use super::NETWORK_STEPS_MIN;
use crate::{backtest::Scores, manifest::TargetModel, model_kind::ModelKind};

/// What is no difference: this share of the mean absolute seasonal difference of the training part. Where the newest
/// part of a series is all but flat, every candidate is right, and the smallest number says nothing.
const TOLERANCE: f64 = 0.1;

/// How much worse than seasonal naive's a point forecast may be and still serve: what the origins of a test part
/// tell apart.
const MAE_RATIO_MAX: f64 = 1.05;

/// How much better than the ensemble's the distribution of a part of it must be to take its place. A few origins
/// flatter the simplest forecasts, which over many hosts are the worse ones.
const CRPS_RATIO_MAX: f64 = 0.9;

/// Lets the ensemble serve (without one the network), unless its point forecast is worse than seasonal naive's (MAE,
/// [`MAE_RATIO_MAX`]) or a part's distribution is clearly better (CRPS, [`CRPS_RATIO_MAX`]); then the candidate with
/// the best distribution, of those whose point forecast is good enough, serves. Differences within [`TOLERANCE`] of
/// `scale` count as none. Without a backtest the day's naive forecast serves.
///
/// A week's repetition never serves alone where there is an ensemble: the origins of two or three weeks cannot tell
/// whether it will go on. The newest value and the theta model are parts of the ensemble only.
///
/// The choice is made at the origins whose scores are published, so the winner's scores flatter it a little: by
/// the noise of a comparison of a few.
pub(super) fn choose(model: &mut TargetModel, scale: f64, history_steps: usize) {
    let tolerance = TOLERANCE * scale;
    let has_ensemble = model.scores.contains_key(&ModelKind::Ensemble);
    let first = if has_ensemble {
        ModelKind::Ensemble
    } else {
        ModelKind::Lstm
    };
    let may_serve = |kind: ModelKind| match kind {
        ModelKind::SeasonalNaiveWeek => !has_ensemble,
        ModelKind::Persistence | ModelKind::AutoTheta => false,
        _ => true,
    };
    let is_good = |scores: &Scores| scores.mae <= MAE_RATIO_MAX * scores.baseline_mae + tolerance;
    let handicapped = |kind: ModelKind, crps: f64| {
        if kind == first {
            CRPS_RATIO_MAX * crps - tolerance
        } else {
            crps
        }
    };
    let best = model
        .scores
        .iter()
        .filter(|(kind, scores)| may_serve(**kind) && is_good(scores))
        .map(|(kind, scores)| (*kind, handicapped(*kind, scores.crps)))
        .min_by(|(_, one), (_, other)| one.total_cmp(other))
        .map(|(kind, _)| kind);
    let naive = model.naive.keys().next().copied();
    model.serves = best.or(naive).unwrap_or(ModelKind::Persistence);
    let has_network = model.serves.encoder().is_some();
    model.fallback_reason = (!has_network).then(|| reason(model, history_steps));
}

fn reason(model: &TargetModel, history_steps: usize) -> String {
    let served = model.served_scores();
    let mut scores = model.scores.iter();
    match (scores.find(|(kind, _)| kind.is_network()), served) {
        (Some((kind, network)), Some(served)) => format!(
            "{} was better than the {} over {} origins: MAE {:.4} against {:.4}, CRPS {:.4} against {:.4}",
            model.serves.name(),
            kind.name(),
            served.n_origins,
            served.mae,
            network.mae,
            served.crps,
            network.crps
        ),
        _ if model.series.is_some() => "no value came to score the network by".to_owned(),
        _ => format!(
            "the history of {history_steps} steps has no part of {NETWORK_STEPS_MIN} steps that changes and lies before \
             what is kept back, which the network needs to learn from"
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{baseline::SeasonalNaive, ensemble::Statistical, target::Kind};

    fn chosen(scores: &[(ModelKind, f64, f64)], scale: f64) -> ModelKind {
        let baseline_mae = scores[0].1;
        let scores = scores.iter().map(|(kind, mae, crps)| {
            let scores = Scores {
                mae: *mae,
                rmse: *mae,
                mase: None,
                crps: *crps,
                coverage80: 0.8,
                coverage95: 0.95,
                n_origins: 20,
                baseline_mae,
                skill: None,
            };
            (*kind, scores)
        });
        let mut model = TargetModel {
            metric: "cpu.usage".to_owned(),
            kind: Kind::Percent,
            unit: "%".to_owned(),
            serves: ModelKind::Persistence,
            fallback_reason: None,
            scores: scores.collect(),
            naive: [(
                ModelKind::SeasonalNaiveDay,
                SeasonalNaive::fit(&[1.0, 2.0, 3.0], 1).expect("values"),
            )]
            .into(),
            statistical: Statistical::default(),
            ensemble: None,
            series: None,
        };
        choose(&mut model, scale, 4_032);
        model.serves
    }

    use ModelKind::{Ensemble, Lstm, SeasonalNaiveDay as Day, SeasonalNaiveWeek as Week};

    #[test]
    fn the_ensemble_serves_unless_a_part_is_clearly_better() {
        let with = |lstm: f64| [(Day, 2.0, 1.9), (Lstm, 1.0, lstm), (Ensemble, 1.1, 1.0)];
        assert_eq!(chosen(&with(0.95), 0.0), Ensemble);
        assert_eq!(chosen(&with(0.8), 0.0), Lstm);
    }

    #[test]
    fn a_week_never_serves_alone_beside_an_ensemble() {
        let scores = [(Day, 2.0, 1.9), (Week, 0.1, 0.1), (Ensemble, 1.0, 0.9)];
        assert_eq!(chosen(&scores, 0.0), Ensemble);
        assert_eq!(chosen(&scores[..2], 0.0), Week);
    }

    #[test]
    fn the_network_serves_unless_another_is_clearly_better() {
        assert_eq!(chosen(&[(Day, 2.0, 1.9), (Lstm, 1.0, 0.8)], 1.0), Lstm);
        assert_eq!(chosen(&[(Day, 2.0, 1.9), (Lstm, 1.9, 2.0)], 0.0), Lstm);
        assert_eq!(chosen(&[(Day, 2.0, 1.0), (Lstm, 1.9, 2.0)], 0.0), Day);
    }

    #[test]
    fn a_worse_point_forecast_gives_way_to_what_is_good_enough() {
        let scores = [(Day, 2.0, 1.9), (Lstm, 2.3, 1.5), (Ensemble, 2.0, 1.6)];
        assert_eq!(chosen(&scores, 0.0), Ensemble);
        assert_eq!(chosen(&scores[..2], 0.0), Day);
    }

    #[test]
    fn a_flat_newest_part_says_nothing_against_the_network() {
        assert_eq!(chosen(&[(Day, 0.0, 0.0), (Lstm, 0.05, 0.04)], 1.0), Lstm);
        assert_eq!(chosen(&[(Day, 0.0, 0.0), (Lstm, 0.5, 0.4)], 1.0), Day);
    }

    #[test]
    fn without_a_backtest_the_naive_forecast_serves() {
        let mut model = TargetModel {
            naive: [(Day, SeasonalNaive::persistence())].into(),
            ..newcomer()
        };
        choose(&mut model, 1.0, 500);
        assert_eq!(model.serves, Day);
        assert!(
            model
                .fallback_reason
                .is_some_and(|reason| reason.contains("500 steps"))
        );
    }

    fn newcomer() -> TargetModel {
        let target = crate::config::default_rules()[0]
            .target
            .target(&BTreeMap::new());
        TargetModel::of_newcomer(&target, &[1.0, 1.0], "none")
    }
}
