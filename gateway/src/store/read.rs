//! What readers see: names and types, series by tag, and tidy columns merged from chunks and head.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    FieldType, Store, StoreError, Tags, catalogue::Measurement, chunk, column::Column, disk,
    head::Parts,
};

/// A retention policy as `SHOW RETENTION POLICIES` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyInfo {
    /// Its name.
    pub name: String,
    /// How long points are kept; 0: for ever.
    pub duration_ns: i64,
    /// Whether it is meant where none is named.
    pub is_default: bool,
}

/// A field's name and type.
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

/// One retention policy of one database, to read from.
#[derive(Clone)]
pub struct View {
    store: Store,
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
    fn with<T>(&self, name: &str, look: impl FnOnce(&Measurement) -> T) -> Option<T> {
        let state = self.store.0.state.read();
        let database = state.iter().find(|found| found.name == self.database)?;
        let policy = database.policy(Some(&self.policy))?;
        policy.measurements.get(name).map(look)
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

    /// Lists a measurement's fields by name.
    #[must_use]
    pub fn fields(&self, measurement: &str) -> Vec<FieldInfo> {
        self.with(measurement, |found| {
            let info = |(name, field): (&Arc<str>, &super::catalogue::Field)| FieldInfo {
                name: Arc::clone(name),
                field_type: field.field_type,
            };
            found.fields.iter().map(info).collect()
        })
        .unwrap_or_default()
    }

    /// Returns a field's type.
    #[must_use]
    pub fn field_type(&self, measurement: &str, field: &str) -> Option<FieldType> {
        self.with(measurement, |found| {
            found.fields.get(field).map(|field| field.field_type)
        })
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
                    let series = &found.series[number as usize];
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

    /// Reads fields of series between two times, the ends included: for each series a list with a column a field,
    /// `None` where the series lacks the field.
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
    ) -> Result<Vec<Vec<Option<Column>>>, StoreError> {
        let parts = self.with(measurement, |found| {
            let of_series = |number: &u32| {
                let data = &found.series[*number as usize].data;
                fields
                    .iter()
                    .map(|field| {
                        Some((
                            found.fields.get(*field)?.field_type,
                            data.get(*field)?.parts(first, last),
                        ))
                    })
                    .collect::<Vec<_>>()
            };
            series.iter().map(of_series).collect::<Vec<_>>()
        });
        parts
            .unwrap_or_default()
            .into_iter()
            .map(|list| {
                list.into_iter()
                    .map(|part| match part {
                        None => Ok(None),
                        Some((field_type, parts)) => {
                            self.merge(field_type, parts, first, last).map(Some)
                        }
                    })
                    .collect()
            })
            .collect()
    }

    fn merge(
        &self,
        field_type: FieldType,
        parts: Parts,
        first: i64,
        last: i64,
    ) -> Result<Column, StoreError> {
        if parts.chunks.is_empty() && parts.sealing.is_none() {
            return Ok(parts.head);
        }
        let mut merged = Column::new(field_type);
        if !parts.chunks.is_empty() {
            self.store.0.disk.read(|reader| {
                for meta in &parts.chunks {
                    if let Some(bytes) = disk::chunk(reader, meta.id)? {
                        merged.append(chunk::decode(&bytes)?.between(first, last));
                    }
                }
                Ok(())
            })?;
        }
        if let Some(sealing) = parts.sealing {
            merged.append(sealing.between(first, last));
        }
        merged.append(parts.head);
        Ok(merged.tidied())
    }
}
