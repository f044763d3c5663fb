//! Folders of real series, in every form that a base learns from.

use std::{fmt::Write as _, fs, io::Write as _, path::Path, sync::Arc};

use flate2::{Compression, write::GzEncoder};
use headroom_forecaster::{
    corpus::{self, Corpus},
    target::Kind,
};
use parquet::{
    data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type},
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::parser::parse_message_type,
};

/// Midnight of a Monday, UTC.
const START_S: i64 = 1_767_571_200;

fn write(folder: &Path, name: &str, text: &str) {
    let content = if Path::new(name).extension().is_some_and(|end| end == "gz") {
        let mut file = GzEncoder::new(Vec::new(), Compression::fast());
        file.write_all(text.as_bytes()).expect("room in memory");
        file.finish().expect("a whole file")
    } else {
        text.as_bytes().to_vec()
    };
    fs::write(folder.join(name), content).expect("written");
}

fn read(files: &[(&str, &str)]) -> Result<Corpus, String> {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        write(folder.path(), name, text);
    }
    corpus::read(folder.path()).map_err(|error| error.to_string())
}

fn refused(name: &str, text: &str) -> String {
    read(&[(name, text)]).expect_err("something is wrong with it")
}

/// The hosts and metrics, with their kinds and values.
fn told(corpus: &Corpus) -> Vec<(String, Kind, Vec<f32>)> {
    let hosts = corpus.hosts.iter().flat_map(|host| {
        host.targets.iter().map(|(target, grid)| {
            let name = format!("{}|{}", host.host, target.metric);
            (name, target.kind, grid.values.clone())
        })
    });
    hosts.collect()
}

#[test]
fn tables_of_text_are_read_with_either_form_of_names_and_times() {
    let together = "series_id,epoch_s,value\na|web-1|cpu.usage,1767571200,40\na|web-1|cpu.usage,1767571500,42\n";
    let apart = "host,metric,other,timestamp,value\n\
                 db-1,disk.queue,x,2026-01-05T00:00:00Z,1\n\
                 db-1,disk.queue,x,2026-01-05 00:05:00,\n\
                 db-1,disk.queue,x,2026-01-05T02:10:00+02:00,3\n";
    let corpus = read(&[
        ("one.csv", together),
        ("two.5min.csv.gz", apart),
        ("notes.md", ""),
    ]);
    let corpus = corpus.expect("two tables");
    let told = told(&corpus);
    assert_eq!(
        told[0],
        (
            "a|web-1|cpu.usage".to_owned(),
            Kind::Percent,
            vec![40.0, 42.0]
        )
    );
    let (name, kind, values) = &told[1];
    assert_eq!((name.as_str(), *kind), ("two|db-1|disk.queue", Kind::Gauge));
    assert!(values[1].is_nan());
    assert_eq!(
        [values[0].to_bits(), values[2].to_bits()],
        [1.0_f32, 3.0].map(f32::to_bits)
    );
    assert_eq!(corpus.hosts[0].targets[0].1.start_s, START_S);
    assert_eq!(corpus.passed_over.len(), 1);
}

#[test]
fn line_protocol_gives_the_service_s_own_targets_and_what_no_rule_knows() {
    let mut lines = "# a comment\n".to_owned();
    for step in 0..200_i64 {
        let time = (START_S + 60 * step) * 1_000_000_000;
        let _ = writeln!(
            lines,
            "cpu,cpu=cpu-total,host=web-1 usage_idle=80,usage_user=15 {time}"
        );
        let _ = writeln!(lines, "cpu,cpu=cpu0,host=web-1 usage_idle=10 {time}");
        let _ = writeln!(
            lines,
            "net,host=web-1,interface=eth0 bytes_recv={}i {time}",
            6_000 * step
        );
        let _ = writeln!(
            lines,
            "net,host=web-1,interface=lo bytes_recv={step}i {time}"
        );
        let read = if step < 150 {
            120 * step
        } else {
            120 * (step - 150)
        };
        let _ = writeln!(
            lines,
            "diskio,host=web-1,name=sda reads={read}i,busy=\"no\",depth=2.5 {time}"
        );
    }
    let corpus = read(&[("fleet.lp.gz", &lines)]).expect("line protocol");
    let told = told(&corpus);
    let names: Vec<&str> = told.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "fleet|web-1|cpu.usage",
            "fleet|web-1|diskio.depth{name=sda}",
            "fleet|web-1|diskio.reads{name=sda}",
            "fleet|web-1|net.bytes_recv{interface=eth0}",
        ]
    );
    let expected = [
        (Kind::Percent, 20.0),
        (Kind::Gauge, 2.5),
        (Kind::Rate, 2.0),
        (Kind::Rate, 100.0),
    ];
    for ((name, kind, values), (expected_kind, expected)) in told.iter().zip(expected) {
        assert_eq!(*kind, expected_kind, "{name}");
        // The reset of the counter leaves a minute that counts from zero; every other step is even.
        let even = values
            .iter()
            .filter(|value| (**value - expected).abs() < 1e-3);
        assert!(even.count() + 1 >= values.len(), "{name}: {values:?}");
    }
}

