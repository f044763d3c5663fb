//! One simulated host: what it is, and when it booted, was deployed to and was silent.

use crate::{
    noise::Noise,
    profile::{Disk, GIB, Profile, Shape},
    scenario::{Scenario, Story},
};

/// The grid on which a host reboots and its counters are summed, in seconds.
pub const CELL_S: i64 = 300;

/// One ordinary reboot falls into each of these, in seconds.
const REBOOT_WINDOW_S: i64 = 21 * 86400;

/// One deploy falls into each of these, in seconds.
const DEPLOY_WINDOW_S: i64 = 6 * 86400;

/// A host is this long down when it reboots, in seconds.
const DOWN_S: i64 = 150;

/// What the command line or the fleet file says of a host.
#[derive(Debug, Clone, PartialEq)]
pub struct HostSpec {
    /// The tag `host`.
    pub name: String,
    /// The kind of host.
    pub profile: Profile,
    /// What goes wrong on it.
    pub scenarios: Vec<Scenario>,
    /// Logical processors, where they differ from the profile's.
    pub cores: Option<u32>,
    /// Memory, where it differs from the profile's.
    pub memory_gib: Option<f64>,
}

/// A host that can be asked for its state at any instant.
#[derive(Debug, Clone)]
pub struct Host {
    /// The tag `host`.
    pub name: String,
    /// The profile's numbers, with this host's own hardware and hours.
    pub shape: Shape,
    /// What goes wrong, and when.
    pub story: Story,
    pub(crate) demand_noise: Noise,
    pub(crate) memory_noise: Noise,
    pub(crate) flow_noise: Noise,
    pub(crate) draws: Noise,
}

impl Host {
    /// Creates the host of a specification; the same seed and name always make the same host.
    #[must_use]
    pub fn new(spec: &HostSpec, seed: u64, now_s: i64) -> Self {
        let noise = |purpose| Noise::new(seed, &spec.name, purpose);
        let draws = noise("character");
        let mut shape = spec.profile.shape();
        shape.cores = spec.cores.unwrap_or(shape.cores);
        shape.memory_bytes = spec.memory_gib.map_or(shape.memory_bytes, |gib| gib * GIB);
        shape.peak_hour += draws.between(0, -1.5, 1.5);
        shape.cpu_swing *= draws.between(1, 0.85, 1.15);
        shape.memory_floor += draws.between(2, -4.0, 4.0);
        let volume = draws.between(3, 0.7, 1.3);
        shape.receive_bytes_per_s *= volume;
        shape.send_bytes_per_s *= volume;
        let story = Story {
            now_s,
            scenarios: spec.scenarios.clone(),
        };
        for path in story.filling_paths() {
            if !shape.disks.iter().any(|disk| disk.path == path) {
                shape.disks.push(filling_disk(path, shape.disks.len()));
            }
        }
        Self {
            name: spec.name.clone(),
            shape,
            story,
            demand_noise: noise("demand"),
            memory_noise: noise("memory"),
            flow_noise: noise("flow"),
            draws,
        }
    }

    /// Answers the instant of the last boot at or before `time_s`.
    #[must_use]
    pub fn booted_s(&self, time_s: i64) -> i64 {
        let ordinary = self.last_event(time_s, REBOOT_WINDOW_S, 1000);
        let again = self.story.reboots_every_s().map(|every_s| {
            let every_s = every_s / CELL_S * CELL_S;
            time_s.div_euclid(every_s) * every_s
        });
        again.map_or(ordinary, |again| again.max(ordinary))
    }

    /// Answers the instant and the number of the last deploy at or before `time_s`.
    #[must_use]
    pub fn deployed(&self, time_s: i64) -> (i64, i64) {
        let deployed_s = self.last_event(time_s, DEPLOY_WINDOW_S, 2000);
        (deployed_s, deployed_s / CELL_S)
    }

    /// Says whether the host reports at an instant: not while it reboots, and not where a scenario silences it.
    #[must_use]
    pub fn reports(&self, time_s: i64) -> bool {
        time_s - self.booted_s(time_s) >= DOWN_S && !self.story.is_silent(time_s)
    }

    /// Answers the last of the events of which one falls into every window, on the grid of [`CELL_S`].
    fn last_event(&self, time_s: i64, window_s: i64, purpose: i64) -> i64 {
        let event = |window: i64| {
            let offset_s = self.draws.uniform(purpose + window) * window_s as f64;
            (window * window_s + offset_s as i64) / CELL_S * CELL_S
        };
        let window = time_s.div_euclid(window_s);
        let current = event(window);
        if current <= time_s {
            current
        } else {
            event(window - 1)
        }
    }
}

fn filling_disk(path: &str, number: usize) -> Disk {
    let letter = char::from(b'b' + (number.min(20) as u8));
    Disk {
        path: path.to_owned(),
        device: format!("vd{letter}"),
        size_bytes: 200.0 * GIB,
        base_percent: 40.0,
        swing_percent: 0.0,
        cycle_days: 7.0,
        io_share: 0.3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(scenario: &str) -> Host {
        let spec = HostSpec {
            name: "db-01".into(),
            profile: Profile::Cache,
            scenarios: vec![scenario.parse().expect("a scenario")],
            cores: None,
            memory_gib: None,
        };
        Host::new(&spec, 7, 1_790_000_000)
    }

    #[test]
    fn a_boot_never_lies_in_the_future_and_stays_until_the_next() {
        let host = host("healthy");
        let mut last = 0;
        for time_s in (1_780_000_000..1_790_000_000).step_by(7 * 300) {
            let booted_s = host.booted_s(time_s);
            assert!(booted_s <= time_s && booted_s >= last);
            assert!(time_s - booted_s <= 2 * REBOOT_WINDOW_S);
            last = booted_s;
        }
    }

    #[test]
    fn a_rebooting_host_is_silent_for_a_moment() {
        let host = host("reboots:every=6h");
        let booted_s = host.booted_s(1_790_000_000);
        assert!(!host.reports(booted_s));
        assert!(host.reports(booted_s + DOWN_S));
        assert!(host.reports(booted_s - 1));
    }

    #[test]
    fn a_filling_disk_is_there_even_where_the_profile_has_none() {
        let paths = |host: &Host| {
            host.shape
                .disks
                .iter()
                .map(|d| d.path.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(paths(&host("healthy")), ["/"]);
        assert_eq!(paths(&host("disk-fill")), ["/", "/data"]);
    }
}
