//! What goes wrong on a host, and when: written `KIND` or `KIND:OPTION=VALUE,…`.
//!
//! Scenarios are timed from *now*, the instant at which the backfill ends: before it lies what a forecaster may learn
//! from, after it what it should have foreseen.

use std::{collections::BTreeMap, fmt, str::FromStr};

use crate::duration;

const HOUR_S: f64 = 3600.0;

/// A full disk or memory stays a little below 100 %: the system keeps a reserve.
const CEILING_PERCENT: f64 = 99.6;

/// A level that rises steadily and is at `level` now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ramp {
    /// Per cent now.
    pub level: f64,
    /// Per cent per hour.
    pub rate: f64,
    /// Per cent at which each rise begins.
    pub from: f64,
    /// Per cent at which somebody cleaned up before now, so that the rise began anew.
    pub peak: f64,
}

impl Ramp {
    /// Answers the level `hours` after now; negative before it.
    #[must_use]
    pub fn at(&self, hours: f64, ends_at_peak: bool) -> f64 {
        let reached = self.level + self.rate * hours;
        if hours > 0.0 && !ends_at_peak {
            return reached.min(CEILING_PERCENT);
        }
        self.from + (reached - self.from).rem_euclid(self.peak - self.from)
    }
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq)]
pub enum Scenario {
    /// Nothing.
    Healthy,
    /// The host is healthy, then degrades, then is critical.
    Decline {
        /// Seconds before now at which it begins.
        since_s: f64,
        /// Seconds after now at which the host is critical; negative before now.
        critical_s: f64,
    },
    /// A process leaks memory until it is killed and begins anew.
    Leak(Ramp),
    /// A file system fills; before now it was cleaned in time, after now nobody does.
    DiskFill {
        /// The mount point.
        path: String,
        /// How it fills.
        ramp: Ramp,
    },
    /// The host reboots again and again.
    Reboots {
        /// Seconds between two of them.
        every_s: i64,
    },
    /// The host stopped reporting.
    Silent {
        /// Seconds before now of its last point.
        since_s: i64,
    },
}

/// The kinds with their options and defaults, for the command line's help.
pub const HELP: &str = "\
Scenarios: HOST=KIND or HOST=KIND:OPTION=VALUE,…; repeat the flag for several of one host.
  healthy    nothing goes wrong
  degrading  healthy, then load and memory grow; critical after now
             since=5d critical-in=24h
  critical   the same, and already critical now
             since=7d critical-for=6h
  leak       a process leaks memory, is killed at the peak and begins anew
             level=80 rate=1 from=35 peak=97
  disk-fill  a file system fills; it was cleaned at the peak before now, and is not after it
             path=/data level=80 rate=1.25 from=40 peak=96
  reboots    the host reboots again and again
             every=6h
  silent     the host stopped reporting
             since=2h
The values are the defaults. level (now), from and peak are per cent, rate is per cent an hour:
disk-fill as it stands crosses 90 % eight hours from now.";

