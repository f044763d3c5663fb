//! Which version serves: rollback, removal, and networks that are read when they are asked for.

use headroom_forecaster::model::Base;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{FakeGateway, HostSpec, Setup, TestApp};

async fn world() -> FakeGateway {
    FakeGateway::start(&[
        ("db-1", HostSpec::default()),
        ("web-1", HostSpec::default()),
    ])
    .await
}

async fn aliases(app: &TestApp) -> Vec<(String, Value)> {
    let models = app.ok("/api/v1/models?host=db-1").await["models"].clone();
    let entries = models.as_array().expect("a list").iter();
    entries
        .map(|model| {
            let version = model["version"].as_str().expect("a version");
            (version.to_owned(), model["alias"].clone())
        })
        .collect()
}

async fn serving(app: &TestApp) -> Value {
    let answer = app.ok("/api/v1/hosts/db-1/forecasts").await;
    answer["forecasts"][0]["model"]["version"].clone()
}

async fn choose(app: &TestApp, version: &str) -> (StatusCode, Value) {
    let body = json!({ "version": version });
    let path = "/api/v1/hosts/db-1/champion";
    let response = app.send(Method::PUT, path, Some(body)).await;
    (response.status(), response.json().await.expect("JSON"))
}

async fn remove(app: &TestApp, version: &str) -> (StatusCode, String) {
    let path = format!("/api/v1/hosts/db-1/models/{version}");
    let response = app.send(Method::DELETE, &path, None).await;
    let status = response.status();
    let text = response.text().await.expect("text");
    let code = serde_json::from_str(&text).map_or(String::new(), |problem: Value| {
        problem["code"].as_str().unwrap_or_default().to_owned()
    });
    (status, code)
}

#[tokio::test]
async fn an_earlier_version_serves_again_until_the_next_train_also_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = world().await;
    let app = Setup::new(folder.path(), &gateway).start();
    app.retrained(&["db-1"]).await;
    gateway.pass(86_400);
    app.retrained(&["db-1"]).await;
    assert_eq!(serving(&app).await, "000002");
    let models = app.ok("/api/v1/models").await;
    assert_eq!(
        models["models"][0]["base_sha256"],
        Base::shipped().expect("a base").sha256()
    );
    let (status, chosen) = choose(&app, "000001").await;
    assert_eq!(
        (status, &chosen["alias"]),
        (StatusCode::OK, &json!("champion"))
    );
    assert_eq!(serving(&app).await, "000001");
    let expected = [
        ("000002".to_owned(), Value::Null),
        ("000001".to_owned(), json!("champion")),
    ];
    assert_eq!(aliases(&app).await, expected);
    app.stop().await;

    let app = Setup::new(folder.path(), &gateway).start();
    app.until("/api/v1/models", |answer| !answer["models"][0].is_null())
        .await;
    assert_eq!(serving(&app).await, "000001");
    gateway.pass(86_400);
    app.retrained(&["db-1"]).await;
    assert_eq!(serving(&app).await, "000003");
    app.stop().await;
}

#[tokio::test]
async fn a_version_is_removed_unless_it_serves_and_its_errors_stay() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = world().await;
    let app = Setup::new(folder.path(), &gateway).start();
    app.retrained(&["db-1"]).await;
    gateway.pass(86_400);
    app.retrained(&["db-1"]).await;
    assert_eq!(
        remove(&app, "000002").await,
        (StatusCode::CONFLICT, "version_in_use".to_owned())
    );
    assert_eq!(remove(&app, "000001").await.0, StatusCode::NO_CONTENT);
    for (status, code) in [remove(&app, "000001").await, remove(&app, "../db-1").await] {
        assert_eq!(status, StatusCode::NOT_FOUND, "{code}");
    }
    let (status, problem) = choose(&app, "000001").await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::NOT_FOUND, &json!("version_unknown"))
    );
    assert!(
        problem["detail"]
            .as_str()
            .expect("a detail")
            .contains("000002")
    );
    let quality = app.ok("/api/v1/hosts/db-1/quality?target=cpu.usage").await;
    let trainings = quality["targets"][0]["trainings"]
        .as_array()
        .expect("a list");
    let versions: Vec<_> = trainings
        .iter()
        .map(|training| &training["version"])
        .collect();
    assert_eq!(versions, ["000002", "000001"]);
    app.stop().await;
}

