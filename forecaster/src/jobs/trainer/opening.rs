//! What a job of many hosts begins with: the fleet's base is fitted, where one is wanted, and the job tells how far it is.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    super::{BaseState, BaseWanted, Work},
    Trainer,
};
use crate::{
    discovery::Hosts,
    fleet_base::{BaseFailure, HOSTS_MIN},
    gateway::GatewayError,
    model::FitError,
    training::fleet,
};

/// The share of the time that reading takes of a base: 4 of 74 seconds of a fleet of 100 hosts.
const READING_SHARE: f64 = 0.05;

/// Why the base stays as it was, although a new one was wanted.
#[derive(Debug, thiserror::Error)]
enum OpeningFailure {
    #[error("the hosts cannot be looked for: {0}")]
    Hosts(#[from] GatewayError),
    #[error("only {known} hosts are known, and a base is fitted over {HOSTS_MIN} or more")]
    TooFew { known: usize },
    #[error(transparent)]
    Fit(#[from] BaseFailure),
    #[error("the fit took longer than {timeout_s} s and was ended; raise HEADROOM_TRAIN_TIMEOUT_S")]
    TimedOut { timeout_s: u64 },
}

impl Trainer {
    /// Sees to the base that a job's hosts begin from; whatever goes wrong, they begin from the present one.
    pub(super) async fn open(&self, work: &Work, wanted: BaseWanted) {
        if wanted == BaseWanted::Any && self.base.is_of_fleet() {
            self.end_base(work, BaseState::Kept, None);
            return;
        }
        let started = Instant::now();
        let fitted = self.fit_base(work, started).await;
        let seconds = started.elapsed().as_secs_f64();
        match fitted {
            Ok(hosts) => {
                tracing::info!(hosts, seconds, "the fleet's base is new");
                self.end_base(work, BaseState::Done, None);
            }
            Err(error) => {
                tracing::warn!(seconds, %error, "the fleet's base stays as it was");
                self.end_base(work, BaseState::Kept, Some(error.to_string()));
            }
        }
    }

    /// Fits the base over an even choice of all hosts, whichever the job names; returns how many it learned from.
    async fn fit_base(&self, work: &Work, started: Instant) -> Result<usize, OpeningFailure> {
        let hosts = self.known().await?;
        if hosts.len() < HOSTS_MIN {
            return Err(OpeningFailure::TooFew { known: hosts.len() });
        }
        tracing::info!(job = %work.id, hosts = hosts.len(), "the fleet's base is fitted");
        let mut requests = Vec::new();
        let series: usize = hosts.values().map(|host| host.targets.len()).sum();
        let stride = series.div_ceil(fleet::SERIES_MAX).max(1);
        for (read, host) in hosts.keys().enumerate().step_by(stride) {
            let share = READING_SHARE * read as f64 / hosts.len() as f64;
            self.note_base(work, BaseState::Reading, share, started.elapsed());
            match self.request(host).await {
                Ok(request) => requests.push(request),
                Err(error) => tracing::debug!(%host, %error, "host is not part of the base"),
            }
            if work.cancelled.is_cancelled() {
                return Err(BaseFailure::from(FitError::Cancelled).into());
            }
        }
        self.note_base(work, BaseState::Fitting, READING_SHARE, started.elapsed());
        let (hosts, cancelled) = (requests.len(), work.cancelled.child_token());
        let (book, job) = (Arc::clone(&self.book), work.id.clone());
        let told = move |share: f64| {
            book.note_base(&job, |base| {
                base.share_done = READING_SHARE + (1.0 - READING_SHARE) * share;
                base.seconds = Some(started.elapsed().as_secs_f64());
            });
        };
        let fit = self
            .base
            .fit(requests, self.settings.seed, told, cancelled.clone());
        let fitted = tokio::time::timeout(self.settings.timeout, fit).await;
        cancelled.cancel();
        let too_late = OpeningFailure::TimedOut {
            timeout_s: self.settings.timeout.as_secs(),
        };
        fitted.map_err(|_| too_late)??;
        Ok(hosts)
    }

    fn note_base(&self, work: &Work, state: BaseState, share_done: f64, taken: Duration) {
        self.book.note_base(&work.id, |base| {
            base.state = state;
            base.share_done = share_done;
            base.seconds = Some(taken.as_secs_f64());
        });
    }

    fn end_base(&self, work: &Work, state: BaseState, error: Option<String>) {
        self.book.note_base(&work.id, |base| {
            base.state = state;
            base.share_done = 1.0;
            base.error = error;
        });
    }

    /// The hosts; looked for where a restart goes on with a job before anybody has.
    async fn known(&self) -> Result<Arc<Hosts>, GatewayError> {
        match self.fleet.known() {
            Some(hosts) => Ok(hosts),
            None => self.fleet.refresh().await,
        }
    }
}
