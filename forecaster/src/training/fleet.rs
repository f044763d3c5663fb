//! A base over many hosts: one network fitted on the training parts of all their targets, from which each host's own
//! begins.
//!
//! Nothing of any host's validation or test part is learned here, so that its scores stay honest.

use std::collections::BTreeMap;

use tokio_util::sync::CancellationToken;

use super::{TrainRequest, histories, learned::lesson, span};
use crate::{
    model::{Base, Course, FitError, Lesson, SeriesName, fit},
    progress::Progress,
};

/// The windows that are drawn for each series. Measured on the development hosts: twice as many gain nothing.
const WINDOWS_PER_SERIES: usize = 1_200;

/// The most windows of one fit: about a minute and a half of two cores.
const WINDOWS_MAX: usize = 524_288;

/// The most series that are learned from; of more, every second, third … host is taken.
pub const SERIES_MAX: usize = 600;

/// The passes between which the copies are averaged.
pub const PASSES: usize = 20;

const BATCH_WINDOWS: usize = 128;

/// Two copies keep two cores busy.
const COPIES: usize = 2;

/// How a base is fitted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effort {
    /// The highest learning rate of a fit of `windows_max` windows; of fewer it goes with the root of their number.
    pub rate_max: f64,
    /// The windows that are drawn for each series.
    pub windows_per_series: usize,
    /// The most windows of all series.
    pub windows_max: usize,
}

impl Default for Effort {
    /// What a whole fleet's retrain begins with.
    fn default() -> Self {
        Self {
            rate_max: 3e-3,
            windows_per_series: WINDOWS_PER_SERIES,
            windows_max: WINDOWS_MAX,
        }
    }
}

/// Fits a base over hosts, beginning from another; `None` when there is nothing to learn from.
///
/// # Errors
///
/// When the fit diverges, libtorch refuses, or the token is cancelled.
pub fn fit_base(
    from: &Base,
    requests: &[TrainRequest],
    effort: Effort,
    seed: u64,
    progress: &dyn Progress,
    cancelled: &CancellationToken,
) -> Result<Option<Base>, FitError> {
    let (lessons, names) = lessons(requests);
    if lessons.is_empty() {
        return Ok(None);
    }
    let network = from.network(&names)?;
    let windows = (lessons.len() * effort.windows_per_series).min(effort.windows_max);
    let course = Course {
        epochs: PASSES,
        batches: windows.div_ceil(PASSES * COPIES * BATCH_WINDOWS),
        batch_windows: BATCH_WINDOWS,
        // A fit of few windows is no reason to forget what the base knows.
        rate_max: effort.rate_max * (windows as f64 / effort.windows_max as f64).sqrt(),
        // The rate falls to zero at the end, and only then is the fit what it can be.
        patience: PASSES,
        copies: COPIES,
        nameless_share: 0.2,
        newcomer_share: 0.1,
    };
    fit(&network, &lessons, seed, course, progress, cancelled)?;
    let rows: BTreeMap<SeriesName, usize> = names.into_iter().zip(1..).collect();
    Ok(Some(Base::new(&network, rows)?.on(from.device())))
}

/// Makes a lesson of every target that can be learned, with its name; the rows of the embedding count from 1.
fn lessons(requests: &[TrainRequest]) -> (Vec<Lesson>, Vec<SeriesName>) {
    let (mut lessons, mut names) = (Vec::new(), Vec::new());
    for request in requests {
        let Ok((_, from_s, until_s)) = span(request) else {
            continue;
        };
        let (histories, _) = histories(request, from_s, until_s);
        for history in &histories {
            if let Some((lesson, _)) = lesson(history, lessons.len() + 1, request.recipe.inputs()) {
                lessons.push(lesson);
                names.push((request.host.clone(), history.target.metric.clone()));
            }
        }
    }
    (lessons, names)
}
