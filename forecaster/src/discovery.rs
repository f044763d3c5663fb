//! Which hosts there are, and which of their series are targets.
//!
//! One statement a rule asks for the last value of each series that was heard of lately, grouped by the tags that the
//! rule looks at: the groups name hosts and targets, and the times say when each was last heard of.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use headroom_openapi::query::{ResultSeries, StatementResult};

use crate::{
    config::Rule,
    gateway::{Gateway, GatewayError, influxql},
    target::Target,
};

/// The tag that names a host, as Telegraf writes it.
pub const HOST_TAG: &str = "host";
/// A host that was silent for longer than this is gone: a holiday and a weekend are shorter.
pub const HEARD_WITHIN_S: i64 = 14 * 86_400;
/// A host whose clock runs ahead is found up to this far; points beyond are not looked at.
pub const AHEAD_MAX_S: i64 = 3_600;
/// How far beyond that it is looked for hosts to warn about: clocks go wrong by a zone or by a year.
const AHEAD_LOOKED_AT_S: i64 = 10 * 366 * 86_400;
/// More targets than this on one host are left out, the later ones in the rules' order: a train must stay short.
pub const TARGETS_MAX: usize = 64;
/// More hosts than this are left out: what grows has a limit.
pub const HOSTS_MAX: usize = 10_000;

/// A host, what of it is forecast, and when it was last heard of.
#[derive(Debug, Clone, Default)]
pub struct Host {
    /// Its targets, in the order of the rules.
    pub targets: Vec<Target>,
    /// The time of its newest point, in seconds since 1970.
    pub last_seen_s: i64,
    /// The names of further targets, which are left out.
    pub left_out: BTreeSet<String>,
}

/// The hosts by name.
pub type Hosts = BTreeMap<String, Host>;

/// The hosts that send points of more than [`AHEAD_MAX_S`] ahead, and the times of their newest, in seconds since 1970.
pub type Ahead = BTreeMap<String, i64>;

/// Asks the gateway which hosts and targets there are.
///
/// # Errors
///
/// When the gateway is away or refuses; a database without points has no hosts and is no error.
pub async fn discover(
    gateway: &Gateway,
    rules: &[Rule],
    now_s: i64,
) -> Result<Hosts, GatewayError> {
    let statements: Vec<String> = rules.iter().map(|rule| statement(rule, now_s)).collect();
    let results = match gateway.query(&statements).await {
        Err(error) if error.is_database_missing() => return Ok(Hosts::new()),
        outcome => outcome?,
    };
    Ok(hosts(rules, &results))
}

/// Asks the gateway which hosts send points from so far ahead that they are not looked at.
///
/// # Errors
///
/// When the gateway is away or refuses.
pub async fn ahead(gateway: &Gateway, rules: &[Rule], now_s: i64) -> Result<Ahead, GatewayError> {
    let asked: Vec<String> = rules
        .iter()
        .map(|rule| statement_ahead(rule, now_s))
        .collect();
    let results = match gateway.query(&asked).await {
        Err(error) if error.is_database_missing() => return Ok(Ahead::new()),
        outcome => outcome?,
    };
    let mut ahead = Ahead::new();
    for series in results.iter().flat_map(|result| &result.series) {
        let time_s = series.values.first().and_then(|row| row.first()?.as_i64());
        if let (Some(host), Some(time_s)) = (series.tags.get(HOST_TAG), time_s) {
            let newest_s = ahead.entry(host.clone()).or_insert(time_s);
            *newest_s = time_s.max(*newest_s);
        }
    }
    Ok(ahead)
}

fn statement_ahead(rule: &Rule, now_s: i64) -> String {
    let from_s = now_s + AHEAD_MAX_S;
    format!(
        "SELECT last({}) FROM {} WHERE {} GROUP BY {}",
        influxql::name(&rule.target.field),
        influxql::name(&rule.target.measurement),
        influxql::during(from_s, from_s + AHEAD_LOOKED_AT_S),
        influxql::name(HOST_TAG)
    )
}

fn statement(rule: &Rule, now_s: i64) -> String {
    let target = &rule.target;
    let mut statement = format!(
        "SELECT last({}) FROM {} WHERE ",
        influxql::name(&target.field),
        influxql::name(&target.measurement)
    );
    influxql::push_tags(&mut statement, &target.where_tags);
    // A clock that runs ahead is no reason to overlook a host; forecasts are other measurements.
    let _ = write!(
        statement,
        "{} GROUP BY {}",
        influxql::during(now_s - HEARD_WITHIN_S, now_s + AHEAD_MAX_S),
        influxql::name(HOST_TAG)
    );
    for key in grouped_tags(rule) {
        let _ = write!(statement, ", {}", influxql::name(key));
    }
    statement
}

fn grouped_tags(rule: &Rule) -> BTreeSet<&String> {
    rule.target
        .by_tags
        .iter()
        .chain(rule.except.keys())
        .collect()
}

