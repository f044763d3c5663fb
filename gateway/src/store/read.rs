//! What readers see: names and types, series by tag, and tidy columns merged from chunks and head.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{
    FieldType, Store, StoreError, Tags, catalogue::Measurement, chunk, column::Column, disk::rows,
    head::ChunkMeta, parts::Parts, series::Series,
};

/// How often, and how long after one another, a read tries again that met a merge of chunks: the merge is on disk then,
/// and waits for its turn to be seen.
const ATTEMPTS: usize = 2_000;
const PAUSE: Duration = Duration::from_millis(1);

/// A retention policy as `SHOW RETENTION POLICIES` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyInfo {
    /// Its number, which no other policy ever has.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// How long points are kept; 0: for ever.
    pub duration_ns: i64,
    /// Whether it is meant where none is named.
    pub is_default: bool,
}

/// A field's name and one of its types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldInfo {
    /// Its name.
    pub name: Arc<str>,
    /// Its type.
    pub field_type: FieldType,
}

/// A series of a measurement.
#[derive(Debug, Clone)]
pub struct SeriesInfo {
    /// Its number in the measurement.
    pub number: u32,
    /// Its tags, sorted by key.
    pub tags: Arc<Tags>,
    /// Its key.
    pub key: Arc<str>,
}

impl SeriesInfo {
    /// Returns a tag's value; a tag that is missing is empty.
    #[must_use]
    pub fn tag(&self, key: &str) -> &str {
        self.tags
            .binary_search_by(|(name, _)| name.as_ref().cmp(key))
            .map_or("", |index| &self.tags[index].1)
    }
}

/// How much a read would touch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extent {
    /// Chunks.
    pub chunks: usize,
    /// Their size.
    pub size_bytes: u64,
    /// The values in them.
    pub values: u64,
}

/// One retention policy of one database, to read from.
#[derive(Clone)]
pub struct View {
    pub(super) store: Store,
    database: String,
    policy: String,
}

impl Store {
    /// Lists the databases in the order in which they were made.
    #[must_use]
    pub fn databases(&self) -> Vec<String> {
        let state = self.0.state.read();
        state.iter().map(|database| database.name.clone()).collect()
    }

    /// Lists a database's retention policies; `None` when there is no such database.
    #[must_use]
    pub fn policies(&self, database: &str) -> Option<Vec<PolicyInfo>> {
        let state = self.0.state.read();
        let found = state.iter().find(|found| found.name == database)?;
        let info = |policy: &super::Policy| PolicyInfo {
            id: policy.id,
            name: policy.name.clone(),
            duration_ns: policy.duration_ns,
            is_default: policy.is_default,
        };
        Some(found.policies.iter().map(info).collect())
    }

    /// Opens a retention policy to read from; without a name the default one.
    #[must_use]
    pub fn view(&self, database: &str, policy: Option<&str>) -> Option<View> {
        let state = self.0.state.read();
        let found = state.iter().find(|found| found.name == database)?;
        let policy = found.policy(policy)?.name.clone();
        Some(View {
            store: self.clone(),
            database: database.to_owned(),
            policy,
        })
    }
}

impl View {
    pub(super) fn with<T>(&self, name: &str, look: impl FnOnce(&Measurement) -> T) -> Option<T> {
        self.with_policy(name, |measurement, _| look(measurement))
    }

    /// Shows a measurement and the time before which points are not shown.
    pub(super) fn with_policy<T>(
        &self,
        name: &str,
        look: impl FnOnce(&Measurement, i64) -> T,
    ) -> Option<T> {
        let state = self.store.0.state.read();
        let database = state.iter().find(|found| found.name == self.database)?;
        let policy = database.policy(Some(&self.policy))?;
        let measurement = policy.measurements.get(name)?;
        Some(look(measurement, policy.cutoff_ns))
    }

    /// Returns the names of the database and the retention policy.
    #[must_use]
    pub fn names(&self) -> (&str, &str) {
        (&self.database, &self.policy)
    }

    /// Says whether a measurement is there.
    #[must_use]
    pub fn has_measurement(&self, name: &str) -> bool {
        self.with(name, |_| ()).is_some()
    }

    /// Lists the measurements by name.
    #[must_use]
    pub fn measurements(&self) -> Vec<Arc<str>> {
        let state = self.store.0.state.read();
        state
            .iter()
            .find(|found| found.name == self.database)
            .and_then(|database| database.policy(Some(&self.policy)))
            .map(|policy| policy.measurements.keys().cloned().collect())
            .unwrap_or_default()
    }

