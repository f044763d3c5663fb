//! A past for a target that has none of its own: that of the targets of other hosts that look like it.
//!
//! The rule: a peer's target of the same name and kind looks alike when, over the steps that both have, its values lie
//! within [`DISTANCE_MAX`] of the newcomer's, on the peer's own scale and in its spreads: the mean distance once the
//! heights are made equal, and a part of the difference in height itself. Of those, the [`LENDERS_MAX`] nearest lend the
//! steps before the newcomer's first value, shifted to its height. So the network is asked with a day and a week
//! behind it, and with the peer's row of the embedding.
//!
//! Values come from the hosts' own histories and not from an idealised day: their noise stays in them, by which a window's
//! spread is measured.

use super::Peer;
use crate::{
    grid::Grid,
    model::{NEWCOMER_STEPS_MIN, SeriesScale},
    target::Target,
};

/// How far apart targets that look alike may lie, in spreads.
const DISTANCE_MAX: f32 = 1.0;

/// What a difference in height counts for beside one in shape: hosts of one profile are loaded unlike.
const HEIGHT_SHARE: f32 = 0.1;

/// The targets that lend together: their mean has less of what only one of them lived through.
const LENDERS_MAX: usize = 3;

/// A target with the past that it was lent.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Borrowed {
    /// The newcomer's values behind those of its peers.
    pub(super) grid: Grid,
    /// The hosts that lent, the nearest first.
    pub(super) lenders: Vec<String>,
}

/// A peer's target that looks like the newcomer's.
struct Alike<'a> {
    host: &'a str,
    grid: &'a Grid,
    scale: SeriesScale,
    /// What is added to its transformed values.
    offset: f32,
    distance: f32,
}

/// Lends a target the past of its nearest peers; `None` when nobody looks like it.
pub(super) fn past(target: &Target, own: &Grid, peers: &[Peer]) -> Option<Borrowed> {
    let own = own.trimmed();
    let mut alike: Vec<Alike> = peers
        .iter()
        .filter_map(|peer| {
            let (_, grid) = peer
                .recent
                .iter()
                .find(|(theirs, _)| theirs.metric == target.metric && theirs.kind == target.kind)?;
            Alike::new(&peer.host, target, &own, grid)
        })
        .collect();
    alike.sort_by(|one, other| one.distance.total_cmp(&other.distance));
    alike.truncate(LENDERS_MAX);
    let from_s = alike.iter().map(|peer| peer.grid.start_s).min()?;
    let step_s = i64::from(own.step_s);
    let missing = ((own.start_s - from_s) / step_s).max(0);
    let lent = (0..missing).map(|step| {
        let time_s = from_s + step * step_s;
        let values: Vec<f64> = alike.iter().filter_map(|peer| peer.lends(time_s)).collect();
        let sum: f64 = values.iter().sum();
        if values.is_empty() {
            f32::NAN
        } else {
            (sum / values.len() as f64) as f32
        }
    });
    let values = lent.chain(own.values.iter().copied()).collect();
    Some(Borrowed {
        grid: Grid {
            start_s: own.start_s - missing * step_s,
            step_s: own.step_s,
            values,
        },
        lenders: alike.iter().map(|peer| peer.host.to_owned()).collect(),
    })
}

impl<'a> Alike<'a> {
    fn new(host: &'a str, target: &Target, own: &Grid, theirs: &'a Grid) -> Option<Self> {
        let scale = SeriesScale::fit(target.kind, &theirs.values)?;
        let common: Vec<(f32, f32)> = own
            .values
            .iter()
            .enumerate()
            .filter_map(|(step, value)| {
                let there = theirs.values[theirs.bin_of(own.time_of(step))?];
                (!value.is_nan() && !there.is_nan())
                    .then(|| (scale.transform(*value), scale.transform(there)))
            })
            .collect();
        if common.len() < NEWCOMER_STEPS_MIN {
            return None;
        }
        let offset = median(common.iter().map(|(own, theirs)| own - theirs).collect());
        let apart = |(own, theirs): &(f32, f32)| (own - theirs - offset).abs();
        let shape = common.iter().map(apart).sum::<f32>() / common.len() as f32;
        let distance = (shape + HEIGHT_SHARE * offset.abs()) / scale.spread();
        (distance <= DISTANCE_MAX).then_some(Self {
            host,
            grid: theirs,
            scale,
            offset,
            distance,
        })
    }

    /// Returns the value at a time as the newcomer would have had it.
    fn lends(&self, time_s: i64) -> Option<f64> {
        let value = self.grid.values[self.grid.bin_of(time_s)?];
        let lent = || {
            self.scale
                .restore(self.scale.transform(value) + self.offset)
        };
        (!value.is_nan()).then(lent)
    }
}

fn median(mut values: Vec<f32>) -> f32 {
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f32::total_cmp).1
}
