//! What there is: databases, retention policies, measurements, fields with their types, and series with their tags.
//!
//! Invariants: a measurement's series are numbered in the order of their arrival; a number is never given twice, so that
//! a running query cannot meet another series under it; it meets none where its series is gone. `order` lists the series that there are by their key. A field has
//! one type a week, the first that was written in it, as a field of InfluxDB has one in each shard; each of its types is
//! a column.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ops::Range,
    sync::Arc,
    time::Duration,
};

use foldhash::fast::RandomState;

use super::{
    column::FieldType,
    error::Expired,
    head::{ChunkMeta, Shape},
    series::{Series, SeriesList, Tags},
};

const WEEK_NS: i64 = 7 * 86_400 * 1_000_000_000;
/// Weeks start on Mondays, and 1970 on a Thursday.
const WEEK_START_NS: i64 = 3 * 86_400 * 1_000_000_000;

/// Returns the number of the week that an instant lies in.
pub(super) fn week_of(time_ns: i64) -> i64 {
    (i128::from(time_ns) + i128::from(WEEK_START_NS)).div_euclid(i128::from(WEEK_NS)) as i64
}

/// Returns the number of the week that an instant lies in, and its span.
pub(super) fn week_with_span(time_ns: i64) -> (i64, Range<i64>) {
    let week = week_of(time_ns);
    let start = (week.saturating_mul(WEEK_NS)).saturating_sub(WEEK_START_NS);
    (week, start..start.saturating_add(WEEK_NS))
}

/// A database and its retention policies, in the order in which they were made.
pub(super) struct Database {
    pub(super) name: String,
    pub(super) policies: Vec<Policy>,
}

/// A retention policy: what holds the measurements.
pub(super) struct Policy {
    pub(super) id: i64,
    pub(super) name: String,
    /// How long points are kept; 0: for ever.
    pub(super) duration_ns: i64,
    pub(super) is_default: bool,
    /// Whether it is in memory alone.
    pub(super) is_new: bool,
    /// Points before this are not shown any more.
    pub(super) cutoff_ns: i64,
    pub(super) measurements: BTreeMap<Arc<str>, Measurement>,
}

/// A measurement with its fields and series.
#[derive(Default)]
pub(super) struct Measurement {
    pub(super) columns: Vec<ColumnInfo>,
    pub(super) fields: BTreeMap<Arc<str>, Field>,
    pub(super) series: SeriesList,
    /// Series by their key, which sorts as InfluxDB sorts.
    pub(super) order: BTreeMap<Arc<str>, u32>,
    /// The same, to find one by its key.
    numbers: HashMap<Arc<str>, u32, RandomState>,
    /// The shapes that rows have come in.
    pub(super) shapes: Vec<Arc<Shape>>,
    shape_numbers: HashMap<Box<[u32]>, u32>,
    /// Series by tag key and value.
    pub(super) index: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Vec<u32>>>,
    /// What is being deleted from memory.
    pub(super) cut: Option<Cut>,
}

/// Points that are being deleted from the memory of all series, some of these at a time. They are those that were there
/// when it began: what comes meanwhile stays.
pub(super) struct Cut {
    pub(super) first: i64,
    pub(super) last: i64,
    /// The series that are not looked at yet.
    pub(super) numbers: Range<u32>,
    /// Those of them that are done nevertheless, for a push came to them.
    pub(super) ahead: HashSet<u32>,
    /// The memory that the points took.
    pub(super) freed_bytes: usize,
}

impl Cut {
    pub(super) fn take_from(&mut self, series: &mut Series) {
        self.freed_bytes += series.head.delete(self.first, self.last);
    }
}

/// A field in one of its types.
pub(super) struct ColumnInfo {
    pub(super) field: Arc<str>,
    pub(super) field_type: FieldType,
    /// Its number on disk once it has one.
    pub(super) id: Option<i64>,
    /// Its weeks that are not on disk yet.
    pub(super) new_weeks: Vec<i64>,
    /// One of its weeks: that of the last point.
    week: i64,
}

