//! Choosing what serves a target.

use super::NETWORK_STEPS_MIN;
use crate::manifest::{ModelKind, TargetModel};

/// What is no difference: this share of the mean absolute seasonal difference of the training part. Where the newest
/// part of a series is all but flat, every candidate is right, and the smallest number says nothing.
const TOLERANCE: f64 = 0.01;

/// Lets the candidate serve whose distribution is the best (CRPS) among those whose point forecast is no worse than
/// seasonal naive's (MAE, within [`TOLERANCE`] of `scale`): an answer's own error never loses to that of the baseline
/// beside it. Between candidates that are alike within the tolerance the network serves. Without a backtest the
/// day's naive forecast serves.
///
/// The choice is made at the origins whose scores are published, so the winner's scores flatter it a little: by
/// the noise of a comparison of three or four.
pub(super) fn choose(model: &mut TargetModel, scale: f64, history_steps: usize) {
    let tolerance = TOLERANCE * scale;
    let preferred = |kind: ModelKind| {
        if kind == ModelKind::Lstm {
            tolerance
        } else {
            0.0
        }
    };
    let best = model
        .scores
        .iter()
        .filter(|(_, scores)| scores.mae <= scores.baseline_mae + tolerance)
        .map(|(kind, scores)| (*kind, scores.crps - preferred(*kind)))
        .min_by(|(_, one), (_, other)| one.total_cmp(other))
        .map(|(kind, _)| kind);
    let first = model.naive.keys().next().copied();
    model.serves = best.or(first).unwrap_or(ModelKind::Persistence);
    let has_network = matches!(model.serves, ModelKind::Lstm | ModelKind::Ensemble);
    model.fallback_reason = (!has_network).then(|| reason(model, history_steps));
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
