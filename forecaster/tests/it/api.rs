//! Hosts, forecasts and what is refused.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{FakeGateway, HostSpec, NOW_S, Readings, Setup};

async fn world() -> FakeGateway {
    FakeGateway::start(&[
        ("db-1", HostSpec::default()),
        (
            "new-1",
            HostSpec {
                hours: 1,
                ..HostSpec::default()
            },
        ),
        (
            "old-1",
            HostSpec {
                silent_s: 7_200,
                ..HostSpec::default()
            },
        ),
    ])
    .await
}

#[tokio::test]
async fn a_host_with_more_targets_than_are_forecast_names_the_others_and_reads_none_of_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = FakeGateway::start(&[("db-1", HostSpec::default())]).await;
    for disk in 0..100 {
        let tags = [("host", "db-1"), ("path", &*format!("/data/{disk:02}"))];
        let values = [(NOW_S - 300, 40.0)];
        gateway.send(Readings::new(["disk", "used_percent"], &tags, values));
    }
    let app = Setup::new(folder.path(), &gateway).start();
    let host = app.ok("/api/v1/hosts").await["hosts"][0].clone();
    let metrics = host["targets"].as_array().expect("a list");
    // Processor, root and a hundred disks, in the order of the rules.
    assert_eq!(metrics.len(), 64);
    assert_eq!(host["targets_left_out"], 38);
    let left_out = host["left_out"].as_array().expect("a list");
    assert_eq!(left_out.len(), 38);
    assert_eq!(left_out[37], "disk.used_percent{path=/data/99}");

    app.ok("/api/v1/hosts/db-1/forecasts").await;
    let asked = gateway.asked().await;
    let of_history = |statement: &&String| {
        statement.starts_with("SELECT mean(\"used_percent\")")
            && statement.contains("\"host\" = 'db-1'")
    };
    let history: Vec<_> = asked.iter().filter(of_history).collect();
    assert!(!history.is_empty(), "{asked:?}");
    for statement in history {
        assert!(statement.contains("'/data/00'"), "{statement}");
        assert!(!statement.contains("'/data/99'"), "{statement}");
    }
    app.stop().await;
}

#[tokio::test]
async fn hosts_are_found_with_their_targets() {
    let folder = tempfile::tempdir().expect("a folder");
    let app = Setup::new(folder.path(), &world().await).start();
    let hosts = app.ok("/api/v1/hosts").await["hosts"].clone();
    assert_eq!(hosts.as_array().expect("a list").len(), 3);
    assert_eq!(hosts[0]["host"], "db-1");
    assert_eq!(hosts[0]["staleness_s"], 4);
    assert_eq!(hosts[0]["model"], Value::Null);
    let metrics: Vec<_> = hosts[0]["targets"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|target| target["metric"].as_str().expect("a name"))
        .collect();
    assert_eq!(metrics, ["cpu.usage", "disk.used_percent{path=/}"]);
    app.stop().await;
}

#[tokio::test]
async fn a_host_has_a_forecast_before_its_first_train() {
    let folder = tempfile::tempdir().expect("a folder");
    let app = Setup::new(folder.path(), &world().await).start();
    let answer = app.ok("/api/v1/hosts/db-1/forecasts").await;
    let cpu = &answer["forecasts"][0];
    assert_eq!(
        (&cpu["metric"], &cpu["status"]),
        (&json!("cpu.usage"), &json!("cold_start"))
    );
    assert_eq!(cpu["timestamps"].as_array().expect("a list").len(), 48);
    assert_eq!(cpu["timestamps"][0], "2026-01-01T12:00:00Z");
    assert_eq!(cpu["quantiles"].as_array().expect("a list").len(), 11);
    assert_eq!(cpu["quantiles"][5].as_array().expect("a list").len(), 48);
    assert_eq!(cpu["model"]["version"], Value::Null);
    assert!(
        cpu["model"]["fallback_reason"]
            .as_str()
            .expect("a reason")
            .contains("not been trained")
    );
    app.stop().await;
}

#[tokio::test]
async fn forty_eight_steps_are_answered_unasked_and_ninety_six_on_request() {
    let folder = tempfile::tempdir().expect("a folder");
    let app = Setup::new(folder.path(), &world().await).start();
    let cases = [
        ("", 48, "2026-01-01T15:55:00Z"),
        ("&horizon=96", 96, "2026-01-01T19:55:00Z"),
    ];
    for (asked, steps, last) in cases {
        let path = format!("/api/v1/hosts/db-1/forecasts?target=cpu.usage{asked}");
        let answer = app.ok(&path).await;
        let forecast = &answer["forecasts"][0];
        let timestamps = forecast["timestamps"].as_array().expect("a list");
        assert_eq!(timestamps.len(), steps);
        assert_eq!(timestamps[steps - 1], last);
        for level in forecast["quantiles"].as_array().expect("a list") {
            assert_eq!(level.as_array().expect("a list").len(), steps);
        }
    }
    app.stop().await;
}

#[tokio::test]
async fn one_target_horizon_and_step_can_be_chosen() {
    let folder = tempfile::tempdir().expect("a folder");
    let app = Setup::new(folder.path(), &world().await).start();
    let path =
        "/api/v1/hosts/db-1/forecasts?target=disk.used_percent%7Bpath%3D%2F%7D&horizon=8&step=1h";
    let answer = app.ok(path).await;
    let forecasts = answer["forecasts"].as_array().expect("a list");
    assert_eq!(forecasts.len(), 1);
    assert_eq!(forecasts[0]["step_s"], 3_600);
    assert_eq!(forecasts[0]["timestamps"][1], "2026-01-01T13:00:00Z");
    assert_eq!(
        forecasts[0]["quantiles"][0]
            .as_array()
            .expect("a list")
            .len(),
        8
    );
    assert_eq!(forecasts[0]["threshold"]["value"], 90.0);
    assert_eq!(forecasts[0]["threshold"]["eta_p50"], Value::Null);
    app.stop().await;
}