/// A field: its column in each week.
pub(super) struct Field {
    weeks: BTreeMap<i64, u32>,
    /// Its columns, the one that it is read as first.
    pub(super) columns: Vec<u32>,
}

impl Field {
    /// Finds the column of a week.
    fn column_in(&self, week: i64) -> Option<u32> {
        self.weeks.get(&week).copied()
    }
}

impl Measurement {
    /// Returns the number of the series of a key, which is added if it is not there.
    pub(super) fn series_number(&mut self, key: &str, tags: impl FnOnce() -> Tags) -> u32 {
        if let Some(number) = self.numbers.get(key) {
            *number
        } else {
            let number = self.series.end();
            let tags = tags().into_iter();
            let tags = tags.map(|(name, value)| self.index_tag(name, value, number));
            let series = Series::new(key.into(), tags.collect(), None);
            self.order.insert(Arc::clone(&series.key), number);
            self.numbers.insert(Arc::clone(&series.key), number);
            self.series.push(series);
            number
        }
    }

    /// Notes a series' tag; returns the texts under which it is known, so that many series share them.
    fn index_tag(&mut self, name: Arc<str>, value: Arc<str>, number: u32) -> (Arc<str>, Arc<str>) {
        let known = self.index.get_key_value(&name);
        let name = known.map_or(name, |(name, _)| Arc::clone(name));
        let values = self.index.entry(Arc::clone(&name)).or_default();
        let known = values.get_key_value(&value);
        let value = known.map_or(value, |(value, _)| Arc::clone(value));
        let numbers = values.entry(Arc::clone(&value)).or_default();
        if numbers.is_empty() {
            numbers.reserve_exact(1);
        }
        numbers.push(number);
        (name, value)
    }

    /// Takes in the series of a measurement that has none. To sort them all at once takes less than to find a place for
    /// each. Of two with one key the later counts.
    pub(super) fn fill(&mut self, series: SeriesList) {
        let by_key = || {
            let numbered = series.iter();
            numbered.map(|(number, series)| (Arc::clone(&series.key), number))
        };
        self.order = by_key().collect();
        self.numbers = by_key().collect();
        let mut tags: BTreeMap<Arc<str>, Vec<(Arc<str>, u32)>> = BTreeMap::new();
        let is_twice = self.order.len() < series.end() as usize;
        for (number, series) in series.iter() {
            if is_twice && self.order.get(&series.key) != Some(&number) {
                continue;
            }
            for (name, value) in series.tags.iter() {
                let value = (Arc::clone(value), number);
                match tags.get_mut(name) {
                    Some(values) => values.push(value),
                    None => drop(tags.insert(Arc::clone(name), vec![value])),
                }
            }
        }
        for (name, mut values) in tags {
            values.sort();
            let grouped = values.chunk_by(|(one, _), (other, _)| one == other);
            let grouped = grouped.map(|group| {
                let numbers = group.iter().map(|(_, number)| *number);
                (Arc::clone(&group[0].0), numbers.collect())
            });
            self.index.insert(name, grouped.collect());
        }
        self.series = series;
    }

    /// Deletes from a series what is to go, before a push adds to it.
    pub(super) fn cut_ahead(&mut self, number: u32) {
        if let Some(cut) = &mut self.cut
            && cut.numbers.contains(&number)
            && cut.ahead.insert(number)
        {
            cut.take_from(&mut self.series[number]);
        }
    }

    /// Finds a series by its key.
    pub(super) fn number_of(&self, key: &str) -> Option<u32> {
        self.numbers.get(key).copied()
    }

    /// Returns the shape of rows with these columns, in ascending order, which is made when it is not there.
    pub(super) fn shape_of(&mut self, columns: &[u32]) -> u32 {
        if let Some(number) = self.shape_numbers.get(columns) {
            return *number;
        }
        let number = self.shapes.len() as u32;
        let types = |column: &u32| (*column, self.columns[*column as usize].field_type);
        let shape = Shape {
            number,
            columns: columns.iter().map(types).collect(),
        };
        self.shapes.push(Arc::new(shape));
        self.shape_numbers.insert(columns.into(), number);
        number
    }

