//! Writes answers as CSV, in the form of InfluxDB 1.x: a header for each statement, times in nanoseconds.

use std::{ops::Range, sync::Arc};

use super::{Epoch, QueryAnswer, Series, Style, Table, number_text};
use crate::influxql::formula::Cell;
use crate::{lines::series_key, store::Value};

pub(super) fn write(answer: &QueryAnswer, style: &Style) -> Vec<u8> {
    let mut writer = Writer::default();
    let mut text = String::new();
    for statement in &answer.statements {
        writer.begin_statement();
        for series in &statement.series {
            writer.push(&mut text, series, 0..series.rows.len(), style.epoch);
        }
    }
    text.into_bytes()
}

/// Writes one series after the other, and the header where the columns are others than before.
#[derive(Default)]
pub(super) struct Writer {
    columns: Option<Arc<[String]>>,
    has_begun: bool,
}

impl Writer {
    /// The next statement has a header of its own.
    pub(super) fn begin_statement(&mut self) {
        self.columns = None;
    }

    /// Writes some of a series' rows.
    pub(super) fn push(
        &mut self,
        text: &mut String,
        series: &Series,
        rows: Range<usize>,
        epoch: Epoch,
    ) {
        if self.columns.as_ref() != Some(&series.columns) {
            if self.has_begun {
                text.push('\n');
            }
            self.has_begun = true;
            self.columns = Some(Arc::clone(&series.columns));
            let columns = series.columns.iter().map(String::as_str);
            push_line(text, ["name", "tags"].into_iter().chain(columns));
        }
        push_rows(text, series, rows, epoch);
    }
}

fn push_rows(text: &mut String, series: &Series, rows: Range<usize>, epoch: Epoch) {
    let unit = match epoch {
        Epoch::Rfc3339 => 1,
        Epoch::Nanoseconds(unit) => unit,
    };
    let key = series_key(
        "",
        series
            .tags
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(key, value)| (key.as_ref(), value.as_ref())),
    );
    let tags = key.trim_start_matches(',');
    let mut push = |time: Option<i64>, cells: &[Cell]| {
        let time = time.map(|time| (time / unit).to_string());
        let cells: Vec<String> = time
            .into_iter()
            .chain(cells.iter().map(cell_text))
            .collect();
        let cells = [series.name.as_ref(), tags]
            .into_iter()
            .chain(cells.iter().map(String::as_str));
        push_line(text, cells);
    };
    match &series.rows {
        Table::Timed(list) => list[rows]
            .iter()
            .for_each(|row| push(Some(row.time), &row.cells)),
        Table::Plain(list) => list[rows].iter().for_each(|row| push(None, row)),
    }
}

fn cell_text(cell: &Cell) -> String {
    match cell {
        None => String::new(),
        Some(Value::Float(value)) => number_text(*value),
        Some(Value::Integer(value)) => value.to_string(),
        Some(Value::Unsigned(value)) => value.to_string(),
        Some(Value::Boolean(value)) => value.to_string(),
        Some(Value::Text(text)) => text.to_string(),
    }
}

fn push_line<'a>(text: &mut String, cells: impl Iterator<Item = &'a str>) {
    for (index, cell) in cells.enumerate() {
        if index > 0 {
            text.push(',');
        }
        if cell.contains(['"', ',', '\n', '\r']) || cell.starts_with(' ') {
            text.push('"');
            text.push_str(&cell.replace('"', "\"\""));
            text.push('"');
        } else {
            text.push_str(cell);
        }
    }
    text.push('\n');
}

pub(super) fn error(message: &str) -> Vec<u8> {
    let mut text = String::new();
    push_line(&mut text, ["error"].into_iter());
    push_line(&mut text, [message].into_iter());
    text.into_bytes()
}
