//! When hosts are retrained: a cron expression with seconds, in a time zone.

use std::{fmt, str::FromStr};

use tokio_cron_scheduler::Job;

/// A cron expression that the scheduler accepts: second, minute, hour, day of month, month, day of week.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule(String);

/// Why an expression was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Neither five nor six fields.
    #[error(
        "a cron expression has 6 fields (second minute hour day month weekday) or 5 (without the second), not {fields}"
    )]
    Fields {
        /// How many there were.
        fields: usize,
    },
    /// A field that means nothing.
    #[error("{expression:?} is no cron expression; `0 30 3 * * *` means every day at 03:30:00")]
    Invalid {
        /// What was written.
        expression: String,
    },
}

impl FromStr for Schedule {
    type Err = ScheduleError;

    /// Takes six fields as they are, and five with second 0 before them.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let expression = match fields.len() {
            5 => format!("0 {}", fields.join(" ")),
            6 => fields.join(" "),
            other => return Err(ScheduleError::Fields { fields: other }),
        };
        match Job::new_async(expression.as_str(), |_, _| Box::pin(async {})) {
            Ok(_) => Ok(Self(expression)),
            Err(_) => Err(ScheduleError::Invalid { expression }),
        }
    }
}

impl Schedule {
    /// The expression with its six fields.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_fields_run_at_second_zero() {
        let schedule: Schedule = "30 3 * * *".parse().expect("five fields");
        assert_eq!(schedule.as_str(), "0 30 3 * * *");
    }

    #[test]
    fn six_fields_are_taken_as_they_are() {
        let schedule: Schedule = "5 30 3 * * 1".parse().expect("six fields");
        assert_eq!(schedule.as_str(), "5 30 3 * * 1");
    }

    #[test]
    fn nonsense_is_refused_with_what_would_be_right() {
        let fields = "* *".parse::<Schedule>().expect_err("two fields");
        assert_eq!(fields, ScheduleError::Fields { fields: 2 });
        let invalid = "0 99 3 * * *".parse::<Schedule>().expect_err("minute 99");
        assert!(invalid.to_string().contains("0 30 3 * * *"), "{invalid}");
    }
}
