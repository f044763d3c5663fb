//! The host's network: fitted over all targets that it can learn, calibrated, asked at the test origins,
//! refreshed.

use tokio_util::sync::CancellationToken;

use super::{Progress, TrainRequest, history::History};
use crate::{
    model::{
        CONTEXT_STEPS, FitError, Lesson, NetworkEntry, PatchLstm, Series, SeriesEntry, SeriesScale,
        Shape, answer, calibrate, digest, fit, refresh, to_bytes, use_one_thread,
    },
    quantile::{HORIZON_STEPS, QuantilePath},
};

/// The width of the network: the widest whose fit keeps to the default budget's time.
const HIDDEN: usize = 64;

/// The width of its decoder.
const DECODER: usize = 128;

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
        let shape = Shape {
            series: lessons.len(),
            hidden: HIDDEN,
            decoder: DECODER,
        };
        let network = PatchLstm::new(shape, request.seed)?;
        let fitted = fit(
            &network,
            &lessons,
            request.seed,
            request.budget,
            progress,
            cancelled,
        )?;
        let entry = NetworkEntry {
            shape,
            parameters: network.parameters(),
            weights_sha256: String::new(),
            epoch: fitted.epoch,
            validation_loss: fitted.validation_loss,
            widening: calibrate(&network, &lessons)?,
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

    /// Answers at the test origins of the history at `place`; `None` when the network did not learn it.
    pub(super) fn backtest(
        &self,
        place: usize,
        history: &History,
    ) -> Result<Option<Vec<Option<QuantilePath>>>, FitError> {
        let (Some(lesson), Some(split)) = (self.lesson_of(place), history.split) else {
            return Ok(None);
        };
        let series = &self.lessons[lesson].series;
        let asked: Vec<(&Series, usize)> = split
            .test_origins()
            .map(|origin| (series, origin))
            .collect();
        let mut paths = Vec::with_capacity(asked.len());
        for asked in asked.chunks(ASKED_MAX) {
            paths.extend(answer(&self.network, &self.entry.widening, asked)?);
        }
        Ok(Some(paths))
    }

    /// Goes on learning with the values that were kept back, and hands out the network as it will serve.
    pub(super) fn refreshed(
        mut self,
        request: &TrainRequest,
        cancelled: &CancellationToken,
    ) -> Result<(PatchLstm, NetworkEntry), FitError> {
        for lesson in &mut self.lessons {
            lesson.training = CONTEXT_STEPS..origins_end(lesson.series.len());
        }
        refresh(
            &self.network,
            &self.lessons,
            request.seed,
            request.budget,
            cancelled,
        )?;
        self.entry.weights_sha256 = digest(&to_bytes(&self.network)?);
        Ok((self.network, self.entry))
    }

    fn lesson_of(&self, place: usize) -> Option<usize> {
        self.taught.iter().position(|taught| *taught == place)
    }
}

fn lesson(history: &History, index: usize) -> Option<(Lesson, SeriesScale)> {
    let split = history.split.filter(|_| history.learnable)?;
    let values = &history.grid.values;
    let scale = SeriesScale::fit(history.target.kind, &values[..split.training_end])?;
    let lesson = Lesson {
        series: Series::new(index, scale, &history.grid),
        training: CONTEXT_STEPS..origins_end(split.training_end),
        validation: split.validation_start..origins_end(split.validation_end),
    };
    Some((lesson, scale))
}

/// Returns the first origin whose horizon does not end before step `end`.
fn origins_end(end: usize) -> usize {
    (end + 1).saturating_sub(HORIZON_STEPS)
}
