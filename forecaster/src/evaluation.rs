//! Forecasts for a fixed evaluation: series and windows from files, answers for a scoring program.
//!
//! A folder holds
//!
//! | file | columns |
//! |---|---|
//! | `series_5min.csv.gz` | `series_id` (`dataset\|host\|metric`), `epoch_s`, `value`; an absent row is a missing bin |
//! | `windows.csv.gz` | `series_id`, `origin_index` (bins from the series' first row), and a column of 0 and 1 a scope |
//! | `series.csv` | `series_id`, `n_train`: the bins that may be learned from |
//!
//! Each host is trained on the first `n_train` bins of its series, and asked at each origin with the bins
//! before it: by the same code that serves. Nothing at or behind an origin is ever read.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::{self, BufReader, Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use flate2::read::MultiGzDecoder;
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    forecast::{HISTORY_STEPS, predict},
    grid::{Grid, STEP_S, Sample},
    model::HostModel,
    quantile::{HORIZON_STEPS, LEVELS, QuantilePath},
    target::{Kind, Target, TargetRule},
    training::{Budget, TrainRequest},
};

/// The steps of a window that are scored: four hours.
pub const SCORED_STEPS: usize = 48;

/// Why an evaluation could not be read.
#[derive(Debug, thiserror::Error)]
pub enum EvaluationError {
    /// A file is missing or cannot be read.
    #[error(
        "cannot read {path}: {source}; the folder must hold series_5min.csv.gz, windows.csv.gz and series.csv"
    )]
    FileUnreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A row is not as it should be.
    #[error("{path} is not as expected: {source}")]
    RowInvalid {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: csv::Error,
    },
    /// No window belongs to the scope.
    #[error(
        "no window of {path} has a 1 in its column {scope:?}; the scopes are the columns behind the origins"
    )]
    ScopeEmpty {
        /// The file.
        path: PathBuf,
        /// The scope.
        scope: String,
    },
}

/// The series of one host.
#[derive(Debug)]
pub struct EvaluatedHost {
    /// The host, with its data set: `dataset|host`.
    pub host: String,
    series: Vec<EvaluatedSeries>,
}

#[derive(Debug)]
struct EvaluatedSeries {
    id: String,
    target: Target,
    grid: Grid,
    training_steps: usize,
    origins: Vec<usize>,
}

/// The forecast of one window.
#[derive(Debug)]
pub struct WindowForecast<'a> {
    series_id: &'a str,
    origin: usize,
    /// The missing bins right before the origin: the forecast begins that much earlier.
    ahead: usize,
    path: QuantilePath,
}

/// Reads the hosts of an evaluation that have windows of a scope, in the order of their names.
///
/// # Errors
///
/// When a file is missing or not as expected.
pub fn read(folder: &Path, scope: &str) -> Result<Vec<EvaluatedHost>, EvaluationError> {
    #[derive(Deserialize)]
    struct Meta {
        series_id: String,
        n_train: usize,
    }
    #[derive(Deserialize)]
    struct Row {
        series_id: String,
        epoch_s: i64,
        value: f64,
    }
    let mut origins = origins(&folder.join("windows.csv.gz"), scope)?;
    let mut samples: HashMap<String, Vec<Sample>> = HashMap::new();
    let values: Vec<Row> = rows(&folder.join("series_5min.csv.gz"))?;
    for row in values {
        if origins.contains_key(&row.series_id) {
            samples.entry(row.series_id).or_default().push(Sample {
                time_s: row.epoch_s,
                value: row.value,
            });
        }
    }
    let mut hosts: BTreeMap<String, EvaluatedHost> = BTreeMap::new();
    let metas: Vec<Meta> = rows(&folder.join("series.csv"))?;
    for meta in metas {
        let id = meta.series_id;
        let (Some(origins), Some(samples)) = (origins.remove(&id), samples.remove(&id)) else {
            continue;
        };
        let (host, metric) = id.rsplit_once('|').unwrap_or(("", &id));
        let series = EvaluatedSeries {
            target: target(metric),
            grid: grid(&samples),
            training_steps: meta.n_train,
            origins,
            id: id.clone(),
        };
        let host = hosts
            .entry(host.to_owned())
            .or_insert_with(|| EvaluatedHost {
                host: host.to_owned(),
                series: Vec::new(),
            });
        host.series.push(series);
    }
    Ok(hosts.into_values().collect())
}

impl EvaluatedHost {
    /// Returns what the host is trained on.
    #[must_use]
    pub fn train_request(&self, seed: u64, budget: Budget) -> TrainRequest {
        let targets = self.series.iter().map(|series| {
            let values = &series.grid.values;
            let grid = Grid {
                values: values[..series.training_steps.min(values.len())].to_vec(),
                ..series.grid
            };
            (series.target.clone(), grid)
        });
        TrainRequest {
            host: self.host.clone(),
            targets: targets.collect(),
            seed,
            trained_at_s: 0,
            budget,
        }
    }

