//! The command line: what the program can do.

use clap::{Parser, Subcommand};

use super::Flags;

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
}
