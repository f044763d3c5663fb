//! The state of a host at an instant: demand, processors, memory, file systems, and the rates of what flows.
//!
//! Demand drives everything else, as it does on a real host: when visitors come, processors, memory, network and disks
//! move together, each with noise of its own. Nothing here keeps state.

use crate::{
    host::Host,
    profile::{Disk, Job},
};

const DAY_S: i64 = 86400;

/// 1970 began on a Thursday; with this offset day 0 of the week is a Monday.
const MONDAY_OFFSET_DAYS: i64 = 3;

/// Cron starts something every hour, for this long, in seconds. Both are whole multiples of the usual grid, so that a
/// history of five-minute points and the means of live points show the same.
const CRON_EVERY_S: i64 = 3600;
const CRON_LENGTH_S: i64 = 300;

/// Per cent of the processors that such a job takes.
const CRON_CPU_PERCENT: f64 = 6.0;

/// What a critical host has more of than a healthy one.
const DECLINE_CPU_PERCENT: f64 = 48.0;
const DECLINE_MEMORY_PERCENT: f64 = 40.0;
const DECLINE_DISK_PERCENT: f64 = 30.0;

/// Memory may be taken up to here before the kernel kills: per cent.
const MEMORY_CEILING_PERCENT: f64 = 98.5;

/// How the processors are used, in per cent of all of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cpu {
    /// Programs.
    pub user: f64,
    /// The kernel.
    pub system: f64,
    /// Waiting for disks.
    pub iowait: f64,
    /// Network interrupts.
    pub softirq: f64,
    /// Programs of low priority.
    pub nice: f64,
}

impl Cpu {
    /// Answers what is left.
    #[must_use]
    pub fn idle(&self) -> f64 {
        (100.0 - self.user - self.system - self.iowait - self.softirq - self.nice).max(0.0)
    }
}

/// Rates per second; their integrals are the host's counters.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Flows {
    /// Bytes received.
    pub received: f64,
    /// Bytes sent.
    pub sent: f64,
    /// Bytes read from disks.
    pub read: f64,
    /// Bytes written to disks.
    pub written: f64,
    /// Bytes swapped out; a fifth of them comes back.
    pub swapped: f64,
}

impl Host {
    /// Answers the demand: 0 at the quietest hour, about 1 at the busiest, more after a deploy that costs.
    #[must_use]
    pub fn demand(&self, time_s: i64) -> f64 {
        let shape = &self.shape;
        let hour = time_s.rem_euclid(DAY_S) as f64 / 3600.0;
        let angle = (hour - shape.peak_hour) / 24.0 * std::f64::consts::TAU;
        // A raised cosine, sharpened: nights are longer than peaks; the second harmonic is the dip at lunch.
        let day = (0.5 + 0.5 * angle.cos()).powf(1.4) - 0.06 * (2.0 * angle).cos() + 0.06;
        let weekday = (time_s.div_euclid(DAY_S) + MONDAY_OFFSET_DAYS).rem_euclid(7);
        let week = if weekday < 5 { 1.0 } else { shape.weekend };
        let (_, deploy) = self.deployed(time_s);
        let cost = self.draws.between(deploy, 0.88, 1.14);
        // Noise grows with demand: a quiet host is quiet.
        let noise = self.demand_noise.fractal(time_s) * shape.noise * (0.35 + day * week);
        (day * week * cost + noise).max(0.0)
    }

    /// Answers how the processors are used.
    #[must_use]
    pub fn cpu(&self, time_s: i64) -> Cpu {
        let shape = &self.shape;
        let severity = self.story.severity(time_s);
        let jobs = self.running_jobs(time_s, |job| job.cpu_percent);
        let minute_s = (self.draws.uniform(11) * 12.0) as i64 * CRON_LENGTH_S;
        let cron = if (time_s - minute_s).rem_euclid(CRON_EVERY_S) < CRON_LENGTH_S {
            CRON_CPU_PERCENT
        } else {
            0.0
        };
        let busy = shape.cpu_floor
            + shape.cpu_swing * self.demand(time_s)
            + jobs
            + cron
            + DECLINE_CPU_PERCENT * severity * (0.75 + 0.25 * self.demand(time_s).min(1.0));
        let busy = soft_limit(busy.max(0.4), 99.2);
        let iowait = busy * (0.02 + 0.12 * severity) + jobs * 0.04;
        let system = busy * 0.21;
        let softirq = busy * 0.02;
        let nice = busy * 0.004;
        Cpu {
            user: (busy - iowait - system - softirq - nice).max(0.0),
            system,
            iowait,
            softirq,
            nice,
        }
    }

