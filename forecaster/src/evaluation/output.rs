//! Forecasts as files for a scoring program: CSV, or Parquet where the name ends so.
//!
//! One row a step: `series_id`, `origin_index`, `h` from 1, and a column `q…` a level.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
    sync::Arc,
};

use flate2::{Compression, write::GzEncoder};
use parquet::{
    basic::{Compression as Codec, ConvertedType, Repetition, Type as Physical},
    data_type::{ByteArray, ByteArrayType, DoubleType, Int32Type, Int64Type},
    errors::ParquetError,
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::types::Type,
};

use super::{SCORED_STEPS, WindowForecast};
use crate::quantile::LEVELS;

/// The form of a file of forecasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Text.
    Csv,
    /// Text, compressed by gzip.
    CsvGz,
    /// Columns.
    Parquet,
}

/// Why forecasts were not written.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The disk refused.
    #[error("the forecasts cannot be written: {0}")]
    Disk(#[from] io::Error),
    /// The columns cannot be made.
    #[error("the forecasts cannot be written as Parquet: {0}")]
    Parquet(#[from] ParquetError),
}

impl Form {
    /// Returns the form that a file's name asks for.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("parquet") => Self::Parquet,
            Some("gz") => Self::CsvGz,
            _ => Self::Csv,
        }
    }

    /// Writes forecasts.
    ///
    /// # Errors
    ///
    /// When the disk refuses.
    pub fn write(self, out: File, forecasts: &[WindowForecast]) -> Result<(), OutputError> {
        match self {
            Self::Csv => csv(BufWriter::new(out), forecasts)?.flush()?,
            Self::CsvGz => {
                let encoder = GzEncoder::new(BufWriter::new(out), Compression::default());
                csv(encoder, forecasts)?.finish()?.flush()?;
            }
            Self::Parquet => parquet(out, forecasts)?,
        }
        Ok(())
    }
}

fn csv<W: Write>(mut out: W, forecasts: &[WindowForecast]) -> io::Result<W> {
    write!(out, "series_id,origin_index,h")?;
    for level in LEVELS {
        write!(out, ",q{level}")?;
    }
    writeln!(out)?;
    for forecast in forecasts {
        for step in 0..SCORED_STEPS {
            write!(
                out,
                "{},{},{}",
                forecast.series_id,
                forecast.origin,
                step + 1
            )?;
            for level in &forecast.levels {
                write!(out, ",{}", level[step])?;
            }
            writeln!(out)?;
        }
    }
    Ok(out)
}

/// Writes one row group, a column after the other.
fn parquet(out: File, forecasts: &[WindowForecast]) -> Result<(), ParquetError> {
    let properties = WriterProperties::builder()
        .set_compression(Codec::UNCOMPRESSED)
        .build();
    let mut file = SerializedFileWriter::new(out, schema()?, Arc::new(properties))?;
    let mut group = file.next_row_group()?;
    let each = |value: fn(&WindowForecast, usize) -> i64| {
        let rows = forecasts.iter();
        rows.flat_map(move |forecast| (0..SCORED_STEPS).map(move |step| value(forecast, step)))
    };
    let mut place = 0;
    while let Some(mut column) = group.next_column()? {
        match place {
            0 => {
                let ids = forecasts.iter().flat_map(|forecast| {
                    let id = ByteArray::from(forecast.series_id.as_str());
                    std::iter::repeat_n(id, SCORED_STEPS)
                });
                let ids: Vec<ByteArray> = ids.collect();
                column
                    .typed::<ByteArrayType>()
                    .write_batch(&ids, None, None)?
            }
            1 => {
                let origins: Vec<i64> = each(|forecast, _| forecast.origin as i64).collect();
                column
                    .typed::<Int64Type>()
                    .write_batch(&origins, None, None)?
            }
            2 => {
                let steps: Vec<i32> = each(|_, step| step as i64 + 1).map(|h| h as i32).collect();
                column
                    .typed::<Int32Type>()
                    .write_batch(&steps, None, None)?
            }
            _ => {
                let level = place - 3;
                let values = forecasts
                    .iter()
                    .flat_map(|forecast| &forecast.levels[level]);
                let values: Vec<f64> = values.copied().collect();
                column
                    .typed::<DoubleType>()
                    .write_batch(&values, None, None)?
            }
        };
        column.close()?;
        place += 1;
    }
    group.close()?;
    file.close()?;
    Ok(())
}

fn schema() -> Result<Arc<Type>, ParquetError> {
    let column = |name: &str, physical: Physical, text: ConvertedType| {
        let column = Type::primitive_type_builder(name, physical)
            .with_repetition(Repetition::REQUIRED)
            .with_converted_type(text)
            .build()?;
        Ok::<_, ParquetError>(Arc::new(column))
    };
    let mut columns = vec![
        column("series_id", Physical::BYTE_ARRAY, ConvertedType::UTF8)?,
        column("origin_index", Physical::INT64, ConvertedType::NONE)?,
        column("h", Physical::INT32, ConvertedType::NONE)?,
    ];
    for level in LEVELS {
        columns.push(column(
            &format!("q{level}"),
            Physical::DOUBLE,
            ConvertedType::NONE,
        )?);
    }
    let schema = Type::group_type_builder("forecasts")
        .with_fields(columns)
        .build()?;
    Ok(Arc::new(schema))
}
