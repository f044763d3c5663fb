//! `[[target]]` tables: which series are forecast, and which of them are left out.
//!
//! ```toml
//! [[target]]
//! measurement = "elb"
//! field = "request_count"
//! kind = "rate"                     # percent, rate or gauge; gauge where it is left out
//! where = { region = "eu-1" }       # tags that a series must have
//! by = ["name"]                     # tags whose every value is a target of its own
//! except = { name = ["test*"] }     # values that are left out; a trailing * stands for anything
//! threshold = 5000
//! ```
//!
//! A table whose name is a default rule's takes that rule's place.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::SettingsError;
use crate::target::{self, Kind, TargetRule};

/// File systems that hold no data of their own, or cannot fill: Telegraf's own list and what containers add.
const PSEUDO_FILE_SYSTEMS: [&str; 18] = [
    "aufs",
    "autofs",
    "cgroup*",
    "debugfs",
    "devfs",
    "devpts",
    "devtmpfs",
    "fuse.lxcfs",
    "iso9660",
    "nsfs",
    "overlay",
    "proc",
    "ramfs",
    "rpc_pipefs",
    "squashfs",
    "sysfs",
    "tmpfs",
    "tracefs",
];

/// Interfaces that reach nobody, or come and go with containers.
const PSEUDO_INTERFACES: [&str; 5] = ["lo", "Loopback*", "veth*", "docker*", "br-*"];

/// A rule, and the tag values that it passes over.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// How targets are found and named.
    pub target: Arc<TargetRule>,
    /// Values of tags whose series are left out; a trailing `*` stands for anything.
    pub except: BTreeMap<String, Vec<String>>,
}

impl Rule {
    /// Says whether a series with these tags is left out.
    #[must_use]
    pub fn leaves_out(&self, tags: &BTreeMap<String, String>) -> bool {
        self.except.iter().any(|(key, patterns)| {
            tags.get(key)
                .is_some_and(|value| patterns.iter().any(|pattern| matches(pattern, value)))
        })
    }
}

fn matches(pattern: &str, value: &str) -> bool {
    pattern
        .strip_suffix('*')
        .map_or(pattern == value, |start| value.starts_with(start))
}

/// A `[[target]]` table of the settings file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawRule {
    /// The targets' name; `measurement.field` where it is left out.
    #[serde(default)]
    pub name: Option<String>,
    /// The measurement.
    pub measurement: String,
    /// The field.
    pub field: String,
    /// Tags that a series must have, with these values.
    #[serde(default, rename = "where")]
    pub where_tags: BTreeMap<String, String>,
    /// Tags whose every value is a target of its own.
    #[serde(default, rename = "by")]
    pub by_tags: Vec<String>,
    /// Tag values that are left out.
    #[serde(default)]
    pub except: BTreeMap<String, Vec<String>>,
    /// Whether the field counts up, and its increase per second is the target.
    #[serde(default)]
    pub counter: bool,
    /// Whether 100 minus the field is the target.
    #[serde(default)]
    pub complement: bool,
    /// What the values can be.
    #[serde(default)]
    pub kind: Option<Kind>,
    /// The unit of the values.
    #[serde(default)]
    pub unit: Option<String>,
    /// The value whose crossing is worth an alert.
    #[serde(default)]
    pub threshold: Option<f64>,
}

/// Why a `[[target]]` table was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// Nothing is named.
    #[error(
        "measurement or field is empty; name both, such as measurement = \"cpu\", field = \"usage_idle\""
    )]
    Unnamed,
    /// 100 minus something that is no percentage.
    #[error(
        "complement = true makes 100 minus the field, so kind must be \"percent\" and counter false"
    )]
    ComplementOfNoPercentage,
    /// A counter that is not a rate.
    #[error("counter = true makes a rate per second, so kind must be \"rate\" or left out")]
    CounterOfNoRate,
    /// A tag that is the host itself.
    #[error(
        "the tag \"host\" already makes targets of their own; leave it out of `by` and `where`"
    )]
    HostAsTag,
    /// Two tables of one name.
    #[error("the name {name:?} is taken by an earlier table; give one of them another `name`")]
    NameTaken {
        /// The name.
        name: String,
    },
}

