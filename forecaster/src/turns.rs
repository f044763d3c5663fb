//! Turns of requests that compute for long: few at a time, and nobody waits without end.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The longest wait for a turn: whoever waits longer is better told.
const WAIT: Duration = Duration::from_secs(10);
/// The longest computation: a hundred times what an ordinary one takes.
const WORK: Duration = Duration::from_secs(30);

/// Why a request was not computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TurnError {
    /// Others compute.
    #[error(
        "others have been computing for the last {} s; ask again, with fewer values or a model that is named",
        wait.as_secs()
    )]
    Busy {
        /// How long it waited.
        wait: Duration,
    },
    /// It takes too long.
    #[error(
        "this takes longer than {} s; send fewer values, or ask for a model that takes less: seasonal_naive, ets or theta",
        limit.as_secs()
    )]
    TooLong {
        /// How long it may take.
        limit: Duration,
    },
    /// It broke down.
    #[error("the computation broke down")]
    Broke,
}

/// Turns.
pub struct Turns {
    free: Arc<Semaphore>,
    wait: Duration,
    work: Duration,
}

impl Turns {
    /// Makes so many turns at a time.
    #[must_use]
    pub fn new(at_a_time: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(at_a_time)),
            wait: WAIT,
            work: WORK,
        }
    }

    /// Computes on a thread that may, when the turn has come. What takes too long keeps its turn until it has ended, since
    /// it keeps its processor.
    ///
    /// # Errors
    ///
    /// When no turn came, or the computation took too long or broke down.
    pub async fn take<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, TurnError> {
        let free = Arc::clone(&self.free).acquire_owned();
        let turn = tokio::time::timeout(self.wait, free)
            .await
            .map_err(|_| TurnError::Busy { wait: self.wait })?
            .map_err(|_| TurnError::Broke)?;
        tokio::time::timeout(self.work, computed(turn, work))
            .await
            .map_err(|_| TurnError::TooLong { limit: self.work })?
    }

    /// Computes as [`Self::take`] does, however long it takes until the turn comes and the work is done: for work that is
    /// short, and that everybody waits for.
    ///
    /// # Errors
    ///
    /// When the computation broke down.
    pub async fn take_patiently<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, TurnError> {
        let turn = Arc::clone(&self.free).acquire_owned().await;
        computed(turn.map_err(|_| TurnError::Broke)?, work).await
    }
}

/// Computes on a thread that may. The turn ends with the work, not with whoever waits for it: a client that goes away takes
/// nothing from the processor.
async fn computed<T: Send + 'static>(
    turn: OwnedSemaphorePermit,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, TurnError> {
    let computed = tokio::task::spawn_blocking(move || {
        let computed = work();
        drop(turn);
        computed
    });
    computed.await.map_err(|_| TurnError::Broke)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn who_waits_or_takes_too_long_is_told_and_a_turn_ends_with_its_work() {
        let turns = Turns {
            wait: Duration::from_millis(1),
            work: Duration::from_millis(1),
            ..Turns::new(1)
        };
        let (end, ended) = mpsc::channel::<()>();
        let long = turns.take(move || ended.recv()).await;
        assert_eq!(long.err(), Some(TurnError::TooLong { limit: turns.work }));
        let other = turns.take(|| ()).await;
        assert_eq!(other, Err(TurnError::Busy { wait: turns.wait }));
        end.send(()).expect("it waits");
        drop(turns.free.acquire().await.expect("it ends"));
        let patient = Turns {
            wait: WAIT,
            work: WORK,
            ..turns
        };
        assert_eq!(patient.take(|| 7).await, Ok(7));
    }

    #[tokio::test]
    async fn the_turn_of_a_client_that_goes_away_ends_with_its_work() {
        let turns = Arc::new(Turns::new(1));
        let (starts, started) = tokio::sync::oneshot::channel();
        let (end, ended) = mpsc::channel::<()>();
        let client = tokio::spawn({
            let turns = Arc::clone(&turns);
            async move {
                let work = move || {
                    starts.send(()).expect("the test waits");
                    ended.recv()
                };
                turns.take_patiently(work).await
            }
        });
        started.await.expect("it begins");
        client.abort();
        assert!(client.await.expect_err("it has gone").is_cancelled());
        assert_eq!(turns.free.available_permits(), 0);
        end.send(()).expect("it waits");
        assert_eq!(turns.take_patiently(|| 7).await, Ok(7));
    }
}
