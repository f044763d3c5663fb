//! Forecasts as points, for everybody who reads the history by InfluxQL.
//!
//! ```text
//! forecast,host=H,metric=M model="lstm",status="ok",issued_at=T,q10=…,q20=…,…,q90=… <target time>
//! forecast_lead,host=H,metric=M q10_1h=…,q50_1h=…,q90_1h=… <target time, an hour ahead>
//! forecast_lead,host=H,metric=M q10_4h=…,q50_4h=…,q90_4h=… <four hours ahead; likewise eight>
//! forecast_aside,host=H,metric=M … <as forecast_lead, by a challenger that runs beside the champion>
//! forecast_quality,host=H,metric=M model="lstm",mae=…,rmse=…,mase=…,crps=…,coverage80=…,n_origins=…,baseline_mae=…,skill=… <time of issue>
//! ```
//!
//! Times are in seconds. A later forecast of the same instant takes the place of an earlier one, so a graph shows the
//! newest; what was expected at a lead stays, so that it can be compared with what came. What has no value (a skill beside a baseline without error) is left out.

use influxdb_line_protocol::LineProtocolBuilder;

use crate::{
    backtest::Scores,
    quantile::{LEVELS, MEDIAN},
    serving::{HostForecast, Served},
};

/// The measurement of forecasts.
pub const FORECAST: &str = "forecast";
/// The measurement of their errors.
pub const QUALITY: &str = "forecast_quality";

/// The measurement of what was expected some hours ahead.
pub const AT_LEAD: &str = "forecast_lead";
/// The measurement of what a challenger expects, which nobody is told.
pub const ASIDE: &str = "forecast_aside";
/// The tag that names a target.
pub const METRIC_TAG: &str = "metric";

/// How far ahead a forecast was made, in whole hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lead {
    /// The hours.
    pub hours: usize,
}

/// The leads that are kept: soon, the usual horizon, and the longest.
pub const LEADS: [Lead; 3] = [Lead { hours: 1 }, Lead { hours: 4 }, Lead { hours: 8 }];

/// The quantiles that are kept of each: the median and the 80 % interval, by their places in [`LEVELS`].
const KEPT: [(&str, usize); 3] = [("q10", 1), ("q50", MEDIAN), ("q90", LEVELS.len() - 2)];

impl Lead {
    /// The fields of its quantiles 0.1, 0.5 and 0.9.
    #[must_use]
    pub fn fields(self) -> [String; 3] {
        KEPT.map(|(quantile, _)| format!("{quantile}_{}h", self.hours))
    }

    /// The last step of its hours.
    fn step(self, step_s: u32) -> usize {
        (self.hours * 3_600 / step_s as usize).saturating_sub(1)
    }
}

/// Renders a host's forecasts and their errors as line protocol, with times in seconds.
#[must_use]
pub fn lines(forecast: &HostForecast) -> Vec<u8> {
    let mut lines = Vec::new();
    for served in &forecast.served {
        lines = forecast_lines(lines, forecast, served);
        lines = lead_lines(lines, AT_LEAD, forecast, served);
        if let Some(scores) = &served.forecast.scores {
            lines = quality_line(lines, forecast, served, scores);
        }
    }
    plain_backslashes(&lines)
}

/// Renders what a challenger expects at each lead.
#[must_use]
pub fn lines_aside(forecast: &HostForecast) -> Vec<u8> {
    let mut lines = Vec::new();
    for served in &forecast.served {
        lines = lead_lines(lines, ASIDE, forecast, served);
    }
    plain_backslashes(&lines)
}

/// Takes back the doubling of backslashes in tags: the builder doubles each of them, and every server reads a doubled one
/// as two. Before a character that needs escaping itself it stays, since there a single one would belong to that.
fn plain_backslashes(lines: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(lines.len());
    let mut place = 0;
    while place < lines.len() {
        let is_escape = lines[place] == b'\\' && place + 1 < lines.len();
        if !is_escape {
            plain.push(lines[place]);
            place += 1;
            continue;
        }
        let behind = lines.get(place + 2);
        let stays =
            lines[place + 1] != b'\\' || behind.is_none_or(|byte| b", =\\\n".contains(byte));
        plain.extend(if stays {
            &lines[place..place + 2]
        } else {
            &lines[place..=place]
        });
        place += 2;
    }
    plain
}

/// What is expected at each of the leads that the horizon holds.
fn lead_lines(
    mut lines: Vec<u8>,
    measurement: &str,
    host: &HostForecast,
    served: &Served,
) -> Vec<u8> {
    let forecast = &served.forecast;
    for lead in LEADS {
        let step = lead.step(forecast.step_s);
        let Some(&time_s) = forecast.timestamps_s.get(step) else {
            continue;
        };
        let values = KEPT.map(|(_, level)| forecast.path.levels()[level][step]);
        if !values.iter().all(|value| value.is_finite()) {
            continue;
        }
        let [q10, q50, q90] = lead.fields();
        lines = LineProtocolBuilder::new_with(lines)
            .measurement(measurement)
            .tag("host", &host.host)
            .tag(METRIC_TAG, &forecast.metric)
            .field(&q10, values[0])
            .field(&q50, values[1])
            .field(&q90, values[2])
            .timestamp(time_s)
            .close_line()
            .build();
    }
    lines
}

fn forecast_lines(mut lines: Vec<u8>, host: &HostForecast, served: &Served) -> Vec<u8> {
    let forecast = &served.forecast;
    for (step, &time_s) in forecast.timestamps_s.iter().enumerate() {
        let mut line = LineProtocolBuilder::new_with(lines)
            .measurement(FORECAST)
            .tag("host", &host.host)
            .tag(METRIC_TAG, &forecast.metric)
            .field("model", forecast.model.name())
            .field("status", served.status.name())
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
        .tag(METRIC_TAG, &forecast.metric)
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

    #[test]
    fn a_windows_path_keeps_its_single_backslashes() {
        let written = |metric: &str| {
            let line = LineProtocolBuilder::new()
                .measurement(AT_LEAD)
                .tag(METRIC_TAG, metric)
                .field("q50_1h", 1.0)
                .close_line();
            String::from_utf8(plain_backslashes(&line.build())).expect("text")
        };
        let read = |line: &str| {
            let parsed = influxdb_line_protocol::parse_lines(line)
                .next()
                .expect("a line")
                .expect("a good line");
            parsed.tag_value(METRIC_TAG).expect("the tag").to_string()
        };
        let line = written(r"disk.used_percent{path=C:\data\x}");
        assert_eq!(
            line,
            "forecast_lead,metric=disk.used_percent{path\\=C:\\data\\x} q50_1h=1\n"
        );
        // As names of targets have commas, signs of equality and ends of values.
        assert_eq!(
            written("disk.used_percent{path=C:%5C,mode=a%2Cb}"),
            "forecast_lead,metric=disk.used_percent{path\\=C:%5C\\,mode\\=a%2Cb} q50_1h=1\n"
        );
        for metric in [
            r"disk.used_percent{path=C:\}",
            r"disk.used_percent{path=C:\data,mode=rw}",
            r"a{path=\\server\share x}",
        ] {
            assert_eq!(read(&written(metric)), metric);
        }
    }
}
