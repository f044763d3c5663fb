//! What is asked of a forecast: which target, how far, which quantiles, in which form.

use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::{
    error::ApiError,
    grid::STEP_S,
    quantile::{HORIZON_STEPS, LEVELS, MEDIAN},
};

/// Four hours of five minutes.
const HORIZON_DEFAULT: usize = 48;

/// More quantiles than every percentile and half of them tell nothing more.
const LEVELS_MAX: usize = 200;

/// What is asked for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ForecastQuery {
    /// One target by its name; all of the host's where it is left out.
    #[param(example = "disk.used_percent{path=/}")]
    pub(super) target: Option<String>,
    /// How many steps ahead; 48 where it is left out. What lies behind the next 8 hours is left out.
    #[param(minimum = 1, maximum = 96, example = 48)]
    pub(super) horizon: Option<u32>,
    /// The length of a step: a multiple of 5 minutes such as `5m`, `15m`, `1h`, or seconds; `5m` where it is left out.
    #[param(
        example = "5m",
        pattern = r"^((5|[1-9][05]|[1-3][0-9][05]|4[0-7][05]|480)m|[1-8]h)$"
    )]
    pub(super) step: Option<String>,
    /// Probabilities between 0 and 1, with commas between them; the deciles, 0.025 and 0.975 where it and `intervals`
    /// are left out.
    #[param(
        example = "0.05,0.5,0.95",
        pattern = r"^0\.[0-9]{0,6}[1-9][0-9]{0,6}(,0\.[0-9]{0,6}[1-9][0-9]{0,6}){0,100}$"
    )]
    pub(super) quantiles: Option<String>,
    /// Central intervals in percent, with commas between them; they come with the median.
    #[param(
        example = "80,99",
        pattern = r"^(0\.[0-9]{0,6}[1-9][0-9]{0,6}|[1-9][0-9]?(\.[0-9]{1,9})?)(,(0\.[0-9]{0,6}[1-9][0-9]{0,6}|[1-9][0-9]?(\.[0-9]{1,9})?)){0,32}$"
    )]
    pub(super) intervals: Option<String>,
    /// `json` where it is left out.
    #[param(inline)]
    pub(super) format: Option<Format>,
}

/// The form of an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// With everything that is known of a forecast.
    #[default]
    Json,
    /// A table: a row for each step of each target.
    Csv,
}

/// Checked parameters.
#[derive(Debug)]
pub(super) struct Asked {
    /// The steps to answer.
    pub(super) horizon: usize,
    /// How many of the model's steps make one of them.
    pub(super) stride: usize,
    /// The probabilities of the quantiles, rising.
    pub(super) levels: Vec<f64>,
}

impl Asked {
    pub(super) fn check(query: &ForecastQuery) -> Result<Self, ApiError> {
        let stride = match &query.step {
            None => 1,
            Some(step) => {
                stride(step).ok_or_else(|| ApiError::StepInvalid { step: step.clone() })?
            }
        };
        let most = HORIZON_STEPS / stride;
        let horizon = query
            .horizon
            .map_or(HORIZON_DEFAULT.min(most), |horizon| horizon as usize);
        if !(1..=HORIZON_STEPS).contains(&horizon) {
            return Err(ApiError::HorizonOutOfRange {
                horizon: query.horizon.unwrap_or_default(),
                step_s: stride as u32 * STEP_S,
                most: HORIZON_STEPS,
            });
        }
        let horizon = horizon.min(most);
        let levels = levels(query.quantiles.as_deref(), query.intervals.as_deref())?;
        Ok(Self {
            horizon,
            stride,
            levels,
        })
    }

    /// The model's steps.
    pub(super) fn steps(&self) -> usize {
        self.horizon * self.stride
    }
}

/// Reads a step as a number of the model's steps.
fn stride(step: &str) -> Option<usize> {
    let digits = step.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit_s = match &step[digits.len()..] {
        "" | "s" => 1,
        "m" | "min" => 60,
        "h" => 3_600,
        _ => return None,
    };
    let step_s = digits.parse::<usize>().ok()?.checked_mul(unit_s)?;
    let stride = step_s / STEP_S as usize;
    (step_s % STEP_S as usize == 0 && (1..=HORIZON_STEPS).contains(&stride)).then_some(stride)
}

