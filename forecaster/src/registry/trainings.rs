//! The errors of every training, kept beside the versions and longer than they are: `trainings.json`.

use std::{fs, io, path::Path};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{RegistryError, disk, files};
use crate::manifest::Manifest;

/// A year of nightly trainings.
const TRAININGS_KEPT: usize = 366;

const TRAININGS: &str = "trainings.json";

/// One training of a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// The version that came of it.
    pub version: String,
    /// When it began, in seconds since the epoch.
    pub trained_at_s: i64,
    /// What serves each target, and its errors; a target without a backtest is left out.
    pub targets: Vec<(String, TargetScores)>,
}

/// The backtest of what served a target after one training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TargetScores {
    /// The version.
    pub version: String,
    /// When it was trained.
    pub trained_at: DateTime<Utc>,
    /// The kind of model that serves.
    pub serves: String,
    /// The mean absolute error of the median.
    pub mae: f64,
    /// The root of its mean squared error.
    pub rmse: f64,
    /// The mean absolute error in units of the seasonal naive error in training; null when that is zero.
    pub mase: Option<f64>,
    /// The mean of twice the pinball loss over the nine deciles.
    pub crps: f64,
    /// The share of values within the 80 % interval.
    pub coverage80: f64,
    /// 1 − the error divided by seasonal naive's; null when that makes none.
    pub skill: Option<f64>,
}

impl Training {
    fn new(version: &str, manifest: &Manifest) -> Self {
        let targets = manifest.targets.iter().filter_map(|target| {
            let scores = target.served_scores()?;
            let kept = TargetScores {
                version: version.to_owned(),
                trained_at: DateTime::from_timestamp(manifest.trained_at_s, 0).unwrap_or_default(),
                serves: target.serves.name().to_owned(),
                mae: scores.mae,
                rmse: scores.rmse,
                mase: scores.mase,
                crps: scores.crps,
                coverage80: scores.coverage80,
                skill: scores.skill,
            };
            Some((target.metric.clone(), kept))
        });
        Self {
            version: version.to_owned(),
            trained_at_s: manifest.trained_at_s,
            targets: targets.collect(),
        }
    }

    /// Returns the errors of a target.
    #[must_use]
    pub fn of(&self, metric: &str) -> Option<TargetScores> {
        let found = self.targets.iter().find(|(name, _)| name == metric)?;
        Some(found.1.clone())
    }
}

/// Reads a host's trainings, oldest first; none where nothing was kept.
pub(super) fn read(folder: &Path) -> Result<Vec<Training>, RegistryError> {
    let path = folder.join(TRAININGS);
    match fs::read(&path) {
        // What does not parse was damaged: the models serve without it, and the next training begins it anew.
        Ok(text) => Ok(serde_json::from_slice(&text).unwrap_or_default()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(disk("read", &path)(error)),
    }
}

/// Adds a training, and forgets the oldest ones.
pub(super) fn add(folder: &Path, version: &str, manifest: &Manifest) -> Result<(), RegistryError> {
    let mut trainings = read(folder)?;
    trainings.push(Training::new(version, manifest));
    let surplus = trainings.len().saturating_sub(TRAININGS_KEPT);
    trainings.drain(..surplus);
    let path = folder.join(TRAININGS);
    let text =
        serde_json::to_vec(&trainings).map_err(|source| disk("write", &path)(source.into()))?;
    files::replace(&path, &text)
}
