//! Real series for a base: whatever lies in a folder, as hosts with targets on five-minute grids.
//!
//! | file | read as |
//! |---|---|
//! | `.csv`, `.csv.gz`, `.parquet` | a row a value: `series_id` (`dataset\|host\|metric`) or `host` and `metric`, maybe `dataset`; a time; `value` |
//! | `.lp`, `.lp.gz` | line protocol with times in nanoseconds; the tag `host` names the host |
//!
//! A time is `epoch_s` or `epoch_ms`, whole numbers, or `timestamp` or `time`: RFC 3339, UTC where it names no zone, or a
//! timestamp of Parquet's. Without a `dataset`, the file's name up to its first dot is one. Other columns and other files
//! are passed over.
//!
//! Of a measurement that the default rules know, line protocol gives the targets of those rules, as in the service; of
//! any other, every numeric field of every series. A field of whole numbers that rises and all but never falls counts
//! something, and is taken as a rate. What a metric that no rule knows can be follows from its name, unless its values
//! contradict.
//!
//! In the order in which data flows: `lines` and `rows` read, `gathered` makes grids.

mod gathered;
mod lines;
mod rows;

use std::{
    fs::{self, File},
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;
use parquet::errors::ParquetError;

use self::gathered::Gathered;
use crate::{grid::Grid, target::Target};

/// A host with its series.
#[derive(Debug, Clone, PartialEq)]
pub struct CorpusHost {
    /// The host, with its data set: `dataset|host`.
    pub host: String,
    /// Its targets with their values.
    pub targets: Vec<(Target, Grid)>,
}

/// What a folder held.
#[derive(Debug, Clone, PartialEq)]
pub struct Corpus {
    /// The hosts, in the order of their names.
    pub hosts: Vec<CorpusHost>,
    /// The files that hold no series, by their names.
    pub passed_over: Vec<PathBuf>,
}

/// Why a folder could not be read.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// The folder or a file is missing or cannot be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no file of series.
    #[error(
        "{path} holds no series; files that end in .csv, .csv.gz, .parquet, .lp or .lp.gz are read"
    )]
    NothingToRead {
        /// The folder.
        path: PathBuf,
    },
    /// A column is missing.
    #[error("{path} has no column {column}; it has {}", found.join(", "))]
    ColumnMissing {
        /// The file.
        path: PathBuf,
        /// What is missing.
        column: &'static str,
        /// The columns that there are.
        found: Vec<String>,
    },
    /// A row means nothing.
    #[error("row {row} of {path}: {reason}")]
    RowInvalid {
        /// The file.
        path: PathBuf,
        /// The row, from 1, without the head.
        row: usize,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// The file is not Parquet, or not as it should be.
    #[error("{path} cannot be read as Parquet: {source}")]
    Parquet {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: ParquetError,
    },
    /// A line is no line protocol.
    #[error("line {line} of {path}: {reason}")]
    LineInvalid {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// The times of a series lie too far apart to be right.
    #[error(
        "series {metric:?} of {host:?} spans {days} days, more than {most}; check the unit of its times"
    )]
    SpanTooLong {
        /// The host.
        host: String,
        /// The series.
        metric: String,
        /// The days.
        days: i64,
        /// The most days that are taken.
        most: i64,
    },
}

/// The forms of files.
#[derive(Debug, Clone, Copy)]
enum Form {
    Csv,
    Parquet,
    Lines,
}

impl Form {
    fn of(name: &str) -> Option<Self> {
        let plain = name.strip_suffix(".gz").unwrap_or(name);
        match plain.rsplit_once('.')?.1 {
            "csv" => Some(Self::Csv),
            "parquet" if plain == name => Some(Self::Parquet),
            "lp" => Some(Self::Lines),
            _ => None,
        }
    }
}

/// Reads every file of a folder that holds series, in the order of their names.
///
/// # Errors
///
/// When a file is not as it should be, or none of them holds series.
pub fn read(folder: &Path) -> Result<Corpus, CorpusError> {
    let unreadable = |source| CorpusError::Unreadable {
        path: folder.to_owned(),
        source,
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    let mut gathered = Gathered::default();
    let mut passed_over = Vec::new();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let dataset = name.split('.').next().unwrap_or_default().to_owned();
        match Form::of(&name) {
            Some(Form::Csv) => rows::read_csv(&path, &dataset, &mut gathered)?,
            Some(Form::Parquet) => rows::read_parquet(&path, &dataset, &mut gathered)?,
            Some(Form::Lines) => lines::read(&path, &dataset, &mut gathered)?,
            None => passed_over.push(path),
        }
    }
    let hosts = gathered.hosts()?;
    if hosts.is_empty() {
        return Err(CorpusError::NothingToRead {
            path: folder.to_owned(),
        });
    }
    Ok(Corpus { hosts, passed_over })
}

/// Opens a file; one whose name ends in `.gz` is decompressed.
pub(crate) fn open(path: &Path) -> io::Result<Box<dyn Read>> {
    let file = BufReader::new(File::open(path)?);
    Ok(if path.extension().is_some_and(|ending| ending == "gz") {
        Box::new(MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    })
}
