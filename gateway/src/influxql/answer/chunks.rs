//! Writes an answer in chunks while it is being found, each a JSON document of so many rows; of the rows, those of about
//! one chunk are in memory. CSV is one text in pieces.
//!
//! A chunk says whether its statement goes on, so that the last one waits until that is known.

use super::super::error::{Outcome, StatementError};
use super::{Format, Series, StatementAnswer, Style, Table, csv, json};

/// Chunks are sent together up to this size.
const SENT_FROM_BYTES: usize = 16 << 10;

/// Takes an answer's series one after the other, and sends its bytes.
pub struct Chunks<'a> {
    style: Style,
    rows: usize,
    send: &'a mut dyn FnMut(Vec<u8>) -> bool,
    csv: csv::Writer,
    /// The statement at hand, without its series.
    frame: StatementAnswer,
    pending: Option<Series>,
    unsent: Vec<u8>,
    has_sent: bool,
    /// Whether nobody takes the answer any more.
    is_cut: bool,
}

impl<'a> Chunks<'a> {
    /// Writes chunks of so many rows; `send` says whether somebody still takes them.
    pub fn new(style: Style, rows: usize, send: &'a mut dyn FnMut(Vec<u8>) -> bool) -> Self {
        Self {
            style,
            rows: rows.max(1),
            send,
            csv: csv::Writer::default(),
            frame: StatementAnswer::default(),
            pending: None,
            unsent: Vec::new(),
            has_sent: false,
            is_cut: false,
        }
    }

    pub(in crate::influxql) fn rows(&self) -> usize {
        self.rows
    }

    pub(in crate::influxql) fn begin(&mut self, frame: StatementAnswer) {
        self.csv.begin_statement();
        self.frame = StatementAnswer {
            error: None,
            ..frame
        };
    }

    /// Takes rows; `goes_on`: of the same series as those before.
    pub(in crate::influxql) fn push(&mut self, series: Series, goes_on: bool) -> Outcome<()> {
        let mut pending = match self.pending.take() {
            Some(mut before) if goes_on => {
                before.rows.append(series.rows);
                before
            }
            Some(whole) => {
                self.write(Some((&whole, 0, whole.rows.len())), true);
                series
            }
            None => series,
        };
        self.write_full(&mut pending);
        self.pending = Some(pending);
        self.flush_from(SENT_FROM_BYTES);
        if self.is_cut {
            return Err(StatementError::Cancelled);
        }
        Ok(())
    }

    /// Writes the chunks that a series fills, but the last one; what SHOW lists comes whole, as in InfluxDB.
    fn write_full(&mut self, series: &mut Series) {
        let Table::Timed(list) = &series.rows else {
            return;
        };
        let full = list.len().saturating_sub(1) / self.rows * self.rows;
        for from in (0..full).step_by(self.rows) {
            self.write(Some((series, from, from + self.rows)), true);
        }
        if let Table::Timed(list) = &mut series.rows {
            list.drain(..full);
        }
    }

    /// Ends the statement.
    pub(in crate::influxql) fn end(&mut self, error: Option<String>) {
        let last = self.pending.take();
        if let (Some(series), Some(_)) = (&last, &error) {
            self.write(Some((series, 0, series.rows.len())), true);
        }
        let failed = error.is_some();
        self.frame.error = error;
        match &last {
            Some(series) if !failed => self.write(Some((series, 0, series.rows.len())), false),
            _ => self.write(None, false),
        }
        self.flush_from(SENT_FROM_BYTES);
    }

    /// Sends what is left.
    pub(in crate::influxql) fn finish(mut self) {
        if !self.has_sent && self.unsent.is_empty() && self.style.format == Format::Json {
            self.unsent.extend_from_slice(b"{}\n");
        }
        self.flush_from(1);
    }

    fn write(&mut self, rows: Option<(&Series, usize, usize)>, partial: bool) {
        match self.style.format {
            Format::Json => {
                let piece = rows.map(|(series, from, to)| json::Piece { series, from, to });
                json::document(&mut self.unsent, &self.frame, piece, partial, &self.style);
            }
            Format::Csv => {
                let Some((series, from, to)) = rows else {
                    return;
                };
                let mut text = String::new();
                self.csv.push(&mut text, series, from..to, self.style.epoch);
                self.unsent.extend_from_slice(text.as_bytes());
            }
        }
    }

    fn flush_from(&mut self, bytes: usize) {
        if self.unsent.len() >= bytes && !self.is_cut {
            self.has_sent = true;
            self.is_cut = !(self.send)(std::mem::take(&mut self.unsent));
        }
    }
}
