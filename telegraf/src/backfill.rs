//! The past of a fleet, pushed as fast as the gateway takes it.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    lines::{Agent, Lines},
    progress::Progress,
    push::{Batch, Gateway, PushError, Summary},
};

/// Batches that wait for a request: enough to keep the requests busy, few enough for a small memory.
const BATCHES_WAITING: usize = 8;

/// The instants of a backfill: whole steps, from `from_s` up to and including `through_s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first instant, in seconds.
    pub from_s: i64,
    /// No instant is later, in seconds.
    pub through_s: i64,
    /// Seconds between two instants.
    pub step_s: i64,
}

impl Span {
    /// Answers the instants.
    pub fn instants(self) -> impl Iterator<Item = i64> {
        let first = self.from_s.div_euclid(self.step_s) * self.step_s;
        let first = if first < self.from_s {
            first + self.step_s
        } else {
            first
        };
        (0..)
            .map(move |k| first + k * self.step_s)
            .take_while(move |time_s| *time_s <= self.through_s)
    }
}

/// Writes the lines of all agents over a span into batches of about `batch_lines`, until `send` refuses one.
pub fn generate(
    agents: &mut [Agent],
    span: Span,
    batch_lines: u64,
    mut send: impl FnMut(Batch) -> bool,
) {
    let mut text = Vec::new();
    let mut count = 0;
    for time_s in span.instants() {
        for agent in &mut *agents {
            let before = text.len();
            text = agent.write(Lines::new_with(text), time_s).build();
            count += lines_in(&text[before..]);
            if count >= batch_lines {
                if !send(Batch::new(count, &text)) {
                    return;
                }
                text.clear();
                count = 0;
            }
        }
    }
    if count > 0 {
        send(Batch::new(count, &text));
    }
}

/// Pushes a span and answers what was pushed, with the agents, which go on from there.
///
/// # Errors
///
/// Where the gateway takes no more.
///
/// # Panics
///
/// Where the writing thread panicked.
pub async fn run(
    mut agents: Vec<Agent>,
    span: Span,
    batch_lines: u64,
    gateway: &Gateway,
    cancelled: &CancellationToken,
) -> Result<(Vec<Agent>, Summary), PushError> {
    let total = expected_lines(&agents, span);
    let progress = Arc::new(Progress::new("backfill", total));
    let (sender, receiver) = mpsc::channel(BATCHES_WAITING);
    let stop = cancelled.clone();
    let writer = tokio::task::spawn_blocking(move || {
        generate(&mut agents, span, batch_lines, |batch| {
            !stop.is_cancelled() && sender.blocking_send(batch).is_ok()
        });
        agents
    });
    let summary = gateway.push_all(receiver, &progress, cancelled).await;
    progress.finish();
    let summary = summary?;
    let agents = writer.await.expect("the writer does not panic");
    Ok((agents, summary))
}

fn expected_lines(agents: &[Agent], span: Span) -> u64 {
    let steps = (span.through_s - span.from_s) / span.step_s + 1;
    let lines: u64 = agents
        .iter()
        .map(|agent| {
            let shape = &agent.host().shape;
            u64::from(shape.cores) + 2 * shape.disks.len() as u64 + 9
        })
        .sum();
    lines * steps.max(0) as u64
}

/// Counts the lines of a text whose every line ends with a newline.
pub(crate) fn lines_in(text: &[u8]) -> u64 {
    text.split(|byte| *byte == b'\n').count() as u64 - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_lie_on_whole_steps_within_the_span() {
        let span = Span {
            from_s: 301,
            through_s: 1200,
            step_s: 300,
        };
        assert_eq!(span.instants().collect::<Vec<_>>(), [600, 900, 1200]);
    }
}
