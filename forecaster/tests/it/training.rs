//! Retrain jobs, from the request to the model that serves, and what goes wrong on the way.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use headroom_forecaster::{
    model::Base,
    training::{TrainError, train_host},
    version::CODE_VERSION,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{FakeGateway, HostSpec, NOW_S, Setup};

async fn world() -> FakeGateway {
    FakeGateway::start(&[
        ("db-1", HostSpec::default()),
        (
            "new-1",
            HostSpec {
                hours: 12,
                ..HostSpec::default()
            },
        ),
        ("web-1", HostSpec::default()),
    ])
    .await
}

#[tokio::test]
async fn a_trained_host_is_served_by_its_model_also_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = world().await;
    let app = Setup::new(folder.path(), &gateway).start();
    let job = app.retrained(&["db-1"]).await;
    assert_eq!(
        (&job["state"], &job["hosts"][0]["error"]),
        (&json!("done"), &Value::Null)
    );
    assert_eq!(job["share_done"], 1.0);

    let model = app.ok("/api/v1/models").await["models"][0].clone();
    assert_eq!(
        (&model["host"], &model["alias"]),
        (&json!("db-1"), &json!("champion"))
    );
    assert_eq!(model["code_version"], CODE_VERSION);
    let scores = &model["targets"][0]["scores"]["seasonal_naive_day"];
    for figure in ["mae", "rmse", "mase", "crps", "coverage80", "baseline_mae"] {
        assert!(scores[figure].is_number(), "{figure}: {scores}");
    }
    let cpu = app.ok("/api/v1/hosts/db-1/forecasts").await["forecasts"][0].clone();
    assert_eq!(cpu["model"]["version"], model["version"]);
    assert_ne!(cpu["status"], "cold_start");
    assert!(cpu["metrics"]["mae"].is_number() && cpu["metrics"]["vs_seasonal_naive"].is_number());
    app.stop().await;

    gateway.go_away();
    let app = Setup::new(folder.path(), &gateway).start();
    app.until("/api/v1/models", |answer| {
        answer["models"][0]["version"] == model["version"]
    })
    .await;
    let figures = app.send(Method::GET, "/metrics", None).await;
    let figures = figures.text().await.expect("text");
    let trained = format!("headroom_last_train_success_timestamp_seconds {NOW_S}\n");
    assert!(figures.contains(&trained), "{figures}");
    app.stop().await;
}

#[tokio::test]
async fn a_host_without_a_model_borrows_from_trained_hosts_that_look_alike() {
    let folder = tempfile::tempdir().expect("a folder");
    let app = Setup::new(folder.path(), &world().await).start();
    let path = "/api/v1/hosts/new-1/forecasts?target=cpu.usage";
    let reason = |answer: &Value| {
        let forecast = &answer["forecasts"][0];
        assert_eq!(forecast["status"], "cold_start");
        let reason = forecast["model"]["fallback_reason"].as_str();
        reason.expect("a reason").to_owned()
    };
    let alone = reason(&app.ok(path).await);
    assert!(!alone.contains("borrowed"), "{alone}");
    let tag = app.tag(path).await;
    app.retrained(&["db-1", "web-1"]).await;
    let lent = reason(&app.ok(path).await);
    assert_ne!(app.tag(path).await, tag, "it has other lenders");
    assert!(lent.contains("borrowed from db-1, web-1"), "{lent}");
    app.stop().await;
}

#[tokio::test]
async fn kinds_of_model_that_the_settings_name_are_judged_in_a_retrain() {
    let folder = tempfile::tempdir().expect("a folder");
    let app = Setup::new(folder.path(), &world().await)
        .with(|raw| raw.extra_models = Some("tcn, auto_ets".to_owned()))
        .start();
    app.retrained(&["db-1"]).await;
    let model = app.ok("/api/v1/models").await["models"][0].clone();
    let scores = &model["targets"][0]["scores"];
    assert!(scores["tcn"]["crps"].is_number(), "{scores}");
    assert!(scores["auto_ets"]["crps"].is_number(), "{scores}");
    assert_eq!(scores["attention"], Value::Null);
    assert_eq!(scores["auto_sarima"], Value::Null);
    app.stop().await;
}

#[tokio::test]
async fn each_train_makes_a_version_and_serves_once_it_can_be_compared() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = world().await;
    let app = Setup::new(folder.path(), &gateway).start();
    app.retrained(&["web-1"]).await;
    let job = app.retrained(&["web-1"]).await;
    let outcome = job["hosts"][0]["outcome"].as_str().expect("an outcome");
    assert!(
        outcome.starts_with("version 000001 goes on serving, version 000002 is kept")
            && outcome.contains("less than 24 hours older"),
        "{outcome}"
    );
    gateway.pass(86_400);
    app.retrained(&["web-1"]).await;
    let models = app.ok("/api/v1/models?host=web-1").await["models"].clone();
    let aliases: Vec<_> = models
        .as_array()
        .expect("a list")
        .iter()
        .map(|model| &model["alias"])
        .collect();
    assert_eq!(aliases, [&json!("champion"), &Value::Null, &Value::Null]);
    app.stop().await;
}

