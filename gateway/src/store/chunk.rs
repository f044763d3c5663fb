//! Sealed chunks: the compressed form of a tidy column.
//!
//! | bytes | content |
//! |---|---|
//! | 1 | version, 2 |
//! | 4 | CRC-32C of all that follows, little-endian |
//! | 1 | type of the values ([`FieldType`]) |
//! | 4 | length of the times, little-endian |
//! | … | the times: pco, i64 |
//! | … | the values: pco for numbers; zstd for texts (each with its length before it, u32) and booleans (a byte each) |

use std::sync::Arc;

use pco::{ChunkConfig, standalone};

use super::{
    column::{Column, FieldType, Values},
    head::ChunkMeta,
};

const VERSION: u8 = 2;
const HEADER_BYTES: usize = 10;
/// What the checksum covers starts here.
const CHECKED_FROM: usize = 5;
/// zstd's own default: texts are few, so that speed matters more than the last percent.
const ZSTD_LEVEL: i32 = 3;
/// No chunk's texts are larger when unpacked: a seal holds less.
const TEXT_BYTES_MAX: usize = 1 << 30;

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

fn damaged(bytes: &[u8], reason: impl std::fmt::Display) -> ChunkError {
    ChunkError::Damaged {
        size_bytes: bytes.len(),
        reason: reason.to_string(),
    }
}

/// Compresses columns one after the other. The fields of a series mostly have the same times, which are compressed once.
#[derive(Default)]
pub(super) struct Encoder {
    times: Vec<i64>,
    packed_times: Vec<u8>,
}

/// Compresses a tidy column.
///
/// # Errors
///
/// When a compressor fails, which is a defect.
pub fn encode(column: &Column) -> Result<Vec<u8>, ChunkError> {
    encode_after(&mut Encoder::default(), column)
}

fn encode_after(encoder: &mut Encoder, column: &Column) -> Result<Vec<u8>, ChunkError> {
    let config = ChunkConfig::default();
    let failed = |error: &dyn std::fmt::Display| damaged(&[], error);
    if encoder.packed_times.is_empty() || encoder.times != column.times {
        encoder.packed_times =
            standalone::simple_compress(&column.times, &config).map_err(|e| failed(&e))?;
        encoder.times.clone_from(&column.times);
    }
    let times = &encoder.packed_times;
    let (field_type, values) = match &column.values {
        Values::Float(list) => (FieldType::Float, standalone::simple_compress(list, &config)),
        Values::Integer(list) => (
            FieldType::Integer,
            standalone::simple_compress(list, &config),
        ),
        Values::Unsigned(list) => (
            FieldType::Unsigned,
            standalone::simple_compress(list, &config),
        ),
        Values::Text(list) => {
            let mut plain = Vec::new();
            for text in list {
                plain.extend_from_slice(&(text.len() as u32).to_le_bytes());
                plain.extend_from_slice(text.as_bytes());
            }
            let packed = zstd::bulk::compress(&plain, ZSTD_LEVEL).map_err(|e| failed(&e))?;
            (FieldType::Text, Ok(packed))
        }
        Values::Boolean(list) => {
            let plain: Vec<u8> = list.iter().map(|value| u8::from(*value)).collect();
            let packed = zstd::bulk::compress(&plain, ZSTD_LEVEL).map_err(|e| failed(&e))?;
            (FieldType::Boolean, Ok(packed))
        }
    };
    let values = values.map_err(|e| failed(&e))?;
    let mut bytes = Vec::with_capacity(HEADER_BYTES + times.len() + values.len());
    bytes.extend_from_slice(&[VERSION, 0, 0, 0, 0, field_type as u8]);
    bytes.extend_from_slice(&(times.len() as u32).to_le_bytes());
    bytes.extend_from_slice(times);
    bytes.extend_from_slice(&values);
    let checksum = crc32c::crc32c(&bytes[CHECKED_FROM..]);
    bytes[1..CHECKED_FROM].copy_from_slice(&checksum.to_le_bytes());
    Ok(bytes)
}

