//! Runs queries off the threads that serve connections, and no more at once than the settings allow.

use std::{sync::Arc, time::Duration};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{error::Failure, influxql::QueryLimits};

/// How long a query waits for one of those that run: a dashboard that opens asks for all its panels at once.
const QUEUE_WAIT: Duration = Duration::from_secs(5);

/// The queries that run. Clones share it.
#[derive(Clone)]
pub struct Queries {
    limits: QueryLimits,
    places: Arc<Semaphore>,
    queue_wait: Duration,
}

impl Queries {
    pub(super) fn new(limits: QueryLimits) -> Self {
        Self {
            limits,
            places: Arc::new(Semaphore::new(limits.concurrent_max)),
            queue_wait: QUEUE_WAIT,
        }
    }

    /// Runs a query, which holds its place until it ends. If the future is dropped, because the client hung up, the
    /// token is cancelled.
    ///
    /// # Errors
    ///
    /// [`Failure::QueriesBusy`] if no place gets free in time.
    pub async fn run<T: Send + 'static>(
        &self,
        query: impl FnOnce(QueryLimits, &CancellationToken) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let busy = Failure::QueriesBusy {
            limit: self.limits.concurrent_max,
        };
        let place = Arc::clone(&self.places).acquire_owned();
        let Ok(Ok(place)) = tokio::time::timeout(self.queue_wait, place).await else {
            return Err(busy);
        };
        let (limits, stop) = (self.limits, CancellationToken::new());
        let _cancels_when_dropped = stop.clone().drop_guard();
        let running = tokio::task::spawn_blocking(move || {
            let _place = place;
            query(limits, &stop)
        });
        running.await.map_err(|error| {
            tracing::error!(%error, "answering a query panicked");
            Failure::Internal
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    fn queries(concurrent_max: usize) -> Queries {
        Queries {
            queue_wait: Duration::ZERO,
            ..Queries::new(QueryLimits {
                concurrent_max,
                ..QueryLimits::default()
            })
        }
    }

    #[tokio::test]
    async fn one_query_too_many_is_told_the_limit_and_its_setting() {
        let queries = queries(1);
        let (started, has_started) = oneshot::channel();
        let (end, ends) = std::sync::mpsc::channel::<()>();
        let running = tokio::spawn({
            let queries = queries.clone();
            async move {
                let query = move |_, _: &CancellationToken| {
                    started.send(()).expect("the test waits");
                    ends.recv().is_ok()
                };
                queries.run(query).await
            }
        });
        has_started.await.expect("it runs");
        let refused = queries.run(|_, _| ()).await.expect_err("one too many");
        assert_eq!(
            refused.to_string(),
            "1 queries run already, the limit; ask again later, or raise HEADROOM_QUERY_MAX_CONCURRENT"
        );
        end.send(()).expect("it runs");
        assert!(running.await.expect("no panic").expect("an answer"));
        assert!(queries.run(|_, _| true).await.expect("a free place"));
    }

    #[tokio::test]
    async fn a_query_whose_client_hung_up_is_stopped() {
        let queries = queries(1);
        let (started, has_started) = oneshot::channel();
        let (stopped, has_stopped) = oneshot::channel();
        let running = tokio::spawn(async move {
            let query = move |_, stop: &CancellationToken| {
                started.send(()).expect("the test waits");
                while !stop.is_cancelled() {
                    std::thread::yield_now();
                }
                stopped.send(()).expect("the test waits");
            };
            queries.run(query).await
        });
        has_started.await.expect("it runs");
        running.abort();
        has_stopped.await.expect("it was stopped");
    }
}
