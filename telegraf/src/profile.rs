//! What kinds of host there are, and how each of them lives: its hardware, its day, its week and its jobs.

use std::{fmt, str::FromStr};

/// Bytes in a gibibyte.
pub const GIB: f64 = 1_073_741_824.0;

const MB: f64 = 1e6;

/// A kind of host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Profile {
    /// Follows its visitors: a strong day, a quieter weekend, mostly network.
    Web,
    /// Much memory and disk, a day of queries and a backup at night.
    Database,
    /// Idle by day, full by night.
    Batch,
    /// Memory near its limit, little processor, much network.
    Cache,
    /// Takes a steady stream in and writes it to a disk that is cleaned daily.
    Ingest,
    /// An ordinary office server.
    Generic,
}

/// Every profile, in the order in which a fleet without names is filled.
pub const ALL: [Profile; 6] = [
    Profile::Web,
    Profile::Database,
    Profile::Batch,
    Profile::Cache,
    Profile::Ingest,
    Profile::Generic,
];

impl Profile {
    /// Answers the profile's name, as it stands on the command line and in host names.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Database => "database",
            Self::Batch => "batch",
            Self::Cache => "cache",
            Self::Ingest => "ingest",
            Self::Generic => "generic",
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        ALL.into_iter()
            .find(|profile| profile.name() == word)
            .ok_or_else(|| {
                format!(
                    "there is no profile {word:?}; there are {}",
                    ALL.map(Profile::name).join(", ")
                )
            })
    }
}

/// A file system, the device under it and how it fills.
#[derive(Debug, Clone, PartialEq)]
pub struct Disk {
    /// The mount point.
    pub path: String,
    /// The block device.
    pub device: String,
    /// Size in bytes.
    pub size_bytes: f64,
    /// Per cent used just after a cleanup.
    pub base_percent: f64,
    /// Per cent that is written between two cleanups.
    pub swing_percent: f64,
    /// Days between two cleanups.
    pub cycle_days: f64,
    /// The device's share of the host's reads and writes.
    pub io_share: f64,
}

/// A job that runs every day at about the same hour (UTC).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Job {
    /// The hour at which it starts.
    pub hour: f64,
    /// How long it runs, in hours; from day to day a fifth more or less.
    pub length_hours: f64,
    /// Per cent of the processors that it takes.
    pub cpu_percent: f64,
    /// Bytes per second that it reads and writes.
    pub disk_bytes_per_s: f64,
}

/// The numbers of a profile. Demand is 0 at the quietest hour and 1 at the busiest.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// Logical processors.
    pub cores: u32,
    /// Memory in bytes.
    pub memory_bytes: f64,
    /// Hour of the day (UTC) with the most demand.
    pub peak_hour: f64,
    /// Saturday's and Sunday's demand, as a share of a weekday's.
    pub weekend: f64,
    /// Standard deviation of demand.
    pub noise: f64,
    /// Per cent of the processors without demand.
    pub cpu_floor: f64,
    /// Per cent of the processors that full demand adds.
    pub cpu_swing: f64,
    /// Per cent of memory without demand.
    pub memory_floor: f64,
    /// Per cent of memory that full demand adds.
    pub memory_swing: f64,
    /// Per cent of memory that a day without a restart adds.
    pub memory_creep_per_day: f64,
    /// Bytes per second received at full demand.
    pub receive_bytes_per_s: f64,
    /// Bytes per second sent at full demand.
    pub send_bytes_per_s: f64,
    /// Bytes per second read from disks at full demand.
    pub read_bytes_per_s: f64,
    /// Bytes per second written to disks at full demand.
    pub write_bytes_per_s: f64,
    /// The daily jobs.
    pub jobs: Vec<Job>,
    /// The file systems.
    pub disks: Vec<Disk>,
}

