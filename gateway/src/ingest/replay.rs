//! Pushes rejects again, once the cause is gone.
//!
//! Lines of one push, as far as they are whole, go together; each is judged as the lines of any push are. Those that are
//! accepted leave the rejects after the journal has them; those that are not stay, with today's reason.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;

use super::{Ingest, IngestError, Push};
use crate::{
    access::{Access, Client, Grant},
    body::Encoding,
    lines::{Refusal, Rule, Scanner},
    rejects::{Filter, Judgement, Reject, Rejects, RejectsError},
};

/// Rejects are read, and pushed, this many at a time.
const AT_ONCE: usize = 1000;

/// What a replay has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Lines that were accepted, and are rejects no more.
    pub accepted: u64,
    /// Lines that were refused again.
    pub refused: u64,
    /// The id behind which to go on; `None`: there are no more.
    pub next: Option<i64>,
}

/// Why a replay ended early; what was accepted before has left the rejects.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The push failed.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// The file failed.
    #[error(transparent)]
    Rejects(#[from] RejectsError),
}

/// What a replay works with.
#[derive(Clone)]
pub struct Replayer {
    /// The rejects.
    pub rejects: Rejects,
    /// The way in.
    pub ingest: Ingest,
    /// The tokens, whose bounds hold for their lines.
    pub access: Arc<Access>,
    /// The id of the request that asks for it.
    pub request_id: String,
}

impl Replayer {
    /// Replays up to `limit` rejects with an id above `after`, the oldest first. Must be driven to its end: run it in a
    /// task of its own.
    ///
    /// # Errors
    ///
    /// When a push or the file fails.
    pub async fn replay(
        &self,
        filter: Filter,
        after: i64,
        limit: usize,
    ) -> Result<Replayed, ReplayError> {
        let _alone = self.rejects.replaying().await;
        let mut report = Replayed::default();
        let mut after = after;
        let mut left = limit;
        while left > 0 {
            let wanted = left.min(AT_ONCE);
            let page = self.rejects.oldest(filter.clone(), after, wanted).await?;
            let came = page.len();
            report.next = page.last().map(|reject| reject.id);
            after = report.next.unwrap_or(after);
            for same_push in page.chunk_by(|one, next| one.source == next.source) {
                self.again(same_push, &mut report).await?;
            }
            if came < wanted {
                report.next = None;
                break;
            }
            left -= came;
        }
        Ok(report)
    }

    /// Replays rejects of one push.
    async fn again(&self, rejects: &[Reject], report: &mut Replayed) -> Result<(), ReplayError> {
        let mut refused = Vec::new();
        let mut whole = Vec::new();
        // The token's bounds hold for its lines also when somebody else replays them.
        let bound_by = self.access.grant_named(&rejects[0].source.client);
        for reject in rejects {
            let gone = bound_by.is_none() && reject.reason.starts_with("token_");
            match alone(reject) {
                Err(refusal) => refused.push(Judgement::new(reject, &refusal)),
                Ok(_) if gone => refused.push(Judgement::new(reject, &bounds_unknown(reject))),
                Ok(is_timed) => whole.push((reject, is_timed)),
            }
        }
        let mut accepted = Vec::new();
        if !whole.is_empty() {
            let now_ns = self.rejects.now_ns();
            let (push, numbers) = together(&whole, bound_by, &self.request_id, now_ns);
            let receipt = self.ingest.accept(push).await?;
            let mut verdicts: BTreeMap<usize, Refusal> = receipt
                .refused
                .into_iter()
                .map(|line| (line.number, line.refusal))
                .collect();
            for ((reject, _), number) in whole.iter().zip(numbers) {
                match verdicts.remove(&number) {
                    None => accepted.push(reject.id),
                    Some(refusal) => refused.push(Judgement::new(reject, &refusal)),
                }
            }
        }
        report.accepted += accepted.len() as u64;
        report.refused += refused.len() as u64;
        Ok(self.rejects.settle(accepted, refused).await?)
    }
}

/// Says of a line that its token was not allowed, and which token cannot be asked any more, that it stays so.
fn bounds_unknown(reject: &Reject) -> Refusal {
    let rule = if reject.reason == Rule::TokenHost.code() {
        Rule::TokenHost
    } else {
        Rule::TokenMeasurement
    };
    let reason = "its token did not allow the line, and has gone; push it again with another one";
    Refusal::whole(rule, reason)
}

/// Judges whether a line by itself is one of line protocol, which nothing behind it can change; answers whether it has a timestamp.
fn alone(reject: &Reject) -> Result<bool, Refusal> {
    let mut scanner = Scanner::new(&reject.line, reject.source.precision);
    let line = scanner
        .next_line()
        .filter(|line| line.verdict.is_err() || line.bytes == (0..reject.line.len()));
    match line.map(|line| line.verdict) {
        Some(verdict) => verdict.map(|parts| parts.timestamp.is_some()),
        None => Err(Refusal::whole(
            Rule::Measurement,
            "the line cannot be told from those around it any more; push it again by hand",
        )),
    }
}

/// One push of whole lines, and the number that each has in it. It comes now: guards and the journal go by the time of a push. A
/// line without a timestamp gets the time at which it came first.
fn together(
    whole: &[(&Reject, bool)],
    bound_by: Option<Arc<Grant>>,
    request_id: &str,
    now_ns: i64,
) -> (Push, Vec<usize>) {
    let source = &whole[0].0.source;
    let mut text = Vec::new();
    let mut numbers = Vec::new();
    let mut number = 1;
    for (reject, is_timed) in whole {
        numbers.push(number);
        text.extend_from_slice(&reject.line);
        if !is_timed {
            let came = source.precision.from_ns(source.received_ns);
            text.extend_from_slice(format!(" {came}").as_bytes());
        }
        text.push(b'\n');
        number += 1 + memchr::memchr_iter(b'\n', &reject.line).count();
    }
    let text = Bytes::from(text);
    let client = (!source.client.is_empty()).then(|| Client(Arc::from(source.client.as_str())));
    let push = Push {
        database: source.database.clone(),
        retention_policy: source.retention_policy.clone(),
        precision: source.precision,
        client,
        bound_by,
        peer: source.peer.parse().ok(),
        request_id: request_id.to_owned(),
        received_ns: now_ns,
        encoding: Encoding::Identity,
        raw: text.clone(),
        text,
        held: None,
        is_replay: true,
    };
    (push, numbers)
}
