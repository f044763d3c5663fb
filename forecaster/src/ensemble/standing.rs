//! What an answer learns from the one before it: how right each member was lately, and how well the intervals held.
//!
//! It follows from the past alone, so that it holds for every answer until a value of that past comes or changes. A
//! host's answers are asked for many times in between, and the members need to be asked about the past only once.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, Hasher},
};

use foldhash::fast::FixedState;
use parking_lot::Mutex;

use crate::{grid::Grid, model_kind::ModelKind};

/// How right the members were lately.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// The mean CRPS of each member; empty where nothing came.
    pub(super) errors: BTreeMap<ModelKind, f64>,
    /// By what the intervals are drawn for what fell outside them.
    pub(super) drift: f64,
    /// The value that the series has stood at all the while.
    pub(super) still: Option<f64>,
}

impl Default for Standing {
    /// Nothing is known: all weights and intervals stay as they were fitted.
    fn default() -> Self {
        Self {
            errors: BTreeMap::new(),
            drift: 1.0,
            still: None,
        }
    }
}

/// A past, told apart from any other by a hash of its times and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PastKey(u64);

impl PastKey {
    /// Hashes a history.
    #[must_use]
    pub fn of(history: &Grid) -> Self {
        let mut hasher = FixedState::default().build_hasher();
        hasher.write_i64(history.start_s);
        for value in &history.values {
            hasher.write_u32(value.to_bits());
        }
        Self(hasher.finish())
    }
}

/// The standings of a model's targets, each with the past that it follows from.
#[derive(Debug, Default)]
pub struct Standings(Mutex<BTreeMap<String, (PastKey, Standing)>>);

impl Standings {
    /// Returns what follows from a target's past; `None` when that is not known.
    #[must_use]
    pub fn of(&self, metric: &str, past: PastKey) -> Option<Standing> {
        let known = self.0.lock();
        let (key, standing) = known.get(metric)?;
        (*key == past).then(|| standing.clone())
    }

    /// Keeps what follows from a target's past, in the place of what was known before.
    pub fn keep(&self, metric: &str, past: PastKey, standing: Standing) {
        self.0.lock().insert(metric.to_owned(), (past, standing));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(values: &[f32]) -> Grid {
        Grid {
            start_s: 300,
            step_s: 300,
            values: values.to_vec(),
        }
    }

    #[test]
    fn a_standing_holds_until_a_value_of_its_past_changes() {
        let standings = Standings::default();
        let standing = Standing {
            drift: 1.5,
            ..Standing::default()
        };
        let past = PastKey::of(&history(&[1.0, f32::NAN, 3.0]));
        standings.keep("cpu", past, standing.clone());
        assert_eq!(standings.of("cpu", past), Some(standing));
        assert_eq!(standings.of("mem", past), None);
        let late = PastKey::of(&history(&[1.0, 2.0, 3.0]));
        assert_eq!(standings.of("cpu", late), None);
        let later = Grid {
            start_s: 600,
            ..history(&[1.0, f32::NAN, 3.0])
        };
        assert_ne!(PastKey::of(&later), past);
    }
}
