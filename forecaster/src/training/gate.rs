//! The gate: the newly trained model beside the one that serves, at origins that neither has seen.
//!
//! The test part was kept from the new model; the champion, which went on learning up to the end of its own data, has
//! seen part of it. Shared origins are therefore those of the test part that lie a horizon (the embargo) or more behind
//! the end of the champion's data. There each model answers as it serves, all its parts chosen before.
//!
//! Targets that only the new model knows cannot be compared; they speak for it, and those that both know decide whether
//! anything speaks against it. Where there are too few shared origins to tell, the champion stays while it is young.
//!
//! The judgement is the host's, not a target's: one network answers for all targets, a version is what is kept, rolled
//! back and removed, and two networks a host would double what serving takes. Which kind of model answers a target is
//! chosen target by target within a version (`choice`).

use std::{
    collections::BTreeMap,
    fmt::{Debug, Write},
};

use super::{candidates::Candidates, history::History, naive};
use crate::{
    backtest::{ORIGIN_STRIDE_STEPS, ScoreSheet, Scores},
    baseline::SeasonalNaive,
    forecast::{HISTORY_STEPS, PredictError, TargetForecast},
    grid::Grid,
    manifest::{Compared, Judged, Manifest, TargetModel, Verdict},
    model_kind::ModelKind,
    quantile::{HORIZON_STEPS, QuantilePath},
    target::Target,
};

/// The newest origins that are looked at: two days of them.
const ORIGINS_MAX: usize = 24;

/// With fewer origins nothing is said about a target. A night has four or five: a day less the embargo and the horizon, two
/// hours apart.
pub const ORIGINS_MIN: usize = 4;

/// Where too little is said, the champion stays until its data ends so long before the new model's: whoever trains more often
/// than daily would let models serve that nobody has compared, and newer data is worth something in the end.
pub const CHAMPION_AGE_MAX_S: i64 = 86_400;

/// How much worse than the champion's the new model's CRPS may be, as the geometric mean over targets. It is judged as it
/// was before its refresh, without the newest fifth of the history, of which the champion has seen most.
const CRPS_RATIO_MAX: f64 = 1.05;

/// What is no difference: this share of a target's usual change from day to day is added to both errors.
const TOLERANCE: f64 = 0.1;

/// The model that serves at present.
pub trait Incumbent: Send + Sync + Debug {
    /// Its version.
    fn version(&self) -> &str;

    /// What is known about it.
    fn manifest(&self) -> &Manifest;

    /// Forecasts each of `recent`, as it serves.
    fn predict(
        &self,
        recent: &[(Target, Grid)],
        steps: usize,
    ) -> Vec<Result<TargetForecast, PredictError>>;
}

/// Compares target by target.
pub(super) struct Gate<'a> {
    champion: &'a dyn Incumbent,
    /// How much earlier the champion's data ends.
    age_s: i64,
    compared: BTreeMap<String, Compared>,
    /// A target's errors with the tolerance added.
    errors: Vec<Errors>,
    /// Targets that only the new model knows.
    unknown: Vec<String>,
    /// The most shared origins that a target had.
    origins: usize,
}

struct Errors {
    challenger: f64,
    champion: f64,
    seasonal_naive: f64,
}

impl<'a> Gate<'a> {
    /// Begins a comparison with a model whose data ends at `until_s`.
    pub(super) fn new(champion: &'a dyn Incumbent, until_s: i64) -> Self {
        Self {
            champion,
            age_s: until_s - champion.manifest().data_until_s,
            compared: BTreeMap::new(),
            errors: Vec::new(),
            unknown: Vec::new(),
            origins: 0,
        }
    }

