//! The downhill simplex: a least value of a function of a few numbers, without derivatives.
//!
//! Nelder & Mead, "A simplex method for function minimization", The Computer Journal 7 (1965), with their coefficients:
//! reflection 1, expansion 2, contraction and shrinking ½.

/// A point and the function's value there.
type Vertex = (Vec<f64>, f64);

/// Searches from `start`, with a first step of `size` along each axis, for at most about `calls` calls of the function.
/// Ends early when the values at all corners agree to `tolerance`. A value that is not finite counts as the worst.
pub(super) fn least(
    start: &[f64],
    size: f64,
    calls: usize,
    tolerance: f64,
    function: impl Fn(&[f64]) -> f64,
) -> Vertex {
    let evaluate = |point: Vec<f64>| {
        let value = function(&point);
        let value = if value.is_finite() { value } else { f64::MAX };
        (point, value)
    };
    let mut corners: Vec<Vertex> = vec![evaluate(start.to_vec())];
    for axis in 0..start.len() {
        let mut point = start.to_vec();
        point[axis] += size;
        corners.push(evaluate(point));
    }
    let mut called = corners.len();
    let by_value = |one: &Vertex, other: &Vertex| one.1.total_cmp(&other.1);
    corners.sort_by(by_value);
    while called < calls && start.len() + 1 == corners.len() && !start.is_empty() {
        let worst = start.len();
        if corners[worst].1 - corners[0].1 <= tolerance {
            break;
        }
        let centre = centre(&corners[..worst]);
        let away = |share: f64| -> Vec<f64> {
            let worst = corners[worst].0.iter();
            centre
                .iter()
                .zip(worst)
                .map(|(centre, worst)| centre + share * (centre - worst))
                .collect()
        };
        let reflected = evaluate(away(1.0));
        called += 1;
        let better = if reflected.1 < corners[0].1 {
            called += 1;
            let expanded = evaluate(away(2.0));
            Some(if expanded.1 < reflected.1 {
                expanded
            } else {
                reflected
            })
        } else if reflected.1 < corners[worst - 1].1 {
            Some(reflected)
        } else {
            called += 1;
            let outside = reflected.1 < corners[worst].1;
            let contracted = evaluate(away(if outside { 0.5 } else { -0.5 }));
            (contracted.1 < corners[worst].1.min(reflected.1)).then_some(contracted)
        };
        if let Some(vertex) = better {
            corners[worst] = vertex;
        } else {
            let best = corners[0].0.clone();
            for corner in &mut corners[1..] {
                let halved = corner.0.iter().zip(&best);
                *corner = evaluate(
                    halved
                        .map(|(far, near)| f64::midpoint(*far, *near))
                        .collect(),
                );
                called += 1;
            }
        }
        corners.sort_by(by_value);
    }
    corners.swap_remove(0)
}

fn centre(corners: &[Vertex]) -> Vec<f64> {
    let axes = 0..corners[0].0.len();
    axes.map(|axis| corners.iter().map(|corner| corner.0[axis]).sum::<f64>() / corners.len() as f64)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_bottom_of_rosenbrocks_valley() {
        let valley = |at: &[f64]| (1.0 - at[0]).powi(2) + 100.0 * (at[1] - at[0] * at[0]).powi(2);
        let (point, value) = least(&[-1.2, 1.0], 0.5, 400, 1e-12, valley);
        assert!(value < 1e-9, "{value}");
        assert!((point[0] - 1.0).abs() < 1e-3 && (point[1] - 1.0).abs() < 1e-3);
    }

    #[test]
    fn keeps_to_its_calls_and_survives_what_is_not_a_number() {
        let calls = std::cell::Cell::new(0);
        let (_, value) = least(&[0.0, 0.0, 0.0], 1.0, 50, 0.0, |_| {
            calls.set(calls.get() + 1);
            f64::NAN
        });
        assert!(calls.get() <= 54, "{}", calls.get());
        assert!((value - f64::MAX).abs() < f64::EPSILON);
    }
}
