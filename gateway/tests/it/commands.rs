//! Backup, check, export and import, on the data of a gateway that runs.

use std::{io::Read, path::Path, time::Duration};

use flate2::read::MultiGzDecoder;
use headroom_gateway::{
    commands,
    config::{ByteSize, ExportArgs, ExportFormat, Flags, ImportArgs},
};

use reqwest::Client;
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::path};

use crate::{
    process::{self, Gateway},
    support::{TestApp, init},
};

const LINES: &str = "cpu,host=a\\ b usage=1.5,n=7i,text=\"two\nlines \\\"quoted\\\"\" 1000000000\n\
                     cpu,host=a\\ b up=true,total=18446744073709551615u 2000000000\n\
                     mem,host=c used=3 3000000000\n";

pub(crate) fn export_args(output: &Path) -> ExportArgs {
    ExportArgs {
        format: ExportFormat::Lp,
        database: "telegraf".to_owned(),
        retention_policy: None,
        measurement: None,
        since: None,
        until: None,
        output: Some(output.to_owned()),
    }
}

fn import_args(file: &Path, app: &TestApp) -> ImportArgs {
    ImportArgs {
        file: file.to_owned(),
        url: app.url("").parse().expect("a URL"),
        token: None,
        database: "telegraf".to_owned(),
        retention_policy: None,
        precision: "ns".to_owned(),
    }
}

