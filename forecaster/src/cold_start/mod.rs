//! Forecasts for a host that has not been trained yet, and for a target that its host's model has never heard of: the
//! base's, which learned from other hosts, from the first two hours on.
//!
//! What the target has not lived through yet, it borrows from hosts with the same profile (`borrowed`), which are chosen
//! by what they send (`peers`).

mod borrowed;
mod peers;

use std::collections::BTreeMap;

pub use self::peers::choose;
use crate::{
    forecast::{self, PredictError, TargetForecast},
    grid::Grid,
    host_model::HostModel,
    manifest::{Manifest, Refused, TargetModel},
    model::{Base, NEWCOMER_STEPS_MIN, SeriesName},
    target::Target,
};

/// Why the answer is not that of the host's own network.
const REASON: &str = "the target has not been trained yet; that is done with its host, as soon as its history allows";

/// A host that may lend its past, and its newest values.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The host.
    pub host: String,
    /// Its targets with their histories.
    pub recent: Vec<(Target, Grid)>,
}

/// Forecasts each of `recent`, in its order, without a model of the host's own.
#[must_use]
pub fn predict(
    host: &str,
    base: &Base,
    recent: &[(Target, Grid)],
    peers: &[Peer],
    steps: usize,
) -> Vec<Result<TargetForecast, PredictError>> {
    let mut lenders = BTreeMap::new();
    let known: Vec<(Target, Grid)> = recent
        .iter()
        .map(|(target, grid)| {
            let borrowed = (grid.observed() >= NEWCOMER_STEPS_MIN)
                .then(|| borrowed::past(target, grid, peers))
                .flatten();
            let grid = borrowed.map_or_else(
                || grid.clone(),
                |borrowed| {
                    lenders.insert(target.metric.clone(), borrowed.lenders);
                    borrowed.grid
                },
            );
            (target.clone(), grid)
        })
        .collect();
    forecast::predict(&provisional(host, base, &known, &lenders), &known, steps)
}

/// Answers for targets that a host's own model has never heard of: series that appeared since it was trained.
pub fn join(
    host: &str,
    base: &Base,
    recent: &[(Target, Grid)],
    peers: &[Peer],
    steps: usize,
    answers: &mut [Result<TargetForecast, PredictError>],
) {
    let is_new = |answer: &Result<TargetForecast, PredictError>| {
        matches!(answer, Err(PredictError::Unknown { reason: None, .. }))
    };
    let (places, new): (Vec<usize>, Vec<(Target, Grid)>) = recent
        .iter()
        .enumerate()
        .zip(answers.iter())
        .filter(|(_, answer)| is_new(answer))
        .map(|((place, recent), _)| (place, recent.clone()))
        .unzip();
    if !new.is_empty() {
        for (place, answer) in places
            .into_iter()
            .zip(predict(host, base, &new, peers, steps))
        {
            answers[place] = answer;
        }
    }
}

/// Makes a model of the base's for a host, whose targets have the rows of those that lent them their past.
fn provisional(
    host: &str,
    base: &Base,
    known: &[(Target, Grid)],
    lenders: &BTreeMap<String, Vec<String>>,
) -> HostModel {
    let mut targets = Vec::new();
    let mut refused = Vec::new();
    let mut rows: Vec<SeriesName> = Vec::new();
    for (target, grid) in known {
        let observed = grid.observed();
        if observed < NEWCOMER_STEPS_MIN {
            refused.push(Refused {
                metric: target.metric.clone(),
                reason: format!(
                    "it has {observed} values of {} s; a first forecast needs {NEWCOMER_STEPS_MIN}, which is two hours",
                    grid.step_s
                ),
            });
            continue;
        }
        let lent_by = lenders.get(&target.metric);
        let reason = lent_by.map_or_else(|| REASON.to_owned(), |hosts| borrowed_from(hosts));
        let mut model = TargetModel::of_newcomer(target, &grid.trimmed().values, &reason);
        if let (Some(series), Some(nearest)) = (&mut model.series, lent_by.and_then(|h| h.first()))
        {
            rows.push((nearest.clone(), target.metric.clone()));
            series.index = rows.len();
        }
        targets.push(model);
    }
    let span = known
        .first()
        .map(|(_, grid)| (grid.start_s, grid.end_s(), grid.step_s));
    let (data_from_s, data_until_s, step_s) = span.unwrap_or((0, 0, crate::grid::STEP_S));
    let manifest = Manifest {
        trained_at_s: data_until_s,
        data_from_s,
        data_until_s,
        step_s,
        targets,
        refused,
        ..Manifest::empty(host)
    };
    HostModel::of_newcomer(manifest, base, &rows)
}

