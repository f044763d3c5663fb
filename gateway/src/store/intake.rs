//! The way in: lines find their series and their columns before the journal, and are put there after it.
//!
//! A line whose text names a series that is there, with fields that have come together before, is resolved by looking up
//! the series' key as it stands in the line, and comparing the fields' names one after the other with those of the series'
//! last row; where they stand in another order, as Telegraf writes them in a new one each time, each is looked up by its
//! name. Nothing is allocated, and no point is built. Every other line becomes a [`Point`], and goes the long way, which
//! makes what is new.
//!
//! Between both, a series may be deleted. The batch knows by [`Store::removals`] whether anything was; if so, its lines are
//! read once more, as points.

use std::{ops::Range, sync::Arc};

use parking_lot::RwLockReadGuard;

use super::{
    Store, Unfit,
    catalogue::{self, Database, Measurement, Policy},
    head::cell_of,
};
use crate::lines::{self, FieldValue, Parts, Point, Precision};

/// Lines that are resolved under one lock: some tens of microseconds, for which a write waits at most.
const LINES_PER_LOCK: u32 = 64;

/// What a batch's accepted lines say, ready to be put into the store.
pub struct Batch<'a> {
    text: &'a [u8],
    precision: Precision,
    removals: u64,
    measurements: Vec<Arc<str>>,
    lines: Vec<Line<'a>>,
    cells: Vec<u64>,
    texts: Vec<Arc<str>>,
}

enum Line<'a> {
    Known(Known),
    Point(Box<Point<'a>>),
}

/// A line whose series and columns are there.
struct Known {
    /// Its place in the batch's list.
    measurement: u32,
    series: u32,
    shape: u32,
    /// Where its time and its values stand in the batch's cells.
    at: u32,
    /// Where it stands in the text.
    bytes: Range<u32>,
}

impl<'a> Batch<'a> {
    /// Gathers points that are built already.
    pub fn of_points(points: impl IntoIterator<Item = Point<'a>>) -> Self {
        let mut batch = Self::new(&[], Precision::Nanoseconds);
        let points = points.into_iter();
        batch
            .lines
            .extend(points.map(|point| Line::Point(Box::new(point))));
        batch
    }

    fn new(text: &'a [u8], precision: Precision) -> Self {
        Self {
            text,
            precision,
            removals: 0,
            measurements: Vec::new(),
            lines: Vec::new(),
            cells: Vec::new(),
            texts: Vec::new(),
        }
    }

    /// Returns how many lines there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Says whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Says whether nothing went since the lines were resolved.
    pub(super) fn is_of(&self, removals: u64) -> bool {
        self.removals == removals
    }

    fn measurement(&mut self, name: &Arc<str>) -> u32 {
        let mut known = self.measurements.iter();
        let at = known.position(|found| Arc::ptr_eq(found, name));
        let at = at.unwrap_or_else(|| {
            self.measurements.push(Arc::clone(name));
            self.measurements.len() - 1
        });
        at as u32
    }

    /// Keeps a text, unless it is the last one again.
    fn text_cell(&mut self, text: &str) -> u64 {
        if self.texts.last().is_none_or(|last| last.as_ref() != text) {
            self.texts.push(text.into());
        }
        self.texts.len() as u64 - 1
    }
}

/// Takes a batch's lines one after the other.
pub struct Intake<'a> {
    store: &'a Store,
    database: &'a str,
    policy: Option<&'a str>,
    received_ns: i64,
    state: Option<RwLockReadGuard<'a, Vec<Database>>>,
    lines_left: u32,
    /// Where the policy stands in the state that is locked.
    place: Option<(usize, usize)>,
    /// The week that the last line was in: its number, its start and its end.
    week: (i64, Range<i64>),
    /// The instant at which lines must be young enough for the policy.
    kept_at_ns: Option<i64>,
    /// The fields of the line at hand in the order of their columns: each with its column and its place in the line.
    order: Vec<(u32, u32)>,
    batch: Batch<'a>,
}

impl Store {
    /// Starts to take a batch of text; lines without a time have the time of receipt.
    #[must_use]
    pub fn intake<'a>(
        &'a self,
        database: &'a str,
        policy: Option<&'a str>,
        received_ns: i64,
        text: &'a [u8],
        precision: Precision,
    ) -> Intake<'a> {
        Intake {
            store: self,
            database,
            policy,
            received_ns,
            state: None,
            lines_left: 0,
            place: None,
            week: (0, 0..0),
            kept_at_ns: None,
            order: Vec::new(),
            batch: Batch::new(text, precision),
        }
    }
}

impl<'a> Intake<'a> {
    /// Refuses lines that are older than the policy keeps, seen from an instant.
    #[must_use]
    pub fn refusing_expired_at(self, now_ns: i64) -> Self {
        Self {
            kept_at_ns: Some(now_ns),
            ..self
        }
    }