/// Reads the probabilities that are asked for, and sorts them.
pub(crate) fn levels(
    quantiles: Option<&str>,
    intervals: Option<&str>,
) -> Result<Vec<f64>, ApiError> {
    let mut levels = Vec::new();
    for quantile in listed(quantiles) {
        levels.push(number(quantile, 1.0).ok_or_else(|| ApiError::RequestInvalid {
            reason: format!("{quantile:?} is no quantile; write probabilities between 0 and 1, such as 0.05,0.5,0.95"),
        })?);
    }
    for interval in listed(intervals) {
        let percent = number(interval, 100.0).ok_or_else(|| ApiError::RequestInvalid {
            reason: format!(
                "{interval:?} is no interval; write percentages between 0 and 100, such as 80,99"
            ),
        })?;
        levels.extend([
            rounded(0.5 - percent / 200.0),
            LEVELS[MEDIAN],
            rounded(0.5 + percent / 200.0),
        ]);
    }
    levels.sort_by(f64::total_cmp);
    levels.dedup_by(|one, other| (*one - *other).abs() < 1e-9);
    match levels.len() {
        0 => Ok(LEVELS.to_vec()),
        1..=LEVELS_MAX => Ok(levels),
        many => Err(ApiError::RequestInvalid {
            reason: format!("{many} quantiles are asked for; {LEVELS_MAX} are the most"),
        }),
    }
}

fn listed(text: Option<&str>) -> impl Iterator<Item = &str> {
    text.into_iter().flat_map(|text| text.split(','))
}

/// Takes off what binary fractions add: 0.5 − 0.495 is 0.005.
fn rounded(level: f64) -> f64 {
    (level * 1e9).round() / 1e9
}

/// Reads a number above 0 and below `most`.
fn number(text: &str, most: f64) -> Option<f64> {
    let number = text.trim().parse::<f64>().ok()?;
    (number > 0.0 && number < most).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_multiples_of_five_minutes() {
        for (step, expected) in [
            ("300", 1),
            ("5m", 1),
            ("15m", 3),
            ("1h", 12),
            ("3600s", 12),
            ("8h", 96),
        ] {
            assert_eq!(stride(step), Some(expected), "{step}");
        }
        for step in [
            "",
            "0",
            "7m",
            "9h",
            "5d",
            "m",
            "-5m",
            "99999999999999999999h",
            "5µ",
        ] {
            assert_eq!(stride(step), None, "{step}");
        }
    }

    #[test]
    fn the_horizon_ends_after_eight_hours() {
        let query = |horizon, step: &str| ForecastQuery {
            horizon,
            step: Some(step.to_owned()),
            ..ForecastQuery::default()
        };
        let of = |horizon, step| Asked::check(&query(horizon, step)).map(|asked| asked.horizon);
        assert_eq!(of(None, "5m").expect("a default"), 48);
        assert_eq!(of(None, "1h").expect("a shorter default"), 8);
        assert_eq!(of(Some(96), "5m").expect("the longest"), 96);
        assert_eq!(of(Some(48), "1h").expect("what there is"), 8);
        for (horizon, step) in [(0, "5m"), (97, "5m"), (97, "1h")] {
            assert!(matches!(
                of(Some(horizon), step),
                Err(ApiError::HorizonOutOfRange { .. })
            ));
        }
    }

    #[test]
    fn quantiles_and_intervals_of_any_level_are_sorted_and_bounded() {
        assert_eq!(levels(None, None).expect("the default"), LEVELS);
        assert_eq!(levels(Some("0.9, 0.5"), None).expect("two"), [0.5, 0.9]);
        let both = levels(Some("0.5,0.99"), Some("80")).expect("both");
        assert_eq!(both.len(), 4);
        assert!((both[0] - 0.1).abs() < 1e-12 && (both[3] - 0.99).abs() < 1e-12);
        for (quantiles, intervals) in [
            ("0", None),
            ("1", None),
            ("", None),
            ("NaN", None),
            ("0.5", Some("100")),
        ] {
            assert!(
                levels(Some(quantiles), intervals).is_err(),
                "{quantiles} {intervals:?}"
            );
        }
        let many: Vec<String> = (1..=202)
            .map(|level| (f64::from(level) / 203.0).to_string())
            .collect();
        assert!(levels(Some(&many.join(",")), None).is_err());
    }
}
