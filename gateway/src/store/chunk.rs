//! Sealed chunks: the compressed form of a tidy column.
//!
//! | bytes | content |
//! |---|---|
//! | 1 | version, 3 |
//! | 4 | CRC-32C of all that follows, little-endian |
//! | 1 | type of the values ([`FieldType`]) |
//! | varint | how many points there are |
//! | varint | length of the times |
//! | … | the times, as whole numbers |
//! | … | the values |
//!
//! Numbers stand behind a byte that names their encoding: packed (`pack`) as they are, as the digits of decimals
//! (a byte of scale before them) or as turned bits (`decimal`); or the same by pco, which finds patterns that
//! packing does not see and takes ten times as long where there are any. Small chunks, which are merged soon, and the short
//! lists of rollups are packed; for large chunks both are tried and the smaller is kept. Booleans are the numbers 0 and 1. Texts are the different ones, compressed by zstd (length, how many there
//! are, and each behind its length, as varints), and for each point the number of its text, packed.

use std::{collections::HashMap, sync::Arc};

use pco::{ChunkConfig, data_types::Number, standalone};

use super::{
    column::{Column, FieldType, Values},
    decimal,
    head::ChunkMeta,
    pack::{self, Packer},
    rollup,
};

const VERSION: u8 = 3;
const HEADER_BYTES: usize = 6;
/// What the checksum covers starts here.
const CHECKED_FROM: usize = 5;
/// zstd's own default: texts are few, so that speed matters more than the last percent.
const ZSTD_LEVEL: i32 = 3;
/// No chunk's texts are larger when unpacked: a seal holds less.
const TEXT_BYTES_MAX: usize = 1 << 30;
/// No chunk holds more points: a merge stops long before.
const POINTS_MAX: usize = 1 << 24;
/// Chunks of so many points and more are not written again soon, and are worth the time that it takes to make them small.
const PCO_FROM_POINTS: usize = 1_024;
/// pco's level at the first try: some four times as fast as the second, and of noise it makes no more.
const PCO_FIRST_LEVEL: usize = 4;
/// The level where that found patterns.
const PCO_LEVEL: usize = 8;
/// Packed numbers of which the first try leaves less than this hold patterns.
const PCO_PATTERN_SHARE: f64 = 0.9;

/// How numbers are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Encoding {
    Packed = 0,
    PackedDigits = 1,
    PackedBits = 2,
    Pco = 3,
    PcoDigits = 4,
    PcoFloats = 5,
}

impl Encoding {
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Packed,
            1 => Self::PackedDigits,
            2 => Self::PackedBits,
            3 => Self::Pco,
            4 => Self::PcoDigits,
            5 => Self::PcoFloats,
            _ => return None,
        })
    }
}

/// Why a chunk could not be read or made.
#[derive(Debug, thiserror::Error)]
pub enum ChunkError {
    /// The bytes are none of this format's.
    #[error("a chunk of {size_bytes} bytes is damaged: {reason}; restore the store from a backup")]
    Damaged {
        /// The chunk's size.
        size_bytes: usize,
        /// What did not fit.
        reason: String,
    },
}

pub(super) fn damaged(bytes: &[u8], reason: impl std::fmt::Display) -> ChunkError {
    ChunkError::Damaged {
        size_bytes: bytes.len(),
        reason: reason.to_string(),
    }
}

/// Compresses columns one after the other. The fields of a series mostly have the same times, which are compressed once.
pub(super) struct Encoder {
    rollup_from_points: usize,
    pco_from_points: usize,
    packer: Packer,
    numbers: Vec<i64>,
    /// The times of the last column, and what they became.
    times: Vec<i64>,
    packed_times: Vec<u8>,
}

/// Compresses a tidy column.
///
/// # Errors
///
/// When a compressor fails, which is a defect.
pub fn encode(column: &Column) -> Result<Vec<u8>, ChunkError> {
    Encoder::default().encode(column)
}

/// A chunk that is not on disk yet.
pub(super) struct NewChunk {
    pub(super) meta: ChunkMeta,
    pub(super) bytes: Vec<u8>,
    /// Its rollup; empty where it has none.
    pub(super) rollup: Vec<u8>,
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new(usize::MAX)
    }
}

