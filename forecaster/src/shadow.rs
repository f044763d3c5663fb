//! Challengers on trial: they forecast whenever the champion does, nobody is told, and what comes decides.
//!
//! What a challenger expects is written into a measurement of its own ([`writeback::ASIDE`]), one, four and eight hours
//! ahead, as the champion's is into [`writeback::AT_LEAD`]. When the trial's time is over, both are compared with what
//! came, at the instants for which both wrote: forecasts of the same instants, made at the same time from the same
//! history. Where too little came to tell, the trial goes on, up to [`LENGTHS_MAX`] times its length. A restart loses
//! nothing of it.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    champions::Contest,
    gateway::GatewayError,
    grid::STEP_S,
    history::Span,
    manifest::{Compared, Judged, Verdict},
    metrics::Metrics,
    quality::{self, Errors},
    registry::Trial,
    serving::{ServeError, Serving},
    target::Target,
    training::gate::geometric_mean_ratio,
    writeback,
};

/// The forecasts of a target, over all leads, without which it says nothing: an hour of the shortest.
const COMPARED_MIN: usize = 12;

/// A trial that could not be judged for so many times its length ends without a judgement: the champion stays. A host on trial
/// is not retrained by schedule, and one that is silent or away would never be again.
pub const LENGTHS_MAX: i64 = 3;

/// Says whether a trial is over, whatever is known by then.
#[must_use]
pub fn is_overdue(trial: &Trial, now_s: i64) -> bool {
    now_s >= trial.since_s + LENGTHS_MAX * (trial.until_s - trial.since_s)
}

/// Lets challengers forecast, and judges them.
pub struct Shadow {
    /// What forecasts, and what knows the challengers.
    pub serving: Arc<Serving>,
    /// Where verdicts are counted.
    pub metrics: Arc<Metrics>,
}

impl Shadow {
    /// Lets the challenger of a host forecast, where there is one, and ends its trial when its time is over.
    ///
    /// # Errors
    ///
    /// When the gateway is away or refuses.
    pub async fn visit(&self, host: &str) -> Result<(), GatewayError> {
        let Some(contest) = self.serving.champions.contest(host) else {
            return Ok(());
        };
        let challenger = Arc::clone(&contest.challenger);
        match self.serving.aside(host, challenger).await {
            Ok(forecast) => {
                let lines = writeback::lines_aside(&forecast);
                self.serving.gateway.write(lines).await?;
            }
            Err(ServeError::Gateway(error)) => return Err(error),
            Err(error) => tracing::debug!(%host, %error, "the challenger has no forecast"),
        }
        let now_s = self.serving.clock.now_s();
        if now_s >= contest.trial.until_s {
            self.judge(host, &contest, now_s).await?;
        }
        Ok(())
    }

    /// Judges a challenger; where too little came to tell, its trial goes on until it is overdue.
    async fn judge(&self, host: &str, contest: &Contest, now_s: i64) -> Result<(), GatewayError> {
        let Some(known) = self.serving.fleet.host(host) else {
            return Ok(());
        };
        let steps = (now_s - contest.trial.since_s) / i64::from(STEP_S) + 1;
        let span = Span::before(now_s, steps as usize);
        let errors = quality::beside(&self.serving.gateway, host, &known.targets, span).await?;
        let verdict = match verdict(&contest.trial.champion, &known.targets, &errors) {
            Some(verdict) => verdict,
            None if is_overdue(&contest.trial, now_s) => undecided(&contest.trial),
            None => {
                tracing::debug!(%host, "the trial goes on: too little came to tell");
                return Ok(());
            }
        };
        tracing::info!(%host, challenger = %contest.trial.challenger, promoted = verdict.promoted, reason = %verdict.reason,
            "a trial has ended");
        let champions = Arc::clone(&self.serving.champions);
        let (name, version) = (host.to_owned(), contest.challenger.version.clone());
        let promoted = verdict.promoted;
        let decided =
            tokio::task::spawn_blocking(move || champions.decide(&name, &version, verdict)).await;
        match decided {
            Ok(Ok(_)) => self.metrics.judged(promoted),
            Ok(Err(error)) => tracing::error!(%host, %error, "a trial cannot be ended"),
            Err(error) => tracing::error!(%host, %error, "a trial cannot be ended"),
        }
        Ok(())
    }
}

/// Compares the champion's errors and the challenger's, by target; `None` when too little came.
fn verdict(champion: &str, targets: &[Target], errors: &[(Errors, Errors)]) -> Option<Verdict> {
    let mut compared = BTreeMap::new();
    let mut ratios = Vec::new();
    for (target, (served, aside)) in targets.iter().zip(errors) {
        let n_origins = served.count;
        let (Some(served), Some(aside)) = (judged(served), judged(aside)) else {
            continue;
        };
        if n_origins >= COMPARED_MIN {
            ratios.push((aside.crps, served.crps));
            let pair = Compared {
                n_origins,
                champion: served,
                challenger: aside,
                seasonal_naive: None,
                parts: BTreeMap::new(),
            };
            compared.insert(target.metric.clone(), pair);
        }
    }
    let ratio = geometric_mean_ratio(&ratios)?;
    Some(Verdict {
        champion: champion.to_owned(),
        promoted: ratio <= 1.0,
        reason: format!(
            "CRPS is {ratio:.3} of that of version {champion}, over {} targets whose forecasts were written beside each \
             other and compared with what came; up to 1 the newer model serves",
            compared.len()
        ),
        crps_ratio: Some(ratio),
        targets: compared,
    })
}

/// Ends a trial about which too little came to tell.
fn undecided(trial: &Trial) -> Verdict {
    let hours = (trial.until_s - trial.since_s) / 3_600;
    Verdict {
        champion: trial.champion.clone(),
        promoted: false,
        reason: format!(
            "in {LENGTHS_MAX} times {hours} hours no target had {COMPARED_MIN} forecasts that could be compared with what \
             came, so version {} stays; PUT /api/v1/hosts/{{host}}/champion chooses the newer model all the same",
            trial.champion
        ),
        crps_ratio: None,
        targets: BTreeMap::new(),
    }
}

fn judged(errors: &Errors) -> Option<Judged> {
    Some(Judged {
        mae: errors.mae()?,
        rmse: errors.rmse()?,
        crps: errors.crps()?,
        coverage80: errors.coverage80()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_is_overdue_after_three_times_its_length() {
        let trial = Trial {
            challenger: "000002".to_owned(),
            champion: "000001".to_owned(),
            since_s: 1_000,
            until_s: 1_000 + 9 * 3_600,
            verdict: None,
        };
        assert!(!is_overdue(&trial, 1_000 + 27 * 3_600 - 1));
        assert!(is_overdue(&trial, 1_000 + 27 * 3_600));
        let verdict = undecided(&trial);
        assert!(!verdict.promoted && verdict.reason.contains("3 times 9 hours"));
    }
}
