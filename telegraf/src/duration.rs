//! Durations as people type them: `10s`, `5m`, `2h`, `14d`.

use std::time::Duration;

const UNITS: [(&str, f64); 5] = [
    ("ms", 0.001),
    ("s", 1.0),
    ("m", 60.0),
    ("h", 3600.0),
    ("d", 86400.0),
];

/// Parses a positive duration with its unit.
///
/// # Errors
///
/// Says what would be right.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let refused =
        || format!("{text:?} is no duration; write a number and a unit: 500ms, 10s, 5m, 2h, 14d");
    let split = text
        .find(|c: char| c.is_ascii_alphabetic())
        .ok_or_else(refused)?;
    let (number, unit) = text.split_at(split);
    let (_, seconds) = UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(refused)?;
    let number: f64 = number.parse().map_err(|_| refused())?;
    Duration::try_from_secs_f64(number * seconds)
        .ok()
        .filter(|duration| !duration.is_zero())
        .ok_or_else(refused)
}

/// Parses a positive whole number of seconds.
///
/// # Errors
///
/// Says what would be right.
pub(crate) fn parse_seconds(text: &str) -> Result<i64, String> {
    let duration = parse(text)?;
    if duration.subsec_nanos() == 0 && duration.as_secs() <= 366 * 86400 {
        Ok(duration.as_secs() as i64)
    } else {
        Err(format!(
            "{text:?} must be a whole number of seconds, and a year at most"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_required_and_understood() {
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_seconds("5m"), Ok(300));
        assert_eq!(parse_seconds("1.5h"), Ok(5400));
        assert_eq!(parse_seconds("14d"), Ok(14 * 86400));
        for wrong in ["", "5", "m", "-5m", "5w", "0s", "1e99d", "NaNs"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert!(parse_seconds("1500ms").is_err());
    }
}