impl Encoder {
    /// Starts to compress chunks, which have a rollup from so many points on.
    pub(super) fn new(rollup_from_points: usize) -> Self {
        Self {
            rollup_from_points,
            pco_from_points: PCO_FROM_POINTS,
            packer: Packer::default(),
            numbers: Vec::new(),
            times: Vec::new(),
            packed_times: Vec::new(),
        }
    }

    /// Compresses a tidy column into the chunk of a number; `None` when the column is empty.
    ///
    /// # Errors
    ///
    /// As [`encode`].
    pub(super) fn encode_with_meta(
        &mut self,
        column: &Column,
        id: i64,
    ) -> Result<Option<NewChunk>, ChunkError> {
        let (Some(first), Some(last)) = (column.times.first(), column.times.last()) else {
            return Ok(None);
        };
        let bytes = self.encode(column)?;
        let rollup = if column.len() < self.rollup_from_points {
            None
        } else {
            rollup::encode(self, column)?
        };
        let (rollup, resolutions) = rollup.unwrap_or_default();
        let meta = ChunkMeta {
            id,
            first: *first,
            last: *last,
            points: column.len() as u32,
            size_bytes: (bytes.len() + rollup.len()) as u32,
            resolutions,
        };
        Ok(Some(NewChunk {
            meta,
            bytes,
            rollup,
        }))
    }

    fn encode(&mut self, column: &Column) -> Result<Vec<u8>, ChunkError> {
        if self.packed_times.is_empty() || self.times != column.times {
            let mut packed = std::mem::take(&mut self.packed_times);
            packed.clear();
            self.push_integers(&column.times, &mut packed)?;
            self.packed_times = packed;
            self.times.clone_from(&column.times);
        }
        let field_type = column.values.field_type();
        let mut bytes = Vec::with_capacity(64 + self.packed_times.len() + 4 * column.len());
        bytes.extend_from_slice(&[VERSION, 0, 0, 0, 0, field_type as u8]);
        pack::push_varint(&mut bytes, column.len() as u64);
        pack::push_varint(&mut bytes, self.packed_times.len() as u64);
        bytes.extend_from_slice(&self.packed_times);
        self.push_values(&column.values, &mut bytes)?;
        let checksum = crc32c::crc32c(&bytes[CHECKED_FROM..]);
        bytes[1..CHECKED_FROM].copy_from_slice(&checksum.to_le_bytes());
        Ok(bytes)
    }

    /// Compresses values as befits their number.
    pub(super) fn push_values(
        &mut self,
        values: &Values,
        out: &mut Vec<u8>,
    ) -> Result<(), ChunkError> {
        match values {
            Values::Float(list) => self.push_floats(list, out),
            Values::Integer(list) => self.push_integers(list, out),
            Values::Unsigned(list) => {
                let list: Vec<i64> = list.iter().map(|value| *value as i64).collect();
                self.push_integers(&list, out)
            }
            Values::Boolean(list) => {
                let list: Vec<i64> = list.iter().map(|value| i64::from(*value)).collect();
                self.push_integers(&list, out)
            }
            Values::Text(list) => self.push_texts(list, out),
        }
    }

    fn push_integers(&mut self, list: &[i64], out: &mut Vec<u8>) -> Result<(), ChunkError> {
        let start = out.len();
        out.push(Encoding::Packed as u8);
        self.packer.pack(list, out);
        self.try_pco(list.len(), out, start, |level, out| {
            out.push(Encoding::Pco as u8);
            push_pco(list, level, out)
        })
    }

    fn push_floats(&mut self, list: &[f64], out: &mut Vec<u8>) -> Result<(), ChunkError> {
        let start = out.len();
        let mut numbers = std::mem::take(&mut self.numbers);
        let scale = decimal::digits_of(list, &mut numbers);
        if let Some(scale) = scale {
            out.extend_from_slice(&[Encoding::PackedDigits as u8, scale]);
        } else {
            numbers.clear();
            numbers.extend(list.iter().map(|value| decimal::ordered(*value)));
            out.push(Encoding::PackedBits as u8);
        }
        self.packer.pack(&numbers, out);
        let tried = self.try_pco(list.len(), out, start, |level, out| {
            if let Some(scale) = scale {
                out.extend_from_slice(&[Encoding::PcoDigits as u8, scale]);
                push_pco(&numbers, level, out)
            } else {
                out.push(Encoding::PcoFloats as u8);
                push_pco(list, level, out)
            }
        });
        self.numbers = numbers;
        tried
    }

