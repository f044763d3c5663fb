//! The fixed evaluation: files in, answers out, nothing read past an origin.

use std::{fmt::Write as _, fs, io::Write as _, path::Path};

use flate2::{Compression, write::GzEncoder};
use headroom_forecaster::{
    evaluation::{self, SCORED_STEPS},
    training::{Budget, train_host},
};
use tokio_util::sync::CancellationToken;

use crate::support::histories::{DAY, wave};

const TRAINING_STEPS: usize = 6 * DAY;
const ORIGIN: usize = 7 * DAY;

/// Writes a folder of one host with two series, whose values from `ORIGIN` on are those of `behind`.
fn write_folder(folder: &Path, behind: &[f32]) {
    let mut values = "series_id,epoch_s,value\n".to_owned();
    let mut windows = "series_id,window,origin_index,core,other\n".to_owned();
    let mut series = "series_id,dataset,n_train\n".to_owned();
    for (seed, metric) in ["cpu.usage", "mem.used"].iter().enumerate() {
        let id = format!("made|web-1|{metric}");
        let before = wave(ORIGIN, 10.0, seed as u64);
        for (step, value) in before.iter().chain(behind).enumerate() {
            let time_s = 1_767_571_200 + 300 * step;
            let _ = writeln!(values, "{id},{time_s},{value}");
        }
        let _ = writeln!(windows, "{id},0,{ORIGIN},1,0\n{id},1,{},0,1", ORIGIN + 1);
        let _ = writeln!(series, "{id},made,{TRAINING_STEPS}");
    }
    for (name, text) in [("series_5min.csv.gz", values), ("windows.csv.gz", windows)] {
        let mut file = GzEncoder::new(Vec::new(), Compression::fast());
        file.write_all(text.as_bytes()).expect("room in memory");
        fs::write(folder.join(name), file.finish().expect("a whole file")).expect("written");
    }
    fs::write(folder.join("series.csv"), series).expect("written");
}

fn answers(behind: &[f32]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    write_folder(folder.path(), behind);
    let hosts = evaluation::read(folder.path(), "core").expect("a whole folder");
    assert_eq!(hosts.len(), 1);
    assert_eq!(hosts[0].host, "made|web-1");
    let request = hosts[0].train_request(1, Budget::tiny());
    assert!(
        request
            .targets
            .iter()
            .all(|(_, grid)| grid.values.len() == TRAINING_STEPS)
    );
    let model = train_host(&request, &(), &CancellationToken::new()).expect("a model");
    let mut out = Vec::new();
    evaluation::write_head(&mut out).expect("room in memory");
    for forecast in hosts[0].forecasts(&model) {
        forecast.write(&mut out).expect("room in memory");
    }
    String::from_utf8(out).expect("plain text")
}

#[test]
fn every_window_of_the_scope_is_answered_from_what_lies_before_it() {
    let one = answers(&wave(2 * DAY, 10.0, 8));
    let other = answers(&vec![99.0; 2 * DAY]);
    assert_eq!(one, other);
    let rows: Vec<&str> = one.lines().collect();
    assert_eq!(rows.len(), 1 + 2 * SCORED_STEPS);
    assert_eq!(
        rows[0],
        "series_id,origin_index,h,q0.025,q0.1,q0.2,q0.3,q0.4,q0.5,q0.6,q0.7,q0.8,q0.9,q0.975"
    );
    assert!(
        rows[1].starts_with("made|web-1|cpu.usage,2016,1,"),
        "{}",
        rows[1]
    );
}

#[test]
fn what_is_missing_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let message = |scope| {
        let error = evaluation::read(folder.path(), scope).expect_err("not an evaluation");
        error.to_string()
    };
    assert!(message("core").contains("windows.csv.gz"));
    write_folder(folder.path(), &[1.0; DAY]);
    assert!(
        message("arima").contains("\"arima\""),
        "{}",
        message("arima")
    );
}
