//! A machine whose clock jumps.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use serde_json::json;

use crate::support::{NOW_NS, TestApp};

const SECOND_NS: i64 = 1_000_000_000;

#[tokio::test]
async fn a_clock_that_jumps_holds_up_no_push_for_longer_than_a_seal() {
    // As a machine without a clock of its own starts, before it has asked for the time.
    let time_ns = Arc::new(AtomicI64::new(60 * SECOND_NS));
    let clock = Arc::clone(&time_ns);
    let app = TestApp::start_at(Arc::new(move || clock.load(Ordering::SeqCst))).await;
    let push = async |line: &'static str| app.push("/write?db=telegraf", line).await.0;
    assert_eq!(push("m f=1").await, 204);
    time_ns.store(NOW_NS, Ordering::SeqCst);
    app.until("pushes are taken", async |_| push("m f=2").await == 204)
        .await;
    time_ns.store(120 * SECOND_NS, Ordering::SeqCst);
    assert_eq!(push("m f=3").await, 204, "back again");
    let answer = app.query("SELECT f FROM m").await;
    let rows = &answer["results"][0]["series"][0]["values"];
    let expected = json!([[60 * SECOND_NS, 1], [120 * SECOND_NS, 3], [NOW_NS, 2]]);
    assert_eq!(rows, &expected, "{answer}");
}
