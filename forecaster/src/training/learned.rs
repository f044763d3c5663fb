//! The host's networks: fitted over all targets that they can learn, calibrated, asked at the test origins,
//! refreshed.

use std::{collections::BTreeMap, iter::once};

use tokio_util::sync::CancellationToken;

use super::{Budget, Part, TrainRequest, history::History};
use crate::{
    model::{
        Base, CONTEXT_STEPS, Course, FitError, Inputs, Lesson, Network, NetworkEntry, Series,
        SeriesEntry, SeriesName, SeriesScale, WeightsError, answer, calibrate, digest, fit,
        to_bytes, use_one_thread,
    },
    model_kind::ModelKind,
    progress::{Event, Progress},
    quantile::{HORIZON_STEPS, QuantilePath},
    widening::Widening,
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

/// How many times the steps and the learning rate grow for a network that begins from random weights.
const UNTAUGHT: (usize, f64) = (4, 3.0);

/// A fitted network with what the manifest says of it.
struct Head {
    network: Network,
    entry: NetworkEntry,
}

/// The fitted networks of a host, each by what it serves as.
pub(super) struct Learned {
    heads: BTreeMap<ModelKind, Head>,
    lessons: Vec<Lesson>,
    /// The histories' places that have a series, in the order of the lessons.
    taught: Vec<usize>,
    scales: Vec<SeriesScale>,
}

impl Learned {
    /// Fits a network for each base of the request; `None` when no history can be learned.
    pub(super) fn fit(
        histories: &[History],
        request: &TrainRequest,
        progress: &dyn Progress,
        cancelled: &CancellationToken,
    ) -> Result<Option<Self>, FitError> {
        use_one_thread();
        let (mut lessons, mut taught, mut scales) = (Vec::new(), Vec::new(), Vec::new());
        for (place, history) in histories.iter().enumerate() {
            if let Some((lesson, scale)) =
                lesson(history, lessons.len() + 1, request.recipe.inputs())
            {
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
        let bases: Vec<&Base> = once(&request.base)
            .chain(&request.extra)
            .map(AsRef::as_ref)
            .collect();
        let mut heads = BTreeMap::new();
        for (before, base) in bases.iter().enumerate() {
            let shown = OneOf {
                progress,
                before,
                of: bases.len(),
            };
            let head = Head::fit(base, &lessons, &names, request, &shown, cancelled)?;
            heads.insert(ModelKind::of_network(base.encoder()), head);
        }
        Ok(Some(Self {
            heads,
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

    /// Returns what the networks serve as.
    pub(super) fn kinds(&self) -> impl Iterator<Item = ModelKind> {
        self.heads.keys().copied()
    }

    /// Lets the network of a kind answer at origins of the history at `place`; `None` when it did not learn that.
    pub(super) fn answers(
        &self,
        kind: ModelKind,
        place: usize,
        origins: impl Iterator<Item = usize>,
    ) -> Result<Option<Vec<Option<QuantilePath>>>, FitError> {
        let (Some(head), Some(lesson)) = (self.heads.get(&kind), self.lesson_of(place)) else {
            return Ok(None);
        };
        let series = &self.lessons[lesson].series;
        let asked: Vec<(&Series, usize)> = origins.map(|origin| (series, origin)).collect();
        let mut paths = Vec::with_capacity(asked.len());
        for asked in asked.chunks(ASKED_MAX) {
            paths.extend(answer(&head.network, &head.entry.widening, asked)?);
        }
        Ok(Some(paths))
    }

    /// Goes on learning with the values that were kept back, and hands out the networks as they will serve.
    ///
    /// The intervals are widened anew, now that the scores are taken, by all that the networks have not seen yet. What
    /// was learned is kept only where it made the answers to the newest part better.
    pub(super) fn refreshed(
        mut self,
        request: &TrainRequest,
        cancelled: &CancellationToken,
    ) -> Result<Vec<(Network, NetworkEntry)>, FitError> {
        if request.recipe.has(Part::Widening) {
            for head in self.heads.values_mut() {
                head.entry.widening = calibrate(&head.network, &self.lessons, |lesson| {
                    vec![lesson.validation.clone(), lesson.test.clone()]
                })?;
            }
        }
        for lesson in &mut self.lessons {
            lesson.training = CONTEXT_STEPS..origins_end(lesson.series.len());
            lesson.validation = lesson.test.clone();
        }
        let mut refreshed = Vec::with_capacity(self.heads.len());
        for mut head in self.heads.into_values() {
            if request.recipe.has(Part::Refresh) {
                let seed = request.seed.wrapping_add(1);
                let course = refresh(request);
                fit(&head.network, &self.lessons, seed, course, &(), cancelled)?;
            }
            head.entry.weights_sha256 = digest(&to_bytes(&head.network)?);
            refreshed.push((head.network, head.entry));
        }
        Ok(refreshed)
    }

    fn lesson_of(&self, place: usize) -> Option<usize> {
        self.taught.iter().position(|taught| *taught == place)
    }
}

impl Head {
    fn fit(
        base: &Base,
        lessons: &[Lesson],
        names: &[SeriesName],
        request: &TrainRequest,
        progress: &dyn Progress,
        cancelled: &CancellationToken,
    ) -> Result<Self, FitError> {
        let untaught =
            || Ok::<_, WeightsError>(Base::untaught(base.shape(), request.seed)?.on(base.device()));
        let random = !(request.recipe.has(Part::Base) || request.recipe.has(Part::Fleet));
        let untaught = random.then(untaught).transpose()?;
        let base = untaught.as_ref().unwrap_or(base);
        let network = base.network(names)?;
        let course = if base.is_taught() {
            tuning(request)
        } else {
            from_nothing(request)
        };
        let fitted = fit(&network, lessons, request.seed, course, progress, cancelled)?;
        let widening = if request.recipe.has(Part::Widening) {
            calibrate(&network, lessons, |lesson| vec![lesson.validation.clone()])?
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
        Ok(Self { network, entry })
    }
}

/// Reports the fit of one of several networks as its part of the whole.
struct OneOf<'a> {
    progress: &'a dyn Progress,
    before: usize,
    of: usize,
}

impl Progress for OneOf<'_> {
    fn report(&self, event: Event) {
        self.progress.report(match event {
            Event::Fitted {
                epoch,
                epochs_max,
                training_loss,
                validation_loss,
            } => Event::Fitted {
                epoch: self.before * epochs_max + epoch,
                epochs_max: self.of * epochs_max,
                training_loss,
                validation_loss,
            },
            other @ Event::Backtested { .. } => other,
        });
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

/// Returns how a network is fitted to the host that begins from random weights.
fn from_nothing(request: &TrainRequest) -> Course {
    let tuning = tuning(request);
    let (times, bolder) = UNTAUGHT;
    Course {
        epochs: times * tuning.epochs,
        rate_max: bolder * tuning.rate_max,
        ..tuning
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
pub(super) fn lesson(
    history: &History,
    index: usize,
    inputs: Inputs,
) -> Option<(Lesson, SeriesScale)> {
    let split = history.split.filter(|_| history.learnable)?;
    let values = &history.grid.values;
    let scale = SeriesScale::fit_for(history.target.kind, &values[..split.training_end], inputs)?;
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
