//! A host's history: questions to the gateway, and their answers on regular grids.
//!
//! One statement a rule asks for means over the step (for a counter: its last value in each step) of all its targets
//! at once. Times are aligned to the step, and the step that is still under way is never asked for.

use std::{collections::BTreeMap, fmt::Write, sync::Arc};

use headroom_openapi::query::{ResultSeries, StatementResult};

use crate::{
    discovery::HOST_TAG,
    gateway::{Gateway, GatewayError, influxql},
    grid::{Grid, STEP_S, Sample},
    target::{Target, TargetRule},
};

/// How late a counter's steps begin. A value that was read at a step's very end, as backfills and agents that round
/// their times have it, then belongs to the step that it ends and not to the next.
const COUNTER_LATE_S: i64 = 1;

/// A stretch of time, aligned to the step: from the first second to before the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Its first second.
    pub from_s: i64,
    /// The first second behind it.
    pub until_s: i64,
}

impl Span {
    /// The last whole steps before an instant.
    #[must_use]
    pub fn before(now_s: i64, steps: usize) -> Self {
        let step = i64::from(STEP_S);
        let until_s = now_s.div_euclid(step) * step;
        Self {
            from_s: until_s - steps as i64 * step,
            until_s,
        }
    }
}

/// Reads the grids of a host's targets, in the targets' order. A target without points has a grid of missing values.
///
/// # Errors
///
/// When the gateway is away or refuses.
pub async fn read(
    gateway: &Gateway,
    host: &str,
    targets: &[Target],
    span: Span,
) -> Result<Vec<(Target, Grid)>, GatewayError> {
    let rules = rules_of(targets);
    let statements: Vec<String> = rules
        .iter()
        .map(|rule| statement(rule, host, span))
        .collect();
    let results = match gateway.query(&statements).await {
        Err(error) if error.is_database_missing() => vec![StatementResult::default(); rules.len()],
        outcome => outcome?,
    };
    Ok(targets
        .iter()
        .map(|target| {
            let place = rules
                .iter()
                .position(|rule| Arc::ptr_eq(rule, &target.rule));
            let samples = place
                .map(|place| samples_of(target, &results[place]))
                .unwrap_or_default();
            (target.clone(), grid_of(target, &samples, span))
        })
        .collect())
}

fn rules_of(targets: &[Target]) -> Vec<Arc<TargetRule>> {
    let mut rules: Vec<Arc<TargetRule>> = Vec::new();
    for target in targets {
        if !rules.iter().any(|rule| Arc::ptr_eq(rule, &target.rule)) {
            rules.push(Arc::clone(&target.rule));
        }
    }
    rules
}

fn statement(rule: &TargetRule, host: &str, span: Span) -> String {
    let step = i64::from(STEP_S);
    // A counter's steps begin a second late, so that each holds the value at its very end.
    let (aggregate, late_s, from_s) = if rule.counter {
        ("last", COUNTER_LATE_S, span.from_s - step)
    } else {
        ("mean", 0, span.from_s)
    };
    let mut statement = format!(
        "SELECT {aggregate}({}) FROM {} WHERE {} = {} AND ",
        influxql::name(&rule.field),
        influxql::name(&rule.measurement),
        influxql::name(HOST_TAG),
        influxql::text(host)
    );
    influxql::push_tags(&mut statement, &rule.where_tags);
    let _ = write!(
        statement,
        "{} GROUP BY time({STEP_S}s",
        influxql::during(from_s + late_s, span.until_s + late_s)
    );
    if late_s > 0 {
        let _ = write!(statement, ", {late_s}s");
    }
    statement.push(')');
    for key in &rule.by_tags {
        let _ = write!(statement, ", {}", influxql::name(key));
    }
    statement.push_str(" fill(none)");
    statement
}

fn samples_of(target: &Target, result: &StatementResult) -> Vec<Sample> {
    let wanted: BTreeMap<&String, &String> = target
        .tags
        .iter()
        .map(|(key, value)| (key, value))
        .collect();
    let is_wanted = |series: &&ResultSeries| {
        wanted
            .iter()
            .all(|(key, value)| series.tags.get(*key) == Some(value))
    };
    result
        .series
        .iter()
        .filter(is_wanted)
        .flat_map(|series| &series.values)
        .filter_map(|row| {
            Some(Sample {
                time_s: row.first()?.as_i64()?,
                value: row.get(1)?.as_f64()?,
            })
        })
        .collect()
}

