//! Writes answers as CSV, in the form of InfluxDB 1.x: a header for each statement, times in nanoseconds.

use super::{Epoch, QueryAnswer, Series, Style, Table, number_text};
use crate::influxql::formula::Cell;
use crate::store::{Value, series_key};

pub(super) fn write(answer: &QueryAnswer, style: &Style) -> Vec<u8> {
    let unit = match style.epoch {
        Epoch::Rfc3339 => 1,
        Epoch::Nanoseconds(unit) => unit,
    };
    let mut text = String::new();
    let mut is_first = true;
    for statement in &answer.statements {
        let mut columns: Option<&[String]> = None;
        for series in &statement.series {
            if columns != Some(&series.columns) {
                if !is_first {
                    text.push('\n');
                }
                is_first = false;
                columns = Some(&series.columns);
                let header = ["name", "tags"]
                    .into_iter()
                    .chain(series.columns.iter().map(String::as_str));
                push_line(&mut text, header);
            }
            push_series(&mut text, series, unit);
        }
    }
    text.into_bytes()
}

fn push_series(text: &mut String, series: &Series, unit: i64) {
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
        Table::Timed(rows) => rows.iter().for_each(|row| push(Some(row.time), &row.cells)),
        Table::Plain(rows) => rows.iter().for_each(|row| push(None, row)),
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
