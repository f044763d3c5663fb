//! Seasons of a day and a week, found by loess, and exponential smoothing of what is left.
//!
//! The seasons are those of MSTL (Bandara, Hyndman & Bergmeir 2021, arXiv:2107.13462). Their last period is what is
//! kept, by the calendar: the day's for each step, the week's for each hour, which averages the noise that two or three
//! weeks leave in it. A forecast takes both off its past, smooths the rest, and adds them again.

use serde::{Deserialize, Serialize};
use stlrs::Mstl;

use super::{AutoEts, Ets, Learn, Past, Points, STRETCH_DAYS};
use crate::grid::filled_forward;

const HOUR_S: i64 = 3_600;
const WEEK_HOURS: usize = 168;

/// With fewer days than this a week's season is mostly noise.
const WEEK_DAYS_MIN: usize = 18;

/// Learns [`MstlEts`].
#[derive(Debug, Clone, Copy, Default)]
pub struct MstlWithEts;

/// Seasons, and the smoothing of the rest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MstlEts {
    seasons: Seasons,
    rest: Ets,
}

/// Distances from the level, by the calendar in UTC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Seasons {
    /// By the steps since midnight.
    day: Vec<f32>,
    /// By the hours since a Thursday's midnight, which the epoch was; empty without a week's season.
    week: Vec<f32>,
}

impl Learn for MstlWithEts {
    type Learned = MstlEts;

    const DAYS: usize = 2 * STRETCH_DAYS;

    fn learn(&self, past: Past<'_>) -> Option<MstlEts> {
        let seasons = Seasons::of(past)?;
        let rest = seasons.taken_off(past);
        let ets = AutoEts {
            without_season: true,
        };
        let newest = Past {
            values: &rest,
            ..past
        }
        .newest(STRETCH_DAYS);
        Some(MstlEts {
            rest: ets.learn(newest)?,
            seasons,
        })
    }
}

impl Points for MstlEts {
    fn points(&self, past: Past<'_>, steps: usize) -> Option<Vec<f64>> {
        if past.day_steps() != Some(self.seasons.day.len()) {
            return None;
        }
        let rest = self.seasons.taken_off(past);
        let mut points = self.rest.points(
            Past {
                values: &rest,
                ..past
            },
            steps,
        )?;
        for (step, point) in points.iter_mut().enumerate() {
            *point += f64::from(self.seasons.at(past, past.values.len() + step));
        }
        Some(points)
    }
}

impl Seasons {
    /// Finds the seasons; `None` when the past holds less than two days, or no value.
    fn of(past: Past<'_>) -> Option<Self> {
        let day = past.day_steps()?;
        let mut periods = vec![day];
        if past.values.len() >= WEEK_DAYS_MIN * day {
            periods.push(7 * day);
        }
        let filled = filled(past.values, day);
        if filled.iter().any(|value| !value.is_finite()) {
            return None;
        }
        let parts = Mstl::fit(&filled, &periods).ok()?;
        let mut seasons = Self {
            day: vec![0.0; day],
            week: Vec::new(),
        };
        let last = |period: usize| filled.len() - period..filled.len();
        for step in last(day) {
            seasons.day[day_step(past, step)] = parts.seasonal()[0][step] as f32;
        }
        if let Some(week) = parts.seasonal().get(1) {
            let mut hours = vec![(0.0, 0.0); WEEK_HOURS];
            for step in last(7 * day) {
                let hour = &mut hours[week_hour(past, step)];
                *hour = (hour.0 + week[step], hour.1 + 1.0);
            }
            seasons.week = hours
                .iter()
                .map(|&(sum, count)| (sum / f64::max(count, 1.0)) as f32)
                .collect();
        }
        Some(seasons)
    }

    fn at(&self, past: Past<'_>, step: usize) -> f32 {
        self.day[day_step(past, step)]
            + self.week.get(week_hour(past, step)).copied().unwrap_or(0.0)
    }

    fn taken_off(&self, past: Past<'_>) -> Vec<f32> {
        let values = past.values.iter().enumerate();
        values
            .map(|(step, value)| value - self.at(past, step))
            .collect()
    }
}

/// The place of a step within its day; the past has a whole number of steps a day.
fn day_step(past: Past<'_>, step: usize) -> usize {
    let since_midnight_s = past.time_of(step).rem_euclid(24 * HOUR_S);
    (since_midnight_s / i64::from(past.step_s)) as usize
}

fn week_hour(past: Past<'_>, step: usize) -> usize {
    (past.time_of(step).rem_euclid(7 * 24 * HOUR_S) / HOUR_S) as usize
}

/// Loess needs every value: a missing one is taken from a day before, or from right before it.
fn filled(values: &[f32], day: usize) -> Vec<f64> {
    let mut filled = filled_forward(values);
    for step in day..values.len() {
        if values[step].is_nan() {
            filled[step] = filled[step - day];
        }
    }
    filled.into_iter().map(f64::from).collect()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::statistical::reference::{self, agree, past};

    #[derive(Deserialize)]
    struct Case {
        series: String,
        day: Vec<f64>,
        week: Vec<f64>,
        forecast: Vec<f64>,
    }

    #[test]
    fn the_seasons_are_those_of_statsmodels() {
        for case in reference::cases::<Case>("mstl") {
            let seasons = Seasons::of(past(&reference::series(&case.series))).expect("seasons");
            let wide = |values: &[f32]| {
                values
                    .iter()
                    .map(|value| f64::from(*value))
                    .collect::<Vec<f64>>()
            };
            // Loess is evaluated at every tenth of its window here, and drawn straight in between.
            agree(&wide(&seasons.day), &case.day, 0.02);
            agree(&wide(&seasons.week), &case.week, 0.02);
        }
    }

    #[test]
    fn forecasts_as_statsforecast_does() {
        for case in reference::cases::<Case>("mstl") {
            let values = reference::series(&case.series);
            let fitted = MstlWithEts.learn(past(&values)).expect("a fit");
            let points = fitted.points(past(&values), 48).expect("points");
            // It smooths what each season's own course leaves, not its last period.
            agree(&points, &case.forecast, 2e-3);
        }
    }

    #[test]
    fn a_forecast_follows_the_calendar_wherever_its_past_begins() {
        let values = reference::series("weekly");
        let whole = past(&values);
        let fitted = MstlWithEts.learn(whole).expect("a fit");
        let late = Past {
            start_s: 5 * HOUR_S,
            values: &values[5..],
            ..whole
        };
        let points = fitted.points(late, 48).expect("points");
        // The four weeks are over: two working days follow, with the day's wave.
        let error: f64 = (0..48)
            .map(|step| 46.0 + 8.0 * (std::f64::consts::TAU * f64::from(step) / 24.0).sin())
            .zip(points)
            .map(|(expected, point)| (expected - point).abs())
            .sum();
        assert!(error / 48.0 < 1.5, "{error}");
    }
}
