//! The OpenAPI document: published, complete, and true.

use std::path::Path;

use headroom_forecaster::{jobs::Job, openapi, routes};
use headroom_openapi::health::{Health, Readiness};
use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::support::{FakeGateway, Setup};

fn document() -> Value {
    serde_json::to_value(openapi::document()).expect("a document")
}

fn operations(document: &Value) -> Vec<(String, Value)> {
    let paths = document["paths"].as_object().expect("paths");
    paths
        .iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().expect("methods");
            methods
                .iter()
                .map(move |(method, operation)| (format!("{method} {path}"), operation.clone()))
        })
        .collect()
}

#[test]
fn the_published_document_is_the_one_that_the_code_makes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../openapi/forecaster.json");
    let published = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        published == openapi::rendered().expect("a document"),
        "openapi/forecaster.json differs from the code; run make openapi"
    );
}

#[test]
fn every_operation_has_a_summary_a_description_an_example_and_described_answers() {
    let document = document();
    let operations = operations(&document);
    assert_eq!(operations.len(), 20);
    for (name, operation) in operations {
        for text in ["summary", "description", "operationId"] {
            assert!(
                operation[text]
                    .as_str()
                    .is_some_and(|text| !text.is_empty()),
                "{name}: {text}"
            );
        }
        let responses = operation["responses"].as_object().expect("responses");
        for (status, response) in responses {
            assert!(
                response["description"]
                    .as_str()
                    .is_some_and(|text| !text.is_empty()),
                "{name} {status}"
            );
        }
        let success = responses
            .iter()
            .find(|(status, _)| status.starts_with('2'))
            .expect("a success")
            .1;
        // An answer without a body has nothing to show.
        if let Some(content) = success["content"].as_object() {
            let content = content.values().next().expect("one");
            assert!(!content["example"].is_null(), "{name} has no example");
        } else {
            assert!(responses.contains_key("204"), "{name} has no example");
        }
        if !operation["requestBody"].is_null() {
            assert!(
                !operation["requestBody"]["content"]["application/json"]["example"].is_null(),
                "{name}"
            );
        }
    }
}

#[test]
fn examples_are_what_the_service_could_answer() {
    fn reads<T: DeserializeOwned>(example: &Value) -> bool {
        serde_json::from_value::<T>(example.clone()).is_ok()
    }
    let document = document();
    for (name, operation) in operations(&document) {
        for (status, response) in operation["responses"].as_object().expect("responses") {
            let example = &response["content"]["application/json"]["example"];
            let is_true = match operation["operationId"].as_str().expect("an id") {
                _ if example.is_null() => continue,
                "listHosts" => reads::<routes::hosts::HostsAnswer>(example),
                "forecastFleet" => reads::<routes::forecasts::FleetForecastAnswer>(example),
                "predict" => reads::<routes::predict::PredictAnswer>(example),
                "forecastQuality" => reads::<routes::quality::QualityAnswer>(example),
                "chooseChampion" => reads::<routes::models::ModelAnswer>(example),
                "aggregateForecast" => reads::<routes::forecasts::AggregatesAnswer>(example),
                "forecastHost" => reads::<routes::forecasts::HostForecastAnswer>(example),
                "getThresholds" | "setThresholds" => {
                    reads::<routes::thresholds::ThresholdsAnswer>(example)
                }
                "listModels" => reads::<routes::models::ModelsAnswer>(example),
                "retrain" | "getJob" | "cancelJob" => reads::<Job>(example),
                "listJobs" => reads::<routes::jobs::JobsAnswer>(example),
                "listAlerts" => reads::<routes::alerts::AlertsAnswer>(example),
                "health" => reads::<Health>(example),
                "ready" => reads::<Readiness>(example),
                other => panic!("{other} has an example that nobody checks"),
            };
            assert!(is_true, "{name} {status}: {example}");
        }
    }
}

#[tokio::test]
async fn swagger_ui_and_the_document_are_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = FakeGateway::start(&[]).await;
    let app = Setup::new(folder.path(), &gateway).start();
    let page = app.send(Method::GET, "/docs", None).await;
    assert_eq!(
        (page.status(), page.url().path()),
        (StatusCode::OK, "/docs/")
    );
    assert!(page.text().await.expect("a page").contains("swagger"));
    let served = app.ok("/api-docs/openapi.json").await;
    assert_eq!(served, document());
    app.stop().await;
}
