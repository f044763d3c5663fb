//! How far a training has come, told while it runs.

/// A step of a training that was taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Event {
    /// A pass of the fit has ended.
    Fitted {
        /// The pass, from 1.
        epoch: usize,
        /// The most passes that there can be.
        epochs_max: usize,
        /// The mean training loss of the pass.
        training_loss: f64,
        /// The loss on the validation part behind it.
        validation_loss: f64,
    },
    /// Targets have been scored.
    Backtested {
        /// How many.
        targets: usize,
        /// Of how many.
        of: usize,
    },
}

impl Event {
    /// Returns roughly which share of the whole training has been done.
    #[must_use]
    pub fn share_done(&self) -> f64 {
        match *self {
            Self::Fitted {
                epoch, epochs_max, ..
            } => 0.8 * epoch as f64 / epochs_max.max(1) as f64,
            Self::Backtested { targets, of } => 0.8 + 0.2 * targets as f64 / of.max(1) as f64,
        }
    }
}

/// Hears how a training goes on.
pub trait Progress: Sync {
    /// Takes note of a step.
    fn report(&self, event: Event);
}

/// Listens to nothing.
impl Progress for () {
    fn report(&self, _: Event) {}
}