    /// Judges both models of a target, the new one by its candidates.
    pub(super) fn judge(
        &mut self,
        history: &History,
        model: &TargetModel,
        candidates: &Candidates,
    ) {
        let known = self.champion.manifest().target(&model.metric);
        if known.is_none_or(|known| known.kind != model.kind) {
            self.unknown.push(model.metric.clone());
            return;
        }
        let Some((shared, first)) = self.shared(history) else {
            return;
        };
        let challenger = candidates.scores(first);
        let (Some(own), Some(day)) = (
            challenger.get(&model.serves),
            challenger.get(&ModelKind::SeasonalNaiveDay),
        ) else {
            return;
        };
        let Some(champions) = self.champion_scores(&shared, day.mae) else {
            return;
        };
        self.origins = self.origins.max(own.n_origins.min(champions.n_origins));
        if own.n_origins.min(champions.n_origins) < ORIGINS_MIN {
            return;
        }
        let tolerance = TOLERANCE * scale_of(model);
        self.errors.push(Errors {
            challenger: own.crps + tolerance,
            champion: champions.crps + tolerance,
            seasonal_naive: day.crps + tolerance,
        });
        let is_part =
            |kind: &ModelKind| *kind != model.serves && *kind != ModelKind::SeasonalNaiveDay;
        let parts = challenger.iter().filter(|(kind, _)| is_part(kind));
        let compared = Compared {
            n_origins: own.n_origins.min(champions.n_origins),
            champion: Judged::from(&champions),
            challenger: Judged::from(own),
            seasonal_naive: Some(Judged::from(day)),
            parts: parts
                .map(|(kind, scores)| (kind.name().to_owned(), Judged::from(scores)))
                .collect(),
        };
        self.compared.insert(model.metric.clone(), compared);
    }

    /// Cuts a history's test part to the shared origins, and names the first of them.
    fn shared<'h>(&self, history: &History<'h>) -> Option<(History<'h>, usize)> {
        let (split, grid) = (history.split?, &history.grid);
        let step_s = i64::from(grid.step_s);
        let first_fair_s = self.champion.manifest().data_until_s + HORIZON_STEPS as i64 * step_s;
        let is_seen = |origin: &usize| grid.time_of(*origin) < first_fair_s;
        let all = split.test_origins().count();
        let seen = split.test_origins().take_while(is_seen).count();
        let skipped = seen.max(all.saturating_sub(ORIGINS_MAX));
        if skipped == all {
            return None;
        }
        let test_start = split.test_start + skipped * ORIGIN_STRIDE_STEPS;
        let shared = History {
            target: history.target,
            grid: grid.clone(),
            split: Some(crate::backtest::Split {
                test_start,
                ..split
            }),
            learnable: history.learnable,
        };
        Some((shared, test_start))
    }

    /// Scores the champion at the origins of a test part, where the candidates are scored too: those at which the day's
    /// naive forecast has something to say.
    fn champion_scores(&self, history: &History, baseline_mae: f64) -> Option<Scores> {
        let split = history.split?;
        let (grid, target) = (&history.grid, history.target);
        let fitted = naive::fit(&grid.values[..split.training_end]);
        let day = fitted.get(&ModelKind::SeasonalNaiveDay)?;
        let mut sheet = ScoreSheet::default();
        for origin in split.test_origins() {
            let (known, came) = grid.values.split_at(origin);
            if day.predict(known, 1, target.kind).is_none() {
                continue;
            }
            let from = origin.saturating_sub(HISTORY_STEPS);
            let recent = Grid {
                start_s: grid.time_of(from),
                step_s: grid.step_s,
                values: known[from..].to_vec(),
            };
            let answer = self
                .champion
                .predict(&[(target.clone(), recent)], HORIZON_STEPS)
                .pop()?
                .ok()?;
            // A forecast begins where its data ends, which lies before the origin where the newest values are missing.
            let late = (grid.time_of(origin) - answer.data_until_s) / i64::from(grid.step_s);
            let late = (late.max(0) as usize).min(HORIZON_STEPS - 1);
            let levels = answer.path.levels();
            let path = QuantilePath::from_fn(HORIZON_STEPS - late, target.kind, |level, step| {
                levels[level][step + late]
            });
            sheet.add(&path, came);
        }
        let mut scores = sheet.scores(&sheet, day.scale())?;
        scores.baseline_mae = baseline_mae;
        scores.skill = (baseline_mae > 0.0).then(|| 1.0 - scores.mae / baseline_mae);
        Some(scores)
    }

    /// Says which of the two serves.
    pub(super) fn verdict(self) -> Verdict {
        let beside = |other: fn(&Errors) -> f64| {
            let errors = self.errors.iter();
            let pairs: Vec<(f64, f64)> = errors.map(|all| (all.challenger, other(all))).collect();
            geometric_mean_ratio(&pairs)
        };
        let ratio = beside(|all| all.champion);
        let (promoted, reason) = match (ratio, beside(|all| all.seasonal_naive)) {
            (Some(ratio), Some(naive)) => self.by_errors(ratio, naive),
            _ => self.by_age(),
        };
        Verdict {
            champion: self.champion.version().to_owned(),
            promoted,
            reason,
            crps_ratio: ratio,
            targets: self.compared,
        }
    }

    /// Judges by the targets that both know: the new model serves, unless the champion is clearly better.
    fn by_errors(&self, ratio: f64, naive: f64) -> (bool, String) {
        let (targets, origins) = (self.compared.len(), self.origins);
        let version = self.champion.version();
        let mut said = format!(
            "CRPS is {ratio:.3} of that of version {version} and {naive:.3} of seasonal naive's, over {targets} targets and \
             up to {origins} origins that neither has seen; up to {CRPS_RATIO_MAX} of version {version}'s the newer model \
             serves"
        );
        if !self.unknown.is_empty() {
            let _ = write!(said, ", which alone knows {}", self.unknown.join(", "));
        }
        (ratio <= CRPS_RATIO_MAX, said)
    }

    /// Judges where no target that both know has enough origins.
    fn by_age(&self) -> (bool, String) {
        let (version, origins) = (self.champion.version(), self.origins);
        if !self.unknown.is_empty() {
            let unknown = self.unknown.join(", ");
            let said = format!(
                "version {version} does not know {unknown}, and nothing speaks against the newer model"
            );
            return (true, said);
        }
        let hours = CHAMPION_AGE_MAX_S / 3_600;
        let is_old = self.age_s >= CHAMPION_AGE_MAX_S;
        let what = if is_old {
            format!("its data is {hours} hours older or more, so the newer model serves")
        } else {
            format!(
                "its data is less than {hours} hours older, so it stays; PUT /api/v1/hosts/{{host}}/champion chooses the \
                 newer model all the same"
            )
        };
        let said = format!(
            "{origins} origins lie a horizon behind the data of version {version}, and {ORIGINS_MIN} are needed to compare; \
             {what}"
        );
        (is_old, said)
    }
}

