//! Rounds: every interval, and for a host as soon as it has a new model, forecasts are made, written back as points,
//! and judged for alerts.
//!
//! A round of a large fleet goes slowly, with a pause behind each host: it has the whole interval, and those who ask
//! meanwhile have not.

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::{
    alert::watch::Watch,
    clock::Clock,
    fleet::Fleet,
    gateway::{Gateway, GatewayError},
    metrics::Metrics,
    serving::{HostForecast, ServeError, Serving},
    shadow::Shadow,
    writeback,
};

/// The longest pause behind a host: a small fleet is round within moments.
const PAUSE_MAX: Duration = Duration::from_millis(100);
/// The pauses of a round take a half of the interval at most.
const PAUSES_SHARE: u32 = 2;

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
    /// Where rounds are counted.
    pub metrics: Arc<Metrics>,
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
        loop {
            tokio::select! {
                () = cancelled.cancelled() => return,
                _ = ticks.tick() => self.round(&mut trained, &cancelled).await,
                Some(host) = trained.recv() => drop(self.visit(&host).await),
            }
        }
    }

    async fn round(&self, trained: &mut mpsc::Receiver<String>, cancelled: &CancellationToken) {
        let hosts = match self.fleet.known() {
            Some(hosts) => hosts,
            // The first round of all need not wait for the first look.
            None => match self.fleet.refresh().await {
                Ok(hosts) => hosts,
                Err(_) => return,
            },
        };
        for host in hosts.keys() {
            if self.paused(hosts.len(), trained, cancelled).await {
                return;
            }
            if let Err(error) = self.visit(host).await
                && error.is_retryable()
            {
                tracing::warn!(%error, "the round ends early; the next one follows");
                return;
            }
        }
        self.metrics.last_round.set(self.clock.now_s());
    }

    /// Waits before the next of so many hosts, and shows the new models that come meanwhile; says whether the rounds have
    /// ended. The first round does not wait: until a host's history has been read, whoever asks waits for that.
    async fn paused(
        &self,
        hosts: usize,
        trained: &mut mpsc::Receiver<String>,
        cancelled: &CancellationToken,
    ) -> bool {
        let is_first = self.metrics.last_round.get() == 0;
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
                Some(host) = trained.recv() => drop(self.visit(&host).await),
            }
        }
    }

    /// Forecasts one host; only trouble with the gateway is passed on, since it would meet every host.
    async fn visit(&self, host: &str) -> Result<(), GatewayError> {
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
        let written = self.gateway.write(writeback::lines(&forecast)).await;
        if let Err(error) = &written {
            tracing::warn!(%host, %error, "forecasts cannot be written back");
        }
        written?;
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
