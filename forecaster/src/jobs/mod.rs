//! Retrain jobs: asked for by people, by the schedule, and for hosts that are seen without a model.
//!
//! The [`Book`] keeps what is queued, running and finished, bounded; the [`trainer`] takes one host at a time on each of
//! its workers. What has not ended is kept on disk, and goes on after a restart.

mod book;
mod kept;
pub mod need;
pub mod trainer;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use book::{Book, CancelError, Load, Step, SubmitError, Work};

/// What a fit of the base takes, in trains of a host: measured as 5 for a fleet of 12 hosts, 21 for one of 100, of which
/// every second was learned from.
const BASE_TURNS_PER_HOST: f64 = 0.3;
/// It takes no more, however large the fleet: its series are bounded.
const BASE_TURNS_MAX: f64 = 25.0;

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Others go before it.
    Queued,
    /// Its hosts are being trained.
    Running,
    /// It has ended, and at least one host has a new model.
    Done,
    /// It has ended, and no host has a new model.
    Failed,
    /// It was cancelled; hosts that were trained before keep their new models.
    Cancelled,
}

impl JobState {
    /// Says whether the job has ended.
    #[must_use]
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

/// Who asked for a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// `POST /api/v1/retrain`.
    Request,
    /// The cron expression.
    Schedule,
    /// A host was seen without a model.
    NewHost,
}

impl Cause {
    /// Whose hosts go first: those that nothing forecasts yet, then those that somebody waits for.
    fn rank(self) -> u8 {
        match self {
            Self::NewHost => 0,
            Self::Request => 1,
            Self::Schedule => 2,
        }
    }
}

/// The base of the fleet that a job begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BaseWanted {
    /// A new one: the job is of all hosts.
    New,
    /// The one that there is; a first one where there is none.
    Any,
}

/// Where the base of a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BaseState {
    /// Its turn has not come.
    #[default]
    Waiting,
    /// The histories that it learns from are being read.
    Reading,
    /// It is being fitted.
    Fitting,
    /// It is new, and the job's hosts begin from it.
    Done,
    /// It stays as it was; the job's hosts begin from it all the same.
    Kept,
    /// The job was cancelled before it was done.
    Cancelled,
}

impl BaseState {
    fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Kept | Self::Cancelled)
    }
}

/// The base of the fleet, which is seen to before the hosts of a job.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct BaseProgress {
    /// Where it stands.
    pub state: BaseState,
    /// The share of its work that is done, from 0 to 1.
    pub share_done: f64,
    /// How long it has taken, in seconds; null where nothing was fitted yet.
    pub seconds: Option<f64>,
    /// Why it stays as it was, where it should have been fitted.
    pub error: Option<String>,
}

impl BaseProgress {
    /// How many trains of a host take as long as the fit, which keeps every worker waiting.
    fn turns(&self, hosts: usize) -> f64 {
        if self.state == BaseState::Kept && self.seconds.is_none() {
            return 0.0;
        }
        (BASE_TURNS_PER_HOST * hosts as f64).min(BASE_TURNS_MAX)
    }

    /// How long the whole of it takes by what it has taken; unknown before the first pass of the fit.
    fn whole_s(&self) -> Option<f64> {
        let is_measured = matches!(self.state, BaseState::Fitting | BaseState::Done);
        let seconds = self.seconds.filter(|_| is_measured)?;
        (self.share_done > 0.0).then(|| seconds / self.share_done)
    }
}

/// Where a host of a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HostState {
    /// Its turn has not come.
    Waiting,
    /// Its history is being read.
    Reading,
    /// Its model is being fitted and backtested.
    Training,
    /// It has a new model, which serves unless the one before did better.
    Done,
    /// It has no new model; the old one, if there is one, goes on serving.
    Failed,
    /// The job was cancelled before it was done.
    Cancelled,
}

/// One host of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HostProgress {
    /// The host.
    pub host: String,
    /// Where it stands.
    pub state: HostState,
    /// The share of its training that is done, from 0 to 1.
    pub share_done: f64,
    /// How long it took, in seconds.
    pub seconds: Option<f64>,
    /// Which model serves now, and why; null while it is not done.
    pub outcome: Option<String>,
    /// Why it has no new model.
    pub error: Option<String>,
}

/// A retrain of one or more hosts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Job {
    /// Its name in `/api/v1/jobs/{id}`.
    pub id: String,
    /// Where it stands.
    pub state: JobState,
    /// Who asked for it.
    pub cause: Cause,
    /// When it was asked for.
    pub requested_at: DateTime<Utc>,
    /// When its first host's turn came.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// The share of its work that is done, from 0 to 1; the base's and its hosts'.
    pub share_done: f64,
    /// Seconds until it is probably done; null before the first pass of the base or the first host is done.
    pub eta_s: Option<f64>,
    /// The base of the fleet that its hosts wait for; null where they wait for none.
    pub base: Option<BaseProgress>,
    /// Its hosts, in the order of their turns.
    pub hosts: Vec<HostProgress>,
}

impl Job {
    fn new(id: String, cause: Cause, hosts: Vec<String>, now: DateTime<Utc>) -> Self {
        let waiting = |host| HostProgress {
            host,
            state: HostState::Waiting,
            share_done: 0.0,
            seconds: None,
            outcome: None,
            error: None,
        };
        Self {
            id,
            state: JobState::Queued,
            cause,
            requested_at: now,
            started_at: None,
            finished_at: None,
            share_done: 0.0,
            eta_s: None,
            base: None,
            hosts: hosts.into_iter().map(waiting).collect(),
        }
    }

    /// Brings the job's own figures up to date with those of its base and its hosts.
    ///
    /// The unit is the time of one host's train: hosts go through it side by side, one a worker, and the base before all.
    fn sum_up(&mut self, workers: usize) {
        let hosts = self.hosts.len().max(1);
        let side_by_side = workers.min(hosts) as f64;
        let trained: f64 = self.hosts.iter().map(|host| host.share_done).sum();
        let hosts_left = (hosts as f64 - trained) / side_by_side;
        let base = self.base.as_ref();
        let base_turns = base.map_or(0.0, |base| base.turns(hosts));
        let base_done = base_turns * base.map_or(0.0, |base| base.share_done);
        let whole = base_turns + hosts as f64 / side_by_side;
        self.share_done = (base_done + trained / side_by_side) / whole;
        let taken: Vec<f64> = self.hosts.iter().filter_map(|host| host.seconds).collect();
        let turn_s = if taken.is_empty() {
            base.and_then(BaseProgress::whole_s)
                .map(|whole_s| whole_s / base_turns)
        } else {
            Some(taken.iter().sum::<f64>() / taken.len() as f64)
        };
        let left = base_turns - base_done + hosts_left;
        self.eta_s = turn_s
            .filter(|_| self.state == JobState::Running)
            .map(|turn_s| turn_s * left);
    }

    fn finish(&mut self, state: JobState, now: DateTime<Utc>) {
        self.state = state;
        self.finished_at = Some(now);
        if let Some(base) = &mut self.base
            && !base.state.is_final()
        {
            base.state = BaseState::Cancelled;
        }
        for host in &mut self.hosts {
            if matches!(
                host.state,
                HostState::Waiting | HostState::Reading | HostState::Training
            ) {
                host.state = HostState::Cancelled;
            }
        }
        self.sum_up(1);
    }
}
