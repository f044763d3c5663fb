//! The types of fields that go to an InfluxDB: the first one that came, or the one that the server has.
//!
//! A field of which the server itself has several types (in different shards) keeps them all: the server then decides.

use super::keys::{KeyMap, Keys, type_bit};
use crate::lines::{FieldType, Parts, Refusal, Rule};

/// So many fields are kept; what comes beyond is passed on without a look at its type.
const FIELDS_MAX: usize = 2_000_000;

/// The types of the fields of one bucket, as sets of types.
type Fields = KeyMap<u8>;

/// The types that are known, by bucket.
#[derive(Debug, Default)]
pub(super) struct Types {
    places: KeyMap<Fields>,
    count: usize,
}

/// A field that came for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NewField {
    pub(super) key: u64,
    pub(super) kinds: u8,
}

/// The key of a field in its bucket.
pub(super) fn field_key(place: u64, measurement: &str, field: &str) -> u64 {
    Keys::name(Keys::name(place, measurement), field)
}

fn names_of(kinds: u8) -> String {
    let names: Vec<_> = FieldType::ALL
        .into_iter()
        .filter(|field_type| kinds & type_bit(*field_type) != 0)
        .map(FieldType::name)
        .collect();
    names.join(" or ")
}

impl Types {
    /// How many fields are known.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Holds a line's fields to their types, and lists those that are new.
    ///
    /// # Errors
    ///
    /// Names both types of the first field that conflicts, be it with an earlier one of the same line.
    pub(super) fn check(
        &self,
        place: u64,
        parts: &Parts,
        text: &[u8],
    ) -> Result<Vec<NewField>, Refusal> {
        let fields = self.places.get(&place);
        let measurement = parts.measurement_name(text);
        let measurement_key = Keys::name(place, &measurement);
        let mut new: Vec<NewField> = Vec::new();
        for field in &parts.fields {
            let name = field.key_name(text);
            let key = Keys::name(measurement_key, &name);
            let known = fields
                .and_then(|fields| fields.get(&key).copied())
                .or_else(|| new.iter().find(|new| new.key == key).map(|new| new.kinds));
            let kinds = type_bit(field.field_type);
            match known {
                None => new.push(NewField { key, kinds }),
                Some(known) if known & kinds != 0 => {}
                Some(known) => {
                    return Err(Refusal::at(
                        Rule::FieldType,
                        field.value.start - parts.line_start,
                        format!(
                            "input field {name:?} on measurement {measurement:?} is type {}, already exists as type {}",
                            field.field_type.name(),
                            names_of(known)
                        ),
                    ));
                }
            }
        }
        Ok(new)
    }

    /// Adds fields that [`Self::check`] called new, as far as there is room; says how many were.
    pub(super) fn add(&mut self, place: u64, new: &[NewField]) -> usize {
        let taken = new.len().min(FIELDS_MAX.saturating_sub(self.count));
        let fields = self.places.entry(place).or_default();
        for field in &new[..taken] {
            if fields.insert(field.key, field.kinds).is_none() {
                self.count += 1;
            }
        }
        taken
    }

    /// Puts what the server has in the place of what is known of a bucket.
    pub(super) fn replace(&mut self, place: u64, listed: &[NewField]) {
        let before = self.places.remove(&place).map_or(0, |fields| fields.len());
        self.count -= before;
        self.add(place, listed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::{Precision, Scanner};

    fn push(types: &mut Types, line: &str) -> Result<(), Refusal> {
        let text = line.as_bytes();
        let mut scanner = Scanner::new(text, Precision::Nanoseconds);
        let parts = scanner.next_line().expect("a line").verdict.expect("valid");
        let new = types.check(1, parts, text)?;
        types.add(1, &new);
        Ok(())
    }

    #[test]
    fn the_first_type_of_a_field_stays_and_a_conflict_names_both() {
        let mut types = Types::default();
        assert_eq!(push(&mut types, "m,a=1 f=1i,g=1 1"), Ok(()));
        assert_eq!(push(&mut types, "m,a=2 g=2,f=2i,h=t 1"), Ok(()));
        let refusal = push(&mut types, "m,a=2 f=2 1").expect_err("a float");
        assert_eq!((refusal.rule, refusal.column), (Rule::FieldType, Some(9)));
        for part in ["\"f\"", "\"m\"", "type float", "type integer"] {
            assert!(refusal.reason.contains(part), "{refusal}");
        }
        assert_eq!(push(&mut types, "n f=2 1"), Ok(()), "another measurement");
        assert_eq!(types.len(), 4);
    }

    #[test]
    fn a_field_that_stands_twice_in_a_line_has_one_type() {
        let mut types = Types::default();
        assert!(push(&mut types, "m f=1,f=1i").is_err());
        assert_eq!(types.len(), 0, "nothing is learned from a refused line");
        assert_eq!(push(&mut types, "m f=1,f=2"), Ok(()));
    }

    #[test]
    fn what_the_server_has_takes_the_place_of_what_was_known() {
        let mut types = Types::default();
        assert_eq!(push(&mut types, "m f=1,old=1"), Ok(()));
        let kinds = type_bit(FieldType::Integer) | type_bit(FieldType::Text);
        types.replace(
            1,
            &[NewField {
                key: field_key(1, "m", "f"),
                kinds,
            }],
        );
        assert_eq!(push(&mut types, "m f=1i"), Ok(()));
        assert_eq!(push(&mut types, "m f=\"x\""), Ok(()));
        assert!(
            push(&mut types, "m f=1")
                .expect_err("a float")
                .reason
                .contains("integer or string")
        );
        assert_eq!(
            push(&mut types, "m old=\"x\""),
            Ok(()),
            "the server has forgotten it"
        );
        assert_eq!(types.len(), 2);
    }
}
