//! The program as it is started from a shell.

use std::{
    net::TcpListener,
    path::Path,
    process::{Command, Output},
};

use headroom_forecaster::version::CODE_VERSION;

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    Command::new(env!("CARGO_BIN_EXE_headroom-forecaster"))
        .args(arguments)
        .env("HEADROOM_DATA_DIR", folder.path().join("data"))
        .envs(variables.iter().copied())
        .output()
        .expect("the program runs")
}

fn refused(variables: &[(&str, &str)]) -> String {
    let output = run(&[], variables);
    assert_eq!(output.status.code(), Some(1), "{variables:?}: {output:?}");
    let said = String::from_utf8(output.stderr).expect("text");
    assert_eq!(said.lines().count(), 1, "{said}");
    said
}

#[test]
fn the_version_names_the_commit_that_was_built() {
    let output = run(&["--version"], &[]);
    let said = String::from_utf8(output.stdout).expect("text");
    assert_eq!(said, format!("headroom-forecaster {CODE_VERSION}\n"));
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let is_told = option_env!("HEADROOM_BUILD_COMMIT").is_some_and(|told| !told.is_empty());
    if is_told || !Path::new(root).join(".git").exists() {
        return;
    }
    let git = Command::new("git")
        .args(["-C", root, "rev-parse", "HEAD"])
        .output();
    let Ok(git) = git else { return };
    let head = String::from_utf8(git.stdout).expect("text");
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(CODE_VERSION, format!("{version}+{}", &head[..12]));
}

#[test]
fn a_bad_setting_is_one_line_that_names_it_and_what_would_be_right() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let cases = [
        ("HEADROOM_LISTEN", "8187", "127.0.0.1:8187"),
        ("HEADROOM_LISTEN", "0.0.0.0:0", "HEADROOM_TOKENS_FILE"),
        ("HEADROOM_LISTEN", address.as_str(), "another port"),
        ("HEADROOM_GATEWAY_URL", "localhost:8186", "http://HOST:PORT"),
        ("HEADROOM_RETRAIN_CRON", "every night", "0 30 3 * * *"),
        ("HEADROOM_TIMEZONE", "Mars/Phobos", "Europe/Berlin"),
        ("HEADROOM_ALERT_PROBABILITY", "2", "0.5"),
        ("HEADROOM_HISTORY_DAYS", "0", "from 1 to 366"),
        ("HEADROOM_DEVICE", "gpu", "cuda:N"),
        ("HEADROOM_DEVICE", "cuda:99", "libtorch finds"),
        ("HEADROOM_EXTRA_MODELS", "lstm", "tcn, attention, auto_ets"),
        (
            "HEADROOM_EXTRA_MODELS",
            "tcn=/nowhere/base",
            "/nowhere/base",
        ),
        ("HEADROOM_TOKENS_FILE", "/nowhere/tokens", "/nowhere/tokens"),
        ("HEADROOM_DATA_DIR", "/proc/headroom", "HEADROOM_DATA_DIR"),
        (
            "HEADROOM_CONFIG",
            "/nowhere/headroom.toml",
            "/nowhere/headroom.toml",
        ),
    ];
    for (setting, value, right) in cases {
        let said = refused(&[(setting, value)]);
        assert!(said.contains(right), "{setting}={value}: {said}");
    }
}

#[test]
fn an_unknown_key_of_the_settings_file_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("headroom.toml");
    std::fs::write(&file, "retrain = \"0 3 * * *\"\n").expect("written");
    let said = refused(&[("HEADROOM_CONFIG", file.to_str().expect("text"))]);
    assert!(
        said.contains("retrain") && said.contains("headroom.toml"),
        "{said}"
    );
}

#[test]
fn an_unknown_flag_is_a_usage_error() {
    assert_eq!(run(&["--horizon", "5"], &[]).status.code(), Some(2));
}

#[test]
fn the_document_is_printed() {
    let output = run(&["openapi"], &[]);
    assert!(output.status.success());
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(document["info"]["title"], "Headroom forecaster");
}

#[test]
fn a_backtest_names_what_it_lacks() {
    for arguments in [
        &["backtest"][..],
        &["backtest", "--series", "series.csv.gz"],
        &["backtest", "--host", "web-1"],
        &[
            "backtest",
            "--series",
            "a",
            "--windows",
            "b",
            "--out",
            "c",
            "--model",
            "oracle",
        ],
    ] {
        assert_eq!(run(arguments, &[]).status.code(), Some(2), "{arguments:?}");
    }
    let output = run(
        &[
            "backtest",
            "--series",
            "/nowhere/s.csv.gz",
            "--windows",
            "/nowhere/w.csv.gz",
            "--out",
            "/dev/null",
        ],
        &[],
    );
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(
        said.contains("/nowhere/w.csv.gz") && said.contains("series.csv beside"),
        "{said}"
    );
}
