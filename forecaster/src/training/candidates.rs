//! The candidates of a target, judged at the origins of the test part.

use std::collections::BTreeMap;

use super::{history::History, naive};
use crate::{
    backtest::{ScoreSheet, Scores},
    forecast::mix,
    manifest::ModelKind,
    quantile::{HORIZON_STEPS, QuantilePath},
};

/// Judges the naive forecasts and, where there is one, the network's answers and the ensemble of both, at the same
/// origins.
///
/// Every candidate is judged as it would serve: where it cannot answer, the day's naive forecast stands in, and an
/// origin where that cannot answer either counts for none. `networks` hold one answer an origin of the test part.
pub(super) fn backtest(
    history: &History,
    networks: &BTreeMap<ModelKind, Vec<Option<QuantilePath>>>,
    weights: &BTreeMap<ModelKind, f64>,
) -> BTreeMap<ModelKind, Scores> {
    let Some(split) = history.split else {
        return BTreeMap::new();
    };
    let values = &history.grid.values;
    let naive = naive::fit(&values[..split.training_end]);
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
        let mut paths: BTreeMap<ModelKind, QuantilePath> = naive
            .iter()
            .filter_map(|(name, naive)| Some((*name, naive.predict(known, HORIZON_STEPS, kind)?)))
            .collect();
        let of_networks = networks
            .iter()
            .filter_map(|(name, answers)| Some((*name, answers.get(place)?.clone()?)));
        paths.extend(of_networks);
        if paths.contains_key(&ModelKind::Lstm) {
            paths.extend(mix(weights, &paths, kind).map(|mix| (ModelKind::Ensemble, mix)));
        }
        let asked = naive.keys().copied();
        let asked = asked.chain(networks.keys().copied());
        for name in asked.chain((!weights.is_empty()).then_some(ModelKind::Ensemble)) {
            let path = paths.get(&name).unwrap_or(&stand_in);
            sheets.entry(name).or_default().add(path, came);
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
