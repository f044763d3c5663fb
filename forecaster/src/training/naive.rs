//! The naive forecasts of a target: fitted, and judged at the origins of the test part.

use std::collections::BTreeMap;

use super::history::History;
use crate::{
    backtest::{ScoreSheet, Scores},
    baseline::{DAY_STEPS, SeasonalNaive, WEEK_STEPS},
    manifest::ModelKind,
    quantile::{HORIZON_STEPS, QuantilePath},
};

const SEASONS: [(ModelKind, usize); 2] = [
    (ModelKind::SeasonalNaiveDay, DAY_STEPS),
    (ModelKind::SeasonalNaiveWeek, WEEK_STEPS),
];

/// Fits each season that the values hold.
pub(super) fn fit(values: &[f32]) -> BTreeMap<ModelKind, SeasonalNaive> {
    SEASONS
        .into_iter()
        .filter_map(|(kind, steps)| Some((kind, SeasonalNaive::fit(values, steps)?)))
        .collect()
}

/// Judges the naive forecasts and, where there is one, the network's answers, at the same origins.
///
/// Every candidate is judged as it would serve: where it cannot answer, the day's naive forecast stands in, and an
/// origin where that cannot answer either counts for none. `network` holds one answer an origin of the test part.
pub(super) fn backtest(
    history: &History,
    network: Option<&[Option<QuantilePath>]>,
) -> BTreeMap<ModelKind, Scores> {
    let Some(split) = history.split else {
        return BTreeMap::new();
    };
    let values = &history.grid.values;
    let naive = fit(&values[..split.training_end]);
    let Some(day) = naive.get(&ModelKind::SeasonalNaiveDay) else {
        return BTreeMap::new();
    };
    let mut sheets: BTreeMap<ModelKind, ScoreSheet> = BTreeMap::new();
    for (place, origin) in split.test_origins().enumerate() {
        let (known, came) = values.split_at(origin);
        let kind = history.target.kind;
        let Some(stand_in) = day.predict(known, HORIZON_STEPS, kind) else {
            continue;
        };
        for (name, naive) in &naive {
            let path = naive.predict(known, HORIZON_STEPS, kind);
            let sheet = sheets.entry(*name).or_default();
            sheet.add(path.as_ref().unwrap_or(&stand_in), came);
        }
        if let Some(paths) = network {
            let path = paths.get(place).and_then(Option::as_ref);
            let sheet = sheets.entry(ModelKind::Lstm).or_default();
            sheet.add(path.unwrap_or(&stand_in), came);
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
