//! Counters: what has flowed since the last boot, without a seam between one run and the next.
//!
//! Between two points of the grid of [`CELL_S`] a flow has one rate, so that the sum up to an instant is a plain sum over
//! cells that begins at the boot. Inside a cell the flow speeds up and slows down, by whole waves that leave the cell's sum
//! as it is. A sum is kept and only extended while time moves forward; it is begun anew after a reboot.

use crate::{
    host::{CELL_S, Host},
    signal::Flows,
};

/// How strongly the flow speeds up and slows down within a cell; below 1, so that no counter runs backwards.
const WAVE: f64 = 0.3;

/// Waves in a cell.
const WAVES: f64 = 2.0;

/// The sums of a host's flows since its boot.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    booted_s: i64,
    /// The first cell that is not in the sums.
    cell: i64,
    sums: Flows,
    /// The rates of that cell.
    rates: Flows,
}

impl Counters {
    /// Answers the sums at an instant: bytes since the boot.
    pub fn at(&mut self, host: &Host, time_s: i64) -> Flows {
        let booted_s = host.booted_s(time_s);
        let cell = time_s.div_euclid(CELL_S);
        if self.booted_s != booted_s || cell < self.cell {
            self.booted_s = booted_s;
            self.cell = booted_s.div_euclid(CELL_S);
            self.sums = Flows::default();
            self.rates = rates(host, self.cell);
        }
        while self.cell < cell {
            self.sums = add(&self.sums, &self.rates, CELL_S as f64);
            self.cell += 1;
            self.rates = rates(host, self.cell);
        }
        let fraction = time_s.rem_euclid(CELL_S) as f64 / CELL_S as f64;
        let turn = std::f64::consts::TAU * WAVES;
        let passed = fraction + WAVE * (turn * fraction).sin() / turn;
        add(&self.sums, &self.rates, passed * CELL_S as f64)
    }
}

fn rates(host: &Host, cell: i64) -> Flows {
    host.flows(cell * CELL_S + CELL_S / 2)
}

fn add(sums: &Flows, rates: &Flows, seconds: f64) -> Flows {
    Flows {
        received: sums.received + rates.received * seconds,
        sent: sums.sent + rates.sent * seconds,
        read: sums.read + rates.read * seconds,
        written: sums.written + rates.written * seconds,
        swapped: sums.swapped + rates.swapped * seconds,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{host::HostSpec, profile::Profile};

    const NOW_S: i64 = 1_790_000_000;

    fn host() -> Host {
        let spec = HostSpec {
            name: "web-01".into(),
            profile: Profile::Web,
            scenarios: vec![],
            cores: None,
            memory_gib: None,
        };
        Host::new(&spec, 7, NOW_S)
    }

    #[test]
    fn a_counter_only_falls_when_the_host_reboots() {
        let host = host();
        let mut counters = Counters::default();
        let (mut last, mut booted_s, mut reboots) = (Flows::default(), 0, 0);
        for time_s in (NOW_S - 70 * 86400..NOW_S).step_by(300) {
            let sums = counters.at(&host, time_s);
            if host.booted_s(time_s) == booted_s {
                assert!(sums.received > last.received && sums.written > last.written);
            } else {
                reboots += 1;
            }
            (last, booted_s) = (sums, host.booted_s(time_s));
        }
        assert!((2..6).contains(&reboots), "{reboots} reboots in 70 days");
    }

    #[test]
    fn a_counter_never_falls_between_two_live_points() {
        let host = host();
        let mut counters = Counters::default();
        let mut last = 0.0;
        for time_s in (NOW_S..NOW_S + 1800).step_by(10) {
            let received = counters.at(&host, time_s).received;
            assert!(received > last);
            last = received;
        }
    }

    #[test]
    fn two_runs_that_begin_at_different_instants_agree() {
        let host = host();
        let mut long = Counters::default();
        for time_s in (NOW_S - 14 * 86400..NOW_S).step_by(300) {
            long.at(&host, time_s);
        }
        let mut fresh = Counters::default();
        assert_eq!(long.at(&host, NOW_S + 10), fresh.at(&host, NOW_S + 10));
    }
}
