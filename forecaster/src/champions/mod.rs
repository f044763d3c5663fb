//! The models that serve: each host's champion, and the challenger that runs beside it where there is one.
//!
//! What is known about every model stays in memory; its network is there while it is asked for (`networks`).

mod networks;
mod trials;

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::{Mutex, RwLock};

use self::networks::Networks;
pub use self::trials::Contest;
use crate::{
    ensemble::Standings,
    forecast::{self, PredictError, TargetForecast},
    grid::Grid,
    host_model::HostModel,
    manifest::{Manifest, Verdict},
    registry::{Alias, Registry, RegistryError, Trial},
    target::Target,
    training::Incumbent,
};

/// A model that serves, or that runs beside one.
pub struct Champion {
    /// Its version in the registry.
    pub version: String,
    manifest: Arc<Manifest>,
    standings: Standings,
    networks: Arc<Networks>,
}

impl std::fmt::Debug for Champion {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Champion({}/{})", self.manifest.host, self.version)
    }
}

impl Incumbent for Champion {
    fn version(&self) -> &str {
        &self.version
    }

    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn predict(
        &self,
        recent: &[(Target, Grid)],
        steps: usize,
    ) -> Vec<Result<TargetForecast, PredictError>> {
        Self::predict(self, recent, steps)
    }
}

impl Champion {
    /// What is known about it.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Forecasts each of `recent`, in its order. Computes, and may read; not for an async thread.
    #[must_use]
    pub fn predict(
        &self,
        recent: &[(Target, Grid)],
        steps: usize,
    ) -> Vec<Result<TargetForecast, PredictError>> {
        match self.networks.of(&self.manifest, &self.version) {
            Ok(model) => forecast::predict_by(&model, &self.standings, recent, steps),
            Err(error) => {
                tracing::error!(host = %self.manifest.host, %error, "a network cannot be read; retrain the host");
                let without = HostModel::without_networks(Arc::clone(&self.manifest));
                forecast::predict(&without, recent, steps)
            }
        }
    }
}

/// What became of a new model.
#[derive(Debug)]
pub enum Published {
    /// It serves.
    Serves(Arc<Champion>),
    /// It runs beside the champion for a while.
    OnTrial(Trial),
    /// The champion did better on the same origins and goes on serving; the new model is kept.
    Kept {
        /// Its version.
        version: String,
        /// Why it does not serve.
        verdict: Verdict,
    },
}

/// How long challengers run beside their champion, and when that begins.
#[derive(Debug, Clone, Copy)]
pub struct Shadow {
    /// The time now.
    pub now_s: i64,
    /// How long; 0 for no trial.
    pub length_s: i64,
}

/// Every host's champion, and the registry behind them.
pub struct Champions {
    registry: Registry,
    networks: Arc<Networks>,
    serving: RwLock<Option<BTreeMap<String, Arc<Champion>>>>,
    contests: RwLock<BTreeMap<String, Arc<Contest>>>,
    /// Held by whoever changes the disk and what is in memory of it, so that the two stay alike.
    changing: Mutex<()>,
}

impl Champions {
    /// Makes the set, of which so many networks are in memory at most; nothing is loaded yet.
    #[must_use]
    pub fn new(registry: Registry, networks_in_memory: usize) -> Self {
        Self {
            networks: Arc::new(Networks::new(registry.clone(), networks_in_memory)),
            registry,
            serving: RwLock::new(None),
            contests: RwLock::default(),
            changing: Mutex::default(),
        }
    }

