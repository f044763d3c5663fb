use super::*;
use crate::lines::{Precision, Refusal, Rule, Scanner};

const DAY_NS: i64 = 86_400 * 1_000_000_000;

fn open(dir: &tempfile::TempDir, options: GuardOptions) -> Guard {
    Guard::open(dir.path(), options).expect("a folder")
}

/// Pushes a batch on a day; answers what was refused of each line.
fn push_as(guard: &Guard, client: &str, day: i64, text: &str) -> Vec<Option<Refusal>> {
    let mut session = guard.session(Source {
        database: "telegraf",
        bucket: "telegraf",
        client: Some(client),
        received_ns: day * DAY_NS,
    });
    let mut scanner = Scanner::new(text.as_bytes(), Precision::Nanoseconds);
    let mut refused = Vec::new();
    while let Some(line) = scanner.next_line() {
        let parts = line.verdict.expect("well formed");
        refused.push(session.judge(parts, text.as_bytes(), |_, _| Ok(())).err());
    }
    drop(session.finish());
    refused
}

fn push(guard: &Guard, day: i64, text: &str) -> Vec<bool> {
    let refused = push_as(guard, "token", day, text);
    refused.iter().map(Option::is_none).collect()
}

fn limited(per_measurement_day: u32) -> GuardOptions {
    GuardOptions {
        series: Some(SeriesLimits {
            per_measurement_day: Some(per_measurement_day),
            total: 1000,
            ..SeriesLimits::default()
        }),
        ..GuardOptions::default()
    }
}

#[test]
fn a_new_series_over_the_limit_is_refused_with_the_tag_that_grows_and_known_ones_go_on() {
    let dir = tempfile::tempdir().expect("a folder");
    let guard = open(&dir, limited(4));
    let batch = "m,h=a,id=1 f=1\nm,h=a,id=2 f=1\nm,h=b,id=3 f=1\nm,h=b,id=4 f=1\nm,h=a,id=5 f=1";
    let refused = push_as(&guard, "token", 20_000, batch);
    assert_eq!(
        refused.iter().filter(|refusal| refusal.is_some()).count(),
        1
    );
    let refusal = refused[4].as_ref().expect("the fifth");
    assert_eq!(refusal.rule, Rule::SeriesLimit);
    for part in [
        "\"m\"",
        "4 new series",
        "tag \"id\" grows fastest, by 4 values",
        "HEADROOM_SERIES_PER_MEASUREMENT_DAY",
    ] {
        assert!(refusal.reason.contains(part), "{part} in {refusal}");
    }
    assert_eq!(
        push(&guard, 20_000, "m,id=1,h=a f=2\nother f=1"),
        [true, true]
    );
    assert_eq!(
        push(&guard, 20_001, "m,h=a,id=5 f=1\nm,h=a,id=1 f=1"),
        [true, true],
        "another day"
    );
}

#[test]
fn what_was_counted_is_counted_after_a_restart() {
    let dir = tempfile::tempdir().expect("a folder");
    let guard = open(&dir, limited(2));
    assert_eq!(
        push(&guard, 20_000, "m,id=1 f=1\nm,id=2 f=1\nm,id=3 f=1"),
        [true, true, false]
    );
    drop(guard);
    let guard = open(&dir, limited(2));
    assert_eq!(guard.usage().series, 2);
    let refused = push_as(&guard, "token", 20_000, "m,id=1 f=1\nm,id=4 f=1");
    assert!(refused[0].is_none());
    let refusal = refused[1].as_ref().expect("still over");
    assert!(refusal.reason.contains("by 2 values"), "{refusal}");
    assert_eq!(push(&guard, 20_001, "m,id=4 f=1"), [true]);
}

#[test]
fn a_token_and_the_total_have_limits_of_their_own() {
    let dir = tempfile::tempdir().expect("a folder");
    let guard = open(
        &dir,
        GuardOptions {
            series: Some(SeriesLimits {
                per_token_day: Some(2),
                total: 3,
                ..SeriesLimits::default()
            }),
            ..GuardOptions::default()
        },
    );
    let refused = push_as(&guard, "one", 20_000, "a f=1\nb f=1\nc f=1");
    let refusal = refused[2].as_ref().expect("the token's third");
    assert!(
        refusal.reason.contains("HEADROOM_SERIES_PER_TOKEN_DAY"),
        "{refusal}"
    );
    let refused = push_as(&guard, "two", 20_000, "a f=1\nc f=1\nd,t=x f=1");
    let refusal = refused[2].as_ref().expect("the fourth of all");
    assert!(
        refused[1].is_none() && refusal.reason.contains("HEADROOM_SERIES_MAX"),
        "{refusal}"
    );
    assert!(
        refusal.reason.contains("tag \"t\" has a new value"),
        "{refusal}"
    );
}

