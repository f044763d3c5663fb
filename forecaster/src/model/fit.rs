//! Fitting a network: Adam over windows drawn at random, stopped by the loss on later windows.
//!
//! Everything random comes from the seed and nothing from the clock, so that data, seed and budget make the
//! same weights on the same machine, however many cores it has.

use std::{f64::consts::PI, ops::Range, panic::resume_unwind, thread};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{
    Device, TchError, Tensor,
    nn::{self, OptimizerConfig},
};
use tokio_util::sync::CancellationToken;

use super::{
    CONTEXT_STEPS,
    loss::{Answers, Came},
    network::{Batch, Network, assign},
    weights::WeightsError,
    window::{NEWCOMER_STEPS_MIN, Series, Window},
};
use crate::progress::{Event, Progress};

/// The first share of the steps, over which the learning rate rises.
const WARM_UP_SHARE: f64 = 0.05;

/// The most validation windows of all series together.
const VALIDATION_WINDOWS_MAX: usize = 512;

const GRADIENT_NORM_MAX: f64 = 1.0;

const WEIGHT_DECAY: f64 = 1e-4;

/// How long a fit goes on, and how boldly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Course {
    /// The most passes between two looks at the validation windows.
    pub(crate) epochs: usize,
    /// The optimiser's steps within a pass.
    pub(crate) batches: usize,
    /// The windows in a batch.
    pub(crate) batch_windows: usize,
    /// The highest learning rate.
    pub(crate) rate_max: f64,
    /// The looks without a better validation loss that end the fit.
    pub(crate) patience: usize,
    /// The copies that learn side by side, each from windows of its own, and are averaged after each pass (local SGD,
    /// Stich 2019). Part of the result, so never the number of cores.
    pub(crate) copies: usize,
    /// The share of windows whose series is not told, which teaches the row for series never seen.
    pub(crate) nameless_share: f64,
    /// The share of windows that are seen as a new host's would be: hours of history, and no scale of their own.
    pub(crate) newcomer_share: f64,
}

/// Why a network was not fitted.
#[derive(Debug, thiserror::Error)]
pub enum FitError {
    /// libtorch refused.
    #[error("libtorch refused: {0}")]
    Torch(#[from] TchError),
    /// The fitted weights cannot be carried away.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The training was cancelled.
    #[error("the training was cancelled")]
    Cancelled,
    /// The loss is no number any more.
    #[error("the loss became {loss} in epoch {epoch}; the network is of no use")]
    Diverged {
        /// The epoch.
        epoch: usize,
        /// The loss.
        loss: f64,
    },
}

/// A series with the origins that a network may learn from and be stopped by.
#[derive(Debug)]
pub(crate) struct Lesson {
    /// The series.
    pub(crate) series: Series,
    /// Origins whose horizons lie in the training part.
    pub(crate) training: Range<usize>,
    /// Origins whose horizons lie in the validation part.
    pub(crate) validation: Range<usize>,
    /// Origins whose horizons lie in the test part.
    pub(crate) test: Range<usize>,
}

/// How a fit went.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Fitted {
    /// The epoch whose weights were kept.
    pub(crate) epoch: usize,
    /// Their loss on the validation windows.
    pub(crate) validation_loss: f64,
}

/// Fits a network on the lessons' training origins, and keeps the weights that were best on their validation
/// origins.
pub(crate) fn fit(
    network: &Network,
    lessons: &[Lesson],
    seed: u64,
    course: Course,
    progress: &dyn Progress,
    cancelled: &CancellationToken,
) -> Result<Fitted, FitError> {
    let mut copies = Copies::new(network, lessons, seed, course, cancelled)?;
    let validation = Validation::new(lessons, network.device())?;
    let mut best = Fitted {
        epoch: 0,
        validation_loss: validation.loss(network)?.unwrap_or(f64::INFINITY),
    };
    let mut kept = snapshot(network)?;
    for epoch in 1..=course.epochs {
        let training_loss = copies.pass(epoch)?;
        // Without a validation window the newest weights are kept.
        let validation_loss = validation.loss(network)?;
        let newest_is_best = validation_loss.is_none_or(|loss| loss < best.validation_loss);
        let validation_loss = validation_loss.unwrap_or(training_loss);
        let loss = training_loss + validation_loss;
        if !loss.is_finite() {
            return Err(FitError::Diverged { epoch, loss });
        }
        if newest_is_best {
            best = Fitted {
                epoch,
                validation_loss,
            };
            kept = snapshot(network)?;
        }
        progress.report(Event::Fitted {
            epoch,
            epochs_max: course.epochs,
            training_loss,
            validation_loss,
        });
        if epoch >= best.epoch + course.patience {
            break;
        }
    }
    restore(&kept)?;
    Ok(best)
}

