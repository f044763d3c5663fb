//! The points of a series that are in memory, as the rows that they came in, and where the rest lies.
//!
//! A line becomes one row behind the last: its time and a cell for each of its fields. A push touches one place a line,
//! whatever the number of fields, and rows stay in the order in which they were written, so that the last write can win.
//! Readers and seals take columns out of the rows.

use std::sync::Arc;

use super::column::{Column, FieldType, Value, Values};

/// Where a sealed chunk lies, what times it holds and how much it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChunkMeta {
    pub(super) id: i64,
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) points: u32,
    /// With its rollup.
    pub(super) size_bytes: u32,
    /// Which resolutions its rollup has, one bit each.
    pub(super) resolutions: u8,
}

/// The columns of a line's fields in ascending order, and their types.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Shape {
    /// Its number in the measurement.
    pub(super) number: u32,
    pub(super) columns: Box<[(u32, FieldType)]>,
}

impl Shape {
    /// How many cells a row takes: its time and its values.
    fn width(&self) -> usize {
        self.columns.len() + 1
    }

    fn position(&self, column: u32) -> impl Iterator<Item = usize> {
        // A field that stands twice in a line has two cells, the later of which counts.
        let columns = self.columns.iter().zip(1..);
        columns.filter_map(move |((found, _), at)| (*found == column).then_some(at))
    }
}

/// Rows of one shape that follow one another.
#[derive(Clone)]
struct Run {
    shape: Arc<Shape>,
    rows: u32,
}

/// Rows as they came.
#[derive(Clone, Default)]
pub(super) struct Rows {
    /// For each row its time and its values' bits; a text is its place in `texts`.
    cells: Vec<u64>,
    runs: Vec<Run>,
    texts: Vec<Arc<str>>,
    /// The memory of the texts.
    texts_bytes: usize,
}

/// The memory of a text: its pointer, its counters and itself.
const TEXT_OVERHEAD_BYTES: usize = 32;

