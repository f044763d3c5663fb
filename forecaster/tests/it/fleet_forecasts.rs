//! Forecasts of the fleet, in other forms and by aggregates: page by page, as CSV, with tags of freshness.

use reqwest::{Method, StatusCode, header};
use serde_json::json;

use crate::support::{FakeGateway, HostSpec, NOW_S, Setup, TestApp};

async fn app(folder: &std::path::Path) -> TestApp {
    let young = HostSpec {
        hours: 1,
        ..HostSpec::default()
    };
    let hosts = [
        ("db-1", HostSpec::default()),
        ("web-1", HostSpec::default()),
        ("web-2", young),
    ];
    let gateway = FakeGateway::start(&hosts).await;
    Setup::new(folder, &gateway).start()
}

#[tokio::test]
async fn the_fleet_is_forecast_page_by_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let app = app(folder.path()).await;
    let path = "/api/v1/forecasts?limit=2&horizon=2&quantiles=0.5";
    let first = app.ok(path).await;
    let hosts: Vec<_> = first["forecasts"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| &one["host"])
        .collect();
    assert_eq!(hosts, ["db-1", "db-1", "web-1", "web-1"]);
    assert_eq!(first["next_after"], "web-1");
    assert_eq!(
        first["forecasts"][0]["quantiles"][0]
            .as_array()
            .expect("steps")
            .len(),
        2
    );
    let last = app.ok(&format!("{path}&after=web-1")).await;
    assert_eq!(
        (&last["forecasts"], &last["next_after"]),
        (&json!([]), &json!(null))
    );
    assert_eq!(last["without_forecast"][0]["host"], "web-2");
    let cpu = app.ok("/api/v1/forecasts?target=cpu.usage").await;
    assert_eq!(cpu["forecasts"].as_array().expect("a list").len(), 2);
    app.problem("/api/v1/forecasts?limit=0", 400, "request_invalid")
        .await;
    app.stop().await;
}

#[tokio::test]
async fn quantiles_of_any_level_are_answered_as_a_table_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let app = app(folder.path()).await;
    let path = "/api/v1/hosts/db-1/forecasts?target=cpu.usage&horizon=3&intervals=99&format=csv";
    let response = app.send(Method::GET, path, None).await;
    assert_eq!(
        response.headers()[header::CONTENT_TYPE],
        "text/csv; charset=utf-8"
    );
    let table = response.text().await.expect("text");
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(
        lines[0],
        "host,metric,time,status,model,data_until,q0.005,q0.5,q0.995"
    );
    assert_eq!(lines.len(), 4);
    assert!(
        lines[1].starts_with(
            "db-1,cpu.usage,2026-01-01T12:00:00Z,cold_start,base,2026-01-01T12:00:00Z,"
        ),
        "{}",
        lines[1]
    );
    let values: Vec<f64> = lines[3]
        .split(',')
        .skip(6)
        .map(|value| value.parse().expect("a number"))
        .collect();
    assert!(values.is_sorted(), "{values:?}");
    app.problem(
        "/api/v1/hosts/db-1/forecasts?quantiles=2",
        400,
        "request_invalid",
    )
    .await;
    app.stop().await;
}

#[tokio::test]
async fn an_answer_that_the_client_has_is_not_sent_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let app = app(folder.path()).await;
    for path in [
        "/api/v1/hosts/db-1/forecasts",
        "/api/v1/hosts/db-1/aggregates",
        "/api/v1/forecasts",
    ] {
        let first = app.send(Method::GET, path, None).await;
        assert_eq!(first.status(), StatusCode::OK, "{path}");
        // 12:00:14: the next five minutes end in 286 s.
        assert_eq!(
            first.headers()[header::CACHE_CONTROL],
            "private, max-age=286",
            "{path}"
        );
        let tag = first.headers()[header::ETAG]
            .to_str()
            .expect("text")
            .to_owned();
        let again = app.send_knowing(path, &tag).await;
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{path}");
        assert_eq!(again.headers()[header::ETAG], tag.as_str(), "{path}");
        let other = app.send_knowing(&format!("{path}?horizon=7"), &tag).await;
        assert_eq!(other.status(), StatusCode::OK, "{path}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_point_that_comes_late_makes_another_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = FakeGateway::start(&[("db-1", HostSpec::default())]).await;
    let step_s = NOW_S / 300 * 300;
    gateway.hold_back(&[step_s - 1_800]);
    let app = Setup::new(folder.path(), &gateway).start();
    for path in ["/api/v1/hosts/db-1/forecasts", "/api/v1/forecasts"] {
        gateway.hold_back(&[step_s - 1_800]);
        let before = app.tag(path).await;
        assert_eq!(app.tag(path).await, before, "{path}");
        gateway.hold_back(&[]);
        let after = app.send_knowing(path, &before).await;
        assert_eq!(after.status(), StatusCode::OK, "{path}");
    }
    app.stop().await;
}

#[tokio::test]
async fn aggregates_bound_the_forecast_and_tell_the_time_over_a_value() {
    let folder = tempfile::tempdir().expect("a folder");
    let app = app(folder.path()).await;
    let answer = app
        .ok("/api/v1/hosts/db-1/aggregates?target=cpu.usage&over=0&quantiles=0.1,0.9")
        .await;
    let cpu = &answer["targets"][0];
    // Usage is never below 0, so the whole horizon lies over it.
    assert_eq!(
        (&answer["horizon_s"], &cpu["over"]["quantiles_s"]),
        (&json!(28_800), &json!([28_800, 28_800]))
    );
    let expected_s = cpu["over"]["expected_s"].as_f64().expect("a number");
    assert!((expected_s - 28_800.0).abs() < 1.0, "{expected_s}");
    for quantile in 0..2 {
        let at = |name: &str| cpu[name][quantile].as_f64().expect("a number");
        assert!(at("minimum") < at("mean") && at("mean") < at("maximum"));
    }
    let of_threshold = app
        .ok("/api/v1/hosts/db-1/aggregates?target=cpu.usage")
        .await;
    assert_eq!(of_threshold["targets"][0]["over"]["value"], 90.0);
    app.problem(
        "/api/v1/hosts/db-1/aggregates?horizon=97",
        400,
        "horizon_out_of_range",
    )
    .await;
    app.problem(
        "/api/v1/hosts/db-1/aggregates?over=NaN",
        400,
        "request_invalid",
    )
    .await;
    app.stop().await;
}