#[tokio::test]
async fn a_history_that_is_too_short_says_how_much_is_needed() {
    let folder = tempfile::tempdir().expect("a folder");
    let app = Setup::new(folder.path(), &world().await).start();
    let job = app.retrained(&["new-1"]).await;
    assert_eq!(job["state"], "failed");
    let error = job["hosts"][0]["error"].as_str().expect("an error");
    assert!(
        error.contains("at least") && error.contains("cpu.usage"),
        "{error}"
    );
    app.stop().await;
}

#[tokio::test]
async fn a_train_that_panics_leaves_the_old_model_and_the_next_host_its_turn() {
    let folder = tempfile::tempdir().expect("a folder");
    let is_broken = Arc::new(AtomicBool::new(false));
    let broken = Arc::clone(&is_broken);
    let app = Setup::new(folder.path(), &world().await)
        .training_by(move |request, progress, cancelled| {
            let breaks = broken.load(Ordering::SeqCst) && request.host == "db-1";
            assert!(!breaks, "a broken tensor");
            train_host(request, progress, cancelled)
        })
        .start();
    app.retrained(&["db-1"]).await;
    is_broken.store(true, Ordering::SeqCst);
    let job = app.retrained(&["db-1", "web-1"]).await;
    assert_eq!(job["state"], "done");
    let error = job["hosts"][0]["error"].as_str().expect("an error");
    assert!(
        error.contains("panicked") && error.contains("a broken tensor"),
        "{error}"
    );
    assert_eq!(job["hosts"][1]["state"], "done");
    let cpu = app.ok("/api/v1/hosts/db-1/forecasts").await["forecasts"][0].clone();
    assert_eq!(cpu["model"]["version"], "000001");
    app.stop().await;
}

#[tokio::test]
async fn a_train_that_hangs_is_ended_and_names_the_setting() {
    let folder = tempfile::tempdir().expect("a folder");
    let app = Setup::new(folder.path(), &world().await)
        .with(|raw| raw.train_timeout_s = Some(1))
        .training_by(|request, _, cancelled| {
            while !cancelled.is_cancelled() {
                std::thread::yield_now();
            }
            Err(TrainError::Cancelled {
                host: request.host.clone(),
            })
        })
        .start();
    let job = app.retrained(&["db-1"]).await;
    let error = job["hosts"][0]["error"].as_str().expect("an error");
    assert!(error.contains("HEADROOM_TRAIN_TIMEOUT_S"), "{error}");
    app.stop().await;
}

#[tokio::test]
async fn a_running_job_can_be_cancelled_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let app = Setup::new(folder.path(), &world().await)
        .training_by(|request, _, cancelled| {
            while !cancelled.is_cancelled() {
                std::thread::yield_now();
            }
            Err(TrainError::Cancelled {
                host: request.host.clone(),
            })
        })
        .start();
    let job = app.retrain(&["db-1", "web-1"]).await;
    app.until(&job, |job| job["hosts"][0]["state"] == "training")
        .await;
    let response = app.send(Method::DELETE, &job, None).await;
    assert_eq!(response.status(), StatusCode::OK);
    let cancelled: Value = response.json().await.expect("JSON");
    assert_eq!(cancelled["state"], "cancelled");
    assert_eq!(cancelled["hosts"][1]["state"], "cancelled");
    let again = app.send(Method::DELETE, &job, None).await;
    assert_eq!(again.status(), StatusCode::CONFLICT);
    app.problem(&job, 404, "job_cancelled").await;
    app.stop().await;
}

#[tokio::test]
async fn a_host_without_a_model_is_trained_as_soon_as_it_is_seen() {
    let folder = tempfile::tempdir().expect("a folder");
    let app = Setup::new(folder.path(), &world().await)
        .with(|raw| raw.train_on_start = Some(true))
        .start();
    let models = app
        .until("/api/v1/models", |answer| answer["models"][1].is_object())
        .await;
    assert_eq!(
        (&models["models"][0]["host"], &models["models"][1]["host"]),
        (&json!("db-1"), &json!("web-1"))
    );
    let jobs = app
        .until("/api/v1/jobs", |answer| {
            !answer["jobs"][0]["finished_at"].is_null()
        })
        .await;
    assert_eq!(
        (&jobs["jobs"][0]["cause"], &jobs["jobs"][0]["state"]),
        (&json!("new_host"), &json!("done"))
    );
    app.stop().await;
}

#[tokio::test]
async fn a_retrain_that_means_nothing_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let app = Setup::new(folder.path(), &world().await).start();
    let cases = [
        (json!({"hosts": ["web-9"]}), 404),
        (json!(["db-1"]), 400),
        (json!({"hosts": []}), 409),
    ];
    for (body, status) in cases {
        let response = app
            .send(Method::POST, "/api/v1/retrain", Some(body.clone()))
            .await;
        assert_eq!(response.status().as_u16(), status, "{body}");
    }
    app.stop().await;
}

