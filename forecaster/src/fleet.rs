//! The hosts that are known, refreshed by discovery.

use std::sync::Arc;

use parking_lot::RwLock;

use crate::{
    clock::Clock,
    config::Rule,
    discovery::{self, Ahead, Host, Hosts},
    gateway::{Gateway, GatewayError},
};

/// The hosts as the last discovery found them.
pub struct Fleet {
    rules: Vec<Rule>,
    gateway: Arc<Gateway>,
    clock: Arc<dyn Clock>,
    hosts: RwLock<Option<Arc<Hosts>>>,
    ahead: RwLock<Ahead>,
}

impl Fleet {
    /// Makes a fleet of which nothing is known yet.
    #[must_use]
    pub fn new(rules: Vec<Rule>, gateway: Arc<Gateway>, clock: Arc<dyn Clock>) -> Self {
        Self {
            rules,
            gateway,
            clock,
            hosts: RwLock::new(None),
            ahead: RwLock::default(),
        }
    }

    /// Returns the hosts; `None` before the first discovery.
    #[must_use]
    pub fn known(&self) -> Option<Arc<Hosts>> {
        self.hosts.read().clone()
    }

    /// Returns one host.
    #[must_use]
    pub fn host(&self, name: &str) -> Option<Host> {
        self.known()?.get(name).cloned()
    }

    /// Returns the hosts whose clocks run so far ahead that their newest points are not looked at.
    #[must_use]
    pub fn ahead(&self) -> Ahead {
        self.ahead.read().clone()
    }

    /// Asks the gateway for hosts and targets; when it cannot answer, what was known stays.
    ///
    /// # Errors
    ///
    /// When the gateway is away or refuses.
    pub async fn refresh(&self) -> Result<Arc<Hosts>, GatewayError> {
        let now_s = self.clock.now_s();
        let hosts = discovery::discover(&self.gateway, &self.rules, now_s).await?;
        self.note_ahead(
            discovery::ahead(&self.gateway, &self.rules, now_s).await?,
            now_s,
        );
        let hosts = Arc::new(hosts);
        let before = self.hosts.write().replace(Arc::clone(&hosts));
        for (name, host) in hosts.iter() {
            let known = before.as_ref().and_then(|before| before.get(name));
            if known.is_none() {
                tracing::info!(host = %name, targets = host.targets.len(), "host found");
            }
            if !host.left_out.is_empty() && known.is_none_or(|known| known.left_out.is_empty()) {
                tracing::warn!(
                    host = %name,
                    left_out = host.left_out.len(),
                    limit = discovery::TARGETS_MAX,
                    "host has more targets than are forecast; GET /api/v1/hosts names the others; narrow the [[target]] rules"
                );
            }
        }
        Ok(hosts)
    }

    /// Warns of every host whose clock has been found ahead since the last look.
    fn note_ahead(&self, ahead: Ahead, now_s: i64) {
        let mut known = self.ahead.write();
        for (host, newest_s) in &ahead {
            if !known.contains_key(host) {
                tracing::warn!(
                    %host,
                    ahead_s = newest_s - now_s,
                    limit_s = discovery::AHEAD_MAX_S,
                    "points of a host lie ahead of the time and are not looked at until it comes; set the host's clock"
                );
            }
        }
        *known = ahead;
    }
}
