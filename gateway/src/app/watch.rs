//! Looks after files that are read anew when they change: certificate and key, and the tokens that were made here.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use actix_web::web::Data;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::state::State;

/// How often it is looked whether a file has changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// By what a changed file is known.
type Mark = Option<(SystemTime, u64)>;

/// Puts changed files into place, until the token is cancelled. While only one of certificate and key has been replaced
/// they do not fit, and the pair in use stays; so do tokens in use where their file is wrong.
pub(super) async fn files(state: Data<State>, stop: CancellationToken) {
    let mut certificate = Watched::default();
    let mut tokens = Watched::default();
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if let Some(current) = &state.certificate {
            let files = current.files();
            if certificate.changed(vec![mark(&files.certificate), mark(&files.key)]) {
                match current.reload() {
                    Ok(()) => tracing::info!("the certificate is read anew"),
                    Err(error) => tracing::error!(%error, "the certificate in use stays"),
                }
            }
        }
        if tokens.changed(vec![mark(state.access.file().path())]) {
            match state.access.reload() {
                Ok(()) => tracing::info!("the tokens are read anew"),
                Err(error) => tracing::error!(%error, "the tokens in use stay"),
            }
        }
    }
}

/// What was last seen of some files.
#[derive(Default)]
struct Watched(Option<Vec<Mark>>);

impl Watched {
    /// Says whether they have changed since the last time; the first time tells nothing.
    fn changed(&mut self, now: Vec<Mark>) -> bool {
        let before = self.0.replace(now);
        before.is_some() && before != self.0
    }
}

fn mark(path: &Path) -> Mark {
    let file = fs::metadata(path).ok()?;
    Some((file.modified().ok()?, file.len()))
}