/// The copies of a network that learn side by side.
struct Copies<'a> {
    network: &'a Network,
    fits: Vec<Fit<'a>>,
}

impl<'a> Copies<'a> {
    fn new(
        network: &'a Network,
        lessons: &'a [Lesson],
        seed: u64,
        course: Course,
        cancelled: &'a CancellationToken,
    ) -> Result<Self, FitError> {
        let fits = (0..course.copies.max(1) as u64).map(|copy| {
            Fit::new(
                network.copy()?,
                lessons,
                seed.wrapping_add(copy << 32),
                course,
                cancelled,
            )
        });
        Ok(Self {
            network,
            fits: fits.collect::<Result<_, FitError>>()?,
        })
    }

    /// Lets each copy take a pass's steps, and carries their average to the network and back to all of them;
    /// returns the mean loss.
    fn pass(&mut self, epoch: usize) -> Result<f64, FitError> {
        let losses: Result<Vec<f64>, FitError> = thread::scope(|scope| {
            let passes: Vec<_> = self
                .fits
                .iter_mut()
                .map(|fit| scope.spawn(move || fit.pass(epoch)))
                .collect();
            passes
                .into_iter()
                .map(|pass| pass.join().unwrap_or_else(|panic| resume_unwind(panic)))
                .collect()
        });
        let count = self.fits.len() as f32;
        for (place, (variable, mut sums)) in snapshot(self.network)?.into_iter().enumerate() {
            sums.fill(0.0);
            for fit in &self.fits {
                let values = super::weights::values(&fit.network.variables()[place].1)?;
                sums.iter_mut()
                    .zip(values)
                    .for_each(|(sum, value)| *sum += value / count);
            }
            assign(&variable, &sums)?;
            for fit in &self.fits {
                assign(&fit.network.variables()[place].1, &sums)?;
            }
        }
        let losses = losses?;
        Ok(losses.iter().sum::<f64>() / losses.len() as f64)
    }
}

/// Draws windows and takes the optimiser's steps.
struct Fit<'a> {
    network: Network,
    lessons: Vec<&'a Lesson>,
    optimizer: nn::Optimizer,
    random: ChaCha8Rng,
    course: Course,
    cancelled: &'a CancellationToken,
}

impl<'a> Fit<'a> {
    fn new(
        network: Network,
        lessons: &'a [Lesson],
        seed: u64,
        course: Course,
        cancelled: &'a CancellationToken,
    ) -> Result<Self, FitError> {
        let lessons = lessons
            .iter()
            .filter(|lesson| !lesson.training.is_empty())
            .collect();
        let adam = nn::AdamW {
            wd: WEIGHT_DECAY,
            ..nn::AdamW::default()
        };
        Ok(Self {
            lessons,
            optimizer: adam.build(network.store(), course.rate_max)?,
            network,
            random: ChaCha8Rng::seed_from_u64(seed),
            course,
            cancelled,
        })
    }

    /// Takes the steps of a pass, and returns their mean loss.
    fn pass(&mut self, epoch: usize) -> Result<f64, FitError> {
        super::use_one_thread();
        let Course {
            epochs,
            batches,
            rate_max,
            ..
        } = self.course;
        let mut sum = 0.0;
        for batch in 0..batches {
            let done = ((epoch - 1) * batches + batch) as f64 / (epochs * batches) as f64;
            self.optimizer.set_lr(rate_max * rate_share(done));
            sum += self.step()?;
        }
        Ok(sum / batches.max(1) as f64)
    }

