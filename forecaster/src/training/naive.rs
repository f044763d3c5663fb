//! The naive forecasts of a target.

use std::collections::BTreeMap;

use crate::{
    baseline::{DAY_STEPS, SeasonalNaive, WEEK_STEPS},
    model_kind::ModelKind,
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
