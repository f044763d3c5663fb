use std::collections::{BTreeMap, HashMap};

use influxdb_line_protocol::{FieldValue, ParsedLine, parse_lines};

use crate::support::{NOW_S, agents, written};

const DAY_S: i64 = 86400;

fn kind(value: &FieldValue<'_>) -> &'static str {
    match value {
        FieldValue::I64(_) => "integer",
        FieldValue::U64(_) => "unsigned",
        FieldValue::F64(_) => "float",
        FieldValue::String(_) => "string",
        FieldValue::Boolean(_) => "boolean",
    }
}

fn parsed(text: &str) -> Vec<ParsedLine<'_>> {
    parse_lines(text)
        .collect::<Result<_, _>>()
        .expect("every line parses")
}

fn field(line: &ParsedLine<'_>, name: &str) -> Option<f64> {
    match line.field_value(name)? {
        FieldValue::I64(value) => Some(*value as f64),
        FieldValue::F64(value) => Some(*value),
        _ => None,
    }
}

#[test]
fn one_seed_writes_the_same_points_and_another_writes_others() {
    let hours = |seed| written(&mut agents(6, seed, &[]), NOW_S - DAY_S / 8, NOW_S, 300);
    assert_eq!(hours(7), hours(7));
    assert_ne!(hours(7), hours(8));
}

#[test]
fn a_live_run_joins_the_backfill_without_a_seam() {
    let scenarios = [("ingest-01", "disk-fill"), ("web-01", "reboots:every=2h")];
    let mut long = agents(6, 7, &scenarios);
    written(&mut long, NOW_S - DAY_S, NOW_S, 600);
    let mut fresh = agents(6, 7, &scenarios);
    assert_eq!(
        written(&mut long, NOW_S + 10, NOW_S + 900, 10),
        written(&mut fresh, NOW_S + 10, NOW_S + 900, 10)
    );
}

#[test]
fn every_field_has_one_type_and_every_measurement_is_telegrafs() {
    let mut fleet = agents(6, 7, &[("web-01", "critical"), ("cache-01", "leak")]);
    let text = written(&mut fleet, NOW_S - 2 * DAY_S, NOW_S, 1800);
    let mut kinds: BTreeMap<(String, String), &str> = BTreeMap::new();
    for line in parsed(&text) {
        let measurement = line.series.measurement.to_string();
        for (name, value) in &line.field_set {
            let first = kinds
                .entry((measurement.clone(), name.to_string()))
                .or_insert_with(|| kind(value));
            assert_eq!(*first, kind(value), "{measurement}.{name}");
        }
    }
    let of = |measurement: &str, field: &str| kinds[&(measurement.to_owned(), field.to_owned())];
    let mut measurements: Vec<&str> = kinds.keys().map(|(name, _)| name.as_str()).collect();
    measurements.dedup();
    assert_eq!(
        measurements,
        [
            "cpu",
            "disk",
            "diskio",
            "mem",
            "net",
            "processes",
            "swap",
            "system"
        ]
    );
    assert_eq!(of("cpu", "usage_irq"), "float");
    assert_eq!(of("mem", "used"), "integer");
    assert_eq!(of("disk", "used_percent"), "float");
    assert_eq!(of("net", "bytes_recv"), "integer");
    assert_eq!(of("system", "load1"), "float");
    assert_eq!(of("system", "uptime_format"), "string");
}

#[test]
fn a_counter_falls_only_when_the_uptime_does() {
    let mut fleet = agents(6, 7, &[("web-01", "reboots:every=12h")]);
    let text = written(&mut fleet, NOW_S - 4 * DAY_S, NOW_S, 1800);
    let mut received: HashMap<String, f64> = HashMap::new();
    let mut fallen: HashMap<String, Vec<i64>> = HashMap::new();
    let mut uptime: HashMap<String, f64> = HashMap::new();
    let mut rebooted: HashMap<String, Vec<i64>> = HashMap::new();
    for line in parsed(&text) {
        let host = line.tag_value("host").expect("a host").to_string();
        let time = line.timestamp.expect("a time");
        if let Some(bytes) = field(&line, "bytes_recv")
            && received
                .insert(host.clone(), bytes)
                .is_some_and(|before| bytes < before)
        {
            fallen.entry(host.clone()).or_default().push(time);
        }
        if let Some(seconds) = field(&line, "uptime")
            && uptime
                .insert(host.clone(), seconds)
                .is_some_and(|before| seconds < before)
        {
            rebooted.entry(host).or_default().push(time);
        }
    }
    assert_eq!(fallen, rebooted);
    assert!(fallen["web-01"].len() >= 7);
}

#[test]
fn a_filling_disk_is_reported_at_its_level_and_its_parts_agree() {
    let mut fleet = agents(6, 7, &[("ingest-01", "disk-fill")]);
    let text = written(&mut fleet, NOW_S, NOW_S + 8 * 3600, 8 * 3600);
    let used: Vec<f64> = parsed(&text)
        .iter()
        .filter(|line| line.series.measurement == "disk")
        .filter(|line| {
            line.tag_value("host")
                .is_some_and(|host| *host == "ingest-01")
                && line.tag_value("path").is_some_and(|path| *path == "/data")
        })
        .map(|line| {
            let percent = field(line, "used_percent").expect("a percentage");
            let (used, free) = (field(line, "used"), field(line, "free"));
            let (used, free) = (used.expect("used"), free.expect("free"));
            assert!((100.0 * used / (used + free) - percent).abs() < 1e-9);
            percent
        })
        .collect();
    // The span holds one whole step of eight hours: eight hours rise by ten per cent.
    assert_eq!(used.len(), 2);
    assert!((used[0] - 80.0).abs() < 0.2, "{used:?}");
    assert!((used[1] - 90.0).abs() < 0.2, "{used:?}");
}

#[test]
fn a_silent_host_has_no_points_after_it_fell_silent() {
    let mut fleet = agents(2, 7, &[("web-01", "silent:since=1h")]);
    let text = written(&mut fleet, NOW_S - 2 * 3600, NOW_S, 300);
    let last = |host: &str| {
        parsed(&text)
            .iter()
            .filter(|line| line.tag_value("host").is_some_and(|tag| *tag == host))
            .filter_map(|line| line.timestamp)
            .max()
    };
    assert_eq!(last("web-01"), Some((NOW_S - 3600) * 1_000_000_000));
    assert_eq!(last("database-01"), Some(NOW_S * 1_000_000_000));
}
