//! Challengers: kept where the champion is better, and on trial where the settings want it.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use headroom_forecaster::{
    host_model::HostModel,
    progress::Progress,
    training::{Incumbent, TrainError, TrainRequest, train_host},
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use reqwest::Method;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::{FakeGateway, HostSpec, Setup, TestApp, prophet::Prophet};

const STEP_S: i64 = 300;
const ASIDE: [&str; 4] = ["forecast_aside", "db-1", "cpu.usage", "q50_1h"];

/// Trains on noise in the place of the processor's history: a model that knows nothing of it.
fn misled(
    request: &TrainRequest,
    progress: &dyn Progress,
    cancelled: &CancellationToken,
) -> Result<HostModel, TrainError> {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let targets = request.targets.iter().map(|(target, grid)| {
        let mut grid = grid.clone();
        if target.metric == "cpu.usage" {
            grid.values.fill_with(|| 100.0 * random.random::<f32>());
        }
        (target.clone(), grid)
    });
    let request = TrainRequest {
        targets: targets.collect(),
        champion: None,
        ..request.clone()
    };
    train_host(&request, progress, cancelled)
}

/// A service whose training number `bad` is misled.
fn setup(folder: &std::path::Path, gateway: &FakeGateway, bad: usize) -> Setup {
    let trainings = Arc::new(AtomicUsize::new(0));
    Setup::new(folder, gateway).training_by(move |request, progress, cancelled| {
        if trainings.fetch_add(1, Ordering::SeqCst) == bad {
            misled(request, progress, cancelled)
        } else {
            train_host(request, progress, cancelled)
        }
    })
}

async fn newest(app: &TestApp) -> Value {
    app.ok("/api/v1/models?host=db-1").await["models"][0].clone()
}

async fn version(app: &TestApp) -> Value {
    let answer = app.ok("/api/v1/hosts/db-1/forecasts").await;
    answer["forecasts"][0]["model"]["version"].clone()
}

/// Waits until `/metrics` counts so many challengers: a verdict is on disk a moment before its trial is forgotten.
async fn until_on_trial(app: &TestApp, count: usize) {
    let wanted = format!("headroom_models_on_trial {count}");
    let wait = async {
        loop {
            let answer = app.send(Method::GET, "/metrics", None).await;
            if answer.text().await.expect("text").contains(&wanted) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_mins(1), wait).await;
    assert!(in_time.is_ok(), "never {wanted}");
}

/// Two trainings with a trial of nine hours; returns the challenger when it was judged, and which version serves.
async fn tried(bad: usize) -> (Value, Value) {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = FakeGateway::start(&[("db-1", HostSpec::default())]).await;
    let on_trial = |raw: &mut headroom_forecaster::config::Raw| raw.shadow_hours = Some(9);
    let app = setup(folder.path(), &gateway, bad).with(on_trial).start();
    app.retrained(&["db-1"]).await;
    assert_eq!(
        newest(&app).await["alias"],
        "champion",
        "a first model serves at once"
    );
    gateway.pass(STEP_S);
    let job = app.retrained(&["db-1"]).await;
    let outcome = job["hosts"][0]["outcome"].as_str().expect("an outcome");
    assert!(outcome.contains("runs beside version 000001"), "{outcome}");
    let challenger = newest(&app).await;
    assert_eq!(challenger["alias"], "challenger");
    assert_eq!(challenger["trial"]["champion"], "000001");
    assert_eq!(challenger["trial"]["verdict"], Value::Null);
    let listed = app.ok("/api/v1/models").await["models"].clone();
    let aliases: Vec<_> = listed
        .as_array()
        .expect("a list")
        .iter()
        .map(|model| &model["alias"])
        .collect();
    assert_eq!(aliases, [&json!("champion"), &json!("challenger")]);
    until_on_trial(&app, 1).await;
    for rounds in 1..=4 {
        gateway.until_kept(ASIDE, rounds).await;
        gateway.pass(STEP_S);
    }
    assert_eq!(version(&app).await, "000001");
    app.stop().await;

    // A restart loses nothing of a trial.
    let app = setup(folder.path(), &gateway, usize::MAX)
        .with(on_trial)
        .start();
    gateway.until_kept(ASIDE, 5).await;
    gateway.pass(9 * 3_600);
    let is_judged = |answer: &Value| !answer["models"][0]["trial"]["verdict"].is_null();
    app.until("/api/v1/models?host=db-1", is_judged).await;
    until_on_trial(&app, 0).await;
    let judged = (newest(&app).await, version(&app).await);
    app.stop().await;
    judged
}

#[tokio::test]
async fn a_challenger_that_forecasts_better_what_comes_is_promoted() {
    let (challenger, serving) = tried(0).await;
    let verdict = &challenger["trial"]["verdict"];
    assert_eq!(verdict["promoted"], true, "{verdict}");
    assert!(verdict["crps_ratio"].as_f64().expect("a ratio") < 1.0);
    let cpu = &verdict["targets"]["cpu.usage"];
    // Five rounds, each with a forecast one, four and eight hours ahead; the last of them has not come yet or just has.
    assert!(cpu["n_origins"].as_u64().expect("a count") >= 12, "{cpu}");
    assert_eq!(
        (&challenger["alias"], &serving),
        (&json!("champion"), &json!("000002"))
    );
}

#[tokio::test]
async fn a_challenger_that_forecasts_worse_is_only_kept() {
    let (challenger, serving) = tried(1).await;
    let verdict = &challenger["trial"]["verdict"];
    assert_eq!(verdict["promoted"], false, "{verdict}");
    assert!(verdict["crps_ratio"].as_f64().expect("a ratio") > 1.0);
    assert_eq!(
        (&challenger["alias"], &serving),
        (&Value::Null, &json!("000001"))
    );
}

#[tokio::test]
async fn a_trial_that_nothing_tells_about_ends_without_the_challenger() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = FakeGateway::start(&[("db-1", HostSpec::default())]).await;
    let app = Setup::new(folder.path(), &gateway)
        .with(|raw| raw.shadow_hours = Some(9))
        .start();
    app.retrained(&["db-1"]).await;
    app.retrained(&["db-1"]).await;
    until_on_trial(&app, 1).await;
    // A round at its beginning, one at its end and one at its greatest length: nine forecasts, too few to tell.
    gateway.until_kept(ASIDE, 1).await;
    gateway.pass(9 * 3_600);
    gateway.until_kept(ASIDE, 2).await;
    assert_eq!(newest(&app).await["trial"]["verdict"], Value::Null);
    gateway.pass(18 * 3_600);
    until_on_trial(&app, 0).await;
    let ended = newest(&app).await;
    let verdict = &ended["trial"]["verdict"];
    assert_eq!(
        (&verdict["promoted"], &verdict["crps_ratio"]),
        (&json!(false), &Value::Null)
    );
    let reason = verdict["reason"].as_str().expect("a reason");
    assert!(reason.contains("3 times 9 hours"), "{reason}");
    assert_eq!(ended["alias"], Value::Null);
    assert_eq!(version(&app).await, "000001");
    app.stop().await;
}

