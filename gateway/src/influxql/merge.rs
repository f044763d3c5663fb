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
pub(super) struct Place {
    pub(super) part: usize,
    pub(super) index: usize,
}

/// Returns the places of all points, in order. Each list of times rises.
pub(super) fn in_order(parts: &[&[i64]], ascending: bool) -> Vec<Place> {
    let total = parts.iter().map(|times| times.len()).sum();
    let mut places = Vec::with_capacity(total);
    if let [times] = parts {
        let place = |index| Place { part: 0, index };
        if ascending {
            places.extend((0..times.len()).map(place));
        } else {
            places.extend((0..times.len()).rev().map(place));
        }
        return places;
    }
    let mut merge = Merge {
        parts,
        next: parts
            .iter()
            .map(|times| if ascending { 0 } else { times.len() })
            .collect(),
        ascending,
        heap: Vec::with_capacity(parts.len()),
    };
    while let Some(shard) = merge.next_shard() {
        merge.start(shard);
        while let Some(part) = merge.pop() {
            places.push(merge.take(part));
            if merge.peek(part).is_some_and(|time| shard_of(time) == shard) {
                merge.push(part);
            }
        }
    }
    places
}

struct Merge<'a> {
    parts: &'a [&'a [i64]],
    /// The index of the next point; descending: one behind it.
    next: Vec<usize>,
    ascending: bool,
    heap: Vec<usize>,
}

impl Merge<'_> {
    fn peek(&self, part: usize) -> Option<i64> {
        let next = self.next[part];
        if self.ascending {
            self.parts[part].get(next).copied()
        } else {
            next.checked_sub(1).map(|index| self.parts[part][index])
        }
    }

    fn take(&mut self, part: usize) -> Place {
        let next = &mut self.next[part];
        let index = if self.ascending {
            *next += 1;
            *next - 1
        } else {
            *next -= 1;
            *next
        };
        Place { part, index }
    }

    fn next_shard(&self) -> Option<i64> {
        let shards = (0..self.parts.len())
            .filter_map(|part| self.peek(part))
            .map(shard_of);
        if self.ascending {
            shards.min()
        } else {
            shards.max()
        }
    }

    fn start(&mut self, shard: i64) {
        self.heap = (0..self.parts.len())
            .filter(|part| self.peek(*part).is_some_and(|time| shard_of(time) == shard))
            .collect();
        for index in (0..self.heap.len() / 2).rev() {
            self.down(index, self.heap.len());
        }
    }

    fn less(&self, a: usize, b: usize) -> bool {
        let (a, b) = (self.peek(self.heap[a]), self.peek(self.heap[b]));
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
                .map(|place| parts[place.part][place.index])
                .collect();
            if !ascending {
                times.reverse();
            }
            assert_eq!(times, [0, 1, 2, 4, 4, 9, 10]);
        }
    }
}
