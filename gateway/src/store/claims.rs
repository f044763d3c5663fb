//! Types of fields that are on their way into the store.
//!
//! A batch is judged before it is journalled, and its fields are learned after. In between, another batch, or another
//! line of the same one, may bring the same new field with another type: the first line that was judged claims the
//! type, and later ones are held to it. A claim ends when the store has learned the field; that of a batch that never
//! became durable stays until the store is opened anew.

use std::collections::HashMap;

use super::column::FieldType;

/// Where a field belongs: database, retention policy, measurement, field.
type Place = [Box<str>; 4];

/// The types that were claimed and not yet learned.
#[derive(Default)]
pub(super) struct Claims(HashMap<Place, FieldType>);

impl Claims {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Finds the type that somebody claimed for a field.
    pub(super) fn get(&self, place: [&str; 4]) -> Option<FieldType> {
        self.0.get(&place.map(Box::from)).copied()
    }

    /// Claims a type for a field that has none.
    pub(super) fn add(&mut self, place: [&str; 4], field_type: FieldType) {
        self.0.entry(place.map(Box::from)).or_insert(field_type);
    }

    /// Ends the claims on what the store has learned.
    pub(super) fn settle(&mut self, is_learned: impl Fn([&str; 4]) -> bool) {
        self.0
            .retain(|place, _| !is_learned([&place[0], &place[1], &place[2], &place[3]]));
    }
}
