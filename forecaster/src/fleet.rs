//! The hosts that are known, refreshed by discovery.

use std::sync::Arc;

use parking_lot::RwLock;

use crate::{
    clock::Clock,
    config::Rule,
    discovery::{self, Host, Hosts},
    gateway::{Gateway, GatewayError},
};

/// The hosts as the last discovery found them.
pub struct Fleet {
    rules: Vec<Rule>,
    gateway: Arc<Gateway>,
    clock: Arc<dyn Clock>,
    hosts: RwLock<Option<Arc<Hosts>>>,
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

    /// Asks the gateway for hosts and targets; when it cannot answer, what was known stays.
    ///
    /// # Errors
    ///
    /// When the gateway is away or refuses.
    pub async fn refresh(&self) -> Result<Arc<Hosts>, GatewayError> {
        let hosts = discovery::discover(&self.gateway, &self.rules, self.clock.now_s()).await?;
        let hosts = Arc::new(hosts);
        let before = self.hosts.write().replace(Arc::clone(&hosts));
        for (name, host) in hosts.iter() {
            if before
                .as_ref()
                .is_none_or(|before| !before.contains_key(name))
            {
                tracing::info!(host = %name, targets = host.targets.len(), "host found");
                if host.left_out > 0 {
                    tracing::warn!(
                        host = %name,
                        left_out = host.left_out,
                        limit = discovery::TARGETS_MAX,
                        "host has more targets than are forecast; narrow the [[target]] rules"
                    );
                }
            }
        }
        Ok(hosts)
    }
}
