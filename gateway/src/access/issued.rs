//! Tokens that this program made: `tokens.json` in the data folder.
//!
//! The command line and a running gateway both write the file, one at a time (a lock on `tokens.lock`), and publish it whole.
//! It holds a token's name, SHA-256, scopes, bounds and rates, and is readable to its owner alone; the secret itself is shown
//! once, by whoever made it.

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use headroom_openapi::access::Scope;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Bounds, Rates};
use crate::{glob::Glob, publish::publish};

/// The file, in the data folder.
pub const FILE_NAME: &str = "tokens.json";
const LOCK_NAME: &str = "tokens.lock";
/// What this version writes and reads.
const FORMAT: u32 = 1;
/// The file's rights: its owner's.
const MODE: u32 = 0o600;
const NAME_MAX_CHARS: usize = 64;
/// 256 random bits.
const SECRET_BYTES: usize = 32;

/// Why tokens cannot be read or changed. No message holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum IssuedError {
    /// The file cannot be read or written.
    #[error("could not {action} {}: {source}", path.display())]
    File {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file is not what this program writes.
    #[error("{} is no list of tokens of this version: {reason}; `headroom-gateway token create` writes it", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A token cannot be as it was wanted.
    #[error("{0}")]
    Invalid(String),
    /// There is a token of that name.
    #[error("there is a token {0:?} already; revoke it first, or choose another name")]
    Exists(String),
    /// There is no token of that name.
    #[error("there is no token {0:?}; `headroom-gateway token list` shows those that there are")]
    Unknown(String),
}

/// A secret that was just made; it shows in no log.
pub struct Secret(String);

impl Secret {
    fn new() -> Self {
        Self(hex::encode(rand::random::<[u8; SECRET_BYTES]>()))
    }

    /// The text itself, to be shown once.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// What a new token is to be.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// Its name, by which it is listed, revoked and counted.
    pub name: String,
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// To which points.
    pub bounds: Bounds,
    /// How fast.
    pub rates: Rates,
}

impl NewToken {
    fn check(&self) -> Result<(), IssuedError> {
        let invalid = |text: &str| Err(IssuedError::Invalid(text.to_owned()));
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !(1..=NAME_MAX_CHARS).contains(&self.name.len()) || !self.name.bytes().all(is_plain) {
            return invalid(
                "a token's name has 1 to 64 letters, digits, dots, dashes and underscores",
            );
        }
        if self.scopes.is_empty() {
            return invalid("a token needs a scope: read, write or admin");
        }
        if self.scopes.contains(&Scope::Admin) && self.bounds != Bounds::NONE {
            return invalid(
                "admin is everything, so that it cannot be bound; give the scopes write and read",
            );
        }
        if self.scopes.contains(&Scope::Read) && self.bounds.hold_for_lines() {
            return invalid(
                "measurements and host bind what is written; make a token of its own for reading, which buckets can bind",
            );
        }
        let empty = self.bounds.buckets.iter().any(String::is_empty)
            || self.bounds.measurements.iter().any(Glob::is_empty)
            || self.bounds.host.as_ref().is_some_and(String::is_empty);
        if empty {
            return invalid("a bucket, measurement or host that binds a token cannot be empty");
        }
        if self.rates.lines_per_s == Some(0) || self.rates.bytes_per_s == Some(0) {
            return invalid("a rate of 0 lets nothing in; leave it out for no limit");
        }
        Ok(())
    }
}

/// A token, without its secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issued {
    /// Its name.
    pub name: String,
    /// The SHA-256 of its secret, as hexadecimal digits.
    sha256: String,
    /// What it allows: words.
    scopes: Vec<String>,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// To which points.
    #[serde(default)]
    pub bounds: Bounds,
    /// How fast.
    #[serde(default)]
    pub rates: Rates,
}

impl Issued {
    /// What it allows.
    ///
    /// # Errors
    ///
    /// A word that is no scope.
    pub fn scopes(&self) -> Result<Vec<Scope>, String> {
        self.scopes.iter().map(|word| word.parse()).collect()
    }

