//! Stands in for a fleet of Telegraf agents: simulated hosts, or a recorded file moved to end now.
//!
//! Each module uses only those above it. What a [`profile`] of host does all day and what a [`scenario`] does to it make a
//! [`host`] of the [`fleet`]; its [`signal`]s and [`counter`]s, drawn from stateless [`noise`], become [`lines`]; a
//! [`backfill`], a [`live`] run or a [`replay`] makes batches of them; [`push`] brings these to a gateway, and
//! [`progress`] says how far it is.
//!
//! **Invariant.** What a host reports at an instant depends on the seed, the host's name and profile, and the instant
//! alone; scenarios also depend on the instant that is taken as now. A backfill and a live run therefore join without a
//! seam, counters included, and two runs with one seed write the same points.

mod duration;

pub mod profile;
pub mod scenario;

pub mod noise;

pub mod host;

pub mod fleet;

pub mod signal;

pub mod counter;

pub mod lines;

pub mod progress;
pub mod push;

pub mod backfill;
pub mod live;
pub mod replay;

pub mod cli;
