//! Which hosts there are: from a count, from a file, and with what goes wrong on each.

use std::{collections::HashSet, path::Path};

use serde::Deserialize;

use crate::{
    host::HostSpec,
    profile::{self, Profile},
    scenario::Scenario,
};

/// The most hosts of one fleet: a typing error must not fill a database.
pub const HOSTS_MAX: usize = 10_000;

/// Why there is no fleet.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// The fleet file is not readable.
    #[error("the fleet file {path} is not readable")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The fleet file is wrong.
    #[error("the fleet file {path} is wrong: {reason}")]
    Malformed {
        /// The file.
        path: String,
        /// Where and what.
        reason: String,
    },
    /// Two hosts of one name.
    #[error("two hosts are called {name:?}; every host needs a name of its own")]
    NameTwice {
        /// The name.
        name: String,
    },
    /// A scenario for a host that is not in the fleet.
    #[error("--scenario names the host {name:?}, which is not in the fleet; there are {known}")]
    HostUnknown {
        /// The name.
        name: String,
        /// The hosts that there are.
        known: String,
    },
    /// No hosts, or too many.
    #[error("a fleet of {count} hosts is out of range; 1 to {HOSTS_MAX} are right")]
    CountOutOfRange {
        /// The count.
        count: usize,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FleetFile {
    #[serde(rename = "host")]
    hosts: Vec<FileHost>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileHost {
    name: String,
    profile: String,
    #[serde(default)]
    scenarios: Vec<String>,
    cores: Option<u32>,
    memory_gib: Option<f64>,
}

/// Answers a fleet of `count` hosts, the profiles in turn: `web-01`, `database-01`, … `web-02`.
#[must_use]
pub fn numbered(count: usize, profiles: &[Profile]) -> Vec<HostSpec> {
    let profiles = if profiles.is_empty() {
        &profile::ALL[..]
    } else {
        profiles
    };
    (0..count)
        .map(|index| {
            let profile = profiles[index % profiles.len()];
            HostSpec {
                name: format!("{profile}-{:02}", index / profiles.len() + 1),
                profile,
                scenarios: Vec::new(),
                cores: None,
                memory_gib: None,
            }
        })
        .collect()
}

/// Reads a fleet from a TOML file.
///
/// # Errors
///
/// Says what is wrong in the file, and where.
pub fn read(path: &Path) -> Result<Vec<HostSpec>, FleetError> {
    let text = std::fs::read_to_string(path).map_err(|source| FleetError::Unreadable {
        path: path.display().to_string(),
        source,
    })?;
    parse(&text).map_err(|reason| FleetError::Malformed {
        path: path.display().to_string(),
        reason,
    })
}

fn parse(text: &str) -> Result<Vec<HostSpec>, String> {
    let file: FleetFile = toml::from_str(text).map_err(|error| error.to_string())?;
    file.hosts
        .into_iter()
        .map(|host| {
            let named = |error: String| format!("host {:?}: {error}", host.name);
            if host.name.is_empty() || host.name.contains('\n') {
                return Err(named(
                    "a name needs one line of at least one character".into(),
                ));
            }
            if host.cores.is_some_and(|cores| !(1..=1024).contains(&cores)) {
                return Err(named("cores must be 1 to 1024".into()));
            }
            if host
                .memory_gib
                .is_some_and(|gib| !(0.1..=65536.0).contains(&gib))
            {
                return Err(named("memory_gib must be 0.1 to 65536".into()));
            }
            Ok(HostSpec {
                profile: host.profile.parse().map_err(named)?,
                scenarios: host
                    .scenarios
                    .iter()
                    .map(|text| text.parse().map_err(named))
                    .collect::<Result<_, _>>()?,
                cores: host.cores,
                memory_gib: host.memory_gib,
                name: host.name,
            })
        })
        .collect()
}

/// Gives hosts the scenarios of the command line and checks the whole.
///
/// # Errors
///
/// Names the host that is unknown, or there twice.
pub fn assemble(
    mut hosts: Vec<HostSpec>,
    scenarios: &[(String, Scenario)],
) -> Result<Vec<HostSpec>, FleetError> {
    if hosts.is_empty() || hosts.len() > HOSTS_MAX {
        return Err(FleetError::CountOutOfRange { count: hosts.len() });
    }
    let mut names = HashSet::new();
    if let Some(twice) = hosts.iter().find(|host| !names.insert(&host.name)) {
        return Err(FleetError::NameTwice {
            name: twice.name.clone(),
        });
    }
    for (name, scenario) in scenarios {
        let Some(host) = hosts.iter_mut().find(|host| host.name == *name) else {
            let mut known: Vec<&str> = hosts.iter().map(|host| host.name.as_str()).collect();
            if known.len() > 12 {
                known.truncate(12);
                known.push("…");
            }
            return Err(FleetError::HostUnknown {
                name: name.clone(),
                known: known.join(", "),
            });
        };
        host.scenarios.push(scenario.clone());
    }
    Ok(hosts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_hosts_take_every_profile_once() {
        let names: Vec<String> = numbered(7, &[]).into_iter().map(|h| h.name).collect();
        assert_eq!(
            names,
            [
                "web-01",
                "database-01",
                "batch-01",
                "cache-01",
                "ingest-01",
                "generic-01",
                "web-02"
            ]
        );
    }

    #[test]
    fn a_fleet_file_sets_hardware_and_scenarios() {
        let hosts = parse(
            "[[host]]\nname = 'db'\nprofile = 'database'\ncores = 16\nscenarios = ['disk-fill:rate=2', 'degrading']\n",
        )
        .expect("a good file");
        assert_eq!(hosts[0].cores, Some(16));
        assert_eq!(hosts[0].scenarios.len(), 2);
    }

    #[test]
    fn a_bad_fleet_is_answered_with_what_would_be_right() {
        let cases = [
            (
                "[[host]]\nname = 'a'\nprofile = 'mainframe'",
                "there are web",
            ),
            (
                "[[host]]\nname = 'a'\nprofile = 'web'\nsize = 1",
                "unknown field",
            ),
            ("[[host]]\nname = ''\nprofile = 'web'", "a name needs"),
            (
                "[[host]]\nname = 'a'\nprofile = 'web'\ncores = 0",
                "cores must be",
            ),
            (
                "[[host]]\nname = 'a'\nprofile = 'web'\nscenarios = ['x']",
                "there is no scenario",
            ),
        ];
        for (text, expected) in cases {
            let error = parse(text).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
        let one = numbered(1, &[]);
        let twice = [one.clone(), one.clone()].concat();
        assert!(matches!(
            assemble(twice, &[]),
            Err(FleetError::NameTwice { .. })
        ));
        let stranger = [("db".to_owned(), Scenario::Healthy)];
        assert!(matches!(
            assemble(one, &stranger),
            Err(FleetError::HostUnknown { .. })
        ));
        assert!(matches!(
            assemble(vec![], &[]),
            Err(FleetError::CountOutOfRange { count: 0 })
        ));
    }
}
