//! The candidates of a target: what each answers at origins that none of them was fitted on, and how good that was.

use std::collections::BTreeMap;

use super::{Recipe, history::History, learned::Learned, naive};
use crate::{
    backtest::{ORIGIN_STRIDE_STEPS, ScoreSheet, Scores, Split},
    baseline::{Rhythm, SeasonalNaive},
    ensemble::{self, Ensemble, RECENT_STEPS, Sitting, Statistical, recent_of},
    forecast::HISTORY_STEPS,
    model::FitError,
    model_kind::ModelKind,
    quantile::HORIZON_STEPS,
    statistical::Past,
};

/// The candidates of a target, fitted on the training part, with their answers behind it.
pub(super) struct Candidates<'a> {
    history: &'a History<'a>,
    split: Split,
    naive: BTreeMap<ModelKind, SeasonalNaive>,
    /// In the validation part.
    validation: Vec<Sitting>,
    /// In the test part.
    test: Vec<Sitting>,
}

impl<'a> Candidates<'a> {
    /// Fits the simple forecasts and lets all candidates answer; `learned` are the networks, with the history's place
    /// in them. `None` when the history is too short for a backtest.
    pub(super) fn of(
        history: &'a History<'a>,
        learned: Option<(&Learned, usize)>,
        recipe: &Recipe,
    ) -> Result<Option<Self>, FitError> {
        let Some(split) = history.split else {
            return Ok(None);
        };
        let naive = naive::fit(&history.grid.values[..split.training_end]);
        let statistical = Statistical::fit(
            Past::of(&history.grid, split.training_end),
            recipe.statistical(),
        );
        let sittings = |first, end| {
            let origins = origins(first, end);
            let mut sittings: Vec<Sitting> = origins
                .clone()
                .map(|origin| Sitting {
                    origin,
                    paths: ensemble::answers(
                        &naive,
                        &statistical,
                        Past::of(&history.grid, origin).newest_steps(HISTORY_STEPS),
                        HORIZON_STEPS,
                        history.target.kind,
                    ),
                    came: history.grid.values[origin..end.min(origin + HORIZON_STEPS)].to_vec(),
                })
                .collect();
            if let Some((learned, place)) = learned {
                for kind in learned.kinds() {
                    let paths = learned.answers(kind, place, origins.clone())?;
                    for (sitting, path) in sittings.iter_mut().zip(paths.into_iter().flatten()) {
                        sitting.paths.extend(path.map(|path| (kind, path)));
                    }
                }
            }
            Ok::<_, FitError>(sittings)
        };
        let validation = sittings(split.validation_start, split.validation_end)?;
        let test = sittings(split.test_start, split.end)?;
        Ok(Some(Self {
            history,
            split,
            naive,
            validation,
            test,
        }))
    }

    /// Judges every candidate at the same origins of the test part, from step `first` on, the ensemble with the weights and the widening
    /// that the validation part gave it.
    ///
    /// Every candidate is judged as it would serve: where it cannot answer, the day's naive forecast stands in, and
    /// an origin where that cannot answer either counts for none.
    pub(super) fn scores(&self, first: usize) -> BTreeMap<ModelKind, Scores> {
        let kind = self.history.target.kind;
        let Some(day) = self.naive.get(&ModelKind::SeasonalNaiveDay) else {
            return BTreeMap::new();
        };
        let known = &self.history.grid.values[..self.split.test_start];
        let ensemble = Ensemble::fit(&self.validation, Rhythm::of(known), kind);
        let judged: Vec<&Sitting> = self.judged(first).collect();
        let mut names: Vec<ModelKind> = judged
            .iter()
            .flat_map(|sitting| sitting.paths.keys().copied())
            .collect();
        names.sort_unstable();
        names.dedup();
        let mut sheets: BTreeMap<ModelKind, ScoreSheet> = BTreeMap::new();
        for sitting in judged {
            let Some(stand_in) = sitting.paths.get(&ModelKind::SeasonalNaiveDay) else {
                continue;
            };
            for name in &names {
                let path = sitting.paths.get(name).unwrap_or(stand_in);
                sheets.entry(*name).or_default().add(path, &sitting.came);
            }
            if let Some(ensemble) = &ensemble {
                let recent = recent_of(&self.test, sitting.origin);
                let path = ensemble.answer(&sitting.paths, recent, kind);
                let sheet = sheets.entry(ModelKind::Ensemble).or_default();
                sheet.add(path.as_ref().unwrap_or(stand_in), &sitting.came);
            }
        }
        let Some(baseline) = sheets.get(&ModelKind::SeasonalNaiveDay) else {
            return BTreeMap::new();
        };
        sheets
            .iter()
            .filter_map(|(kind, sheet)| Some((*kind, sheet.scores(baseline, day.scale())?)))
            .collect()
    }

    /// Fits the ensemble as it will serve, now that the scores are taken: on all that was kept back.
    pub(super) fn ensemble(&self) -> Option<Ensemble> {
        let sittings: Vec<Sitting> = self.validation.iter().chain(&self.test).cloned().collect();
        let rhythm = Rhythm::of(&self.history.grid.values);
        let kind = self.history.target.kind;
        let ensemble = Ensemble::fit(&sittings, rhythm, kind)?;
        Some(ensemble.joined(&sittings, kind))
    }

    /// The first origin of the test part.
    pub(super) fn test_start(&self) -> usize {
        self.split.test_start
    }

    /// The sittings that are scored: those from step `first` on with a whole horizon behind them.
    fn judged(&self, first: usize) -> impl Iterator<Item = &Sitting> {
        let first = first.max(self.split.test_start);
        self.test
            .iter()
            .filter(move |sitting| sitting.origin >= first && sitting.came.len() == HORIZON_STEPS)
    }
}

/// The origins of a part, and those before it that its first answers learn from; nothing was fitted on what lies
/// between the parts.
fn origins(first: usize, end: usize) -> impl Iterator<Item = usize> + Clone {
    (first - RECENT_STEPS..end).step_by(ORIGIN_STRIDE_STEPS)
}
