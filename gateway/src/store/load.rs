//! Loads the catalogue, and where the chunks lie, at the start.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use foldhash::fast::RandomState;
use rusqlite::{Connection, Row};
use serde::Deserialize;

use super::{
    StoreError, Tags,
    catalogue::{Database, Measurement, Policy},
    column::FieldType,
    disk::rows,
    head::ChunkMeta,
    series::{Series, SeriesList},
};
use crate::lines::series_key;

/// The measurements that were met, each with its policy's number and its name.
#[derive(Default)]
struct Met {
    all: Vec<(i64, Arc<str>, Measurement)>,
    numbers: HashMap<i64, HashMap<Arc<str>, u32>>,
}

impl Met {
    /// Returns where a measurement stands in the list, which it is added to if it is not there.
    fn number_of(&mut self, policy_id: i64, name: &str) -> u32 {
        let numbers = self.numbers.entry(policy_id).or_default();
        if let Some(number) = numbers.get(name) {
            return *number;
        }
        let (number, name): (u32, Arc<str>) = (self.all.len() as u32, name.into());
        numbers.insert(Arc::clone(&name), number);
        self.all.push((policy_id, name, Measurement::default()));
        number
    }
}

/// For the numbers of series or columns in the file: which measurement's they are, and which of its own.
type Indices = HashMap<i64, (u32, u32), RandomState>;

/// A text in JSON, copied only where something is escaped in it.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Reads a row's text where it stands.
fn text_at<'a>(row: &'a Row<'_>, at: usize) -> rusqlite::Result<&'a str> {
    Ok(row.get_ref(at)?.as_str()?)
}

/// Reads what the tables hold and refuses what does not fit together.
pub(super) fn load(connection: &Connection) -> Result<Vec<Database>, StoreError> {
    let mut databases: Vec<Database> = rows::databases(connection)?
        .into_iter()
        .map(|name| Database {
            name,
            policies: Vec::new(),
        })
        .collect();
    for row in rows::policies(connection)? {
        let found = databases
            .iter_mut()
            .find(|found| found.name == row.database);
        let database = found.ok_or_else(|| {
            StoreError::Catalogue(format!("a policy of {} is left over", row.database))
        })?;
        let policy = Policy::new(row.id, row.name, row.duration_ns, row.is_default);
        database.policies.push(policy);
    }
    let mut met = Met::default();
    let columns = load_columns(connection, &mut met)?;
    let series = load_series(connection, &mut met)?;
    load_chunks(connection, &mut met, &columns, &series)?;
    for (policy_id, name, measurement) in met.all {
        let policy = databases
            .iter_mut()
            .flat_map(|database| &mut database.policies)
            .find(|policy| policy.id == policy_id)
            .ok_or_else(|| StoreError::Catalogue(format!("{name} has no policy")))?;
        policy.measurements.insert(name, measurement);
    }
    Ok(databases)
}

fn load_columns(connection: &Connection, met: &mut Met) -> Result<Indices, StoreError> {
    let mut weeks: HashMap<i64, Vec<i64>> = HashMap::new();
    let mut statement = connection.prepare("SELECT column_id, week FROM weeks")?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        weeks.entry(row.get(0)?).or_default().push(row.get(1)?);
    }
    let mut columns = Indices::default();
    let mut statement = connection
        .prepare("SELECT id, policy_id, measurement, field, type FROM columns ORDER BY id")?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let (id, byte): (i64, u8) = (row.get(0)?, row.get(4)?);
        let field: String = row.get(3)?;
        let field_type = FieldType::from_byte(byte)
            .ok_or_else(|| StoreError::Catalogue(format!("the field {field} has type {byte}")))?;
        let number = met.number_of(row.get(1)?, text_at(row, 2)?);
        let measurement = &mut met.all[number as usize].2;
        let column = measurement.column_of(&field, field_type, Some(id));
        for week in weeks.remove(&id).unwrap_or_default() {
            measurement.add_week(&field, week, column);
        }
        columns.insert(id, (number, column));
    }
    Ok(columns)
}

fn load_series(connection: &Connection, met: &mut Met) -> Result<Indices, StoreError> {
    let mut indices = Indices::default();
    let mut statement =
        connection.prepare("SELECT id, policy_id, measurement, tags FROM series ORDER BY id")?;
    let mut found = statement.query([])?;
    let mut all: Vec<SeriesList> = Vec::new();
    while let Some(row) = found.next()? {
        let (id, name): (i64, &str) = (row.get(0)?, text_at(row, 2)?);
        let number = met.number_of(row.get(1)?, name);
        all.resize_with(met.all.len(), SeriesList::default);
        let series = &mut all[number as usize];
        let tags: Vec<(Text<'_>, Text<'_>)> = serde_json::from_str(text_at(row, 3)?)
            .map_err(|error| StoreError::Catalogue(format!("the tags of series {id}: {error}")))?;
        let key = series_key(name, tags.iter().map(|(k, v)| (k.0.as_ref(), v.0.as_ref())));
        let tags = shared(&tags, series.last());
        indices.insert(
            id,
            (number, series.push(Series::new(key.into(), tags, Some(id)))),
        );
    }
    for (series, (_, _, measurement)) in all.into_iter().zip(&mut met.all) {
        measurement.fill(series);
    }
    // A series that went while the disk failed, and came again, stands there twice: the later row counts.
    for (of, number) in indices.values_mut() {
        let measurement = &met.all[*of as usize].2;
        if measurement.order.len() < measurement.series.end() as usize {
            let key = &measurement.series[*number].key;
            *number = measurement.number_of(key).unwrap_or(*number);
        }
    }
    Ok(indices)
}

/// Makes tags, of which those are shared that the series before has as well.
fn shared(tags: &[(Text<'_>, Text<'_>)], before: Option<&Series>) -> Tags {
    let text = |text: &Text<'_>, before: Option<&Arc<str>>| match before {
        Some(before) if before.as_ref() == text.0 => Arc::clone(before),
        _ => text.0.as_ref().into(),
    };
    let tags = tags.iter().enumerate().map(|(at, (name, value))| {
        let before = before.and_then(|before| before.tags.get(at));
        (
            text(name, before.map(|(name, _)| name)),
            text(value, before.map(|(_, value)| value)),
        )
    });
    tags.collect()
}

fn load_chunks(
    connection: &Connection,
    met: &mut Met,
    columns: &Indices,
    series: &Indices,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare(
        "SELECT id, series_id, column_id, first, last, points, size_bytes, resolutions FROM chunks ORDER BY id",
    )?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let meta = ChunkMeta {
            id: row.get(0)?,
            first: row.get(3)?,
            last: row.get(4)?,
            points: row.get(5)?,
            size_bytes: row.get(6)?,
            resolutions: row.get(7)?,
        };
        let unknown = || StoreError::Catalogue(format!("chunk {} belongs nowhere", meta.id));
        let (of, number) = series.get(&row.get(1)?).ok_or_else(unknown)?;
        let (columns_of, column) = columns.get(&row.get(2)?).ok_or_else(unknown)?;
        if of != columns_of {
            return Err(unknown());
        }
        let measurement = &mut met.all[*of as usize].2;
        measurement.series[*number].push_chunk(*column, meta);
    }
    Ok(())
}
