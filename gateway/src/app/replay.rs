//! Applies to the store what the journal holds beyond the last seal, and seals on the way where that is more than memory
//! may hold.

use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::StartError;
use crate::{
    body::{self, Encoding},
    journal::{Batch, Journal},
    lines::Scanner,
    store::{self, Store, Unfit},
};

/// How the journal is replayed.
pub(super) struct Replay<'a> {
    /// Points that their retention has taken by then are passed over: a seal, or what forgets empty series, may have met
    /// them already, and a field that came anew since may have another type.
    pub(super) now_ns: i64,
    pub(super) stop: &'a CancellationToken,
}

impl Replay<'_> {
    pub(super) fn run(&self, journal: &Journal, store: &Store) -> Result<(), StartError> {
        let mut reader = journal.reader(store.sealed_through() + 1);
        let started = Instant::now();
        let (mut batches, mut lines) = (0_u64, 0_usize);
        let mut may_seal = true;
        while let Some((sequence, batch)) = reader.next_committed()? {
            if self.stop.is_cancelled() {
                return Err(StartError::Interrupted);
            }
            // What was taken was within the limit of its day; today's may be smaller.
            let text = match batch.encoding {
                Encoding::Identity => Ok(batch.body.to_vec()),
                Encoding::Gzip => body::decode(&batch.body, u64::from(u32::MAX)),
            };
            match text {
                Ok(text) => {
                    let (database, policy) = (&batch.database, batch.retention_policy.as_deref());
                    let taken = self.accepted_lines(store, &batch, &text);
                    lines += taken.len();
                    store.apply(sequence, database, policy, batch.received_ns, &taken)?;
                    store.end_claims();
                    if may_seal && store.is_full() {
                        may_seal = sealed(store);
                    }
                }
                Err(error) => {
                    let request = &batch.provenance.request_id;
                    tracing::error!(sequence, request, %error, "a journalled batch cannot be decompressed and is passed over; check the disk");
                }
            }
            batches += 1;
        }
        tracing::info!(batches, lines, took = ?started.elapsed(), "the journal is replayed");
        Ok(())
    }

    fn accepted_lines<'b>(
        &self,
        store: &'b Store,
        batch: &'b Batch,
        text: &'b [u8],
    ) -> store::Batch<'b> {
        let policy = batch.retention_policy.as_deref();
        let (database, received_ns) = (&batch.database, batch.received_ns);
        let mut intake = store
            .intake(database, policy, received_ns, text, batch.precision)
            .refusing_expired_at(self.now_ns);
        let mut scanner = Scanner::new(text, batch.precision);
        while let Some(line) = scanner.next_line() {
            let Ok(parts) = line.verdict else { continue };
            if batch.refuses(&line.bytes) {
                continue;
            }
            match intake.take(parts, Some(line.bytes)) {
                Ok(()) | Err(Unfit::Expired(_)) => {}
                Err(Unfit::Type(unfit)) => {
                    let request = &batch.provenance.request_id;
                    tracing::error!(request, %unfit, "a journalled line is passed over; check the disk");
                }
            }
        }
        intake.finish()
    }
}

/// Makes room for the rest of a long journal; says whether that went well. Where it did not, the points stay in memory, as
/// they would with a seal that fails later.
fn sealed(store: &Store) -> bool {
    let outcome = store.seal();
    if let Err(error) = &outcome {
        tracing::error!(%error, "sealing failed while the journal is read; it is tried again when that is done");
    }
    outcome.is_ok()
}
