//! Moves the head into chunks on disk.
//!
//! A slice: its columns' heads are swapped aside under the lock, compressed and inserted without it, and replaced by
//! their chunks under it again. A reader sees every point at any moment, and a write waits for a slice's swap at most.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use rusqlite::Transaction;

use super::{
    Column, FieldType, Store, StoreError, Tags,
    catalogue::{Address, Database, Ids, data_mut, measurement_mut},
    chunk::Encoder,
    disk::rows,
    head::{ChunkMeta, Head},
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

/// A column that is being sealed.
struct Job {
    address: Address,
    field: Arc<str>,
    field_type: FieldType,
    column_id: Option<i64>,
    new_weeks: Vec<i64>,
    series_id: Option<i64>,
    tags: Arc<Tags>,
    head: Arc<Head>,
    cutoff_ns: i64,
}

/// What became of a job on disk.
struct Sealed {
    column_id: i64,
    series_id: i64,
    chunks: Vec<ChunkMeta>,
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
        jobs
    }

    fn write_slice(&self, jobs: &[Job], report: &mut SealReport) -> Result<(), StoreError> {
        let mut packer = Encoder::default();
        let encoded = jobs
            .iter()
            .map(|job| encode(&mut packer, job))
            .collect::<Result<Vec<_>, _>>()?;
        let mut ids = RowIds::default();
        let sealed = self.0.disk.write(|transaction| {
            jobs.iter()
                .zip(&encoded)
                .map(|(job, (chunks, _))| {
                    let column_id = ids.column(transaction, job)?;
                    let series_id = ids.series(transaction, job)?;
                    let mut metas = Vec::with_capacity(chunks.len());
                    for (meta, bytes) in chunks {
                        let id = rows::add_chunk(transaction, series_id, column_id, *meta, bytes)?;
                        metas.push(ChunkMeta { id, ..*meta });
                    }
                    Ok(Sealed {
                        column_id,
                        series_id,
                        chunks: metas,
                    })
                })
                .collect::<Result<Vec<_>, StoreError>>()
        })?;
        let mut freed = 0;
        for (chunks, memory_bytes) in &encoded {
            freed += memory_bytes;
            report.chunks += chunks.len();
            for (meta, _) in chunks {
                report.values += meta.points as usize;
                report.size_bytes += meta.size_bytes as usize;
            }
        }
        let mut state = self.0.state.write();
        let locked = Instant::now();
        for (job, sealed) in jobs.iter().zip(sealed) {
            let address = &job.address;
            let found = measurement_mut(&mut state, address.policy_id, &address.measurement);
            let Some(measurement) = found else {
                continue;
            };
            if let Some(info) = measurement.columns.get_mut(address.column as usize) {
                info.id = Some(sealed.column_id);
                info.new_weeks.retain(|week| !job.new_weeks.contains(week));
            }
            measurement.series[address.series as usize].id = Some(sealed.series_id);
            if let Some(data) = data_mut(&mut state, address) {
                data.end_seal(sealed.chunks);
            }
        }
        drop(state);
        report.longest_hold = report.longest_hold.max(locked.elapsed());
        self.0.head_bytes.fetch_sub(freed, Ordering::Relaxed);
        Ok(())
    }
}

/// Takes heads of a measurement from a series on; returns the series to go on at when the room is used up.
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
    let cutoff_ns = policy.cutoff_ns;
    let measurement = policy.measurements.get_mut(name)?;
    for number in first..measurement.series.len() as u32 {
        if !room.is_left() {
            return Some(number);
        }
        let series = &mut measurement.series[number as usize];
        let (series_id, tags) = (series.id, Arc::clone(&series.tags));
        for (column, data) in series.each_data_mut() {
            room.looked_at = room.looked_at.saturating_sub(1);
            let Some(taken) = data.begin_seal() else {
                continue;
            };
            room.columns = room.columns.saturating_sub(1);
            room.points = room.points.saturating_sub(taken.len());
            let info = &measurement.columns[column as usize];
            jobs.push(Job {
                address: Address {
                    policy_id,
                    measurement: Arc::clone(name),
                    series: number,
                    column,
                },
                field: Arc::clone(&info.field),
                field_type: info.field_type,
                column_id: info.id,
                new_weeks: info.new_weeks.clone(),
                series_id,
                tags: Arc::clone(&tags),
                head: taken,
                cutoff_ns,
            });
        }
    }
    None
}

type Encoded = Vec<(ChunkMeta, Vec<u8>)>;

fn encode(encoder: &mut Encoder, job: &Job) -> Result<(Encoded, usize), StoreError> {
    let column = job.head.whole();
    let memory_bytes = column.memory_bytes();
    let mut tidy = column.tidied();
    if job.cutoff_ns > i64::MIN {
        tidy = tidy.between(job.cutoff_ns, i64::MAX);
    }
    Ok((encode_in_parts(encoder, &tidy)?, memory_bytes))
}

/// Compresses a tidy column into chunks that are not too long.
fn encode_in_parts(encoder: &mut Encoder, column: &Column) -> Result<Encoded, StoreError> {
    if column.len() <= CHUNK_POINTS_MAX {
        return Ok(encoder.encode_with_meta(column, 0)?.into_iter().collect());
    }
    let parts = column.times.chunks(CHUNK_POINTS_MAX);
    parts
        .filter_map(|times| Some(column.between(*times.first()?, *times.last()?)))
        .map(|part| encoder.encode_with_meta(&part, 0))
        .filter_map(Result::transpose)
        .map(|encoded| Ok(encoded?))
        .collect()
}

/// The rows that a slice has made for columns and series that are new.
#[derive(Default)]
struct RowIds<'a> {
    columns: Ids<(i64, &'a str, u32)>,
    series: Ids<(i64, &'a str, u32)>,
}

impl<'a> RowIds<'a> {
    fn column(&mut self, transaction: &Transaction<'_>, job: &'a Job) -> Result<i64, StoreError> {
        let (policy, name) = (job.address.policy_id, job.address.measurement.as_ref());
        let key = (policy, name, job.address.column);
        if let Some(id) = self.columns.get(&key) {
            return Ok(*id);
        }
        let id = match job.column_id {
            Some(id) => id,
            None => rows::add_column(transaction, policy, name, &job.field, job.field_type as u8)?,
        };
        for week in &job.new_weeks {
            rows::add_week(transaction, id, *week)?;
        }
        self.columns.insert(key, id);
        Ok(id)
    }

    fn series(&mut self, transaction: &Transaction<'_>, job: &'a Job) -> Result<i64, StoreError> {
        if let Some(id) = job.series_id {
            return Ok(id);
        }
        let (policy, name) = (job.address.policy_id, job.address.measurement.as_ref());
        let key = (policy, name, job.address.series);
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
