//! Looks for hosts, and has those trained that are seen without a model.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::{
    champions::Champions,
    clock::Clock,
    fleet::Fleet,
    jobs::{Book, Cause},
};

/// A host whose train failed, for a history that is too short or for anything else, waits this long for the next try.
const TRY_AGAIN_S: i64 = 1_800;

/// Looks for hosts.
pub struct Newcomers {
    /// The hosts.
    pub fleet: Arc<Fleet>,
    /// The models.
    pub champions: Arc<Champions>,
    /// Where trains are asked for.
    pub book: Arc<Book>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The time between two looks.
    pub interval: Duration,
    /// Whether hosts without a model are trained.
    pub train: bool,
}

impl Newcomers {
    /// Looks until it is cancelled.
    pub async fn run(self, cancelled: CancellationToken) {
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut tried = HashMap::new();
        let mut was_away = false;
        loop {
            tokio::select! {
                () = cancelled.cancelled() => return,
                _ = ticks.tick() => {}
            }
            match self.fleet.refresh().await {
                Ok(hosts) => {
                    was_away = false;
                    tried.retain(|host, _| hosts.contains_key(host));
                    if self.train {
                        self.train(hosts.keys(), &mut tried);
                    }
                }
                Err(error) if !was_away => {
                    was_away = true;
                    tracing::warn!(%error, "hosts cannot be looked for; the next look follows");
                }
                Err(_) => {}
            }
        }
    }

    fn train<'a>(&self, hosts: impl Iterator<Item = &'a String>, tried: &mut HashMap<String, i64>) {
        let now_s = self.clock.now_s();
        let newcomers: Vec<String> = hosts
            .filter(|host| self.champions.of(host).is_none())
            .filter(|host| {
                tried
                    .get(*host)
                    .is_none_or(|at_s| now_s - at_s >= TRY_AGAIN_S)
            })
            .filter(|host| !self.book.is_under_way(host))
            .cloned()
            .collect();
        if newcomers.is_empty() {
            return;
        }
        match self.book.submit(newcomers.clone(), Cause::NewHost) {
            Ok(_) => tried.extend(newcomers.into_iter().map(|host| (host, now_s))),
            Err(error) => tracing::warn!(%error, "new hosts wait for their train"),
        }
    }
}
