//! A fixed evaluation of forecasts: series and windows from files, answers for a scoring program.
//!
//! | file | columns |
//! |---|---|
//! | series | `series_id` (`dataset\|host\|metric`), `epoch_s`, `value`; an absent row is a missing bin |
//! | windows | `series_id`, `origin_index` (bins from the series' first row), and a column of 0 and 1 a scope |
//! | `series.csv`, beside them | `series_id`, `n_train`: the bins that may be learned from |
//!
//! What a metric can be follows from its name, unless the values of its training part contradict.
//!
//! Each host is trained on the first `n_train` bins of its series, and asked at each origin with the bins
//! before it: by the same code that serves. As in a retrain of the whole fleet, a base is fitted over the training parts
//! of all hosts first. Nothing at or behind an origin is ever read.
//!
//! In the order in which data flows: `files` reads, `host` is trained and asked, `run` does so for all hosts on
//! every core, `output` writes.

mod files;
mod host;
mod output;
mod run;

use std::{io, path::PathBuf};

pub use self::{
    files::{Files, SCOPE_OF_ALL, read, sample},
    host::{EvaluatedHost, WindowForecast},
    output::{Form, OutputError},
    run::{Evaluated, Outcome, Plan, RunError, Train, Watch, WithoutModel, run},
};

/// The steps of a window that are scored: four hours.
pub const SCORED_STEPS: usize = 48;

/// Why an evaluation could not be read.
#[derive(Debug, thiserror::Error)]
pub enum EvaluationError {
    /// A file is missing or cannot be read.
    #[error(
        "cannot read {path}: {source}; three files are needed: series, windows, and series.csv beside them"
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
        "no window of {path} has a 1 in its column {scope:?}; the scopes are the columns behind the origins, and full_all"
    )]
    ScopeEmpty {
        /// The file.
        path: PathBuf,
        /// The scope.
        scope: String,
    },
}