impl RawRule {
    fn check(&self) -> Result<Rule, RuleError> {
        let kind = self.kind.unwrap_or(if self.counter {
            Kind::Rate
        } else if self.complement {
            Kind::Percent
        } else {
            Kind::Gauge
        });
        if self.measurement.is_empty() || self.field.is_empty() {
            return Err(RuleError::Unnamed);
        }
        if self.complement && (kind != Kind::Percent || self.counter) {
            return Err(RuleError::ComplementOfNoPercentage);
        }
        if self.counter && kind != Kind::Rate {
            return Err(RuleError::CounterOfNoRate);
        }
        if self.by_tags.iter().any(|key| key == "host") || self.where_tags.contains_key("host") {
            return Err(RuleError::HostAsTag);
        }
        Ok(Rule {
            target: Arc::new(TargetRule {
                name: self
                    .name
                    .clone()
                    .unwrap_or_else(|| format!("{}.{}", self.measurement, self.field)),
                measurement: self.measurement.clone(),
                field: self.field.clone(),
                where_tags: self.where_tags.clone(),
                by_tags: self.by_tags.clone(),
                counter: self.counter,
                complement: self.complement,
                kind,
                unit: self.unit.clone(),
                threshold: self.threshold,
            }),
            except: self.except.clone(),
        })
    }
}

/// The rules for what Telegraf writes of every host, without pseudo file systems and interfaces.
#[must_use]
pub fn default_rules() -> Vec<Rule> {
    let except = |key: &str, values: &[&str]| -> BTreeMap<String, Vec<String>> {
        [(
            key.to_owned(),
            values.iter().map(ToString::to_string).collect(),
        )]
        .into()
    };
    target::default_rules()
        .into_iter()
        .map(|rule| Rule {
            except: match rule.measurement.as_str() {
                "disk" => except("fstype", &PSEUDO_FILE_SYSTEMS),
                "net" => except("interface", &PSEUDO_INTERFACES),
                _ => BTreeMap::new(),
            },
            target: Arc::new(rule),
        })
        .collect()
}

/// Joins the tables of the settings file to the default rules, or puts them in their place.
pub(super) fn resolve(tables: &[RawRule], with_defaults: bool) -> Result<Vec<Rule>, SettingsError> {
    let mut own: Vec<Rule> = Vec::new();
    for (index, table) in tables.iter().enumerate() {
        let fail = |source| SettingsError::Rule {
            number: index + 1,
            source,
        };
        let rule = table.check().map_err(fail)?;
        if own
            .iter()
            .any(|earlier| earlier.target.name == rule.target.name)
        {
            return Err(fail(RuleError::NameTaken {
                name: rule.target.name.clone(),
            }));
        }
        own.push(rule);
    }
    let mut rules = if with_defaults {
        default_rules()
    } else {
        Vec::new()
    };
    rules.retain(|rule| {
        own.iter()
            .all(|table| table.target.name != rule.target.name)
    });
    rules.extend(own);
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(toml: &str) -> RawRule {
        toml::from_str(toml).expect("a table")
    }

    #[test]
    fn a_table_joins_the_defaults_and_replaces_the_one_of_its_name() {
        let tables = [
            table("measurement = \"elb\"\nfield = \"request_count\""),
            table(
                "name = \"cpu.usage\"\nmeasurement = \"cpu\"\nfield = \"usage_active\"\nkind = \"percent\"",
            ),
        ];
        let joined = resolve(&tables, true).expect("good rules");
        assert_eq!(joined.len(), default_rules().len() + 1);
        let cpu: Vec<_> = joined
            .iter()
            .filter(|rule| rule.target.name == "cpu.usage")
            .collect();
        assert_eq!(
            (cpu.len(), cpu[0].target.field.as_str()),
            (1, "usage_active")
        );
        assert_eq!(resolve(&tables, false).expect("good rules").len(), 2);
    }

    #[test]
    fn pseudo_file_systems_and_interfaces_are_left_out() {
        let rules = default_rules();
        let tags = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        let disk = rules
            .iter()
            .find(|rule| rule.target.measurement == "disk")
            .expect("a disk rule");
        assert!(disk.leaves_out(&tags("fstype", "tmpfs")));
        assert!(disk.leaves_out(&tags("fstype", "cgroup2")));
        assert!(!disk.leaves_out(&tags("fstype", "ext4")));
        let net = rules
            .iter()
            .find(|rule| rule.target.measurement == "net")
            .expect("a net rule");
        assert!(net.leaves_out(&tags("interface", "veth12ab")));
        assert!(!net.leaves_out(&tags("interface", "eth0")));
    }

    #[test]
    fn contradictions_are_refused() {
        let cases = [
            ("measurement = \"\"\nfield = \"f\"", RuleError::Unnamed),
            (
                "measurement = \"m\"\nfield = \"f\"\ncomplement = true\nkind = \"gauge\"",
                RuleError::ComplementOfNoPercentage,
            ),
            (
                "measurement = \"m\"\nfield = \"f\"\ncounter = true\nkind = \"percent\"",
                RuleError::CounterOfNoRate,
            ),
            (
                "measurement = \"m\"\nfield = \"f\"\nby = [\"host\"]",
                RuleError::HostAsTag,
            ),
        ];
        for (toml, expected) in cases {
            assert_eq!(table(toml).check().expect_err(toml), expected);
        }
    }
}