#[tokio::test]
async fn the_schedule_retrains_all_hosts() {
    let folder = tempfile::tempdir().expect("a folder");
    let app = Setup::new(folder.path(), &world().await)
        .with(|raw| raw.retrain_cron = Some("* * * * * *".to_owned()))
        .start();
    let jobs = app
        .until("/api/v1/jobs", |answer| !answer["jobs"][0].is_null())
        .await;
    assert_eq!(jobs["jobs"][0]["cause"], "schedule");
    assert_eq!(
        jobs["jobs"][0]["hosts"].as_array().expect("a list").len(),
        3
    );
    app.stop().await;
}

#[tokio::test]
async fn the_fleets_base_is_of_all_hosts_and_stays_when_a_few_are_retrained() {
    let folder = tempfile::tempdir().expect("a folder");
    let names = ["db-1", "db-2", "web-1", "web-2", "web-3"];
    let hosts = names.map(|name| (name, HostSpec::default()));
    let gateway = FakeGateway::start(&hosts).await;
    let app = Setup::new(folder.path(), &gateway).start();
    let file = folder.path().join("registry/base.safetensors");
    let job = app.retrained(&names[..4]).await;
    assert_eq!(job["state"], "done");
    assert_eq!(
        (&job["base"]["state"], &job["base"]["error"]),
        (&json!("done"), &Value::Null)
    );
    assert!(job["base"]["seconds"].is_number(), "{}", job["base"]);
    let bytes = std::fs::read(&file).expect("a base");
    let base = Base::from_bytes(&bytes).expect("a base");
    // The first one is of all hosts too; each has two targets, cpu.usage and a disk.
    assert_eq!(base.shape().series, 2 * names.len());

    std::fs::remove_file(&file).expect("removed");
    let job = app.retrained(&names[1..]).await;
    assert_eq!(
        (&job["state"], &job["base"]["state"]),
        (&json!("done"), &json!("kept"))
    );
    assert!(!file.exists(), "a few hosts made a base");
    let job = app.retrained_all().await;
    assert_eq!(job["state"], "done");
    let again = std::fs::read(&file).expect("a base");
    assert!(again == bytes, "the same hosts make another base");
    app.stop().await;

    std::fs::write(&file, b"damaged").expect("written");
    let app = Setup::new(folder.path(), &gateway).start();
    assert_eq!(app.retrained(&["db-1"]).await["state"], "done");
    app.stop().await;
    assert_eq!(std::fs::read(&file).expect("a file"), b"damaged");
}

#[tokio::test]
async fn a_slow_host_holds_up_its_own_worker_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let app = Setup::new(folder.path(), &world().await)
        .with(|raw| raw.train_workers = Some(2))
        .training_by(|request, progress, cancelled| {
            while request.host == "db-1" && !cancelled.is_cancelled() {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            train_host(request, progress, cancelled)
        })
        .start();
    let job = app.retrain(&["db-1", "web-1"]).await;
    let job = app
        .until(&job, |job| job["hosts"][1]["state"] == "done")
        .await;
    assert_eq!(
        (&job["hosts"][0]["state"], &job["state"]),
        (&json!("training"), &json!("running"))
    );
    app.stop().await;
}

#[tokio::test]
async fn a_train_that_stops_of_the_service_cut_short_is_tried_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = world().await;
    let mut job = None;
    for _ in 0..3 {
        let app = Setup::new(folder.path(), &gateway)
            .training_by(|request, _, cancelled| {
                while !cancelled.is_cancelled() {
                    std::thread::sleep(std::time::Duration::from_millis(10));
                }
                Err(TrainError::Cancelled {
                    host: request.host.clone(),
                })
            })
            .start();
        let path = match &job {
            Some(path) => String::clone(path),
            None => app.retrain(&["db-1"]).await,
        };
        app.until(&path, |job| job["hosts"][0]["state"] == "training")
            .await;
        job = Some(path);
        app.stop().await;
    }
    let app = Setup::new(folder.path(), &gateway).start();
    let path = job.expect("a job");
    let job = app.until(&path, |job| !job["finished_at"].is_null()).await;
    assert_eq!(job["state"], "done");
    app.stop().await;
}

#[tokio::test]
async fn a_retrain_goes_on_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = world().await;
    let app = Setup::new(folder.path(), &gateway)
        .training_by(|request, progress, cancelled| {
            while request.host == "web-1" && !cancelled.is_cancelled() {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            train_host(request, progress, cancelled)
        })
        .start();
    let job = app.retrain(&["db-1", "web-1"]).await;
    app.until(&job, |job| job["hosts"][1]["state"] == "training")
        .await;
    app.stop().await;
    let app = Setup::new(folder.path(), &gateway).start();
    let job = app.until(&job, |job| !job["finished_at"].is_null()).await;
    let hosts: Vec<_> = job["hosts"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|host| &host["host"])
        .collect();
    assert_eq!(
        (hosts, &job["state"]),
        (vec![&json!("web-1")], &json!("done"))
    );
    app.stop().await;
}