    /// Forgets all shapes. Rows keep theirs; batches that name one by its number must notice.
    pub(super) fn forget_shapes(&mut self) {
        self.shapes = Vec::new();
        self.shape_numbers = HashMap::new();
    }

    /// Finds the shape of rows whose fields have these columns, in ascending order, each with the field's place in the line;
    /// `guess` is looked at first.
    pub(super) fn known_shape(
        &self,
        guess: Option<&Arc<Shape>>,
        order: &[(u32, u32)],
    ) -> Option<u32> {
        let columns = || order.iter().map(|(column, _)| *column);
        let is_it = |shape: &&Arc<Shape>| {
            let found = shape.columns.iter().map(|(column, _)| *column);
            found.eq(columns())
        };
        if let Some(shape) = guess.filter(is_it) {
            return Some(shape.number);
        }
        let columns: Box<[u32]> = columns().collect();
        self.shape_numbers.get(&columns).copied()
    }

    /// Says whether a column takes a field's values in a week.
    pub(super) fn takes(
        &self,
        column: u32,
        field: &[u8],
        field_type: FieldType,
        week: i64,
    ) -> bool {
        let info = &self.columns[column as usize];
        info.field_type == field_type
            && info.field.as_bytes() == field
            && (info.week == week
                || self
                    .fields
                    .get(&info.field)
                    .and_then(|found| found.column_in(week))
                    == Some(column))
    }

    /// Forgets series; their numbers stay taken. Returns their numbers on disk.
    pub(super) fn remove_series(&mut self, numbers: &[u32]) -> Vec<i64> {
        let mut ids = Vec::new();
        let mut tags: HashSet<(Arc<str>, Arc<str>)> = HashSet::new();
        for number in numbers {
            let Some(series) = self.series.remove(*number) else {
                continue;
            };
            if self.order.get(&series.key) == Some(number) {
                self.order.remove(&series.key);
                self.numbers.remove(&series.key);
            }
            tags.extend(series.tags.iter().cloned());
            ids.extend(series.id);
        }
        // Once for all that share a tag, however many they are.
        for (name, value) in tags {
            let Some(values) = self.index.get_mut(&name) else {
                continue;
            };
            if let Some(numbers) = values.get_mut(&value) {
                numbers.retain(|number| self.series.get(*number).is_some());
                if numbers.is_empty() {
                    values.remove(&value);
                }
            }
            if values.is_empty() {
                self.index.remove(&name);
            }
        }
        ids
    }

    /// Finds the column that takes a field's values in a week. `guess` is looked at first: lines of a measurement have
    /// their fields in one order, so that the column behind the last one found is mostly the next.
    pub(super) fn column_in(&self, guess: u32, field: &str, week: i64) -> Option<u32> {
        match self.columns.get(guess as usize) {
            Some(column) if column.week == week && column.field.as_ref() == field => Some(guess),
            _ => self.fields.get(field)?.column_in(week),
        }
    }

    /// Returns the type that a field has in a week.
    pub(super) fn type_in(&self, field: &str, week: i64) -> Option<FieldType> {
        let column = self.column_in(u32::MAX, field, week)?;
        Some(self.columns[column as usize].field_type)
    }

    /// Returns the type that a field is read as.
    pub(super) fn read_type(&self, field: &str) -> Option<FieldType> {
        let column = self.fields.get(field)?.columns.first()?;
        Some(self.columns[*column as usize].field_type)
    }

    /// Returns the column that takes a field's values in a week, learning its type from the first value.
    pub(super) fn learn(
        &mut self,
        guess: u32,
        name: &str,
        week: i64,
        field_type: FieldType,
    ) -> u32 {
        if let Some(column) = self.column_in(guess, name, week) {
            self.columns[column as usize].week = week;
            return column;
        }
        let column = self.column_of(name, field_type, None);
        self.columns[column as usize].new_weeks.push(week);
        self.add_week(name, week, column);
        column
    }