fn borrowed_from(hosts: &[String]) -> String {
    format!(
        "{REASON}; what lies before its first value is borrowed from {}, where this target looks alike",
        hosts.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{config::default_rules, grid::STEP_S, model_kind::ModelKind};

    fn recent(steps: usize, value: impl Fn(usize) -> f32) -> Vec<(Target, Grid)> {
        let target = default_rules()[0].target.target(&BTreeMap::new());
        let grid = Grid {
            start_s: 0,
            step_s: STEP_S,
            values: (0..steps).map(value).collect(),
        };
        vec![(target, grid)]
    }

    fn forecast(recent: &[(Target, Grid)]) -> Result<TargetForecast, PredictError> {
        let base = Base::shipped().expect("a base");
        predict("h", &base, recent, &[], 12).remove(0)
    }

    #[test]
    fn two_hours_make_a_forecast_that_goes_on_where_they_end() {
        let forecast = forecast(&recent(24, |step| 30.0 + (step % 3) as f32)).expect("a forecast");
        assert_eq!(forecast.model, ModelKind::Base);
        assert!(forecast.fallback_reason.is_some());
        // The values seen lie between 30 and 32.
        for value in forecast.path.median() {
            assert!((28.0..34.0).contains(value), "{value}");
        }
        let widths = forecast.path.levels();
        assert!(widths[10][11] > widths[0][11]);
    }

    #[test]
    fn less_is_refused_with_what_is_needed() {
        let error = forecast(&recent(23, |step| step as f32)).expect_err("too short");
        let error = error.to_string();
        assert!(
            error.contains("23 values") && error.contains("24"),
            "{error}"
        );
    }

    #[test]
    fn what_never_changed_goes_on() {
        let forecast = forecast(&recent(40, |_| 7.0)).expect("a forecast");
        assert_eq!(forecast.model, ModelKind::Persistence);
        assert!(
            forecast
                .path
                .median()
                .iter()
                .all(|value| (value - 7.0).abs() < 1e-9)
        );
    }

    const DAY: usize = 288;

    /// A host that idles about `level` and is at work from eight to sixteen, with noise of its own.
    fn office(level: f32, seed: u32, steps: usize) -> impl Fn(usize) -> f32 {
        let noise = noise(seed, steps);
        move |step| {
            let hour = (step % DAY) as f32 / 12.0;
            let work = if (8.0..16.0).contains(&hour) {
                25.0
            } else {
                0.0
            };
            level + work + noise[step]
        }
    }

    /// A host that is even but for a job at night.
    fn nightly(level: f32, seed: u32, steps: usize) -> impl Fn(usize) -> f32 {
        let noise = noise(seed, steps);
        move |step| {
            let hour = (step % DAY) as f32 / 12.0;
            let job = if (1.0..3.0).contains(&hour) {
                40.0
            } else {
                0.0
            };
            level + job + noise[step]
        }
    }

    fn noise(seed: u32, steps: usize) -> Vec<f32> {
        let mut state = seed;
        let mut draw = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        (0..steps).map(|_| 3.0 * (draw() + draw())).collect()
    }

    fn peer(host: &str, value: impl Fn(usize) -> f32, until: usize) -> Peer {
        Peer {
            host: host.to_owned(),
            recent: recent(until, value),
        }
    }

    /// Eight days of four peers up to an hour of the ninth day, and what a newcomer of the last three hours is told.
    fn newcomer(hour: usize, own: &dyn Fn(usize) -> f32, with_peers: bool) -> TargetForecast {
        let until = 8 * DAY + hour * 12;
        let peers = [
            peer("office-1", office(20.0, 1, until), until),
            peer("office-2", office(32.0, 2, until), until),
            peer("night-1", nightly(30.0, 3, until), until),
            peer("night-2", nightly(45.0, 4, until), until),
        ];
        let mut own = recent(until, own);
        own[0].1.values[..until - 36].fill(f32::NAN);
        let base = Base::shipped().expect("a base");
        let peers = if with_peers { &peers[..] } else { &[] };
        let mut answers = predict("new", &base, &own, peers, 96);
        answers.remove(0).expect("a forecast")
    }

    /// The mean error of the median over eight hours.
    fn error(forecast: &TargetForecast, came: &dyn Fn(usize) -> f32) -> f64 {
        let from = forecast.timestamps_s[0] / i64::from(STEP_S);
        let errors = forecast.path.median().iter().enumerate();
        let errors =
            errors.map(|(step, value)| (value - f64::from(came(from as usize + step))).abs());
        errors.sum::<f64>() / 96.0
    }

    #[test]
    fn a_past_that_is_borrowed_from_hosts_of_the_same_profile_lowers_the_error() {
        let steps = 10 * DAY;
        let (office, nightly) = (office(26.0, 7, steps), nightly(38.0, 8, steps));
        // Its day began two hours ago, or ends in two; the night's job has just ended.
        let cases = [
            (10, &office as &dyn Fn(usize) -> f32, "office"),
            (14, &office, "office"),
            (3, &nightly, "night"),
        ];
        for (hour, own, profile) in cases {
            let (alone, lent) = (newcomer(hour, own, false), newcomer(hour, own, true));
            let reason = lent.fallback_reason.clone().unwrap_or_default();
            assert!(
                reason.contains(&format!("borrowed from {profile}-")),
                "{hour}: {reason}"
            );
            assert_eq!(lent.model, ModelKind::Base);
            let (alone, lent) = (error(&alone, own), error(&lent, own));
            assert!(lent < 0.7 * alone, "at {hour}: {lent} against {alone}");
        }
    }

    #[test]
    fn a_host_like_no_other_borrows_nothing() {
        let own = |step: usize| if step % 12 < 6 { 5.0 } else { 95.0 };
        let (alone, among) = (newcomer(12, &own, false), newcomer(12, &own, true));
        assert_eq!(alone, among);
    }

    #[test]
    fn hosts_that_send_the_same_are_asked_first() {
        let manifest = |host: &str, metrics: &[&str]| {
            let target = |metric: &&str| {
                let named = Target::named(metric);
                TargetModel::of_newcomer(&named, &[1.0, 2.0, 3.0], "none")
            };
            Manifest {
                targets: metrics.iter().map(target).collect(),
                ..Manifest::empty(host)
            }
        };
        let trained = [
            manifest("a", &["cpu.usage", "x", "y"]),
            manifest("b", &["cpu.usage", "mem.used_percent"]),
            manifest("c", &["other"]),
            manifest("d", &["cpu.usage"]),
        ];
        let own = ["cpu.usage", "mem.used_percent"].map(Target::named);
        assert_eq!(choose(&own, trained.iter()), ["b", "d", "a"]);
    }
}
