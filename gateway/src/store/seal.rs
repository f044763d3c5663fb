//! Moves the head into chunks on disk.
//!
//! A slice: its columns' heads are swapped aside under the lock, compressed and inserted without it, and replaced by
//! their chunks under it again. A reader sees every point at any moment, and a write waits for a slice's swap at most.

use std::{
    collections::{HashMap, HashSet},
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use rusqlite::Transaction;

use super::{
    Column, FieldType, Store, StoreError, Tags, Underway, Values,
    catalogue::{ColumnInfo, Database, Measurement, Policy, measurement_mut},
    chunk::{Encoder, NewChunk},
    disk::rows,
    head::{ChunkMeta, Rows},
};

/// A chunk's points at most: a day by the 10 seconds. Reading a short span unpacks no more.
pub(super) const CHUNK_POINTS_MAX: usize = 8_192;
/// What the different texts of a chunk take at most; a text by itself is no larger.
pub(super) const CHUNK_TEXT_BYTES_MAX: usize = 1 << 20;
/// Deletions that are forgotten in one transaction.
const FORGOTTEN_DELETIONS: usize = 5_000;
/// Chunks that are written together: one transaction, mostly.
const WRITTEN_BYTES: usize = 2 << 20;
/// Shapes of a measurement that are kept from one seal to the next.
pub(super) const SHAPES_KEPT: usize = 1_000;
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
    /// For how long it kept others from memory at the most.
    pub longest_hold: Duration,
    /// For how long a push has waited for memory at the most since the last seal, whoever had it.
    pub longest_wait: Duration,
}

/// A measurement whose series are being sealed.
struct SealedMeasurement {
    policy_id: i64,
    measurement: Arc<str>,
    columns: Vec<SealedColumn>,
    cutoff_ns: i64,
}

/// What a column is on disk, or has to become.
struct SealedColumn {
    field: Arc<str>,
    field_type: FieldType,
    id: Option<i64>,
    new_weeks: Vec<i64>,
}

impl SealedMeasurement {
    fn of(policy: &Policy, name: &Arc<str>, measurement: &Measurement) -> Self {
        let column = |info: &ColumnInfo| SealedColumn {
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

    fn measurement_mut<'s>(&self, state: &'s mut [Database]) -> Option<&'s mut Measurement> {
        measurement_mut(state, self.policy_id, &self.measurement)
    }
}

/// A series that is being sealed.
struct Job {
    sealed: Rc<SealedMeasurement>,
    series: u32,
    series_id: Option<i64>,
    tags: Arc<Tags>,
    rows: Arc<Rows>,
    /// The memory that moving the rows aside has saved.
    saved_bytes: usize,
}

/// A chunk of a job that is to be written.
struct Piece<'a> {
    job: &'a Job,
    column: u32,
    new: NewChunk,
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
    bytes: usize,
    looked_at: usize,
}

impl Room {
    fn is_left(&self) -> bool {
        self.columns > 0 && self.bytes > 0 && self.looked_at > 0
    }
}

impl Store {
    /// Seals what the head holds; a call while another runs waits for it.
    ///
    /// # Errors
    ///
    /// When the file cannot be written; nothing is lost then, and the next seal takes it up.
    pub fn seal(&self) -> Result<SealReport, StoreError> {
        let _changing = self.change()?;
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
        self.write_new_policies()?;
        loop {
            let jobs = self.begin_slice(&mut cursor, &mut report);
            if jobs.is_empty() {
                if cursor.is_done() {
                    break;
                }
                continue;
            }
            self.write_slice(&jobs, &mut report)?;
        }
        self.forget_shapes();
        self.0
            .disk
            .write(|transaction| Ok(rows::set_sealed_through(transaction, through)?))?;
        self.0.sealed_through.store(through, Ordering::Release);
        self.forget_deletions(through)?;
        self.0.disk.checkpoint()?;
        report.longest_wait =
            Duration::from_nanos(self.0.longest_wait_ns.swap(0, Ordering::Relaxed));
        tracing::info!(
            chunks = report.chunks,
            values = report.values,
            size_bytes = report.size_bytes,
            took = ?started.elapsed(),
            longest_hold = ?report.longest_hold,
            longest_wait = ?report.longest_wait,
            "sealed"
        );
        Ok(report)
    }

    /// Forgets the shapes of measurements that have come in very many, as where each line has other fields; those that
    /// lines still come in are made anew.
    fn forget_shapes(&self) {
        let mut state = self.0.state.write();
        let policies = state.iter_mut().flat_map(|database| &mut database.policies);
        for measurement in policies.flat_map(|policy| policy.measurements.values_mut()) {
            if measurement.shapes.len() > SHAPES_KEPT {
                self.note_removal();
                measurement.forget_shapes();
            }
        }
    }

    /// Forgets the deletions that a replay cannot meet any more.
    fn forget_deletions(&self, through: u64) -> Result<(), StoreError> {
        loop {
            let forgotten = self.0.disk.write(|transaction| {
                let at_most = FORGOTTEN_DELETIONS;
                Ok(rows::forget_deletions(transaction, through, at_most)?)
            })?;
            if forgotten < FORGOTTEN_DELETIONS {
                return Ok(());
            }
        }
    }

