//! Seasonal ARIMA with a season of an hour, its orders chosen by AIC: for forecasts of four hours.
//!
//! ```text
//! φ(B) Φ(Bˢ) (1 − B)ᵈ (1 − Bˢ)ᴰ (y − μ) = θ(B) Θ(Bˢ) e
//! ```
//!
//! (Box & Jenkins; Hyndman & Athanasopoulos, *Forecasting: Principles and Practice*, sections 9.5 to 9.9.) Multiplied out,
//! it is one recursion over earlier values and earlier errors, which is what runs here. The parameters minimise the
//! squared error conditional on the first values; a missing value is taken for the expected one. A fit tries dozens of
//! orders and costs many times what the other models do, so it stands outside the nightly retrain.

mod orders;

use serde::{Deserialize, Serialize};

use super::{Learn, Past, Points, simplex};
use orders::with_neighbours;

/// Fewer values than this, beside two seasons, are not fitted.
const VALUES_MIN: usize = 60;

/// The most models that are tried.
const MODELS_MAX: usize = 40;

/// The search ends when the logarithm of the squared error has settled to this.
const TOLERANCE: f64 = 1e-6;

/// Learns [`Sarima`]; the newest three days count.
#[derive(Debug, Clone, Copy, Default)]
pub struct AutoSarima {
    /// The steps of the season; those of an hour where it is left out.
    pub season_steps: Option<usize>,
}

/// The orders of a model: SARIMA(p, d, q)(P, D, Q)ₛ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SarimaOrder {
    /// The earlier values, p.
    pub values: usize,
    /// The differences, d.
    pub differences: usize,
    /// The earlier errors, q.
    pub errors: usize,
    /// The values of earlier seasons, P.
    pub seasonal_values: usize,
    /// The differences between seasons, D.
    pub seasonal_differences: usize,
    /// The errors of earlier seasons, Q.
    pub seasonal_errors: usize,
    /// The steps of the season, s.
    pub season_steps: usize,
}

/// A model multiplied out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sarima {
    /// Its orders.
    pub order: SarimaOrder,
    /// μ; 0 when values are differenced.
    mean: f64,
    /// The weights of earlier values, by how many steps earlier.
    values: Vec<(usize, f64)>,
    /// The weights of earlier errors, by how many steps earlier.
    errors: Vec<(usize, f64)>,
}

/// What a recursion has seen and said, one entry a step.
struct Run {
    values: Vec<f64>,
    errors: Vec<f64>,
    squared_error: f64,
    judged: usize,
}

impl Learn for AutoSarima {
    type Learned = Sarima;

    const DAYS: usize = 3;

    fn learn(&self, past: Past<'_>) -> Option<Sarima> {
        let hour = (3_600 / past.step_s.max(1)) as usize;
        let season = self.season_steps.unwrap_or(hour).max(1);
        let observed = past.observed().count();
        if observed < VALUES_MIN.max(2 * season) {
            return None;
        }
        let values: Vec<f64> = past.values.iter().map(|value| f64::from(*value)).collect();
        let (mut waiting, first) = orders::first(&values, season)?;
        let (mut best, mut tried) = (None::<(Sarima, f64)>, Vec::new());
        while let Some(order) = waiting.pop() {
            if tried.contains(&order) || tried.len() == MODELS_MAX {
                continue;
            }
            tried.push(order);
            let Some((model, aic)) = Sarima::search(order, &values, first) else {
                continue;
            };
            if best.as_ref().is_none_or(|(_, least)| aic < *least) {
                best = Some((model, aic));
                waiting.extend(with_neighbours(order));
            }
        }
        best.map(|(model, _)| model)
    }
}

impl Points for Sarima {
    fn points(&self, past: Past<'_>, steps: usize) -> Option<Vec<f64>> {
        if past.observed().next().is_none() || past.values.len() <= self.reach() {
            return None;
        }
        let mut values: Vec<f64> = past.values.iter().map(|value| f64::from(*value)).collect();
        values.resize(values.len() + steps, f64::NAN);
        let run = self.run(&values, 0);
        Some(
            run.values[past.values.len()..]
                .iter()
                .map(|value| value + self.mean)
                .collect(),
        )
    }
}