/// Puts a rule's samples, ordered by time, on a grid: a counter's increase per second, the means of anything else.
pub(crate) fn on_grid(rule: &TargetRule, samples: &[Sample], span: Span) -> Grid {
    let Span { from_s, until_s } = span;
    if rule.counter {
        return Grid::of_counter(samples, from_s, until_s, STEP_S);
    }
    let grid = Grid::of_values(samples, from_s, until_s, STEP_S);
    if rule.complement {
        grid.map(|value| 100.0 - value)
    } else {
        grid
    }
}

fn grid_of(target: &Target, samples: &[Sample], span: Span) -> Grid {
    if !target.rule.counter {
        return on_grid(&target.rule, samples, span);
    }
    // The last value of a step was read at its end, and InfluxQL names the step by its start, which is a second late.
    let at_the_end: Vec<Sample> = samples
        .iter()
        .map(|sample| Sample {
            time_s: sample.time_s + i64::from(STEP_S) - COUNTER_LATE_S,
            ..*sample
        })
        .collect();
    on_grid(&target.rule, &at_the_end, span)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::default_rules;

    fn rule(name: &str) -> Arc<TargetRule> {
        let rules = default_rules();
        let rule = rules
            .iter()
            .find(|rule| rule.target.name == name)
            .expect("a default rule");
        Arc::clone(&rule.target)
    }

    fn answer(series: &serde_json::Value) -> StatementResult {
        serde_json::from_value(json!({"statement_id": 0, "series": series})).expect("a result")
    }

    #[test]
    fn a_span_ends_before_the_step_under_way() {
        let span = Span::before(1_000, 2);
        assert_eq!(
            span,
            Span {
                from_s: 300,
                until_s: 900
            }
        );
    }

    #[test]
    fn one_statement_asks_for_all_targets_of_a_rule() {
        let span = Span {
            from_s: 600,
            until_s: 1_200,
        };
        assert_eq!(
            statement(&rule("disk.used_percent"), "db'1", span),
            "SELECT mean(\"used_percent\") FROM \"disk\" WHERE \"host\" = 'db\\'1' AND time >= 600000ms AND \
             time < 1200000ms GROUP BY time(300s), \"path\" fill(none)"
        );
        assert_eq!(
            statement(&rule("net.bytes_recv"), "h", span),
            "SELECT last(\"bytes_recv\") FROM \"net\" WHERE \"host\" = 'h' AND time >= 301000ms AND \
             time < 1201000ms GROUP BY time(300s, 1s), \"interface\" fill(none)"
        );
    }

    #[test]
    fn idle_becomes_usage() {
        let target = rule("cpu.usage").target(&BTreeMap::new());
        let result = answer(&json!([{"name": "cpu", "columns": ["time", "mean"],
            "values": [[300, 90.0], [900, 40]]}]));
        let grid = grid_of(
            &target,
            &samples_of(&target, &result),
            Span {
                from_s: 300,
                until_s: 1_200,
            },
        );
        assert_eq!((grid.values[0], grid.values[2]), (10.0, 60.0));
        assert!(grid.values[1].is_nan());
    }

    #[test]
    fn a_counter_becomes_the_rate_of_the_step_it_grew_in() {
        let target = rule("net.bytes_recv").target(&[("interface".into(), "eth0".into())].into());
        let result = answer(&json!([
            {"name": "net", "tags": {"interface": "eth0"}, "columns": ["time", "last"],
             "values": [[1, 100], [301, 400], [601, 1000]]},
            {"name": "net", "tags": {"interface": "eth1"}, "columns": ["time", "last"], "values": [[301, 7]]},
        ]));
        let grid = grid_of(
            &target,
            &samples_of(&target, &result),
            Span {
                from_s: 300,
                until_s: 900,
            },
        );
        assert_eq!(grid.values, [1.0, 2.0]);
    }
}
