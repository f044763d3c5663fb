//! Retrains all hosts when the cron expression says so.
//!
//! `tokio-cron-scheduler` fixes a zone's offset from UTC when a job is made, so that a job would run an hour off after
//! the clocks change. The job is therefore made anew after each run. Overlap cannot happen: a run only queues a
//! retrain, and none while an earlier one is still under way.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};
use tokio_util::sync::CancellationToken;

use crate::{
    champions::{Champions, Contest},
    clock::Clock,
    config::TrainingSettings,
    fleet::Fleet,
    gateway::Gateway,
    jobs::{Book, Cause, need},
    shadow,
};

/// What decides who is retrained, and in which order.
pub struct Known {
    /// The hosts.
    pub fleet: Arc<Fleet>,
    /// Their models.
    pub champions: Arc<Champions>,
    /// Where it is read how good their forecasts were.
    pub gateway: Arc<Gateway>,
    /// Where retrains are queued.
    pub book: Arc<Book>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

/// Queues a retrain of all hosts at every instant of the schedule, until it is cancelled.
///
/// # Errors
///
/// When the scheduler does not start.
pub async fn run(
    settings: TrainingSettings,
    known: Known,
    cancelled: CancellationToken,
) -> Result<(), JobSchedulerError> {
    let mut scheduler = JobScheduler::new().await?;
    let (ring, mut calls) = mpsc::channel(1);
    let mut job = daily(&settings, &ring)?;
    scheduler.add(job.clone()).await?;
    scheduler.start().await?;
    tracing::info!(schedule = %settings.schedule, timezone = %settings.timezone, "retrains are scheduled");
    loop {
        tokio::select! {
            () = cancelled.cancelled() => return scheduler.shutdown().await,
            Some(()) = calls.recv() => {}
        }
        known.queue_all().await;
        scheduler.remove(&job.guid()).await?;
        job = daily(&settings, &ring)?;
        scheduler.add(job.clone()).await?;
    }
}

/// Makes the job anew, with the offset that the zone has now.
fn daily(settings: &TrainingSettings, ring: &mpsc::Sender<()>) -> Result<Job, JobSchedulerError> {
    let ring = ring.clone();
    Job::new_async_tz(
        settings.schedule.as_str(),
        settings.timezone,
        move |_, _| {
            let ring = ring.clone();
            // A full channel means that the run before has not been taken yet.
            Box::pin(async move {
                let _ = ring.try_send(());
            })
        },
    )
}

impl Known {
    async fn queue_all(&self) {
        let is_under_way = self
            .book
            .list()
            .iter()
            .any(|job| !job.state.is_final() && job.cause == Cause::Schedule);
        if is_under_way {
            tracing::warn!("the retrain of the last run is still under way; this one is left out");
            return;
        }
        let hosts = match self.fleet.refresh().await {
            Ok(hosts) => Some(hosts),
            Err(error) => {
                tracing::warn!(%error, "hosts could not be looked for; those that are known are retrained");
                self.fleet.known()
            }
        };
        let mut hosts = match hosts {
            Some(hosts) => {
                need::ordered(&hosts, &self.champions, &self.gateway, self.clock.now_s()).await
            }
            None => Vec::new(),
        };
        // Whom another job trains anyway is not trained twice.
        hosts.retain(|host| !self.book.is_under_way(host));
        // A new challenger would take the place of one that is on trial, and no trial would ever end; one that is overdue
        // has had its time.
        let now_s = self.clock.now_s();
        let is_free = |contest: Arc<Contest>| shadow::is_overdue(&contest.trial, now_s);
        hosts.retain(|host| self.champions.contest(host).is_none_or(is_free));
        match self.book.submit_all(hosts, Cause::Schedule) {
            Ok(job) => {
                tracing::info!(job = %job.id, hosts = job.hosts.len(), "nightly retrain queued");
            }
            Err(error) => tracing::warn!(%error, "nightly retrain left out"),
        }
    }
}
