//! What a query is answered with, and how it is written: JSON, CSV, whole or in chunks.

mod chunks;
mod csv;
mod json;

use std::sync::Arc;

use chrono_tz::Tz;

use super::formula::Cell;
use super::select::Row;

pub use chunks::Chunks;
pub(super) use json::number_text;

/// Rows of a chunk when the request names no size.
const CHUNK_ROWS_DEFAULT: usize = 10_000;

/// In which unit times are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Epoch {
    /// As text: `2024-03-29T00:00:00Z`.
    Rfc3339,
    /// As a number of this many nanoseconds since 1970.
    Nanoseconds(i64),
}

impl Epoch {
    /// Reads the parameter `epoch`; what is unknown means nanoseconds, as in InfluxDB.
    #[must_use]
    pub fn parse(text: Option<&str>) -> Self {
        match text {
            None | Some("") => Self::Rfc3339,
            Some("u") => Self::Nanoseconds(1_000),
            Some("ms") => Self::Nanoseconds(1_000_000),
            Some("s") => Self::Nanoseconds(1_000_000_000),
            Some("m") => Self::Nanoseconds(60_000_000_000),
            Some("h") => Self::Nanoseconds(3_600_000_000_000),
            Some(_) => Self::Nanoseconds(1),
        }
    }
}

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// `application/json`.
    #[default]
    Json,
    /// `application/csv`.
    Csv,
}

impl Format {
    /// Returns the answer's content type.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv",
        }
    }
}

/// How an answer is written.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// JSON or CSV.
    pub format: Format,
    /// The unit of times.
    pub epoch: Epoch,
    /// Whether JSON is indented.
    pub pretty: bool,
}

/// Returns the rows of a chunk that a request asks for; `None`: all at once.
#[must_use]
pub fn chunk_rows(chunked: bool, size: Option<&str>) -> Option<usize> {
    let asked = || {
        size.and_then(|size| size.parse().ok())
            .filter(|size| *size > 0)
    };
    chunked.then(|| asked().unwrap_or(CHUNK_ROWS_DEFAULT))
}

/// Rows of one measurement and one combination of tags.
#[derive(Debug, Clone)]
pub(super) struct Series {
    /// Empty where the statement's answer has no name.
    pub(super) name: Arc<str>,
    pub(super) tags: Vec<(Arc<str>, Arc<str>)>,
    pub(super) columns: Arc<[String]>,
    pub(super) rows: Table,
}

/// Rows with or without a time.
#[derive(Debug, Clone)]
pub(super) enum Table {
    Timed(Vec<Row>),
    Plain(Vec<Vec<Cell>>),
}

impl Table {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Timed(rows) => rows.len(),
            Self::Plain(rows) => rows.len(),
        }
    }

    /// Appends rows of the same kind; a series never has both.
    fn append(&mut self, later: Self) {
        match (self, later) {
            (Self::Timed(rows), Self::Timed(later)) => rows.extend(later),
            (Self::Plain(rows), Self::Plain(later)) => rows.extend(later),
            (kept, later) => *kept = later,
        }
    }
}

/// The answer to one statement.
#[derive(Debug, Clone, Default)]
pub(super) struct StatementAnswer {
    pub(super) id: usize,
    pub(super) series: Vec<Series>,
    pub(super) error: Option<String>,
    pub(super) warning: Option<String>,
    pub(super) zone: Option<Tz>,
}

/// The answer to a query.
#[derive(Debug, Clone, Default)]
pub struct QueryAnswer {
    pub(super) statements: Vec<StatementAnswer>,
}

impl QueryAnswer {
    /// Writes the answer as a whole.
    #[must_use]
    pub fn written(&self, style: &Style) -> Vec<u8> {
        match style.format {
            Format::Json => json::write(self, style),
            Format::Csv => csv::write(self, style),
        }
    }

    /// Returns the first statement's error, for logs and metrics.
    #[must_use]
    pub fn first_error(&self) -> Option<&str> {
        self.statements
            .iter()
            .find_map(|statement| statement.error.as_deref())
    }
}

/// Writes an error that concerns the whole query, in the format that was asked for.
#[must_use]
pub fn error_written(message: &str, format: Format) -> Vec<u8> {
    match format {
        Format::Json => {
            let mut bytes = b"{\"error\":".to_vec();
            json::push_text(&mut bytes, message);
            bytes.extend_from_slice(b"}\n");
            bytes
        }
        Format::Csv => csv::error(message),
    }
}
