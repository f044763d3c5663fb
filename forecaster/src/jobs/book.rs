//! The book of jobs: which are queued, which run, and how the last ones ended.
//!
//! What is handed out is one host at a time, of the job that matters most: a host without a model before one that
//! somebody asked for, and that before the nightly round, so that a long round holds nobody up. A host that stands in
//! two jobs has its turns one after the other, whatever the number of workers.

mod entry;

use std::{
    collections::{BTreeSet, VecDeque},
    path::PathBuf,
    sync::Arc,
};

use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::entry::Entry;
use super::{
    BaseProgress, BaseWanted, Cause, HostProgress, HostState, Job, JobState,
    kept::{self, KeptJob},
};
use crate::{clock::Clock, fleet_base::HOSTS_MIN};

/// Jobs that may wait. Who asks for more has not looked at those that he asked for.
const QUEUE_MAX: usize = 16;
/// Finished jobs that can still be looked at: three months of nights.
const FINISHED_KEPT: usize = 100;

/// Why a job was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Too many wait already.
    #[error("{QUEUE_MAX} retrains wait already; cancel one, or ask again when one is done")]
    QueueFull,
    /// There is nothing to train.
    #[error(
        "no host is known yet, so there is nothing to train; GET /api/v1/hosts lists those that are"
    )]
    NoHosts,
}

/// Why a job was not cancelled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CancelError {
    /// There is none of this name.
    #[error("there is no job {id:?}; GET /api/v1/jobs lists the last {FINISHED_KEPT}")]
    Unknown {
        /// What was asked for.
        id: String,
    },
    /// It has ended already.
    #[error("job {id:?} has ended already, so it cannot be cancelled")]
    Ended {
        /// The job.
        id: String,
    },
}

/// A piece of a job whose turn has come.
pub struct Work {
    /// The job.
    pub id: String,
    /// What is to be done.
    pub step: Step,
    /// Says that the job was cancelled.
    pub cancelled: CancellationToken,
}

/// A piece of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The fleet's base is to be seen to, before any host of the job has its turn.
    Base(BaseWanted),
    /// A host is to be trained.
    Host(String),
}

/// What is written in the book.
#[derive(Default)]
struct Pages {
    /// Every job, the oldest first.
    entries: VecDeque<Entry>,
    /// The hosts that are being trained, also for a job that was cancelled since.
    busy: BTreeSet<String>,
}

/// How far the trains of all jobs are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Hosts that wait for their turn.
    pub waiting: usize,
    /// Hosts whose turn it is.
    pub training: usize,
}

/// Every job.
pub struct Book {
    pages: Mutex<Pages>,
    bell: Notify,
    clock: Arc<dyn Clock>,
    workers: usize,
    /// Where jobs that have not ended are kept.
    file: Option<PathBuf>,
}

