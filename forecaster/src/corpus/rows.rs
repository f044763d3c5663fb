//! Tables as series: a row a value.

use std::{fs::File, path::Path};

use chrono::{DateTime, NaiveDateTime};
use parquet::{
    errors::ParquetError,
    file::reader::{FileReader, SerializedFileReader},
    record::Field,
};

use super::{CorpusError, Gathered, open};
use crate::grid::Sample;

/// How a time is written that names no zone.
const WITHOUT_ZONE: &str = "%Y-%m-%d %H:%M:%S%.f";

/// What a time should be.
const TIMES: &str = "epoch_s, epoch_ms, timestamp or time";

/// Where the columns stand.
#[derive(Debug)]
struct Columns {
    names: Names,
    time: usize,
    /// How many of the time's units make a second, where it is a number.
    per_second: i64,
    value: usize,
}

#[derive(Debug)]
enum Names {
    /// All in one column, with bars between them.
    Together(usize),
    /// A column each.
    Apart {
        dataset: Option<usize>,
        host: usize,
        metric: usize,
    },
}

impl Columns {
    /// Finds the columns by their names, or tells which one is missing.
    fn find(heads: &[String]) -> Result<Self, &'static str> {
        let place = |name: &str| heads.iter().position(|head| head == name);
        let names = match (place("series_id"), place("host"), place("metric")) {
            (Some(id), ..) => Names::Together(id),
            (None, Some(host), Some(metric)) => Names::Apart {
                dataset: place("dataset"),
                host,
                metric,
            },
            (None, None, _) => return Err("host (or series_id)"),
            (None, Some(_), None) => return Err("metric (or series_id)"),
        };
        let times = [
            ("epoch_s", 1),
            ("epoch_ms", 1_000),
            ("timestamp", 1),
            ("time", 1),
        ];
        let mut times = times.into_iter();
        let (time, per_second) = times
            .find_map(|(name, per_second)| Some((place(name)?, per_second)))
            .ok_or(TIMES)?;
        let value = place("value").ok_or("value")?;
        Ok(Self {
            names,
            time,
            per_second,
            value,
        })
    }

    /// Returns host, with its data set, and metric of a row.
    fn series<'a>(&self, dataset: &'a str, cell: impl Fn(usize) -> &'a str) -> (String, String) {
        match self.names {
            Names::Together(id) => {
                let id = cell(id);
                let (host, metric) = id.rsplit_once('|').unwrap_or((dataset, id));
                (host.to_owned(), metric.to_owned())
            }
            Names::Apart {
                dataset: column,
                host,
                metric,
            } => {
                let dataset = column.map_or(dataset, &cell);
                (format!("{dataset}|{}", cell(host)), cell(metric).to_owned())
            }
        }
    }
}

/// Reads a table of text.
pub(super) fn read_csv(
    path: &Path,
    dataset: &str,
    gathered: &mut Gathered,
) -> Result<(), CorpusError> {
    let unreadable = |source| CorpusError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let invalid = |row: usize, reason: String| CorpusError::RowInvalid {
        path: path.to_owned(),
        row,
        reason,
    };
    let mut reader = csv::Reader::from_reader(open(path).map_err(unreadable)?);
    let heads = reader
        .headers()
        .map_err(|error| invalid(0, error.to_string()))?;
    let heads: Vec<String> = heads.iter().map(|head| head.trim().to_owned()).collect();
    let columns = columns(path, &heads)?;
    for (place, record) in reader.records().enumerate() {
        let invalid = |reason| invalid(place + 1, reason);
        let record = record.map_err(|error| invalid(error.to_string()))?;
        let cell = |column: usize| record.get(column).unwrap_or_default().trim();
        let text = cell(columns.value);
        if text.is_empty() {
            continue;
        }
        let value = text.parse().map_err(|_| {
            invalid(format!(
                "the value {text:?} is no number; leave it empty where it is missing"
            ))
        })?;
        let time_s = time_of(cell(columns.time), columns.per_second).map_err(invalid)?;
        let (host, metric) = columns.series(dataset, cell);
        gathered.add_named(host, metric, Sample { time_s, value });
    }
    Ok(())
}

/// Reads a table of columns.
pub(super) fn read_parquet(
    path: &Path,
    dataset: &str,
    gathered: &mut Gathered,
) -> Result<(), CorpusError> {
    let file = File::open(path).map_err(|source| CorpusError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    let damaged = |source: ParquetError| CorpusError::Parquet {
        path: path.to_owned(),
        source,
    };
    let reader = SerializedFileReader::new(file).map_err(damaged)?;
    let schema = reader.metadata().file_metadata().schema_descr();
    let heads: Vec<String> = schema
        .columns()
        .iter()
        .map(|column| column.name().to_owned())
        .collect();
    let columns = columns(path, &heads)?;
    for (place, row) in reader.get_row_iter(None).map_err(damaged)?.enumerate() {
        let row = row.map_err(damaged)?;
        let invalid = |reason| CorpusError::RowInvalid {
            path: path.to_owned(),
            row: place + 1,
            reason,
        };
        let cells: Vec<&Field> = row.get_column_iter().map(|(_, field)| field).collect();
        let cell = |column: usize| match cells.get(column) {
            Some(Field::Str(text)) => text.as_str(),
            _ => "",
        };
        let value = match cells[columns.value] {
            Field::Null => continue,
            Field::Double(value) => *value,
            Field::Float(value) => f64::from(*value),
            Field::Int(value) => f64::from(*value),
            Field::Long(value) => *value as f64,
            other => return Err(invalid(format!("the value {other} is no number"))),
        };
        let time_s = match cells[columns.time] {
            Field::TimestampMillis(time) => Ok(time.div_euclid(1_000)),
            Field::TimestampMicros(time) => Ok(time.div_euclid(1_000_000)),
            Field::Long(time) => Ok(time.div_euclid(columns.per_second)),
            Field::Int(time) => Ok(i64::from(*time).div_euclid(columns.per_second)),
            Field::Str(text) => time_of(text, columns.per_second),
            other => Err(format!("the time {other} is none; write {TIMES}")),
        };
        let (host, metric) = columns.series(dataset, cell);
        let time_s = time_s.map_err(invalid)?;
        gathered.add_named(host, metric, Sample { time_s, value });
    }
    Ok(())
}

fn columns(path: &Path, heads: &[String]) -> Result<Columns, CorpusError> {
    Columns::find(heads).map_err(|column| CorpusError::ColumnMissing {
        path: path.to_owned(),
        column,
        found: heads.to_vec(),
    })
}

/// Reads a time: a whole number of the column's units, or a date with a time of day.
fn time_of(text: &str, per_second: i64) -> Result<i64, String> {
    if let Ok(number) = text.parse::<i64>() {
        return Ok(number.div_euclid(per_second));
    }
    let plain = text.replacen('T', " ", 1);
    let with_zone = DateTime::parse_from_rfc3339(text).map(|time| time.timestamp());
    with_zone
        .or_else(|_| {
            NaiveDateTime::parse_from_str(&plain, WITHOUT_ZONE).map(|t| t.and_utc().timestamp())
        })
        .map_err(|_| {
            format!("the time {text:?} is none; write 2026-01-31T09:30:00Z, or whole seconds")
        })
}
