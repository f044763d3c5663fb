//! A recorded file of line protocol, pushed as if it had just happened.
//!
//! A line keeps its text; only the timestamp behind it is written anew. Without alignment one shift moves the file's
//! last point to now; with alignment every host has a shift of its own, so that hosts that were recorded in different
//! years all end now. Times may be in any order.

mod recording;

use std::{
    str::FromStr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    progress::Progress,
    push::{Batch, Gateway, PushError, Summary},
};

pub use recording::{BadLine, RECORDING_MAX_BYTES, Recording, ReplayError, read};

/// Batches that wait for a request.
const BATCHES_WAITING: usize = 8;

/// How often a paced replay pushes.
const PACE: Duration = Duration::from_secs(1);

/// How fast a recording is pushed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    /// As fast as the gateway takes it.
    Max,
    /// As many times faster than it happened.
    Times(f64),
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "max" {
            return Ok(Self::Max);
        }
        let times = text.trim_end_matches('x').parse::<f64>().ok();
        times
            .filter(|times| times.is_finite() && *times > 0.0)
            .map(Self::Times)
            .ok_or_else(|| format!("{text:?} is no speed; write max, or a factor such as 60"))
    }
}

/// The unit of a file's timestamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Precision {
    /// Nanoseconds.
    Ns,
    /// Microseconds.
    Us,
    /// Milliseconds.
    Ms,
    /// Seconds.
    S,
}

impl Precision {
    /// Answers the precision's name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ns => "ns",
            Self::Us => "us",
            Self::Ms => "ms",
            Self::S => "s",
        }
    }

    /// Answers how many units a second has.
    #[must_use]
    pub const fn per_second(self) -> i64 {
        match self {
            Self::Ns => 1_000_000_000,
            Self::Us => 1_000_000,
            Self::Ms => 1_000,
            Self::S => 1,
        }
    }
}

/// Pushes a recording whose times were moved.
///
/// # Errors
///
/// Where the gateway takes no more.
pub async fn run(
    recording: Arc<Recording>,
    speed: Speed,
    per_second: i64,
    batch_lines: usize,
    gateway: &Gateway,
    cancelled: &CancellationToken,
) -> Result<Summary, PushError> {
    let progress = Arc::new(Progress::new("replay", recording.len() as u64));
    let (sender, receiver) = mpsc::channel(BATCHES_WAITING);
    let writer = match speed {
        Speed::Max => tokio::task::spawn_blocking(move || {
            for batch in recording.batches(batch_lines) {
                if sender.blocking_send(batch).is_err() {
                    return;
                }
            }
        }),
        Speed::Times(times) => tokio::spawn(async move {
            pace(&recording, times * per_second as f64, batch_lines, &sender).await;
        }),
    };
    let summary = gateway.push_all(receiver, &progress, cancelled).await;
    progress.finish();
    writer.abort();
    summary
}

/// Sends lines when their time has come; `units_per_s` units of the recording pass in a second.
async fn pace(
    recording: &Recording,
    units_per_s: f64,
    batch_lines: usize,
    sender: &mpsc::Sender<Batch>,
) {
    let began = Instant::now();
    let mut rest = recording.lines();
    let Some(first) = rest.first().map(|line| line.time) else {
        return;
    };
    while !rest.is_empty() {
        let reached = first as f64 + began.elapsed().as_secs_f64() * units_per_s;
        let due = rest.partition_point(|line| line.time as f64 <= reached);
        for lines in rest[..due].chunks(batch_lines) {
            if sender.send(recording.batch(lines)).await.is_err() {
                return;
            }
        }
        rest = &rest[due..];
        if !rest.is_empty() {
            tokio::time::sleep(PACE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speed_is_max_or_a_factor() {
        assert_eq!("max".parse(), Ok(Speed::Max));
        assert_eq!("60".parse(), Ok(Speed::Times(60.0)));
        assert_eq!("2.5x".parse(), Ok(Speed::Times(2.5)));
        assert!("fast".parse::<Speed>().is_err() && "0".parse::<Speed>().is_err());
    }
}
