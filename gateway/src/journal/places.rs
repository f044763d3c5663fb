//! How far each reader of the journal has come. A segment goes once every reader is past it.
//!
//! A reader that yields is passed over where the journal would be full because of it alone: it loses the oldest segment, it is
//! told so, and everybody else goes on.

use std::sync::Arc;

use super::Shared;

/// A reader's place: the last sequence that it is done with.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReadThrough {
    pub(super) sequence: u64,
    /// Whether the reader is passed over rather than that pushes are turned away.
    pub(super) yields: bool,
}

/// A reader's hold on the journal: what it has not read stays. It is given up only with the journal.
pub struct Place {
    shared: Arc<Shared>,
    index: usize,
}

impl Place {
    pub(super) fn new(shared: Arc<Shared>, read_through: u64, yields: bool) -> Self {
        let index = {
            let mut places = shared.places.lock();
            places.push(ReadThrough {
                sequence: read_through,
                yields,
            });
            places.len() - 1
        };
        Self { shared, index }
    }

    /// Notes that the reader is done with everything up to a sequence, and deletes the segments that no reader needs. The
    /// segment in writing stays.
    pub fn read_through(&self, sequence: u64) {
        {
            let mut places = self.shared.places.lock();
            let place = &mut places[self.index];
            place.sequence = place.sequence.max(sequence);
        }
        self.shared.trim();
    }

    /// When the oldest batch came that the reader has not read, in nanoseconds since 1970; `None` if it has read all.
    #[must_use]
    pub fn oldest_unread_ns(&self) -> Option<i64> {
        let read_through = self.shared.places.lock()[self.index].sequence;
        let last_sequence = *self.shared.committed.borrow();
        let ages = self.shared.ages.lock();
        ages.oldest_after_ns(read_through, last_sequence)
    }

    /// The bytes of the segments that hold what the reader has not read.
    #[must_use]
    pub fn unread_bytes(&self) -> u64 {
        let read_through = self.shared.places.lock()[self.index].sequence;
        let segments = self.shared.segments.lock();
        let read = segments
            .iter()
            .skip(1)
            .take_while(|next| next.first_sequence <= read_through.saturating_add(1))
            .count();
        segments
            .iter()
            .skip(read)
            .map(|segment| segment.size_bytes)
            .sum()
    }
}

/// The last sequence that every one of the readers is done with; `None` without readers.
pub(super) fn least<'a>(places: impl IntoIterator<Item = &'a ReadThrough>) -> Option<u64> {
    places.into_iter().map(|place| place.sequence).min()
}

impl Shared {
    /// Deletes the segments that no reader needs.
    pub(super) fn trim(&self) {
        let (bound, all) = {
            let places = self.places.lock();
            (
                least(places.iter().filter(|place| !place.yields)).or_else(|| least(places.iter())),
                least(places.iter()),
            )
        };
        if let Some(sequence) = bound {
            self.ages.lock().forget_through(sequence);
        }
        if let Some(sequence) = all {
            self.delete_through(sequence);
        }
    }

    /// Passes readers that yield over the oldest segment, if nobody else needs it; says whether that made room.
    pub(super) fn make_room(&self) -> bool {
        let Some(end) = self
            .segments
            .lock()
            .get(1)
            .map(|next| next.first_sequence - 1)
        else {
            return false;
        };
        {
            let mut places = self.places.lock();
            if places
                .iter()
                .any(|place| !place.yields && place.sequence < end)
            {
                return false;
            }
            for place in places.iter_mut() {
                place.sequence = place.sequence.max(end);
            }
        }
        let before = self.pending_bytes();
        self.trim();
        self.pending_bytes() < before
    }
}
