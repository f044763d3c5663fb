//! Writes a database's points as line protocol, CSV or Parquet.

use std::{
    fmt,
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
    sync::Arc,
};

use flate2::{Compression, write::GzEncoder};
use influxdb_line_protocol::{LineProtocolBuilder, builder::FieldValue};

use super::{CommandError, parquet::ParquetPoints};
use crate::{
    app,
    config::{ExportArgs, ExportFormat},
    store::{Column, SeriesInfo, Store, StoreError, Value, View},
};

/// Series that are read at a time.
const SERIES_PER_READ: usize = 64;

/// Exports what is asked for; returns how many values it wrote.
///
/// # Errors
///
/// When the data folder cannot be opened, there is no such database, or the output cannot be written.
pub async fn export(data_dir: &Path, args: &ExportArgs) -> Result<u64, CommandError> {
    let (journal, store) =
        app::open_data(data_dir).map_err(|error| CommandError::of_open(data_dir, error))?;
    let written = write_to(&store, args);
    journal.close().await;
    written
}

fn write_to(store: &Store, args: &ExportArgs) -> Result<u64, CommandError> {
    let view = store.view(&args.database, args.retention_policy.as_deref());
    let view = view.ok_or_else(|| {
        CommandError::Invalid(format!(
            "there is no database {} with this retention policy; there are: {}",
            args.database,
            store.databases().join(", ")
        ))
    })?;
    let path = args.output.as_deref().unwrap_or(Path::new("-"));
    let failed = |source| CommandError::file("write", path)(source);
    if args.format == ExportFormat::Parquet {
        let Some(path) = &args.output else {
            return Err(CommandError::Invalid(
                "Parquet is written into a file; add --output FILE.parquet".to_owned(),
            ));
        };
        let mut points = ParquetPoints::start(File::create(path).map_err(failed)?)
            .map_err(|error| failed(io::Error::other(error)))?;
        let values = each_series(&view, args, &mut |measurement, series, columns| {
            points
                .push(measurement, series, columns)
                .map_err(io::Error::other)
        })
        .map_err(|error| error.of_file(path))?;
        points
            .finish()
            .map_err(|error| failed(io::Error::other(error)))?;
        return Ok(values);
    }
    match &args.output {
        None => {
            let mut out = BufWriter::new(io::stdout().lock());
            let values = write_all(&view, args, &mut out, path)?;
            out.flush().map_err(failed)?;
            Ok(values)
        }
        Some(path) if path.extension().is_some_and(|extension| extension == "gz") => {
            let file = File::create(path).map_err(failed)?;
            let mut out = GzEncoder::new(BufWriter::new(file), Compression::fast());
            let values = write_all(&view, args, &mut out, path)?;
            out.finish()
                .and_then(|mut out| out.flush())
                .map_err(failed)?;
            Ok(values)
        }
        Some(path) => {
            let mut out = BufWriter::new(File::create(path).map_err(failed)?);
            let values = write_all(&view, args, &mut out, path)?;
            out.flush().map_err(failed)?;
            Ok(values)
        }
    }
}

/// What cannot be done while points are read and written.
enum Failed {
    Read(StoreError),
    Write(io::Error),
}

impl Failed {
    fn of_file(self, path: &Path) -> CommandError {
        match self {
            Self::Read(error) => error.into(),
            Self::Write(error) => CommandError::file("write", path)(error),
        }
    }
}

fn write_all(
    view: &View,
    args: &ExportArgs,
    out: &mut dyn Write,
    path: &Path,
) -> Result<u64, CommandError> {
    if args.format == ExportFormat::Csv {
        out.write_all(b"measurement,tags,time,field,type,value\n")
            .map_err(CommandError::file("write", path))?;
    }
    let written = each_series(view, args, &mut |measurement, series, columns| {
        if args.format == ExportFormat::Csv {
            write_csv(measurement, series, columns, out)
        } else {
            write_lines(measurement, series, columns, out)
        }
    });
    written.map_err(|error| error.of_file(path))
}

/// Takes a series' points: its measurement, itself, and its fields' columns.
type TakeSeries<'a> = &'a mut dyn FnMut(&str, &SeriesInfo, &[(&str, &Column)]) -> io::Result<()>;

