//! Writes a database's points as line protocol, CSV or Parquet.

use std::{
    fmt,
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
};

use flate2::{Compression, write::GzEncoder};
use influxdb_line_protocol::{LineProtocolBuilder, builder::FieldValue};

use super::{CommandError, parquet::ParquetPoints};
use crate::{
    app,
    config::{ExportArgs, ExportFormat},
    store::{Column, FieldType, SeriesInfo, Store, StoreError, StoreOptions, Value, View},
};

/// Points of each field that are read at a time, or what a chunk holds of them.
const POINTS_PER_READ: usize = 8_192;

/// Exports what is asked for; returns how many values it wrote.
///
/// # Errors
///
/// When the data folder cannot be opened, there is no such database, or the output cannot be written.
pub async fn export(data_dir: &Path, args: &ExportArgs) -> Result<u64, CommandError> {
    let (journal, store) = app::open_data(data_dir, StoreOptions::default())
        .map_err(|error| CommandError::of_open(data_dir, error))?;
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
        let values = each_part(
            &view,
            args,
            POINTS_PER_READ,
            &mut |measurement, series, columns| {
                let pushed = points.push(measurement, series, columns);
                pushed.map_err(io::Error::other)
            },
        )
        .map_err(|error| error.of_file(path))?;
        points
            .finish()
            .map_err(|error| failed(io::Error::other(error)))?;
        return Ok(values);
    }
    match &args.output {
        None => {
            let mut out = BufWriter::new(io::stdout().lock());
            let values = write_all(&view, args, POINTS_PER_READ, &mut out)
                .map_err(|error| error.of_file(path))?;
            out.flush().map_err(failed)?;
            Ok(values)
        }
        Some(path) if path.extension().is_some_and(|extension| extension == "gz") => {
            let file = File::create(path).map_err(failed)?;
            let mut out = GzEncoder::new(BufWriter::new(file), Compression::fast());
            let values = write_all(&view, args, POINTS_PER_READ, &mut out)
                .map_err(|error| error.of_file(path))?;
            out.finish()
                .and_then(|mut out| out.flush())
                .map_err(failed)?;
            Ok(values)
        }
        Some(path) => {
            let mut out = BufWriter::new(File::create(path).map_err(failed)?);
            let values = write_all(&view, args, POINTS_PER_READ, &mut out)
                .map_err(|error| error.of_file(path))?;
            out.flush().map_err(failed)?;
            Ok(values)
        }
    }
}

/// What cannot be done while points are read and written.
#[derive(Debug)]
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
    points: usize,
    out: &mut dyn Write,
) -> Result<u64, Failed> {
    let is_csv = args.format == ExportFormat::Csv;
    if is_csv {
        let head = b"measurement,tags,time,field,type,value\n";
        out.write_all(head).map_err(Failed::Write)?;
    }
    each_part(view, args, points, &mut |measurement, series, columns| {
        if is_csv {
            write_csv(measurement, series, columns, out)
        } else {
            write_lines(measurement, series, columns, out)
        }
    })
}

/// Takes points of a series: its measurement, itself, and its fields' columns.
type TakePart<'a> = &'a mut dyn FnMut(&str, &SeriesInfo, &[(&str, &Column)]) -> io::Result<()>;

/// Shows the points that are asked for, some of a series at a time, in the order of the output: in line protocol all fields
/// of a time stand together, in the other forms all times of a field. Returns how many values there are.
fn each_part(
    view: &View,
    args: &ExportArgs,
    points: usize,
    take: TakePart<'_>,
) -> Result<u64, Failed> {
    let nanos = |time: chrono::DateTime<chrono::Utc>| time.timestamp_nanos_opt();
    let first = args.since.and_then(nanos).unwrap_or(i64::MIN);
    let last = args.until.and_then(nanos).map_or(i64::MAX, |end| end - 1);
    let mut values = 0;
    for measurement in view.measurements() {
        let wanted = args.measurement.as_deref();
        if wanted.is_some_and(|wanted| wanted != measurement.as_ref()) {
            continue;
        }
        let fields = view.fields(&measurement);
        let mut names: Vec<&str> = fields.iter().map(|field| field.name.as_ref()).collect();
        names.dedup();
        let groups: Vec<(Vec<&str>, Option<FieldType>)> = if args.format == ExportFormat::Lp {
            vec![(names, None)]
        } else {
            let each = fields.iter();
            each.map(|field| (vec![field.name.as_ref()], Some(field.field_type)))
                .collect()
        };
        for series in view.series(&measurement, &[]) {
            for (names, field_type) in &groups {
                let part = Part {
                    measurement: &measurement,
                    series: &series,
                    names,
                    field_type: *field_type,
                };
                values += part.each_slice(view, (first, last), points, take)?;
            }
        }
    }
    Ok(values)
}