impl Profile {
    /// Answers the profile's numbers.
    #[must_use]
    pub fn shape(self) -> Shape {
        match self {
            Self::Web => Shape {
                peak_hour: 15.0,
                weekend: 0.65,
                cpu_swing: 52.0,
                receive_bytes_per_s: 6.0 * MB,
                send_bytes_per_s: 34.0 * MB,
                jobs: vec![job(3.2, 0.5, 14.0, 9.0)],
                disks: vec![root(60.0)],
                ..base()
            },
            Self::Database => Shape {
                cores: 8,
                memory_bytes: 32.0 * GIB,
                peak_hour: 14.0,
                weekend: 0.5,
                cpu_swing: 38.0,
                memory_floor: 66.0,
                memory_swing: 6.0,
                receive_bytes_per_s: 5.0 * MB,
                send_bytes_per_s: 12.0 * MB,
                read_bytes_per_s: 30.0 * MB,
                write_bytes_per_s: 18.0 * MB,
                jobs: vec![job(2.0, 1.6, 24.0, 90.0)],
                disks: vec![root(80.0), data(500.0, 48.0, 9.0, 14.0)],
                ..base()
            },
            Self::Batch => Shape {
                cores: 8,
                memory_bytes: 16.0 * GIB,
                cpu_floor: 4.0,
                cpu_swing: 10.0,
                memory_floor: 24.0,
                memory_swing: 8.0,
                receive_bytes_per_s: 1.5 * MB,
                send_bytes_per_s: 0.8 * MB,
                jobs: vec![job(0.5, 3.6, 62.0, 70.0), job(12.5, 0.8, 35.0, 30.0)],
                disks: vec![root(80.0), data(250.0, 35.0, 14.0, 7.0)],
                ..base()
            },
            Self::Cache => Shape {
                memory_bytes: 16.0 * GIB,
                peak_hour: 16.0,
                weekend: 0.7,
                cpu_floor: 5.0,
                cpu_swing: 20.0,
                memory_floor: 74.0,
                memory_swing: 5.0,
                receive_bytes_per_s: 22.0 * MB,
                send_bytes_per_s: 48.0 * MB,
                read_bytes_per_s: 0.3 * MB,
                write_bytes_per_s: 1.0 * MB,
                disks: vec![root(40.0)],
                ..base()
            },
            Self::Ingest => Shape {
                peak_hour: 13.0,
                weekend: 0.9,
                noise: 0.06,
                cpu_floor: 18.0,
                cpu_swing: 30.0,
                receive_bytes_per_s: 45.0 * MB,
                send_bytes_per_s: 4.0 * MB,
                write_bytes_per_s: 40.0 * MB,
                jobs: vec![job(4.0, 0.7, 12.0, 60.0)],
                disks: vec![root(60.0), data(1000.0, 40.0, 16.0, 1.0)],
                ..base()
            },
            Self::Generic => base(),
        }
    }
}

fn base() -> Shape {
    Shape {
        cores: 4,
        memory_bytes: 8.0 * GIB,
        peak_hour: 13.5,
        weekend: 0.4,
        noise: 0.09,
        cpu_floor: 7.0,
        cpu_swing: 34.0,
        memory_floor: 38.0,
        memory_swing: 14.0,
        memory_creep_per_day: 0.5,
        receive_bytes_per_s: 2.5 * MB,
        send_bytes_per_s: 2.0 * MB,
        read_bytes_per_s: 2.0 * MB,
        write_bytes_per_s: 3.0 * MB,
        jobs: vec![job(1.5, 0.6, 18.0, 25.0)],
        disks: vec![root(50.0), data(200.0, 44.0, 8.0, 10.0)],
    }
}

fn job(hour: f64, length_hours: f64, cpu_percent: f64, disk_mb_per_s: f64) -> Job {
    Job {
        hour,
        length_hours,
        cpu_percent,
        disk_bytes_per_s: disk_mb_per_s * MB,
    }
}

fn root(size_gib: f64) -> Disk {
    Disk {
        path: "/".to_owned(),
        device: "vda1".to_owned(),
        size_bytes: size_gib * GIB,
        base_percent: 34.0,
        swing_percent: 3.0,
        cycle_days: 7.0,
        io_share: 0.2,
    }
}

fn data(size_gib: f64, base_percent: f64, swing_percent: f64, cycle_days: f64) -> Disk {
    Disk {
        path: "/data".to_owned(),
        device: "vdb".to_owned(),
        size_bytes: size_gib * GIB,
        base_percent,
        swing_percent,
        cycle_days,
        io_share: 0.8,
    }
}
