//! The book of jobs: which are queued, which one runs, and how the last ones ended.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Cause, HostProgress, HostState, Job, JobState};
use crate::clock::Clock;

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

/// A job whose turn has come.
pub struct Work {
    /// The job.
    pub id: String,
    /// Its hosts.
    pub hosts: Vec<String>,
    /// Says that it was cancelled.
    pub cancelled: CancellationToken,
}

struct Entry {
    job: Job,
    cancelled: CancellationToken,
}

/// Every job, the oldest first.
pub struct Book {
    entries: Mutex<VecDeque<Entry>>,
    bell: Notify,
    clock: Arc<dyn Clock>,
}

impl Book {
    /// Makes an empty book.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            entries: Mutex::default(),
            bell: Notify::new(),
            clock,
        }
    }

    /// Queues a job.
    ///
    /// # Errors
    ///
    /// When too many wait already, or there is nothing to train.
    pub fn submit(&self, hosts: Vec<String>, cause: Cause) -> Result<Job, SubmitError> {
        if hosts.is_empty() {
            return Err(SubmitError::NoHosts);
        }
        let mut entries = self.entries.lock();
        let queued = entries
            .iter()
            .filter(|entry| entry.job.state == JobState::Queued)
            .count();
        if queued >= QUEUE_MAX {
            return Err(SubmitError::QueueFull);
        }
        let id = format!("{:016x}", rand::random::<u64>());
        let job = Job::new(id, cause, hosts, self.clock.now());
        entries.push_back(Entry {
            job: job.clone(),
            cancelled: CancellationToken::new(),
        });
        drop(entries);
        self.bell.notify_one();
        Ok(job)
    }

    /// Returns every job, the newest first.
    #[must_use]
    pub fn list(&self) -> Vec<Job> {
        self.entries
            .lock()
            .iter()
            .rev()
            .map(|entry| entry.job.clone())
            .collect()
    }

    /// Returns one job.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<Job> {
        let entries = self.entries.lock();
        entries
            .iter()
            .find(|entry| entry.job.id == id)
            .map(|entry| entry.job.clone())
    }

    /// Says whether a job with this host is queued or running.
    #[must_use]
    pub fn is_under_way(&self, host: &str) -> bool {
        self.entries.lock().iter().any(|entry| {
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
        let mut entries = self.entries.lock();
        let entry = entries
            .iter_mut()
            .find(|entry| entry.job.id == id)
            .ok_or_else(|| CancelError::Unknown { id: id.to_owned() })?;
        if entry.job.state.is_final() {
            return Err(CancelError::Ended { id: id.to_owned() });
        }
        entry.cancelled.cancel();
        entry.job.finish(JobState::Cancelled, self.clock.now());
        Ok(entry.job.clone())
    }

    /// Waits for the next job and marks it as running.
    pub async fn next(&self) -> Work {
        loop {
            if let Some(work) = self.take() {
                return work;
            }
            self.bell.notified().await;
        }
    }

    fn take(&self) -> Option<Work> {
        let mut entries = self.entries.lock();
        let entry = entries
            .iter_mut()
            .find(|entry| entry.job.state == JobState::Queued)?;
        entry.job.state = JobState::Running;
        entry.job.started_at = Some(self.clock.now());
        Some(Work {
            id: entry.job.id.clone(),
            hosts: entry
                .job
                .hosts
                .iter()
                .map(|host| host.host.clone())
                .collect(),
            cancelled: entry.cancelled.clone(),
        })
    }

    /// Changes what is known of a host of a running job; a job that has ended stays as it is.
    pub fn note(&self, id: &str, host: &str, change: impl FnOnce(&mut HostProgress)) {
        let mut entries = self.entries.lock();
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
        entry.job.sum_up();
    }

    /// Ends a running job, and forgets the oldest ones.
    pub fn finish(&self, id: &str) {
        let mut entries = self.entries.lock();
        if let Some(entry) = entries.iter_mut().find(|entry| entry.job.id == id)
            && !entry.job.state.is_final()
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    fn book() -> Book {
        Book::new(Arc::new(SystemClock))
    }

    fn hosts(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[tokio::test]
    async fn jobs_take_turns_in_their_order() {
        let book = book();
        let first = book.submit(hosts(&["a"]), Cause::Request).expect("taken");
        let second = book.submit(hosts(&["b"]), Cause::Request).expect("taken");
        assert_eq!(book.next().await.id, first.id);
        assert_eq!(book.get(&second.id).expect("known").state, JobState::Queued);
        assert_eq!(book.next().await.id, second.id);
    }

    #[tokio::test]
    async fn a_job_is_done_when_one_host_was_trained_and_failed_when_none_was() {
        let book = book();
        let job = book
            .submit(hosts(&["a", "b"]), Cause::Request)
            .expect("taken");
        let work = book.next().await;
        book.note(&work.id, "a", |host| {
            host.state = HostState::Done;
            host.share_done = 1.0;
            host.seconds = Some(4.0);
        });
        let running = book.get(&job.id).expect("known");
        assert_eq!((running.share_done, running.eta_s), (0.5, Some(4.0)));
        book.note(&work.id, "b", |host| host.state = HostState::Failed);
        book.finish(&work.id);
        assert_eq!(book.get(&job.id).expect("known").state, JobState::Done);

        let job = book.submit(hosts(&["b"]), Cause::Request).expect("taken");
        let work = book.next().await;
        book.note(&work.id, "b", |host| host.state = HostState::Failed);
        book.finish(&work.id);
        assert_eq!(book.get(&job.id).expect("known").state, JobState::Failed);
    }

    #[tokio::test]
    async fn a_cancelled_job_says_so_to_its_work_and_stays_cancelled() {
        let book = book();
        let job = book.submit(hosts(&["a"]), Cause::Request).expect("taken");
        let work = book.next().await;
        assert_eq!(
            book.cancel(&job.id).expect("cancelled").state,
            JobState::Cancelled
        );
        assert!(work.cancelled.is_cancelled());
        book.note(&work.id, "a", |host| host.state = HostState::Done);
        book.finish(&work.id);
        let job = book.get(&job.id).expect("known");
        assert_eq!(
            (job.state, job.hosts[0].state),
            (JobState::Cancelled, HostState::Cancelled)
        );
        assert_eq!(book.cancel(&job.id), Err(CancelError::Ended { id: job.id }));
    }

    #[tokio::test]
    async fn the_queue_and_the_past_are_bounded() {
        let book = book();
        for _ in 0..QUEUE_MAX {
            book.submit(hosts(&["a"]), Cause::Request).expect("taken");
        }
        assert_eq!(
            book.submit(hosts(&["a"]), Cause::Request),
            Err(SubmitError::QueueFull)
        );
        assert_eq!(
            book.submit(Vec::new(), Cause::Request),
            Err(SubmitError::NoHosts)
        );
        for _ in 0..FINISHED_KEPT + 5 {
            let work = book.next().await;
            book.finish(&work.id);
            book.submit(hosts(&["a"]), Cause::Request).expect("taken");
        }
        assert_eq!(book.list().len(), FINISHED_KEPT + QUEUE_MAX);
    }
}
