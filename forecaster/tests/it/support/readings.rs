//! Readings as agents sent them, and the answers to the forecaster's InfluxQL about them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// A series of one field.
#[derive(Clone)]
pub(crate) struct Readings {
    measurement: &'static str,
    field: &'static str,
    tags: BTreeMap<&'static str, String>,
    /// By time, in seconds.
    values: BTreeMap<i64, f64>,
}

impl Readings {
    pub(crate) fn new(
        [measurement, field]: [&'static str; 2],
        tags: &[(&'static str, &str)],
        values: impl IntoIterator<Item = (i64, f64)>,
    ) -> Self {
        Self {
            measurement,
            field,
            tags: tags
                .iter()
                .map(|(key, value)| (*key, (*value).to_owned()))
                .collect(),
            values: values.into_iter().collect(),
        }
    }

    /// The idle share of a host's processor.
    pub(crate) fn idle(host: &str, values: impl IntoIterator<Item = (i64, f64)>) -> Self {
        let tags = [("host", host), ("cpu", "cpu-total")];
        Self::new(["cpu", "usage_idle"], &tags, values)
    }

    /// What a host has received over its network, as a counter.
    pub(crate) fn received(host: &str, values: impl IntoIterator<Item = (i64, f64)>) -> Self {
        let tags = [("host", host), ("interface", "eth0")];
        Self::new(["net", "bytes_recv"], &tags, values)
    }

    /// Answers a statement; `None` where the series has no part in it.
    pub(crate) fn answer(&self, statement: &str) -> Option<Value> {
        let (selected, rest) = statement.strip_prefix("SELECT ")?.split_once(" FROM ")?;
        let (from, rest) = rest.split_once(" WHERE ")?;
        let (conditions, groups) = rest.split_once(" GROUP BY ").unwrap_or((rest, ""));
        let (groups, limit) = groups.split_once(" LIMIT ").unwrap_or((groups, ""));
        let function = selected.split_once('(').map(|(function, _)| function);
        if !selected.contains(&format!("\"{}\"", self.field))
            || from != format!("\"{}\"", self.measurement)
        {
            return None;
        }
        let (mut from_s, mut until_s) = (i64::MIN, i64::MAX);
        for condition in conditions.split(" AND ") {
            if let Some(bound) = condition.strip_prefix("time >= ") {
                from_s = seconds(bound);
            } else if let Some(bound) = condition.strip_prefix("time < ") {
                until_s = seconds(bound);
            } else {
                let any_of = condition.trim_matches(['(', ')']);
                if !any_of.split(" OR ").any(|tag| self.has(tag)) {
                    return None;
                }
            }
        }
        let rows = self.values.range(from_s..until_s);
        let rows: Vec<(i64, f64)> = match (function, between(groups, "time(", ")")) {
            (Some(function), Some(step)) => {
                let offset_s = step
                    .split_once(", ")
                    .map_or(0, |(_, offset)| seconds(offset));
                let mut steps: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
                for (time_s, value) in rows {
                    let start_s = (time_s - offset_s).div_euclid(300) * 300 + offset_s;
                    steps.entry(start_s).or_default().push(*value);
                }
                let steps = steps.into_iter();
                steps
                    .map(|(start_s, values)| (start_s, applied(function, &values)))
                    .collect()
            }
            (Some(_), None) => rows
                .last()
                .map(|(time_s, value)| (*time_s, *value))
                .into_iter()
                .collect(),
            (None, _) => {
                let limit = limit.parse().expect("a limit");
                rows.take(limit)
                    .map(|(time_s, value)| (*time_s, *value))
                    .collect()
            }
        };
        let grouped = |key: &&str| groups.contains(&format!("\"{key}\""));
        let tags: BTreeMap<&&str, &String> =
            self.tags.iter().filter(|(key, _)| grouped(key)).collect();
        let rows: Vec<Value> = rows
            .iter()
            .map(|(time_s, value)| json!([time_s, value]))
            .collect();
        (!rows.is_empty()).then(|| {
            json!({"name": self.measurement, "tags": tags,
                   "columns": ["time", function.unwrap_or(self.field)], "values": rows})
        })
    }

    fn has(&self, tag: &str) -> bool {
        let (key, value) = tag.split_once(" = ").expect("a condition");
        let own = self.tags.get(key.trim_matches('"'));
        own.is_some_and(|own| own == value.trim_matches('\''))
    }
}

fn applied(function: &str, values: &[f64]) -> f64 {
    match function {
        "mean" => values.iter().sum::<f64>() / values.len() as f64,
        "count" => values.len() as f64,
        "last" => values[values.len() - 1],
        other => panic!("the forecaster asks for {other}"),
    }
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let rest = &text[text.find(start)? + start.len()..];
    Some(&rest[..rest.find(end)?])
}

/// Reads `12s` and `12000ms`.
fn seconds(text: &str) -> i64 {
    let number = |digits: &str| digits.parse::<i64>().expect("a number");
    match text.strip_suffix("ms") {
        Some(milliseconds) => number(milliseconds).div_euclid(1_000),
        None => number(text.trim_end_matches('s')),
    }
}
