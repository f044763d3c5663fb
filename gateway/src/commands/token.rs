//! Tokens on the command line.

use std::{fmt::Write, path::Path, time::SystemTime};

use chrono::SecondsFormat;
use headroom_openapi::access::Scope;

use super::CommandError;
use crate::{
    access::{Bounds, Issued, IssuedFile, NewToken, Rates, Secret},
    config::TokenCreateArgs,
    glob::Glob,
};

/// Makes a token; returns its secret, which is to be shown once.
///
/// # Errors
///
/// When it cannot be as it is wanted, or the file cannot be written.
pub fn create_token(data_dir: &Path, args: TokenCreateArgs) -> Result<Secret, CommandError> {
    let wanted = NewToken {
        name: args.name,
        scopes: args.scopes,
        bounds: Bounds {
            buckets: args.buckets,
            measurements: args
                .measurements
                .iter()
                .map(|name| Glob::new(name))
                .collect(),
            host: args.host,
        },
        rates: Rates {
            lines_per_s: args.lines_per_s,
            bytes_per_s: args.bytes_per_s,
        },
    };
    let (_, secret) = IssuedFile::of(data_dir).create(wanted, SystemTime::now().into())?;
    Ok(secret)
}

/// Lists the tokens, one a line.
///
/// # Errors
///
/// When the file cannot be read.
pub fn list_tokens(data_dir: &Path) -> Result<String, CommandError> {
    let tokens = IssuedFile::of(data_dir).read()?.unwrap_or_default();
    let mut text = String::new();
    for token in &tokens {
        let created = token.created.to_rfc3339_opts(SecondsFormat::Secs, true);
        // Writing into memory does not fail.
        let _ = writeln!(text, "{}  {created}  {}", token.name, describe(token));
    }
    Ok(text)
}

/// Takes a token away.
///
/// # Errors
///
/// When there is none of that name, or the file cannot be written.
pub fn revoke_token(data_dir: &Path, name: &str) -> Result<(), CommandError> {
    Ok(IssuedFile::of(data_dir).revoke(name)?)
}

fn describe(token: &Issued) -> String {
    let scopes = token.scopes().unwrap_or_default();
    let scopes: Vec<String> = scopes.iter().map(Scope::to_string).collect();
    let mut text = scopes.join(",");
    let bounds = &token.bounds;
    let named = bounds.buckets.iter().map(|name| ("bucket", name.clone()));
    let measurements = bounds.measurements.iter().map(Glob::to_string);
    let limits = [
        ("lines-per-s", token.rates.lines_per_s),
        ("bytes-per-s", token.rates.bytes_per_s),
    ];
    for (what, value) in named
        .chain(measurements.map(|name| ("measurement", name)))
        .chain(bounds.host.iter().map(|name| ("host", name.clone())))
        .chain(
            limits
                .into_iter()
                .filter_map(|(what, rate)| Some((what, rate?.to_string()))),
        )
    {
        let _ = write!(text, " {what}={value}");
    }
    text
}
