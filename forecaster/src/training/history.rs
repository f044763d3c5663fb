//! Judging histories: what can be forecast at all, what the network can learn from, and how it is split.

use crate::{
    backtest::Split,
    baseline::DAY_STEPS,
    grid::{COUNTER_GAP_MAX_S, Grid},
    model::CONTEXT_STEPS,
    quantile::HORIZON_STEPS,
    target::Target,
};

/// The steps without which a target is refused: the day that seasonal naive repeats, and a horizon to judge it by.
pub const HISTORY_STEPS_MIN: usize = DAY_STEPS + HORIZON_STEPS;

/// The steps of training part without which the network does not learn a target: a context, a horizon, and a
/// day of origins.
pub const NETWORK_STEPS_MIN: usize = CONTEXT_STEPS + HORIZON_STEPS + DAY_STEPS;

/// A target that was silent for this long before its host's newest value has vanished.
const SILENCE_STEPS_MAX: i64 = DAY_STEPS as i64;

/// A target's history, trimmed, and how it is split.
#[derive(Debug)]
pub(super) struct History<'a> {
    /// The target.
    pub(super) target: &'a Target,
    /// Its values, from the first observed to the last.
    pub(super) grid: Grid,
    /// The parts; `None` when the history is too short for a backtest.
    pub(super) split: Option<Split>,
    /// Whether the network learns it.
    pub(super) learnable: bool,
}

impl<'a> History<'a> {
    /// Judges a target's grid within its host's span.
    ///
    /// The parts are the host's, so that no test part of one target lies in another's training part. A target that
    /// is too young for them is split by its own span, and left to the naive forecasts.
    pub(super) fn new(
        target: &'a Target,
        grid: Grid,
        from_s: i64,
        until_s: i64,
    ) -> Result<Self, String> {
        judge(target, &grid, until_s)?;
        let step_s = i64::from(grid.step_s);
        let missed = ((grid.start_s - from_s) / step_s) as usize;
        let host_split = Split::of(((until_s - from_s) / step_s) as usize)
            .and_then(|split| split.of_late(missed, grid.values.len()));
        let learnable = host_split.is_some_and(|split| {
            split.training_end >= NETWORK_STEPS_MIN && differs(&grid.values[..split.training_end])
        });
        let split = host_split
            .filter(|split| split.training_end > DAY_STEPS)
            .or_else(|| Split::of(grid.values.len()));
        Ok(Self {
            target,
            grid,
            split,
            learnable,
        })
    }

    /// Returns whether any two values differ.
    pub(super) fn changes(&self) -> bool {
        differs(&self.grid.values)
    }
}

fn judge(target: &Target, grid: &Grid, until_s: i64) -> Result<(), String> {
    let observed = grid.observed();
    if observed == 0 && target.rule.counter {
        return Err(format!(
            "it has no rate: that takes two readings of the counter within {} minutes; check that the series is still \
             written, and have its agent read it every {} minutes or more often",
            COUNTER_GAP_MAX_S / 60,
            grid.step_s / 60
        ));
    }
    if observed == 0 {
        return Err("it has no value at all; check that the series is still written".to_owned());
    }
    if observed < HISTORY_STEPS_MIN {
        return Err(format!(
            "it has {observed} values of {} s; at least {HISTORY_STEPS_MIN} are needed",
            grid.step_s
        ));
    }
    let silent = (until_s - grid.end_s()) / i64::from(grid.step_s);
    if silent > SILENCE_STEPS_MAX {
        return Err(format!(
            "it has been silent for the host's last {silent} steps; at most {SILENCE_STEPS_MAX} are continued"
        ));
    }
    Ok(())
}

fn differs(values: &[f32]) -> bool {
    let mut observed = values.iter().filter(|value| !value.is_nan());
    let first = observed.next();
    observed.any(|value| Some(value) != first)
}
