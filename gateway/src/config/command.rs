//! The command line: what the program can do.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::{Args, Parser, Subcommand, ValueEnum};
use headroom_openapi::access::Scope;
use url::Url;

use super::{Flags, Secret};
use crate::{lines::Precision, validate::ReportFormat};

const AFTER_HELP: &str = "\
Every setting is a flag, an environment variable and a key of the file that --config names; a flag outranks the \
environment, that outranks the file.

Examples:
  headroom-gateway                                          serves loopback, with an embedded store
  headroom-gateway token create web-fleet --scope write     makes a token, which others need to push
  headroom-gateway --listen 0.0.0.0:8186 --tls-cert-file cert.pem --tls-key-file key.pem
  headroom-gateway validate --format json metrics.lp        judges lines without storing them

Signals:
  TERM, INT   finish requests, close the journal and end; a second one ends at once
  HUP         reads tokens, contract and certificate anew, without dropping a request

Exit status:
  0 done, 1 failed (or lines were refused), 2 wrong arguments, 130 ended by a second signal";

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "headroom-gateway", version, about, long_about = None, after_help = AFTER_HELP)]
pub struct Cli {
    /// What to do; without a word: serve.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The settings.
    #[command(flatten)]
    pub flags: Flags,
}

/// What the program can do.
#[derive(Debug, Clone, Subcommand)]
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
    /// Reads journal and store through and says whether they are sound; the gateway must not run.
    Check,
    /// Copies all that a restore needs into a new folder, while the gateway runs or not; the copy is a data folder.
    Backup {
        /// The folder to make.
        #[arg(value_name = "FOLDER")]
        to: PathBuf,
    },
    /// Writes points as text; the gateway must not run (export a backup otherwise).
    Export(ExportArgs),
    /// Pushes a file of line protocol to a running gateway.
    Import(ImportArgs),
    /// Makes, lists and revokes tokens of the data folder; a running gateway notices within a second or two.
    #[command(subcommand)]
    Token(TokenCommand),
}

/// What can be done with tokens.
#[derive(Debug, Clone, Subcommand)]
pub enum TokenCommand {
    /// Makes a token and prints its secret, which is stored nowhere.
    Create(TokenCreateArgs),
    /// Lists the tokens with what they allow; no secret is known any more.
    List,
    /// Takes a token away.
    Revoke {
        /// Its name.
        name: String,
    },
}

/// What a new token is to be.
#[derive(Debug, Clone, Args)]
pub struct TokenCreateArgs {
    /// Its name, by which it is listed, revoked and counted.
    pub name: String,
    /// What it allows: read, write or admin; may be given several times.
    #[arg(long = "scope", required = true, value_name = "SCOPE")]
    pub scopes: Vec<Scope>,
    /// A bucket that it is bound to, such as telegraf or telegraf/week; may be given several times.
    #[arg(long = "bucket", value_name = "NAME")]
    pub buckets: Vec<String>,
    /// A measurement that it may write, `*` standing for any characters; may be given several times.
    #[arg(long = "measurement", value_name = "PATTERN")]
    pub measurements: Vec<String>,
    /// The value that the tag host must have in every line that it writes.
    #[arg(long, value_name = "NAME")]
    pub host: Option<String>,
    /// How many lines a second it may push.
    #[arg(long, value_name = "NUMBER")]
    pub lines_per_s: Option<u32>,
    /// How many bytes of line protocol a second it may push.
    #[arg(long, value_name = "NUMBER")]
    pub bytes_per_s: Option<u32>,
}

/// What to export.
#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    /// The form.
    #[arg(long, value_enum, default_value_t)]
    pub format: ExportFormat,
    /// The database.
    #[arg(long, value_name = "NAME", default_value = "telegraf")]
    pub database: String,
    /// The retention policy; without it the database's default.
    #[arg(long, value_name = "NAME")]
    pub retention_policy: Option<String>,
    /// One measurement; without it all.
    #[arg(long, value_name = "NAME")]
    pub measurement: Option<String>,
    /// The first instant, such as 2024-03-29T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub since: Option<DateTime<Utc>>,
    /// The instant before which it ends.
    #[arg(long, value_name = "TIME")]
    pub until: Option<DateTime<Utc>>,
    /// The file, compressed if its name ends in .gz; without it the standard output.
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// In which form points are exported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// Line protocol with nanoseconds.
    #[default]
    Lp,
    /// One value a row: measurement, tags as JSON, time, field, type, value.
    Csv,
    /// One value a row, in the column of its type; wants --output.
    Parquet,
}

/// What to import, and where to.
#[derive(Debug, Clone, Args)]
pub struct ImportArgs {
    /// The file of line protocol, gzip or plain.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The gateway.
    #[arg(
        long,
        env = "HEADROOM_GATEWAY_URL",
        value_name = "URL",
        default_value = "http://127.0.0.1:8186"
    )]
    pub url: Url,
    /// A token with the scope write.
    #[arg(
        long,
        env = "HEADROOM_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    pub token: Option<Secret>,
    /// The database.
    #[arg(long, value_name = "NAME", default_value = "telegraf")]
    pub database: String,
    /// The retention policy; without it the database's default.
    #[arg(long, value_name = "NAME")]
    pub retention_policy: Option<String>,
    /// The unit of the file's timestamps: ns, u, ms or s.
    #[arg(long, value_name = "UNIT", default_value = "ns")]
    pub precision: String,
}
