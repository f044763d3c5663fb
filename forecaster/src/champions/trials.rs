//! Trials: a challenger runs beside the champion for a while, and is judged on what comes.

use std::{collections::BTreeMap, sync::Arc};

use super::{Champion, Champions};
use crate::{
    manifest::Verdict,
    registry::{Alias, Registry, RegistryError, Trial},
};

/// A challenger that runs beside its host's champion.
#[derive(Debug)]
pub struct Contest {
    /// Who challenges.
    pub challenger: Arc<Champion>,
    /// Whom, and until when.
    pub trial: Trial,
}

impl Champions {
    /// Returns the challenger of a host that is on trial.
    #[must_use]
    pub fn contest(&self, host: &str) -> Option<Arc<Contest>> {
        self.contests.read().get(host).cloned()
    }

    /// Returns every challenger that is on trial, with its host.
    #[must_use]
    pub fn contests(&self) -> Vec<(String, Arc<Contest>)> {
        let contests = self.contests.read();
        let entries = contests.iter();
        entries
            .map(|(host, contest)| (host.clone(), Arc::clone(contest)))
            .collect()
    }

    /// Ends a trial: the challenger serves, or is only kept. `None` when it is not this challenger's any more. Reads and
    /// writes; not for an async thread.
    ///
    /// # Errors
    ///
    /// When the disk refuses; the trial then goes on.
    pub fn decide(
        &self,
        host: &str,
        challenger: &str,
        verdict: Verdict,
    ) -> Result<Option<Arc<Champion>>, RegistryError> {
        let _alone = self.changing.lock();
        let is_theirs = |contest: &Arc<Contest>| contest.challenger.version == challenger;
        if !self.contest(host).as_ref().is_some_and(is_theirs) {
            return Ok(None);
        }
        // The verdict is written last: a crash before it is judged again.
        let served = if verdict.promoted {
            let model = self.registry.promote(host, challenger)?;
            let champion = self.known(challenger.to_owned(), model);
            self.serve(host, &champion);
            Some(champion)
        } else {
            self.registry.release(host, Alias::Challenger)?;
            None
        };
        self.end_trial(host, verdict)?;
        Ok(served)
    }

    /// Ends a trial whose end nobody waited for, since `version` serves now.
    pub(super) fn cut_short(
        &self,
        host: &str,
        version: &str,
        why: &str,
    ) -> Result<(), RegistryError> {
        let Some(contest) = self.contest(host) else {
            return Ok(());
        };
        let verdict = Verdict {
            champion: contest.trial.champion.clone(),
            promoted: contest.challenger.version == version,
            reason: format!("the trial was cut short: version {version} {why}"),
            crps_ratio: None,
            targets: BTreeMap::new(),
        };
        self.registry.release(host, Alias::Challenger)?;
        self.end_trial(host, verdict)
    }

    /// Writes down how a trial ended, and forgets it.
    fn end_trial(&self, host: &str, verdict: Verdict) -> Result<(), RegistryError> {
        if let Some(contest) = self.contest(host) {
            let ended = Trial {
                verdict: Some(verdict),
                ..contest.trial.clone()
            };
            self.registry.keep_trial(host, &ended)?;
            self.contests.write().remove(host);
        }
        Ok(())
    }
}

/// Reads the trials that were under way when the service ended.
pub(super) fn under_way(
    registry: &Registry,
    hosts: &BTreeMap<String, Arc<Champion>>,
    challenger: impl Fn(&str, &str) -> Result<Arc<Champion>, RegistryError>,
) -> BTreeMap<String, Arc<Contest>> {
    let mut contests = BTreeMap::new();
    for (host, champion) in hosts {
        let trial = match registry.trial(host) {
            Ok(Some(trial)) if trial.verdict.is_none() && trial.champion == champion.version => {
                trial
            }
            Ok(_) => continue,
            Err(error) => {
                tracing::warn!(%host, %error, "the trial of a challenger is passed over");
                continue;
            }
        };
        match challenger(host, &trial.challenger) {
            Ok(challenger) => {
                contests.insert(host.clone(), Arc::new(Contest { challenger, trial }));
            }
            Err(error) => tracing::warn!(%host, %error, "a challenger is passed over"),
        }
    }
    contests
}
