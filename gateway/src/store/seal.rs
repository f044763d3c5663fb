//! Moves the head into chunks on disk.
//!
//! A slice: its columns' heads are swapped aside under the lock, compressed and inserted without it, and replaced by
//! their chunks under it again. A reader sees every point at any moment, and a write waits for a slice's swap at most.

use std::{
    collections::HashMap,
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use rusqlite::Transaction;

use super::{
    Column, FieldType, Store, StoreError, Tags, Underway,
    catalogue::{ColumnInfo, Database, Measurement, Policy, measurement_mut},
    chunk::{Encoder, NewChunk},
    disk::rows,
    head::{ChunkMeta, Rows},
};

/// A chunk's points at most: a day by the 10 seconds. Reading a short span unpacks no more.
pub(super) const CHUNK_POINTS_MAX: usize = 8_192;
/// Columns that are looked at under one lock.
const LOOKED_AT_MAX: usize = 20_000;

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
    /// For how long a write had to wait for it at the most.
    pub longest_hold: Duration,
}

/// A measurement whose series are being sealed.
struct Place {
    policy_id: i64,
    measurement: Arc<str>,
    columns: Vec<PlaceColumn>,
    cutoff_ns: i64,
}

/// What a column is on disk, or has to become.
struct PlaceColumn {
    field: Arc<str>,
    field_type: FieldType,
    id: Option<i64>,
    new_weeks: Vec<i64>,
}

impl Place {
    fn of(policy: &Policy, name: &Arc<str>, measurement: &Measurement) -> Self {
        let column = |info: &ColumnInfo| PlaceColumn {
            field: Arc::clone(&info.field),
            field_type: info.field_type,
            id: info.id,
            new_weeks: info.new_weeks.clone(),
        };
        Self {
            policy_id: policy.id,
            measurement: Arc::clone(name),
            columns: measurement.columns.iter().map(column).collect(),
            cutoff_ns: policy.cutoff_ns,
        }
    }
}

/// A series that is being sealed.
struct Job {
    place: Rc<Place>,
    series: u32,
    series_id: Option<i64>,
    tags: Arc<Tags>,
    rows: Arc<Rows>,
    /// The memory that moving the rows aside has saved.
    saved_bytes: usize,
}

/// A job's chunks, each with its column.
type Encoded = Vec<(u32, NewChunk)>;

/// What became of a job on disk.
struct Sealed {
    series_id: i64,
    chunks: Vec<(u32, ChunkMeta)>,
}

/// How far a walk over all columns has come: policy, measurement, and the next series.
struct Cursor {
    places: std::vec::IntoIter<(i64, Arc<str>)>,
    at: Option<(i64, Arc<str>, u32)>,
}

impl Cursor {
    fn is_done(&self) -> bool {
        self.at.is_none() && self.places.as_slice().is_empty()
    }

    /// Returns the place to go on at; `None` at the end.
    fn place(&mut self) -> Option<(i64, Arc<str>, u32)> {
        self.at
            .take()
            .or_else(|| self.places.next().map(|(policy, name)| (policy, name, 0)))
    }
}

/// How much a slice may hold.
struct Room {
    columns: usize,
    points: usize,
    looked_at: usize,
}

impl Room {
    fn is_left(&self) -> bool {
        self.columns > 0 && self.points > 0 && self.looked_at > 0
    }
}

impl Store {
    /// Seals what the head holds; a call while another runs waits for it.
    ///
    /// # Errors
    ///
    /// When the file cannot be written; nothing is lost then, and the next seal takes it up.
    pub fn seal(&self) -> Result<SealReport, StoreError> {
        let _changing = self.0.changing.lock();
        let started = Instant::now();
        // What is applied from here on may be sealed as well; a replay of it changes nothing.
        let through = self.applied_through();
        let mut cursor = Cursor {
            places: self.places().into_iter(),
            at: None,
        };
        let mut report = SealReport {
            sealed_through: through,
            ..SealReport::default()
        };
        if through == self.sealed_through() && self.head_bytes() == 0 {
            return Ok(report);
        }
        let _underway = Underway::new(&self.0.sealing);
        loop {
            let jobs = self.begin_slice(&mut cursor, &mut report);
            if jobs.is_empty() {
                if cursor.is_done() {
                    break;
                }
                continue;
            }
            self.make_room()?;
            self.write_slice(&jobs, &mut report)?;
        }
        self.0
            .disk
            .write(|transaction| Ok(rows::set_sealed_through(transaction, through)?))?;
        self.0.sealed_through.store(through, Ordering::Release);
        self.0.disk.checkpoint()?;
        tracing::info!(
            chunks = report.chunks,
            values = report.values,
            size_bytes = report.size_bytes,
            took = ?started.elapsed(),
            longest_hold = ?report.longest_hold,
            "sealed"
        );
        Ok(report)
    }