    /// Takes an accepted line that stands at `bytes` in the text; `None`: it says something else than the text does.
    ///
    /// # Errors
    ///
    /// Says that the point is older than the policy keeps, or names both types of the first field whose type is another in
    /// the store; the line is not taken then.
    pub fn take(&mut self, parts: &Parts, bytes: Option<Range<usize>>) -> Result<(), Unfit> {
        let state = self.lock();
        let taken = self.take_in(&state, parts, bytes);
        self.state = Some(state);
        taken
    }

    fn take_in(
        &mut self,
        state: &[Database],
        parts: &Parts,
        bytes: Option<Range<usize>>,
    ) -> Result<(), Unfit> {
        let time = parts.time_ns.unwrap_or(self.received_ns);
        if !self.week.1.contains(&time) {
            self.week = catalogue::week_with_span(time);
        }
        let policy = self
            .place
            .map(|(database, policy)| &state[database].policies[policy]);
        if let Some((policy, now_ns)) = policy.zip(self.kept_at_ns) {
            policy.check_time(time, now_ns)?;
        }
        let mut order = std::mem::take(&mut self.order);
        let known = policy.zip(bytes).and_then(|(policy, bytes)| {
            let (name, series, shape) = self.known(policy, parts, &bytes, &mut order)?;
            Some((name, series, shape, bytes))
        });
        self.order = order;
        if let Some((name, series, shape, bytes)) = known {
            self.take_known(name, series, shape, time, parts, bytes);
            return Ok(());
        }
        let point = Point::of(parts, self.batch.text);
        self.store
            .claim_in(state, self.database, self.policy, time, &point)?;
        self.batch.lines.push(Line::Point(Box::new(point)));
        Ok(())
    }

    /// Returns what was taken.
    #[must_use]
    pub fn finish(self) -> Batch<'a> {
        self.batch
    }

    /// Returns the lock, which is held for some lines at a time.
    fn lock(&mut self) -> RwLockReadGuard<'a, Vec<Database>> {
        if let Some(state) = self.state.take_if(|_| self.lines_left > 0) {
            self.lines_left -= 1;
            return state;
        }
        // Given back before it is taken anew, so that a write may come in between.
        self.state = None;
        let state = self.store.0.state.read();
        let removals = self.store.removals();
        if self.batch.lines.is_empty() {
            self.batch.removals = removals;
        }
        let database = state.iter().position(|found| found.name == self.database);
        self.place = database.and_then(|database| {
            let policy = state[database].policy_index(self.policy)?;
            Some((database, policy))
        });
        // What was resolved before a removal is read again, and so is all that comes after it.
        if removals != self.batch.removals {
            self.place = None;
        }
        self.lines_left = LINES_PER_LOCK;
        state
    }

    /// Finds the series and the shape of a line by its text, and the order of its fields' columns.
    fn known<'p>(
        &self,
        policy: &'p Policy,
        parts: &Parts,
        bytes: &Range<usize>,
        order: &mut Vec<(u32, u32)>,
    ) -> Option<(&'p Arc<str>, u32, u32)> {
        let text = self.batch.text;
        // A backslash may escape something: the text is not the name then.
        if memchr::memchr(b'\\', &text[bytes.clone()]).is_some() {
            return None;
        }
        let key = std::str::from_utf8(parts.series().of(text)).ok()?;
        let (name, measurement) = policy
            .measurements
            .get_key_value(key.get(..parts.measurement.len())?)?;
        let number = measurement.number_of(key)?;
        let last = measurement.series[number].last_shape;
        order.clear();
        let guess = measurement.shapes.get(last as usize);
        if let Some(shape) = guess.filter(|shape| self.fits(measurement, shape, parts)) {
            let columns = shape.columns.iter().zip(0..);
            order.extend(columns.map(|((column, _), at)| (*column, at)));
            return Some((name, number, shape.number));
        }
        let mut next = 0;
        for (field, at) in parts.fields.iter().zip(0..) {
            let name = std::str::from_utf8(field.key.of(text)).ok()?;
            let column = measurement.column_in(next, name, self.week.0)?;
            let is_of = measurement.columns[column as usize].field_type == field.field_type;
            order.push(is_of.then_some((column, at))?);
            next = column + 1;
        }
        order.sort_unstable();
        let shape = measurement.known_shape(guess, order)?;
        Some((name, number, shape))
    }

    fn fits(&self, measurement: &Measurement, shape: &super::head::Shape, parts: &Parts) -> bool {
        shape.columns.len() == parts.fields.len()
            && shape
                .columns
                .iter()
                .zip(&parts.fields)
                .all(|((column, _), field)| {
                    let name = field.key.of(self.batch.text);
                    measurement.takes(*column, name, field.field_type, self.week.0)
                })
    }

    fn take_known(
        &mut self,
        name: &Arc<str>,
        series: u32,
        shape: u32,
        time: i64,
        parts: &Parts,
        bytes: Range<usize>,
    ) {
        let batch = &mut self.batch;
        let measurement = batch.measurement(name);
        let at = batch.cells.len() as u32;
        batch.cells.push(time as u64);
        for (_, at) in &self.order {
            let cell = match parts.fields[*at as usize].value_in(batch.text) {
                FieldValue::Text(text) => batch.text_cell(&text),
                value => super::bits_of(&value),
            };
            batch.cells.push(cell);
        }
        // The limit on decompressed bodies keeps offsets within 32 bits.
        let bytes = bytes.start as u32..bytes.end as u32;
        batch.lines.push(Line::Known(Known {
            measurement,
            series,
            shape,
            at,
            bytes,
        }));
    }
}

