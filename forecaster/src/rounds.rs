//! Rounds: every interval, and for a host as soon as it has a new model, forecasts are made, written back as points,
//! and judged for alerts.
//!
//! A round of a large fleet goes slowly, with a pause behind each host: it has the whole interval, and those who ask
//! meanwhile have not.
//!
//! A host that the gateway does not answer for is passed over. Several of them in a row mean that the gateway is away: the
//! round ends, and the next one begins behind the host that was tried last, so that no host stands in the way of others.

use std::{
    ops::Bound,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::mpsc, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    discovery::Hosts,
    fleet::Fleet,
    gateway::{Gateway, GatewayError},
    serving::{HostForecast, ServeError, Serving},
    shadow::Shadow,
    watch::Watch,
    writeback,
};

/// The longest pause behind a host: a small fleet is round within moments.
const PAUSE_MAX: Duration = Duration::from_millis(100);
/// The pauses of a round take a half of the interval at most.
const PAUSES_SHARE: u32 = 2;
/// The hosts in a row without an answer of the gateway's after which it is taken to be away.
const UNANSWERED_MAX: usize = 3;

/// The intervals without any forecast after which the rounds are late.
const LATE_AFTER: i64 = 3;
/// They are never late before this: a gateway that is asked in vain about one host takes its time.
const LATE_AFTER_LEAST_S: i64 = 300;

/// When the rounds last got anywhere: a first round of a large fleet, with trains beside it, may take many intervals.
#[expect(clippy::struct_field_names, reason = "each names its unit")]
pub struct Pulse {
    beat_s: AtomicI64,
    /// When a round over all hosts last ended.
    round_ended_s: AtomicI64,
    late_after_s: i64,
}

impl Pulse {
    /// Makes the pulse of rounds that are an interval apart, and have not begun.
    #[must_use]
    pub fn new(interval: Duration) -> Self {
        Self {
            beat_s: AtomicI64::new(0),
            round_ended_s: AtomicI64::new(0),
            late_after_s: (LATE_AFTER * interval.as_secs() as i64).max(LATE_AFTER_LEAST_S),
        }
    }

    fn beat(&self, now_s: i64) {
        self.beat_s.store(now_s, Ordering::Relaxed);
    }

    fn end_round(&self, now_s: i64) {
        self.beat(now_s);
        self.round_ended_s.store(now_s, Ordering::Relaxed);
    }

    /// Returns when a round over all hosts last ended, in seconds since 1970; `None` before the first one has.
    #[must_use]
    pub fn round_ended_s(&self) -> Option<i64> {
        let ended_s = self.round_ended_s.load(Ordering::Relaxed);
        (ended_s > 0).then_some(ended_s)
    }

    /// Returns for how long there has been no forecast, in seconds, where that is too long.
    #[must_use]
    pub fn late_s(&self, now_s: i64) -> Option<i64> {
        let beat_s = self.beat_s.load(Ordering::Relaxed);
        let silent_s = now_s - beat_s;
        (beat_s > 0 && silent_s > self.late_after_s).then_some(silent_s)
    }
}

/// Makes the rounds.
pub struct Rounds {
    /// What forecasts.
    pub serving: Arc<Serving>,
    /// The hosts.
    pub fleet: Arc<Fleet>,
    /// Where points go.
    pub gateway: Arc<Gateway>,
    /// What judges challengers.
    pub shadow: Shadow,
    /// What raises alerts.
    pub watch: Arc<Watch>,
    /// What tells that they go on.
    pub pulse: Arc<Pulse>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The time between two rounds.
    pub interval: Duration,
}

impl Rounds {
    /// Goes round until it is cancelled. `trained` names hosts that have a new model.
    pub async fn run(self, mut trained: mpsc::Receiver<String>, cancelled: CancellationToken) {
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut behind = None;
        self.pulse.beat(self.clock.now_s());
        loop {
            tokio::select! {
                () = cancelled.cancelled() => return,
                _ = ticks.tick() => behind = self.round(behind, &mut trained, &cancelled).await,
                Some(host) = trained.recv() => { self.visit(&host).await; }
            }
        }
    }

    /// Goes round all hosts, beginning behind one of them; returns the last that was tried where it ended early.
    async fn round(
        &self,
        behind: Option<String>,
        trained: &mut mpsc::Receiver<String>,
        cancelled: &CancellationToken,
    ) -> Option<String> {
        let hosts = match self.fleet.known() {
            Some(hosts) => hosts,
            // The first round of all need not wait for the first look.
            None => match self.fleet.refresh().await {
                Ok(hosts) => hosts,
                Err(_) => return behind,
            },
        };
        let (mut answered, mut unanswered) = (hosts.is_empty(), 0);
        for host in turns(&hosts, behind.as_deref()) {
            if self.paused(hosts.len(), trained, cancelled).await {
                return None;
            }
            if self.visit(host).await {
                (answered, unanswered) = (true, 0);
            } else {
                unanswered += 1;
            }
            if unanswered == UNANSWERED_MAX {
                tracing::warn!("the round ends early; the next one follows");
                return Some(host.clone());
            }
        }
        if answered {
            self.pulse.end_round(self.clock.now_s());
        }
        None
    }