    /// Swaps the heads of the next slice aside.
    fn begin_slice(&self, cursor: &mut Cursor, report: &mut SealReport) -> Vec<Job> {
        let mut room = Room {
            columns: self.0.options.seal_slice_columns.max(1),
            bytes: self.0.options.seal_slice_bytes.max(1),
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

    /// Writes a slice's chunks, some megabytes at a time, and lets go of its rows when all are on disk.
    fn write_slice(&self, jobs: &[Job], report: &mut SealReport) -> Result<(), StoreError> {
        let mut packing = Encoder::new(self.0.options.rollup_from_points);
        let mut ids = RowIds::default();
        let (mut pieces, mut bytes) = (Vec::new(), 0);
        for job in jobs {
            for (column, field_type) in job.rows.columns() {
                let first = job.sealed.cutoff_ns;
                let points = job.rows.column(column, field_type, first, i64::MAX);
                for part in parts(points.tidied()) {
                    let Some(new) = packing.encode_with_meta(&part, 0)? else {
                        continue;
                    };
                    bytes += new.meta.size_bytes as usize;
                    pieces.push(Piece { job, column, new });
                    if bytes >= WRITTEN_BYTES {
                        self.write_pieces(&std::mem::take(&mut pieces), &mut ids, report)?;
                        bytes = 0;
                    }
                }
            }
        }
        self.write_pieces(&pieces, &mut ids, report)?;
        let mut state = self.0.state.write();
        let locked = Instant::now();
        for job in jobs {
            if let Some(measurement) = job.sealed.measurement_mut(&mut state) {
                measurement.series[job.series].head.end_seal();
            }
        }
        drop(state);
        report.longest_hold = report.longest_hold.max(locked.elapsed());
        self.free(jobs.iter().map(|job| job.rows.memory_bytes()).sum());
        Ok(())
    }

    /// Writes chunks. Until their rows go, readers find the same points in both.
    fn write_pieces<'a>(
        &self,
        pieces: &[Piece<'a>],
        ids: &mut RowIds<'a>,
        report: &mut SealReport,
    ) -> Result<(), StoreError> {
        self.make_room()?;
        self.0.disk.write_each(
            pieces,
            |transaction, piece| {
                let series = ids.series(transaction, piece.job)?;
                let column = ids.column(transaction, &piece.job.sealed, piece.column)?;
                let chunk = rows::add_chunk(transaction, series, column, &piece.new)?;
                Ok((series, column, chunk))
            },
            |written, numbers| {
                let mut state = self.0.state.write();
                let locked = Instant::now();
                for (piece, (series_id, column_id, id)) in written.iter().zip(numbers) {
                    let meta = ChunkMeta {
                        id,
                        ..piece.new.meta
                    };
                    report.chunks += 1;
                    report.values += meta.points as usize;
                    report.size_bytes += meta.size_bytes as usize;
                    let Some(measurement) = piece.job.sealed.measurement_mut(&mut state) else {
                        continue;
                    };
                    let info = &mut measurement.columns[piece.column as usize];
                    info.id = Some(column_id);
                    let weeks = &piece.job.sealed.columns[piece.column as usize].new_weeks;
                    if !info.new_weeks.is_empty() {
                        info.new_weeks.retain(|week| !weeks.contains(week));
                    }
                    let series = &mut measurement.series[piece.job.series];
                    series.id = Some(series_id);
                    series.push_chunk(piece.column, meta);
                }
                drop(state);
                report.longest_hold = report.longest_hold.max(locked.elapsed());
            },
        )
    }
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
    let sealed = Rc::new(SealedMeasurement::of(
        policy,
        name,
        policy.measurements.get(name)?,
    ));
    let measurement = policy.measurements.get_mut(name)?;
    for number in first..measurement.series.end() {
        if !room.is_left() {
            return Some(number);
        }
        room.looked_at = room.looked_at.saturating_sub(1);
        let Some(series) = measurement.series.get_mut(number) else {
            continue;
        };
        let Some((rows, saved_bytes)) = series.head.begin_seal() else {
            continue;
        };
        let shape = measurement.shapes.get(series.last_shape as usize);
        let columns = shape.map_or(1, |shape| shape.columns.len());
        room.columns = room.columns.saturating_sub(columns);
        room.bytes = room.bytes.saturating_sub(rows.memory_bytes());
        jobs.push(Job {
            sealed: Rc::clone(&sealed),
            series: number,
            series_id: series.id,
            tags: Arc::clone(&series.tags),
            rows,
            saved_bytes,
        });
    }
    None
}

/// Cuts a tidy column into parts that are not too long, and whose different texts are not too large together.
fn parts(column: Column) -> Vec<Column> {
    let mut starts = vec![0];
    if let Values::Text(texts) = &column.values {
        let (mut seen, mut bytes) = (HashSet::new(), 0);
        for (at, text) in texts.iter().enumerate() {
            let added = if seen.insert(text) { text.len() } else { 0 };
            let start = starts[starts.len() - 1];
            let is_full = at - start == CHUNK_POINTS_MAX || bytes + added > CHUNK_TEXT_BYTES_MAX;
            bytes += added;
            if is_full && at > start {
                starts.push(at);
                (seen, bytes) = (HashSet::from([text]), text.len());
            }
        }
    } else {
        starts.extend((CHUNK_POINTS_MAX..column.len()).step_by(CHUNK_POINTS_MAX));
    }
    if starts.len() == 1 {
        return vec![column];
    }
    let ends = starts[1..].iter().copied().chain([column.len()]);
    let spans = starts.iter().zip(ends);
    spans
        .map(|(start, end)| column.between(column.times[*start], column.times[end - 1]))
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
        sealed: &'a SealedMeasurement,
        column: u32,
    ) -> Result<i64, StoreError> {
        let (policy, name) = (sealed.policy_id, sealed.measurement.as_ref());
        let info = &sealed.columns[column as usize];
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
        let (policy, name) = (job.sealed.policy_id, job.sealed.measurement.as_ref());
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
