//! The base of the fleet: fitted anew before a job of all hosts, so that each of them begins from what all of them
//! taught; kept in the registry for the jobs of a few hosts and for the hosts that come later.

use std::{
    iter::once,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
};

use parking_lot::RwLock;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::{
    model::{Base, FitError},
    progress::Progress,
    registry::{Registry, RegistryError},
    training::{
        TrainRequest,
        fleet::{self, Effort},
    },
};

/// The hosts from which a fleet is worth a base of its own: fewer teach each other little.
pub const HOSTS_MIN: usize = 4;

/// Why the base stayed as it was.
#[derive(Debug, thiserror::Error)]
pub enum BaseFailure {
    /// The fit broke off.
    #[error(transparent)]
    Fit(#[from] FitError),
    /// The fit panicked.
    #[error("the fit of the base panicked")]
    Panicked,
    /// No thread could be started.
    #[error("no thread can be started for the fit of the base: {0}")]
    NoThread(#[from] std::io::Error),
    /// The registry refused it.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// A kind of network with what it begins from.
struct Kept {
    /// What a fleet's base of this kind is fitted from.
    origin: Arc<Base>,
    /// What hosts begin from at present.
    current: RwLock<Arc<Base>>,
}

/// The bases that networks begin from at present.
pub struct FleetBase {
    registry: Registry,
    own: Kept,
    extra: Vec<Kept>,
}

impl FleetBase {
    /// Reads the bases that were kept; without one, or where it cannot be read, `origin` and `extra` are begun from:
    /// the base that is part of the program, and those of the kinds that are asked for beside it.
    #[must_use]
    pub fn load(registry: Registry, origin: Arc<Base>, extra: Vec<Arc<Base>>) -> Self {
        Self {
            own: Kept::load(&registry, origin),
            extra: extra
                .into_iter()
                .map(|origin| Kept::load(&registry, origin))
                .collect(),
            registry,
        }
    }

    /// Returns the base.
    #[must_use]
    pub fn current(&self) -> Arc<Base> {
        self.own.current()
    }

    /// Says whether a fleet has taught it.
    #[must_use]
    pub fn is_of_fleet(&self) -> bool {
        !Arc::ptr_eq(&self.own.current.read(), &self.own.origin)
    }

    /// Returns the bases of the kinds that are asked for beside it.
    #[must_use]
    pub fn extra(&self) -> Vec<Arc<Base>> {
        self.extra.iter().map(Kept::current).collect()
    }

    /// Fits a base of each kind over hosts, from what it begins from, and keeps it.
    ///
    /// # Errors
    ///
    /// When a fit breaks off or the base cannot be kept; the present one stays.
    pub async fn fit(
        &self,
        requests: Vec<TrainRequest>,
        seed: u64,
        cancelled: CancellationToken,
    ) -> Result<(), BaseFailure> {
        let requests = Arc::new(requests);
        for kept in once(&self.own).chain(&self.extra) {
            let (origin, requests) = (Arc::clone(&kept.origin), Arc::clone(&requests));
            let cancelled = cancelled.clone();
            let (answer, answered) = oneshot::channel();
            thread::Builder::new()
                .name("train fleet".to_owned())
                .spawn(move || {
                    let fit = || fit(&origin, &requests, seed, &cancelled);
                    let fitted = catch_unwind(AssertUnwindSafe(fit));
                    // The receiver is gone when the service stops.
                    let _ = answer.send(fitted.unwrap_or(Err(BaseFailure::Panicked)));
                })?;
            let fitted = answered.await.unwrap_or(Err(BaseFailure::Panicked))?;
            if let Some(base) = fitted {
                self.registry.publish_base(&base)?;
                *kept.current.write() = Arc::new(base);
            }
        }
        Ok(())
    }
}

impl Kept {
    fn load(registry: &Registry, origin: Arc<Base>) -> Self {
        let kept = match registry.load_base(origin.encoder()) {
            Ok(kept) => kept.map(Arc::new),
            Err(error) => {
                tracing::warn!(%error, "the fleet's base is passed over until the next retrain of all hosts");
                None
            }
        };
        // A base of other sizes belongs to another version of the program.
        let kept = kept.filter(|kept| kept.is_like(&origin));
        Self {
            current: RwLock::new(kept.unwrap_or_else(|| Arc::clone(&origin))),
            origin,
        }
    }

    fn current(&self) -> Arc<Base> {
        Arc::clone(&self.current.read())
    }
}

fn fit(
    origin: &Base,
    requests: &[TrainRequest],
    seed: u64,
    cancelled: &CancellationToken,
) -> Result<Option<Base>, BaseFailure> {
    let silent: &dyn Progress = &();
    let fitted = fleet::fit_base(origin, requests, Effort::default(), seed, silent, cancelled)?;
    Ok(fitted)
}
