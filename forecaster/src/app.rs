//! What the handlers share.

use std::sync::Arc;

use crate::{
    alert::ledger::Ledger, champions::Champions, clock::Clock, fleet::Fleet, fleet_base::FleetBase,
    gateway::Gateway, jobs::Book, loops::Loops, metrics::Metrics, rounds::Pulse, serving::Serving,
    turns::Turns,
};

/// What the handlers share.
pub struct App {
    /// The hosts.
    pub fleet: Arc<Fleet>,
    /// The gateway's client.
    pub gateway: Arc<Gateway>,
    /// The models.
    pub champions: Arc<Champions>,
    /// What networks begin from.
    pub base: Arc<FleetBase>,
    /// What forecasts.
    pub serving: Arc<Serving>,
    /// The jobs.
    pub book: Arc<Book>,
    /// Thresholds and alerts.
    pub ledger: Arc<Ledger>,
    /// Figures.
    pub metrics: Arc<Metrics>,
    /// What runs behind the requests.
    pub loops: Arc<Loops>,
    /// Whether the rounds go on.
    pub pulse: Arc<Pulse>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Turns of requests that compute for long.
    pub predicting: Turns,
}