    /// Swaps the heads of the next slice aside.
    fn begin_slice(&self, cursor: &mut Cursor, report: &mut SealReport) -> Vec<Job> {
        let mut room = Room {
            columns: self.0.options.seal_slice_columns.max(1),
            points: self.0.options.seal_slice_points.max(1),
            looked_at: LOOKED_AT_MAX,
        };
        let mut jobs = Vec::new();
        let mut state = self.0.state.write();
        let locked = Instant::now();
        while room.is_left() {
            let Some((policy_id, name, series)) = cursor.place() else {
                break;
            };
            let next = fill_slice(&mut state, policy_id, &name, series, &mut room, &mut jobs);
            cursor.at = next.map(|next| (policy_id, name, next));
        }
        drop(state);
        report.longest_hold = report.longest_hold.max(locked.elapsed());
        self.free(jobs.iter().map(|job| job.saved_bytes).sum());
        jobs
    }

    fn write_slice(&self, jobs: &[Job], report: &mut SealReport) -> Result<(), StoreError> {
        let mut packing = Encoder::new(self.0.options.rollup_from_points);
        let encoded = jobs
            .iter()
            .map(|job| encode(&mut packing, job))
            .collect::<Result<Vec<_>, _>>()?;
        let mut ids = RowIds::default();
        let sealed = self.0.disk.write(|transaction| {
            let each = jobs.iter().zip(&encoded);
            each.map(|(job, chunks)| write_job(transaction, &mut ids, job, chunks))
                .collect::<Result<Vec<_>, StoreError>>()
        })?;
        for (_, NewChunk { meta, .. }) in encoded.iter().flatten() {
            report.chunks += 1;
            report.values += meta.points as usize;
            report.size_bytes += meta.size_bytes as usize;
        }
        let freed = jobs.iter().map(|job| job.rows.memory_bytes()).sum();
        let mut state = self.0.state.write();
        let locked = Instant::now();
        for ((policy_id, name, column), id) in ids.columns {
            let measurement = measurement_mut(&mut state, policy_id, name);
            let info = measurement.and_then(|found| found.columns.get_mut(column as usize));
            if let Some(info) = info {
                info.id = Some(id);
            }
        }
        for (job, sealed) in jobs.iter().zip(sealed) {
            let place = &job.place;
            let found = measurement_mut(&mut state, place.policy_id, &place.measurement);
            let Some(measurement) = found else {
                continue;
            };
            for (column, _) in &sealed.chunks {
                let info = &mut measurement.columns[*column as usize];
                let written = &place.columns[*column as usize].new_weeks;
                if !info.new_weeks.is_empty() {
                    info.new_weeks.retain(|week| !written.contains(week));
                }
            }
            let series = &mut measurement.series[job.series as usize];
            series.id = Some(sealed.series_id);
            for (column, meta) in sealed.chunks {
                series.push_chunk(column, meta);
            }
            series.head.end_seal();
        }
        drop(state);
        report.longest_hold = report.longest_hold.max(locked.elapsed());
        self.free(freed);
        Ok(())
    }
}

fn write_job<'a>(
    transaction: &Transaction<'_>,
    ids: &mut RowIds<'a>,
    job: &'a Job,
    encoded: &Encoded,
) -> Result<Sealed, StoreError> {
    let series_id = ids.series(transaction, job)?;
    let mut chunks = Vec::with_capacity(encoded.len());
    for (column, new) in encoded {
        let column_id = ids.column(transaction, &job.place, *column)?;
        let id = rows::add_chunk(transaction, series_id, column_id, new)?;
        chunks.push((*column, ChunkMeta { id, ..new.meta }));
    }
    Ok(Sealed { series_id, chunks })
}