    /// Forecasts every window; what has no forecast is left out.
    pub fn forecasts<'a>(
        &'a self,
        model: &'a HostModel,
    ) -> impl Iterator<Item = WindowForecast<'a>> + 'a {
        self.series.iter().flat_map(move |series| {
            let windows = series.origins.iter();
            windows.filter_map(move |&origin| series.forecast(model, origin))
        })
    }
}

impl EvaluatedSeries {
    fn forecast(&self, model: &HostModel, origin: usize) -> Option<WindowForecast<'_>> {
        let from = origin.saturating_sub(HISTORY_STEPS);
        let recent = Grid {
            start_s: self.grid.time_of(from),
            step_s: self.grid.step_s,
            values: self.grid.values.get(from..origin)?.to_vec(),
        };
        let end_s = recent.end_s();
        let forecast = predict(model, &[(self.target.clone(), recent)], HORIZON_STEPS)
            .pop()?
            .ok()?;
        Some(WindowForecast {
            series_id: &self.id,
            origin,
            ahead: ((end_s - forecast.data_until_s) / i64::from(STEP_S)) as usize,
            path: forecast.path,
        })
    }
}

/// Writes the head of a file of forecasts.
///
/// # Errors
///
/// When the writer refuses.
pub fn write_head(out: &mut impl Write) -> io::Result<()> {
    write!(out, "series_id,origin_index,h")?;
    for level in LEVELS {
        write!(out, ",q{level}")?;
    }
    writeln!(out)
}

impl WindowForecast<'_> {
    /// Writes a row for each of the [`SCORED_STEPS`].
    ///
    /// # Errors
    ///
    /// When the writer refuses.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        for step in 0..SCORED_STEPS {
            write!(out, "{},{},{}", self.series_id, self.origin, step + 1)?;
            let place = (step + self.ahead).min(self.path.steps() - 1);
            for level in self.path.levels() {
                write!(out, ",{}", level[place])?;
            }
            writeln!(out)?;
        }
        Ok(())
    }
}

fn origins(path: &Path, scope: &str) -> Result<HashMap<String, Vec<usize>>, EvaluationError> {
    let windows: Vec<HashMap<String, String>> = rows(path)?;
    let mut origins: HashMap<String, Vec<usize>> = HashMap::new();
    for window in windows {
        let chosen = window.get(scope).is_some_and(|flag| flag == "1");
        let origin = window
            .get("origin_index")
            .and_then(|origin| origin.parse().ok());
        if let (true, Some(id), Some(origin)) = (chosen, window.get("series_id"), origin) {
            origins.entry(id.clone()).or_default().push(origin);
        }
    }
    if origins.is_empty() {
        return Err(EvaluationError::ScopeEmpty {
            path: path.to_owned(),
            scope: scope.to_owned(),
        });
    }
    Ok(origins)
}

fn rows<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, EvaluationError> {
    let file = File::open(path).map_err(|source| EvaluationError::FileUnreadable {
        path: path.to_owned(),
        source,
    })?;
    let reader: Box<dyn Read> = if path.extension().is_some_and(|extension| extension == "gz") {
        Box::new(MultiGzDecoder::new(BufReader::new(file)))
    } else {
        Box::new(file)
    };
    let rows: Result<Vec<T>, csv::Error> = csv::Reader::from_reader(reader).deserialize().collect();
    rows.map_err(|source| EvaluationError::RowInvalid {
        path: path.to_owned(),
        source,
    })
}

fn grid(samples: &[Sample]) -> Grid {
    let times = || samples.iter().map(|sample| sample.time_s);
    let from_s = times().min().unwrap_or(0);
    let until_s = times().max().map_or(from_s, |last| last + 1);
    Grid::of_values(samples, from_s, until_s, STEP_S)
}

/// Makes a target of a metric's name alone: shares in percent, what is counted per time as a rate, all else as
/// a gauge.
fn target(metric: &str) -> Target {
    let names = |words: &[&str]| words.iter().any(|word| metric.contains(word));
    let kind = if names(&["percent", "usage"]) {
        Kind::Percent
    } else if names(&["_rate", "_5m", "count", "load"]) {
        Kind::Rate
    } else {
        Kind::Gauge
    };
    let (measurement, field) = metric.split_once('.').unwrap_or((metric, "value"));
    let rule = TargetRule {
        name: metric.to_owned(),
        measurement: measurement.to_owned(),
        field: field.to_owned(),
        where_tags: BTreeMap::new(),
        by_tags: Vec::new(),
        counter: false,
        complement: false,
        kind,
        unit: None,
        threshold: None,
    };
    Arc::new(rule).target(&BTreeMap::new())
}