impl FromStr for Scenario {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        let mut options = Options::parse(kind, rest)?;
        let scenario = match kind {
            "healthy" => Self::Healthy,
            "degrading" => Self::Decline {
                since_s: options.seconds("since", "5d")? as f64,
                critical_s: options.seconds("critical-in", "24h")? as f64,
            },
            "critical" => Self::Decline {
                since_s: options.seconds("since", "7d")? as f64,
                critical_s: -(options.seconds("critical-for", "6h")? as f64),
            },
            "leak" => Self::Leak(options.ramp([80.0, 1.0, 35.0, 97.0])?),
            "disk-fill" => Self::DiskFill {
                path: options.text("path", "/data"),
                ramp: options.ramp([80.0, 1.25, 40.0, 96.0])?,
            },
            "reboots" => Self::Reboots {
                every_s: options.seconds("every", "6h")?.max(1800),
            },
            "silent" => Self::Silent {
                since_s: options.seconds("since", "2h")?,
            },
            _ => {
                return Err(format!(
                    "there is no scenario {kind:?}; there are healthy, degrading, critical, leak, disk-fill, reboots \
                     and silent"
                ));
            }
        };
        if let Self::Decline {
            since_s,
            critical_s,
        } = scenario
            && since_s + critical_s <= 0.0
        {
            return Err(format!(
                "{kind}: critical-for must be shorter than since, so that the host was healthy before"
            ));
        }
        options.finish()?;
        Ok(scenario)
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Healthy => f.write_str("healthy"),
            Self::Decline { critical_s, .. } if *critical_s < 0.0 => f.write_str("critical"),
            Self::Decline { .. } => f.write_str("degrading"),
            Self::Leak(ramp) => write!(f, "leak at {} %, {} %/h", ramp.level, ramp.rate),
            Self::DiskFill { path, ramp } => {
                write!(
                    f,
                    "disk-fill of {path} at {} %, {} %/h",
                    ramp.level, ramp.rate
                )
            }
            Self::Reboots { every_s } => write!(f, "reboots every {} min", every_s / 60),
            Self::Silent { since_s } => write!(f, "silent for {} min", since_s / 60),
        }
    }
}

/// The scenarios of one host and the instant from which they are timed.
#[derive(Debug, Clone)]
pub struct Story {
    /// Now, in seconds since 1970.
    pub now_s: i64,
    /// What goes wrong.
    pub scenarios: Vec<Scenario>,
}

impl Story {
    fn hours(&self, time_s: i64) -> f64 {
        (time_s - self.now_s) as f64 / HOUR_S
    }

    /// Answers how far the host has declined: 0 healthy, 1 critical.
    #[must_use]
    pub fn severity(&self, time_s: i64) -> f64 {
        let after_now_s = (time_s - self.now_s) as f64;
        self.scenarios
            .iter()
            .map(|scenario| match scenario {
                Scenario::Decline {
                    since_s,
                    critical_s,
                } => ((after_now_s + since_s) / (since_s + critical_s)).clamp(0.0, 1.0),
                _ => 0.0,
            })
            .fold(0.0, f64::max)
    }

    /// Answers the share of memory in use that a leak dictates, in per cent.
    #[must_use]
    pub fn leaked_percent(&self, time_s: i64) -> Option<f64> {
        self.scenarios.iter().find_map(|scenario| match scenario {
            Scenario::Leak(ramp) => Some(ramp.at(self.hours(time_s), true)),
            _ => None,
        })
    }

    /// Answers how full a filling file system is, in per cent.
    #[must_use]
    pub fn filled_percent(&self, path: &str, time_s: i64) -> Option<f64> {
        self.scenarios.iter().find_map(|scenario| match scenario {
            Scenario::DiskFill {
                path: filling,
                ramp,
            } if filling == path => Some(ramp.at(self.hours(time_s), false)),
            _ => None,
        })
    }

    /// Answers the mount points that the scenarios need.
    pub fn filling_paths(&self) -> impl Iterator<Item = &str> {
        self.scenarios.iter().filter_map(|scenario| match scenario {
            Scenario::DiskFill { path, .. } => Some(path.as_str()),
            _ => None,
        })
    }

    /// Answers the seconds between two reboots, where the host reboots again and again.
    #[must_use]
    pub fn reboots_every_s(&self) -> Option<i64> {
        self.scenarios.iter().find_map(|scenario| match scenario {
            Scenario::Reboots { every_s } => Some(*every_s),
            _ => None,
        })
    }

    /// Says whether the host has stopped reporting.
    #[must_use]
    pub fn is_silent(&self, time_s: i64) -> bool {
        self.scenarios.iter().any(|scenario| {
            matches!(scenario, Scenario::Silent { since_s } if time_s > self.now_s - since_s)
        })
    }
}

struct Options<'a> {
    kind: &'a str,
    values: BTreeMap<&'a str, &'a str>,
}

