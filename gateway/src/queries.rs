//! Runs queries off the threads that serve connections, and no more at once than the settings allow.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::JoinHandle,
    time::Instant,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::influxql::QueryLimits;

/// How long a query waits for one of those that run: a dashboard that opens asks for all its panels at once.
const QUEUE_WAIT: Duration = Duration::from_secs(5);
/// Pieces of a streamed answer that wait for the client, at most; the query waits then.
const PIECES_WAITING: usize = 4;

/// Takes pieces of an answer; says whether somebody still wants them.
pub type Pieces<'a> = &'a mut dyn FnMut(Vec<u8>) -> bool;

/// Why a query was not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QueriesError {
    /// As many run as may.
    #[error(
        "{limit} queries run already, the limit; ask again later, or raise HEADROOM_QUERY_MAX_CONCURRENT"
    )]
    Busy {
        /// The limit.
        limit: usize,
    },
    /// It panicked.
    #[error("the gateway failed; its log says more")]
    Panicked,
}

/// The queries that run. Clones share it.
#[derive(Clone)]
pub struct Queries {
    limits: QueryLimits,
    places: Arc<Semaphore>,
    queue_wait: Duration,
}

impl Queries {
    pub(crate) fn new(limits: QueryLimits) -> Self {
        Self {
            limits,
            places: Arc::new(Semaphore::new(limits.concurrent_max)),
            queue_wait: QUEUE_WAIT,
        }
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit, QueriesError> {
        let place = Arc::clone(&self.places).acquire_owned();
        match tokio::time::timeout(self.queue_wait, place).await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(QueriesError::Busy {
                limit: self.limits.concurrent_max,
            }),
        }
    }

    /// Runs a query, which holds its place until it ends. The token is cancelled if the future is dropped, because the
    /// connection broke, or when `gone` is ready, because the client closed its side.
    ///
    /// # Errors
    ///
    /// [`QueriesError::Busy`] if no place gets free in time.
    pub async fn run<T: Send + 'static>(
        &self,
        gone: impl Future<Output = ()> + 'static,
        query: impl FnOnce(QueryLimits, &CancellationToken) -> T + Send + 'static,
    ) -> Result<T, QueriesError> {
        let place = self.place().await?;
        let (limits, stop) = (self.limits, CancellationToken::new());
        let _cancels_when_dropped = stop.clone().drop_guard();
        let watched = stop.clone();
        let running = tokio::task::spawn_blocking(move || {
            let _place = place;
            query(limits, &stop)
        });
        let (running, gone) = (std::pin::pin!(running), std::pin::pin!(gone));
        let ended = match futures_util::future::select(running, gone).await {
            futures_util::future::Either::Left((ended, _)) => ended,
            futures_util::future::Either::Right(((), running)) => {
                watched.cancel();
                running.await
            }
        };
        ended.map_err(|error| {
            tracing::error!(%error, "answering a query panicked");
            QueriesError::Panicked
        })
    }

    /// Runs a query whose answer goes out in pieces while it is found, as quickly as the client takes them, but no longer
    /// than a query may take: the answer breaks off then. Dropping the stream stops the query.
    ///
    /// # Errors
    ///
    /// [`QueriesError::Busy`] if no place gets free in time.
    pub async fn stream(
        &self,
        gone: impl Future<Output = ()> + 'static,
        query: impl FnOnce(QueryLimits, &CancellationToken, Pieces<'_>) + Send + 'static,
    ) -> Result<impl Stream<Item = io::Result<Bytes>> + 'static, QueriesError> {
        let place = self.place().await?;
        let (limits, stop) = (self.limits, CancellationToken::new());
        let (sender, pieces) = mpsc::channel::<Bytes>(PIECES_WAITING);
        let deadline = Instant::now() + limits.time_max;
        let stops_when_dropped = stop.clone().drop_guard();
        let runtime = Handle::current();
        let asked = stop.clone();
        let running = tokio::task::spawn_blocking(move || {
            let _place = place;
            let mut is_whole = true;
            query(limits, &asked, &mut |piece| {
                let sending = tokio::time::timeout_at(deadline, sender.send(piece.into()));
                is_whole = matches!(runtime.block_on(sending), Ok(Ok(())));
                is_whole
            });
            is_whole
        });
        let answer = Streamed {
            pieces,
            running: Some(running),
            gone: Some(Box::pin(gone)),
            stop,
            _stops_when_dropped: stops_when_dropped,
        };
        Ok(stream::unfold(answer, Streamed::next))
    }
}