/// Shows the points that are asked for, a series at a time; returns how many values there are.
fn each_series(view: &View, args: &ExportArgs, take: TakeSeries<'_>) -> Result<u64, Failed> {
    let nanos = |time: chrono::DateTime<chrono::Utc>| time.timestamp_nanos_opt();
    let first = args.since.and_then(nanos).unwrap_or(i64::MIN);
    let last = args.until.and_then(nanos).map_or(i64::MAX, |end| end - 1);
    let mut values = 0;
    for measurement in view.measurements() {
        let wanted = args.measurement.as_deref();
        if wanted.is_some_and(|wanted| wanted != measurement.as_ref()) {
            continue;
        }
        let fields = view.fields(&measurement).into_iter();
        let mut fields: Vec<Arc<str>> = fields.map(|field| field.name).collect();
        fields.dedup();
        let names: Vec<&str> = fields.iter().map(AsRef::as_ref).collect();
        for series in view.series(&measurement, &[]).chunks(SERIES_PER_READ) {
            let numbers: Vec<u32> = series.iter().map(|series| series.number).collect();
            let read = view.scan(&measurement, &numbers, &names, first, last);
            for (series, columns) in series.iter().zip(&read.map_err(Failed::Read)?) {
                let columns = names.iter().copied().zip(columns);
                let columns: Vec<(&str, &Column)> = columns
                    .flat_map(|(name, columns)| columns.iter().map(move |column| (name, column)))
                    .collect();
                let here = columns.iter().map(|(_, column)| column.len() as u64);
                values += here.sum::<u64>();
                take(&measurement, series, &columns).map_err(Failed::Write)?;
            }
        }
    }
    Ok(values)
}

/// Writes a series' points, one line a time with all fields that have a value then.
fn write_lines(
    measurement: &str,
    series: &SeriesInfo,
    columns: &[(&str, &Column)],
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut next = vec![0; columns.len()];
    while let Some(time) = columns
        .iter()
        .zip(&next)
        .filter_map(|((_, column), next)| column.times.get(*next))
        .min()
        .copied()
    {
        let mut values = columns
            .iter()
            .zip(&mut next)
            .filter_map(|((name, column), next)| {
                let is_due = column.times.get(*next) == Some(&time);
                is_due.then(|| {
                    *next += 1;
                    (*name, column.values.get(*next - 1))
                })
            });
        let Some((name, value)) = values.next() else {
            return Ok(());
        };
        let mut line = LineProtocolBuilder::new().measurement(measurement);
        for (key, value) in series.tags.iter() {
            line = line.tag(key, value);
        }
        let mut line = line.field(name, Written(value));
        for (name, value) in values {
            line = line.field(name, Written(value));
        }
        out.write_all(&line.timestamp(time).close_line().build())?;
    }
    Ok(())
}

/// A value as a line has it.
struct Written(Value);

impl FieldValue for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Value::Float(value) => FieldValue::fmt(value, f),
            Value::Integer(value) => FieldValue::fmt(value, f),
            Value::Unsigned(value) => FieldValue::fmt(value, f),
            Value::Text(text) => FieldValue::fmt(&text.as_ref(), f),
            Value::Boolean(value) => FieldValue::fmt(value, f),
        }
    }
}

/// Returns a series' tags as a JSON object.
pub(super) fn tags_text(series: &SeriesInfo) -> String {
    let tags: serde_json::Map<String, serde_json::Value> = series
        .tags
        .iter()
        .map(|(key, value)| (key.to_string(), value.as_ref().into()))
        .collect();
    serde_json::Value::Object(tags).to_string()
}

/// Writes a series' values, one a row.
fn write_csv(
    measurement: &str,
    series: &SeriesInfo,
    columns: &[(&str, &Column)],
    out: &mut dyn Write,
) -> io::Result<()> {
    let tags = tags_text(series);
    let mut rows = csv::Writer::from_writer(out);
    for (name, column) in columns {
        let field_type = column.values.field_type().name();
        for (index, time) in column.times.iter().enumerate() {
            let value = match column.values.get(index) {
                Value::Float(value) => value.to_string(),
                Value::Integer(value) => value.to_string(),
                Value::Unsigned(value) => value.to_string(),
                Value::Text(text) => text.to_string(),
                Value::Boolean(value) => value.to_string(),
            };
            let time = time.to_string();
            rows.write_record([measurement, &tags, &time, name, field_type, &value])?;
        }
    }
    rows.flush()
}