impl Sarima {
    /// Searches for the parameters of an order, judged from the step `first` on, and returns them with their AIC.
    fn search(order: SarimaOrder, values: &[f64], first: usize) -> Option<(Self, f64)> {
        let differenced = order.differences + order.seasonal_differences > 0;
        let mean = if differenced { 0.0 } else { mean(values)? };
        let free = order.values + order.errors + order.seasonal_values + order.seasonal_errors;
        let logarithm = |at: &[f64]| {
            let run = Self::of(order, mean, at).run(values, first);
            (run.squared_error / run.judged as f64)
                .max(f64::MIN_POSITIVE)
                .ln()
        };
        let (at, least) =
            simplex::least(&vec![0.0; free], 0.5, 40 + 60 * free, TOLERANCE, logarithm);
        let model = Self::of(order, mean, &at);
        let judged = model.run(values, first).judged;
        let parameters = free + usize::from(!differenced) + 1;
        (judged > parameters).then_some((model, judged as f64 * least + 2.0 * parameters as f64))
    }

    /// Maps numbers of any size to a stationary and invertible model.
    fn of(order: SarimaOrder, mean: f64, free: &[f64]) -> Self {
        let (values, rest) = free.split_at(order.values);
        let (errors, rest) = rest.split_at(order.errors);
        let (seasonal_values, seasonal_errors) = rest.split_at(order.seasonal_values);
        Self::multiplied_out(
            order,
            mean,
            [
                &stationary(values),
                &stationary(seasonal_values),
                &negated(&stationary(errors)),
                &negated(&stationary(seasonal_errors)),
            ],
        )
    }

    /// Multiplies the model out; the parameters are φ, Φ, θ and Θ, as the equation's usual signs have them.
    fn multiplied_out(order: SarimaOrder, mean: f64, parameters: [&[f64]; 4]) -> Self {
        let [values, seasonal_values, errors, seasonal_errors] = parameters;
        let season = order.season_steps;
        let mut left = product(
            &polynomial(&negated(values), 1),
            &polynomial(&negated(seasonal_values), season),
        );
        for _ in 0..order.differences {
            left = product(&left, &polynomial(&[-1.0], 1));
        }
        for _ in 0..order.seasonal_differences {
            left = product(&left, &polynomial(&[-1.0], season));
        }
        let right = product(&polynomial(errors, 1), &polynomial(seasonal_errors, season));
        let weights = |polynomial: &[f64], sign: f64| {
            let weights = polynomial
                .iter()
                .map(|weight| sign * weight)
                .enumerate()
                .skip(1);
            weights.filter(|(_, weight)| *weight != 0.0).collect()
        };
        Self {
            order,
            mean,
            values: weights(&left, -1.0),
            errors: weights(&right, 1.0),
        }
    }

    /// The earliest value that the recursion looks back to.
    fn reach(&self) -> usize {
        self.values.last().map_or(0, |(lag, _)| *lag)
    }

    /// Runs over values, of which those from `first` on are judged. The first values are taken as they are.
    fn run(&self, values: &[f64], first: usize) -> Run {
        let begins = self.reach();
        let mut run = Run {
            values: Vec::with_capacity(values.len()),
            errors: Vec::with_capacity(values.len()),
            squared_error: 0.0,
            judged: 0,
        };
        let mut last = values
            .iter()
            .find(|value| !value.is_nan())
            .map_or(0.0, |value| value - self.mean);
        for (step, value) in values.iter().enumerate() {
            let value = value - self.mean;
            let expected = if step < begins {
                last
            } else {
                self.expected(&run, step)
            };
            last = if value.is_nan() { expected } else { value };
            let error = if step < begins { 0.0 } else { last - expected };
            if step >= first && !value.is_nan() {
                run.squared_error += error * error;
                run.judged += 1;
            }
            run.values.push(last);
            run.errors.push(error);
        }
        run
    }

    fn expected(&self, run: &Run, step: usize) -> f64 {
        let values = self
            .values
            .iter()
            .map(|(lag, weight)| weight * run.values[step - lag]);
        let errors = self.errors.iter().filter(|(lag, _)| *lag <= step);
        values.sum::<f64>()
            + errors
                .map(|(lag, weight)| weight * run.errors[step - lag])
                .sum::<f64>()
    }
}

/// A moving average has the signs of 1 + θ B where an autoregression has those of 1 − φ B.
fn negated(weights: &[f64]) -> Vec<f64> {
    weights.iter().map(|weight| -weight).collect()
}

/// Turns free numbers into the weights of a stationary autoregression: their hyperbolic tangents are its partial
/// autocorrelations (Barndorff-Nielsen & Schou 1973; Monahan 1984).
fn stationary(free: &[f64]) -> Vec<f64> {
    let mut weights: Vec<f64> = Vec::with_capacity(free.len());
    for number in free {
        let partial = number.tanh();
        let reversed: Vec<f64> = weights.iter().rev().copied().collect();
        for (weight, mirrored) in weights.iter_mut().zip(reversed) {
            *weight -= partial * mirrored;
        }
        weights.push(partial);
    }
    weights
}

