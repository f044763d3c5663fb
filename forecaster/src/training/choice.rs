//! Choosing what serves a target.

use super::NETWORK_STEPS_MIN;
use crate::{
    backtest::Scores,
    manifest::{ModelKind, TargetModel},
};

/// Lets the candidate serve whose distribution is the best (CRPS) among those whose point forecast is no worse than
/// seasonal naive's (MAE): an answer's own error never loses to that of the baseline beside it. Without a backtest the
/// day's naive forecast serves.
///
/// The choice is made at the origins whose scores are published, so the winner's scores flatter it a little: by
/// the noise of a comparison of two or three.
pub(super) fn choose(model: &mut TargetModel, history_steps: usize) {
    let best = model
        .scores
        .iter()
        .filter(|(_, scores)| scores.mae <= scores.baseline_mae)
        .min_by(|(_, one), (_, other)| one.crps.total_cmp(&other.crps))
        .or_else(|| {
            let by_mae = |one: &Scores, other: &Scores| one.mae.total_cmp(&other.mae);
            model
                .scores
                .iter()
                .min_by(|(_, one), (_, other)| by_mae(one, other))
        })
        .map(|(kind, _)| *kind);
    let first = model.naive.keys().next().copied();
    model.serves = best.or(first).unwrap_or(ModelKind::Persistence);
    model.fallback_reason = (model.serves != ModelKind::Lstm).then(|| reason(model, history_steps));
}

fn reason(model: &TargetModel, history_steps: usize) -> String {
    let served = model.served_scores();
    match (model.scores.get(&ModelKind::Lstm), served) {
        (Some(lstm), Some(served)) => format!(
            "{} was better than the lstm over {} origins: MAE {:.4} against {:.4}, CRPS {:.4} against {:.4}",
            model.serves.name(),
            served.n_origins,
            served.mae,
            lstm.mae,
            served.crps,
            lstm.crps
        ),
        _ if model.series.is_some() => "no value came to score the lstm by".to_owned(),
        _ => format!(
            "the history of {history_steps} steps has no part of {NETWORK_STEPS_MIN} steps that changes and lies before \
             what is kept back, which the lstm needs to learn from"
        ),
    }
}