    /// Loads every host's champion, and the challengers on trial. One that cannot be read is passed over, and its host
    /// trained anew.
    ///
    /// # Errors
    ///
    /// When the registry's folder cannot be read.
    pub fn load(&self) -> Result<usize, RegistryError> {
        let _alone = self.changing.lock();
        let mut loaded = BTreeMap::new();
        for host in self.registry.hosts()? {
            match self.registry.load(&host) {
                Ok(Some(model)) => {
                    for (version, error) in &model.passed_over {
                        tracing::warn!(%host, version, %error, "a model was passed over");
                    }
                    loaded.insert(host, self.known(model.version, model.model));
                }
                Ok(None) => {}
                Err(error) => tracing::error!(%host, %error, "no model of the host can be read"),
            }
        }
        let read = |host: &str, version: &str| {
            let model = self.registry.read(host, version)?;
            Ok(self.known(version.to_owned(), model))
        };
        *self.contests.write() = trials::under_way(&self.registry, &loaded, read);
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

    /// Publishes a new model, on disk first: it serves, unless the champion was better on the same origins, or it has to
    /// run beside the champion before. Writes; not for an async thread.
    ///
    /// # Errors
    ///
    /// When the disk refuses; the old model goes on serving.
    pub fn publish(&self, model: HostModel, shadow: Shadow) -> Result<Published, RegistryError> {
        let _alone = self.changing.lock();
        let host = model.manifest().host.clone();
        match self.of(&host) {
            Some(champion) if shadow.length_s > 0 => self.try_out(model, &champion, shadow),
            Some(champion) => match model.manifest().gate.clone() {
                // A rollback since then has made the comparison void.
                Some(verdict) if !verdict.promoted && verdict.champion == champion.version => {
                    let version = self.registry.publish_as(&model, None)?;
                    Ok(Published::Kept { version, verdict })
                }
                _ => self.crown(model),
            },
            None => self.crown(model),
        }
    }

    fn crown(&self, model: HostModel) -> Result<Published, RegistryError> {
        let host = model.manifest().host.clone();
        let version = self.registry.publish(&model)?;
        self.cut_short(&host, &version, "was published without a trial")?;
        let champion = self.known(version, model);
        self.serve(&host, &champion);
        Ok(Published::Serves(champion))
    }

    fn try_out(
        &self,
        model: HostModel,
        champion: &Champion,
        shadow: Shadow,
    ) -> Result<Published, RegistryError> {
        let host = model.manifest().host.clone();
        let version = self.registry.publish_as(&model, Alias::Challenger)?;
        let trial = Trial {
            challenger: version.clone(),
            champion: champion.version.clone(),
            since_s: shadow.now_s,
            until_s: shadow.now_s + shadow.length_s,
            verdict: None,
        };
        self.registry.keep_trial(&host, &trial)?;
        let contest = Contest {
            challenger: self.known(version, model),
            trial: trial.clone(),
        };
        self.contests.write().insert(host, Arc::new(contest));
        Ok(Published::OnTrial(trial))
    }

    /// Lets a version that was kept serve: a rollback, which ends a trial. Reads and writes; not for an async thread.
    ///
    /// # Errors
    ///
    /// When the host has no such version, or it cannot be read; the old model goes on serving.
    pub fn promote(&self, host: &str, version: &str) -> Result<Arc<Champion>, RegistryError> {
        let _alone = self.changing.lock();
        let model = self.registry.promote(host, version)?;
        self.cut_short(host, version, "was chosen by request")?;
        let champion = self.known(version.to_owned(), model);
        self.serve(host, &champion);
        Ok(champion)
    }

    /// Removes every model of a host, the champion and its trial too; says whether there was anything. Writes; not for an
    /// async thread.
    ///
    /// # Errors
    ///
    /// When the disk refuses; what serves goes on serving until the next start.
    pub fn forget(&self, host: &str) -> Result<bool, RegistryError> {
        let _alone = self.changing.lock();
        let was_kept = self.registry.forget(host)?;
        if let Some(serving) = self.serving.write().as_mut() {
            serving.remove(host);
        }
        self.contests.write().remove(host);
        self.networks.forget(host);
        Ok(was_kept)
    }

    fn serve(&self, host: &str, champion: &Arc<Champion>) {
        self.serving
            .write()
            .get_or_insert_default()
            .insert(host.to_owned(), Arc::clone(champion));
    }

    fn known(&self, version: String, model: HostModel) -> Arc<Champion> {
        let manifest = Arc::clone(model.manifest());
        self.networks.hold(&version, model);
        Arc::new(Champion {
            version,
            manifest,
            standings: Standings::default(),
            networks: Arc::clone(&self.networks),
        })
    }

    /// The registry, for what it knows of older versions.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }
}
