//! Who needs a retrain most: hosts without a model, then those whose forecasts have drifted from their backtest.

use std::sync::Arc;

use crate::{
    champions::{Champion, Champions},
    discovery::{Host, Hosts},
    gateway::Gateway,
    grid::STEP_S,
    history::Span,
    quality::{self, AtLead},
};

/// The time whose forecasts are compared with what came.
const DAY_S: i64 = 86_400;

/// Orders hosts by need; equals keep the order of their names.
pub async fn ordered(
    hosts: &Hosts,
    champions: &Champions,
    gateway: &Gateway,
    now_s: i64,
) -> Vec<String> {
    let mut needs = Vec::new();
    for (name, host) in hosts {
        let need = match champions.of(name) {
            None => f64::INFINITY,
            Some(champion) => drift(name, host, &champion, gateway, now_s).await,
        };
        needs.push((name.clone(), need));
    }
    needs.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    needs.into_iter().map(|(name, _)| name).collect()
}

/// The greatest error of a target's forecasts in the last day, in units of its backtest's; 0 where none were written or
/// the gateway does not answer, which is no reason to leave the host out.
async fn drift(
    name: &str,
    host: &Host,
    champion: &Arc<Champion>,
    gateway: &Gateway,
    now_s: i64,
) -> f64 {
    let span = Span::before(now_s, DAY_S as usize / STEP_S as usize);
    let measured = match quality::measure(gateway, name, &host.targets, span, DAY_S).await {
        Ok(measured) => measured,
        Err(error) => {
            tracing::debug!(host = %name, %error, "the drift of the host is unknown");
            return 0.0;
        }
    };
    let ratios = host
        .targets
        .iter()
        .zip(&measured)
        .filter_map(|(target, leads)| {
            let backtest = champion
                .manifest()
                .target(&target.metric)?
                .served_scores()?;
            ratio(leads, backtest.mae)
        });
    ratios.fold(0.0, f64::max)
}

/// The error at the longest lead that has one, in units of the backtest's, which looks as far ahead.
fn ratio(leads: &[AtLead], backtest_mae: f64) -> Option<f64> {
    let seen = leads.iter().rev().find_map(|lead| lead.whole.mae())?;
    (backtest_mae > 0.0).then(|| seen / backtest_mae)
}
