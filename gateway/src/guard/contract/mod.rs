//! What may come, as a file says: measurements, tags, fields, their types, and how old or early points may be.
//!
//! Names are compared as InfluxDB reads them, without the backslashes of line protocol. Of several entries that mean a
//! measurement, a tag or a field the first one counts. What a line broke is named as the file writes it.

mod age;
mod file;

use std::path::PathBuf;

use regex::Regex;

use crate::{
    glob::Glob,
    lines::{FieldType, Parts, Refusal, Rule, Span},
};

/// Why a contract was refused.
#[derive(Debug, thiserror::Error)]
pub enum ContractError {
    /// The file cannot be read.
    #[error("the contract {} cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It is no TOML, or has keys or values that mean nothing.
    #[error("the contract {} is wrong: {reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong, where, and what would be right.
        reason: String,
    },
}

/// What may come.
#[derive(Debug)]
pub struct Contract {
    takes_other_measurements: bool,
    bounds: Bounds,
    measurements: Vec<Measurement>,
}

/// The rules for a measurement's lines.
#[derive(Debug)]
struct Measurement {
    name: Glob,
    takes_other_tags: bool,
    takes_other_fields: bool,
    tags: Vec<Tag>,
    fields: Vec<Field>,
    bounds: Bounds,
}

#[derive(Debug)]
struct Tag {
    key: Glob,
    is_required: bool,
    /// The whole value has to match; as it stands in the file, and as it is looked for.
    pattern: Option<(String, Regex)>,
}

#[derive(Debug)]
struct Field {
    name: Glob,
    types: Vec<FieldType>,
}

/// How far from now a point may lie, in nanoseconds; `None`: however far.
#[derive(Debug, Clone, Copy, Default)]
struct Bounds {
    past_ns: Option<i64>,
    future_ns: Option<i64>,
}

/// Which of a contract's entries a measurement's lines are held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry(u32);

impl Entry {
    /// No entry names the measurement, and it is taken nevertheless.
    pub const OTHER: Self = Self(u32::MAX);
}

impl Contract {
    /// Holds a line to the contract, and says which entry it was held to.
    ///
    /// # Errors
    ///
    /// Names the first rule that is broken.
    pub fn judge(&self, parts: &Parts, text: &[u8], received_ns: i64) -> Result<Entry, Refusal> {
        let entry = self.entry(parts, text)?;
        self.check(entry, parts, text)?;
        self.check_time(entry, parts, received_ns)?;
        Ok(entry)
    }

    /// Finds the entry for a line's measurement.
    ///
    /// # Errors
    ///
    /// Refuses the line if no entry names it and others are not taken.
    fn entry(&self, parts: &Parts, text: &[u8]) -> Result<Entry, Refusal> {
        let name = parts.measurement_name(text);
        let found = (0..)
            .zip(&self.measurements)
            .find(|(_, measurement)| measurement.name.matches(&name));
        match found {
            Some((index, _)) => Ok(Entry(index)),
            None if self.takes_other_measurements => Ok(Entry::OTHER),
            None => Err(Refusal::at(
                Rule::ContractMeasurement,
                parts.measurement.start - parts.line_start,
                format!(
                    "the contract names no measurement {name:?} (other_measurements = \"refuse\"); add it there, or do not send it"
                ),
            )),
        }
    }

    /// Holds a line's tags and fields to an entry.
    ///
    /// # Errors
    ///
    /// Names the first rule that is broken.
    fn check(&self, entry: Entry, parts: &Parts, text: &[u8]) -> Result<(), Refusal> {
        match self.measurements.get(entry.0 as usize) {
            Some(measurement) => {
                measurement.check_tags(parts, text)?;
                measurement.check_fields(parts, text)
            }
            None => Ok(()),
        }
    }