/// Takes the rows of a measurement's series from a number on; returns the number to go on at when the room is used up.
fn fill_slice(
    state: &mut [Database],
    policy_id: i64,
    name: &Arc<str>,
    first: u32,
    room: &mut Room,
    jobs: &mut Vec<Job>,
) -> Option<u32> {
    let mut policies = state.iter_mut().flat_map(|database| &mut database.policies);
    let policy = policies.find(|policy| policy.id == policy_id)?;
    let place = Rc::new(Place::of(policy, name, policy.measurements.get(name)?));
    let measurement = policy.measurements.get_mut(name)?;
    for number in first..measurement.series.len() as u32 {
        if !room.is_left() {
            return Some(number);
        }
        room.looked_at = room.looked_at.saturating_sub(1);
        let series = &mut measurement.series[number as usize];
        let Some((rows, saved_bytes)) = series.head.begin_seal() else {
            continue;
        };
        let shape = measurement.shapes.get(series.last_shape as usize);
        let columns = shape.map_or(1, |shape| shape.columns.len());
        room.columns = room.columns.saturating_sub(columns);
        room.points = room.points.saturating_sub(rows.values());
        jobs.push(Job {
            place: Rc::clone(&place),
            series: number,
            series_id: series.id,
            tags: Arc::clone(&series.tags),
            rows,
            saved_bytes,
        });
    }
    None
}

fn encode(encoder: &mut Encoder, job: &Job) -> Result<Encoded, StoreError> {
    let mut made = Encoded::new();
    let first = job.place.cutoff_ns;
    for (column, field_type) in job.rows.columns() {
        let points = job.rows.column(column, field_type, first, i64::MAX);
        for part in parts(points.tidied()) {
            let chunk = encoder.encode_with_meta(&part, 0)?;
            made.extend(chunk.map(|chunk| (column, chunk)));
        }
    }
    Ok(made)
}

/// Cuts a tidy column into parts that are not too long.
fn parts(column: Column) -> Vec<Column> {
    if column.len() <= CHUNK_POINTS_MAX {
        return vec![column];
    }
    let parts = column.times.chunks(CHUNK_POINTS_MAX);
    parts
        .filter_map(|times| Some(column.between(*times.first()?, *times.last()?)))
        .collect()
}

/// The rows that a slice has made for columns and series.
#[derive(Default)]
struct RowIds<'a> {
    columns: HashMap<(i64, &'a str, u32), i64>,
    series: HashMap<(i64, &'a str, u32), i64>,
}

impl<'a> RowIds<'a> {
    fn column(
        &mut self,
        transaction: &Transaction<'_>,
        place: &'a Place,
        column: u32,
    ) -> Result<i64, StoreError> {
        let (policy, name) = (place.policy_id, place.measurement.as_ref());
        let info = &place.columns[column as usize];
        if let (Some(id), true) = (info.id, info.new_weeks.is_empty()) {
            return Ok(id);
        }
        if let Some(id) = self.columns.get(&(policy, name, column)) {
            return Ok(*id);
        }
        let id = match info.id {
            Some(id) => id,
            None => rows::add_column(
                transaction,
                policy,
                name,
                &info.field,
                info.field_type as u8,
            )?,
        };
        for week in &info.new_weeks {
            rows::add_week(transaction, id, *week)?;
        }
        self.columns.insert((policy, name, column), id);
        Ok(id)
    }

    fn series(&mut self, transaction: &Transaction<'_>, job: &'a Job) -> Result<i64, StoreError> {
        if let Some(id) = job.series_id {
            return Ok(id);
        }
        let (policy, name) = (job.place.policy_id, job.place.measurement.as_ref());
        let key = (policy, name, job.series);
        if let Some(id) = self.series.get(&key) {
            return Ok(*id);
        }
        let id = rows::add_series(transaction, policy, name, &tags_text(&job.tags))?;
        self.series.insert(key, id);
        Ok(id)
    }
}

fn tags_text(tags: &Tags) -> String {
    let pairs: Vec<(&str, &str)> = tags.iter().map(|(k, v)| (k.as_ref(), v.as_ref())).collect();
    // Texts always serialise.
    serde_json::to_string(&pairs).unwrap_or_default()
}
