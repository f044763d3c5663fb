//! The newest history of hosts, kept while they are asked about: a forecast is computed for each request, and reads only
//! what may have changed since the last one.
//!
//! Of a host that is kept, the last hour is read again each time, so that points which came a little late are seen at once.
//! What is later than that, or deleted, is seen when the whole of it is read again, once an hour: by whoever goes round the
//! hosts, so that a request waits for it only where nobody does.

use std::sync::Arc;

use hashlink::LruCache;
use parking_lot::Mutex;

use crate::{
    forecast::HISTORY_STEPS,
    gateway::{Gateway, GatewayError},
    grid::{COUNTER_GAP_MAX_S, Grid, STEP_S},
    history::{self, RareCounters, Span},
    target::Target,
};

/// The steps that are read again: an hour.
const AGAIN_STEPS: usize = 12;

/// A rate may reach back to a reading this long before its step, so that reading begins there.
const BEFORE_STEPS: usize = (COUNTER_GAP_MAX_S / STEP_S as i64) as usize;

/// The time after which a round reads the whole history again.
pub const WHOLE_AFTER_S: i64 = 3_600;

/// The time after which a request does.
pub const WHOLE_AT_LATEST_S: i64 = 2 * WHOLE_AFTER_S;

/// Reads the newest history.
pub struct Recent {
    gateway: Arc<Gateway>,
    held: Mutex<LruCache<String, Arc<Held>>>,
}

/// What was read of a host.
struct Held {
    span: Span,
    whole_at_s: i64,
    /// As they were when the whole was read.
    rare: RareCounters,
    grids: Vec<(Target, Grid)>,
}

impl Recent {
    /// Makes a reader that keeps the history of so many hosts at most.
    #[must_use]
    pub fn new(gateway: Arc<Gateway>, most: usize) -> Self {
        Self {
            gateway,
            held: Mutex::new(LruCache::new(most)),
        }
    }

    /// Reads the last [`HISTORY_STEPS`] steps of a host's targets, in the targets' order; all of them when that was last
    /// done `whole_after_s` ago.
    ///
    /// # Errors
    ///
    /// When the gateway is away or refuses.
    pub async fn read(
        &self,
        host: &str,
        targets: &[Target],
        now_s: i64,
        whole_after_s: i64,
    ) -> Result<Vec<(Target, Grid)>, GatewayError> {
        let span = Span::before(now_s, HISTORY_STEPS);
        let held = self.held.lock().get(host).cloned();
        let useful =
            held.filter(|held| held.reaches(targets, span) && held.is_young(now_s, whole_after_s));
        let read = if let Some(held) = useful {
            let steps = (AGAIN_STEPS + BEFORE_STEPS) as i64;
            let again = Span {
                from_s: span.until_s - steps * i64::from(STEP_S),
                ..span
            };
            let rare = held.rare.clone();
            let newest = history::read_by(&self.gateway, host, targets, again, &rare).await?;
            Held {
                span,
                whole_at_s: held.whole_at_s,
                rare,
                grids: held.carried_on(newest, span),
            }
        } else {
            let rare = history::rare_counters(&self.gateway, host, targets, span).await?;
            Held {
                span,
                whole_at_s: now_s,
                grids: history::read_by(&self.gateway, host, targets, span, &rare).await?,
                rare,
            }
        };
        let grids = read.grids.clone();
        self.hold(host, read);
        Ok(grids)
    }

    /// Drops what was read of a host.
    pub fn forget(&self, host: &str) {
        self.held.lock().remove(host);
    }

    /// Keeps what was read, unless more targets of the host are kept already.
    fn hold(&self, host: &str, read: Held) {
        let mut held = self.held.lock();
        let has_more =
            |held: &Arc<Held>| held.grids.len() > read.grids.len() && held.reaches(&[], read.span);
        if !held.peek(host).is_some_and(has_more) {
            held.insert(host.to_owned(), Arc::new(read));
        }
    }
}

impl Held {
    /// Says whether only the newest steps of these targets are to be read.
    fn reaches(&self, targets: &[Target], span: Span) -> bool {
        let behind_s = span.until_s - self.span.until_s;
        (0..=AGAIN_STEPS as i64 * i64::from(STEP_S)).contains(&behind_s)
            && targets.iter().all(|target| self.of(target).is_some())
    }

