//! How good forecasts were: what was written earlier against what came.
//!
//! Each round writes, beside the newest forecast of every instant, what it expects one, four and eight hours ahead
//! ([`crate::writeback::LEADS`]), and nobody replaces that later. Here it is read again and compared with the history of
//! the same instants, so that the errors are those which users have seen, whatever a backtest promised: by lead, over
//! the whole time and in buckets of it, beside the naive forecast of a day before.

use std::collections::BTreeMap;

use headroom_openapi::query::StatementResult;

use crate::{
    backtest::pinball,
    baseline::DAY_STEPS,
    discovery::HOST_TAG,
    gateway::{Gateway, GatewayError, influxql},
    grid::{Grid, STEP_S},
    history::{self, Span},
    target::Target,
    writeback::{ASIDE, AT_LEAD, LEADS, Lead, METRIC_TAG},
};

/// Errors of forecasts that were written earlier.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Errors {
    /// How many forecasts were compared with what came.
    pub count: usize,
    absolute: f64,
    squared: f64,
    /// Twice the pinball loss, over the three quantiles that are written.
    quantile_loss: f64,
    inside80: usize,
    /// The absolute error of the value a day before, where there was one, and how often.
    naive: (f64, usize),
}

/// The errors of one target at one lead.
#[derive(Debug, Clone, PartialEq)]
pub struct AtLead {
    /// How far ahead.
    pub lead: Lead,
    /// Over the whole time.
    pub whole: Errors,
    /// By the first second of each bucket that has any.
    pub over_time: BTreeMap<i64, Errors>,
}

/// The deciles that were written for an instant.
#[derive(Debug, Clone, Copy)]
struct Written {
    q10: f64,
    q50: f64,
    q90: f64,
}

impl Errors {
    fn add(&mut self, written: Written, came: f64, day_before: f64) {
        let error = came - written.q50;
        self.count += 1;
        self.absolute += error.abs();
        self.squared += error * error;
        for (level, value) in [(0.1, written.q10), (0.5, written.q50), (0.9, written.q90)] {
            self.quantile_loss += 2.0 * pinball(came - value, level) / 3.0;
        }
        self.inside80 += usize::from(written.q10 <= came && came <= written.q90);
        if day_before.is_finite() {
            self.naive.0 += (came - day_before).abs();
            self.naive.1 += 1;
        }
    }

    /// The mean absolute error of the median; `None` when nothing was compared.
    #[must_use]
    pub fn mae(&self) -> Option<f64> {
        self.mean(self.absolute)
    }

    /// The root of the mean squared error of the median.
    #[must_use]
    pub fn rmse(&self) -> Option<f64> {
        self.mean(self.squared).map(f64::sqrt)
    }

    /// Twice the mean pinball loss over the quantiles 0.1, 0.5 and 0.9: a coarse CRPS.
    #[must_use]
    pub fn crps(&self) -> Option<f64> {
        self.mean(self.quantile_loss)
    }

    /// The share of values between the 0.1 and the 0.9 quantile; 0.8 is right.
    #[must_use]
    pub fn coverage80(&self) -> Option<f64> {
        self.mean(self.inside80 as f64)
    }

    /// The mean absolute error of the value a day before.
    #[must_use]
    pub fn baseline_mae(&self) -> Option<f64> {
        (self.naive.1 > 0).then(|| self.naive.0 / self.naive.1 as f64)
    }

    fn mean(&self, sum: f64) -> Option<f64> {
        (self.count > 0).then(|| sum / self.count as f64)
    }
}

/// Compares what was written about a host's targets with what came, in the targets' order; one entry a lead.
///
/// # Errors
///
/// When the gateway is away or refuses.
pub async fn measure(
    gateway: &Gateway,
    host: &str,
    targets: &[Target],
    span: Span,
    bucket_s: i64,
) -> Result<Vec<Vec<AtLead>>, GatewayError> {
    let day_earlier = Span {
        from_s: span.from_s - DAY_STEPS as i64 * i64::from(STEP_S),
        ..span
    };
    let came = history::read(gateway, host, targets, day_earlier).await?;
    let [written] = read_written(gateway, host, span, [AT_LEAD]).await?;
    let compare = |(target, grid): &(Target, Grid)| {
        LEADS
            .map(|lead| {
                at_lead(
                    lead,
                    &written_of(&target.metric, lead, &written),
                    grid,
                    span,
                    bucket_s,
                )
            })
            .to_vec()
    };
    Ok(came.iter().map(compare).collect())
}

/// Compares what two models wrote about a host's targets with what came, in the targets' order, over all leads: the one
/// that served, and the one beside it. Only instants count for which both wrote, so that both are judged alike.
///
/// # Errors
///
/// When the gateway is away or refuses.
pub async fn beside(
    gateway: &Gateway,
    host: &str,
    targets: &[Target],
    span: Span,
) -> Result<Vec<(Errors, Errors)>, GatewayError> {
    let came = history::read(gateway, host, targets, span).await?;
    let [served, aside] = read_written(gateway, host, span, [AT_LEAD, ASIDE]).await?;
    let compare = |(target, grid): &(Target, Grid)| {
        let (mut one, mut other) = (Errors::default(), Errors::default());
        for lead in LEADS {
            let served = written_of(&target.metric, lead, &served);
            for (time_s, aside) in written_of(&target.metric, lead, &aside) {
                let value = grid.bin_of(time_s).map(|bin| f64::from(grid.values[bin]));
                if let (Some(served), Some(value)) =
                    (served.get(&time_s), value.filter(|value| value.is_finite()))
                {
                    one.add(*served, value, f64::NAN);
                    other.add(aside, value, f64::NAN);
                }
            }
        }
        (one, other)
    };
    Ok(came.iter().map(compare).collect())
}