/// Fields of a series, in one type or in all.
struct Part<'a> {
    measurement: &'a str,
    series: &'a SeriesInfo,
    names: &'a [&'a str],
    field_type: Option<FieldType>,
}

impl Part<'_> {
    /// Shows the points of a span, so many of each field at a time.
    fn each_slice(
        &self,
        view: &View,
        (mut first, last): (i64, i64),
        points: usize,
        take: TakePart<'_>,
    ) -> Result<u64, Failed> {
        let (number, names) = (self.series.number, self.names);
        let mut values = 0;
        loop {
            let span = (first, last);
            let (_, end) = view.slice(self.measurement, number, names, span, points, true);
            let read = view.scan(self.measurement, &[number], names, first, end);
            for columns in read.map_err(Failed::Read)? {
                let columns = names.iter().copied().zip(&columns);
                let columns: Vec<(&str, &Column)> = columns
                    .flat_map(|(name, columns)| columns.iter().map(move |column| (name, column)))
                    .filter(|(_, column)| {
                        let found = column.values.field_type();
                        self.field_type.is_none_or(|wanted| wanted == found)
                    })
                    .collect();
                let here = columns.iter().map(|(_, column)| column.len() as u64);
                values += here.sum::<u64>();
                take(self.measurement, self.series, &columns).map_err(Failed::Write)?;
            }
            if end >= last {
                return Ok(values);
            }
            first = end + 1;
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        lines::{Precision, scan},
        store::Batch,
    };

    const WEEK_NS: usize = 7 * 86_400_000_000_000;

    fn exported(view: &View, format: ExportFormat, points: usize) -> (u64, String) {
        let args = ExportArgs {
            format,
            database: "db".to_owned(),
            retention_policy: None,
            measurement: None,
            since: None,
            until: None,
            output: None,
        };
        let mut out = Vec::new();
        let values = write_all(view, &args, points, &mut out).expect("an export");
        (values, String::from_utf8(out).expect("text"))
    }

    #[test]
    fn the_output_is_the_same_however_many_points_are_read_at_a_time() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Store::open(dir.path(), StoreOptions::default()).expect("it opens");
        let line = |at: usize, value: &str| {
            let host = at % 2;
            format!("m,host=h{host} a={value},b=\"text {at}\" {at}\nm,host=h{host} c=true -1{at}\n")
        };
        // Chunks that overlap, a field that changes its type, and points that are in memory.
        let batches: [Vec<String>; 4] = [
            (0..40).map(|at| line(at, "1i")).collect(),
            (20..60).map(|at| line(at, "2i")).collect(),
            (0..30).map(|at| line(WEEK_NS + at, "1.5")).collect(),
            (50..70).map(|at| line(at, "3i")).collect(),
        ];
        for (lines, sequence) in batches.into_iter().zip(1..) {
            let text = lines.concat();
            let points = scan(text.as_bytes(), Precision::Nanoseconds);
            let batch = Batch::of_points(points.map(|line| line.verdict.expect("a good line")));
            let applied = store.apply(sequence, "db", None, 0, &batch);
            applied.expect("the store takes points");
            if sequence < 4 {
                store.seal().expect("it seals");
            }
        }
        let view = store.view("db", None).expect("a database");
        for format in [ExportFormat::Lp, ExportFormat::Csv] {
            let whole = exported(&view, format, usize::MAX);
            assert_eq!(whole.0, 3 * 100, "{}", whole.1);
            for points in [1, 7, 20] {
                assert_eq!(exported(&view, format, points), whole);
            }
        }
        let lines = exported(&view, ExportFormat::Lp, 7).1;
        assert_eq!(lines.lines().count(), 2 * 100);
    }
}