    /// Lists a measurement's fields by name, once with each of their types.
    #[must_use]
    pub fn fields(&self, measurement: &str) -> Vec<FieldInfo> {
        self.with(measurement, |found| {
            let info = |column: &u32| {
                let column = &found.columns[*column as usize];
                FieldInfo {
                    name: Arc::clone(&column.field),
                    field_type: column.field_type,
                }
            };
            let columns = found.fields.values().flat_map(|field| &field.columns);
            columns.map(info).collect()
        })
        .unwrap_or_default()
    }

    /// Returns the type that a field is read as: of several, a float before an integer before a text.
    #[must_use]
    pub fn field_type(&self, measurement: &str, field: &str) -> Option<FieldType> {
        self.with(measurement, |found| found.read_type(field))
            .flatten()
    }

    /// Lists a measurement's tag keys by name.
    #[must_use]
    pub fn tag_keys(&self, measurement: &str) -> Vec<Arc<str>> {
        self.with(measurement, |found| found.index.keys().cloned().collect())
            .unwrap_or_default()
    }

    /// Says whether a measurement has a tag key.
    #[must_use]
    pub fn has_tag(&self, measurement: &str, key: &str) -> bool {
        self.with(measurement, |found| found.index.contains_key(key))
            .unwrap_or_default()
    }

    /// Lists the values of a tag by name.
    #[must_use]
    pub fn tag_values(&self, measurement: &str, key: &str) -> Vec<Arc<str>> {
        self.with(measurement, |found| {
            found
                .index
                .get(key)
                .map(|values| values.keys().cloned().collect())
        })
        .flatten()
        .unwrap_or_default()
    }

    /// Lists the series, sorted by key, whose tags have all of the given values.
    #[must_use]
    pub fn series(&self, measurement: &str, required: &[(&str, &str)]) -> Vec<SeriesInfo> {
        self.with(measurement, |found| {
            let numbers: Vec<u32> = if required.is_empty() {
                found.order.values().copied().collect()
            } else {
                let mut numbers: Option<BTreeSet<u32>> = None;
                for (key, value) in required {
                    let matching = found.index.get(*key).and_then(|values| values.get(*value));
                    let matching = matching.map_or(&[][..], Vec::as_slice);
                    numbers = Some(match numbers {
                        None => matching.iter().copied().collect(),
                        Some(left) => matching
                            .iter()
                            .copied()
                            .filter(|n| left.contains(n))
                            .collect(),
                    });
                }
                numbers.unwrap_or_default().into_iter().collect()
            };
            let mut series: Vec<SeriesInfo> = numbers
                .into_iter()
                .map(|number| {
                    let series = &found.series[number];
                    SeriesInfo {
                        number,
                        tags: Arc::clone(&series.tags),
                        key: Arc::clone(&series.key),
                    }
                })
                .collect();
            if !required.is_empty() {
                series.sort_unstable_by(|a, b| a.key.cmp(&b.key));
            }
            series
        })
        .unwrap_or_default()
    }

    /// Measures the chunks of series that a read between two times would touch.
    #[must_use]
    pub fn extent(&self, measurement: &str, series: &[u32], first: i64, last: i64) -> Extent {
        self.with(measurement, |found| {
            let mut extent = Extent::default();
            // A measurement that was dropped and made anew meanwhile may have fewer.
            let series = series.iter().filter_map(|number| found.series.get(*number));
            for (_, chunks) in series.flat_map(Series::each_chunks) {
                for chunk in chunks {
                    if chunk.first <= last && chunk.last >= first {
                        extent.chunks += 1;
                        extent.size_bytes += u64::from(chunk.size_bytes);
                        extent.values += u64::from(chunk.points);
                    }
                }
            }
            extent
        })
        .unwrap_or_default()
    }

    /// Returns for each series how many values of fields a read between two times would unpack, at the most.
    #[must_use]
    pub fn sizes(
        &self,
        measurement: &str,
        series: &[u32],
        fields: &[&str],
        (first, last): (i64, i64),
    ) -> Vec<u64> {
        let sizes = self.with(measurement, |found| {
            let fields = fields.iter().filter_map(|name| found.fields.get(*name));
            let columns: Vec<u32> = fields.flat_map(|field| field.columns.clone()).collect();
            let of_series = |number: &u32| {
                let Some(series) = found.series.get(*number) else {
                    return 0;
                };
                let chunks = columns.iter().flat_map(|column| series.chunks(*column));
                let chunks = chunks.filter(|chunk| chunk.first <= last && chunk.last >= first);
                let sealed: u64 = chunks.map(|chunk| u64::from(chunk.points)).sum();
                sealed + (series.head.rows() * columns.len()) as u64
            };
            series.iter().map(of_series).collect()
        });
        sizes.unwrap_or_else(|| vec![0; series.len()])
    }