#[tokio::test]
async fn a_trial_that_cannot_be_judged_keeps_its_host_from_the_schedule_for_a_while_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = FakeGateway::start(&[("db-1", HostSpec::default())]).await;
    let setup = || Setup::new(folder.path(), &gateway).with(|raw| raw.shadow_hours = Some(9));
    let app = setup().start();
    app.retrained(&["db-1"]).await;
    app.retrained(&["db-1"]).await;
    until_on_trial(&app, 1).await;
    app.stop().await;

    let app = setup()
        .with(|raw| raw.retrain_cron = Some("* * * * * *".to_owned()))
        .start();
    until_on_trial(&app, 1).await;
    app.until("/api/v1/hosts", |answer| answer["hosts"][0].is_object())
        .await;
    // Nobody can tell what came.
    gateway.go_away();
    let scheduled = |answer: &Value| {
        let jobs = answer["jobs"].as_array().expect("a list");
        jobs.iter().any(|job| job["cause"] == "schedule")
    };
    gateway.pass(27 * 3_600 - 60);
    assert!(!scheduled(&app.ok("/api/v1/jobs").await));
    gateway.pass(60);
    app.until("/api/v1/jobs", scheduled).await;
    until_on_trial(&app, 1).await;
    app.stop().await;
}

#[tokio::test]
async fn a_model_that_is_chosen_by_request_ends_the_trial() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = FakeGateway::start(&[("db-1", HostSpec::default())]).await;
    let app = Setup::new(folder.path(), &gateway)
        .with(|raw| raw.shadow_hours = Some(24))
        .start();
    app.retrained(&["db-1"]).await;
    app.retrained(&["db-1"]).await;
    let body = json!({"version": "000002"});
    app.send(Method::PUT, "/api/v1/hosts/db-1/champion", Some(body))
        .await;
    let chosen = newest(&app).await;
    assert_eq!(chosen["alias"], "champion");
    let reason = chosen["trial"]["verdict"]["reason"]
        .as_str()
        .expect("a reason");
    assert!(reason.contains("cut short"), "{reason}");
    assert_eq!(version(&app).await, "000002");
    app.stop().await;
}

#[tokio::test]
async fn a_champion_that_was_better_on_what_neither_has_seen_goes_on_serving() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = FakeGateway::start(&[("db-1", HostSpec::default())]).await;
    let app = Setup::new(folder.path(), &gateway)
        .training_by(|request, progress, cancelled| {
            let known = request.targets.clone();
            let prophet = |champion| {
                let prophet = Prophet {
                    champion,
                    known,
                    off: 0.01,
                    origins: Mutex::default(),
                };
                Arc::new(prophet) as Arc<dyn Incumbent>
            };
            let request = TrainRequest {
                champion: request.champion.clone().map(prophet),
                ..request.clone()
            };
            train_host(&request, progress, cancelled)
        })
        .start();
    app.retrained(&["db-1"]).await;
    gateway.pass(86_400);
    let job = app.retrained(&["db-1"]).await;
    let outcome = job["hosts"][0]["outcome"].as_str().expect("an outcome");
    assert!(
        outcome.starts_with("version 000001 goes on serving, version 000002 is kept"),
        "{outcome}"
    );
    assert_eq!(version(&app).await, "000001");
    let kept = newest(&app).await;
    assert_eq!(
        (&kept["version"], &kept["alias"]),
        (&json!("000002"), &Value::Null)
    );
    let gate = &kept["gate"];
    assert_eq!(
        (&gate["champion"], &gate["promoted"]),
        (&json!("000001"), &json!(false))
    );
    // A day less the embargo and the horizon.
    let origins = gate["targets"]["cpu.usage"]["n_origins"]
        .as_u64()
        .expect("a count");
    assert!((4..=5).contains(&origins), "{gate}");
    let figures = app.send(Method::GET, "/metrics", None).await;
    let figures = figures.text().await.expect("text");
    assert!(figures.contains("headroom_verdicts_total{verdict=\"kept\"} 1"));
    app.stop().await;
}