    /// Says whether the whole was read less than so long ago.
    fn is_young(&self, now_s: i64, whole_after_s: i64) -> bool {
        (0..whole_after_s).contains(&(now_s - self.whole_at_s))
    }

    fn of(&self, target: &Target) -> Option<&Grid> {
        let is_same = |(known, _): &&(Target, Grid)| {
            Arc::ptr_eq(&known.rule, &target.rule) && known.metric == target.metric
        };
        self.grids.iter().find(is_same).map(|(_, grid)| grid)
    }

    /// Moves the history on to a later span, whose last steps are those that were just read.
    fn carried_on(&self, newest: Vec<(Target, Grid)>, span: Span) -> Vec<(Target, Grid)> {
        let moved = newest.into_iter().map(|(target, newest)| {
            let mut grid = Grid::missing(span.from_s, span.until_s, STEP_S);
            if let Some(before) = self.of(&target) {
                let past = ((span.from_s - before.start_s) / i64::from(STEP_S)) as usize;
                let kept = before.values.get(past..).unwrap_or_default();
                let steps = kept.len().min(grid.values.len());
                grid.values[..steps].copy_from_slice(&kept[..steps]);
            }
            let again = AGAIN_STEPS.min(newest.values.len());
            let (from, read) = (grid.values.len() - again, newest.values.len() - again);
            grid.values[from..].copy_from_slice(&newest.values[read..]);
            (target, grid)
        });
        moved.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::default_rules;

    const STEP: i64 = STEP_S as i64;

    fn target() -> Target {
        default_rules()[1].target.target(&BTreeMap::new())
    }

    /// Values that are their own times, in steps.
    fn grid(span: Span) -> Grid {
        let steps = (span.until_s - span.from_s) / STEP;
        Grid {
            start_s: span.from_s,
            step_s: STEP_S,
            values: (0..steps)
                .map(|step| (span.from_s / STEP + step) as f32)
                .collect(),
        }
    }

    fn held(target: &Target, now_s: i64) -> Held {
        let span = Span::before(now_s, HISTORY_STEPS);
        Held {
            span,
            whole_at_s: now_s,
            rare: RareCounters::new(),
            grids: vec![(target.clone(), grid(span))],
        }
    }

    #[test]
    fn a_history_is_carried_on_by_its_newest_steps() {
        let (target, now_s) = (target(), 10_000 * STEP);
        let held = held(&target, now_s);
        let later = Span::before(now_s + 3 * STEP, HISTORY_STEPS);
        let again = Span {
            from_s: later.until_s - (AGAIN_STEPS + BEFORE_STEPS) as i64 * STEP,
            ..later
        };
        let mut newest = grid(again);
        // A point that came late, before what is read again, and one within it that is gone.
        newest.values[0] = -1.0;
        newest.values[BEFORE_STEPS] = f32::NAN;
        let moved = held.carried_on(vec![(target, newest)], later);
        let mut expected = grid(later);
        let gone = expected.values.len() - AGAIN_STEPS;
        assert!(moved[0].1.values[gone].is_nan());
        expected.values[gone] = f32::NAN;
        let bits = |grid: &Grid| {
            grid.values
                .iter()
                .map(|value| value.to_bits())
                .collect::<Vec<_>>()
        };
        assert_eq!(bits(&moved[0].1), bits(&expected));
    }

    #[test]
    fn what_is_old_or_of_other_targets_is_read_whole() {
        let (target, now_s) = (target(), 10_000 * STEP);
        let held = held(&target, now_s);
        let reaches = |targets: &[Target], now_s: i64| {
            held.reaches(targets, Span::before(now_s, HISTORY_STEPS))
        };
        let known = [target.clone()];
        assert!(reaches(&known, now_s) && reaches(&known, now_s + 12 * STEP));
        assert!(!reaches(&known, now_s + 13 * STEP), "an hour is over");
        assert!(!reaches(&known, now_s - STEP), "the clock went back");
        let hours = |hours: i64| now_s + hours * WHOLE_AFTER_S;
        assert!(held.is_young(hours(1) - 1, WHOLE_AFTER_S));
        assert!(!held.is_young(hours(1), WHOLE_AFTER_S), "a round is due");
        assert!(held.is_young(hours(1), WHOLE_AT_LATEST_S));
        assert!(!held.is_young(hours(2), WHOLE_AT_LATEST_S));
        let other = default_rules()[0].target.target(&BTreeMap::new());
        assert!(!reaches(&[target, other], now_s));
    }
}