impl Rows {
    pub(super) fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Returns roughly how much memory the rows take.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(self.cells.as_slice()) + size_of_val(self.runs.as_slice()) + self.texts_bytes
    }

    fn count(&self) -> usize {
        self.runs.iter().map(|run| run.rows as usize).sum()
    }

    /// Appends a row: its time and a cell for each of the shape's columns; `texts` are those that cells name. Returns the
    /// memory that it takes.
    pub(super) fn push(
        &mut self,
        shape: &Arc<Shape>,
        time: i64,
        cells: &[u64],
        texts: &[Arc<str>],
    ) -> usize {
        let (runs, texts_bytes) = (self.runs.len(), self.texts_bytes);
        self.start_row(shape, time);
        for ((_, field_type), cell) in shape.columns.iter().zip(cells) {
            let cell = match field_type {
                FieldType::Text => self.keep_text(&texts[*cell as usize]),
                _ => *cell,
            };
            self.cells.push(cell);
        }
        shape.width() * size_of::<u64>()
            + (self.runs.len() - runs) * size_of::<Run>()
            + (self.texts_bytes - texts_bytes)
    }

    fn start_row(&mut self, shape: &Arc<Shape>, time: i64) {
        if self.cells.capacity() - self.cells.len() < shape.width() {
            // Half as much again: what doubling leaves unused is a third of all memory.
            let more = (self.cells.len() / 2).max(shape.width() * 4);
            self.cells.reserve_exact(more);
        }
        match self.runs.last_mut() {
            Some(run) if Arc::ptr_eq(&run.shape, shape) => run.rows += 1,
            _ => {
                let shape = Arc::clone(shape);
                self.runs.push(Run { shape, rows: 1 });
            }
        }
        self.cells.push(time as u64);
    }

    /// Keeps a text, unless it is the last one again, as the texts of a series mostly are.
    fn keep_text(&mut self, text: &Arc<str>) -> u64 {
        if self.texts.last() != Some(text) {
            self.texts_bytes += TEXT_OVERHEAD_BYTES + text.len();
            self.texts.push(Arc::clone(text));
        }
        self.texts.len() as u64 - 1
    }

    /// Shows every row: its shape, its time and its values' cells.
    fn each(&self, mut show: impl FnMut(&Arc<Shape>, i64, &[u64])) {
        let mut rest = self.cells.as_slice();
        for run in &self.runs {
            let (cells, behind) = rest.split_at(run.rows as usize * run.shape.width());
            for row in cells.chunks_exact(run.shape.width()) {
                show(&run.shape, row[0] as i64, &row[1..]);
            }
            rest = behind;
        }
    }

    /// Lists the columns that have cells, each once.
    pub(super) fn columns(&self) -> Vec<(u32, FieldType)> {
        let mut columns: Vec<(u32, FieldType)> = Vec::new();
        let mut seen: Vec<*const Shape> = Vec::new();
        for run in &self.runs {
            if !seen.contains(&Arc::as_ptr(&run.shape)) {
                seen.push(Arc::as_ptr(&run.shape));
                columns.extend_from_slice(&run.shape.columns);
            }
        }
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    /// Copies a column's points between two times in the order in which they were written, so that it may be untidy.
    pub(super) fn column(
        &self,
        column: u32,
        field_type: FieldType,
        first: i64,
        last: i64,
    ) -> Column {
        let (mut times, mut bits) = (Vec::new(), Vec::new());
        let mut rest = self.cells.as_slice();
        for run in &self.runs {
            let (cells, behind) = rest.split_at(run.rows as usize * run.shape.width());
            rest = behind;
            let positions: Vec<usize> = run.shape.position(column).collect();
            if positions.is_empty() {
                continue;
            }
            times.reserve(run.rows as usize);
            bits.reserve(run.rows as usize);
            for row in cells.chunks_exact(run.shape.width()) {
                let time = row[0] as i64;
                if time >= first && time <= last {
                    for at in &positions {
                        times.push(time);
                        bits.push(row[*at]);
                    }
                }
            }
        }
        let values = match field_type {
            FieldType::Text => {
                let text = |at: &u64| Arc::clone(&self.texts[*at as usize]);
                Values::Text(bits.iter().map(text).collect())
            }
            _ => Values::from_bits(field_type, bits.into_iter()),
        };
        Column { times, values }
    }

    /// Says whether a row's time lies between both ends.
    fn has_within(&self, first: i64, last: i64) -> bool {
        let mut has = false;
        self.each(|_, time, _| has |= (first..=last).contains(&time));
        has
    }

    /// Returns the rows whose time does not lie between both ends.
    pub(super) fn outside(&self, first: i64, last: i64) -> Self {
        let mut kept = Self::default();
        self.each(|shape, time, cells| {
            if !(first..=last).contains(&time) {
                kept.push(shape, time, cells, &self.texts);
            }
        });
        kept
    }

    /// Appends what came later.
    pub(super) fn append(&mut self, later: &Self) {
        later.each(|shape, time, cells| {
            self.push(shape, time, cells, &later.texts);
        });
    }
}

/// Writes a value as a cell; a text goes behind `texts`, and its cell is its place there.
pub(super) fn cell_of(value: &Value, texts: &mut Vec<Arc<str>>) -> u64 {
    match value {
        Value::Float(value) => value.to_bits(),
        Value::Integer(value) => *value as u64,
        Value::Unsigned(value) => *value,
        Value::Boolean(value) => u64::from(*value),
        Value::Text(text) => {
            texts.push(Arc::clone(text));
            texts.len() as u64 - 1
        }
    }
}

/// The points of a series that are not sealed yet.
///
/// Later parts win over earlier ones: chunks in the order of their numbers, then what is being sealed, then the head.
#[derive(Default)]
pub(super) struct Head {
    pub(super) rows: Rows,
    /// What was taken to be sealed.
    sealing: Option<Arc<Rows>>,
}