impl Book {
    /// Makes an empty book.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            pages: Mutex::default(),
            bell: Notify::new(),
            clock,
            workers: 1,
            file: None,
        }
    }

    /// Tells how many hosts are trained at a time.
    #[must_use]
    pub fn with_workers(mut self, workers: usize) -> Self {
        self.workers = workers.max(1);
        self
    }

    /// Keeps jobs in a file, and goes on with those that it holds from before.
    ///
    /// A host whose training was under way when the service ended without having been asked to goes to the end of its job,
    /// and is given up when that happened twice.
    #[must_use]
    pub fn kept_in(mut self, file: PathBuf) -> Self {
        for kept in kept::read(&file) {
            tracing::info!(job = %kept.id, hosts = kept.hosts.len(), "a retrain goes on where the service ended");
            self.pages
                .get_mut()
                .entries
                .push_back(Entry::restored(kept));
        }
        self.file = Some(file);
        self
    }

    fn entries(&self) -> MappedMutexGuard<'_, VecDeque<Entry>> {
        MutexGuard::map(self.pages.lock(), |pages| &mut pages.entries)
    }

    /// Writes down what has not ended. A disk that refuses costs the resumption, not the retrain.
    fn keep(&self, entries: &VecDeque<Entry>) {
        let Some(file) = &self.file else { return };
        let jobs: Vec<KeptJob> = entries.iter().filter_map(Entry::kept).collect();
        if let Err(error) = kept::write(file, &jobs) {
            tracing::warn!(%error, file = %file.display(), "jobs cannot be kept; a restart would forget them");
        }
    }

    /// Queues a job of some hosts.
    ///
    /// # Errors
    ///
    /// When too many wait already, or there is nothing to train.
    pub fn submit(&self, hosts: Vec<String>, cause: Cause) -> Result<Job, SubmitError> {
        self.queue(hosts, cause, BaseWanted::Any)
    }

    /// Queues a job of all hosts, or all that may be trained now: it begins with a new base.
    ///
    /// # Errors
    ///
    /// When too many wait already, or there is nothing to train.
    pub fn submit_all(&self, hosts: Vec<String>, cause: Cause) -> Result<Job, SubmitError> {
        self.queue(hosts, cause, BaseWanted::New)
    }

    fn queue(
        &self,
        hosts: Vec<String>,
        cause: Cause,
        base: BaseWanted,
    ) -> Result<Job, SubmitError> {
        if hosts.is_empty() {
            return Err(SubmitError::NoHosts);
        }
        let mut entries = self.entries();
        let queued = entries
            .iter()
            .filter(|entry| entry.job.state == JobState::Queued)
            .count();
        if queued >= QUEUE_MAX {
            return Err(SubmitError::QueueFull);
        }
        let id = format!("{:016x}", rand::random::<u64>());
        let base = (hosts.len() >= HOSTS_MIN).then_some(base);
        let entry = Entry::new(Job::new(id, cause, hosts, self.clock.now()), base);
        let job = entry.job.clone();
        entries.push_back(entry);
        self.keep(&entries);
        drop(entries);
        self.bell.notify_one();
        Ok(job)
    }

    /// Returns every job, the newest first.
    #[must_use]
    pub fn list(&self) -> Vec<Job> {
        self.entries()
            .iter()
            .rev()
            .map(|entry| entry.job.clone())
            .collect()
    }

    /// Returns one job.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<Job> {
        let entries = self.entries();
        entries
            .iter()
            .find(|entry| entry.job.id == id)
            .map(|entry| entry.job.clone())
    }

    /// Says whether a job with this host is queued or running.
    #[must_use]
    pub fn is_under_way(&self, host: &str) -> bool {
        self.entries().iter().any(|entry| {
            !entry.job.state.is_final()
                && entry.job.hosts.iter().any(|progress| {
                    progress.host == host
                        && !matches!(progress.state, HostState::Done | HostState::Failed)
                })
        })
    }

    /// Cancels a job: at once while it is queued, within moments while it runs.
    ///
    /// # Errors
    ///
    /// When it is unknown or has ended.
    pub fn cancel(&self, id: &str) -> Result<Job, CancelError> {
        let mut entries = self.entries();
        let entry = entries
            .iter_mut()
            .find(|entry| entry.job.id == id)
            .ok_or_else(|| CancelError::Unknown { id: id.to_owned() })?;
        if entry.job.state.is_final() {
            return Err(CancelError::Ended { id: id.to_owned() });
        }
        entry.cancelled.cancel();
        entry.job.finish(JobState::Cancelled, self.clock.now());
        let job = entry.job.clone();
        self.keep(&entries);
        Ok(job)
    }

    /// Waits for the next piece of work and marks its job as running.
    pub async fn next(&self) -> Work {
        loop {
            if let Some(work) = self.take() {
                // There may be more for somebody else who waits.
                self.bell.notify_one();
                return work;
            }
            self.bell.notified().await;
        }
    }

    fn take(&self) -> Option<Work> {
        let mut pages = self.pages.lock();
        let Pages { entries, busy } = &mut *pages;
        let may = entries.iter_mut().filter_map(|entry| {
            let place = entry.next_host(busy)?;
            Some((entry, place))
        });
        let (entry, place) = may.min_by_key(|(entry, _)| entry.job.cause.rank())?;
        if entry.job.state == JobState::Queued {
            entry.job.state = JobState::Running;
            entry.job.started_at = Some(self.clock.now());
        }
        let step = if let Some(base) = entry.base {
            entry.opens = true;
            Step::Base(base)
        } else {
            let host = &mut entry.job.hosts[place];
            host.state = HostState::Reading;
            *entry.starts.entry(host.host.clone()).or_default() += 1;
            busy.insert(host.host.clone());
            Step::Host(host.host.clone())
        };
        let work = Work {
            id: entry.job.id.clone(),
            step,
            cancelled: entry.cancelled.clone(),
        };
        self.keep(entries);
        Some(work)
    }

    /// Takes back a piece of work that the end of the service cut short: no fault of the host's.
    pub fn give_back(&self, work: &Work) {
        let Step::Host(host) = &work.step else { return };
        let mut pages = self.pages.lock();
        let mut entries = pages.entries.iter_mut();
        let Some(entry) = entries.find(|entry| entry.job.id == work.id) else {
            return;
        };
        let is_theirs = |progress: &&mut HostProgress| progress.host == *host;
        if let Some(progress) = entry.job.hosts.iter_mut().find(is_theirs)
            && matches!(progress.state, HostState::Reading | HostState::Training)
        {
            progress.state = HostState::Waiting;
            if let Some(starts) = entry.starts.get_mut(host) {
                *starts = starts.saturating_sub(1);
            }
        }
        pages.busy.remove(host);
        self.keep(&pages.entries);
    }

    /// Lets another job have the turn of a host, now that nothing trains it any more.
    pub fn release(&self, host: &str) {
        self.pages.lock().busy.remove(host);
        self.bell.notify_one();
    }

    /// Counts the hosts that wait and those that are being trained.
    #[must_use]
    pub fn load(&self) -> Load {
        let pages = self.pages.lock();
        let waits = |host: &&HostProgress| host.state == HostState::Waiting;
        let of_entry = |entry: &Entry| {
            let is_over = entry.job.state.is_final();
            if is_over {
                0
            } else {
                entry.job.hosts.iter().filter(waits).count()
            }
        };
        Load {
            waiting: pages.entries.iter().map(of_entry).sum(),
            training: pages.busy.len(),
        }
    }

    /// Lets the hosts of a job have their turns, now that its base has been seen to; a restart does not do that again.
    pub fn opened(&self, id: &str) {
        let mut entries = self.entries();
        if let Some(entry) = entries.iter_mut().find(|entry| entry.job.id == id) {
            entry.opens = false;
            entry.base = None;
        }
        self.keep(&entries);
        self.bell.notify_one();
    }

    /// Changes what is known of the base of a running job; a job that has ended stays as it is.
    pub fn note_base(&self, id: &str, change: impl FnOnce(&mut BaseProgress)) {
        let mut entries = self.entries();
        let Some(entry) = entries.iter_mut().find(|entry| entry.job.id == id) else {
            return;
        };
        if entry.job.state.is_final() {
            return;
        }
        if let Some(base) = &mut entry.job.base {
            change(base);
        }
        entry.job.sum_up(self.workers);
    }

    /// Changes what is known of a host of a running job; a job that has ended stays as it is.
    pub fn note(&self, id: &str, host: &str, change: impl FnOnce(&mut HostProgress)) {
        let mut entries = self.entries();
        let Some(entry) = entries.iter_mut().find(|entry| entry.job.id == id) else {
            return;
        };
        if entry.job.state.is_final() {
            return;
        }
        if let Some(progress) = entry
            .job
            .hosts
            .iter_mut()
            .find(|progress| progress.host == host)
        {
            change(progress);
        }
        entry.job.sum_up(self.workers);
    }

    /// Ends a running job whose hosts have all had their turns, and forgets the oldest ones.
    pub fn settle(&self, id: &str) {
        let mut entries = self.entries();
        if let Some(entry) = entries.iter_mut().find(|entry| entry.job.id == id)
            && !entry.job.state.is_final()
            && entry
                .job
                .hosts
                .iter()
                .all(|host| matches!(host.state, HostState::Done | HostState::Failed))
        {
            let trained = entry
                .job
                .hosts
                .iter()
                .any(|host| host.state == HostState::Done);
            let state = if trained {
                JobState::Done
            } else {
                JobState::Failed
            };
            entry.job.finish(state, self.clock.now());
        }
        let finished = entries
            .iter()
            .filter(|entry| entry.job.state.is_final())
            .count();
        for _ in FINISHED_KEPT..finished {
            if let Some(oldest) = entries.iter().position(|entry| entry.job.state.is_final()) {
                entries.remove(oldest);
            }
        }
        self.keep(&entries);
    }
}

#[cfg(test)]
mod tests;
