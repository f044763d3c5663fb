//! The command line.

use std::{path::PathBuf, time::Duration};

use chrono::{DateTime, Utc};
use clap::{Args, Parser, Subcommand};

use crate::{
    duration,
    profile::Profile,
    push::{Destination, Secret},
    replay::{Precision, Speed},
    scenario::{HELP as SCENARIOS, Scenario},
};

const EXAMPLES: &str = "\
Examples:
  headroom-simulator fleet                                  14 days of six hosts, then live
  headroom-simulator fleet --hosts 100 --days 2 --no-live   a larger fleet, its past alone
  headroom-simulator fleet --scenario ingest-01=disk-fill   a disk crosses 90 % in eight hours
  headroom-simulator replay recorded.lp.gz --align-hosts    real history, every host ending now

Exit codes: 0 done (also after Ctrl-C); 1 the push failed, or lines were refused or left out;
2 the command line is wrong.";

/// Stands in for a fleet of Telegraf agents: pushes simulated or recorded metrics to a Headroom gateway.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES, max_term_width = 110)]
pub struct Cli {
    /// What to push.
    #[command(subcommand)]
    pub command: Command,
}

/// What to push.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Simulates hosts: first their past, as fast as the gateway takes it, then their present, until Ctrl-C.
    ///
    /// The metrics are those of Telegraf on Linux: cpu, mem, swap, disk, diskio, net, system, processes. The same
    /// seed writes the same points; a run that goes on where another ended continues its counters.
    #[command(after_help = SCENARIOS)]
    Fleet(FleetArgs),
    /// Pushes a recorded file of line protocol, plain or gzipped, with its times moved to end now.
    ///
    /// Every line needs a timestamp; lines may be in any order. A line keeps its text. Bad lines are named and left
    /// out, and the exit code is then 1.
    Replay(ReplayArgs),
}

/// Where to push.
#[derive(Debug, Args)]
#[command(next_help_heading = "Gateway")]
pub struct GatewayArgs {
    /// Address of the gateway (or of any InfluxDB 2).
    #[arg(
        long,
        env = "HEADROOM_GATEWAY_URL",
        value_name = "URL",
        default_value = "http://127.0.0.1:8186"
    )]
    gateway_url: reqwest::Url,
    /// Token with the scope write; better given by the environment, where no process list shows it.
    #[arg(
        long,
        env = "HEADROOM_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    token: Option<Secret>,
    /// Organisation; the gateway takes any.
    #[arg(long, value_name = "NAME", default_value = "headroom")]
    org: String,
    /// Bucket.
    #[arg(long, value_name = "NAME", default_value = "telegraf")]
    bucket: String,
    /// Lines in a request.
    #[arg(long, value_name = "N", default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    batch_lines: u32,
    /// Requests at a time.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    in_flight: u8,
    /// How long a gateway that is away or busy is waited for.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration::parse)]
    give_up_after: Duration,
}

impl GatewayArgs {
    /// Answers the destination for lines of a precision.
    #[must_use]
    pub fn destination(&self, precision: Precision) -> Destination {
        Destination {
            url: self.gateway_url.clone(),
            token: self.token.clone().filter(|token| !token.is_empty()),
            org: self.org.clone(),
            bucket: self.bucket.clone(),
            precision: precision.name(),
            in_flight: usize::from(self.in_flight),
            give_up_after: self.give_up_after,
        }
    }

    /// Answers the lines in a request.
    #[must_use]
    pub fn batch_lines(&self) -> usize {
        self.batch_lines as usize
    }
}

/// The arguments of `fleet`.
#[derive(Debug, Args)]
pub struct FleetArgs {
    /// How many hosts; they are named after their profiles: web-01, database-01, batch-01, …
    #[arg(long, value_name = "N", default_value_t = 6)]
    pub hosts: usize,
    /// Profiles that the hosts take in turn [default: all of them]
    #[arg(long, value_name = "PROFILE,…", value_delimiter = ',')]
    pub profiles: Vec<Profile>,
    /// TOML file with the hosts, in place of --hosts: tables `[[host]]` with name and profile, and if wanted scenarios
    /// and hardware; the README has one
    #[arg(long, value_name = "FILE", conflicts_with_all = ["hosts", "profiles"])]
    pub fleet_file: Option<PathBuf>,
    /// What goes wrong on a host (repeatable); see below.
    #[arg(long = "scenario", value_name = "HOST=KIND", value_parser = scenario)]
    pub scenarios: Vec<(String, Scenario)>,
    /// Number from which everything is drawn.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Days of history; 0 for none.
    #[arg(long, value_name = "N", default_value_t = 14.0, value_parser = days)]
    pub days: f64,
    /// Time between two points of the history.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration::parse_seconds)]
    pub step: i64,
    /// Time between two live points.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration::parse_seconds)]
    pub live_interval: i64,
    /// Ends after the history.
    #[arg(long)]
    pub no_live: bool,
    /// Instant taken as now: the history ends there and scenarios are timed from it [default: the clock]
    #[arg(long, value_name = "RFC3339")]
    pub now: Option<DateTime<Utc>>,
    /// Where to push.
    #[command(flatten)]
    pub gateway: GatewayArgs,
}

/// The arguments of `replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The recording: line protocol, plain or gzipped.
    #[arg(value_name = "FILE.lp.gz")]
    pub file: PathBuf,
    /// Moves each host's own last point to now (tag `host`), not only the file's last point.
    #[arg(long)]
    pub align_hosts: bool,
    /// How fast: max, or a factor (1: as it happened, 60: an hour a minute).
    #[arg(long, value_name = "SPEED", default_value = "max")]
    pub speed: Speed,
    /// Unit of the file's timestamps.
    #[arg(long, value_name = "UNIT", value_enum, default_value_t = Precision::Ns)]
    pub precision: Precision,
    /// Instant to which the last point is moved [default: the clock]
    #[arg(long, value_name = "RFC3339")]
    pub now: Option<DateTime<Utc>>,
    /// Where to push.
    #[command(flatten)]
    pub gateway: GatewayArgs,
}

fn scenario(text: &str) -> Result<(String, Scenario), String> {
    let (host, scenario) = text.split_once('=').ok_or_else(|| {
        format!("{text:?} names no host; write HOST=KIND, for instance web-01=leak")
    })?;
    Ok((host.to_owned(), scenario.parse()?))
}

fn days(text: &str) -> Result<f64, String> {
    let days = text.trim_end_matches('d').parse::<f64>().ok();
    days.filter(|days| (0.0..=3660.0).contains(days))
        .ok_or_else(|| format!("{text:?} is out of range; write days from 0 to 3660"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_its_help_fits_a_terminal() {
        Cli::command().debug_assert();
        for text in [EXAMPLES, SCENARIOS] {
            assert!(
                text.lines().all(|line| line.chars().count() <= 98),
                "{text}"
            );
        }
    }

    #[test]
    fn no_token_shows_in_what_is_printed_for_debugging() {
        let cli = Cli::parse_from(["x", "fleet", "--token", "0123456789abcdef"]);
        let text = format!("{cli:?}");
        assert!(!text.contains("0123456789abcdef"), "{text}");
    }
}
