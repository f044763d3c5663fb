//! The base of the fleet: fitted anew before a job of many hosts, so that each of them begins from what all of them
//! taught; kept in the registry for the hosts that come later.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
};

use parking_lot::RwLock;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::{
    model::{Base, BaseError, FitError},
    registry::{Registry, RegistryError},
    training::{
        Progress, TrainRequest,
        fleet::{self, Effort},
    },
};

/// The hosts from which a job is worth a base of its own: fewer teach each other little.
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

/// The base that networks begin from at present.
pub struct FleetBase {
    registry: Registry,
    base: RwLock<Arc<Base>>,
}

impl FleetBase {
    /// Reads the base that was kept; without one, or where it cannot be read, the one that is part of the program.
    ///
    /// # Errors
    ///
    /// When the program was built with a file that is no base.
    pub fn load(registry: Registry) -> Result<Self, BaseError> {
        let shipped = Base::shipped()?;
        let kept = match registry.load_base() {
            Ok(kept) => kept.map(Arc::new),
            Err(error) => {
                tracing::warn!(%error, "the fleet's base is passed over until the next retrain of all hosts");
                None
            }
        };
        // A base of other sizes belongs to another version of the program.
        let kept = kept.filter(|kept| kept.is_like(&shipped));
        Ok(Self {
            registry,
            base: RwLock::new(kept.unwrap_or(shipped)),
        })
    }

    /// Returns the base.
    #[must_use]
    pub fn current(&self) -> Arc<Base> {
        Arc::clone(&self.base.read())
    }

    /// Fits a base over hosts, from the one that is part of the program, and keeps it.
    ///
    /// # Errors
    ///
    /// When the fit breaks off or the base cannot be kept; the present one stays.
    pub async fn fit(
        &self,
        requests: Vec<TrainRequest>,
        seed: u64,
        cancelled: CancellationToken,
    ) -> Result<(), BaseFailure> {
        let (answer, answered) = oneshot::channel();
        thread::Builder::new()
            .name("train fleet".to_owned())
            .spawn(move || {
                let fitted = catch_unwind(AssertUnwindSafe(|| fit(&requests, seed, &cancelled)));
                // The receiver is gone when the service stops.
                let _ = answer.send(fitted.unwrap_or(Err(BaseFailure::Panicked)));
            })?;
        let fitted = answered.await.unwrap_or(Err(BaseFailure::Panicked))?;
        if let Some(base) = fitted {
            self.registry.publish_base(&base)?;
            *self.base.write() = Arc::new(base);
        }
        Ok(())
    }
}

fn fit(
    requests: &[TrainRequest],
    seed: u64,
    cancelled: &CancellationToken,
) -> Result<Option<Base>, BaseFailure> {
    let Some(from) = requests.first().map(|request| Arc::clone(&request.base)) else {
        return Ok(None);
    };
    let silent: &dyn Progress = &();
    let fitted = fleet::fit_base(&from, requests, Effort::default(), seed, silent, cancelled)?;
    Ok(fitted)
}