    /// Reads fields of series between two times, the ends included: for each series a list with the field's columns, one
    /// a type that has points, none where the series lacks the field.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn scan(
        &self,
        measurement: &str,
        series: &[u32],
        fields: &[&str],
        first: i64,
        last: i64,
    ) -> Result<Vec<Vec<Vec<Column>>>, StoreError> {
        let taken = self.with_policy(measurement, |found, cutoff_ns| {
            let first = first.max(cutoff_ns);
            let columns: Vec<Vec<u32>> = fields
                .iter()
                .map(|field| {
                    let field = found.fields.get(*field);
                    field.map_or_else(Vec::new, |field| field.columns.clone())
                })
                .collect();
            let of_series = |number: &u32| -> Vec<Vec<(u32, Parts)>> {
                // A measurement that was dropped and made anew meanwhile may have fewer.
                let Some(series) = found.series.get(*number) else {
                    return fields.iter().map(|_| Vec::new()).collect();
                };
                let parts = |column: &u32| (*column, parts(found, series, *column, first, last));
                columns
                    .iter()
                    .map(|columns| columns.iter().map(parts).collect())
                    .collect()
            };
            (first, series.iter().map(of_series).collect::<Vec<_>>())
        });
        let Some((first, taken)) = taken else {
            return Ok(vec![vec![Vec::new(); fields.len()]; series.len()]);
        };
        let column = |number, (column, parts)| -> Result<Option<Column>, StoreError> {
            let merged = self.merge(parts, first, last)?;
            let merged = match merged {
                Some(merged) => merged,
                None => self.again(measurement, number, column, first, last)?,
            };
            Ok(Some(merged).filter(|column| !column.is_empty()))
        };
        series
            .iter()
            .zip(taken)
            .map(|(number, fields)| {
                fields
                    .into_iter()
                    .map(|columns| {
                        let columns = columns.into_iter();
                        columns
                            .filter_map(|taken| column(*number, taken).transpose())
                            .collect()
                    })
                    .collect()
            })
            .collect()
    }

    /// Reads a column once more whose chunks were merged with others while it was read.
    pub(super) fn again(
        &self,
        measurement: &str,
        series: u32,
        column: u32,
        first: i64,
        last: i64,
    ) -> Result<Column, StoreError> {
        for _ in 0..ATTEMPTS {
            let taken = self.with(measurement, |found| {
                found.columns.get(column as usize)?;
                let series = found.series.get(series)?;
                Some(parts(found, series, column, first, last))
            });
            match taken.flatten() {
                None => return Ok(Column::new(FieldType::Float)),
                Some(parts) => {
                    if let Some(merged) = self.merge(parts, first, last)? {
                        return Ok(merged);
                    }
                }
            }
            std::thread::sleep(PAUSE);
        }
        Err(StoreError::Catalogue(format!(
            "a chunk of {measurement} is missing"
        )))
    }

    /// Joins a column's parts; `None` when one of the chunks is not there any more.
    pub(super) fn merge(
        &self,
        parts: Parts,
        first: i64,
        last: i64,
    ) -> Result<Option<Column>, StoreError> {
        let mut merged = Column::new(parts.recent.values.field_type());
        if !parts.chunks.is_empty() {
            let whole = self.store.0.disk.read(|reader| {
                for meta in &parts.chunks {
                    let Some(bytes) = rows::chunk(reader, meta.id)? else {
                        return Ok(false);
                    };
                    merged.append(chunk::decode(&bytes)?.between(first, last));
                }
                Ok(true)
            })?;
            if !whole {
                return Ok(None);
            }
        }
        merged.append(parts.recent);
        Ok(Some(merged.tidied()))
    }
}

/// Takes what a reader needs of a column between two times.
pub(super) fn parts(
    measurement: &Measurement,
    series: &Series,
    column: u32,
    first: i64,
    last: i64,
) -> Parts {
    let field_type = measurement.columns[column as usize].field_type;
    let chunks = series.chunks(column).iter();
    let overlapping = |chunk: &&ChunkMeta| chunk.first <= last && chunk.last >= first;
    Parts {
        chunks: chunks.filter(overlapping).copied().collect(),
        recent: series.head.column(column, field_type, first, last),
    }
}