    /// Answers one core's use: all cores together give the host's, each a little more or less.
    #[must_use]
    pub fn core(&self, time_s: i64, number: u32, all: &Cpu) -> Cpu {
        let wave = self
            .flow_noise
            .smooth(time_s + i64::from(number) * 7_919, 120);
        // Neighbours take opposite signs, so that the mean over the cores stays.
        let sign = if number.is_multiple_of(2) { 1.0 } else { -1.0 };
        let room = (all.idle() / (100.0 - all.idle()).max(1.0)).min(0.3);
        let factor = 1.0 + sign * wave.abs() * room;
        Cpu {
            user: all.user * factor,
            system: all.system * factor,
            iowait: all.iowait * factor,
            softirq: all.softirq * factor,
            nice: all.nice * factor,
        }
    }

    /// Answers the load average over `window_s` seconds.
    #[must_use]
    pub fn load(&self, time_s: i64, window_s: i64) -> f64 {
        let runnable = |time_s| {
            let cpu = self.cpu(time_s);
            let busy = (100.0 - cpu.idle()) / 100.0;
            let queue = (busy - 0.8).max(0.0) * 4.0 + cpu.iowait / 40.0;
            (busy + queue) * f64::from(self.shape.cores)
        };
        (0..3)
            .map(|k| runnable(time_s - k * window_s / 2))
            .sum::<f64>()
            / 3.0
    }

    /// Answers the share of memory in use, in per cent.
    #[must_use]
    pub fn memory_percent(&self, time_s: i64) -> f64 {
        let noise = 0.25 * self.memory_noise.fractal(time_s);
        if let Some(leaked) = self.story.leaked_percent(time_s) {
            return (leaked + noise).clamp(1.0, MEMORY_CEILING_PERCENT);
        }
        let shape = &self.shape;
        let (deployed_s, _) = self.deployed(time_s);
        let started_s = deployed_s.max(self.booted_s(time_s));
        let age_days = (time_s - started_s) as f64 / DAY_S as f64;
        // Caches follow the demand with a delay.
        let demand = 0.5 * (self.demand(time_s - 1800) + self.demand(time_s - 5400));
        let percent = shape.memory_floor
            + shape.memory_swing * demand
            + shape.memory_creep_per_day * age_days
            + DECLINE_MEMORY_PERCENT * self.story.severity(time_s)
            + self.running_jobs(time_s, |job| job.cpu_percent) * 0.12
            + noise;
        soft_limit(percent.max(1.0), MEMORY_CEILING_PERCENT)
    }

    /// Answers the share of swap in use, in per cent: none until memory is short.
    #[must_use]
    pub fn swap_percent(&self, time_s: i64) -> f64 {
        ((self.memory_percent(time_s) - 85.0) * 4.0).clamp(0.0, 95.0)
    }

    /// Answers how full a file system is, in per cent of what users may write.
    #[must_use]
    pub fn disk_percent(&self, disk: &Disk, time_s: i64) -> f64 {
        let wobble = 0.04 * self.flow_noise.smooth(time_s, 3600);
        if let Some(filled) = self.story.filled_percent(&disk.path, time_s) {
            return (filled + wobble).clamp(0.0, 100.0);
        }
        let cycle_s = disk.cycle_days * DAY_S as f64;
        let phase = self.draws.uniform(10) * cycle_s;
        let written = ((time_s as f64 + phase) / cycle_s).rem_euclid(1.0);
        let logs = (time_s.rem_euclid(DAY_S)) as f64 / DAY_S as f64;
        let percent = disk.base_percent
            + disk.swing_percent * written
            + 0.6 * logs
            + DECLINE_DISK_PERCENT * self.story.severity(time_s)
            + wobble;
        soft_limit(percent, 99.6)
    }

