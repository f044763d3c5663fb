//! The contract's file.

use std::{collections::BTreeMap, fs, path::Path};

use regex::Regex;
use serde::Deserialize;

use super::{Bounds, Contract, ContractError, Field, Measurement, Tag, age::Age};
use crate::{glob::Glob, lines::FieldType};

/// Whether what the file does not name is taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Others {
    #[default]
    Accept,
    Refuse,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ContractFile {
    #[serde(default)]
    other_measurements: Others,
    max_past: Option<Age>,
    max_future: Option<Age>,
    #[serde(default, rename = "measurement")]
    measurements: Vec<MeasurementFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MeasurementFile {
    name: String,
    #[serde(default)]
    other_tags: Others,
    #[serde(default)]
    other_fields: Others,
    max_past: Option<Age>,
    max_future: Option<Age>,
    #[serde(default)]
    tags: BTreeMap<String, TagFile>,
    #[serde(default)]
    fields: BTreeMap<String, TypesFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TagFile {
    #[serde(default)]
    required: bool,
    pattern: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum TypeFile {
    Float,
    Integer,
    Unsigned,
    String,
    Boolean,
    Any,
}

#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "a field's types are one of float, integer, unsigned, string, boolean and any, or a list of them"
)]
enum TypesFile {
    One(TypeFile),
    Several(Vec<TypeFile>),
}

impl Contract {
    /// Reads a contract's file.
    ///
    /// # Errors
    ///
    /// Says what is wrong in it, where, and what would be right.
    pub fn read(path: &Path) -> Result<Self, ContractError> {
        let text = fs::read_to_string(path).map_err(|source| ContractError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text).map_err(|reason| ContractError::Invalid {
            path: path.to_owned(),
            reason,
        })
    }

    /// Reads a contract's text; the error says what is wrong in it.
    pub(in crate::guard) fn parse(text: &str) -> Result<Self, String> {
        let file: ContractFile = toml::from_str(text).map_err(|error| error.to_string())?;
        let bounds = Bounds {
            past_ns: file.max_past.map(|age| age.0),
            future_ns: file.max_future.map(|age| age.0),
        };
        if file.measurements.is_empty() && file.other_measurements == Others::Refuse {
            return Err(
                "it refuses every measurement; add a [[measurement]], or leave other_measurements out"
                    .to_owned(),
            );
        }
        let measurements = file
            .measurements
            .into_iter()
            .map(|measurement| measurement.judge(bounds))
            .collect::<Result<Vec<_>, _>>()?;
        for (index, measurement) in measurements.iter().enumerate() {
            if measurements[..index]
                .iter()
                .any(|before| before.name == measurement.name)
            {
                return Err(format!(
                    "two [[measurement]] have the name {:?}; join them into one",
                    measurement.name.to_string()
                ));
            }
        }
        Ok(Self {
            takes_other_measurements: file.other_measurements == Others::Accept,
            bounds,
            measurements,
        })
    }
}

impl MeasurementFile {
    fn judge(self, outer: Bounds) -> Result<Measurement, String> {
        if self.name.is_empty() {
            return Err("a [[measurement]] has an empty name; write name = \"cpu\"".to_owned());
        }
        let name = self.name;
        let tags = self
            .tags
            .into_iter()
            .map(|(key, rules)| rules.judge(&name, &key))
            .collect::<Result<Vec<_>, _>>()?;
        let fields = self
            .fields
            .into_iter()
            .map(|(field, types)| {
                let types = types.field_types();
                if types.is_empty() {
                    return Err(format!(
                        "fields.{field} of measurement {name:?} lists no type; write \"any\", or one of float, integer, unsigned, string and boolean"
                    ));
                }
                let name = Glob::new(&field);
                Ok(Field { name, types })
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Measurement {
            name: Glob::new(&name),
            takes_other_tags: self.other_tags == Others::Accept,
            takes_other_fields: self.other_fields == Others::Accept,
            tags: plain_first(tags, |tag| tag.key.is_plain()),
            fields: plain_first(fields, |field| field.name.is_plain()),
            bounds: Bounds {
                past_ns: self.max_past.map(|age| age.0).or(outer.past_ns),
                future_ns: self.max_future.map(|age| age.0).or(outer.future_ns),
            },
        })
    }
}

impl TagFile {
    fn judge(self, measurement: &str, key: &str) -> Result<Tag, String> {
        let pattern = self.pattern.map(|written| {
            match Regex::new(&format!("^(?:{written})$")) {
                Ok(pattern) => Ok((written, pattern)),
                Err(error) => Err(format!(
                    "tags.{key}.pattern of measurement {measurement:?} is no regular expression: {error}"
                )),
            }
        });
        Ok(Tag {
            is_required: self.required,
            pattern: pattern.transpose()?,
            key: Glob::new(key),
        })
    }
}

impl TypesFile {
    fn field_types(self) -> Vec<FieldType> {
        let types = match self {
            Self::One(one) => vec![one],
            Self::Several(several) => several,
        };
        let named = types.into_iter().flat_map(|named| match named {
            TypeFile::Float => vec![FieldType::Float],
            TypeFile::Integer => vec![FieldType::Integer],
            TypeFile::Unsigned => vec![FieldType::Unsigned],
            TypeFile::String => vec![FieldType::Text],
            TypeFile::Boolean => vec![FieldType::Boolean],
            TypeFile::Any => FieldType::ALL.to_vec(),
        });
        named.collect()
    }
}

/// A TOML table has no order, so a plain name goes before a pattern that means it too.
fn plain_first<T>(mut rules: Vec<T>, is_plain: impl Fn(&T) -> bool) -> Vec<T> {
    rules.sort_by_key(|rule| !is_plain(rule));
    rules
}
