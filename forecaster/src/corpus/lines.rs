//! Line protocol as series.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    path::Path,
};

use influxdb_line_protocol::{FieldValue, ParsedLine, parse_lines};

use super::{CorpusError, Gathered, open};
use crate::{
    config::{Rule, default_rules},
    discovery::{HOST_TAG, is_target},
    grid::Sample,
    target::metric_name,
};

const NANOSECONDS: i64 = 1_000_000_000;

/// The year 2000; a time before it was written in another unit.
const TIME_MIN: i64 = 946_684_800 * NANOSECONDS;

/// Reads a file of lines.
pub(super) fn read(path: &Path, dataset: &str, gathered: &mut Gathered) -> Result<(), CorpusError> {
    let unreadable = |source| CorpusError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let rules = default_rules();
    let mut text = String::new();
    let mut reader = BufReader::new(open(path).map_err(unreadable)?);
    let mut number = 0;
    loop {
        text.clear();
        if reader.read_line(&mut text).map_err(unreadable)? == 0 {
            return Ok(());
        }
        number += 1;
        let invalid = |reason: String| CorpusError::LineInvalid {
            path: path.to_owned(),
            line: number,
            reason,
        };
        for line in parse_lines(&text) {
            let line = line.map_err(|error| invalid(error.to_string()))?;
            add(&line, dataset, &rules, gathered).map_err(&invalid)?;
        }
    }
}

fn add(
    line: &ParsedLine<'_>,
    dataset: &str,
    rules: &[Rule],
    gathered: &mut Gathered,
) -> Result<(), String> {
    let time = line
        .timestamp
        .ok_or("it has no time; write it in nanoseconds behind the fields")?;
    if time < TIME_MIN {
        return Err(format!(
            "its time {time} is no time of this century in nanoseconds"
        ));
    }
    let time_s = time.div_euclid(NANOSECONDS);
    let tags: BTreeMap<String, String> = line
        .series
        .tag_set
        .iter()
        .flatten()
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect();
    let host = format!(
        "{dataset}|{}",
        tags.get(HOST_TAG).map_or("", String::as_str)
    );
    let measurement = line.series.measurement.to_string();
    let known: Vec<&Rule> = rules
        .iter()
        .filter(|rule| rule.target.measurement == measurement)
        .collect();
    let others: Vec<(String, String)> = tags
        .iter()
        .filter(|(key, _)| key.as_str() != HOST_TAG)
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    for (field, value) in &line.field_set {
        let Some(value) = number_of(value) else {
            continue;
        };
        let sample = Sample { time_s, value };
        for rule in &known {
            let has_tags = |(key, value)| tags.get(key) == Some(value);
            let is_asked = rule.target.where_tags.iter().all(has_tags) && is_target(rule, &tags);
            if is_asked && *field == rule.target.field.as_str() {
                gathered.add(host.clone(), rule.target.target(&tags), sample);
            }
        }
        if known.is_empty() {
            let metric = metric_name(&format!("{measurement}.{field}"), &others);
            gathered.add_named(host.clone(), metric, sample);
        }
    }
    Ok(())
}

fn number_of(value: &FieldValue) -> Option<f64> {
    match value {
        FieldValue::F64(value) => Some(*value),
        FieldValue::I64(value) => Some(*value as f64),
        FieldValue::U64(value) => Some(*value as f64),
        FieldValue::Boolean(_) | FieldValue::String(_) => None,
    }
}
