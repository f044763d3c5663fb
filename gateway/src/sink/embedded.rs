//! The embedded store as a reader of the journal.
//!
//! Points are applied in the journal's order, one batch at a time: a batch waits for its turn. The turn passes on even
//! if applying fails or panics, so that one bad batch never blocks those behind it; it is in the journal, and the next
//! replay applies it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    influxql::QueryLimits,
    journal::{Journal, JournalOptions, Place},
    queries::Queries,
    store::{Batch, Store, StoreError},
};

/// How often it is asked whether sealing is due.
const SEAL_CHECK: Duration = Duration::from_secs(1);
/// Rows are sealed at the latest after this: chunks are long enough to compress, and a replay stays short.
const SEAL_AT_LATEST: Duration = Duration::from_mins(15);
/// A seal that failed is tried again after this, or at the next look where it is pressing.
const SEAL_AGAIN_AFTER: Duration = Duration::from_mins(1);
/// Sealing starts when the journal is this part full, long before pushes are turned away.
const SEAL_AT_JOURNAL_PART: u64 = 4;
/// Sealing starts when a batch has waited for this part of what it may: for half an hour at least, so that only a clock that
/// jumps ahead, or lines that come with an old time of receipt, bring that about. Pushes would be turned away beyond it.
const SEAL_AT_AGE_PART: u32 = 2;
/// How often old points are let go: a retention is kept to the minute.
const ENFORCE_EVERY: Duration = Duration::from_mins(1);

/// The store and whose turn it is.
#[derive(Clone)]
pub struct Embedded {
    store: Store,
    queries: Queries,
    applied: Arc<watch::Sender<u64>>,
    place: Arc<Place>,
    journal_max_bytes: u64,
    journal_max_age: Duration,
    /// Woken when a seal cannot wait for the next look.
    crowded: Arc<Notify>,
    seal_failed: Arc<AtomicBool>,
}

/// Passes the turn on when it is dropped.
struct Turn<'a> {
    applied: &'a watch::Sender<u64>,
    sequence: u64,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.applied.send_replace(self.sequence);
    }
}

impl Embedded {
    pub(crate) fn new(
        store: Store,
        limits: QueryLimits,
        journal: &Journal,
        journal_options: &JournalOptions,
    ) -> Self {
        Self {
            place: Arc::new(journal.place(store.sealed_through(), false)),
            store,
            queries: Queries::new(limits),
            applied: Arc::new(watch::Sender::new(journal.last_sequence())),
            journal_max_bytes: journal_options.max_bytes,
            journal_max_age: journal_options.max_age,
            crowded: Arc::default(),
            seal_failed: Arc::default(),
        }
    }

    /// The store, for queries.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Says whether the last seal failed: its points are still in the journal alone.
    #[must_use]
    pub fn seal_failed(&self) -> bool {
        self.seal_failed.load(Ordering::Relaxed)
    }

    /// The queries that run.
    #[must_use]
    pub fn queries(&self) -> &Queries {
        &self.queries
    }

    /// Applies a committed batch when it is its turn.
    ///
    /// # Errors
    ///
    /// Fails if the store does; the turn passes on.
    pub async fn apply(
        &self,
        sequence: u64,
        database: &str,
        retention_policy: Option<&str>,
        received_ns: i64,
        batch: Batch<'_>,
    ) -> Result<(), StoreError> {
        let mut turn = self.applied.subscribe();
        let before = sequence - 1;
        // The sender lives in `self`, so the wait cannot fail.
        let _ = turn.wait_for(|applied| *applied >= before).await;
        let _turn = Turn {
            applied: &self.applied,
            sequence,
        };
        self.store
            .apply(sequence, database, retention_policy, received_ns, &batch)?;
        if self.is_crowded() {
            self.crowded.notify_one();
        }
        Ok(())
    }

    /// Says whether memory or journal hold so much that points have to be sealed now.
    fn is_crowded(&self) -> bool {
        self.store.wants_seal()
            || self.place.unread_bytes() > self.journal_max_bytes / SEAL_AT_JOURNAL_PART
    }

    /// Says whether a batch that is not sealed has waited, by the clock, for so long that new ones would soon be turned away.
    fn is_old(&self, now_ns: i64) -> bool {
        let oldest_ns = self.place.oldest_unread_ns();
        let age_ns = oldest_ns.map_or(0, |oldest| now_ns.saturating_sub(oldest));
        let age = Duration::from_nanos(u64::try_from(age_ns).unwrap_or(0));
        age > self.journal_max_age / SEAL_AT_AGE_PART
    }

    /// Seals what is in memory, merges small chunks, lets go of old points and trims the journal, each when it is due,
    /// until the token is cancelled.
    pub(crate) async fn keep_until(self, journal: Journal, clock: Clock, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(SEAL_CHECK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut sealed_at = Instant::now();
        let mut enforced_at: Option<Instant> = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                // A seal that failed is tried again at the next look, not with every push.
                () = self.crowded.notified(), if !self.seal_failed() => {}
                _ = ticks.tick() => {}
            }
            let rested = if self.seal_failed() {
                SEAL_AGAIN_AFTER
            } else {
                SEAL_AT_LATEST
            };
            let due = sealed_at.elapsed() >= rested || self.is_crowded() || self.is_old(clock());
            if due && journal.last_sequence() > self.store.sealed_through() {
                self.seal().await;
                sealed_at = Instant::now();
                // Merging takes longer than sealing does, and a full journal turns pushes away.
                let crowded = self.clone();
                self.work("merging chunks", move |store| {
                    store.compact_while(|| !crowded.is_crowded()).map(drop)
                })
                .await;
            }
            if enforced_at.is_none_or(|at| at.elapsed() >= ENFORCE_EVERY) {
                let now_ns = clock();
                self.work("letting go of old points", move |store| {
                    store.enforce(now_ns)
                })
                .await;
                enforced_at = Some(Instant::now());
            }
        }
    }

    /// Seals what is in memory and trims the journal.
    pub(crate) async fn seal(&self) {
        let sealed = self.work("sealing", |store| store.seal().map(drop)).await;
        if sealed {
            self.place.read_through(self.store.sealed_through());
        }
        self.seal_failed.store(!sealed, Ordering::Relaxed);
    }

    /// Does disk work off the runtime's threads; says whether it was done. What failed is done later: points that are not
    /// sealed stay in the journal.
    async fn work(
        &self,
        what: &str,
        work: impl FnOnce(&Store) -> Result<(), StoreError> + Send + 'static,
    ) -> bool {
        let store = self.store.clone();
        match tokio::task::spawn_blocking(move || work(&store)).await {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => tracing::error!(%error, "{what} failed and is tried again"),
            Err(error) => tracing::error!(%error, "{what} panicked"),
        }
        false
    }
}
