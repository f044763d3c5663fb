//! Which hosts are asked to lend: those that have a model and are most like the newcomer by what they send.

use std::{cmp::Reverse, collections::BTreeSet};

use crate::{manifest::Manifest, target::Target};

/// The hosts whose histories are read for a newcomer's forecast.
const PEERS_MAX: usize = 8;

/// Chooses the hosts with a model that share the most targets with a newcomer, and have the fewest that it has not; the
/// first by name of those that are even.
pub fn choose<'a>(targets: &[Target], trained: impl Iterator<Item = &'a Manifest>) -> Vec<&'a str> {
    let own: BTreeSet<&str> = targets.iter().map(|t| t.metric.as_str()).collect();
    let mut peers: Vec<(Reverse<usize>, usize, &str)> = trained
        .filter_map(|manifest| {
            let shared = manifest
                .targets
                .iter()
                .filter(|target| target.series.is_some() && own.contains(target.metric.as_str()))
                .count();
            let unlike = manifest.targets.len() + own.len() - 2 * shared;
            (shared > 0).then_some((Reverse(shared), unlike, manifest.host.as_str()))
        })
        .collect();
    peers.sort_unstable();
    peers.truncate(PEERS_MAX);
    peers.into_iter().map(|(_, _, host)| host).collect()
}