#[tokio::test]
async fn a_network_that_waits_on_disk_answers_as_one_in_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let app = Setup::new(folder.path(), &world().await)
        .with(|raw| raw.models_in_memory = Some(1))
        .start();
    app.retrained(&["db-1", "web-1"]).await;
    let median = async |host: &str| {
        let answer = app.ok(&format!("/api/v1/hosts/{host}/forecasts")).await;
        let cpu = &answer["forecasts"][0];
        (cpu["model"]["kind"].clone(), cpu["quantiles"].clone())
    };
    let first = median("db-1").await;
    median("web-1").await;
    assert_eq!(median("db-1").await, first);

    // Where the disk has lost it, the naive forecast answers and says so.
    median("web-1").await;
    std::fs::remove_file(
        folder
            .path()
            .join("registry/db-1/000001/weights.safetensors"),
    )
    .expect("a file");
    let answer = app.ok("/api/v1/hosts/db-1/forecasts").await;
    for forecast in answer["forecasts"].as_array().expect("a list") {
        assert_ne!(forecast["model"]["kind"], "lstm");
        assert_ne!(forecast["status"], "ok");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_host_that_is_gone_can_be_forgotten_and_one_that_is_not_comes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let app = Setup::new(folder.path(), &world().await).start();
    app.retrained(&["db-1", "web-1"]).await;
    let thresholds = json!({"thresholds": [{"metric": "cpu.usage", "value": 50.0}]});
    let path = "/api/v1/hosts/web-1";
    let set = app
        .send(Method::PUT, &format!("{path}/thresholds"), Some(thresholds))
        .await;
    assert_eq!(set.status(), StatusCode::OK);
    let forget = async |app: &TestApp, path: &str| app.send(Method::DELETE, path, None).await;
    assert_eq!(forget(&app, path).await.status(), StatusCode::NO_CONTENT);
    let threshold = app.ok(&format!("{path}/thresholds")).await["thresholds"][0].clone();
    assert_eq!(threshold["value"], 90.0);
    let forecast = app.ok(&format!("{path}/forecasts")).await["forecasts"][0].clone();
    assert_eq!(forecast["status"], "cold_start");
    // What its name was given for before does not come back.
    app.retrained(&["web-1"]).await;
    let forecast = app.ok(&format!("{path}/forecasts")).await["forecasts"][0].clone();
    assert_eq!(forecast["model"]["version"], "000001");
    let quality = app.ok(&format!("{path}/quality")).await;
    let trainings = &quality["targets"][0]["trainings"];
    assert_eq!(trainings.as_array().expect("a list").len(), 1);
    app.stop().await;

    let gateway = FakeGateway::start(&[("web-1", HostSpec::default())]).await;
    let app = Setup::new(folder.path(), &gateway).start();
    app.until("/api/v1/models", |answer| answer["models"][1].is_object())
        .await;
    let path = "/api/v1/hosts/db-1";
    assert_eq!(forget(&app, path).await.status(), StatusCode::NO_CONTENT);
    let models = app.ok("/api/v1/models").await["models"].clone();
    assert_eq!(models.as_array().expect("a list").len(), 1);
    assert_eq!(models[0]["host"], "web-1");
    assert!(!folder.path().join("registry/db-1").exists());
    let again = forget(&app, path).await;
    assert_eq!(again.status(), StatusCode::NOT_FOUND);
    let problem: Value = again.json().await.expect("JSON");
    assert_eq!(problem["code"], "host_unknown");
    app.stop().await;
}

#[tokio::test]
async fn a_disk_that_is_mounted_later_is_forecast_before_the_next_train() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = world().await;
    let app = Setup::new(folder.path(), &gateway).start();
    app.retrained(&["db-1"]).await;
    gateway.mount();
    let hosts = app
        .until("/api/v1/hosts", |answer| {
            answer["hosts"][0]["targets"][2].is_object()
        })
        .await;
    assert_eq!(
        hosts["hosts"][0]["targets"][2]["metric"],
        "disk.used_percent{path=/data}"
    );
    let answer = app.ok("/api/v1/hosts/db-1/forecasts").await;
    let statuses: Vec<_> = answer["forecasts"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|forecast| forecast["status"].clone())
        .collect();
    assert_eq!(statuses.len(), 3, "{answer}");
    assert_eq!(statuses[2], "cold_start");
    assert!(
        statuses[..2].iter().all(|status| status != "cold_start"),
        "{statuses:?}"
    );
    // Once another host's model knows the like of it, it borrows from there.
    app.retrained(&["web-1"]).await;
    let path = "/api/v1/hosts/db-1/forecasts?target=disk.used_percent%7Bpath%3D%2Fdata%7D";
    let reason = app.ok(path).await["forecasts"][0]["model"]["fallback_reason"].clone();
    let reason = reason.as_str().expect("a reason");
    assert!(reason.contains("borrowed from web-1"), "{reason}");
    // The next train knows it, and nothing speaks for a model that does not.
    gateway.pass(2 * 86_400);
    let job = app.retrained(&["db-1"]).await;
    assert_eq!(job["hosts"][0]["outcome"], "version 000002 serves", "{job}");
    let models = app.ok("/api/v1/models?host=db-1").await;
    let gate = &models["models"][0]["gate"];
    assert!(
        gate["reason"].as_str().expect("a reason").contains("/data"),
        "{gate}"
    );
    app.stop().await;
}
