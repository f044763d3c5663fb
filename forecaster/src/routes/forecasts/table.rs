//! Forecasts as CSV: a row for each step of each target, with how far it may be relied on, and a column for each quantile.

use std::fmt::Write;

use chrono::{DateTime, SecondsFormat, Utc};

use super::answer::ForecastAnswer;

/// Writes the table; all forecasts of an answer have the same quantiles.
pub(super) fn table(forecasts: &[ForecastAnswer]) -> String {
    let mut text = String::from("host,metric,time,status,model,data_until");
    for level in forecasts
        .first()
        .map_or(&[][..], |forecast| &forecast.quantile_levels)
    {
        let _ = write!(text, ",q{level}");
    }
    text.push('\n');
    for forecast in forecasts {
        let instant = |time: &DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
        for (step, time) in forecast.timestamps.iter().enumerate() {
            let _ = write!(
                text,
                "{},{},{},{},{},{}",
                quoted(&forecast.host),
                quoted(&forecast.metric),
                instant(time),
                forecast.status.name(),
                forecast.model.kind,
                instant(&forecast.data_until)
            );
            for values in &forecast.quantiles {
                let _ = write!(text, ",{}", values[step]);
            }
            text.push('\n');
        }
    }
    text
}

/// Quotes a value as RFC 4180 has it, where it needs to be.
fn quoted(value: &str) -> String {
    if value.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", value.replace('"', "\"\""))
    } else {
        value.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_and_quotes_are_quoted() {
        assert_eq!(
            quoted("disk.used_percent{path=/}"),
            "disk.used_percent{path=/}"
        );
        assert_eq!(quoted(r#"a,b"c"#), r#""a,b""c""#);
    }
}
