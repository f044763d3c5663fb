use std::{collections::HashMap, path::Path};

use headroom_simulator::replay::{self, Recording};
use influxdb_line_protocol::parse_lines;

use crate::support::{NOW_S, text_of};

#[test]
fn real_recordings_end_now_for_every_host() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/metrics/lp/nab.lp.gz");
    if !file.exists() {
        println!("skipped: {} is absent", file.display());
        return;
    }
    let original = replay::read(&file).expect("a readable file");
    let mut recording = Recording::parse(original.clone()).expect("good lines");
    assert!(recording.bad.is_empty());
    assert_eq!(recording.hosts(), 8);
    assert_eq!(recording.len(), 32_943);
    let now_ns = NOW_S * 1_000_000_000;
    recording.move_to(now_ns, true).expect("times in range");

    let text: String = recording
        .batches(5000)
        .map(|batch| text_of(&batch))
        .collect();
    let mut last: HashMap<String, i64> = HashMap::new();
    for (moved, original) in text.lines().zip(original.lines()) {
        let text_of = |line: &str| line.rsplit_once(' ').map(|(text, _)| text.to_owned());
        assert_eq!(text_of(moved), text_of(original));
        let line = parse_lines(moved)
            .next()
            .expect("a line")
            .expect("a good line");
        let host = line.tag_value("host").expect("a host").to_string();
        let time = line.timestamp.expect("a time");
        last.entry(host)
            .and_modify(|last| *last = time.max(*last))
            .or_insert(time);
    }
    assert_eq!(text.lines().count(), 32_943);
    assert!(last.values().all(|time| *time == now_ns), "{last:?}");
}

#[test]
fn a_file_that_is_absent_or_damaged_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("cut.lp.gz");
    let missing = replay::read(&file).expect_err("absent").to_string();
    assert!(missing.contains("cut.lp.gz"), "{missing}");
    std::fs::write(&file, [0x1f, 0x8b, 8, 0, 0]).expect("written");
    assert!(replay::read(&file).is_err());
    std::fs::write(&file, [b'a', 0xff]).expect("written");
    let binary = replay::read(&file).expect_err("not text").to_string();
    assert!(binary.contains("at byte 1"), "{binary}");
}
