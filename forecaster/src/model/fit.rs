//! Fitting a network: Adam over windows drawn at random, stopped by the loss on later windows.
//!
//! Everything random comes from the seed and nothing from the clock, so that data, seed and budget make the
//! same weights on the same machine. One thread does the arithmetic; hosts are trained side by side.

use std::{f64::consts::PI, ops::Range};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{
    TchError, Tensor,
    nn::{self, OptimizerConfig},
};
use tokio_util::sync::CancellationToken;

use super::{
    loss::Answers,
    network::{Batch, PatchLstm, assign},
    weights::WeightsError,
    window::{Series, Window},
};
use crate::training::{Budget, Event, Progress};

/// The highest learning rate.
const RATE_MAX: f64 = 3e-3;

/// The first share of the steps, over which the learning rate rises.
const WARM_UP_SHARE: f64 = 0.05;

/// The learning rate of a refresh, as a share of [`RATE_MAX`].
const REFRESH_RATE_SHARE: f64 = 0.3;

/// The steps of a refresh, as a share of a whole fit's.
const REFRESH_STEPS_SHARE: f64 = 0.25;

/// The looks without a better validation loss that end the fit.
const PATIENCE: usize = 8;

/// The most validation windows of all series together.
const VALIDATION_WINDOWS_MAX: usize = 512;

const GRADIENT_NORM_MAX: f64 = 1.0;

const WEIGHT_DECAY: f64 = 1e-4;

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
}

/// How a fit went.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Fitted {
    /// The epoch whose weights were kept.
    pub(crate) epoch: usize,
    /// Their loss on the validation windows.
    pub(crate) validation_loss: f64,
}

/// Draws windows and takes the optimiser's steps.
struct Fit<'a> {
    network: &'a PatchLstm,
    lessons: Vec<&'a Lesson>,
    optimizer: nn::Optimizer,
    random: ChaCha8Rng,
    budget: Budget,
    cancelled: &'a CancellationToken,
}

/// Fits a network on the lessons' training origins, and keeps the weights that were best on their validation
/// origins.
pub(crate) fn fit(
    network: &PatchLstm,
    lessons: &[Lesson],
    seed: u64,
    budget: Budget,
    progress: &dyn Progress,
    cancelled: &CancellationToken,
) -> Result<Fitted, FitError> {
    let mut fit = Fit::new(network, lessons, seed, budget, cancelled)?;
    let validation = Validation::new(lessons)?;
    let epochs_max = budget.epochs_max.max(1);
    let steps = epochs_max * budget.batches_per_epoch;
    let mut best = Fitted {
        epoch: 0,
        validation_loss: validation.loss(network)?.unwrap_or(f64::INFINITY),
    };
    let mut kept = snapshot(network)?;
    for epoch in 1..=epochs_max {
        let mut training_loss = 0.0;
        for batch in 0..budget.batches_per_epoch {
            let step = (epoch - 1) * budget.batches_per_epoch + batch;
            fit.optimizer
                .set_lr(RATE_MAX * rate_share(step as f64 / steps as f64));
            training_loss += fit.step()? / budget.batches_per_epoch as f64;
        }
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
            epochs_max,
            training_loss,
            validation_loss,
        });
        if epoch >= best.epoch + PATIENCE {
            break;
        }
    }
    for (variable, values) in kept {
        assign(&variable, &values)?;
    }
    Ok(best)
}

/// Goes on for a while at a low learning rate, with every value up to the end of each series.
pub(crate) fn refresh(
    network: &PatchLstm,
    lessons: &[Lesson],
    seed: u64,
    budget: Budget,
    cancelled: &CancellationToken,
) -> Result<(), FitError> {
    let mut fit = Fit::new(network, lessons, seed.wrapping_add(1), budget, cancelled)?;
    let steps = (budget.epochs_max * budget.batches_per_epoch) as f64 * REFRESH_STEPS_SHARE;
    for step in 0..steps as usize {
        let share = REFRESH_RATE_SHARE * rate_share(step as f64 / steps);
        fit.optimizer.set_lr(RATE_MAX * share);
        let loss = fit.step()?;
        if !loss.is_finite() {
            return Err(FitError::Diverged { epoch: 0, loss });
        }
    }
    Ok(())
}

impl<'a> Fit<'a> {
    fn new(
        network: &'a PatchLstm,
        lessons: &'a [Lesson],
        seed: u64,
        budget: Budget,
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
            network,
            lessons,
            optimizer: adam.build(network.store(), RATE_MAX)?,
            random: ChaCha8Rng::seed_from_u64(seed),
            budget,
            cancelled,
        })
    }

    /// Takes one step on a batch of windows drawn evenly over series and origins, and returns its loss.
    fn step(&mut self) -> Result<f64, FitError> {
        if self.cancelled.is_cancelled() {
            return Err(FitError::Cancelled);
        }
        let mut asked = Vec::with_capacity(self.budget.batch_windows);
        let mut windows = Vec::with_capacity(self.budget.batch_windows);
        // A window may lack too much of its context; a bounded number of draws makes up for those.
        for _ in 0..2 * self.budget.batch_windows {
            if windows.len() == self.budget.batch_windows {
                break;
            }
            let lesson = self.lessons[self.random.random_range(0..self.lessons.len())];
            let origin = self.random.random_range(lesson.training.clone());
            if let Some(window) = lesson.series.window(origin) {
                asked.push((&lesson.series, origin));
                windows.push(window);
            }
        }
        if windows.is_empty() {
            return Ok(0.0);
        }
        let answers = Answers::new(&asked, &windows)?;
        let loss = answers.loss(&self.network.forward(&Batch::new(&windows)?)?)?;
        self.optimizer.zero_grad();
        loss.f_backward()?;
        self.optimizer.clip_grad_norm(GRADIENT_NORM_MAX);
        self.optimizer.step();
        Ok(loss.f_double_value(&[])?)
    }
}

/// The windows that stop a fit, made once.
struct Validation {
    windows: usize,
    batch: Batch,
    answers: Answers,
}

impl Validation {
    fn new(lessons: &[Lesson]) -> Result<Self, FitError> {
        let origins: usize = lessons.iter().map(|lesson| lesson.validation.len()).sum();
        let stride = origins.div_ceil(VALIDATION_WINDOWS_MAX).max(1);
        let (asked, windows): (Vec<(&Series, usize)>, Vec<Window>) = lessons
            .iter()
            .flat_map(|lesson| {
                let origins = lesson.validation.clone().step_by(stride);
                origins.map(move |origin| (&lesson.series, origin))
            })
            .filter_map(|(series, origin)| Some(((series, origin), series.window(origin)?)))
            .unzip();
        Ok(Self {
            windows: windows.len(),
            batch: Batch::new(&windows)?,
            answers: Answers::new(&asked, &windows)?,
        })
    }

    /// Returns the loss; `None` without windows.
    fn loss(&self, network: &PatchLstm) -> Result<Option<f64>, FitError> {
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

fn snapshot(network: &PatchLstm) -> Result<Vec<(Tensor, Vec<f32>)>, TchError> {
    let variables = network.variables().into_iter();
    variables
        .map(|(_, variable)| {
            let values = super::weights::values(&variable)?;
            Ok((variable, values))
        })
        .collect()
}
