//! Samples by host and series, and the grids that they make.

use std::{collections::BTreeMap, sync::Arc};

use super::{CorpusError, CorpusHost};
use crate::{
    grid::{STEP_S, Sample},
    history::{self, Span},
    target::{Kind, Target, TargetRule},
};

/// The longest series: ten years.
const DAYS_MAX: i64 = 3_660;

/// A counter falls at its resets alone: of so many changes, once at most.
const CHANGES_PER_RESET: usize = 100;

/// Samples as they are read.
#[derive(Debug, Default)]
pub(super) struct Gathered(BTreeMap<String, BTreeMap<String, Series>>);

#[derive(Debug)]
struct Series {
    target: Target,
    /// Whether a rule knows the target; of others it is found out whether they count.
    is_known: bool,
    samples: Vec<Sample>,
}

impl Gathered {
    /// Adds a value of a target that a rule knows.
    pub(super) fn add(&mut self, host: String, target: Target, sample: Sample) {
        let metric = target.metric.clone();
        self.series(host, metric, |_| (target, true))
            .samples
            .push(sample);
    }

    /// Adds a value of a metric that has nothing but a name.
    pub(super) fn add_named(&mut self, host: String, metric: String, sample: Sample) {
        let named = |metric: &str| (Target::named(metric), false);
        self.series(host, metric, named).samples.push(sample);
    }

    fn series(
        &mut self,
        host: String,
        metric: String,
        target: impl FnOnce(&str) -> (Target, bool),
    ) -> &mut Series {
        let of_host = self.0.entry(host).or_default();
        of_host.entry(metric).or_insert_with_key(|metric| {
            let (target, is_known) = target(metric);
            Series {
                target,
                is_known,
                samples: Vec::new(),
            }
        })
    }

    /// Puts everything on grids.
    pub(super) fn hosts(self) -> Result<Vec<CorpusHost>, CorpusError> {
        let hosts = self.0.into_iter().map(|(host, series)| {
            let targets = series
                .into_iter()
                .map(|(metric, series)| series.on_grid(&host, &metric))
                .collect::<Result<_, _>>()?;
            Ok(CorpusHost { host, targets })
        });
        hosts.collect()
    }
}

impl Series {
    fn on_grid(
        mut self,
        host: &str,
        metric: &str,
    ) -> Result<(Target, crate::grid::Grid), CorpusError> {
        self.samples.sort_by_key(|sample| sample.time_s);
        if !self.is_known {
            self.target = if self.counts() {
                let rule = TargetRule {
                    counter: true,
                    kind: Kind::Rate,
                    ..(*self.target.rule).clone()
                };
                Arc::new(rule).target(&BTreeMap::new())
            } else {
                let values = self.samples.iter().map(|sample| sample.value);
                self.target.held_to(values)
            };
        }
        let from_s = self.samples.first().map_or(0, |sample| sample.time_s);
        let until_s = self.samples.last().map_or(from_s, |last| last.time_s + 1);
        let days = until_s.saturating_sub(from_s) / 86_400;
        if days > DAYS_MAX {
            return Err(CorpusError::SpanTooLong {
                host: host.to_owned(),
                metric: metric.to_owned(),
                days,
                most: DAYS_MAX,
            });
        }
        // The first bin is a whole one, like those behind it.
        let step = i64::from(STEP_S);
        let span = Span {
            from_s: from_s.div_euclid(step) * step,
            until_s,
        };
        let grid = history::on_grid(&self.target.rule, &self.samples, span);
        Ok((self.target, grid))
    }

    /// Says whether the values count something: whole numbers that rise, and all but never fall.
    fn counts(&self) -> bool {
        let whole = self.samples.iter().all(|s| s.value.fract() == 0.0);
        let pairs = || self.samples.windows(2);
        let rises = pairs().filter(|pair| pair[1].value > pair[0].value).count();
        let falls = pairs().filter(|pair| pair[1].value < pair[0].value).count();
        whole && rises >= CHANGES_PER_RESET && falls * CHANGES_PER_RESET <= rises
    }
}