#[test]
fn what_was_not_seen_for_long_is_forgotten_also_on_disk() {
    let dir = tempfile::tempdir().expect("a folder");
    let guard = open(&dir, limited(10));
    assert_eq!(push(&guard, 20_000, "m,id=1 f=1\nm,id=2 f=1"), [true, true]);
    assert_eq!(push(&guard, 20_020, "m,id=1 f=1"), [true]);
    assert_eq!(push(&guard, 20_040, "n f=1"), [true]);
    assert_eq!(guard.usage().series, 2, "id=2 is forgotten");
    guard.close();
    drop(guard);
    let guard = open(&dir, limited(10));
    assert_eq!(push(&guard, 20_040, "n f=1"), [true]);
    assert!(guard.usage().series <= 3);
}

#[test]
fn a_clock_that_was_far_ahead_and_is_set_right_begins_a_day() {
    let dir = tempfile::tempdir().expect("a folder");
    let guard = open(&dir, limited(1));
    assert_eq!(
        push(&guard, 30_000, "m,id=1 f=1\nm,id=2 f=1"),
        [true, false]
    );
    assert_eq!(
        push(&guard, 29_999, "m,id=2 f=1"),
        [false],
        "an hour around midnight"
    );
    assert_eq!(push(&guard, 20_000, "m,id=2 f=1"), [true]);
}

#[test]
fn a_refused_line_teaches_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let options = GuardOptions {
        holds_types: true,
        contract: Some(
            Contract::parse("[[measurement]]\nname = \"m\"\ntags.id = { pattern = \"[0-9]\" }")
                .expect("valid"),
        ),
        ..limited(1)
    };
    let guard = open(&dir, options);
    let verdicts = push(
        &guard,
        20_000,
        "m,id=x f=1\nm,id=1 f=1i\nm,id=1 f=1\nm,id=2 g=t\nm,id=1 g=1",
    );
    assert_eq!(verdicts, [false, true, false, false, true]);
    assert_eq!(
        guard.usage(),
        GuardUsage {
            series: 1,
            fields: 2
        }
    );
}

#[test]
fn types_are_kept_through_a_restart_and_the_servers_list_outranks_them() {
    let dir = tempfile::tempdir().expect("a folder");
    let held = || GuardOptions {
        holds_types: true,
        ..GuardOptions::default()
    };
    let guard = open(&dir, held());
    assert_eq!(push(&guard, 20_000, "m f=1i,g=1i"), [true]);
    drop(guard);
    let guard = open(&dir, held());
    assert_eq!(push(&guard, 20_000, "m f=1\nm f=2i"), [false, true]);
    assert_eq!(guard.unlisted_buckets(), ["telegraf"]);
    let listed = [ListedField {
        measurement: "m".to_owned(),
        field: "f".to_owned(),
        field_type: FieldType::Float,
    }];
    guard.know_types("telegraf", &listed, false);
    assert_eq!(
        push(&guard, 20_000, "m f=1\nm f=2i\nm g=1"),
        [true, false, false]
    );
    guard.know_types("telegraf", &listed, true);
    assert_eq!(push(&guard, 20_000, "m g=1"), [true], "the server has no g");
    assert!(guard.unlisted_buckets().is_empty());
    drop(guard);
    let guard = open(&dir, held());
    assert_eq!(
        push(&guard, 20_000, "m f=1i\nm g=1i\nm f=1"),
        [false, false, true]
    );
}

#[test]
fn a_new_contract_judges_what_the_old_one_took() {
    let dir = tempfile::tempdir().expect("a folder");
    let contract = |text: &str| Contract::parse(text).expect("valid");
    let guard = open(
        &dir,
        GuardOptions {
            contract: Some(contract("")),
            ..GuardOptions::default()
        },
    );
    assert_eq!(push(&guard, 20_000, "m,a=b f=1\nm,a=b f=1"), [true, true]);
    guard.replace_contract(contract(
        "[[measurement]]\nname = \"m\"\nother_tags = \"refuse\"",
    ));
    assert_eq!(
        push(&guard, 20_000, "m,a=b f=1\nm f=1\nm f=2"),
        [false, true, true]
    );
    guard.replace_contract(contract("max_past = \"1d\""));
    let old = (19_998 * DAY_NS).to_string();
    assert_eq!(
        push(&guard, 20_000, &format!("m f=1\nm f=1 {old}\nm f=1")),
        [true, false, true]
    );
}
