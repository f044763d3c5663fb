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
    progress::{Event, Progress},
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
    /// No host has a series that can be learned.
    #[error(
        "no host has a series that the network can learn: that takes some four days of values that change"
    )]
    NothingToLearn,
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

    /// Fits a base of each kind over hosts, from what it begins from, and keeps it; `told` hears of the share that is done.
    ///
    /// # Errors
    ///
    /// When a fit breaks off or the base cannot be kept; the present one stays.
    pub async fn fit(
        &self,
        requests: Vec<TrainRequest>,
        seed: u64,
        told: impl Fn(f64) + Send + Sync + 'static,
        cancelled: CancellationToken,
    ) -> Result<(), BaseFailure> {
        let (requests, told) = (Arc::new(requests), Arc::new(told));
        let kinds = 1 + self.extra.len();
        for (place, kept) in once(&self.own).chain(&self.extra).enumerate() {
            let progress = OfKind {
                place,
                kinds,
                told: Arc::clone(&told),
            };
            let (origin, requests) = (Arc::clone(&kept.origin), Arc::clone(&requests));
            let cancelled = cancelled.clone();
            let (answer, answered) = oneshot::channel();
            thread::Builder::new()
                .name("train fleet".to_owned())
                .spawn(move || {
                    let fit = || fit(&origin, &requests, seed, &progress, &cancelled);
                    let fitted = catch_unwind(AssertUnwindSafe(fit));
                    // The receiver is gone when the service stops.
                    let _ = answer.send(fitted.unwrap_or(Err(BaseFailure::Panicked)));
                })?;
            let base = answered.await.unwrap_or(Err(BaseFailure::Panicked))?;
            self.registry.publish_base(&base)?;
            *kept.current.write() = Arc::new(base);
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

/// Tells of the fit of one kind as a share of all of them.
struct OfKind<F> {
    place: usize,
    kinds: usize,
    told: Arc<F>,
}

impl<F: Fn(f64) + Send + Sync> Progress for OfKind<F> {
    fn report(&self, event: Event) {
        if let Event::Fitted {
            epoch, epochs_max, ..
        } = event
        {
            let share = epoch as f64 / epochs_max.max(1) as f64;
            (self.told)((self.place as f64 + share) / self.kinds as f64);
        }
    }
}

fn fit(
    origin: &Base,
    requests: &[TrainRequest],
    seed: u64,
    progress: &dyn Progress,
    cancelled: &CancellationToken,
) -> Result<Base, BaseFailure> {
    let effort = Effort::default();
    let fitted = fleet::fit_base(origin, requests, effort, seed, progress, cancelled)?;
    fitted.ok_or(BaseFailure::NothingToLearn)
}
