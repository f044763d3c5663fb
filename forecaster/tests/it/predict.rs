//! Values sent along: forecast without a host, a gateway or a model.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{FakeGateway, Setup, TestApp};

async fn app(folder: &std::path::Path) -> TestApp {
    let gateway = FakeGateway::start(&[]).await;
    Setup::new(folder, &gateway).start()
}

async fn asked(app: &TestApp, body: Value) -> (u16, Value) {
    let response = app.send(Method::POST, "/api/v1/predict", Some(body)).await;
    (
        response.status().as_u16(),
        response.json().await.expect("JSON"),
    )
}

#[tokio::test]
async fn a_season_that_is_sent_is_continued_with_its_errors() {
    let folder = tempfile::tempdir().expect("a folder");
    let app = app(folder.path()).await;
    let values: Vec<f64> = (0..240)
        .map(|hour| 50.0 + 20.0 * (f64::from(hour) * std::f64::consts::TAU / 24.0).sin())
        .collect();
    let body = json!({"values": values, "step_s": 3600, "start": "2026-01-01T00:00:00Z", "horizon": 24, "kind": "percent",
        "quantiles": [0.5, 0.05, 0.95]});
    let (status, answer) = asked(&app, body).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["timestamps"][0], "2026-01-11T00:00:00Z");
    assert_eq!(answer["quantile_levels"], json!([0.05, 0.5, 0.95]));
    for (hour, value) in values.iter().take(24).enumerate() {
        let median = answer["quantiles"][1][hour].as_f64().expect("a number");
        assert!(
            (median - value).abs() < 1.0,
            "{hour}: {median} is not {value}"
        );
    }
    assert!(answer["metrics"]["mae"].as_f64().expect("a backtest") < 1.0);
    app.stop().await;
}

#[tokio::test]
async fn gaps_are_allowed_and_a_model_can_be_chosen() {
    let folder = tempfile::tempdir().expect("a folder");
    let app = app(folder.path()).await;
    let values: Vec<Value> = (0..100)
        .map(|step| {
            if step % 9 == 4 {
                Value::Null
            } else {
                json!(step)
            }
        })
        .collect();
    for model in ["persistence", "ets", "theta"] {
        let (status, answer) = asked(
            &app,
            json!({"values": values, "model": model, "horizon": 3.0}),
        )
        .await;
        assert_eq!((status, &answer["model"]), (200, &json!(model)), "{answer}");
        assert!(
            (answer["quantiles"][5][0].as_f64().expect("a number") - 99.0).abs() < 5.0,
            "{answer}"
        );
    }
    let (status, answer) = asked(&app, json!({"values": [4, 5], "model": "mstl_ets"})).await;
    assert_eq!((status, &answer["model"]), (200, &json!("persistence")));
    let reason = answer["fallback_reason"].as_str().expect("a reason");
    assert!(reason.contains("mstl_ets"), "{reason}");
    app.stop().await;
}

#[tokio::test]
async fn what_makes_no_sense_says_what_would() {
    let folder = tempfile::tempdir().expect("a folder");
    let app = app(folder.path()).await;
    for body in [
        json!({"values": []}),
        json!({"values": [null]}),
        json!({"values": [1], "horizon": 0}),
        json!({"values": [1], "horizon": 97}),
        json!({"values": [1], "step_s": 0}),
        json!({"values": [1], "season_steps": 1}),
        json!({"values": [1], "quantiles": [1.5]}),
        json!({"values": [1], "model": "oracle"}),
        json!({"values": [1e300]}),
        json!({"values": [1], "start": "9999-12-31T23:59:59Z"}),
        json!({"values": [1], "horizon": 1.5}),
        json!([[1]]),
        json!({"value": [1]}),
    ] {
        let (status, answer) = asked(&app, body.clone()).await;
        assert_eq!(
            (status, &answer["code"]),
            (400, &json!("request_invalid")),
            "{body}: {answer}"
        );
    }
    app.stop().await;
}