/// An answer on its way.
struct Streamed<G> {
    pieces: mpsc::Receiver<Bytes>,
    running: Option<JoinHandle<bool>>,
    /// Ready when the client has closed its side; asked for once.
    gone: Option<std::pin::Pin<Box<G>>>,
    stop: CancellationToken,
    _stops_when_dropped: DropGuard,
}

impl<G: Future<Output = ()>> Streamed<G> {
    async fn next(mut self) -> Option<(io::Result<Bytes>, Self)> {
        let piece = match &mut self.gone {
            None => self.pieces.recv().await,
            Some(gone) => tokio::select! {
                piece = self.pieces.recv() => piece,
                () = gone => {
                    self.gone = None;
                    self.stop.cancel();
                    self.pieces.recv().await
                }
            },
        };
        if let Some(piece) = piece {
            return Some((Ok(piece), self));
        }
        let broken = match self.running.take()?.await {
            Ok(true) => return None,
            Ok(false) => "the client took the answer too slowly",
            Err(error) => {
                tracing::error!(%error, "answering a query panicked");
                "the gateway failed"
            }
        };
        // The connection is closed before the answer's end, by which the client sees that something is missing.
        Some((Err(io::Error::other(broken)), self))
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use futures_util::StreamExt;
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
                queries.run(pending(), query).await
            }
        });
        has_started.await.expect("it runs");
        let refused = queries
            .run(pending(), |_, _| ())
            .await
            .expect_err("one too many");
        assert_eq!(
            refused.to_string(),
            "1 queries run already, the limit; ask again later, or raise HEADROOM_QUERY_MAX_CONCURRENT"
        );
        end.send(()).expect("it runs");
        assert!(running.await.expect("no panic").expect("an answer"));
        assert!(
            queries
                .run(pending(), |_, _| true)
                .await
                .expect("a free place")
        );
    }

    /// A query that ends only when it is stopped.
    fn until_stopped(stop: &CancellationToken) {
        while !stop.is_cancelled() {
            std::thread::yield_now();
        }
    }

    #[tokio::test]
    async fn a_query_whose_connection_broke_is_stopped() {
        let queries = queries(1);
        let (started, has_started) = oneshot::channel();
        let (stopped, has_stopped) = oneshot::channel();
        let running = tokio::spawn(async move {
            let query = move |_, stop: &CancellationToken| {
                started.send(()).expect("the test waits");
                until_stopped(stop);
                stopped.send(()).expect("the test waits");
            };
            queries.run(pending(), query).await
        });
        has_started.await.expect("it runs");
        running.abort();
        has_stopped.await.expect("it was stopped");
    }

    #[tokio::test]
    async fn a_query_whose_client_closed_its_side_is_stopped_and_answered() {
        let queries = queries(1);
        let answer = queries.run(ready(()), |_, stop| {
            until_stopped(stop);
            "stopped"
        });
        assert_eq!(answer.await.expect("an answer"), "stopped");
        let answer = queries.stream(ready(()), |_, stop, send| {
            until_stopped(stop);
            assert!(send(b"stopped".to_vec()));
        });
        let pieces: Vec<_> = answer.await.expect("an answer").collect().await;
        assert_eq!(pieces.len(), 1);
        assert_eq!(pieces[0].as_deref().expect("a piece"), b"stopped");
    }

    #[tokio::test]
    async fn a_streamed_answer_waits_for_its_client_and_ends_with_it() {
        let queries = queries(1);
        let (ended, has_ended) = oneshot::channel();
        let answer = queries.stream(pending(), move |_, _, send| {
            let mut sent = 0;
            while send(vec![b'x']) {
                sent += 1;
            }
            ended.send(sent).expect("the test waits");
        });
        let mut answer = Box::pin(answer.await.expect("an answer"));
        assert!(answer.next().await.is_some_and(|piece| piece.is_ok()));
        drop(answer);
        let sent = has_ended.await.expect("it ended");
        assert!(sent <= 2 + PIECES_WAITING, "{sent} pieces");
    }

    #[tokio::test]
    async fn an_answer_that_is_taken_too_slowly_breaks_off() {
        let queries = Queries::new(QueryLimits {
            time_max: Duration::ZERO,
            ..QueryLimits::default()
        });
        let answer = queries.stream(pending(), |_, _, send| while send(vec![b'x']) {});
        let pieces: Vec<_> = answer.await.expect("an answer").collect().await;
        assert!(pieces.last().is_some_and(Result::is_err));
    }
}
