//! The host's network: fitted over all targets that it can learn, calibrated, asked at the test origins,
//! refreshed.

use tokio_util::sync::CancellationToken;

use super::{Budget, Part, Progress, TrainRequest, history::History};
use crate::{
    model::{
        Base, CONTEXT_STEPS, Course, FitError, Lesson, NetworkEntry, PatchLstm, Series,
        SeriesEntry, SeriesName, SeriesScale, Widening, answer, calibrate, digest, fit, to_bytes,
        use_one_thread,
    },
    quantile::{HORIZON_STEPS, QuantilePath},
};

/// The highest learning rate on the host's own series.
const RATE_MAX: f64 = 1e-3;

/// The looks without a better validation loss that end the fit.
const PATIENCE: usize = 4;

/// The learning rate of a refresh, as a share of [`RATE_MAX`].
const REFRESH_RATE_SHARE: f64 = 0.3;

/// The steps of a refresh, as a share of a whole fit's.
const REFRESH_STEPS_SHARE: f64 = 0.25;

/// The origins that are asked in one batch.
const ASKED_MAX: usize = 256;

/// A fitted network with what the manifest says of it.
pub(super) struct Learned {
    network: PatchLstm,
    entry: NetworkEntry,
    lessons: Vec<Lesson>,
    /// The histories' places that have a series, in the order of the lessons.
    taught: Vec<usize>,
    scales: Vec<SeriesScale>,
}

impl Learned {
    /// Fits a network; `None` when no history can be learned.
    pub(super) fn fit(
        histories: &[History],
        request: &TrainRequest,
        progress: &dyn Progress,
        cancelled: &CancellationToken,
    ) -> Result<Option<Self>, FitError> {
        use_one_thread();
        let (mut lessons, mut taught, mut scales) = (Vec::new(), Vec::new(), Vec::new());
        for (place, history) in histories.iter().enumerate() {
            if let Some((lesson, scale)) = lesson(history, lessons.len() + 1) {
                lessons.push(lesson);
                taught.push(place);
                scales.push(scale);
            }
        }
        if lessons.is_empty() {
            return Ok(None);
        }
        let names: Vec<SeriesName> = taught
            .iter()
            .map(|place| {
                (
                    request.host.clone(),
                    histories[*place].target.metric.clone(),
                )
            })
            .collect();
        let network = if request.recipe.has(Part::Base) || request.recipe.has(Part::Fleet) {
            request.base.network(&names)?
        } else {
            Base::untaught(request.base.shape(), request.seed)?.network(&names)?
        };
        let fitted = fit(
            &network,
            &lessons,
            request.seed,
            tuning(request),
            progress,
            cancelled,
        )?;
        let widening = if request.recipe.has(Part::Widening) {
            calibrate(&network, &lessons, |lesson| vec![lesson.validation.clone()])?
        } else {
            Widening::default()
        };
        let entry = NetworkEntry {
            shape: network.shape(),
            parameters: network.parameters(),
            weights_sha256: String::new(),
            epoch: fitted.epoch,
            validation_loss: fitted.validation_loss,
            widening,
        };
        Ok(Some(Self {
            network,
            entry,
            lessons,
            taught,
            scales,
        }))
    }

    /// Returns the place in the network of the history at `place`.
    pub(super) fn series(&self, place: usize) -> Option<SeriesEntry> {
        let lesson = self.lesson_of(place)?;
        Some(SeriesEntry {
            index: self.lessons[lesson].series.index,
            scale: self.scales[lesson],
        })
    }

    /// Answers at origins of the history at `place`; `None` when the network did not learn it.
    pub(super) fn answers(
        &self,
        place: usize,
        origins: impl Iterator<Item = usize>,
    ) -> Result<Option<Vec<Option<QuantilePath>>>, FitError> {
        let Some(lesson) = self.lesson_of(place) else {
            return Ok(None);
        };
        let series = &self.lessons[lesson].series;
        let asked: Vec<(&Series, usize)> = origins.map(|origin| (series, origin)).collect();
        let mut paths = Vec::with_capacity(asked.len());
        for asked in asked.chunks(ASKED_MAX) {
            paths.extend(answer(&self.network, &self.entry.widening, asked)?);
        }
        Ok(Some(paths))
    }

    /// Goes on learning with the values that were kept back, and hands out the network as it will serve.
    ///
    /// The intervals are widened anew, now that the scores are taken, by all that the network has not seen yet. What was
    /// learned is kept only where it made the answers to the newest part better.
    pub(super) fn refreshed(
        mut self,
        request: &TrainRequest,
        cancelled: &CancellationToken,
    ) -> Result<(PatchLstm, NetworkEntry), FitError> {
        if request.recipe.has(Part::Widening) {
            self.entry.widening = calibrate(&self.network, &self.lessons, |lesson| {
                vec![lesson.validation.clone(), lesson.test.clone()]
            })?;
        }
        if request.recipe.has(Part::Refresh) {
            for lesson in &mut self.lessons {
                lesson.training = CONTEXT_STEPS..origins_end(lesson.series.len());
                lesson.validation = lesson.test.clone();
            }
            let seed = request.seed.wrapping_add(1);
            let course = refresh(request);
            fit(&self.network, &self.lessons, seed, course, &(), cancelled)?;
        }
        self.entry.weights_sha256 = digest(&to_bytes(&self.network)?);
        Ok((self.network, self.entry))
    }

    fn lesson_of(&self, place: usize) -> Option<usize> {
        self.taught.iter().position(|taught| *taught == place)
    }
}

/// Returns how the base is fitted to the host.
fn tuning(request: &TrainRequest) -> Course {
    let Budget {
        epochs_max,
        batches_per_epoch,
        batch_windows,
    } = request.budget;
    Course {
        epochs: if request.recipe.has(Part::Tuning) {
            epochs_max
        } else {
            0
        },
        batches: batches_per_epoch,
        batch_windows,
        rate_max: RATE_MAX,
        patience: PATIENCE,
        copies: 1,
        nameless_share: 0.0,
        newcomer_share: 0.0,
    }
}

/// Returns how the network goes on with what was kept back: for a while, at a low rate.
fn refresh(request: &TrainRequest) -> Course {
    let epochs = request.budget.epochs_max as f64 * REFRESH_STEPS_SHARE;
    Course {
        epochs: epochs.ceil() as usize,
        rate_max: REFRESH_RATE_SHARE * RATE_MAX,
        ..tuning(request)
    }
}

/// Makes a lesson of a history that can be learned.
pub(super) fn lesson(history: &History, index: usize) -> Option<(Lesson, SeriesScale)> {
    let split = history.split.filter(|_| history.learnable)?;
    let values = &history.grid.values;
    let scale = SeriesScale::fit(history.target.kind, &values[..split.training_end])?;
    let lesson = Lesson {
        series: Series::new(index, scale, &history.grid),
        training: CONTEXT_STEPS..origins_end(split.training_end),
        validation: split.validation_start..origins_end(split.validation_end),
        test: split.test_start..origins_end(split.end),
    };
    Some((lesson, scale))
}

/// Returns the first origin whose horizon does not end before step `end`.
fn origins_end(end: usize) -> usize {
    (end + 1).saturating_sub(HORIZON_STEPS)
}
