use std::{sync::atomic::AtomicI64, sync::atomic::Ordering, time::Duration};

use super::*;
use crate::lines::Rule;

const SECOND_NS: i64 = 1_000_000_000;

struct Kept {
    dir: tempfile::TempDir,
    limits: RejectsLimits,
    now_ns: Arc<AtomicI64>,
    metrics: Arc<Metrics>,
}

impl Kept {
    fn new(max_bytes: u64) -> Self {
        Self {
            dir: tempfile::tempdir().expect("a folder"),
            limits: RejectsLimits {
                max_bytes,
                max_age: Duration::from_mins(1),
            },
            now_ns: Arc::new(AtomicI64::new(SECOND_NS)),
            metrics: Arc::new(Metrics::new().expect("metrics")),
        }
    }

    fn open(&self) -> Rejects {
        let now_ns = Arc::clone(&self.now_ns);
        Rejects::open(
            self.dir.path(),
            self.limits,
            Arc::clone(&self.metrics),
            Arc::new(move || now_ns.load(Ordering::SeqCst)),
        )
        .expect("a new file")
    }

    fn dropped(&self, cause: &str) -> u64 {
        let text = self.metrics.render().expect("metrics");
        let name = format!("headroom_rejects_dropped_total{{cause=\"{cause}\"}} ");
        let value = text.lines().find_map(|line| line.strip_prefix(&name));
        value.map_or(0, |value| value.parse().expect("a number"))
    }
}

fn source(client: &str, received_ns: i64) -> Source {
    Source {
        client: client.to_owned(),
        peer: "10.0.0.7".to_owned(),
        database: "telegraf".to_owned(),
        retention_policy: None,
        precision: Precision::Seconds,
        received_ns,
    }
}

fn offer(rejects: &Rejects, client: &str, rule: Rule, lines: &[&str]) {
    let refusal = Refusal::at(rule, 3, "it is wrong");
    let refused = lines.iter().enumerate().map(|(index, line)| Offered {
        number: index + 1,
        refusal: &refusal,
        indent: 0,
        text: line.as_bytes(),
    });
    rejects.offer(source(client, SECOND_NS), refused);
}

async fn lines(rejects: &Rejects, filter: Filter) -> Vec<String> {
    let found = rejects.newest(filter, None, 1000).await.expect("readable");
    let text = |reject: Reject| String::from_utf8(reject.line).expect("text");
    found.into_iter().map(text).collect()
}

#[tokio::test]
async fn what_was_offered_is_there_after_a_restart_and_can_be_filtered() {
    let kept = Kept::new(1 << 20);
    let rejects = kept.open();
    offer(&rejects, "a", Rule::Value, &["cpu,t=1 f=x", "m\\ em f=y"]);
    offer(&rejects, "b", Rule::FieldType, &["cpu f=1"]);
    rejects.close().await;
    let rejects = kept.open();
    let all = rejects.newest(Filter::default(), None, 10).await;
    let all = all.expect("readable");
    assert_eq!(all.len(), 3);
    assert_eq!(all[0].line, b"cpu f=1");
    assert_eq!(all[2].source.as_ref(), &source("a", SECOND_NS));
    assert_eq!((all[2].number, all[2].column), (1, Some(4)));
    let filter = |field: &str, value: &str| Filter {
        reason: (field == "reason").then(|| value.to_owned()),
        measurement: (field == "measurement").then(|| value.to_owned()),
        client: (field == "client").then(|| value.to_owned()),
    };
    for (field, value, expected) in [
        ("reason", "field_type", vec!["cpu f=1"]),
        ("measurement", "m em", vec!["m\\ em f=y"]),
        ("measurement", "cpu", vec!["cpu f=1", "cpu,t=1 f=x"]),
        ("client", "b", vec!["cpu f=1"]),
        (
            "client",
            "10.0.0.7",
            vec!["cpu f=1", "m\\ em f=y", "cpu,t=1 f=x"],
        ),
        ("client", "nobody", vec![]),
    ] {
        assert_eq!(lines(&rejects, filter(field, value)).await, expected);
    }
    let page = rejects.newest(Filter::default(), Some(all[0].id), 1).await;
    assert_eq!(page.expect("readable")[0].id, all[1].id);
    assert_eq!(
        rejects
            .remove(filter("client", "a"))
            .await
            .expect("writable"),
        2
    );
    assert_eq!(
        (
            rejects.usage().0,
            lines(&rejects, Filter::default()).await.len()
        ),
        (1, 1)
    );
}

#[tokio::test]
async fn the_oldest_go_where_there_is_no_room_and_are_counted() {
    let kept = Kept::new(1 << 20);
    let rejects = kept.open();
    let long = "x".repeat(10_000);
    let texts: Vec<String> = (0..200).map(|index| format!("m f={index}{long}")).collect();
    for text in &texts {
        offer(&rejects, "a", Rule::Value, &[text.as_str()]);
    }
    rejects.close().await;
    let (count, used_bytes) = rejects.usage();
    assert!(used_bytes <= 1 << 20, "{used_bytes}");
    assert_eq!(count + kept.dropped("size"), 200);
    let left = lines(&rejects, Filter::default()).await;
    assert_eq!(left.len() as u64, count);
    assert_eq!(left.first(), texts.last(), "the newest stay");
}