    /// Waits before the next of so many hosts, and shows the new models that come meanwhile; says whether the rounds have
    /// ended. The first round does not wait: until a host's history has been read, whoever asks waits for that.
    async fn paused(
        &self,
        hosts: usize,
        trained: &mut mpsc::Receiver<String>,
        cancelled: &CancellationToken,
    ) -> bool {
        let is_first = self.pulse.round_ended_s().is_none();
        let pause = if is_first {
            Duration::ZERO
        } else {
            PAUSE_MAX.min(self.interval / PAUSES_SHARE / hosts.max(1) as u32)
        };
        let mut over = std::pin::pin!(tokio::time::sleep(pause));
        loop {
            tokio::select! {
                biased;
                () = cancelled.cancelled() => return true,
                () = &mut over => return false,
                Some(host) = trained.recv() => { self.visit(&host).await; }
            }
        }
    }

    /// Forecasts one host; says whether the gateway answered.
    async fn visit(&self, host: &str) -> bool {
        let shown = self.show(host).await;
        match &shown {
            Ok(()) => self.pulse.beat(self.clock.now_s()),
            Err(error) => tracing::warn!(%host, %error, "the host is passed over in this round"),
        }
        shown.is_ok()
    }

    /// Forecasts one host; only trouble with the gateway is passed on, since it may meet every host.
    async fn show(&self, host: &str) -> Result<(), GatewayError> {
        let forecast = match self.serving.going_round(host).await {
            Ok(forecast) => Arc::new(forecast),
            Err(ServeError::Gateway(error)) => return Err(error),
            Err(error @ (ServeError::NothingServed { .. } | ServeError::HostUnknown { .. })) => {
                tracing::debug!(%host, %error, "no forecast");
                return Ok(());
            }
            Err(error) => {
                tracing::error!(%host, %error, "no forecast");
                return Ok(());
            }
        };
        self.judge(Arc::clone(&forecast)).await;
        self.gateway.write(writeback::lines(&forecast)).await?;
        self.shadow.visit(host).await
    }

    async fn judge(&self, forecast: Arc<HostForecast>) {
        let watch = Arc::clone(&self.watch);
        match tokio::task::spawn_blocking(move || watch.judge(&forecast)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::error!(%error, "alerts cannot be kept"),
            Err(error) => tracing::error!(%error, "alerts cannot be judged"),
        }
    }
}

/// The hosts in the order of a round that begins behind one of them.
fn turns<'a>(hosts: &'a Hosts, behind: Option<&str>) -> Vec<&'a String> {
    let first = behind.map_or(Bound::Unbounded, Bound::Excluded);
    let until = behind.map_or(Bound::Excluded(""), Bound::Included);
    let names = hosts.range::<str, _>((first, Bound::Unbounded));
    let rest = hosts.range::<str, _>((Bound::Unbounded, until));
    names.chain(rest).map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::Host;

    #[test]
    fn rounds_are_late_after_three_intervals_without_a_forecast_and_not_before_they_begin() {
        let pulse = Pulse::new(Duration::from_mins(5));
        assert_eq!(pulse.late_s(10_000), None);
        pulse.beat(10_000);
        assert_eq!(pulse.late_s(10_900), None);
        assert_eq!(pulse.late_s(10_901), Some(901));
        pulse.beat(10_901);
        assert_eq!(pulse.late_s(10_902), None);
    }

    #[test]
    fn a_forecast_is_no_round_and_a_round_is_a_sign_of_life() {
        let pulse = Pulse::new(Duration::from_mins(5));
        pulse.beat(10_000);
        assert_eq!(pulse.round_ended_s(), None);
        pulse.end_round(20_000);
        pulse.beat(20_010);
        assert_eq!(pulse.round_ended_s(), Some(20_000));
        assert_eq!(pulse.late_s(20_020), None);
    }

    #[test]
    fn a_round_begins_behind_the_host_that_was_tried_last_and_reaches_all() {
        let hosts: Hosts = ["a", "b", "c"]
            .map(|name| (name.to_owned(), Host::default()))
            .into();
        assert_eq!(turns(&hosts, None), ["a", "b", "c"]);
        assert_eq!(turns(&hosts, Some("a")), ["b", "c", "a"]);
        assert_eq!(turns(&hosts, Some("c")), ["a", "b", "c"]);
        // It has gone since.
        assert_eq!(turns(&hosts, Some("bb")), ["c", "a", "b"]);
    }
}