/// What inserting a point writes into, used again for the next one.
#[derive(Default)]
struct Scratch {
    key: String,
    values: Vec<(u32, u64)>,
    columns: Vec<u32>,
    cells: Vec<u64>,
    texts: Vec<Arc<str>>,
}

/// Says which points a replay passes over: by policy, measurement, series key and time.
pub(super) type Passes<'a> = &'a dyn Fn([&str; 3], i64) -> bool;

impl Batch<'_> {
    /// Puts all lines into a policy; returns the memory that they take.
    pub(super) fn insert(
        &self,
        policy: &mut Policy,
        received_ns: i64,
        is_current: bool,
        passes: Option<Passes<'_>>,
    ) -> usize {
        let (mut bytes, mut scratch) = (0, Scratch::default());
        for line in &self.lines {
            bytes += match line {
                Line::Known(known) if is_current && passes.is_none() => {
                    self.insert_known(policy, known)
                }
                Line::Known(known) => {
                    let range = known.bytes.start as usize..known.bytes.end as usize;
                    let mut again = lines::scan(&self.text[range], self.precision);
                    let point = again.next().and_then(|line| line.verdict.ok());
                    point.map_or(0, |point| {
                        insert_point(policy, received_ns, &point, &mut scratch, passes)
                    })
                }
                Line::Point(point) => {
                    insert_point(policy, received_ns, point, &mut scratch, passes)
                }
            };
        }
        bytes
    }

    fn insert_known(&self, policy: &mut Policy, known: &Known) -> usize {
        let name = &self.measurements[known.measurement as usize];
        let Some(measurement) = policy.measurements.get_mut(name) else {
            return 0;
        };
        measurement.cut_ahead(known.series);
        let shape = &measurement.shapes[known.shape as usize];
        let series = &mut measurement.series[known.series];
        series.last_shape = known.shape;
        let cells = &self.cells[known.at as usize..][..=shape.columns.len()];
        let (time, cells) = (cells[0] as i64, &cells[1..]);
        series.head.rows.push(shape, time, cells, &self.texts)
    }
}

/// Puts a point into its series, and makes what is not there; returns the memory that it takes.
fn insert_point(
    policy: &mut Policy,
    received_ns: i64,
    point: &Point<'_>,
    scratch: &mut Scratch,
    passes: Option<Passes<'_>>,
) -> usize {
    let name = point.measurement.as_ref();
    let time = point.time_ns.unwrap_or(received_ns);
    let tags = point.tags.iter();
    let mut tags: Vec<(&str, &str)> = tags.map(|(k, v)| (k.as_ref(), v.as_ref())).collect();
    tags.sort_unstable();
    let Scratch {
        key,
        values,
        columns,
        cells,
        texts,
    } = scratch;
    key.clear();
    lines::push_series_key(key, name, tags.iter().copied());
    if passes.is_some_and(|passes| passes([&policy.name, name, key], time)) {
        return 0;
    }
    if !policy.measurements.contains_key(name) {
        let measurement = Measurement::default();
        policy.measurements.insert(name.into(), measurement);
    }
    let Some(measurement) = policy.measurements.get_mut(name) else {
        return 0;
    };
    let week = catalogue::week_of(time);
    values.clear();
    columns.clear();
    cells.clear();
    texts.clear();
    let mut next = 0;
    for (field, value) in &point.fields {
        let value = super::owned_value(value);
        let column = measurement.learn(next, field, week, value.field_type());
        next = column + 1;
        // A type that is another's here was refused before; what a damaged journal brings is passed over.
        if measurement.columns[column as usize].field_type == value.field_type() {
            values.push((column, cell_of(&value, texts)));
        }
    }
    if values.is_empty() {
        return 0;
    }
    // Of a field that stands twice in the line the later value stays behind the earlier one.
    values.sort_by_key(|(column, _)| *column);
    cells.extend(values.iter().map(|(_, cell)| *cell));
    columns.extend(values.iter().map(|(column, _)| *column));
    let shape = measurement.shape_of(columns);
    let number = measurement.series_number(key, || {
        let owned = tags.iter().map(|(k, v)| ((*k).into(), (*v).into()));
        owned.collect()
    });
    measurement.cut_ahead(number);
    let series = &mut measurement.series[number];
    series.last_shape = shape;
    let shape = &measurement.shapes[shape as usize];
    series.head.rows.push(shape, time, cells, texts)
}
