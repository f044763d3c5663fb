//! Forecasts as points, for everybody who reads the history by InfluxQL.
//!
//! ```text
//! forecast,host=H,metric=M model="lstm",issued_at=T,q10=…,q20=…,…,q90=… <target time>
//! forecast_quality,host=H,metric=M model="lstm",mae=…,rmse=…,mase=…,crps=…,coverage80=…,n_origins=…,baseline_mae=…,skill=… <time of issue>
//! ```
//!
//! Times are in seconds. A later forecast of the same instant takes the place of an earlier one, so a graph shows the
//! newest. What has no value (a skill beside a baseline without error) is left out.

use influxdb_line_protocol::LineProtocolBuilder;

use crate::{
    backtest::Scores,
    quantile::LEVELS,
    serving::{HostForecast, Served},
};

/// The measurement of forecasts.
pub const FORECAST: &str = "forecast";
/// The measurement of their errors.
pub const QUALITY: &str = "forecast_quality";

/// Renders a host's forecasts and their errors as line protocol, with times in seconds.
#[must_use]
pub fn lines(forecast: &HostForecast) -> Vec<u8> {
    let mut lines = Vec::new();
    for served in &forecast.served {
        lines = forecast_lines(lines, forecast, served);
        if let Some(scores) = &served.forecast.scores {
            lines = quality_line(lines, forecast, served, scores);
        }
    }
    lines
}

fn forecast_lines(mut lines: Vec<u8>, host: &HostForecast, served: &Served) -> Vec<u8> {
    let forecast = &served.forecast;
    for (step, &time_s) in forecast.timestamps_s.iter().enumerate() {
        let mut line = LineProtocolBuilder::new_with(lines)
            .measurement(FORECAST)
            .tag("host", &host.host)
            .tag("metric", &forecast.metric)
            .field("model", forecast.model.name())
            .field("issued_at", host.issued_at_s);
        for (level, values) in LEVELS.iter().zip(forecast.path.levels()) {
            if let Some(name) = quantile_field(*level).filter(|_| values[step].is_finite()) {
                line = line.field(&name, values[step]);
            }
        }
        lines = line.timestamp(time_s).close_line().build();
    }
    lines
}

/// The deciles are fields; the ends of the 95 % interval are only in the API's answers.
fn quantile_field(level: f64) -> Option<String> {
    let tenths = level * 10.0;
    ((tenths - tenths.round()).abs() < 1e-9).then(|| format!("q{}0", tenths.round()))
}

fn quality_line(lines: Vec<u8>, host: &HostForecast, served: &Served, scores: &Scores) -> Vec<u8> {
    let forecast = &served.forecast;
    let mut line = LineProtocolBuilder::new_with(lines)
        .measurement(QUALITY)
        .tag("host", &host.host)
        .tag("metric", &forecast.metric)
        .field("model", forecast.model.name())
        .field("n_origins", scores.n_origins as i64);
    let figures = [
        ("mae", Some(scores.mae)),
        ("rmse", Some(scores.rmse)),
        ("mase", scores.mase),
        ("crps", Some(scores.crps)),
        ("coverage80", Some(scores.coverage80)),
        ("baseline_mae", Some(scores.baseline_mae)),
        ("skill", scores.skill),
    ];
    for (name, figure) in figures {
        if let Some(figure) = figure.filter(|figure| figure.is_finite()) {
            line = line.field(name, figure);
        }
    }
    line.timestamp(host.issued_at_s).close_line().build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deciles_are_fields_and_the_outer_levels_are_not() {
        let fields: Vec<_> = LEVELS
            .iter()
            .filter_map(|level| quantile_field(*level))
            .collect();
        assert_eq!(
            fields,
            [
                "q10", "q20", "q30", "q40", "q50", "q60", "q70", "q80", "q90"
            ]
        );
    }
}
