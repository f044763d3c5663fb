//! Moves the head into chunks on disk, and loads the catalogue at the start.
//!
//! A slice: its columns' heads are swapped aside under the lock, compressed and inserted without it, and replaced by
//! their chunks under it again. A reader sees every point at any moment.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
};

use rusqlite::Connection;

use super::{
    Column, Database, FieldType, Policy, Store, StoreError, Tags,
    catalogue::{Field, Measurement},
    chunk, disk,
    head::{ChunkMeta, FieldData},
    series_key,
};

/// What a seal did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SealReport {
    /// Chunks written.
    pub chunks: usize,
    /// Values in them.
    pub values: usize,
    /// Their size.
    pub size_bytes: usize,
    /// The sequence that is sealed now.
    pub sealed_through: u64,
}

/// Where a column belongs.
#[derive(Clone)]
struct Address {
    policy_id: i64,
    measurement: Arc<str>,
    series: u32,
    field: Arc<str>,
}

/// A column that is being sealed.
struct Job {
    address: Address,
    field_type: FieldType,
    field_id: Option<i64>,
    series_id: Option<i64>,
    tags: Arc<Tags>,
    column: Arc<Column>,
}

fn find<'a>(state: &'a mut [Database], address: &Address) -> Option<&'a mut Measurement> {
    state
        .iter_mut()
        .flat_map(|database| &mut database.policies)
        .find(|policy| policy.id == address.policy_id)?
        .measurements
        .get_mut(&address.measurement)
}

impl Store {
    /// Seals what the head holds; a call while another runs waits for it.
    ///
    /// # Errors
    ///
    /// When the file cannot be written; nothing is lost then, and the next seal takes it up.
    pub fn seal(&self) -> Result<SealReport, StoreError> {
        let _changing = self.0.changing.lock();
        let (through, addresses) = self.full_heads();
        let mut report = SealReport {
            sealed_through: through,
            ..SealReport::default()
        };
        if through == self.sealed_through() && addresses.is_empty() {
            return Ok(report);
        }
        let before = self.head_bytes();
        let slices = addresses.chunks(self.0.options.seal_slice_columns.max(1));
        for slice in slices {
            let jobs = self.begin_slice(slice);
            self.write_slice(&jobs, &mut report)?;
        }
        self.0
            .disk
            .write(|transaction| Ok(disk::set_sealed_through(transaction, through)?))?;
        self.0.sealed_through.store(through, Ordering::Release);
        self.0.head_bytes.fetch_sub(before, Ordering::Relaxed);
        Ok(report)
    }

    fn full_heads(&self) -> (u64, Vec<Address>) {
        let state = self.0.state.read();
        let through = self.applied_through();
        let mut addresses = Vec::new();
        for policy in state.iter().flat_map(|database| &database.policies) {
            for (measurement, found) in &policy.measurements {
                for (number, series) in found.series.iter().enumerate() {
                    for (field, data) in &series.data {
                        if !data.head_is_empty() || data.sealing.is_some() {
                            addresses.push(Address {
                                policy_id: policy.id,
                                measurement: Arc::clone(measurement),
                                series: number as u32,
                                field: Arc::clone(field),
                            });
                        }
                    }
                }
            }
        }
        (through, addresses)
    }

    fn begin_slice(&self, slice: &[Address]) -> Vec<Job> {
        let mut state = self.0.state.write();
        let mut jobs = Vec::with_capacity(slice.len());
        for address in slice {
            let Some(measurement) = find(&mut state, address) else {
                continue;
            };
            let Some(field) = measurement.fields.get(&address.field) else {
                continue;
            };
            let (field_type, field_id) = (field.field_type, field.id);
            let series = &mut measurement.series[address.series as usize];
            let (series_id, tags) = (series.id, Arc::clone(&series.tags));
            let Some(column) = series
                .data
                .get_mut(&address.field)
                .and_then(|data| data.begin_seal(field_type))
            else {
                continue;
            };
            jobs.push(Job {
                address: address.clone(),
                field_type,
                field_id,
                series_id,
                tags,
                column,
            });
        }
        jobs
    }

    fn write_slice(&self, jobs: &[Job], report: &mut SealReport) -> Result<(), StoreError> {
        let encoded = jobs
            .iter()
            .map(|job| chunk::encode(&job.column))
            .collect::<Result<Vec<_>, _>>()?;
        let written = self.0.disk.write(|transaction| {
            let mut field_ids: HashMap<(i64, &str, &str), i64> = HashMap::new();
            let mut series_ids: HashMap<(i64, &str, u32), i64> = HashMap::new();
            let mut written = Vec::with_capacity(jobs.len());
            for (job, bytes) in jobs.iter().zip(&encoded) {
                let (policy, name) = (job.address.policy_id, job.address.measurement.as_ref());
                let field_key = (policy, name, job.address.field.as_ref());
                let field_type = job.field_type as u8;
                let field_id = match job.field_id.or_else(|| field_ids.get(&field_key).copied()) {
                    Some(id) => id,
                    None => disk::add_field(transaction, policy, name, field_key.2, field_type)?,
                };
                field_ids.insert(field_key, field_id);
                let series_key = (policy, name, job.address.series);
                let series_id = match job
                    .series_id
                    .or_else(|| series_ids.get(&series_key).copied())
                {
                    Some(id) => id,
                    None => disk::add_series(transaction, policy, name, &tags_text(&job.tags))?,
                };
                series_ids.insert(series_key, series_id);
                let times = &job.column.times;
                let span = (times[0], times[times.len() - 1]);
                let id =
                    disk::add_chunk(transaction, series_id, field_id, span, times.len(), bytes)?;
                written.push((field_id, series_id, id, span));
                report.values += times.len();
                report.size_bytes += bytes.len();
            }
            Ok(written)
        })?;
        report.chunks += written.len();
        let mut state = self.0.state.write();
        for (job, (field_id, series_id, id, (first, last))) in jobs.iter().zip(written) {
            let Some(measurement) = find(&mut state, &job.address) else {
                continue;
            };
            if let Some(field) = measurement.fields.get_mut(&job.address.field) {
                field.id = Some(field_id);
            }
            let series = &mut measurement.series[job.address.series as usize];
            series.id = Some(series_id);
            if let Some(data) = series.data.get_mut(&job.address.field) {
                data.end_seal(ChunkMeta { id, first, last });
            }
        }
        Ok(())
    }
}

