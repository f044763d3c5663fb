//! Points as a Parquet file: one value a row, in the column of its type.
//!
//! Columns: `measurement`, `tags` (a JSON object), `time` (nanoseconds since 1970, UTC), `field`, and of `float`, `integer`,
//! `unsigned`, `text` and `boolean` the one that the value is of; the others are null.

use std::{fs::File, sync::Arc};

use parquet::{
    basic::{Compression, ZstdLevel},
    data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type},
    errors::ParquetError,
    file::{
        properties::WriterProperties,
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::parser::parse_message_type,
};

use super::export::tags_text;
use crate::store::{Column, SeriesInfo, Values};

const SCHEMA: &str = "message points {
    required binary measurement (UTF8);
    required binary tags (UTF8);
    required int64 time (TIMESTAMP(NANOS,true));
    required binary field (UTF8);
    optional double float;
    optional int64 integer;
    optional int64 unsigned (INTEGER(64,false));
    optional binary text (UTF8);
    optional boolean boolean;
}";
/// Rows that are held in memory until they are a row group.
const GROUP_ROWS: usize = 500_000;

/// A file that points are written into.
pub(super) struct ParquetPoints {
    file: SerializedFileWriter<File>,
    rows: Rows,
}

/// Rows that wait to be written. A column of values has a level for each row: 1 where the row has one, else 0.
#[derive(Default)]
struct Rows {
    measurements: Vec<ByteArray>,
    tags: Vec<ByteArray>,
    times: Vec<i64>,
    fields: Vec<ByteArray>,
    floats: Vec<f64>,
    integers: Vec<i64>,
    unsigned: Vec<i64>,
    texts: Vec<ByteArray>,
    booleans: Vec<bool>,
    /// Which column of values each row is in.
    kinds: Vec<u8>,
}

impl ParquetPoints {
    /// Starts a file.
    pub(super) fn start(file: File) -> Result<Self, ParquetError> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .build();
        let schema = Arc::new(parse_message_type(SCHEMA)?);
        Ok(Self {
            file: SerializedFileWriter::new(file, schema, Arc::new(properties))?,
            rows: Rows::default(),
        })
    }

    /// Writes a series' values.
    pub(super) fn push(
        &mut self,
        measurement: &str,
        series: &SeriesInfo,
        columns: &[(&str, &Column)],
    ) -> Result<(), ParquetError> {
        let (measurement, tags) = (ByteArray::from(measurement), tags_text(series));
        let tags = ByteArray::from(tags.as_str());
        for (field, column) in columns {
            let field = ByteArray::from(*field);
            let rows = &mut self.rows;
            rows.times.extend_from_slice(&column.times);
            let count = rows.times.len();
            rows.measurements.resize(count, measurement.clone());
            rows.tags.resize(count, tags.clone());
            rows.fields.resize(count, field);
            let kind = match &column.values {
                Values::Float(list) => {
                    rows.floats.extend_from_slice(list);
                    0
                }
                Values::Integer(list) => {
                    rows.integers.extend_from_slice(list);
                    1
                }
                Values::Unsigned(list) => {
                    rows.unsigned.extend(list.iter().map(|value| *value as i64));
                    2
                }
                Values::Text(list) => {
                    rows.texts
                        .extend(list.iter().map(|text| ByteArray::from(text.as_ref())));
                    3
                }
                Values::Boolean(list) => {
                    rows.booleans.extend_from_slice(list);
                    4
                }
            };
            rows.kinds.resize(count, kind);
            if count >= GROUP_ROWS {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Ends the file.
    pub(super) fn finish(mut self) -> Result<(), ParquetError> {
        self.flush()?;
        self.file.close().map(drop)
    }

    fn flush(&mut self) -> Result<(), ParquetError> {
        if self.rows.times.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.rows);
        let mut group = self.file.next_row_group()?;
        let levels = |kind: u8| -> Vec<i16> {
            let kinds = rows.kinds.iter();
            kinds.map(|found| i16::from(*found == kind)).collect()
        };
        write::<ByteArrayType>(&mut group, &rows.measurements, None)?;
        write::<ByteArrayType>(&mut group, &rows.tags, None)?;
        write::<Int64Type>(&mut group, &rows.times, None)?;
        write::<ByteArrayType>(&mut group, &rows.fields, None)?;
        write::<DoubleType>(&mut group, &rows.floats, Some(&levels(0)))?;
        write::<Int64Type>(&mut group, &rows.integers, Some(&levels(1)))?;
        write::<Int64Type>(&mut group, &rows.unsigned, Some(&levels(2)))?;
        write::<ByteArrayType>(&mut group, &rows.texts, Some(&levels(3)))?;
        write::<BoolType>(&mut group, &rows.booleans, Some(&levels(4)))?;
        group.close().map(drop)
    }
}

/// Writes the next column of a row group.
fn write<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, File>,
    values: &[T::T],
    levels: Option<&[i16]>,
) -> Result<(), ParquetError> {
    let next = group.next_column()?;
    let mut column = next.ok_or_else(|| ParquetError::General("a column too many".to_owned()))?;
    column.typed::<T>().write_batch(values, levels, None)?;
    column.close()
}