impl Head {
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.sealing.is_none()
    }

    /// Returns how many rows there are.
    pub(super) fn rows(&self) -> usize {
        let sealing = self.sealing.as_ref().map_or(0, |rows| rows.count());
        self.rows.count() + sealing
    }

    /// Returns roughly how much memory the points take.
    pub(super) fn memory_bytes(&self) -> usize {
        let sealing = self.sealing.as_ref().map_or(0, |rows| rows.memory_bytes());
        self.rows.memory_bytes() + sealing
    }

    /// Moves the rows aside to be sealed, and returns them with the memory that this saved: what is already aside after a
    /// failed seal stays first, and takes less together with what came after.
    pub(super) fn begin_seal(&mut self) -> Option<(Arc<Rows>, usize)> {
        if self.is_empty() {
            return None;
        }
        let before = self.memory_bytes();
        let rows = std::mem::take(&mut self.rows);
        let taken = match self.sealing.take() {
            Some(left) => {
                let mut left = Arc::unwrap_or_clone(left);
                left.append(&rows);
                left
            }
            None => rows,
        };
        let taken = Arc::new(taken);
        self.sealing = Some(Arc::clone(&taken));
        Some((taken, before - self.memory_bytes()))
    }

    /// Ends a seal: chunks on disk have taken the place of what was aside.
    pub(super) fn end_seal(&mut self) {
        self.sealing = None;
    }

    /// Takes the points between two times out of memory; returns how much memory they took.
    pub(super) fn delete(&mut self, first: i64, last: i64) -> usize {
        let mut freed = 0;
        let mut cut = |rows: &Rows| {
            let kept = rows.outside(first, last);
            freed += rows.memory_bytes().saturating_sub(kept.memory_bytes());
            kept
        };
        if !self.rows.is_empty() {
            self.rows = cut(&self.rows);
        }
        if let Some(sealing) = self.sealing.take() {
            let kept = cut(&sealing);
            self.sealing = (!kept.is_empty()).then(|| Arc::new(kept));
        }
        freed
    }

    /// Says whether a point lies between two times.
    pub(super) fn has_within(&self, first: i64, last: i64) -> bool {
        let sealing = self.sealing.as_ref();
        self.rows.has_within(first, last)
            || sealing.is_some_and(|rows| rows.has_within(first, last))
    }

    /// Copies a column's points between two times, as they came.
    pub(super) fn column(
        &self,
        column: u32,
        field_type: FieldType,
        first: i64,
        last: i64,
    ) -> Column {
        let recent = self.rows.column(column, field_type, first, last);
        match &self.sealing {
            None => recent,
            Some(sealing) => {
                let mut all = sealing.column(column, field_type, first, last);
                all.append(recent);
                all
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(number: u32, columns: &[(u32, FieldType)]) -> Arc<Shape> {
        Arc::new(Shape {
            number,
            columns: columns.into(),
        })
    }

    #[test]
    fn columns_come_out_of_rows_of_several_shapes_in_the_order_of_writing() {
        use FieldType::{Integer, Text};
        let (both, one) = (
            shape(0, &[(0, Integer), (1, Text)]),
            shape(1, &[(0, Integer)]),
        );
        let mut rows = Rows::default();
        let texts = ["a".into(), "b".into()];
        rows.push(&both, 1, &[10, 0], &texts);
        rows.push(&one, 1, &[11], &[]);
        rows.push(&both, 2, &[20, 1], &texts);
        rows.push(&both, 3, &[30, 1], &texts);
        assert_eq!(rows.columns(), [(0, Integer), (1, Text)]);
        let numbers = rows.column(0, Integer, 1, 2);
        assert_eq!(numbers.times, [1, 1, 2]);
        assert_eq!(numbers.values, Values::Integer(vec![10, 11, 20]));
        let words = rows.column(1, Text, i64::MIN, i64::MAX);
        assert_eq!(
            words.values,
            Values::Text(vec!["a".into(), "b".into(), "b".into()])
        );
        let kept = rows.outside(2, 2);
        assert_eq!(kept.column(0, Integer, 0, 9).times, [1, 1, 3]);
        assert!(kept.memory_bytes() < rows.memory_bytes());
    }

    #[test]
    fn what_a_failed_seal_left_stays_before_what_came_after() {
        let one = shape(0, &[(0, FieldType::Integer)]);
        let mut head = Head::default();
        head.rows.push(&one, 5, &[1], &[]);
        assert!(head.begin_seal().is_some());
        head.rows.push(&one, 5, &[2], &[]);
        let before = head.memory_bytes();
        let (again, saved) = head.begin_seal().expect("both");
        assert!(saved > 0, "two runs of one shape are one");
        assert_eq!(head.memory_bytes(), before - saved);
        assert_eq!(
            again.column(0, FieldType::Integer, 0, 9).values,
            Values::Integer(vec![1, 2])
        );
        head.end_seal();
        assert!(head.is_empty());
    }
}
