//! What all bodies together may take: bytes in memory, decompressions at once, and time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::BodyError;
use crate::config::BodyLimits;

/// How long a body waits to be decompressed: Telegraf waits five seconds for its answer, and what is turned away comes again.
const DECODE_WAIT: Duration = Duration::from_secs(3);

/// The bounds that all bodies share. Clones share them.
#[derive(Clone)]
pub struct Intake(Arc<Inner>);

struct Inner {
    limits: BodyLimits,
    decodes: Arc<Semaphore>,
    decode_wait: Duration,
    held_bytes: AtomicU64,
}

/// Bytes that count as in memory until this is dropped.
pub struct Held {
    intake: Intake,
    bytes: u64,
}

impl Intake {
    /// Begins with nothing in memory.
    #[must_use]
    pub fn new(limits: BodyLimits) -> Self {
        Self::waiting(limits, DECODE_WAIT)
    }

    fn waiting(limits: BodyLimits, decode_wait: Duration) -> Self {
        Self(Arc::new(Inner {
            limits,
            decode_wait,
            decodes: Arc::new(Semaphore::new(limits.max_decodes)),
            held_bytes: AtomicU64::new(0),
        }))
    }

    /// The bounds.
    #[must_use]
    pub fn limits(&self) -> &BodyLimits {
        &self.0.limits
    }

    /// How many bytes of bodies are in memory.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        self.0.held_bytes.load(Ordering::Relaxed)
    }

    /// Counts a new body, of which nothing has come.
    pub(super) fn hold(&self) -> Held {
        Held {
            intake: self.clone(),
            bytes: 0,
        }
    }

    /// Waits for a place to decompress in.
    pub(super) async fn place(&self) -> Result<OwnedSemaphorePermit, BodyError> {
        let place = Arc::clone(&self.0.decodes).acquire_owned();
        match tokio::time::timeout(self.0.decode_wait, place).await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(BodyError::IntakeFull {
                what: "bodies are decompressed",
                limit: self.0.limits.max_decodes as u64,
                setting: "HEADROOM_MAX_CONCURRENT_DECODES",
            }),
        }
    }
}

impl Held {
    /// Counts more bytes.
    ///
    /// # Errors
    ///
    /// [`BodyError::IntakeFull`] where they are more than there is room for.
    pub(super) fn grow(&mut self, bytes: u64) -> Result<(), BodyError> {
        let inner = &self.intake.0;
        let held = inner.held_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.bytes += bytes;
        if held <= inner.limits.max_inflight_bytes {
            return Ok(());
        }
        Err(BodyError::IntakeFull {
            what: "bytes of bodies are in memory",
            limit: inner.limits.max_inflight_bytes,
            setting: "HEADROOM_MAX_INFLIGHT_BYTES",
        })
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Held({} bytes)", self.bytes)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let held = &self.intake.0.held_bytes;
        held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> BodyLimits {
        BodyLimits {
            max_body_bytes: 10,
            max_decoded_bytes: 10,
            max_inflight_bytes: 20,
            max_decodes: 1,
            timeout: Duration::from_secs(1),
        }
    }

    #[test]
    fn bodies_share_one_bound_and_give_back_what_they_held() {
        let intake = Intake::new(limits());
        let (mut one, mut two) = (intake.hold(), intake.hold());
        one.grow(12).expect("room");
        two.grow(8).expect("room");
        let full = two.grow(1).expect_err("no room").to_string();
        assert!(full.contains("HEADROOM_MAX_INFLIGHT_BYTES"), "{full}");
        drop(one);
        two.grow(1).expect("room again");
        drop(two);
        assert_eq!(intake.held_bytes(), 0);
    }
    #[tokio::test]
    async fn one_decompression_too_many_is_told_the_limit_and_its_setting() {
        let intake = Intake::waiting(limits(), Duration::ZERO);
        let place = intake.place().await.expect("a place");
        let full = intake.place().await.expect_err("no place").to_string();
        assert!(full.starts_with("1 bodies are decompressed"), "{full}");
        assert!(full.contains("HEADROOM_MAX_CONCURRENT_DECODES"), "{full}");
        drop(place);
        assert!(intake.place().await.is_ok());
    }
}
