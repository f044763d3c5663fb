//! Since when the oldest batch waits that no reader has.
//!
//! The batches that wait at a start are not all read for this: they count as old as the oldest of them, until they are gone.

use std::collections::VecDeque;

/// Batches closer together than this share a mark, so that marks stay few.
const MARK_EVERY_NS: i64 = 1_000_000_000;

/// When batches came, a mark a second.
#[derive(Debug, Default)]
pub(super) struct Ages {
    /// A sequence, and when it came; in the order of sequences.
    marks: VecDeque<(u64, i64)>,
    /// The last sequence that every reader has.
    read_through: u64,
}

impl Ages {
    /// Notes a batch that was committed.
    pub(super) fn note(&mut self, sequence: u64, received_ns: i64) {
        let is_new = |(_, last): &(u64, i64)| received_ns.abs_diff(*last) >= MARK_EVERY_NS as u64;
        if self.marks.back().is_none_or(is_new) {
            self.marks.push_back((sequence, received_ns));
        }
    }

    /// Forgets what every reader has.
    pub(super) fn forget_through(&mut self, sequence: u64) {
        self.read_through = self.read_through.max(sequence);
        while self.marks.len() > 1 && self.marks[1].0 <= self.read_through + 1 {
            self.marks.pop_front();
        }
    }

    /// When the oldest batch came that a reader does not have, to a second; `None` if it has all.
    pub(super) fn oldest_after_ns(&self, read_through: u64, last_sequence: u64) -> Option<i64> {
        let is_before = |(sequence, _): &(u64, i64)| *sequence <= read_through + 1;
        let mark = self.marks.partition_point(is_before).saturating_sub(1);
        (read_through < last_sequence)
            .then(|| self.marks.get(mark).map(|(_, received_ns)| *received_ns))
            .flatten()
    }

    /// When the oldest batch came that is not read, to a second; `None` if all are.
    pub(super) fn oldest_ns(&self, last_sequence: u64) -> Option<i64> {
        (self.read_through < last_sequence)
            .then(|| self.marks.front().map(|(_, received_ns)| *received_ns))
            .flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_what_is_not_read_yet() {
        let mut ages = Ages::default();
        assert_eq!(ages.oldest_ns(0), None);
        for sequence in 1..=100 {
            ages.note(sequence, sequence as i64 * MARK_EVERY_NS / 10);
        }
        assert_eq!(ages.marks.len(), 10, "a mark a second");
        let second_ns = |second: i64| Some(second * MARK_EVERY_NS + MARK_EVERY_NS / 10);
        assert_eq!(ages.oldest_after_ns(0, 100), second_ns(0));
        assert_eq!(ages.oldest_after_ns(45, 100), second_ns(4));
        assert_eq!(ages.oldest_after_ns(100, 100), None);
        ages.forget_through(30);
        let oldest = ages.oldest_ns(100).expect("seventy wait");
        assert!(
            (2 * MARK_EVERY_NS..=31 * MARK_EVERY_NS / 10).contains(&oldest),
            "{oldest}"
        );
        ages.forget_through(100);
        assert_eq!(ages.oldest_ns(100), None);
    }
}
