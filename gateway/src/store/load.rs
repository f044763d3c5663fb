//! Loads the catalogue, and where the chunks lie, at the start.

use std::{collections::HashMap, sync::Arc};

use rusqlite::Connection;

use super::{
    StoreError, Tags,
    catalogue::{Database, Measurement, Policy, series_key},
    column::FieldType,
    disk::rows,
    head::ChunkMeta,
};

type Place = (i64, Arc<str>);
type Measurements = HashMap<Place, Measurement>;

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
    let mut measurements = Measurements::new();
    let columns = load_columns(connection, &mut measurements)?;
    let series = load_series(connection, &mut measurements)?;
    load_chunks(connection, &mut measurements, &columns, &series)?;
    for ((policy_id, name), measurement) in measurements {
        let policy = databases
            .iter_mut()
            .flat_map(|database| &mut database.policies)
            .find(|policy| policy.id == policy_id)
            .ok_or_else(|| StoreError::Catalogue(format!("{name} has no policy")))?;
        policy.measurements.insert(name, measurement);
    }
    Ok(databases)
}

fn load_columns(
    connection: &Connection,
    measurements: &mut Measurements,
) -> Result<HashMap<i64, u32>, StoreError> {
    let mut weeks: HashMap<i64, Vec<i64>> = HashMap::new();
    let mut statement = connection.prepare("SELECT column_id, week FROM weeks")?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        weeks.entry(row.get(0)?).or_default().push(row.get(1)?);
    }
    let mut columns = HashMap::new();
    let mut statement = connection
        .prepare("SELECT id, policy_id, measurement, field, type FROM columns ORDER BY id")?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let (id, byte): (i64, u8) = (row.get(0)?, row.get(4)?);
        let field: String = row.get(3)?;
        let field_type = FieldType::from_byte(byte)
            .ok_or_else(|| StoreError::Catalogue(format!("the field {field} has type {byte}")))?;
        let place = (row.get(1)?, row.get::<_, String>(2)?.into());
        let measurement = measurements.entry(place).or_default();
        let column = measurement.column_of(&field, field_type, Some(id));
        for week in weeks.remove(&id).unwrap_or_default() {
            measurement.add_week(&field, week, column);
        }
        columns.insert(id, column);
    }
    Ok(columns)
}

fn load_series(
    connection: &Connection,
    measurements: &mut Measurements,
) -> Result<HashMap<i64, (Place, u32)>, StoreError> {
    let mut series = HashMap::new();
    let mut statement =
        connection.prepare("SELECT id, policy_id, measurement, tags FROM series ORDER BY id")?;
    let mut found = statement.query([])?;
    let mut names: HashMap<String, Arc<str>> = HashMap::new();
    while let Some(row) = found.next()? {
        let id: i64 = row.get(0)?;
        let name: String = row.get(2)?;
        let name = names
            .entry(name)
            .or_insert_with_key(|name| name.as_str().into());
        let name = Arc::clone(name);
        let text: String = row.get(3)?;
        let tags: Vec<(String, String)> = serde_json::from_str(&text)
            .map_err(|error| StoreError::Catalogue(format!("the tags of series {id}: {error}")))?;
        let key = series_key(&name, tags.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        let place = (row.get(1)?, name);
        let tags = || -> Tags {
            let pairs = tags.iter();
            pairs
                .map(|(k, v)| (k.as_str().into(), v.as_str().into()))
                .collect()
        };
        let measurement = measurements.entry(place.clone()).or_default();
        measurement.series_mut(&key, tags).id = Some(id);
        let number = measurement
            .order
            .get(key.as_str())
            .copied()
            .unwrap_or_default();
        series.insert(id, (place, number));
    }
    Ok(series)
}

fn load_chunks(
    connection: &Connection,
    measurements: &mut Measurements,
    columns: &HashMap<i64, u32>,
    series: &HashMap<i64, (Place, u32)>,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare(
        "SELECT c.id, series_id, column_id, first, last, points, size_bytes, coalesce(r.resolutions, 0) \
         FROM chunks c LEFT JOIN rollups r ON r.id = c.id ORDER BY c.id",
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
        let column = columns.get(&row.get(2)?).ok_or_else(unknown)?;
        let (place, number) = series.get(&row.get(1)?).ok_or_else(unknown)?;
        measurements
            .get_mut(place)
            .and_then(|measurement| measurement.series.get_mut(*number as usize))
            .ok_or_else(unknown)?
            .chunks_mut(*column)
            .push(meta);
    }
    Ok(())
}
