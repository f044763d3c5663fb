//! The loops behind the service: each is started under a name and watched, and all are ended together.
//!
//! A loop that ends before it is asked to, by a panic or by itself, is not started again, since what it left behind is
//! unknown: the log and `/ready` say so to whoever restarts the service.

use std::{collections::BTreeSet, future::Future, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The loops of a service.
#[derive(Default)]
pub struct Loops {
    tasks: TaskTracker,
    cancelled: CancellationToken,
    ended: Arc<Mutex<BTreeSet<&'static str>>>,
}

impl Loops {
    /// Returns what tells a loop to end.
    #[must_use]
    pub fn cancelled(&self) -> CancellationToken {
        self.cancelled.clone()
    }

    /// Starts a loop, which runs until it is cancelled.
    pub fn spawn(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let (cancelled, ended) = (self.cancelled(), Arc::clone(&self.ended));
        let work = tokio::spawn(work);
        self.tasks.spawn(async move {
            let outcome = work.await;
            if cancelled.is_cancelled() {
                return;
            }
            ended.lock().insert(name);
            match outcome {
                Ok(()) => tracing::error!(name, "a loop has ended; restart the service"),
                Err(error) => {
                    tracing::error!(name, %error, "a loop broke down; restart the service");
                }
            }
        });
    }

    /// Starts work that ends by itself.
    pub fn spawn_once(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(work);
    }

    /// Returns the names of loops that have ended without having been asked to.
    #[must_use]
    pub fn ended(&self) -> Vec<&'static str> {
        self.ended.lock().iter().copied().collect()
    }

    /// Ends all loops; says whether they did in time.
    pub async fn finish(&self, within: Duration) -> bool {
        self.cancelled.cancel();
        self.tasks.close();
        tokio::time::timeout(within, self.tasks.wait())
            .await
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn a_loop_that_breaks_down_is_named_and_the_others_go_on() {
        let loops = Loops::default();
        let cancelled = loops.cancelled();
        loops.spawn("sound", async move { cancelled.cancelled().await });
        loops.spawn("broken", async { panic!("a broken loop") });
        let wait = async {
            while loops.ended().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("noticed");
        assert_eq!(loops.ended(), ["broken"]);
        assert!(loops.finish(PATIENCE).await);
        assert_eq!(loops.ended(), ["broken"]);
    }
}