#[tokio::test]
async fn a_flood_is_dropped_at_the_queue_and_counted() {
    let kept = Kept::new(64 << 20);
    let rejects = kept.open();
    let line = format!("m f={}", "x".repeat(100_000));
    let flood: Vec<&str> = (0..500).map(|_| line.as_str()).collect();
    offer(&rejects, "a", Rule::Value, &flood);
    let too_long = "y".repeat(LINE_MAX_BYTES + 1);
    offer(&rejects, "a", Rule::Value, &[too_long.as_str()]);
    rejects.close().await;
    assert_eq!(rejects.usage().0 + kept.dropped("queue_full"), 500);
    assert!(rejects.usage().0 >= 50, "{:?}", rejects.usage());
    assert_eq!(kept.dropped("too_long"), 1);
}

#[tokio::test]
async fn old_rejects_go() {
    let kept = Kept::new(1 << 20);
    let rejects = kept.open();
    offer(&rejects, "a", Rule::Value, &["m f=x"]);
    rejects.close().await;
    kept.now_ns.store(62 * SECOND_NS, Ordering::SeqCst);
    // It is looked at the start, and every minute.
    let rejects = kept.open();
    let upstream = Refusal::whole(Rule::Upstream, "the server's words");
    let line = std::iter::once((1, b"late f=1".as_slice()));
    let source = source("a", SECOND_NS);
    rejects.keep(source, "influxdb", &upstream, line).await;
    rejects.close().await;
    assert_eq!(lines(&rejects, Filter::default()).await, ["late f=1"]);
    assert_eq!(kept.dropped("age"), 1);
}

#[tokio::test]
async fn a_line_that_a_destination_refused_names_it_and_one_that_is_too_long_is_counted() {
    let kept = Kept::new(1 << 20);
    let rejects = kept.open();
    let refusal = Refusal::whole(Rule::Upstream, "the server's words");
    let too_long = vec![b'y'; LINE_MAX_BYTES + 1];
    let refused = [(1, b"m f=1".as_slice()), (2, &too_long)];
    rejects
        .keep(source("a", 7), "new", &refusal, refused.into_iter())
        .await;
    offer(&rejects, "a", Rule::Value, &["m f=x"]);
    let found = rejects.newest(Filter::default(), None, 10).await;
    let found = found.expect("readable");
    let destinations: Vec<_> = found
        .iter()
        .map(|reject| reject.destination.as_deref())
        .collect();
    assert_eq!(destinations, [None, Some("new")]);
    assert_eq!(found[1].source.as_ref(), &source("a", 7));
    assert_eq!(kept.dropped("too_long"), 1);
}

/// The table of format 1, as the former version made it.
const FORMER_SCHEMA: &str = "CREATE TABLE rejects (
    id INTEGER PRIMARY KEY AUTOINCREMENT, time_ns INTEGER NOT NULL, client TEXT NOT NULL, peer TEXT NOT NULL,
    database TEXT NOT NULL, policy TEXT, precision TEXT NOT NULL, received_ns INTEGER NOT NULL, reason TEXT NOT NULL,
    message TEXT NOT NULL, number INTEGER NOT NULL, place INTEGER, measurement TEXT NOT NULL, line BLOB NOT NULL
) STRICT";

#[tokio::test]
async fn the_former_versions_file_is_read_and_written_on() {
    let kept = Kept::new(1 << 20);
    let dir = kept.dir.path().join(DIR_NAME);
    std::fs::create_dir(&dir).expect("a folder");
    let former = rusqlite::Connection::open(dir.join(FILE_NAME)).expect("a file");
    former.execute_batch(FORMER_SCHEMA).expect("a table");
    former
        .execute_batch(
            "PRAGMA user_version = 1;
             INSERT INTO rejects VALUES
                (5, 1000000000, 'a', '10.0.0.7', 'telegraf', NULL, 's', 1000000000, 'value', 'it is wrong', 1, 4, 'm', x'6d')",
        )
        .expect("a row");
    drop(former);
    for _ in 0..2 {
        let rejects = kept.open();
        offer(&rejects, "b", Rule::Value, &["n"]);
        rejects.close().await;
    }
    let found = kept.open().newest(Filter::default(), None, 10).await;
    let found = found.expect("readable");
    let ids: Vec<_> = found.iter().map(|reject| reject.id).collect();
    assert_eq!(ids, [7, 6, 5]);
    let mut former = Reject::new(
        &Arc::new(source("a", SECOND_NS)),
        SECOND_NS,
        1,
        &Refusal::at(Rule::Value, 3, "it is wrong"),
        b"m",
    );
    former.id = 5;
    assert_eq!(found[2], former);
}

#[test]
fn a_file_of_another_version_is_refused() {
    let kept = Kept::new(1 << 20);
    drop(kept.open());
    let path = kept.dir.path().join(DIR_NAME).join(FILE_NAME);
    let file = rusqlite::Connection::open(&path).expect("a file");
    file.pragma_update(None, "user_version", 9)
        .expect("writable");
    let metrics = Arc::new(Metrics::new().expect("metrics"));
    let refused = Rejects::open(kept.dir.path(), kept.limits, metrics, Arc::new(|| 0));
    let message = refused.map(drop).expect_err("not known").to_string();
    assert!(message.contains("format 9"), "{message}");
}

#[test]
fn the_measurement_of_a_wrong_line_is_what_stands_first() {
    for (line, name) in [
        ("cpu,host=a f=x", "cpu"),
        ("my\\ cpu\\,x\\y f", "my cpu,x\\y"),
        ("", ""),
        (",a=b", ""),
    ] {
        assert_eq!(measurement_of(line.as_bytes()), name);
    }
}
