//! The models of the hosts that were asked about last. The others wait on disk, from where one is back within a few
//! milliseconds, so that what a fleet takes of memory does not grow with it.

use std::sync::Arc;

use hashlink::LruCache;
use parking_lot::Mutex;

use crate::{
    host_model::HostModel,
    manifest::Manifest,
    registry::{Registry, RegistryError},
};

/// The models in memory.
pub(super) struct Networks {
    registry: Registry,
    held: Mutex<LruCache<String, Arc<HostModel>>>,
}

impl Networks {
    /// Makes an empty set of so many models at most.
    pub(super) fn new(registry: Registry, most: usize) -> Self {
        Self {
            registry,
            held: Mutex::new(LruCache::new(most)),
        }
    }

    /// Holds a model that is in memory anyway, in the place of the one that was asked about least recently.
    pub(super) fn hold(&self, version: &str, model: HostModel) {
        let key = key(&model.manifest().host, version);
        self.held.lock().insert(key, Arc::new(model));
    }

    /// Drops every model of a host.
    pub(super) fn forget(&self, host: &str) {
        let theirs = key(host, "");
        self.held.lock().retain(|key, _| !key.starts_with(&theirs));
    }

    /// Returns a model, from disk where it is not in memory. Reads; not for an async thread.
    pub(super) fn of(
        &self,
        manifest: &Arc<Manifest>,
        version: &str,
    ) -> Result<Arc<HostModel>, RegistryError> {
        let key = key(&manifest.host, version);
        if let Some(model) = self.held.lock().get(&key) {
            return Ok(Arc::clone(model));
        }
        // Two that ask at once both read: that is cheaper than letting all others wait.
        let model = Arc::new(self.registry.read_again(manifest, version)?);
        self.held.lock().insert(key, Arc::clone(&model));
        Ok(model)
    }
}

/// A host's name holds no line feed.
fn key(host: &str, version: &str) -> String {
    format!("{host}\n{version}")
}
