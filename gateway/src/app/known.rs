//! What the guards are told at the start of what is there already: types from InfluxDB, series from the embedded store.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::{guard::Guard, state::Core, store::Store, upstream::Upstream};

/// How often it is looked whether pushes go to a bucket that is not known yet.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// How long a server is left alone that did not list its fields.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// Asks InfluxDB for the types of the fields in every bucket that pushes go to, until the token is cancelled. Pushes
/// never wait for that: until the server has answered, what was kept from the last run counts.
pub(super) async fn preload_types(core: Core, upstream: Upstream, stop: CancellationToken) {
    let guard = core.ingest.guard();
    if !guard.holds_types() {
        return;
    }
    guard.note_bucket(&upstream.default_bucket());
    let mut ticks = tokio::time::interval(CHECK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut not_before = Instant::now();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if Instant::now() < not_before {
            continue;
        }
        for bucket in guard.unlisted_buckets() {
            let sent_through = upstream.sent_through();
            match upstream.fields(&bucket).await {
                Ok(Some(fields)) => {
                    // Nothing was on its way, and nothing came meanwhile.
                    let is_all = sent_through == core.journal.last_sequence();
                    guard.know_types(&bucket, &fields, is_all);
                    tracing::info!(
                        bucket,
                        fields = fields.len(),
                        "InfluxDB has listed its types"
                    );
                }
                Ok(None) => {
                    guard.know_types(&bucket, &[], false);
                    tracing::info!(
                        bucket,
                        "the server lists no types; the first that comes counts"
                    );
                }
                Err(reason) => {
                    tracing::warn!(
                        bucket,
                        reason,
                        "InfluxDB has not listed its types; it is asked again"
                    );
                    not_before = Instant::now() + ASK_AGAIN_AFTER;
                }
            }
        }
    }
}

/// Takes the series that stand in the store for known.
pub(super) fn preload_series(guard: &Guard, store: &Store, now_ns: i64) {
    if !guard.counts_series() {
        return;
    }
    for database in store.databases() {
        for policy in store.policies(&database).unwrap_or_default() {
            let Some(view) = store.view(&database, Some(&policy.name)) else {
                continue;
            };
            for measurement in view.measurements() {
                let series = view.series(&measurement, &[]);
                let keys = series.iter().map(|series| series.key.as_ref());
                guard.know_series(&database, keys, now_ns);
            }
        }
    }
}
