//! A forecast as text: history, what came, the median, and the 80 % interval.

use std::fmt::Write;

use crate::quantile::{HORIZON_STEPS, LEVELS, MEDIAN, QuantilePath};

const ROWS: usize = 16;

/// The steps of history before the origin: as many as are forecast.
const HISTORY_STEPS: usize = HORIZON_STEPS;

/// The steps that share a column.
const STEPS_PER_COLUMN: usize = 2;

const MEDIAN_LINE: char = '+';
const CAME: char = '*';
const INTERVAL: char = '.';

/// Draws the end of `history`, and the forecast with what `came` in it.
pub(super) fn of_forecast(history: &[f32], came: &[f32], path: &QuantilePath) -> String {
    let history = &history[history.len().saturating_sub(HISTORY_STEPS)..];
    let seen = columns(history);
    let came = columns(came);
    let level = |level: usize| {
        let values: Vec<f32> = path.levels()[level].iter().map(|v| *v as f32).collect();
        columns(&values)
    };
    let (low, median, high) = (level(1), level(MEDIAN), level(LEVELS.len() - 2));
    let all = || [&seen, &came, &low, &high].into_iter().flatten().flatten();
    let floor = all().copied().fold(f32::INFINITY, f32::min);
    let top = all().copied().fold(f32::NEG_INFINITY, f32::max);
    let height = (top - floor).max(f32::MIN_POSITIVE);
    let row_of = |value: f32| (((value - floor) / height * (ROWS - 1) as f32).round()) as usize;

    let width = seen.len() + median.len();
    let mut canvas = vec![vec![' '; width]; ROWS];
    let mut draw = |column: usize, value: Option<f32>, mark: char| {
        if let Some(value) = value {
            canvas[row_of(value)][column] = mark;
        }
    };
    for (column, value) in seen.iter().enumerate() {
        draw(column, *value, CAME);
    }
    for column in 0..median.len() {
        let place = seen.len() + column;
        if let (Some(low), Some(high)) = (low[column], high[column]) {
            for row in row_of(low)..=row_of(high) {
                draw(
                    place,
                    Some(floor + height * row as f32 / (ROWS - 1) as f32),
                    INTERVAL,
                );
            }
        }
        draw(place, median[column], MEDIAN_LINE);
        draw(place, came.get(column).copied().flatten(), CAME);
    }
    rendered(&canvas, floor, top, seen.len())
}

fn rendered(canvas: &[Vec<char>], floor: f32, top: f32, origin: usize) -> String {
    let mut text = String::new();
    for (row, cells) in canvas.iter().enumerate().rev() {
        let label = match row {
            0 => format!("{floor:.4}"),
            row if row == ROWS - 1 => format!("{top:.4}"),
            _ => String::new(),
        };
        let cells: String = cells.iter().collect();
        let _ = writeln!(text, "{label:>14} |{}", cells.trim_end());
    }
    let _ = writeln!(text, "{:>14} +{}^ origin", "", "-".repeat(origin));
    let _ = writeln!(
        text,
        "{CAME} measured   {MEDIAN_LINE} median   {INTERVAL} 80 % interval"
    );
    text
}

/// Averages the values of each column; `None` where all are missing.
fn columns(values: &[f32]) -> Vec<Option<f32>> {
    let of_column = |part: &[f32]| {
        let seen: Vec<f32> = part.iter().copied().filter(|v| v.is_finite()).collect();
        (!seen.is_empty()).then(|| seen.iter().sum::<f32>() / seen.len() as f32)
    };
    values.chunks(STEPS_PER_COLUMN).map(of_column).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Kind;

    #[test]
    fn what_came_is_drawn_over_the_forecast_at_its_height() {
        let history = vec![0.0; 200];
        let came = vec![15.0; HORIZON_STEPS];
        let path =
            QuantilePath::from_fn(HORIZON_STEPS, Kind::Gauge, |level, _| 5.0 + LEVELS[level]);
        let plot = of_forecast(&history, &came, &path);
        let lines: Vec<&str> = plot.lines().collect();
        assert_eq!(lines.len(), ROWS + 2);
        assert!(lines[0].contains("15.0000") && lines[0].ends_with(&"*".repeat(48)));
        assert!(lines[ROWS - 1].contains("0.0000") && lines[ROWS - 1].ends_with(&"*".repeat(48)));
        let median = lines
            .iter()
            .position(|line| line.contains('+'))
            .expect("a median");
        assert!((9..=10).contains(&median), "{plot}");
    }
}
