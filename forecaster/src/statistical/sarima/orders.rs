//! Which orders are tried: differences by tests, the others stepwise (Hyndman & Khandakar, *Automatic Time Series
//! Forecasting: The forecast Package for R*, Journal of Statistical Software 27, 2008).

use stlrs::Mstl;

use super::SarimaOrder;

/// The most earlier values and errors.
const ORDER_MAX: usize = 3;

/// The most earlier seasons.
const SEASONAL_MAX: usize = 1;

/// A season that explains more than this share of the detrended variance is differenced (Wang, Smith & Hyndman 2006).
const STRENGTH_MAX: f64 = 0.64;

/// The 5 % point of the KPSS statistic about a level (Kwiatkowski, Phillips, Schmidt & Shin 1992, table 1).
const KPSS_MAX: f64 = 0.463;

/// Returns the orders to begin with, and the first step that all orders can be judged at; `None` without a value.
pub(super) fn first(values: &[f64], season: usize) -> Option<(Vec<SarimaOrder>, usize)> {
    let filled = filled(values)?;
    let seasonal = season >= 2 && values.len() > 4 * season;
    let seasonal_differences = usize::from(
        seasonal
            && Mstl::fit(&filled, &[season])
                .is_ok_and(|parts| parts.seasonal_strength()[0] > STRENGTH_MAX),
    );
    let level = if seasonal_differences == 1 {
        difference(&filled, season)
    } else {
        filled
    };
    let differences = usize::from(kpss(&level) > KPSS_MAX);
    let order = |values, errors, seasonal_order: usize| SarimaOrder {
        values,
        differences,
        errors,
        seasonal_values: if seasonal { seasonal_order & 1 } else { 0 },
        seasonal_differences,
        seasonal_errors: if seasonal { seasonal_order >> 1 } else { 0 },
        season_steps: if seasonal { season } else { 1 },
    };
    let orders = vec![
        order(0, 0, 0),
        order(1, 0, 1),
        order(0, 1, 2),
        order(2, 2, 3),
    ];
    let reach = ORDER_MAX + 1 + (SEASONAL_MAX + 1) * orders[0].season_steps;
    Some((orders, reach))
}

/// Returns the orders one step away: each order alone, and values and errors together.
pub(super) fn with_neighbours(order: SarimaOrder) -> Vec<SarimaOrder> {
    let moved = |value: usize, by: isize, most: usize| {
        value.checked_add_signed(by).filter(|value| *value <= most)
    };
    let is_seasonal = order.season_steps > 1;
    let mut orders = Vec::new();
    for by in [-1, 1] {
        let values = moved(order.values, by, ORDER_MAX);
        let errors = moved(order.errors, by, ORDER_MAX);
        orders.extend(values.map(|values| SarimaOrder { values, ..order }));
        orders.extend(errors.map(|errors| SarimaOrder { errors, ..order }));
        orders.extend(values.zip(errors).map(|(values, errors)| SarimaOrder {
            values,
            errors,
            ..order
        }));
        if is_seasonal {
            let values = moved(order.seasonal_values, by, SEASONAL_MAX);
            let errors = moved(order.seasonal_errors, by, SEASONAL_MAX);
            orders.extend(values.map(|seasonal_values| SarimaOrder {
                seasonal_values,
                ..order
            }));
            orders.extend(errors.map(|seasonal_errors| SarimaOrder {
                seasonal_errors,
                ..order
            }));
        }
    }
    orders
}

fn filled(values: &[f64]) -> Option<Vec<f64>> {
    let mut last = *values.iter().find(|value| !value.is_nan())?;
    let filled = values.iter().map(|value| {
        if !value.is_nan() {
            last = *value;
        }
        last
    });
    Some(filled.collect())
}

fn difference(values: &[f64], lag: usize) -> Vec<f64> {
    values
        .iter()
        .skip(lag)
        .zip(values)
        .map(|(later, earlier)| later - earlier)
        .collect()
}

/// The KPSS statistic about a level, with the lags that R's `forecast::ndiffs` takes.
fn kpss(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let centred: Vec<f64> = values.iter().map(|value| value - mean).collect();
    let mut sum = 0.0;
    let partial: f64 = centred
        .iter()
        .map(|value| {
            sum += value;
            sum * sum
        })
        .sum();
    let product = |lag: usize| -> f64 {
        centred
            .iter()
            .zip(&centred[lag..])
            .map(|(one, other)| one * other)
            .sum()
    };
    let lags = (3.0 * count.sqrt() / 13.0) as usize;
    let weighted = (1..=lags.min(values.len().saturating_sub(1)))
        .map(|lag| 2.0 * (1.0 - lag as f64 / (lags as f64 + 1.0)) * product(lag));
    let variance = product(0) + weighted.sum::<f64>();
    // A constant has no variance, and needs no difference.
    if variance > 0.0 {
        partial / count / variance
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_is_differenced_and_noise_is_not() {
        let noise: Vec<f64> = (0..400_u32)
            .map(|step| f64::from(step * 7_919 % 101) - 50.0)
            .collect();
        let mut sum = 0.0;
        let walk: Vec<f64> = noise
            .iter()
            .map(|value| {
                sum += value;
                sum + 0.3 * value
            })
            .collect();
        let trend: Vec<f64> = noise
            .iter()
            .enumerate()
            .map(|(step, value)| step as f64 + value)
            .collect();
        let differences = |values: &[f64]| first(values, 12).expect("orders").0[0].differences;
        assert_eq!(differences(&noise), 0);
        assert_eq!(differences(&trend), 1);
        assert!(kpss(&walk) > kpss(&noise));
    }

    #[test]
    fn neighbours_keep_to_the_bounds() {
        let order = first(&vec![1.0; 100], 12).expect("orders").0[0];
        let neighbours = with_neighbours(order);
        assert_eq!(neighbours.len(), 5);
        assert!(
            neighbours
                .iter()
                .all(|other| other.values <= 1 && other.errors <= 1)
        );
    }
}