    /// Holds a line's time to the bounds of an entry; a line without one has the time of receipt.
    ///
    /// # Errors
    ///
    /// Says how far the point lies outside.
    #[inline]
    pub fn check_time(&self, entry: Entry, parts: &Parts, received_ns: i64) -> Result<(), Refusal> {
        let measurement = self.measurements.get(entry.0 as usize);
        let bounds = measurement.map_or(self.bounds, |measurement| measurement.bounds);
        let (Some(time_ns), Some(span)) = (parts.time_ns, parts.timestamp) else {
            return Ok(());
        };
        let column = |span: Span| span.start - parts.line_start;
        let age_ns = received_ns.saturating_sub(time_ns);
        if let Some(most) = bounds.past_ns.filter(|most| age_ns > *most) {
            return Err(Refusal::at(
                Rule::ContractPast,
                column(span),
                format!(
                    "the point is {} old, and the contract takes {} at most (max_past); check the clock and the precision of the request",
                    age::written(age_ns),
                    age::written(most)
                ),
            ));
        }
        if let Some(most) = bounds
            .future_ns
            .filter(|most| age_ns.saturating_neg() > *most)
        {
            return Err(Refusal::at(
                Rule::ContractFuture,
                column(span),
                format!(
                    "the point lies {} ahead, and the contract takes {} at most (max_future); check the clock and the precision of the request",
                    age::written(age_ns.saturating_neg()),
                    age::written(most)
                ),
            ));
        }
        Ok(())
    }
}

impl Measurement {
    fn check_tags(&self, parts: &Parts, text: &[u8]) -> Result<(), Refusal> {
        for required in self.tags.iter().filter(|tag| tag.is_required) {
            let is_there = |tag: &crate::lines::TagSpan| required.key.matches(&tag.key_name(text));
            if !parts.tags.iter().any(is_there) {
                return Err(Refusal::at(
                    Rule::ContractTagRequired,
                    parts.series().end - parts.line_start,
                    format!(
                        "the tag {:?} is missing, which the contract requires of measurement {:?} (tags.{}.required)",
                        required.key.to_string(),
                        self.name.to_string(),
                        required.key
                    ),
                ));
            }
        }
        for tag in &parts.tags {
            let key = tag.key_name(text);
            let Some(rules) = self.tags.iter().find(|rules| rules.key.matches(&key)) else {
                if self.takes_other_tags {
                    continue;
                }
                return Err(Refusal::at(
                    Rule::ContractTag,
                    tag.key.start - parts.line_start,
                    format!(
                        "the contract names no tag {key:?} of measurement {:?} (other_tags = \"refuse\"); leave it out, or add it there",
                        self.name.to_string()
                    ),
                ));
            };
            if let Some((written, pattern)) = &rules.pattern
                && !pattern.is_match(&tag.value_text(text))
            {
                return Err(Refusal::at(
                    Rule::ContractTagPattern,
                    tag.value.start - parts.line_start,
                    format!(
                        "the value of the tag {key:?} is not of the contract's pattern {written:?} for measurement {:?} (tags.{}.pattern)",
                        self.name.to_string(),
                        rules.key
                    ),
                ));
            }
        }
        Ok(())
    }

    fn check_fields(&self, parts: &Parts, text: &[u8]) -> Result<(), Refusal> {
        for field in &parts.fields {
            let name = field.key_name(text);
            let Some(rules) = self.fields.iter().find(|rules| rules.name.matches(&name)) else {
                if self.takes_other_fields {
                    continue;
                }
                return Err(Refusal::at(
                    Rule::ContractField,
                    field.key.start - parts.line_start,
                    format!(
                        "the contract names no field {name:?} of measurement {:?} (other_fields = \"refuse\"); leave it out, or add it there",
                        self.name.to_string()
                    ),
                ));
            };
            if !rules.types.contains(&field.field_type) {
                let types: Vec<_> = rules
                    .types
                    .iter()
                    .map(|field_type| field_type.name())
                    .collect();
                return Err(Refusal::at(
                    Rule::ContractFieldType,
                    field.value.start - parts.line_start,
                    format!(
                        "the field {name:?} of measurement {:?} is {} here, and the contract takes {} (fields.{})",
                        self.name.to_string(),
                        field.field_type.name(),
                        types.join(" or "),
                        rules.name
                    ),
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
