//! What a reader takes of one column from under the lock, and what of it has to be looked at.

use std::collections::HashSet;

use super::{
    column::{Column, FieldType},
    head::ChunkMeta,
};

/// The point that alone is sought of each series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// The earliest.
    First,
    /// The latest.
    Last,
}

/// What a reader takes from under the lock: parts in memory, tidy or not, and chunks to fetch.
pub(super) struct Parts {
    pub(super) chunks: Vec<ChunkMeta>,
    pub(super) recent: Column,
}

impl Parts {
    /// Of a series that is not there.
    pub(super) fn none(field_type: FieldType) -> Self {
        Self {
            chunks: Vec::new(),
            recent: Column::new(field_type),
        }
    }

    /// Returns how many points a read would unpack.
    pub(super) fn points(&self) -> usize {
        let sealed = self.chunks.iter().map(|chunk| chunk.points as usize);
        sealed.sum::<usize>() + self.recent.len()
    }

    /// Takes out the chunks that lie between two times as a whole, have a rollup in a resolution, and share their span
    /// with nothing else; the earliest first, whenever they were sealed.
    pub(super) fn take_alone(
        &mut self,
        resolution: usize,
        first: i64,
        last: i64,
    ) -> Vec<ChunkMeta> {
        let mut spans: Vec<(i64, i64)> = self.chunks.iter().map(|c| (c.first, c.last)).collect();
        spans.extend(self.recent.times.iter().map(|time| (*time, *time)));
        spans.sort_unstable();
        // For each span, the latest end of those before it.
        let mut latest = i64::MIN;
        let mut shared: HashSet<(i64, i64)> = HashSet::new();
        let mut widest: Option<(i64, i64)> = None;
        for span in spans {
            if let Some(before) = widest
                && span.0 <= latest
            {
                shared.insert(before);
                shared.insert(span);
            }
            if widest.is_none() || span.1 > latest {
                (widest, latest) = (Some(span), span.1);
            }
        }
        let is_alone = |chunk: &ChunkMeta| {
            chunk.resolutions & (1 << resolution) != 0
                && chunk.first >= first
                && chunk.last <= last
                && !shared.contains(&(chunk.first, chunk.last))
        };
        let (mut alone, rest): (Vec<ChunkMeta>, _) =
            self.chunks.iter().partition(|chunk| is_alone(chunk));
        self.chunks = rest;
        alone.sort_unstable_by_key(|chunk| chunk.first);
        alone
    }

    /// Leaves out what cannot be the earliest or the latest point between two times, where that alone is wanted, and returns
    /// the span in which it lies: a chunk begins and ends with a point, so that the edge is no farther than these.
    pub(super) fn keep_edge(
        &mut self,
        edge: Option<Edge>,
        (first, last): (i64, i64),
    ) -> (i64, i64) {
        let Some(edge) = edge else {
            return (first, last);
        };
        let ends = self
            .chunks
            .iter()
            .flat_map(|chunk| [chunk.first, chunk.last]);
        let known = ends.chain(self.recent.times.iter().copied());
        let known = known.filter(|time| (first..=last).contains(time));
        let (first, last) = match edge {
            Edge::First => (first, known.min().unwrap_or(last)),
            Edge::Last => (known.max().unwrap_or(first), last),
        };
        let chunks = &mut self.chunks;
        chunks.retain(|chunk| chunk.first <= last && chunk.last >= first);
        let times = self.recent.times.iter().enumerate();
        let kept = times.filter(|(_, time)| (first..=last).contains(*time));
        let kept: Vec<usize> = kept.map(|(index, _)| index).collect();
        self.recent = self.recent.picked(&kept);
        (first, last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Values;

    fn chunk(id: i64, first: i64, last: i64) -> ChunkMeta {
        ChunkMeta {
            id,
            first,
            last,
            points: 10,
            size_bytes: 0,
            resolutions: 1,
        }
    }

    fn parts(recent: &[i64]) -> Parts {
        Parts {
            chunks: vec![
                chunk(1, 0, 90),
                chunk(2, 100, 190),
                chunk(3, 150, 160),
                chunk(4, 200, 290),
            ],
            recent: Column {
                times: recent.to_vec(),
                values: Values::Integer(recent.to_vec()),
            },
        }
    }

    fn kept(
        edge: Edge,
        recent: &[i64],
        (first, last): (i64, i64),
    ) -> (Vec<i64>, Vec<i64>, (i64, i64)) {
        let mut parts = parts(recent);
        parts
            .chunks
            .retain(|chunk| chunk.first <= last && chunk.last >= first);
        let span = parts.keep_edge(Some(edge), (first, last));
        let ids = parts.chunks.iter().map(|chunk| chunk.id).collect();
        (ids, parts.recent.times, span)
    }

    #[test]
    fn only_what_reaches_to_the_edge_is_looked_at() {
        let last = |recent: &[i64], span| kept(Edge::Last, recent, span);
        assert_eq!(last(&[], (0, 500)), (vec![4], vec![], (290, 500)));
        assert_eq!(last(&[310, 300], (0, 500)), (vec![], vec![310], (310, 500)));
        assert_eq!(last(&[120], (0, 195)), (vec![2], vec![], (190, 195)));
        assert_eq!(last(&[], (0, 170)), (vec![2, 3], vec![], (160, 170)));
        assert_eq!(
            last(&[155], (110, 158)),
            (vec![2, 3], vec![155], (155, 158))
        );
        let first = |recent: &[i64], span| kept(Edge::First, recent, span);
        assert_eq!(first(&[5], (0, 500)), (vec![1], vec![], (0, 0)));
        assert_eq!(first(&[7], (5, 80)), (vec![1], vec![7], (5, 7)));
        assert_eq!(first(&[], (5, 80)), (vec![1], vec![], (5, 80)));
    }
}