/// Compresses a tidy column into the chunk of a number; `None` when the column is empty.
///
/// # Errors
///
/// As [`encode`].
pub(super) fn encode_with_meta(
    column: &Column,
    id: i64,
) -> Result<Option<(ChunkMeta, Vec<u8>)>, ChunkError> {
    Encoder::default().encode_with_meta(column, id)
}

impl Encoder {
    /// Compresses a tidy column into the chunk of a number; `None` when the column is empty.
    ///
    /// # Errors
    ///
    /// As [`encode`].
    pub(super) fn encode_with_meta(
        &mut self,
        column: &Column,
        id: i64,
    ) -> Result<Option<(ChunkMeta, Vec<u8>)>, ChunkError> {
        let (Some(first), Some(last)) = (column.times.first(), column.times.last()) else {
            return Ok(None);
        };
        let bytes = encode_after(self, column)?;
        let meta = ChunkMeta {
            id,
            first: *first,
            last: *last,
            points: column.len() as u32,
            size_bytes: bytes.len() as u32,
        };
        Ok(Some((meta, bytes)))
    }
}

/// Unpacks a chunk.
///
/// # Errors
///
/// When the bytes are damaged.
pub fn decode(bytes: &[u8]) -> Result<Column, ChunkError> {
    let (header, rest) = bytes
        .split_at_checked(HEADER_BYTES)
        .ok_or_else(|| damaged(bytes, "it is shorter than its header"))?;
    if header[0] != VERSION {
        return Err(damaged(bytes, format!("it has version {}", header[0])));
    }
    let field_type = FieldType::from_byte(header[5])
        .ok_or_else(|| damaged(bytes, format!("it has type {}", header[5])))?;
    let checksum = u32::from_le_bytes([header[1], header[2], header[3], header[4]]);
    if crc32c::crc32c(&bytes[CHECKED_FROM..]) != checksum {
        return Err(damaged(bytes, "its checksum is wrong"));
    }
    let times_bytes = u32::from_le_bytes([header[6], header[7], header[8], header[9]]) as usize;
    let (times, values) = rest
        .split_at_checked(times_bytes)
        .ok_or_else(|| damaged(bytes, "its times are cut off"))?;
    let times: Vec<i64> = standalone::simple_decompress(times).map_err(|e| damaged(bytes, e))?;
    let values = match field_type {
        FieldType::Float => standalone::simple_decompress(values).map(Values::Float),
        FieldType::Integer => standalone::simple_decompress(values).map(Values::Integer),
        FieldType::Unsigned => standalone::simple_decompress(values).map(Values::Unsigned),
        FieldType::Text => Ok(Values::Text(texts(bytes, values, times.len())?)),
        FieldType::Boolean => {
            let plain =
                zstd::bulk::decompress(values, times.len()).map_err(|e| damaged(bytes, e))?;
            Ok(Values::Boolean(
                plain.iter().map(|byte| *byte != 0).collect(),
            ))
        }
    }
    .map_err(|e| damaged(bytes, e))?;
    if values.len() != times.len() {
        return Err(damaged(bytes, "it has more times than values, or fewer"));
    }
    Ok(Column { times, values })
}

fn texts(chunk: &[u8], packed: &[u8], count: usize) -> Result<Vec<Arc<str>>, ChunkError> {
    let mut plain = Vec::new();
    zstd::stream::copy_decode(packed, &mut plain).map_err(|e| damaged(chunk, e))?;
    if plain.len() > TEXT_BYTES_MAX {
        return Err(damaged(chunk, "its texts are too large"));
    }
    let mut rest = plain.as_slice();
    let mut list = Vec::with_capacity(count);
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (text, after) = after
            .split_at_checked(u32::from_le_bytes(*length) as usize)
            .ok_or_else(|| damaged(chunk, "a text is cut off"))?;
        list.push(
            std::str::from_utf8(text)
                .map_err(|e| damaged(chunk, e))?
                .into(),
        );
        rest = after;
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values(count: usize) -> impl Strategy<Value = Values> {
        use proptest::collection::vec;
        prop_oneof![
            vec(-1e300..1e300f64, count).prop_map(Values::Float),
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
            let decoded = decode(&encode(&column).expect("a good column")).expect("a good chunk");
            prop_assert_eq!(decoded, column);
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
