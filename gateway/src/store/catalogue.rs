//! What there is: databases, retention policies, measurements, fields with their types, and series with their tags.
//!
//! Invariants: a measurement's series are numbered in the order of their arrival and keep their number; `order` lists
//! them by their key; the type of a field is the first that was written and never changes.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{
    column::{FieldType, Value},
    head::FieldData,
};

/// A series' tags, sorted by key.
pub type Tags = Vec<(Arc<str>, Arc<str>)>;

/// A database and its retention policies, the default one first.
pub(super) struct Database {
    pub(super) name: String,
    pub(super) policies: Vec<Policy>,
}

/// A retention policy: what holds the measurements.
pub(super) struct Policy {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) duration_ns: i64,
    pub(super) is_default: bool,
    pub(super) measurements: BTreeMap<Arc<str>, Measurement>,
}

/// A measurement with its fields and series.
#[derive(Default)]
pub(super) struct Measurement {
    pub(super) fields: BTreeMap<Arc<str>, Field>,
    pub(super) series: Vec<Series>,
    /// Series by their key, which sorts as InfluxDB sorts.
    pub(super) order: BTreeMap<String, u32>,
    /// Series by tag key and value.
    pub(super) index: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Vec<u32>>>,
}

/// A field's type, and its number on disk once it has one.
pub(super) struct Field {
    pub(super) field_type: FieldType,
    pub(super) id: Option<i64>,
}

/// A series: its tags and the data of its fields.
pub(super) struct Series {
    pub(super) tags: Arc<Tags>,
    pub(super) key: Arc<str>,
    /// Its number on disk once it has one.
    pub(super) id: Option<i64>,
    pub(super) data: HashMap<Arc<str>, FieldData>,
}

/// Escapes what separates a series key's parts.
fn push_escaped(key: &mut String, text: &str) {
    for c in text.chars() {
        if matches!(c, ',' | ' ' | '=') {
            key.push('\\');
        }
        key.push(c);
    }
}

/// Writes a series' key as InfluxDB does: `measurement,tag=value,…`.
#[must_use]
pub fn series_key<'a>(
    measurement: &str,
    tags: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> String {
    let mut key = String::with_capacity(64);
    for c in measurement.chars() {
        if matches!(c, ',' | ' ') {
            key.push('\\');
        }
        key.push(c);
    }
    for (name, value) in tags {
        key.push(',');
        push_escaped(&mut key, name);
        key.push('=');
        push_escaped(&mut key, value);
    }
    key
}

impl Measurement {
    /// Finds a series by its key, or adds it.
    pub(super) fn series_mut(&mut self, key: &str, tags: impl FnOnce() -> Tags) -> &mut Series {
        let number = if let Some(number) = self.order.get(key) {
            *number
        } else {
            let number = self.series.len() as u32;
            let tags = tags();
            for (name, value) in &tags {
                self.index
                    .entry(Arc::clone(name))
                    .or_default()
                    .entry(Arc::clone(value))
                    .or_default()
                    .push(number);
            }
            self.order.insert(key.to_owned(), number);
            self.series.push(Series {
                tags: Arc::new(tags),
                key: key.into(),
                id: None,
                data: HashMap::new(),
            });
            number
        };
        &mut self.series[number as usize]
    }

    /// Returns the type of a field that was learned.
    pub(super) fn field_type(&self, name: &str) -> Option<FieldType> {
        self.fields.get(name).map(|field| field.field_type)
    }

    /// Returns the field's name as it is kept and its type, learning the type from the first value.
    pub(super) fn learn(&mut self, name: &str, value: &Value) -> (Arc<str>, FieldType) {
        if let Some((name, field)) = self.fields.get_key_value(name) {
            return (Arc::clone(name), field.field_type);
        }
        let name: Arc<str> = name.into();
        let field_type = value.field_type();
        let field = Field {
            field_type,
            id: None,
        };
        self.fields.insert(Arc::clone(&name), field);
        (name, field_type)
    }
}

impl Database {
    /// Finds a retention policy; without a name the default one.
    pub(super) fn policy(&self, name: Option<&str>) -> Option<&Policy> {
        self.policies.iter().find(|policy| match name {
            Some(name) => policy.name == name,
            None => policy.is_default,
        })
    }

    /// Finds a retention policy to change it; without a name the default one.
    pub(super) fn policy_mut(&mut self, name: Option<&str>) -> Option<&mut Policy> {
        self.policies.iter_mut().find(|policy| match name {
            Some(name) => policy.name == name,
            None => policy.is_default,
        })
    }
}