    /// The SHA-256 of its secret.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub(super) fn digest(&self) -> Result<[u8; 32], hex::FromHexError> {
        let mut digest = [0; 32];
        hex::decode_to_slice(&self.sha256, &mut digest)?;
        Ok(digest)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    format: u32,
    tokens: Vec<Issued>,
}

/// The file with the tokens that this program made.
#[derive(Debug, Clone)]
pub struct IssuedFile {
    path: PathBuf,
}

impl IssuedFile {
    /// The file of a data folder.
    #[must_use]
    pub fn of(data_dir: &Path) -> Self {
        Self {
            path: data_dir.join(FILE_NAME),
        }
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the tokens; `None`: there is no file, so none was ever made.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or is not what this program writes.
    pub fn read(&self) -> Result<Option<Vec<Issued>>, IssuedError> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            // What is wrong with a data folder is said by who makes it.
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                return Ok(None);
            }
            Err(source) => return Err(self.failed("read")(source)),
        };
        let malformed = |reason: String| IssuedError::Malformed {
            path: self.path.clone(),
            reason,
        };
        let content: Content =
            serde_json::from_str(&text).map_err(|error| malformed(error.to_string()))?;
        if content.format != FORMAT {
            return Err(malformed(format!("it has format {}", content.format)));
        }
        for token in &content.tokens {
            let name = &token.name;
            token
                .scopes()
                .map_err(|word| malformed(format!("the token {name:?} has the scope {word:?}")))?;
            token.digest().map_err(|error| {
                malformed(format!("the token {name:?} has no SHA-256: {error}"))
            })?;
        }
        Ok(Some(content.tokens))
    }

    /// Makes a token, and answers it with its secret, which is nowhere else.
    ///
    /// # Errors
    ///
    /// When it cannot be as it is wanted, or the file cannot be written.
    pub fn create(
        &self,
        wanted: NewToken,
        now: DateTime<Utc>,
    ) -> Result<(Issued, Secret), IssuedError> {
        wanted.check()?;
        let secret = Secret::new();
        let token = Issued {
            name: wanted.name,
            sha256: hex::encode(Sha256::digest(secret.expose())),
            scopes: wanted.scopes.iter().map(Scope::to_string).collect(),
            created: now,
            bounds: wanted.bounds,
            rates: wanted.rates,
        };
        self.change(|tokens| {
            if tokens.iter().any(|other| other.name == token.name) {
                return Err(IssuedError::Exists(token.name.clone()));
            }
            tokens.push(token.clone());
            Ok(())
        })?;
        Ok((token, secret))
    }

    /// Takes a token away. The last one's going leaves an empty file: nobody gets in.
    ///
    /// # Errors
    ///
    /// When there is none of that name, or the file cannot be written.
    pub fn revoke(&self, name: &str) -> Result<(), IssuedError> {
        self.change(|tokens| {
            let before = tokens.len();
            tokens.retain(|token| token.name != name);
            if tokens.len() == before {
                return Err(IssuedError::Unknown(name.to_owned()));
            }
            Ok(())
        })
    }

    fn change(
        &self,
        change: impl FnOnce(&mut Vec<Issued>) -> Result<(), IssuedError>,
    ) -> Result<(), IssuedError> {
        if let Some(dir) = self.path.parent() {
            fs::create_dir_all(dir).map_err(self.failed("create the folder of"))?;
        }
        let lock = File::create(self.path.with_file_name(LOCK_NAME));
        // It is held until the file is closed.
        let lock = lock.and_then(|file| file.lock().map(|()| file));
        let _lock = lock.map_err(self.failed("lock"))?;
        let mut tokens = self.read()?.unwrap_or_default();
        change(&mut tokens)?;
        let content = Content {
            format: FORMAT,
            tokens,
        };
        let mut text = serde_json::to_vec_pretty(&content)
            .map_err(|error| IssuedError::Invalid(error.to_string()))?;
        text.push(b'\n');
        publish(&self.path, &text, MODE).map_err(self.failed("write"))
    }

    fn failed(&self, action: &'static str) -> impl FnOnce(io::Error) -> IssuedError {
        let path = self.path.clone();
        move |source| IssuedError::File {
            action,
            path,
            source,
        }
    }
}