fn tags_text(tags: &Tags) -> String {
    serde_json::to_string(
        &tags
            .iter()
            .map(|(k, v)| (k.as_ref(), v.as_ref()))
            .collect::<Vec<(&str, &str)>>(),
    )
    .unwrap_or_default()
}

/// Loads the catalogue and where the chunks lie.
pub(super) fn load(connection: &Connection) -> Result<Vec<Database>, StoreError> {
    let mut databases: Vec<Database> = disk::databases(connection)?
        .into_iter()
        .map(|name| Database {
            name,
            policies: Vec::new(),
        })
        .collect();
    for row in disk::policies(connection)? {
        let Some(database) = databases
            .iter_mut()
            .find(|found| found.name == row.database)
        else {
            return Err(StoreError::Catalogue(format!(
                "a policy of {} is left over",
                row.database
            )));
        };
        database.policies.push(Policy {
            id: row.id,
            name: row.name,
            duration_ns: row.duration_ns,
            is_default: row.is_default,
            measurements: std::collections::BTreeMap::new(),
        });
    }
    let mut measurements: HashMap<(i64, Arc<str>), Measurement> = HashMap::new();
    let fields = load_fields(connection, &mut measurements)?;
    let series = load_series(connection, &mut measurements)?;
    load_chunks(connection, &mut measurements, &fields, &series)?;
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

type Place = (i64, Arc<str>);

fn load_fields(
    connection: &Connection,
    measurements: &mut HashMap<Place, Measurement>,
) -> Result<HashMap<i64, (Arc<str>, FieldType)>, StoreError> {
    let mut fields = HashMap::new();
    let mut statement =
        connection.prepare("SELECT id, policy_id, measurement, name, type FROM fields")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (id, byte): (i64, u8) = (row.get(0)?, row.get(4)?);
        let name: Arc<str> = row.get::<_, String>(3)?.into();
        let field_type = FieldType::from_byte(byte)
            .ok_or_else(|| StoreError::Catalogue(format!("the field {name} has type {byte}")))?;
        let place = (row.get(1)?, row.get::<_, String>(2)?.into());
        let field = Field {
            field_type,
            id: Some(id),
        };
        measurements
            .entry(place)
            .or_default()
            .fields
            .insert(Arc::clone(&name), field);
        fields.insert(id, (name, field_type));
    }
    Ok(fields)
}

fn load_series(
    connection: &Connection,
    measurements: &mut HashMap<Place, Measurement>,
) -> Result<HashMap<i64, (Place, String)>, StoreError> {
    let mut series = HashMap::new();
    let mut statement =
        connection.prepare("SELECT id, policy_id, measurement, tags FROM series ORDER BY id")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        let name: Arc<str> = row.get::<_, String>(2)?.into();
        let text: String = row.get(3)?;
        let tags: Vec<(String, String)> = serde_json::from_str(&text)
            .map_err(|error| StoreError::Catalogue(format!("the tags of series {id}: {error}")))?;
        let key = series_key(&name, tags.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        let place = (row.get(1)?, name);
        let tags = || {
            tags.iter()
                .map(|(k, v)| (k.as_str().into(), v.as_str().into()))
                .collect()
        };
        measurements
            .entry(place.clone())
            .or_default()
            .series_mut(&key, tags)
            .id = Some(id);
        series.insert(id, (place, key));
    }
    Ok(series)
}

fn load_chunks(
    connection: &Connection,
    measurements: &mut HashMap<Place, Measurement>,
    fields: &HashMap<i64, (Arc<str>, FieldType)>,
    series: &HashMap<i64, (Place, String)>,
) -> Result<(), StoreError> {
    let mut statement = connection
        .prepare("SELECT id, series_id, field_id, first, last FROM chunks ORDER BY id")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let meta = ChunkMeta {
            id: row.get(0)?,
            first: row.get(3)?,
            last: row.get(4)?,
        };
        let unknown = || StoreError::Catalogue(format!("chunk {} belongs nowhere", meta.id));
        let (field, field_type) = fields.get(&row.get(2)?).ok_or_else(unknown)?;
        let (place, key) = series.get(&row.get(1)?).ok_or_else(unknown)?;
        let measurement = measurements.get_mut(place).ok_or_else(unknown)?;
        measurement
            .series_mut(key, Tags::new)
            .data
            .entry(Arc::clone(field))
            .or_insert_with(|| FieldData::new(*field_type))
            .end_seal(meta);
    }
    Ok(())
}