fn hosts(rules: &[Rule], results: &[StatementResult]) -> Hosts {
    let mut hosts = Hosts::new();
    for (rule, result) in rules.iter().zip(results) {
        for series in &result.series {
            let (Some(name), Some(last_s)) = (series.tags.get(HOST_TAG), last_time_s(series))
            else {
                continue;
            };
            let has_room = hosts.len() < HOSTS_MAX || hosts.contains_key(name);
            if name.is_empty() || !has_room || !is_target(rule, &series.tags) {
                continue;
            }
            let host = hosts.entry(name.clone()).or_default();
            host.last_seen_s = host.last_seen_s.max(last_s);
            host.add(rule.target.target(&series.tags));
        }
    }
    hosts
}

/// Says whether a series has all tags that name its target, and is not left out.
pub(crate) fn is_target(rule: &Rule, tags: &BTreeMap<String, String>) -> bool {
    let is_named = |key: &String| tags.get(key).is_some_and(|value| !value.is_empty());
    rule.target.by_tags.iter().all(is_named) && !rule.leaves_out(tags)
}

/// The time of a series' last value; `None` when that is no number, which nothing could forecast.
fn last_time_s(series: &ResultSeries) -> Option<i64> {
    let row = series.values.first()?;
    row.get(1)?.as_f64()?;
    row.first()?.as_i64()
}

impl Host {
    /// Finds a target by its name.
    #[must_use]
    pub fn target(&self, metric: &str) -> Option<&Target> {
        self.targets.iter().find(|target| target.metric == metric)
    }

    fn add(&mut self, target: Target) {
        if self.target(&target.metric).is_some() {
            return;
        }
        if self.targets.len() < TARGETS_MAX {
            self.targets.push(target);
        } else {
            self.left_out.insert(target.metric);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::default_rules;

    fn result(series: &serde_json::Value) -> StatementResult {
        serde_json::from_value(json!({"statement_id": 0, "series": series})).expect("a result")
    }

    #[test]
    fn the_statement_groups_by_all_tags_that_the_rule_looks_at() {
        let rules = default_rules();
        let disk = rules
            .iter()
            .find(|rule| rule.target.measurement == "disk")
            .expect("a rule");
        assert_eq!(
            statement(disk, 2_000_000),
            "SELECT last(\"used_percent\") FROM \"disk\" WHERE time >= 790400000ms AND time < 2003600000ms \
             GROUP BY \"host\", \"fstype\", \"path\""
        );
        let cpu = statement(&rules[0], 2_000_000);
        assert!(
            cpu.contains("WHERE \"cpu\" = 'cpu-total' AND time >="),
            "{cpu}"
        );
    }

    #[test]
    fn groups_become_hosts_and_targets() {
        let rules: Vec<Rule> = default_rules()
            .into_iter()
            .filter(|rule| rule.target.measurement == "disk")
            .collect();
        let series = |host: &str, path: &str, fstype: &str, time_s: i64| {
            json!({"name": "disk", "tags": {"host": host, "path": path, "fstype": fstype},
                   "columns": ["time", "last"], "values": [[time_s, 40.0]]})
        };
        let results = [result(&json!([
            series("db-1", "/", "ext4", 100),
            series("db-1", "/run", "tmpfs", 200),
            series("db-1", "/data", "xfs", 150),
            series("", "/", "ext4", 100),
            series("db-1", "", "ext4", 100),
            json!({"name": "disk", "tags": {"host": "db-2", "path": "/", "fstype": "ext4"},
                   "columns": ["time", "last"], "values": [[100, "forty"]]}),
        ]))];
        let hosts = hosts(&rules, &results);
        assert_eq!(hosts.len(), 1);
        let host = &hosts["db-1"];
        let metrics: Vec<_> = host
            .targets
            .iter()
            .map(|target| target.metric.as_str())
            .collect();
        assert_eq!(
            metrics,
            ["disk.used_percent{path=/}", "disk.used_percent{path=/data}"]
        );
        assert_eq!(host.last_seen_s, 150);
    }

    #[test]
    fn a_host_has_a_limit_of_targets() {
        let rules: Vec<Rule> = default_rules()
            .into_iter()
            .filter(|rule| rule.target.measurement == "disk")
            .collect();
        let series: Vec<_> = (0..2_000)
            .map(|disk| {
                json!({"name": "disk", "tags": {"host": "h", "path": format!("/{disk}")},
                "columns": ["time", "last"], "values": [[1, 1.0]]})
            })
            .collect();
        let hosts = hosts(&rules, &[result(&json!(series))]);
        let host = &hosts["h"];
        assert_eq!(
            (host.targets.len(), host.left_out.len()),
            (TARGETS_MAX, 2_000 - TARGETS_MAX)
        );
        assert!(host.left_out.contains("disk.used_percent{path=/1999}"));
    }
}
