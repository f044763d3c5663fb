//! Looks after files that are read anew when they change.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use actix_web::web::Data;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::State;

/// How often it is looked whether a file has changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// By what a changed file is known.
type Mark = Option<(SystemTime, u64)>;

/// Puts a changed certificate into place, until the token is cancelled. While only one of its two files has been
/// replaced they do not fit, and the one in use stays.
pub(super) async fn certificate(state: Data<State>, stop: CancellationToken) {
    let Some(certificate) = state.certificate.clone() else {
        return;
    };
    let files = certificate.files().clone();
    let marks = move || (mark(&files.certificate), mark(&files.key));
    let mut seen = marks();
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let now = marks();
        if now != seen {
            seen = now;
            match certificate.reload() {
                Ok(()) => tracing::info!("the certificate is read anew"),
                Err(error) => tracing::error!(%error, "the certificate in use stays"),
            }
        }
    }
}

fn mark(path: &Path) -> Mark {
    let file = fs::metadata(path).ok()?;
    Some((file.modified().ok()?, file.len()))
}