    /// Puts what pco makes of numbers in the place of what was packed from `start` on, if it is smaller.
    fn try_pco(
        &self,
        count: usize,
        out: &mut Vec<u8>,
        start: usize,
        compress: impl Fn(usize, &mut Vec<u8>) -> Result<(), ChunkError>,
    ) -> Result<(), ChunkError> {
        if count < self.pco_from_points {
            return Ok(());
        }
        let packed_bytes = out.len() - start;
        let mut other = Vec::new();
        compress(PCO_FIRST_LEVEL, &mut other)?;
        if (other.len() as f64) < PCO_PATTERN_SHARE * packed_bytes as f64 {
            let first_bytes = other.len();
            compress(PCO_LEVEL, &mut other)?;
            if other.len() - first_bytes < first_bytes {
                other.drain(..first_bytes);
            } else {
                other.truncate(first_bytes);
            }
        }
        if other.len() < packed_bytes {
            out.truncate(start);
            out.append(&mut other);
        }
        Ok(())
    }

    fn push_texts(&mut self, list: &[Arc<str>], out: &mut Vec<u8>) -> Result<(), ChunkError> {
        let mut numbers: HashMap<&str, i64> = HashMap::new();
        let (mut plain, mut indexes) = (Vec::new(), Vec::with_capacity(list.len()));
        for text in list {
            let next = numbers.len() as i64;
            let number = *numbers.entry(text).or_insert_with(|| {
                pack::push_varint(&mut plain, text.len() as u64);
                plain.extend_from_slice(text.as_bytes());
                next
            });
            indexes.push(number);
        }
        let packed = zstd::bulk::compress(&plain, ZSTD_LEVEL).map_err(|e| damaged(&[], e))?;
        pack::push_varint(out, packed.len() as u64);
        pack::push_varint(out, numbers.len() as u64);
        out.extend_from_slice(&packed);
        self.packer.pack(&indexes, out);
        Ok(())
    }
}

fn push_pco<T: Number>(list: &[T], level: usize, out: &mut Vec<u8>) -> Result<(), ChunkError> {
    let config = ChunkConfig::default().with_compression_level(level);
    let packed = standalone::simple_compress(list, &config);
    out.extend_from_slice(&packed.map_err(|e| damaged(&[], e))?);
    Ok(())
}

/// Unpacks a chunk.
///
/// # Errors
///
/// When the bytes are damaged.
pub fn decode(bytes: &[u8]) -> Result<Column, ChunkError> {
    let (header, mut rest) = bytes
        .split_at_checked(HEADER_BYTES)
        .ok_or_else(|| damaged(bytes, "it is shorter than its header"))?;
    if header[0] != VERSION {
        return Err(damaged(bytes, format!("it has version {}", header[0])));
    }
    let checksum = u32::from_le_bytes([header[1], header[2], header[3], header[4]]);
    if crc32c::crc32c(&bytes[CHECKED_FROM..]) != checksum {
        return Err(damaged(bytes, "its checksum is wrong"));
    }
    let field_type = FieldType::from_byte(header[5])
        .ok_or_else(|| damaged(bytes, format!("it has type {}", header[5])))?;
    let mut column = || {
        let count = usize::try_from(pack::take_varint(&mut rest)?).ok()?;
        let times_length = usize::try_from(pack::take_varint(&mut rest)?).ok()?;
        let (times, values) = rest.split_at_checked(times_length)?;
        if count > POINTS_MAX {
            return None;
        }
        let (times, values) = (
            integers(times, count)?,
            values_of(field_type, values, count)?,
        );
        (times.len() == count && values.len() == count).then_some(Column { times, values })
    };
    column().ok_or_else(|| damaged(bytes, "its numbers do not unpack"))
}

pub(super) fn values_of(field_type: FieldType, bytes: &[u8], count: usize) -> Option<Values> {
    Some(match field_type {
        FieldType::Float => Values::Float(floats(bytes, count)?),
        FieldType::Integer => Values::Integer(integers(bytes, count)?),
        FieldType::Unsigned => {
            let list = integers(bytes, count)?.into_iter();
            Values::Unsigned(list.map(|value| value as u64).collect())
        }
        FieldType::Boolean => {
            let list = integers(bytes, count)?.into_iter();
            Values::Boolean(list.map(|value| value != 0).collect())
        }
        FieldType::Text => Values::Text(texts(bytes, count)?),
    })
}