    /// Draws a window, evenly over series and origins, and what came behind it.
    fn draw(&mut self) -> Option<(Window, Came)> {
        let lesson = self.lessons[self.random.random_range(0..self.lessons.len())];
        let origin = self.random.random_range(lesson.training.clone());
        let nameless = self.random.random::<f64>() < self.course.nameless_share;
        let newcomer = self.random.random::<f64>() < self.course.newcomer_share;
        let known = self.random.random_range(NEWCOMER_STEPS_MIN..CONTEXT_STEPS);
        let (mut window, came) = if newcomer {
            let (series, origin) = lesson.series.newcomer(origin, known);
            seen(&series, origin)?
        } else {
            seen(&lesson.series, origin)?
        };
        if nameless {
            window.index = 0;
        }
        Some((window, came))
    }

    /// Takes one step on a batch, and returns its loss.
    fn step(&mut self) -> Result<f64, FitError> {
        if self.cancelled.is_cancelled() {
            return Err(FitError::Cancelled);
        }
        let size = self.course.batch_windows;
        let mut windows = Vec::with_capacity(size);
        let mut came = Vec::with_capacity(size);
        // A window may lack too much of its context; a bounded number of draws makes up for those.
        for _ in 0..2 * size {
            if windows.len() == size {
                break;
            }
            if let Some((window, behind)) = self.draw() {
                windows.push(window);
                came.push(behind);
            }
        }
        if windows.is_empty() {
            return Ok(0.0);
        }
        let device = self.network.device();
        let quantiles = self.network.forward(&Batch::new(&windows, device)?)?;
        let loss = Answers::new(&came, device)?.loss(&quantiles)?;
        self.optimizer.zero_grad();
        loss.f_backward()?;
        self.optimizer.clip_grad_norm(GRADIENT_NORM_MAX);
        self.optimizer.step();
        Ok(loss.f_double_value(&[])?)
    }
}

fn seen(series: &Series, origin: usize) -> Option<(Window, Came)> {
    let window = series.window(origin)?;
    let came = Came {
        values: series.answer(origin, window.scale),
        weight: series.scale().weight(window.scale),
    };
    Some((window, came))
}

/// The windows that stop a fit, made once.
struct Validation {
    windows: usize,
    batch: Batch,
    answers: Answers,
}

impl Validation {
    fn new(lessons: &[Lesson], device: Device) -> Result<Self, FitError> {
        let origins: usize = lessons.iter().map(|lesson| lesson.validation.len()).sum();
        let stride = origins.div_ceil(VALIDATION_WINDOWS_MAX).max(1);
        let (windows, came): (Vec<Window>, Vec<Came>) = lessons
            .iter()
            .flat_map(|lesson| {
                let origins = lesson.validation.clone().step_by(stride);
                origins.filter_map(|origin| seen(&lesson.series, origin))
            })
            .unzip();
        Ok(Self {
            windows: windows.len(),
            batch: Batch::new(&windows, device)?,
            answers: Answers::new(&came, device)?,
        })
    }

    /// Returns the loss; `None` without windows.
    fn loss(&self, network: &Network) -> Result<Option<f64>, FitError> {
        if self.windows == 0 {
            return Ok(None);
        }
        let loss = tch::no_grad(|| self.answers.loss(&network.forward(&self.batch)?))?;
        Ok(Some(loss.f_double_value(&[])?))
    }
}

/// Rises over the warm-up, then falls as a cosine to zero (Loshchilov & Hutter 2017).
fn rate_share(done: f64) -> f64 {
    if done < WARM_UP_SHARE {
        (done / WARM_UP_SHARE).max(0.1)
    } else {
        let done = (done - WARM_UP_SHARE) / (1.0 - WARM_UP_SHARE);
        0.5 * (1.0 + (PI * done).cos())
    }
}

fn restore(kept: &[(Tensor, Vec<f32>)]) -> Result<(), TchError> {
    kept.iter()
        .try_for_each(|(variable, values)| assign(variable, values))
}

fn snapshot(network: &Network) -> Result<Vec<(Tensor, Vec<f32>)>, TchError> {
    let variables = network.variables().into_iter();
    variables
        .map(|(_, variable)| {
            let values = super::weights::values(&variable)?;
            Ok((variable, values))
        })
        .collect()
}