    /// Notes that a field has a column's type in a week.
    pub(super) fn add_week(&mut self, name: &str, week: i64, column: u32) {
        if let Some(field) = self.fields.get_mut(name) {
            field.weeks.insert(week, column);
        }
        if let Some(info) = self.columns.get_mut(column as usize) {
            info.week = week;
        }
    }

    /// Finds a field's column of a type, or adds it.
    pub(super) fn column_of(&mut self, name: &str, field_type: FieldType, id: Option<i64>) -> u32 {
        let known = self.fields.get_key_value(name);
        let name: Arc<str> = known.map_or_else(|| name.into(), |(name, _)| Arc::clone(name));
        let field = self.fields.entry(Arc::clone(&name)).or_insert(Field {
            weeks: BTreeMap::new(),
            columns: Vec::new(),
        });
        let columns = &mut self.columns;
        let is_it = |column: &&u32| columns[**column as usize].field_type == field_type;
        if let Some(column) = field.columns.iter().find(is_it) {
            return *column;
        }
        let column = columns.len() as u32;
        columns.push(ColumnInfo {
            field: name,
            field_type,
            id,
            new_weeks: Vec::new(),
            week: i64::MIN,
        });
        field.columns.push(column);
        field
            .columns
            .sort_by_key(|column| columns[*column as usize].field_type);
        column
    }
}

impl Database {
    /// Finds a retention policy; without a name the default one.
    pub(super) fn policy(&self, name: Option<&str>) -> Option<&Policy> {
        self.policy_index(name).map(|index| &self.policies[index])
    }

    /// Finds where a retention policy stands; without a name the default one.
    pub(super) fn policy_index(&self, name: Option<&str>) -> Option<usize> {
        self.policies.iter().position(|policy| match name {
            Some(name) => policy.name == name,
            None => policy.is_default,
        })
    }

    /// Finds a retention policy to change it; without a name the default one.
    pub(super) fn policy_mut(&mut self, name: Option<&str>) -> Option<&mut Policy> {
        let index = self.policy_index(name)?;
        self.policies.get_mut(index)
    }
}

impl Policy {
    pub(super) fn new(id: i64, name: String, duration_ns: i64, is_default: bool) -> Self {
        Self {
            id,
            name,
            duration_ns,
            is_default,
            is_new: false,
            cutoff_ns: i64::MIN,
            measurements: BTreeMap::new(),
        }
    }

    /// Says whether a point is kept at an instant, for however short a time.
    pub(super) fn check_time(&self, time_ns: i64, now_ns: i64) -> Result<(), Expired> {
        if self.duration_ns == 0 {
            return Ok(());
        }
        let oldest_ns = now_ns.saturating_sub(self.duration_ns);
        if time_ns >= oldest_ns.max(self.cutoff_ns) {
            return Ok(());
        }
        Err(Expired {
            policy: self.name.clone(),
            duration: Duration::from_nanos(self.duration_ns.unsigned_abs()),
            time_ns,
        })
    }
}

/// Where a column of a series is, without holding a lock.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) policy_id: i64,
    pub(super) measurement: Arc<str>,
    pub(super) series: u32,
    pub(super) column: u32,
}

/// Finds a measurement by its policy's number.
pub(super) fn measurement_mut<'a>(
    state: &'a mut [Database],
    policy_id: i64,
    name: &str,
) -> Option<&'a mut Measurement> {
    state
        .iter_mut()
        .flat_map(|database| &mut database.policies)
        .find(|policy| policy.id == policy_id)?
        .measurements
        .get_mut(name)
}

/// Finds a column's chunks.
pub(super) fn chunks_mut<'a>(
    state: &'a mut [Database],
    address: &Address,
) -> Option<&'a mut Vec<ChunkMeta>> {
    let measurement = measurement_mut(state, address.policy_id, &address.measurement)?;
    let series = measurement.series.get_mut(address.series)?;
    Some(series.chunks_mut(address.column))
}
