//! Forecasts as points.

use influxdb_line_protocol::{FieldValue, parse_lines};

use crate::support::{FakeGateway, HostSpec, NOW_S, Setup};

#[tokio::test]
async fn forecasts_and_their_errors_are_written_as_points() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = FakeGateway::start(&[("db-1", HostSpec::default())]).await;
    let app = Setup::new(folder.path(), &gateway).start();
    app.retrained(&["db-1"]).await;
    let rounds = gateway.written().await.len();
    let written = gateway.until_written(rounds + 2).await;
    let answered = app.ok("/api/v1/hosts/db-1/forecasts").await;
    app.stop().await;

    let (query, body) = written.last().expect("a write");
    assert_eq!(query, "bucket=telegraf&org=headroom&precision=s");
    let lines: Vec<_> = parse_lines(body)
        .map(|line| line.expect("a line"))
        .collect();
    let of = |measurement: &str| {
        lines
            .iter()
            .filter(|line| line.series.measurement == measurement)
            .collect::<Vec<_>>()
    };
    let (forecasts, qualities) = (of("forecast"), of("forecast_quality"));
    assert_eq!((forecasts.len(), qualities.len()), (2 * 96, 2));
    let first = forecasts[0];
    assert_eq!(first.series.tag_set.as_ref().expect("tags").len(), 2);
    assert!(*first.tag_value("host").expect("a host") == "db-1");
    assert!(*first.tag_value("metric").expect("a target") == "cpu.usage");
    assert_eq!(first.timestamp, Some(NOW_S / 300 * 300));
    assert_eq!(
        first.field_value("issued_at"),
        Some(&FieldValue::I64(NOW_S))
    );
    let Some(FieldValue::String(status)) = first.field_value("status") else {
        panic!("status is missing");
    };
    assert_eq!(
        status.to_string(),
        answered["forecasts"][0]["status"]
            .as_str()
            .expect("a status")
    );
    let mut last = f64::NEG_INFINITY;
    for decile in 1..=9 {
        let Some(FieldValue::F64(value)) = first.field_value(&format!("q{decile}0")) else {
            panic!("q{decile}0 is missing");
        };
        assert!(*value >= last, "quantiles rise with their level");
        last = *value;
    }
    for figure in [
        "mae",
        "rmse",
        "mase",
        "crps",
        "coverage80",
        "baseline_mae",
        "skill",
    ] {
        assert!(qualities[0].field_value(figure).is_some(), "{figure}");
    }
}
