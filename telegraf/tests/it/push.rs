use std::{sync::Arc, time::Duration};

use headroom_simulator::{
    backfill::{self, Span},
    progress::Progress,
    push::{Batch, PushError},
};
use tokio_util::sync::CancellationToken;
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{header, method, path, query_param},
};

use crate::support::{NOW_S, agents, gateway};

fn batch() -> Batch {
    Batch::new(1, b"cpu,host=a usage_idle=1 1\n")
}

#[tokio::test]
async fn a_batch_is_gzipped_and_carries_bucket_precision_and_token() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/api/v2/write"))
        .and(query_param("bucket", "telegraf"))
        .and(query_param("precision", "ns"))
        .and(header("content-encoding", "gzip"))
        .and(header("authorization", "Token 0123456789abcdef"))
        .respond_with(ResponseTemplate::new(204))
        .expect(1)
        .mount(&server)
        .await;
    let gateway = gateway(&server.uri(), Some("0123456789abcdef"));
    let progress = Progress::endless("test");
    gateway.push(&batch(), &progress).await.expect("taken");
}

#[tokio::test]
async fn a_busy_gateway_is_asked_again_after_the_time_it_names() {
    let server = MockServer::start().await;
    for (status, wait) in [(503, "0"), (429, "1")] {
        Mock::given(method("POST"))
            .respond_with(ResponseTemplate::new(status).insert_header("Retry-After", wait))
            .up_to_n_times(1)
            .mount(&server)
            .await;
    }
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(204))
        .expect(1)
        .mount(&server)
        .await;
    let progress = Progress::endless("test");
    let outcome = gateway(&server.uri(), None).push(&batch(), &progress).await;
    outcome.expect("taken in the end");
    assert_eq!(server.received_requests().await.map(|r| r.len()), Some(3));
}

#[tokio::test]
async fn a_gateway_that_asks_for_more_patience_than_there_is_is_given_up() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(503).insert_header("Retry-After", "30"))
        .mount(&server)
        .await;
    let progress = Progress::endless("test");
    let error = gateway(&server.uri(), None)
        .push(&batch(), &progress)
        .await
        .expect_err("given up");
    assert!(
        matches!(error, PushError::GaveUp { seconds: 20, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("--gateway-url"));
}

#[tokio::test]
async fn missing_credentials_end_the_run_and_say_what_to_give() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(
            ResponseTemplate::new(401)
                .set_body_string(r#"{"code":"unauthorized","message":"a token is needed"}"#),
        )
        .mount(&server)
        .await;
    let progress = Progress::endless("test");
    let error = gateway(&server.uri(), None)
        .push(&batch(), &progress)
        .await
        .expect_err("refused");
    let message = error.to_string();
    assert!(
        message.contains("a token is needed") && message.contains("HEADROOM_TOKEN"),
        "{message}"
    );
}

#[tokio::test]
async fn a_backfill_pushes_every_line_and_counts_what_was_refused() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(400).set_body_string(r#"{"message":"line 3: no"}"#))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(204))
        .mount(&server)
        .await;
    let span = Span {
        from_s: NOW_S - 86400,
        through_s: NOW_S,
        step_s: 300,
    };
    let cancelled = CancellationToken::new();
    let (_, summary) = backfill::run(
        agents(2, 7, &[]),
        span,
        500,
        &gateway(&server.uri(), None),
        &cancelled,
    )
    .await
    .expect("pushed");
    assert_eq!(summary.refused_batches, 1);
    assert!(summary.refusals[0].contains("line 3: no"));
    assert!(summary.batches > 10 && summary.lines > 500 * (summary.batches - 2));
}

#[tokio::test]
async fn a_cancelled_backfill_ends() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(204).set_delay(Duration::from_millis(20)))
        .mount(&server)
        .await;
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let cancelled = CancellationToken::new();
    cancelled.cancel();
    let progress = Arc::new(Progress::endless("test"));
    let summary = gateway(&server.uri(), None)
        .push_all(receiver, &progress, &cancelled)
        .await
        .expect("ended");
    assert_eq!(summary.batches, 0);
    assert!(sender.is_closed());
}

#[tokio::test]
async fn a_live_fleet_reports_until_it_is_cancelled() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(204))
        .mount(&server)
        .await;
    let cancelled = CancellationToken::new();
    let (gateway, stop) = (gateway(&server.uri(), None), cancelled.clone());
    let run = tokio::spawn(async move {
        headroom_simulator::live::run(agents(1, 7, &[]), 1, 5000, &gateway, &stop).await
    });
    while server.received_requests().await.is_none_or(|r| r.len() < 2) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    cancelled.cancel();
    let pushed = run.await.expect("no panic").expect("no failure");
    // A web host with four cores and one file system reports fifteen lines a round.
    assert!(pushed > 0 && pushed % 15 == 0, "{pushed} lines");
}
