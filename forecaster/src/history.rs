//! A host's history: questions to the gateway, and their answers on regular grids.
//!
//! One statement a rule asks for means over the step of all its targets at once; for a counter, for its last value in each
//! step. Times are aligned to the step, and the step that is still under way is never asked for.
//!
//! InfluxQL names what it groups by the group's start, and the time of a reading is lost. Where an agent reads a counter
//! at least once a minute, its last reading in a step lies near the step's end. One that is read more rarely is asked for
//! reading by reading, with the times ([`rare_counters`]).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    sync::Arc,
};

use headroom_openapi::query::{ResultSeries, StatementResult};

use crate::{
    discovery::HOST_TAG,
    gateway::{Gateway, GatewayError, influxql},
    grid::{COUNTER_GAP_MAX_S, Grid, STEP_S, Sample},
    target::{Target, TargetRule},
};

/// How late a counter's steps begin. A value that was read at a step's very end, as backfills and agents that round
/// their times have it, then belongs to the step that it ends and not to the next.
const COUNTER_LATE_S: i64 = 1;

/// How long before a span's end it is counted how often counters are read: time enough to see it where data comes an hour
/// or two late.
const COUNTED_S: i64 = 3 * 3_600;

/// The readings in a step, where there are any, with which a counter is read often. An agent that reads every minute has
/// five.
const OFTEN_MIN: f64 = 4.0;

/// More readings than this a step are not asked for one by one: an agent that was slowed down only lately leaves a history
/// that is read in steps.
const READINGS_MAX: i64 = 5;

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

/// The rules whose counters are read rarely, by their names.
pub type RareCounters = BTreeSet<String>;

/// A rule, with those of its series that are targets: a host may have thousands of others.
struct Wanted<'a> {
    rule: Arc<TargetRule>,
    targets: Vec<&'a Target>,
}

/// What is asked of a rule's series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// The mean of each step.
    Mean,
    /// A counter's last value in each step.
    Last,
    /// How often a counter was read in each step.
    Count,
    /// A counter's every reading, so many of a series at most.
    Readings(i64),
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
    let rare = rare_counters(gateway, host, targets, span).await?;
    read_by(gateway, host, targets, span, &rare).await
}

/// Finds the counters that are read too rarely for steps, at a span's end; those that are silent there are not among them.
///
/// # Errors
///
/// When the gateway is away or refuses.
pub async fn rare_counters(
    gateway: &Gateway,
    host: &str,
    targets: &[Target],
    span: Span,
) -> Result<RareCounters, GatewayError> {
    let mut rules = by_rule(targets);
    rules.retain(|wanted| wanted.rule.counter);
    let counted = Span {
        from_s: span.from_s.max(span.until_s - COUNTED_S),
        ..span
    };
    let asked: Vec<(&Wanted, Asked)> = rules.iter().map(|wanted| (wanted, Asked::Count)).collect();
    let results = ask(gateway, host, &asked, counted).await?;
    let rare = rules.iter().zip(&results).filter(|(_, result)| {
        let rows = result.series.iter().flat_map(|series| &series.values);
        let counts = rows.filter_map(|row| row.get(1)?.as_f64());
        let (steps, readings) = counts.fold((0_u32, 0.0), |(n, sum), count| (n + 1, sum + count));
        steps > 0 && readings < OFTEN_MIN * f64::from(steps)
    });
    Ok(rare.map(|(wanted, _)| wanted.rule.name.clone()).collect())
}

/// Reads as [`read`] does, where it is known which counters are read rarely.
///
/// # Errors
///
/// When the gateway is away or refuses.
pub async fn read_by(
    gateway: &Gateway,
    host: &str,
    targets: &[Target],
    span: Span,
    rare: &RareCounters,
) -> Result<Vec<(Target, Grid)>, GatewayError> {
    let rules = by_rule(targets);
    let most = READINGS_MAX * (span.until_s - span.from_s) / i64::from(STEP_S);
    let mut asked: Vec<(&Wanted, Asked)> = rules
        .iter()
        .map(|wanted| match wanted.rule.counter {
            true if rare.contains(&wanted.rule.name) => (wanted, Asked::Readings(most)),
            true => (wanted, Asked::Last),
            false => (wanted, Asked::Mean),
        })
        .collect();
    let mut results = ask(gateway, host, &asked, span).await?;
    for ((wanted, asked), result) in asked.iter_mut().zip(&mut results) {
        let is_full = |series: &ResultSeries| series.values.len() as i64 >= most;
        if *asked == Asked::Readings(most) && result.series.iter().any(is_full) {
            *asked = Asked::Last;
            let again = ask(gateway, host, &[(*wanted, *asked)], span).await?;
            *result = again.into_iter().next().unwrap_or_default();
        }
    }
    Ok(targets
        .iter()
        .map(|target| {
            let place = rules
                .iter()
                .position(|wanted| Arc::ptr_eq(&wanted.rule, &target.rule));
            let grid = place.map_or_else(
                || Grid::missing(span.from_s, span.until_s, STEP_S),
                |place| grid_of(target, &results[place], asked[place].1, span),
            );
            (target.clone(), grid)
        })
        .collect())
}

