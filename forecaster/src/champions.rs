//! The models that serve, in memory: each host's champion, loaded from the registry and replaced when a new one is
//! published.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::RwLock;

use crate::{
    forecast::{self, PredictError, TargetForecast},
    grid::Grid,
    manifest::Manifest,
    model::HostModel,
    registry::{Registry, RegistryError},
    target::Target,
};

/// A model that serves.
pub struct Champion {
    /// Its version in the registry.
    pub version: String,
    model: HostModel,
}

impl Champion {
    fn new(version: String, model: HostModel) -> Arc<Self> {
        Arc::new(Self { version, model })
    }

    /// What is known about it.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        self.model.manifest()
    }

    /// Forecasts each of `recent`, in its order. Computes; not for an async thread.
    #[must_use]
    pub fn predict(
        &self,
        recent: &[(Target, Grid)],
        steps: usize,
    ) -> Vec<Result<TargetForecast, PredictError>> {
        forecast::predict(&self.model, recent, steps)
    }
}

/// Every host's champion, and the registry behind them.
pub struct Champions {
    registry: Registry,
    serving: RwLock<Option<BTreeMap<String, Arc<Champion>>>>,
}

impl Champions {
    /// Makes the set; nothing is loaded yet.
    #[must_use]
    pub fn new(registry: Registry) -> Self {
        Self {
            registry,
            serving: RwLock::new(None),
        }
    }

    /// Loads every host's champion. One that cannot be read is passed over, and its host trained anew.
    ///
    /// # Errors
    ///
    /// When the registry's folder cannot be read.
    pub fn load(&self) -> Result<usize, RegistryError> {
        let mut loaded = BTreeMap::new();
        for host in self.registry.hosts()? {
            match self.registry.load(&host) {
                Ok(Some(model)) => {
                    for (version, error) in &model.passed_over {
                        tracing::warn!(%host, version, %error, "a model was passed over");
                    }
                    loaded.insert(host, Champion::new(model.version, model.model));
                }
                Ok(None) => {}
                Err(error) => tracing::error!(%host, %error, "no model of the host can be read"),
            }
        }
        let count = loaded.len();
        *self.serving.write() = Some(loaded);
        Ok(count)
    }

    /// Says whether the registry has been read.
    #[must_use]
    pub fn are_loaded(&self) -> bool {
        self.serving.read().is_some()
    }

    /// Returns the champion of a host.
    #[must_use]
    pub fn of(&self, host: &str) -> Option<Arc<Champion>> {
        self.serving.read().as_ref()?.get(host).cloned()
    }

    /// Returns every champion with its host.
    #[must_use]
    pub fn all(&self) -> Vec<(String, Arc<Champion>)> {
        let serving = self.serving.read();
        let champions = serving.iter().flatten();
        champions
            .map(|(host, champion)| (host.clone(), Arc::clone(champion)))
            .collect()
    }

    /// Publishes a new model: on disk first, then it serves. Writes; not for an async thread.
    ///
    /// # Errors
    ///
    /// When the disk refuses; the old model goes on serving.
    pub fn publish(&self, model: HostModel) -> Result<Arc<Champion>, RegistryError> {
        let host = model.manifest().host.clone();
        let version = self.registry.publish(&model)?;
        let champion = Champion::new(version, model);
        self.serving
            .write()
            .get_or_insert_default()
            .insert(host, Arc::clone(&champion));
        Ok(champion)
    }

    /// Lets a version that was kept serve: a rollback. Reads and writes; not for an async thread.
    ///
    /// # Errors
    ///
    /// When the host has no such version, or it cannot be read; the old model goes on serving.
    pub fn promote(&self, host: &str, version: &str) -> Result<Arc<Champion>, RegistryError> {
        let model = self.registry.promote(host, version)?;
        let champion = Champion::new(version.to_owned(), model);
        self.serving
            .write()
            .get_or_insert_default()
            .insert(host.to_owned(), Arc::clone(&champion));
        Ok(champion)
    }

    /// The registry, for what it knows of older versions.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }
}
