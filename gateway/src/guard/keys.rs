//! What a line's series and its shape are known by: hashes of 64 bits.
//!
//! The *shape* is a measurement with its fields and their types, in whatever order. Two series, or shapes, that share a
//! hash are taken for one: with a million of them known, the next one meets that fate once in 2·10^13 times. The hash is
//! XXH3 with a seed that every data folder draws for itself, so that nobody can look for such pairs.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasherDefault, Hasher},
};

use twox_hash::XxHash3_64;

use crate::lines::{FieldType, Parts, series_key};

/// Maps and sets of what is a hash already.
pub(super) type KeyMap<V> = HashMap<u64, V, BuildHasherDefault<Hashed>>;
pub(super) type KeySet = HashSet<u64, BuildHasherDefault<Hashed>>;

/// Takes a hash for what it is.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = XxHash3_64::oneshot_with_seed(self.0, bytes);
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// Makes the hashes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keys {
    seed: u64,
}

impl Keys {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The key of a database, or of whatever else sets equal names apart.
    pub(super) fn place(self, name: &str) -> u64 {
        XxHash3_64::oneshot_with_seed(self.seed, name.as_bytes())
    }

    /// The key of a name within a place.
    pub(super) fn name(place: u64, name: &str) -> u64 {
        XxHash3_64::oneshot_with_seed(place, name.as_bytes())
    }

    /// The key of a line's series, whatever the order of its tags and the way they are escaped.
    #[inline]
    pub(super) fn series(place: u64, parts: &Parts, text: &[u8]) -> u64 {
        let written = parts.series().of(text);
        if parts.tags_are_sorted && memchr::memchr(b'\\', written).is_none() {
            return XxHash3_64::oneshot_with_seed(place, written);
        }
        let mut tags: Vec<_> = parts
            .tags
            .iter()
            .map(|tag| (tag.key_name(text), tag.value_text(text)))
            .collect();
        tags.sort_unstable();
        let tags = tags
            .iter()
            .map(|(key, value)| (key.as_ref(), value.as_ref()));
        Self::name(place, &series_key(&parts.measurement_name(text), tags))
    }

    /// The key of a line's shape as it is written: another way to escape a name is another shape.
    #[inline]
    pub(super) fn shape(place: u64, parts: &Parts, text: &[u8]) -> u64 {
        let measurement = XxHash3_64::oneshot_with_seed(place, parts.measurement.of(text));
        parts.fields.iter().fold(measurement, |sum, field| {
            let seed = place.wrapping_add(type_bit(field.field_type).into());
            sum.wrapping_add(XxHash3_64::oneshot_with_seed(seed, field.key.of(text)))
        })
    }
}

/// A type as one bit of a set of types, as the guards' file has it.
pub(super) const fn type_bit(field_type: FieldType) -> u8 {
    1 << (field_type as u8 - FieldType::ALL[0] as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::{Precision, Scanner};

    fn keys(line: &str) -> (u64, u64) {
        let mut scanner = Scanner::new(line.as_bytes(), Precision::Nanoseconds);
        let parts = scanner.next_line().expect("a line").verdict.expect("valid");
        (
            Keys::series(7, parts, line.as_bytes()),
            Keys::shape(7, parts, line.as_bytes()),
        )
    }

    #[test]
    fn a_series_is_the_same_in_any_order_of_its_tags_and_any_spelling() {
        for (one, other) in [
            ("m,a=1,b=2 f=1", "m,b=2,a=1 f=1 5"),
            (r"m,a=x\ y,b=2 f=1", r"m,b=2,a=x\ y g=1"),
        ] {
            assert_eq!(keys(one).0, keys(other).0, "{one} {other}");
        }
        for other in [
            "m,a=1 f=1",
            "m,a=1,b=3 f=1",
            "n,a=1,b=2 f=1",
            "m,a=1,c=2 f=1",
            r"m,a=1\,b\=2 f=1",
        ] {
            assert_ne!(keys("m,a=1,b=2 f=1").0, keys(other).0, "{other}");
        }
    }

    #[test]
    fn a_shape_is_the_same_in_any_order_of_its_fields_and_for_any_series() {
        assert_eq!(keys("m,a=1 f=1,g=2i 5").1, keys("m,a=2 g=7i,f=.5").1);
        for other in [
            "m f=1,g=2",
            "m f=1",
            "n f=1,g=2i",
            "m f=1i,g=2",
            "m f=1,g=2i,h=t",
        ] {
            assert_ne!(keys("m f=1,g=2i").1, keys(other).1, "{other}");
        }
    }
}