/// Reads what was written into measurements about instants of a span.
async fn read_written<const N: usize>(
    gateway: &Gateway,
    host: &str,
    span: Span,
    measurements: [&str; N],
) -> Result<[StatementResult; N], GatewayError> {
    let statements = measurements.map(|measurement| statement(measurement, host, span));
    let mut results = match gateway.query(&statements).await {
        Err(error) if error.is_database_missing() => Vec::new(),
        outcome => outcome?,
    }
    .into_iter();
    Ok(measurements.map(|_| results.next().unwrap_or_default()))
}

fn statement(measurement: &str, host: &str, span: Span) -> String {
    let fields: Vec<String> = LEADS
        .iter()
        .flat_map(|lead| lead.fields())
        .map(|field| influxql::name(&field))
        .collect();
    format!(
        "SELECT {} FROM {} WHERE {} = {} AND {} GROUP BY {}",
        fields.join(", "),
        influxql::name(measurement),
        influxql::name(HOST_TAG),
        influxql::text(host),
        influxql::during(span.from_s, span.until_s),
        influxql::name(METRIC_TAG)
    )
}

/// What was written about a target at a lead, by instant.
fn written_of(metric: &str, lead: Lead, result: &StatementResult) -> BTreeMap<i64, Written> {
    let mut written = BTreeMap::new();
    let is_wanted =
        |tags: &BTreeMap<String, String>| tags.get(METRIC_TAG).is_some_and(|tag| tag == metric);
    for series in result
        .series
        .iter()
        .filter(|series| is_wanted(&series.tags))
    {
        let place = |field: &String| series.columns.iter().position(|column| column == field);
        let [Some(q10), Some(q50), Some(q90)] = lead.fields().each_ref().map(place) else {
            continue;
        };
        for row in &series.values {
            let number = |place: usize| row.get(place).and_then(serde_json::Value::as_f64);
            let time_s = row.first().and_then(serde_json::Value::as_i64);
            if let (Some(time_s), Some(q10), Some(q50), Some(q90)) =
                (time_s, number(q10), number(q50), number(q90))
            {
                written.insert(time_s, Written { q10, q50, q90 });
            }
        }
    }
    written
}

fn at_lead(
    lead: Lead,
    written: &BTreeMap<i64, Written>,
    came: &Grid,
    span: Span,
    bucket_s: i64,
) -> AtLead {
    let mut measured = AtLead {
        lead,
        whole: Errors::default(),
        over_time: BTreeMap::new(),
    };
    for (&time_s, &forecast) in written.range(span.from_s..span.until_s) {
        let value = |time_s: i64| {
            came.bin_of(time_s)
                .map_or(f64::NAN, |bin| f64::from(came.values[bin]))
        };
        let (now, day_before) = (
            value(time_s),
            value(time_s - DAY_STEPS as i64 * i64::from(STEP_S)),
        );
        if now.is_nan() {
            continue;
        }
        measured.whole.add(forecast, now, day_before);
        let bucket = time_s.div_euclid(bucket_s) * bucket_s;
        measured
            .over_time
            .entry(bucket)
            .or_default()
            .add(forecast, now, day_before);
    }
    measured
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_written_is_compared_with_what_came() {
        let fields = LEADS[0].fields();
        let result: StatementResult = serde_json::from_value(json!({"statement_id": 0, "series": [
            {"name": AT_LEAD, "tags": {"metric": "cpu.usage"}, "columns": ["time", fields[0], fields[1], fields[2]],
             "values": [[86_400, 8.0, 10.0, 12.0], [86_700, 8.0, 10.0, 12.0], [87_000, null, null, null],
                        [90_000, 8.0, 10.0, 12.0]]},
            {"name": AT_LEAD, "tags": {"metric": "mem"}, "columns": ["time", fields[0], fields[1], fields[2]],
             "values": [[86_400, 0.0, 0.0, 0.0]]},
        ]}))
        .expect("a result");
        let mut came = Grid::missing(0, 93_600, STEP_S);
        came.values[0] = 11.0;
        came.values[288] = 11.0;
        came.values[289] = 14.0;
        let span = Span {
            from_s: 86_400,
            until_s: 93_600,
        };
        let written = written_of("cpu.usage", LEADS[0], &result);
        let measured = at_lead(LEADS[0], &written, &came, span, 3_600);
        // 10 against 11 and 14; at the third instant nothing was written, at the fourth nothing came.
        assert_eq!(measured.whole.count, 2);
        assert!((measured.whole.mae().expect("values") - 2.5).abs() < 1e-9);
        assert!((measured.whole.rmse().expect("values") - 8.5_f64.sqrt()).abs() < 1e-9);
        assert_eq!(measured.whole.coverage80(), Some(0.5));
        // Twice the pinball losses of 8, 10 and 12: 0.6, 1 and 0.2 for 11, 1.2, 4 and 3.6 for 14; over three quantiles.
        assert!((measured.whole.crps().expect("values") - (1.8 + 8.8) / 6.0).abs() < 1e-9);
        assert_eq!(measured.whole.baseline_mae(), Some(0.0));
        assert_eq!(measured.over_time.keys().collect::<Vec<_>>(), [&86_400]);
    }
}
