//! A job in the book, and what is kept of it on disk.

use std::collections::{BTreeMap, BTreeSet};

use tokio_util::sync::CancellationToken;

use super::super::{
    BaseProgress, BaseWanted, HostProgress, HostState, Job, JobState,
    kept::{KeptHost, KeptJob},
};

/// A host whose training was under way so often when the service crashed is not tried again: it may be the reason.
pub(super) const STARTS_MAX: u32 = 2;

/// A job, with what is known of it beside its progress.
pub(super) struct Entry {
    pub(super) job: Job,
    pub(super) cancelled: CancellationToken,
    /// The base that its hosts wait for; `None` when they need not, or no longer.
    pub(super) base: Option<BaseWanted>,
    /// Its base is being fitted.
    pub(super) opens: bool,
    /// How often the training of a host began, over restarts.
    pub(super) starts: BTreeMap<String, u32>,
}

impl Entry {
    pub(super) fn new(job: Job, base: Option<BaseWanted>) -> Self {
        let job = Job {
            base: base.is_some().then(BaseProgress::default),
            ..job
        };
        Self {
            job,
            cancelled: CancellationToken::new(),
            base,
            opens: false,
            starts: BTreeMap::new(),
        }
    }

    /// The next host whose turn may come: one that waits, and that no other job has under way.
    pub(super) fn next_host(&self, busy: &BTreeSet<String>) -> Option<usize> {
        if self.job.state.is_final() || self.opens {
            return None;
        }
        let may =
            |host: &HostProgress| host.state == HostState::Waiting && !busy.contains(&host.host);
        self.job.hosts.iter().position(may)
    }

    /// What is left of a job that has not ended.
    pub(super) fn kept(&self) -> Option<KeptJob> {
        let is_left =
            |host: &&HostProgress| !matches!(host.state, HostState::Done | HostState::Failed);
        let hosts = self.job.hosts.iter().filter(is_left).map(|host| KeptHost {
            host: host.host.clone(),
            starts: self.starts.get(&host.host).copied().unwrap_or(0),
        });
        (!self.job.state.is_final()).then(|| KeptJob {
            id: self.job.id.clone(),
            cause: self.job.cause,
            requested_at: self.job.requested_at,
            base: self.base,
            hosts: hosts.collect(),
        })
    }

    /// Makes a job of what was kept of it.
    pub(super) fn restored(kept: KeptJob) -> Self {
        let mut hosts = kept.hosts;
        hosts.sort_by_key(|host| host.starts);
        let names = hosts.iter().map(|host| host.host.clone()).collect();
        let job = Job::new(kept.id, kept.cause, names, kept.requested_at);
        let mut entry = Self::new(job, kept.base);
        for (host, progress) in hosts.iter().zip(&mut entry.job.hosts) {
            if host.starts >= STARTS_MAX {
                progress.state = HostState::Failed;
                progress.share_done = 1.0;
                progress.error = Some(format!(
                    "its training was under way {} times when the service crashed or was killed; POST /api/v1/retrain tries it again",
                    host.starts
                ));
            }
        }
        if entry
            .job
            .hosts
            .iter()
            .all(|host| host.state == HostState::Failed)
        {
            entry.job.finish(JobState::Failed, kept.requested_at);
        }
        entry.starts = hosts
            .into_iter()
            .map(|host| (host.host, host.starts))
            .collect();
        entry
    }
}