impl<'a> Options<'a> {
    fn parse(kind: &'a str, text: &'a str) -> Result<Self, String> {
        let values = text
            .split(',')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                pair.split_once('=').ok_or_else(|| {
                    format!("{kind}: {pair:?} has no value; write OPTION=VALUE,OPTION=VALUE")
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { kind, values })
    }

    fn text(&mut self, name: &str, default: &str) -> String {
        self.values.remove(name).unwrap_or(default).to_owned()
    }

    fn seconds(&mut self, name: &str, default: &str) -> Result<i64, String> {
        let text = self.values.remove(name).unwrap_or(default);
        duration::parse_seconds(text).map_err(|error| format!("{}: {name}: {error}", self.kind))
    }

    fn number(&mut self, name: &str, default: f64) -> Result<f64, String> {
        let Some(text) = self.values.remove(name) else {
            return Ok(default);
        };
        let number = text
            .parse::<f64>()
            .ok()
            .filter(|n| n.is_finite() && *n >= 0.0);
        number.ok_or_else(|| {
            format!(
                "{}: {name}={text} is no number; write one of 0 or more",
                self.kind
            )
        })
    }

    fn ramp(&mut self, [level, rate, from, peak]: [f64; 4]) -> Result<Ramp, String> {
        let ramp = Ramp {
            level: self.number("level", level)?,
            rate: self.number("rate", rate)?,
            from: self.number("from", from)?,
            peak: self.number("peak", peak)?,
        };
        if ramp.from < ramp.level && ramp.level < ramp.peak && ramp.peak <= 100.0 {
            Ok(ramp)
        } else {
            Err(format!(
                "{}: from={} level={} peak={} are out of order; 0 <= from < level < peak <= 100 is right",
                self.kind, ramp.from, ramp.level, ramp.peak
            ))
        }
    }

    fn finish(self) -> Result<(), String> {
        match self.values.keys().next() {
            None => Ok(()),
            Some(name) => Err(format!(
                "the scenario {} has no option {name:?}; --help lists them",
                self.kind
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn story(text: &str) -> Story {
        Story {
            now_s: 1_000_000,
            scenarios: vec![text.parse().expect("a scenario")],
        }
    }

    #[test]
    fn a_filling_disk_is_at_its_level_now_and_crosses_ninety_eight_hours_later() {
        let story = story("disk-fill");
        let at = |hours: i64| story.filled_percent("/data", 1_000_000 + hours * 3600);
        assert_eq!(at(0), Some(80.0));
        assert_eq!(at(8), Some(90.0));
        assert_eq!(at(-8), Some(70.0));
        assert_eq!(at(48), Some(CEILING_PERCENT));
        assert_eq!(story.filled_percent("/", 1_000_000), None);
        // 32 hours ago it stood at its lowest, and just before that it was cleaned.
        assert_eq!(at(-32), Some(40.0));
        assert!(at(-33).is_some_and(|percent| percent > 90.0));
    }

    #[test]
    fn rate_and_level_are_settable() {
        let story = story("disk-fill:path=/var,level=70,rate=2,from=10,peak=95");
        assert_eq!(story.filled_percent("/var", 1_000_000), Some(70.0));
        assert_eq!(story.filled_percent("/var", 1_003_600), Some(72.0));
    }

    #[test]
    fn a_decline_goes_from_healthy_to_critical() {
        let degrading = story("degrading");
        assert!(degrading.severity(1_000_000 - 6 * 86400) <= 0.0);
        assert!((0.8..0.9).contains(&degrading.severity(1_000_000)));
        assert!(degrading.severity(1_000_000 + 86400) >= 1.0);
        assert!(story("critical").severity(1_000_000) >= 1.0);
    }

    #[test]
    fn a_bad_scenario_is_answered_with_what_would_be_right() {
        let cases = [
            ("fire", "there are healthy"),
            ("leak:level", "write OPTION=VALUE"),
            ("leak:level=x", "is no number"),
            ("leak:level=99", "out of order"),
            ("leak:speed=3", "has no option"),
            ("silent:since=3", "write a number and a unit"),
            ("critical:critical-for=8d", "must be shorter than since"),
        ];
        for (text, expected) in cases {
            let error = text.parse::<Scenario>().expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