/// 1 + w₁ Bˢ + w₂ B²ˢ …, as its coefficients by power.
fn polynomial(weights: &[f64], stride: usize) -> Vec<f64> {
    let mut coefficients = vec![0.0; weights.len() * stride + 1];
    coefficients[0] = 1.0;
    for (place, weight) in weights.iter().enumerate() {
        coefficients[(place + 1) * stride] = *weight;
    }
    coefficients
}

fn product(one: &[f64], other: &[f64]) -> Vec<f64> {
    let mut coefficients = vec![0.0; one.len() + other.len() - 1];
    for (power, factor) in one.iter().enumerate() {
        for (other_power, other_factor) in other.iter().enumerate() {
            coefficients[power + other_power] += factor * other_factor;
        }
    }
    coefficients
}

fn mean(values: &[f64]) -> Option<f64> {
    let observed = || values.iter().filter(|value| !value.is_nan());
    let count = observed().count();
    (count > 0).then(|| observed().sum::<f64>() / count as f64)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;
    use crate::statistical::reference::{self, agree, past, spreads_agree};

    #[derive(Deserialize)]
    struct Case {
        series: String,
        order: SarimaOrder,
        parameters: [Vec<f64>; 4],
        mean: f64,
        late_squared_error: f64,
        forecast: Vec<f64>,
        spread: Vec<Vec<f64>>,
        /// What statsforecast's search chose, by the same name as the AICs.
        stepwise: String,
        /// By "p q P Q", as statsmodels has them.
        aic: BTreeMap<String, f64>,
    }

    impl Case {
        fn model(&self) -> Sarima {
            Sarima::multiplied_out(
                self.order,
                self.mean,
                self.parameters.each_ref().map(Vec::as_slice),
            )
        }
    }

    #[test]
    fn filters_and_forecasts_as_statsmodels_does() {
        for case in reference::cases::<Case>("sarima") {
            let values = reference::series(&case.series);
            let points = case.model().points(past(&values), 48).expect("points");
            // The exact likelihood begins otherwise than the conditional one; little of it is left at the end.
            agree(&points, &case.forecast, 1e-4);
            spreads_agree(&case.model(), &values, &case.spread, 1e-3);
            let wide: Vec<f64> = values.iter().map(|value| f64::from(*value)).collect();
            agree(
                &[case.model().run(&wide, 100).squared_error],
                &[case.late_squared_error],
                1e-2,
            );
        }
    }

    #[test]
    fn the_orders_are_as_good_as_those_that_statsforecast_chooses() {
        for case in reference::cases::<Case>("sarima") {
            let values = reference::series(&case.series);
            let found = AutoSarima {
                season_steps: Some(12),
            }
            .learn(past(&values))
            .expect("a fit")
            .order;
            let differences = (found.differences, found.seasonal_differences);
            assert_eq!(
                differences,
                (case.order.differences, case.order.seasonal_differences)
            );
            let (least, most) = case
                .aic
                .values()
                .fold((f64::MAX, f64::MIN), |(least, most), aic| {
                    (least.min(*aic), most.max(*aic))
                });
            let name = [
                found.values,
                found.errors,
                found.seasonal_values,
                found.seasonal_errors,
            ];
            let aic = case.aic[&name.map(|order| order.to_string()).join(" ")];
            // The conditional likelihood leaves out the first values, so that orders near the best rank otherwise.
            let loss = (aic - least) / (most - least);
            assert!(loss < 0.06, "{found:?}: {aic}, and {least} can be had");
            // Two units of AIC are no difference (Burnham & Anderson 2002, section 2.6).
            let stepwise = case.aic[&case.stepwise];
            assert!(
                aic < stepwise + 2.0,
                "{found:?}: {aic}, and {stepwise} was found"
            );
        }
    }

    #[test]
    fn a_stationary_model_never_explodes() {
        let weights = stationary(&[3.0, -2.0, 4.0]);
        let order = SarimaOrder {
            values: 3,
            differences: 0,
            errors: 0,
            seasonal_values: 0,
            seasonal_differences: 0,
            seasonal_errors: 0,
            season_steps: 12,
        };
        let model = Sarima::multiplied_out(order, 0.0, [&weights, &[], &[], &[]]);
        let points = model
            .points(past(&[1.0, -1.0, 1.0, 2.0]), 5_000)
            .expect("points");
        assert!(points.iter().all(|point| point.abs() < 1e3));
    }
}