pub(super) fn integers(bytes: &[u8], count: usize) -> Option<Vec<i64>> {
    let (encoding, mut rest) = bytes.split_first()?;
    match Encoding::from_byte(*encoding)? {
        Encoding::Packed => pack::unpack(&mut rest, count),
        Encoding::Pco => standalone::simple_decompress(rest).ok(),
        _ => None,
    }
}

fn floats(bytes: &[u8], count: usize) -> Option<Vec<f64>> {
    let (encoding, mut rest) = bytes.split_first()?;
    match Encoding::from_byte(*encoding)? {
        Encoding::PackedDigits => {
            let (scale, mut rest) = rest.split_first()?;
            decimal::floats_of(&pack::unpack(&mut rest, count)?, *scale)
        }
        Encoding::PackedBits => {
            let list = pack::unpack(&mut rest, count)?.into_iter();
            Some(list.map(decimal::unordered).collect())
        }
        Encoding::PcoDigits => {
            let (scale, rest) = rest.split_first()?;
            decimal::floats_of(&standalone::simple_decompress(rest).ok()?, *scale)
        }
        Encoding::PcoFloats => standalone::simple_decompress(rest).ok(),
        Encoding::Packed | Encoding::Pco => None,
    }
}

fn texts(bytes: &[u8], count: usize) -> Option<Vec<Arc<str>>> {
    let mut rest = bytes;
    let packed_bytes = usize::try_from(pack::take_varint(&mut rest)?).ok()?;
    let different = usize::try_from(pack::take_varint(&mut rest)?).ok()?;
    let (packed, mut indexes) = rest.split_at_checked(packed_bytes)?;
    let mut plain = Vec::new();
    zstd::stream::copy_decode(packed, &mut plain).ok()?;
    if plain.len() > TEXT_BYTES_MAX {
        return None;
    }
    let mut plain = plain.as_slice();
    let mut list: Vec<Arc<str>> = Vec::new();
    for _ in 0..different.min(count) {
        let length = usize::try_from(pack::take_varint(&mut plain)?).ok()?;
        let (text, rest) = plain.split_at_checked(length)?;
        list.push(std::str::from_utf8(text).ok()?.into());
        plain = rest;
    }
    let indexes = pack::unpack(&mut indexes, count)?.into_iter();
    indexes
        .map(|index| list.get(usize::try_from(index).ok()?).cloned())
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values(count: usize) -> impl Strategy<Value = Values> {
        use proptest::collection::vec;
        prop_oneof![
            vec(-1e300..1e300f64, count).prop_map(Values::Float),
            vec(-9_999..9_999i32, count).prop_map(|list| Values::Float(
                list.into_iter().map(|n| f64::from(n) / 100.0).collect()
            )),
            vec(any::<i64>(), count).prop_map(Values::Integer),
            vec(any::<u64>(), count).prop_map(Values::Unsigned),
            vec(any::<bool>(), count).prop_map(Values::Boolean),
            vec(".{0,12}", count)
                .prop_map(|texts| Values::Text(texts.into_iter().map(Into::into).collect())),
        ]
    }

    proptest! {
        #[test]
        fn a_column_survives_its_chunk(
            column in (1usize..200).prop_flat_map(|count| (proptest::collection::vec(any::<i64>(), count), values(count)))
                .prop_map(|(times, values)| Column { times, values })
        ) {
            for pco_from_points in [1, usize::MAX] {
                let mut encoder = Encoder { pco_from_points, ..Encoder::default() };
                let bytes = encoder.encode(&column).expect("a good column");
                prop_assert_eq!(&decode(&bytes).expect("a good chunk"), &column);
            }
        }

        #[test]
        fn a_changed_byte_is_noticed(at in any::<prop::sample::Index>(), flip in 1u8..) {
            let column = Column { times: (0..50).collect(), values: Values::Float((0..50).map(f64::from).collect()) };
            let mut bytes = encode(&column).expect("a good column");
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            prop_assert!(decode(&bytes).is_err());
        }

        #[test]
        fn damaged_bytes_are_an_error_and_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(decode(&bytes).is_err());
        }
    }
}