/// The mean absolute difference from day to day, which is the scale of MASE.
fn scale_of(model: &TargetModel) -> f64 {
    let day = model.naive.get(&ModelKind::SeasonalNaiveDay);
    day.map_or(0.0, SeasonalNaive::scale)
}

/// Returns the geometric mean of ratios; `None` without any. Where both errors are zero, they are equal.
pub(crate) fn geometric_mean_ratio(errors: &[(f64, f64)]) -> Option<f64> {
    /// No ratio of one target decides for a host alone.
    const RATIO_MAX: f64 = 10.0;
    let logs = errors.iter().map(|(one, other)| {
        let ratio = if *other > 0.0 {
            one / other
        } else if *one > 0.0 {
            RATIO_MAX
        } else {
            1.0
        };
        ratio.clamp(1.0 / RATIO_MAX, RATIO_MAX).ln()
    });
    (!errors.is_empty()).then(|| (logs.sum::<f64>() / errors.len() as f64).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_of_ratios_is_geometric_and_no_target_decides_alone() {
        assert_eq!(geometric_mean_ratio(&[]), None);
        let even = geometric_mean_ratio(&[(2.0, 1.0), (1.0, 2.0), (0.0, 0.0)]);
        assert!((even.expect("targets") - 1.0).abs() < 1e-12);
        let one = geometric_mean_ratio(&[(1.0, 0.0), (1.0, 1.0)]).expect("targets");
        assert!((one - 10.0_f64.sqrt()).abs() < 1e-12);
    }
}
