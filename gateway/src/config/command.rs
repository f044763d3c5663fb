//! The command line: what the program can do.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::Flags;
use crate::{lines::Precision, validate::ReportFormat};

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "headroom-gateway", version, about, long_about = None)]
pub struct Cli {
    /// What to do; without a word: serve.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The settings.
    #[command(flatten)]
    pub flags: Flags,
}

/// What the program can do.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Takes pushes and answers queries until it is told to stop.
    Serve,
    /// Prints the OpenAPI document.
    Openapi,
    /// Judges the lines of a file without storing them; ends with 0 if every line is accepted, with 1 if not.
    Validate {
        /// The unit of the timestamps: ns, us, ms or s.
        #[arg(long, default_value = "ns", value_parser = Precision::of_v2)]
        precision: Precision,
        /// How the verdicts are written.
        #[arg(long, value_enum, default_value_t)]
        format: ReportFormat,
        /// The file of line protocol; `-` is the standard input.
        #[arg(default_value = "-")]
        file: PathBuf,
    },
}