#[test]
fn what_a_name_promises_is_held_to_the_values() {
    let mut lines = String::new();
    for step in 0..20_i64 {
        let time = (START_S + 60 * step) * 1_000_000_000;
        let used = 2_000_000_000 - step * 4_096 * (step % 3);
        let _ = writeln!(
            lines,
            "docker_container_mem,host=h usage={used}i,usage_percent=12.5 {time}"
        );
        let _ = writeln!(lines, "battery,host=h usage_watts=-{step}.5 {time}");
    }
    let corpus = read(&[("fleet.lp", &lines)]).expect("line protocol");
    let told = told(&corpus);
    let kinds: Vec<(&str, Kind)> = told
        .iter()
        .map(|(name, kind, _)| (name.as_str(), *kind))
        .collect();
    assert_eq!(
        kinds,
        [
            ("fleet|h|battery.usage_watts", Kind::Gauge),
            ("fleet|h|docker_container_mem.usage", Kind::Rate),
            ("fleet|h|docker_container_mem.usage_percent", Kind::Percent),
        ]
    );
}

#[test]
fn parquet_is_read_compressed_and_with_its_own_times() {
    let folder = tempfile::tempdir().expect("a folder");
    let schema = parse_message_type(
        "message series { required binary host (UTF8); required binary metric (UTF8);
         required int64 timestamp (TIMESTAMP_MILLIS); optional double value; }",
    );
    let properties = WriterProperties::builder()
        .set_compression(parquet::basic::Compression::ZSTD(
            parquet::basic::ZstdLevel::default(),
        ))
        .build();
    let file = fs::File::create(folder.path().join("asd.parquet")).expect("a file");
    let schema = Arc::new(schema.expect("a schema"));
    let mut file = SerializedFileWriter::new(file, schema, Arc::new(properties)).expect("a writer");
    let mut group = file.next_row_group().expect("a group");
    let text = |text: &str| vec![ByteArray::from(text); 3];
    for texts in [text("omi-1"), text("m00")] {
        let mut column = group.next_column().expect("no fault").expect("a column");
        column
            .typed::<ByteArrayType>()
            .write_batch(&texts, None, None)
            .expect("written");
        column.close().expect("closed");
    }
    let times = [0, 300, 600].map(|second| (START_S + second) * 1_000);
    let mut column = group.next_column().expect("no fault").expect("a column");
    column
        .typed::<Int64Type>()
        .write_batch(&times, None, None)
        .expect("written");
    column.close().expect("closed");
    let mut column = group.next_column().expect("no fault").expect("a column");
    let written = column
        .typed::<DoubleType>()
        .write_batch(&[0.5, 0.7], Some(&[1, 0, 1]), None);
    written.expect("written");
    column.close().expect("closed");
    group.close().expect("closed");
    file.close().expect("closed");

    let corpus = corpus::read(folder.path()).expect("a table");
    let told = told(&corpus);
    assert_eq!(told[0].0, "asd|omi-1|m00");
    assert_eq!(told[0].2.len(), 3);
    assert!(told[0].2[1].is_nan() && (told[0].2[2] - 0.7).abs() < 1e-6);
}

#[test]
fn what_is_wrong_is_named_with_its_place_and_what_would_be_right() {
    let cases = [
        ("a.csv", "host,value\n", "metric"),
        ("a.csv", "host,metric,value\n", "epoch_s"),
        ("a.csv", "host,metric,time\n", "column value"),
        (
            "a.csv",
            "host,metric,time,value\nh,m,yesterday,1\n",
            "row 1 of",
        ),
        (
            "a.csv",
            "host,metric,epoch_s,value\nh,m,1,1\nh,m,2,many\n",
            "row 2 of",
        ),
        (
            "a.csv",
            "host,metric,epoch_s,value\nh,m,1,1\nh,m,900000000000,2\n",
            "unit of its times",
        ),
        (
            "a.lp",
            "cpu,host=a usage_idle=1 1767571200000000000\ncpu,host=a\n",
            "line 2 of",
        ),
        ("a.lp", "cpu,host=a usage_idle=1\n", "nanoseconds"),
        (
            "a.lp",
            "cpu,host=a usage_idle=1 1767571200\n",
            "nanoseconds",
        ),
        ("a.parquet", "PAR2", "as Parquet"),
        ("a.txt", "cpu usage=1", ".lp.gz"),
    ];
    for (name, text, right) in cases {
        let said = refused(name, text);
        assert!(said.contains(right), "{name}: {said}");
    }
    let nowhere = corpus::read(Path::new("/nowhere")).expect_err("no folder");
    assert!(nowhere.to_string().contains("/nowhere"));
}