    /// Answers the rates of what flows.
    #[must_use]
    pub fn flows(&self, time_s: i64) -> Flows {
        let shape = &self.shape;
        let demand = self.demand(time_s);
        let jobs = self.running_jobs(time_s, |job| job.disk_bytes_per_s);
        let ripple = |shift_s: i64| {
            let noise = self.flow_noise.fractal(time_s + shift_s);
            (0.18 * noise).exp()
        };
        let severity = self.story.severity(time_s);
        let load = 0.03 + demand * (1.0 + 0.5 * severity);
        let pressure = (self.memory_percent(time_s) - 88.0).max(0.0);
        Flows {
            received: shape.receive_bytes_per_s * load * ripple(0) + 900.0,
            sent: shape.send_bytes_per_s * load * ripple(1_000_000) + 700.0,
            read: shape.read_bytes_per_s * load * ripple(2_000_000) + jobs * 0.6,
            written: shape.write_bytes_per_s * load * ripple(3_000_000) + jobs * 0.4 + 20_000.0,
            swapped: pressure * 200_000.0,
        }
    }

    /// Sums a figure over the daily jobs that run at an instant.
    fn running_jobs(&self, time_s: i64, figure: impl Fn(&Job) -> f64) -> f64 {
        let today = time_s.div_euclid(DAY_S);
        let mut sum = 0.0;
        for (number, job) in self.shape.jobs.iter().enumerate() {
            // A job that began before midnight may still run.
            for day in [today - 1, today] {
                let draw = day * 16 + number as i64;
                let start_h = job.hour + self.draws.between(100_000 + draw, -0.15, 0.15);
                let length_h = job.length_hours * self.draws.between(10_000_000 + draw, 0.85, 1.2);
                let into_h = (time_s - day * DAY_S) as f64 / 3600.0 - start_h;
                if (0.0..length_h).contains(&into_h) {
                    let wave = 0.06 * self.flow_noise.smooth(time_s, 600);
                    sum += figure(job) * (1.0 + wave);
                }
            }
        }
        sum
    }
}

/// Bends a value that comes near a limit, so that it approaches and never passes it.
fn soft_limit(value: f64, limit: f64) -> f64 {
    let knee = limit - 8.0;
    if value <= knee {
        value
    } else {
        limit - 8.0 * (-(value - knee) / 8.0).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{host::HostSpec, profile};

    const NOW_S: i64 = 1_790_000_000;

    fn host(profile: profile::Profile, scenario: &str) -> Host {
        let spec = HostSpec {
            name: "h-01".into(),
            profile,
            scenarios: vec![scenario.parse().expect("a scenario")],
            cores: None,
            memory_gib: None,
        };
        Host::new(&spec, 7, NOW_S)
    }

    #[test]
    fn every_profile_stays_within_bounds_in_every_scenario() {
        for profile in profile::ALL {
            for scenario in ["healthy", "degrading", "critical", "leak", "disk-fill"] {
                let host = host(profile, scenario);
                for time_s in (NOW_S - 7 * DAY_S..NOW_S + 2 * DAY_S).step_by(3_700) {
                    let cpu = host.cpu(time_s);
                    let sum =
                        cpu.user + cpu.system + cpu.iowait + cpu.softirq + cpu.nice + cpu.idle();
                    assert!((sum - 100.0).abs() < 1e-9, "{profile} {scenario}: {cpu:?}");
                    let flows = host.flows(time_s);
                    assert!(flows.received > 0.0 && flows.written > 0.0 && flows.swapped >= 0.0);
                    for percent in [
                        host.memory_percent(time_s),
                        host.swap_percent(time_s),
                        host.disk_percent(&host.shape.disks[0], time_s),
                    ] {
                        assert!(
                            (0.0..=100.0).contains(&percent),
                            "{profile} {scenario}: {percent}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn days_resemble_each_other_and_weekends_are_quieter() {
        let host = host(profile::Profile::Web, "healthy");
        let mean = |day: i64| {
            (0..288)
                .map(|k| host.demand(day * DAY_S + k * 300))
                .sum::<f64>()
                / 288.0
        };
        // 2026-11-16 was a Monday.
        let monday = 1_794_787_200 / DAY_S;
        assert!(mean(monday + 5) < 0.8 * mean(monday + 2));
        let at = |day: i64, hour: i64| host.demand((monday + day) * DAY_S + hour * 3600);
        assert!(at(1, 15) > 2.0 * at(1, 3));
        assert!(at(2, 15) > 2.0 * at(2, 3));
    }

    #[test]
    fn a_critical_host_is_near_its_limits() {
        let host = host(profile::Profile::Web, "critical");
        assert!(host.memory_percent(NOW_S) > 80.0);
        assert!(100.0 - host.cpu(NOW_S).idle() > 45.0);
        let calm = self::host(profile::Profile::Web, "healthy");
        assert!(host.load(NOW_S, 60) > calm.load(NOW_S, 60));
    }
}
