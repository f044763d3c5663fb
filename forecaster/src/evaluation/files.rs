//! Reading an evaluation's three files.

use std::{
    collections::{BTreeMap, HashMap},
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use serde::{Deserialize, de::DeserializeOwned};

use super::{
    EvaluationError,
    host::{EvaluatedHost, EvaluatedSeries},
};
use crate::{
    corpus,
    grid::{Grid, STEP_S, Sample},
    target::Target,
};

/// The scope that every window belongs to.
pub const SCOPE_OF_ALL: &str = "full_all";

/// Where an evaluation lies.
#[derive(Debug, Clone)]
pub struct Files {
    /// The series.
    pub series: PathBuf,
    /// The windows.
    pub windows: PathBuf,
}

impl Files {
    /// Names the files of a folder.
    #[must_use]
    pub fn of_folder(folder: &Path) -> Self {
        Self {
            series: folder.join("series_5min.csv.gz"),
            windows: folder.join("windows.csv.gz"),
        }
    }

    /// Returns whether all of them are there.
    #[must_use]
    pub fn are_there(&self) -> bool {
        let parts = self.training_parts();
        [&self.series, &self.windows, &parts]
            .iter()
            .all(|path| path.is_file())
    }

    fn training_parts(&self) -> PathBuf {
        self.series.with_file_name("series.csv")
    }
}

#[derive(Deserialize)]
struct Part {
    series_id: String,
    n_train: usize,
}

#[derive(Deserialize)]
struct Row {
    series_id: String,
    epoch_s: i64,
    value: f64,
}

/// Reads all hosts of an evaluation, in the order of their names; the windows are those of the scope.
///
/// # Errors
///
/// When a file is missing or not as expected, or the scope has no window.
pub fn read(files: &Files, scope: &str) -> Result<Vec<EvaluatedHost>, EvaluationError> {
    let mut origins = origins(&files.windows, scope)?;
    let parts: Vec<Part> = rows(&files.training_parts())?.collect::<Result<_, _>>()?;
    let mut samples: HashMap<String, Vec<Sample>> = HashMap::new();
    for row in rows::<Row>(&files.series)? {
        let row = row?;
        samples.entry(row.series_id).or_default().push(Sample {
            time_s: row.epoch_s,
            value: row.value,
        });
    }
    let mut hosts: BTreeMap<String, EvaluatedHost> = BTreeMap::new();
    for part in parts {
        let id = part.series_id;
        let Some(samples) = samples.remove(&id) else {
            continue;
        };
        let (host, metric) = id.rsplit_once('|').unwrap_or(("", &id));
        let grid = grid(&samples);
        // What lies behind the training part says nothing yet.
        let known = grid.values.iter().take(part.n_train);
        let series = EvaluatedSeries {
            target: Target::named(metric).held_to(known.copied().map(f64::from)),
            grid,
            training_steps: part.n_train,
            origins: origins.remove(&id).unwrap_or_default(),
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

/// Takes every so many-th host that has windows, from the first on; all hosts, also those without windows, where it is 1.
#[must_use]
pub fn sample(hosts: Vec<EvaluatedHost>, every: NonZeroUsize) -> Vec<EvaluatedHost> {
    if every.get() == 1 {
        return hosts;
    }
    let asked = hosts.into_iter().filter(EvaluatedHost::is_asked);
    asked.step_by(every.get()).collect()
}

fn origins(path: &Path, scope: &str) -> Result<HashMap<String, Vec<usize>>, EvaluationError> {
    let mut origins: HashMap<String, Vec<usize>> = HashMap::new();
    for window in rows::<HashMap<String, String>>(path)? {
        let window = window?;
        let chosen = scope == SCOPE_OF_ALL || window.get(scope).is_some_and(|flag| flag == "1");
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

/// Reads rows one by one; a name that ends in `.gz` is decompressed.
fn rows<T: DeserializeOwned>(
    path: &Path,
) -> Result<impl Iterator<Item = Result<T, EvaluationError>>, EvaluationError> {
    let reader = corpus::open(path).map_err(|source| EvaluationError::FileUnreadable {
        path: path.to_owned(),
        source,
    })?;
    let rows = csv::Reader::from_reader(reader).into_deserialize();
    let path = path.to_owned();
    Ok(rows.map(move |row| {
        row.map_err(|source| EvaluationError::RowInvalid {
            path: path.clone(),
            source,
        })
    }))
}

fn grid(samples: &[Sample]) -> Grid {
    let times = || samples.iter().map(|sample| sample.time_s);
    let from_s = times().min().unwrap_or(0);
    let until_s = times().max().map_or(from_s, |last| last + 1);
    Grid::of_values(samples, from_s, until_s, STEP_S)
}