#[tokio::test]
async fn a_silent_hosts_forecast_says_that_it_is_stale() {
    let folder = tempfile::tempdir().expect("a folder");
    let app = Setup::new(folder.path(), &world().await).start();
    let answer = app
        .ok("/api/v1/hosts/old-1/forecasts?target=cpu.usage")
        .await;
    let cpu = &answer["forecasts"][0];
    assert_eq!(cpu["status"], "stale");
    assert!(cpu["staleness_s"].as_i64().expect("seconds") > 6_900);
    assert_eq!(cpu["data_until"], cpu["timestamps"][0]);
    app.stop().await;
}

#[tokio::test]
async fn what_cannot_be_answered_says_what_would_be_right() {
    let folder = tempfile::tempdir().expect("a folder");
    let app = Setup::new(folder.path(), &world().await).start();
    let cases = [
        (
            "/api/v1/hosts/web-9/forecasts",
            404,
            "host_unknown",
            "GET /api/v1/hosts",
        ),
        (
            "/api/v1/hosts/db-1/forecasts?target=cpu",
            404,
            "target_unknown",
            "cpu.usage",
        ),
        (
            "/api/v1/hosts/db-1/forecasts?horizon=97",
            400,
            "horizon_out_of_range",
            "1 to 96",
        ),
        (
            "/api/v1/hosts/db-1/forecasts?horizon=0",
            400,
            "horizon_out_of_range",
            "1 to 96",
        ),
        (
            "/api/v1/hosts/db-1/forecasts?horizon=97&step=1h",
            400,
            "horizon_out_of_range",
            "1 to 96",
        ),
        (
            "/api/v1/hosts/db-1/forecasts?horizon=-1",
            400,
            "request_invalid",
            "horizon",
        ),
        (
            "/api/v1/hosts/db-1/forecasts?step=7m",
            400,
            "step_invalid",
            "5 minutes",
        ),
        (
            "/api/v1/hosts/new-1/forecasts",
            422,
            "history_insufficient",
            "two hours",
        ),
        (
            "/api/v1/hosts/web-9/thresholds",
            404,
            "host_unknown",
            "GET /api/v1/hosts",
        ),
        ("/api/v1/jobs/1", 404, "job_unknown", "GET /api/v1/jobs"),
        (
            "/api/v1/alerts?limit=0",
            400,
            "request_invalid",
            "1 to 1000",
        ),
        ("/api/v1/nothing", 404, "route_unknown", "/docs"),
    ];
    for (path, status, code, right) in cases {
        let detail = app.problem(path, status, code).await;
        assert!(detail.contains(right), "{path}: {detail}");
    }
    app.stop().await;
}

#[tokio::test]
async fn thresholds_are_set_checked_and_kept_over_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = world().await;
    let app = Setup::new(folder.path(), &gateway)
        .threshold("cpu.usage", 80.0)
        .start();
    let path = "/api/v1/hosts/db-1/thresholds";
    let of = |answer: &Value, place: usize| {
        (
            answer["thresholds"][place]["value"].clone(),
            answer["thresholds"][place]["source"].clone(),
        )
    };
    let before = app.ok(path).await;
    assert_eq!(of(&before, 0), (json!(80.0), json!("settings")));
    assert_eq!(of(&before, 1), (json!(90.0), json!("rule")));
    let refused = [
        json!({"thresholds": [{"metric": "cpu.usage", "value": 120.0}]}),
        json!({"thresholds": [{"metric": "cpu.usage"}]}),
        json!({"thresholds": [{"metric": "cpu.usage", "value": 1.0}, {"metric": "cpu.usage", "value": 2.0}]}),
        json!({"cpu.usage": 80.0}),
    ];
    for body in refused {
        let response = app.send(Method::PUT, path, Some(body.clone())).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{body}");
    }
    let unknown = json!({"thresholds": [{"metric": "cpu", "value": 50.0}]});
    let response = app.send(Method::PUT, path, Some(unknown)).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    let body = json!({"thresholds": [{"metric": "disk.used_percent{path=/}", "value": 45.0},
                                     {"metric": "cpu.usage", "value": null}]});
    let response = app.send(Method::PUT, path, Some(body)).await;
    assert_eq!(response.status(), StatusCode::OK);
    app.stop().await;

    let app = Setup::new(folder.path(), &gateway).start();
    let after = app.ok(path).await;
    assert_eq!(of(&after, 0), (Value::Null, json!("api")));
    assert_eq!(of(&after, 1), (json!(45.0), json!("api")));
    let disk = &app.ok("/api/v1/hosts/db-1/forecasts").await["forecasts"][1]["threshold"];
    assert_eq!(
        (&disk["p_cross"], &disk["eta_p50"]),
        (&json!(1.0), &json!(0))
    );
    app.stop().await;
}

#[tokio::test]
async fn figures_for_prometheus_tell_of_hosts_and_their_age() {
    let folder = tempfile::tempdir().expect("a folder");
    let app = Setup::new(folder.path(), &world().await).start();
    app.ok("/api/v1/hosts").await;
    let text = app
        .send(Method::GET, "/metrics", None)
        .await
        .text()
        .await
        .expect("text");
    for line in [
        "headroom_hosts 3",
        "headroom_models 0",
        "headroom_gateway_up 1",
        "headroom_data_staleness_seconds{host=\"old-1\"} 7200",
        "headroom_trains_total{outcome=\"failed\"} 0",
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "{line} is missing in\n{text}"
        );
    }
    app.stop().await;
}