async fn ask(
    gateway: &Gateway,
    host: &str,
    asked: &[(&Wanted<'_>, Asked)],
    span: Span,
) -> Result<Vec<StatementResult>, GatewayError> {
    let statements: Vec<String> = asked
        .iter()
        .map(|(wanted, asked)| statement(wanted, *asked, host, span))
        .collect();
    match gateway.query(&statements).await {
        Err(error) if error.is_database_missing() => {
            Ok(vec![StatementResult::default(); asked.len()])
        }
        outcome => outcome,
    }
}

fn by_rule(targets: &[Target]) -> Vec<Wanted<'_>> {
    let mut rules: Vec<Wanted> = Vec::new();
    for target in targets {
        let known = rules
            .iter_mut()
            .find(|wanted| Arc::ptr_eq(&wanted.rule, &target.rule));
        if let Some(wanted) = known {
            wanted.targets.push(target);
        } else {
            rules.push(Wanted {
                rule: Arc::clone(&target.rule),
                targets: vec![target],
            });
        }
    }
    rules
}

fn statement(wanted: &Wanted, asked: Asked, host: &str, span: Span) -> String {
    let rule = wanted.rule.as_ref();
    let field = influxql::name(&rule.field);
    let (selected, before_s) = match asked {
        Asked::Mean => (format!("mean({field})"), 0),
        Asked::Count => (format!("count({field})"), 0),
        Asked::Last => (format!("last({field})"), i64::from(STEP_S)),
        Asked::Readings(_) => (field, COUNTER_GAP_MAX_S),
    };
    // A counter's steps begin a second late, so that each holds the value at its very end.
    let late_s = if rule.counter { COUNTER_LATE_S } else { 0 };
    let mut statement = format!(
        "SELECT {selected} FROM {} WHERE {} = {} AND ",
        influxql::name(&rule.measurement),
        influxql::name(HOST_TAG),
        influxql::text(host)
    );
    influxql::push_tags(&mut statement, &rule.where_tags);
    let tags = wanted.targets.iter().map(|target| target.tags.as_slice());
    influxql::push_any_of(&mut statement, tags);
    let during = influxql::during(span.from_s - before_s + late_s, span.until_s + late_s);
    statement.push_str(&during);
    let step = if late_s > 0 {
        format!("time({STEP_S}s, {late_s}s)")
    } else {
        format!("time({STEP_S}s)")
    };
    let is_by_step = !matches!(asked, Asked::Readings(_));
    let tags = rule.by_tags.iter().map(|key| influxql::name(key));
    let groups: Vec<String> = is_by_step.then_some(step).into_iter().chain(tags).collect();
    if !groups.is_empty() {
        let _ = write!(statement, " GROUP BY {}", groups.join(", "));
    }
    match asked {
        Asked::Readings(most) => {
            let _ = write!(statement, " LIMIT {most}");
        }
        _ => statement.push_str(" fill(none)"),
    }
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

fn grid_of(target: &Target, result: &StatementResult, asked: Asked, span: Span) -> Grid {
    let mut samples = samples_of(target, result);
    if asked == Asked::Last {
        // The last value of a step was read near its end, and InfluxQL names the step by its start, which is a second late.
        for sample in &mut samples {
            sample.time_s += i64::from(STEP_S) - COUNTER_LATE_S;
        }
    }
    on_grid(&target.rule, &samples, span)
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
    fn one_statement_asks_for_all_targets_of_a_rule_and_for_no_other_series() {
        let span = Span {
            from_s: 600,
            until_s: 1_200,
        };
        let disk = |path: &str| {
            let tags = BTreeMap::from([("path".to_owned(), path.to_owned())]);
            rule("disk.used_percent").target(&tags)
        };
        let (root, data) = (disk("/"), disk("/data"));
        let wanted = Wanted {
            rule: Arc::clone(&root.rule),
            targets: vec![&root, &data],
        };
        assert_eq!(
            statement(&wanted, Asked::Mean, "db'1", span),
            "SELECT mean(\"used_percent\") FROM \"disk\" WHERE \"host\" = 'db\\'1' AND \
             (\"path\" = '/' OR \"path\" = '/data') AND time >= 600000ms AND time < 1200000ms \
             GROUP BY time(300s), \"path\" fill(none)"
        );
        let tags = BTreeMap::from([("interface".to_owned(), "eth0".to_owned())]);
        let received = rule("net.bytes_recv").target(&tags);
        let wanted = Wanted {
            rule: Arc::clone(&received.rule),
            targets: vec![&received],
        };
        assert_eq!(
            statement(&wanted, Asked::Last, "h", span),
            "SELECT last(\"bytes_recv\") FROM \"net\" WHERE \"host\" = 'h' AND \"interface\" = 'eth0' AND \
             time >= 301000ms AND time < 1201000ms GROUP BY time(300s, 1s), \"interface\" fill(none)"
        );
        assert_eq!(
            statement(&wanted, Asked::Readings(10), "h", span),
            "SELECT \"bytes_recv\" FROM \"net\" WHERE \"host\" = 'h' AND \"interface\" = 'eth0' AND \
             time >= -299000ms AND time < 1201000ms GROUP BY \"interface\" LIMIT 10"
        );
    }

    #[test]
    fn idle_becomes_usage() {
        let target = rule("cpu.usage").target(&BTreeMap::new());
        let result = answer(&json!([{"name": "cpu", "columns": ["time", "mean"],
            "values": [[300, 90.0], [900, 40]]}]));
        let span = Span {
            from_s: 300,
            until_s: 1_200,
        };
        let grid = grid_of(&target, &result, Asked::Mean, span);
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
        let span = Span {
            from_s: 300,
            until_s: 900,
        };
        let grid = grid_of(&target, &result, Asked::Last, span);
        assert_eq!(grid.values, [1.0, 2.0]);
    }
}
