//! What is forecast: the rules that find targets in a host's points, and the targets themselves.
//!
//! A target's name is `measurement.field`, or the name a rule gives it, and the values of the rule's tags in
//! braces: `disk.used_percent{path=/}`. A comma, an equals sign, a brace or a percent sign inside a value is written as
//! in a URL (`%2C`), so that two targets never share a name; a Windows path's backslashes stay as they are, but for one
//! before the comma of a further tag (`%5C`), since line protocol has no way to say that.

use std::{collections::BTreeMap, fmt::Write, sync::Arc};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a target's values can be; it decides the bounds of a forecast and the scale on which the network works.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A share between 0 and 100.
    Percent,
    /// Something per second, never negative.
    Rate,
    /// Any finite value.
    Gauge,
}

impl Kind {
    /// Every kind, in the order of the network's embedding.
    pub const ALL: [Self; 3] = [Self::Percent, Self::Rate, Self::Gauge];

    /// Returns the least and the greatest value that a forecast may take.
    #[must_use]
    pub fn bounds(self) -> (f64, f64) {
        match self {
            Self::Percent => (0.0, 100.0),
            Self::Rate => (0.0, f64::INFINITY),
            Self::Gauge => (f64::NEG_INFINITY, f64::INFINITY),
        }
    }

    /// Returns the nearest value within the bounds.
    #[must_use]
    pub fn clamp(self, value: f64) -> f64 {
        let (low, high) = self.bounds();
        value.clamp(low, high)
    }

    fn unit(self) -> &'static str {
        match self {
            Self::Percent => "%",
            Self::Rate => "1/s",
            Self::Gauge => "",
        }
    }
}

/// How targets are found among a host's points.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TargetRule {
    /// The targets' name before the braces, such as `cpu.usage`.
    pub name: String,
    /// The measurement, such as `cpu`.
    pub measurement: String,
    /// The field, such as `usage_idle`.
    pub field: String,
    /// Tags that a series must have, with these values.
    #[serde(default)]
    pub where_tags: BTreeMap<String, String>,
    /// Tags whose every value makes a target of its own.
    #[serde(default)]
    pub by_tags: Vec<String>,
    /// Whether the field counts up and its increase per second is what is forecast.
    #[serde(default)]
    pub counter: bool,
    /// Whether 100 minus the field is what is forecast.
    #[serde(default)]
    pub complement: bool,
    /// What the values can be.
    pub kind: Kind,
    /// The unit; without one it follows from the kind.
    #[serde(default)]
    pub unit: Option<String>,
    /// The value whose crossing is worth an alert.
    #[serde(default)]
    pub threshold: Option<f64>,
}

impl TargetRule {
    /// Makes a rule for a field as it is, of every series of the measurement.
    pub(crate) fn new(name: &str, measurement: &str, field: &str, kind: Kind) -> Self {
        Self {
            name: name.to_owned(),
            measurement: measurement.to_owned(),
            field: field.to_owned(),
            where_tags: BTreeMap::new(),
            by_tags: Vec::new(),
            counter: false,
            complement: false,
            kind,
            unit: None,
            threshold: None,
        }
    }

    /// Makes the target of this rule for a series whose tags are `tags`; tags outside `by_tags` play no part.
    ///
    /// # Examples
    ///
    /// ```
    /// use headroom_forecaster::target::default_rules;
    /// let disk = default_rules().into_iter().find(|rule| rule.measurement == "disk").expect("a disk rule");
    /// let target = std::sync::Arc::new(disk).target(&[("path".into(), "/var".into())].into());
    /// assert_eq!(target.metric, "disk.used_percent{path=/var}");
    /// ```
    #[must_use]
    pub fn target(self: &Arc<Self>, tags: &BTreeMap<String, String>) -> Target {
        let tags: Vec<(String, String)> = self
            .by_tags
            .iter()
            .filter_map(|key| Some((key.clone(), tags.get(key)?.clone())))
            .collect();
        Target {
            metric: metric_name(&self.name, &tags),
            kind: self.kind,
            unit: self
                .unit
                .clone()
                .unwrap_or_else(|| self.kind.unit().to_owned()),
            tags,
            rule: Arc::clone(self),
        }
    }
}

/// How far beyond its bounds a share may lie: agents divide differences of counters that were not read at the same instant.
const ROUNDING: f64 = 0.5;

/// One series and what of it is forecast.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// The name, unique within a host.
    pub metric: String,
    /// What the values can be.
    pub kind: Kind,
    /// The unit of the values.
    pub unit: String,
    /// The tags of the rule's `by_tags`, with this target's values.
    pub tags: Vec<(String, String)>,
    /// The rule that found it.
    pub rule: Arc<TargetRule>,
}

impl Target {
    /// Makes a target of a metric's name alone: shares in percent, what is counted per time as a rate, all else as a
    /// gauge. [`Self::held_to`] corrects the guess by the values.
    pub(crate) fn named(metric: &str) -> Self {
        let names = |words: &[&str]| words.iter().any(|word| metric.contains(word));
        let kind = if names(&["percent", "usage"]) {
            Kind::Percent
        } else if names(&["_rate", "_5m", "count", "load"]) {
            Kind::Rate
        } else {
            Kind::Gauge
        };
        let (measurement, field) = metric.split_once('.').unwrap_or((metric, "value"));
        let rule = TargetRule::new(metric, measurement, field, kind);
        Arc::new(rule).target(&BTreeMap::new())
    }

