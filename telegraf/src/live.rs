//! The present of a fleet: every host reports at a given interval until the run is ended.
//!
//! What a host reports depends on the instant alone, so nothing is lost while the gateway is away: what was missed is
//! written when it is back, as Telegraf's buffer would.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio_util::sync::CancellationToken;

use crate::{
    backfill::{Span, generate},
    lines::Agent,
    progress::Progress,
    push::{Batch, Gateway, PushError},
};

/// What was missed for longer than this is let go, in seconds: Telegraf's buffer is finite too.
const CATCH_UP_S: i64 = 3600;

/// A line on stderr this often says that the fleet lives, in rounds.
const ROUNDS_BETWEEN_NOTES: u64 = 30;

/// Reports until the run is cancelled, and answers the lines that were pushed.
///
/// # Errors
///
/// Where the gateway refuses the fleet as a whole; a gateway that is away is waited for.
pub async fn run(
    mut agents: Vec<Agent>,
    interval_s: i64,
    batch_lines: u64,
    gateway: &Gateway,
    cancelled: &CancellationToken,
) -> Result<u64, PushError> {
    let progress = Progress::endless("live");
    let mut next_s = (now_s() / interval_s + 1) * interval_s;
    let (mut pushed, mut rounds) = (0, 0);
    loop {
        tokio::select! {
            () = cancelled.cancelled() => return Ok(pushed),
            () = until(next_s) => {}
        }
        let through_s = now_s();
        let from_s = next_s.max(through_s - CATCH_UP_S);
        let span = Span {
            from_s,
            through_s,
            step_s: interval_s,
        };
        let mut batches = Vec::new();
        generate(&mut agents, span, batch_lines, |batch| {
            batches.push(batch);
            true
        });
        for batch in &batches {
            tokio::select! {
                () = cancelled.cancelled() => return Ok(pushed),
                outcome = push(gateway, batch, &progress) => pushed += outcome?,
            }
        }
        next_s = (through_s / interval_s + 1) * interval_s;
        rounds += 1;
        if rounds % ROUNDS_BETWEEN_NOTES == 1 {
            progress.note(&format!("{pushed} lines so far, every {interval_s} s"));
        }
    }
}

/// Pushes one batch, however long the gateway is away.
async fn push(gateway: &Gateway, batch: &Batch, progress: &Progress) -> Result<u64, PushError> {
    loop {
        match gateway.push(batch, progress).await {
            Ok(()) => return Ok(batch.lines),
            Err(error @ PushError::LinesRefused { .. }) => {
                progress.note(&error.to_string());
                return Ok(0);
            }
            Err(error @ PushError::GaveUp { .. }) => progress.note(&error.to_string()),
            Err(error) => return Err(error),
        }
    }
}

async fn until(time_s: i64) {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let then = Duration::from_secs(time_s.max(0) as u64);
    tokio::time::sleep(then.saturating_sub(now)).await;
}

/// Answers the clock's seconds since 1970.
#[must_use]
pub fn now_s() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH);
    elapsed.map_or(0, |elapsed| elapsed.as_secs() as i64)
}
