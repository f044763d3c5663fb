//! Brings the points of several series into the order of time.
//!
//! Points of one instant come in the order in which InfluxDB's merge of series brings them: a binary heap with the
//! semantics of Go's `container/heap`, started anew at each of its weekly shards. Clients that compare answers rely on
//! that order.

/// The span of InfluxDB's default shards; they start on Mondays.
const SHARD_NS: i64 = 7 * 86_400_000_000_000;
/// From the epoch, a Thursday, to the Monday before it.
const SHARD_SHIFT_NS: i64 = 3 * 86_400_000_000_000;

fn shard_of(time: i64) -> i64 {
    time.saturating_add(SHARD_SHIFT_NS).div_euclid(SHARD_NS)
}

/// Where a point of a merge stands: in which part, and at which index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PointIndex {
    pub(super) part: usize,
    pub(super) index: usize,
}

/// Returns where all points stand, in order. Each list of times rises.
pub(super) fn in_order(parts: &[&[i64]], ascending: bool) -> Vec<PointIndex> {
    let total = parts.iter().map(|times| times.len()).sum();
    let mut indices = Vec::with_capacity(total);
    if let [times] = parts {
        let point = |index| PointIndex { part: 0, index };
        if ascending {
            indices.extend((0..times.len()).map(point));
        } else {
            indices.extend((0..times.len()).rev().map(point));
        }
        return indices;
    }
    let index_of = |part: usize, taken: usize| {
        let left = parts[part].len().checked_sub(taken + 1)?;
        Some(if ascending { taken } else { left })
    };
    let head = |part: usize, taken: usize| index_of(part, taken).map(|index| parts[part][index]);
    let mut taken = vec![0; parts.len()];
    let mut merge = Merge::new(
        (0..parts.len()).map(|part| head(part, 0)).collect(),
        ascending,
    );
    while let Some(part) = merge.next() {
        let point = index_of(part, taken[part]).map(|index| PointIndex { part, index });
        indices.extend(point);
        taken[part] += 1;
        merge.advance(part, head(part, taken[part]));
    }
    indices
}

/// A merge of parts of which only the time of the next point is known.
pub(super) struct Merge {
    heads: Vec<Option<i64>>,
    ascending: bool,
    heap: Vec<usize>,
    shard: i64,
}

impl Merge {
    /// Begins with the time of each part's first point; `None` where it has none.
    pub(super) fn new(heads: Vec<Option<i64>>, ascending: bool) -> Self {
        Self {
            heap: Vec::with_capacity(heads.len()),
            heads,
            ascending,
            shard: 0,
        }
    }

    /// Returns the part whose point comes next; what follows it in the part is to be said by [`Self::advance`].
    pub(super) fn next(&mut self) -> Option<usize> {
        if self.heap.is_empty() {
            self.start()?;
        }
        self.pop()
    }

    /// Says when the next point of the part is that was returned last.
    pub(super) fn advance(&mut self, part: usize, head: Option<i64>) {
        self.heads[part] = head;
        if head.is_some_and(|time| shard_of(time) == self.shard) {
            self.push(part);
        }
    }

    fn start(&mut self) -> Option<()> {
        let shards = self.heads.iter().flatten().map(|time| shard_of(*time));
        self.shard = if self.ascending {
            shards.min()
        } else {
            shards.max()
        }?;
        let is_in = |part: &usize| self.heads[*part].is_some_and(|t| shard_of(t) == self.shard);
        self.heap = (0..self.heads.len()).filter(is_in).collect();
        for index in (0..self.heap.len() / 2).rev() {
            self.down(index, self.heap.len());
        }
        Some(())
    }

    fn less(&self, a: usize, b: usize) -> bool {
        let (a, b) = (self.heads[self.heap[a]], self.heads[self.heap[b]]);
        if self.ascending { a < b } else { a > b }
    }

    fn pop(&mut self) -> Option<usize> {
        let last = self.heap.len().checked_sub(1)?;
        self.heap.swap(0, last);
        self.down(0, last);
        self.heap.pop()
    }

    fn push(&mut self, part: usize) {
        self.heap.push(part);
        let mut child = self.heap.len() - 1;
        while child > 0 {
            let parent = (child - 1) / 2;
            if !self.less(child, parent) {
                break;
            }
            self.heap.swap(parent, child);
            child = parent;
        }
    }

    fn down(&mut self, start: usize, length: usize) {
        let mut parent = start;
        loop {
            let left = 2 * parent + 1;
            if left >= length {
                return;
            }
            let right = left + 1;
            let child = if right < length && self.less(right, left) {
                right
            } else {
                left
            };
            if !self.less(child, parent) {
                return;
            }
            self.heap.swap(parent, child);
            parent = child;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_out_in_the_order_of_time() {
        let parts: [&[i64]; 3] = [&[1, 4, 9], &[2, 4], &[0, 10]];
        for ascending in [true, false] {
            let mut times: Vec<i64> = in_order(&parts, ascending)
                .iter()
                .map(|point| parts[point.part][point.index])
                .collect();
            if !ascending {
                times.reverse();
            }
            assert_eq!(times, [0, 1, 2, 4, 4, 9, 10]);
        }
    }
}
