//! How good forecasts were: what was written while time went on, against what came.

use serde_json::Value;

use crate::support::{FakeGateway, HostSpec, Setup, idle};

const STEP_S: i64 = 300;
const CPU: &str = "cpu.usage";

#[tokio::test]
async fn errors_are_those_of_what_was_written_earlier() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = FakeGateway::start(&[("db-1", HostSpec::default())]).await;
    let app = Setup::new(folder.path(), &gateway).start();
    let field = |name| ["forecast_lead", "db-1", CPU, name];
    for rounds in 1..=3 {
        gateway.until_kept(field("q50_1h"), rounds).await;
        gateway.pass(STEP_S);
    }
    gateway.until_kept(field("q50_1h"), 4).await;
    // Nothing of it has come yet.
    let path = "/api/v1/hosts/db-1/quality?target=cpu.usage&bucket_hours=1";
    let before = app.ok(path).await["targets"][0].clone();
    assert_eq!(before["leads"][0]["whole"]["count"], 0);
    assert_eq!(before["leads"][0]["whole"]["mae"], Value::Null);

    let (q10, q50, q90) = (
        gateway.kept(field("q10_1h")),
        gateway.kept(field("q50_1h")),
        gateway.kept(field("q90_1h")),
    );
    gateway.pass(3_600);
    let answer = app.ok(path).await["targets"][0].clone();
    app.stop().await;

    let usage = |time_s: i64| 100.0 - idle(time_s);
    let written: Vec<(i64, f64)> = q50.into_iter().take(4).collect();
    let mean = |of: &dyn Fn(i64, f64) -> f64| {
        written
            .iter()
            .map(|(time, value)| of(*time, *value))
            .sum::<f64>()
            / written.len() as f64
    };
    let mae = mean(&|time, median| (usage(time) - median).abs());
    let rmse = mean(&|time, median| (usage(time) - median).powi(2)).sqrt();
    let inside = mean(&|time, _| {
        let came = usage(time);
        f64::from(u8::from(q10[&time] <= came && came <= q90[&time]))
    });
    let naive = mean(&|time, _| (usage(time) - usage(time - 86_400)).abs());
    let hour = &answer["leads"][0];
    assert_eq!(
        (hour["lead_s"].as_i64(), hour["whole"]["count"].as_i64()),
        (Some(3_600), Some(4))
    );
    for (name, expected) in [
        ("mae", mae),
        ("rmse", rmse),
        ("coverage80", inside),
        ("baseline_mae", naive),
    ] {
        let found = hour["whole"][name].as_f64().expect(name);
        // The history is read as numbers of single precision.
        assert!(
            (found - expected).abs() < 1e-4,
            "{name}: {found} against {expected}"
        );
    }
    let in_buckets: i64 = hour["over_time"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|bucket| bucket["count"].as_i64())
        .sum();
    assert_eq!(in_buckets, 4);
    // Of what was written four hours ahead nothing has come.
    assert_eq!(answer["leads"][1]["whole"]["count"], 0);
}