    /// Corrects the kind of a target that has nothing but a name by its values: what goes beyond 100 is no share, and what
    /// was ever negative is a gauge. A gauge has no bounds that a value could lie beyond.
    pub(crate) fn held_to(self, values: impl IntoIterator<Item = f64>) -> Self {
        let (mut least, mut greatest) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.into_iter().filter(|value| value.is_finite()) {
            least = least.min(value);
            greatest = greatest.max(value);
        }
        let kind = match self.kind {
            Kind::Percent if least >= -ROUNDING && greatest <= 100.0 + ROUNDING => Kind::Percent,
            Kind::Percent | Kind::Rate if least < 0.0 => Kind::Gauge,
            Kind::Percent | Kind::Rate => Kind::Rate,
            Kind::Gauge => Kind::Gauge,
        };
        if kind == self.kind {
            return self;
        }
        let rule = TargetRule {
            kind,
            ..(*self.rule).clone()
        };
        Arc::new(rule).target(&self.tags.into_iter().collect())
    }
}

/// Returns the name of a target that tags tell from others.
pub(crate) fn metric_name(name: &str, tags: &[(String, String)]) -> String {
    let mut metric = name.to_owned();
    for (index, (key, value)) in tags.iter().enumerate() {
        metric.push(if index == 0 { '{' } else { ',' });
        let _ = write!(metric, "{key}=");
        let has_next = index + 1 < tags.len();
        for (place, character) in value.char_indices() {
            let is_last = place + character.len_utf8() == value.len();
            match character {
                ',' | '=' | '{' | '}' | '%' => {
                    let _ = write!(metric, "%{:02X}", u32::from(character));
                }
                // Before a comma line protocol has no way to say a single backslash.
                '\\' if is_last && has_next => metric.push_str("%5C"),
                other => metric.push(other),
            }
        }
    }
    if !tags.is_empty() {
        metric.push('}');
    }
    metric
}

/// Returns the rules for what Telegraf writes of every host.
#[must_use]
pub fn default_rules() -> Vec<TargetRule> {
    let net = |field: &str| TargetRule {
        by_tags: vec!["interface".to_owned()],
        counter: true,
        unit: Some("B/s".to_owned()),
        ..TargetRule::new(&format!("net.{field}"), "net", field, Kind::Rate)
    };
    vec![
        TargetRule {
            where_tags: [("cpu".to_owned(), "cpu-total".to_owned())].into(),
            complement: true,
            threshold: Some(90.0),
            ..TargetRule::new("cpu.usage", "cpu", "usage_idle", Kind::Percent)
        },
        TargetRule {
            threshold: Some(90.0),
            ..TargetRule::new("mem.used_percent", "mem", "used_percent", Kind::Percent)
        },
        TargetRule {
            by_tags: vec!["path".to_owned()],
            threshold: Some(90.0),
            ..TargetRule::new("disk.used_percent", "disk", "used_percent", Kind::Percent)
        },
        net("bytes_recv"),
        net("bytes_sent"),
        // Load is a queue length: never negative, and it grows by factors as a rate does.
        TargetRule {
            unit: Some(String::new()),
            ..TargetRule::new("system.load1", "system", "load1", Kind::Rate)
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_escape_what_would_make_them_ambiguous() {
        let rule = Arc::new(TargetRule {
            by_tags: vec!["path".into(), "mode".into()],
            ..default_rules().remove(2)
        });
        let target = rule.target(
            &[
                ("mode".into(), "rw".into()),
                ("path".into(), "/a,b=c}".into()),
            ]
            .into(),
        );
        assert_eq!(
            target.metric,
            "disk.used_percent{path=/a%2Cb%3Dc%7D,mode=rw}"
        );
        let drive = rule.target(
            &[
                ("mode".into(), "rw".into()),
                ("path".into(), r"C:\data".into()),
            ]
            .into(),
        );
        assert_eq!(drive.metric, r"disk.used_percent{path=C:\data,mode=rw}");
        let root = [("mode".into(), "rw".into()), ("path".into(), r"C:\".into())];
        let root = rule.target(&root.into());
        assert_eq!(root.metric, "disk.used_percent{path=C:%5C,mode=rw}");
    }

    #[test]
    fn a_kind_that_was_guessed_by_name_gives_way_to_the_values() {
        let kind = |metric: &str, values: &[f64]| {
            let target = Target::named(metric).held_to(values.iter().copied());
            assert_eq!(
                (target.kind, target.metric.as_str()),
                (target.rule.kind, metric)
            );
            (target.kind, target.unit)
        };
        let (percent, rate) = ("%".to_owned(), "1/s".to_owned());
        let share = [0.0, 99.9, f64::NAN, 100.000_001, -0.000_001];
        assert_eq!(
            kind("cpu.usage_active", &share),
            (Kind::Percent, percent.clone())
        );
        assert_eq!(kind("mem.used_percent", &[]), (Kind::Percent, percent));
        let bytes = [2.1e9, 2.3e9];
        assert_eq!(
            kind("docker_container_mem.usage", &bytes),
            (Kind::Rate, rate.clone())
        );
        assert_eq!(
            kind("cpu.usage_active", &[3.0, 126.8]),
            (Kind::Rate, rate.clone())
        );
        assert_eq!(kind("quota.usage", &[-40.0, 30.0]).0, Kind::Gauge);
        assert_eq!(kind("queue.count", &[0.0, 7.0]), (Kind::Rate, rate));
        assert_eq!(kind("queue.count_change", &[-1.0, 7.0]).0, Kind::Gauge);
        assert_eq!(kind("room.temperature", &[20.0, 21.0]).0, Kind::Gauge);
    }

    #[test]
    fn default_rules_name_targets_as_documented() {
        let names: Vec<_> = default_rules().into_iter().map(|rule| rule.name).collect();
        assert_eq!(
            names,
            [
                "cpu.usage",
                "mem.used_percent",
                "disk.used_percent",
                "net.bytes_recv",
                "net.bytes_sent",
                "system.load1"
            ]
        );
    }
}