fn unzipped(path: &Path) -> String {
    let mut text = String::new();
    MultiGzDecoder::new(std::fs::File::open(path).expect("a file"))
        .read_to_string(&mut text)
        .expect("line protocol");
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_running_gateway_is_exported_and_imported_elsewhere() {
    let app = TestApp::start().await;
    let dir = tempfile::tempdir().expect("a folder");
    assert_eq!(app.push("/write?db=telegraf", LINES).await.0, 204);

    let refused = commands::check(app.data_dir())
        .await
        .expect_err("a gateway runs");
    assert!(refused.to_string().contains("backup"), "{refused}");

    let copy = dir.path().join("copy");
    commands::backup(app.data_dir(), &copy).expect("a backup");
    // What comes later is not in the copy.
    assert_eq!(app.push("/write?db=telegraf", "late v=1").await.0, 204);
    let refused = commands::backup(app.data_dir(), &copy).expect_err("it is there");
    assert!(refused.to_string().contains("already"), "{refused}");
    let word = commands::check(&copy).await.expect("a sound copy");
    assert!(word.contains("journal goes to batch 1"), "{word}");

    let file = dir.path().join("points.lp.gz");
    let values = commands::export(&copy, &export_args(&file))
        .await
        .expect("an export");
    assert_eq!(values, 6);
    let other = TestApp::start().await;
    let report = commands::import(&import_args(&file, &other))
        .await
        .expect("an import");
    assert_eq!(report.batches_with_refusals, 0, "{report:?}");
    for q in ["SELECT * FROM cpu GROUP BY *", "SELECT * FROM mem"] {
        let answer = other.query(q).await;
        assert_eq!(answer, app.query(q).await);
        assert!(answer["results"][0]["series"].is_array(), "{answer}");
    }
    assert!(unzipped(&file).starts_with("cpu,host=a\\ b n=7i,text=\"two\nlines"));

    let mut part = export_args(&dir.path().join("part.csv"));
    part.format = ExportFormat::Csv;
    part.measurement = Some("cpu".to_owned());
    part.since = Some(chrono::DateTime::from_timestamp_nanos(1_500_000_000));
    part.until = Some(chrono::DateTime::from_timestamp_nanos(2_000_000_001));
    assert_eq!(commands::export(&copy, &part).await.expect("an export"), 2);
    let text = std::fs::read_to_string(part.output.expect("a path")).expect("CSV");
    assert_eq!(
        text,
        "measurement,tags,time,field,type,value\n\
         cpu,\"{\"\"host\"\":\"\"a b\"\"}\",2000000000,total,unsigned,18446744073709551615\n\
         cpu,\"{\"\"host\"\":\"\"a b\"\"}\",2000000000,up,boolean,true\n"
    );

    let mut columns = export_args(&dir.path().join("points.parquet"));
    columns.format = ExportFormat::Parquet;
    assert_eq!(
        commands::export(&copy, &columns).await.expect("an export"),
        6
    );
    assert_eq!(parquet_rows(&columns.output.expect("a path")), PARQUET_ROWS);
    app.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_before_an_influxdb_goes_on_where_the_original_stood() {
    init();
    let server = MockServer::start().await;
    let takes = || Mock::given(path("/write")).respond_with(ResponseTemplate::new(204));
    takes().up_to_n_times(1).mount(&server).await;
    let away = ResponseTemplate::new(503);
    Mock::given(path("/write"))
        .respond_with(away)
        .mount(&server)
        .await;
    let written = async || {
        let requests = server.received_requests().await.expect("recorded");
        let writes = requests
            .into_iter()
            .filter(|one| one.url.path() == "/write");
        writes
            .map(|one| String::from_utf8(one.body).expect("text"))
            .collect::<Vec<_>>()
    };
    let dirs = tempfile::tempdir().expect("a folder");
    let (data, copy) = (dirs.path().join("data"), dirs.path().join("copy"));
    let run = |arguments: &[&str]| {
        let mut command = process::program();
        let output = command
            .args(arguments)
            .arg("--data-dir")
            .arg(&data)
            .output();
        let output = output.expect("it runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout)
            .expect("text")
            .trim()
            .to_owned()
    };
    let token = run(&["token", "create", "all", "--scope", "admin"]);
    let url = server.uri();
    let before = ["--influx-url", &url, "--influx-version", "1"];
    let gateway = process::start(process::program().args(before), &data).await;
    let push = async |gateway: &Gateway, line: &'static str| {
        let request = Client::new().post(format!("{}/write?db=telegraf", gateway.base));
        let answer = request.bearer_auth(&token).body(line).send().await;
        answer.expect("an answer").status().as_u16()
    };
    let rejects = async |gateway: &Gateway| {
        let request = Client::new().get(format!("{}/api/v1/rejects", gateway.base));
        let answer = request.bearer_auth(&token).send().await.expect("an answer");
        answer.json::<serde_json::Value>().await.expect("JSON")["kept"].take()
    };
    assert_eq!(push(&gateway, "m f=1 1").await, 204);
    let position = data.join("upstream.position");
    while std::fs::read_to_string(&position).ok().as_deref() != Some("1\n") {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(push(&gateway, "m f=\"text\" 2").await, 400);
    assert_eq!(push(&gateway, "m f=3 3").await, 204);
    assert_eq!(rejects(&gateway).await, 1);

    run(&["backup", copy.to_str().expect("text")]);
    drop(gateway);
    server.reset().await;
    takes().mount(&server).await;
    let restored = process::start(process::program().args(before), &copy).await;
    assert_eq!(rejects(&restored).await, 1);
    assert_eq!(
        push(&restored, "m f=\"text\" 4").await,
        400,
        "types are known"
    );
    let anybody = Client::new().post(format!("{}/write?db=telegraf", restored.base));
    let refused = anybody.body("m f=5 5").send().await.expect("an answer");
    assert_eq!(refused.status(), 401, "tokens are asked for");
    while written().await.is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(
        written().await,
        ["m f=3 3"],
        "what was delivered is not sent again"
    );
}

const PARQUET_ROWS: [&str; 6] = [
    r#""cpu" "{\"host\":\"a b\"}" 1970-01-01 00:00:01 "n" 7"#,
    r#""cpu" "{\"host\":\"a b\"}" 1970-01-01 00:00:01 "text" "two\nlines \"quoted\"""#,
    r#""cpu" "{\"host\":\"a b\"}" 1970-01-01 00:00:02 "total" 18446744073709551615"#,
    r#""cpu" "{\"host\":\"a b\"}" 1970-01-01 00:00:02 "up" true"#,
    r#""cpu" "{\"host\":\"a b\"}" 1970-01-01 00:00:01 "usage" 1.5"#,
    r#""mem" "{\"host\":\"c\"}" 1970-01-01 00:00:03 "used" 3.0"#,
];

/// The cells of a file's rows that are not null.
fn parquet_rows(path: &Path) -> Vec<String> {
    use parquet::{
        file::reader::{FileReader, SerializedFileReader},
        record::Field,
    };
    let file = std::fs::File::open(path).expect("a file");
    let reader = SerializedFileReader::new(file).expect("Parquet");
    let rows = reader.get_row_iter(None).expect("rows");
    let cell = |field: &Field| match field {
        Field::Null => None,
        Field::Str(text) => Some(format!("{text:?}")),
        Field::Long(time) if *time >= 1_000_000_000 => Some(
            chrono::DateTime::from_timestamp_nanos(*time)
                .format("%F %T")
                .to_string(),
        ),
        other => Some(other.to_string()),
    };
    rows.map(|row| {
        let row = row.expect("a row");
        let cells = row.get_column_iter().filter_map(|(_, field)| cell(field));
        cells.collect::<Vec<_>>().join(" ")
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_byte_in_a_chunk_is_found() {
    let app = TestApp::start().await;
    let lines: String = (0..500)
        .flat_map(|n| ["m v=".to_owned(), n.to_string(), format!(" {n}\n")])
        .collect();
    assert_eq!(app.push("/write?db=telegraf", lines).await.0, 204);
    let dir = tempfile::tempdir().expect("a folder");
    // The stop seals.
    let data_dir = app.stop_keeping_data().await;
    let copy = dir.path().join("copy");
    commands::backup(data_dir.path(), &copy).expect("a backup");
    commands::check(&copy).await.expect("a sound copy");
    let path = copy.join("store/store.sqlite");
    let mut bytes = std::fs::read(&path).expect("a file");
    // Blobs fill their page from its end; the last one of the file is the chunk's.
    let at = bytes.iter().rposition(|byte| *byte != 0).expect("content");
    bytes[at] ^= 1;
    std::fs::write(&path, bytes).expect("a damaged file");
    let found = commands::check(&copy).await.expect_err("damage");
    assert!(found.to_string().contains("damaged"), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_byte_in_the_journals_last_batch_is_found() {
    let app = TestApp::start().await;
    assert_eq!(app.push("/write?db=telegraf", LINES).await.0, 204);
    let dir = tempfile::tempdir().expect("a folder");
    let copy = dir.path().join("copy");
    commands::backup(app.data_dir(), &copy).expect("a backup");
    let segment = copy.join("journal/00000000000000000001.segment");
    let mut bytes = std::fs::read(&segment).expect("a segment");
    let last = bytes.last_mut().expect("a batch");
    *last ^= 1;
    std::fs::write(&segment, &bytes).expect("a damaged file");
    let found = commands::check(&copy).await.expect_err("damage");
    assert!(found.to_string().contains("damaged in 1 place"), "{found}");
    let kept = std::fs::read(segment.with_extension("16.damaged")).expect("kept");
    assert!(bytes.ends_with(&kept) && !kept.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_byte_in_a_batch_that_is_sealed_and_waits_for_a_destination_is_found() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = dir.path().join("gateway.toml");
    let away = "[[destination]]\nname = \"away\"\nurl = \"http://127.0.0.1:9\"";
    std::fs::write(&config, away).expect("writable");
    let app = TestApp::start_with(Flags {
        config: Some(config),
        // Segments of an eighth.
        journal_max_bytes: Some(ByteSize(2 << 20)),
        ..Flags::default()
    })
    .await;
    for n in 0..3 {
        let line = format!("m f=\"{}\" {n}", "x".repeat(300_000));
        assert_eq!(app.push("/write?db=telegraf", line).await.0, 204);
    }
    // The stop seals.
    let data_dir = app.stop_keeping_data().await;
    commands::check(data_dir.path()).await.expect("sound");
    // Neither the first nor the last, which every start looks at.
    let segment = data_dir.path().join("journal/00000000000000000002.segment");
    let mut bytes = std::fs::read(&segment).expect("a segment");
    bytes[150_000] ^= 1;
    std::fs::write(&segment, &bytes).expect("a damaged file");
    let found = commands::check(data_dir.path()).await.expect_err("damage");
    assert!(found.to_string().contains("damaged in 1 place"), "{found}");
}

#[test]
fn help_names_signals_exit_codes_and_examples_and_a_wrong_flag_is_told() {
    let run = |arguments: &[&str]| {
        process::program()
            .args(arguments)
            .output()
            .expect("it runs")
    };
    let help = run(&["--help"]);
    assert!(help.status.success());
    let text = String::from_utf8_lossy(&help.stdout).into_owned();
    for needle in [
        "Usage:",
        "Examples:",
        "Signals:",
        "Exit status:",
        "HEADROOM_LISTEN",
    ] {
        assert!(text.contains(needle), "{needle}");
    }
    let wrong = run(&["--lissten", "a"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("--listen"));
    assert!(wrong.stdout.is_empty());
}
