//! The tokens that are accepted, from both files.

use std::{collections::HashMap, path::Path, sync::Arc, time::SystemTime};

use headroom_openapi::access::{Tokens, fingerprint};
use parking_lot::RwLock;
use sha2::{Digest, Sha256};

use super::{
    Bounds, Client, Grant, Issued, IssuedError, IssuedFile, NewToken, Pace, issued::Secret,
};

/// The tokens that this program made, by the SHA-256 of their secrets.
type Entries = HashMap<[u8; 32], Arc<Grant>>;

/// The tokens that are accepted now. It is replaced as a whole; requests that were let in go on.
#[derive(Default)]
pub struct Keyring {
    listed: Option<Arc<Tokens>>,
    issued: Entries,
}

impl Keyring {
    /// What the bearer of a secret may do; `None`: it is not known.
    #[must_use]
    pub fn identify(&self, secret: &str) -> Option<Arc<Grant>> {
        let digest: [u8; 32] = Sha256::digest(secret.as_bytes()).into();
        // Who can measure how long this takes learns of a digest, which leads to no secret.
        if let Some(grant) = self.issued.get(&digest) {
            return Some(Arc::clone(grant));
        }
        let scopes = self.listed.as_ref()?.scopes_of(secret)?;
        Some(Arc::new(Grant {
            client: Some(Client(fingerprint(secret).into())),
            scopes,
            bounds: Bounds::NONE,
            pace: Arc::default(),
        }))
    }
}

/// Both files, and what they say.
pub struct Access {
    file: IssuedFile,
    listed: RwLock<Option<Arc<Tokens>>>,
    keyring: RwLock<Option<Arc<Keyring>>>,
}

impl Access {
    /// Reads the tokens of a data folder beside those that are listed.
    ///
    /// # Errors
    ///
    /// When the folder's file cannot be read.
    pub fn open(data_dir: &Path, listed: Option<Tokens>) -> Result<Self, IssuedError> {
        let access = Self {
            file: IssuedFile::of(data_dir),
            listed: RwLock::new(listed.map(Arc::new)),
            keyring: RwLock::new(None),
        };
        access.reload()?;
        Ok(access)
    }

    /// The tokens that are accepted; `None`: everybody is trusted.
    #[must_use]
    pub fn keyring(&self) -> Option<Arc<Keyring>> {
        self.keyring.read().clone()
    }

    /// The file with the tokens that this program made.
    #[must_use]
    pub fn file(&self) -> &IssuedFile {
        &self.file
    }

    /// Puts other tokens in the place of those in use. Where none are listed any more, those that were stay.
    pub fn replace(&self, listed: Option<Tokens>, issued: Option<Vec<Issued>>) {
        if let Some(listed) = listed {
            *self.listed.write() = Some(Arc::new(listed));
        }
        let listed = self.listed.read().clone();
        let mut keyring = self.keyring.write();
        if issued.is_none() && listed.is_none() {
            if keyring.is_some() {
                tracing::error!(path = %self.file.path().display(), "the tokens are gone; those in use stay");
            }
            return;
        }
        let before = keyring.as_ref().map(|keyring| &keyring.issued);
        let issued = issued.unwrap_or_default();
        let issued = issued.iter().filter_map(|token| entry(token, before));
        let issued = issued.collect();
        *keyring = Some(Arc::new(Keyring { listed, issued }));
    }

    /// Reads the data folder's file anew. Where it has gone, the tokens in use stay: a gateway that asks for tokens is not
    /// opened by a file that is missing.
    ///
    /// # Errors
    ///
    /// When it cannot be read; the tokens in use stay.
    pub fn reload(&self) -> Result<(), IssuedError> {
        self.replace(None, self.file.read()?);
        Ok(())
    }

    /// Makes a token, which is accepted at once.
    ///
    /// # Errors
    ///
    /// When it cannot be as it is wanted, or the file cannot be written.
    pub fn create(&self, wanted: NewToken) -> Result<(Issued, Secret), IssuedError> {
        let made = self.file.create(wanted, SystemTime::now().into())?;
        self.reload()?;
        Ok(made)
    }

    /// Takes a token away at once.
    ///
    /// # Errors
    ///
    /// When there is none of that name, or the file cannot be written.
    pub fn revoke(&self, name: &str) -> Result<(), IssuedError> {
        self.file.revoke(name)?;
        self.reload()
    }

    /// What a token may do, by its name; `None`: it has gone, or was listed.
    #[must_use]
    pub fn grant_named(&self, client: &str) -> Option<Arc<Grant>> {
        let keyring = self.keyring()?;
        let named = |grant: &&Arc<Grant>| {
            let name = grant.client.as_ref().map(|client| &*client.0);
            name == Some(client)
        };
        keyring.issued.values().find(named).cloned()
    }
}

/// What a token may do. One whose rates are those it had before goes on with its debt.
fn entry(token: &Issued, before: Option<&Entries>) -> Option<([u8; 32], Arc<Grant>)> {
    // The file was judged when it was read.
    let digest = token.digest().ok()?;
    let known = before.and_then(|before| before.get(&digest));
    let pace = known
        .filter(|known| known.pace.rates() == token.rates)
        .map_or_else(
            || Arc::new(Pace::new(token.rates)),
            |known| Arc::clone(&known.pace),
        );
    let grant = Grant {
        client: Some(Client(token.name.as_str().into())),
        scopes: token.scopes().ok()?,
        bounds: token.bounds.clone(),
        pace,
    };
    Some((digest, Arc::new(grant)))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use headroom_openapi::access::Scope;

    use super::*;
    use crate::access::Rates;

    fn wanted(name: &str, lines_per_s: Option<u32>) -> NewToken {
        NewToken {
            name: name.to_owned(),
            scopes: vec![Scope::Write],
            bounds: Bounds::NONE,
            rates: Rates {
                lines_per_s,
                bytes_per_s: None,
            },
        }
    }

    #[test]
    fn a_token_keeps_its_debt_until_its_rates_change() {
        let dir = tempfile::tempdir().expect("a folder");
        let access = Access::open(dir.path(), None).expect("no file yet");
        let (_, secret) = access.create(wanted("slow", Some(1))).expect("made");
        let now = Instant::now();
        let admitted = || {
            let keyring = access.keyring().expect("there are tokens");
            let grant = keyring.identify(secret.expose()).expect("known");
            grant.pace.admit(now).is_ok()
        };
        let grant = access.grant_named("slow").expect("made");
        grant.pace.charge(now, 1_000, 0);
        assert!(!admitted());
        access.create(wanted("other", None)).expect("made");
        assert!(!admitted(), "another token is no reason");
        let path = access.file().path();
        let text = std::fs::read_to_string(path).expect("a file");
        let faster = text.replace("\"lines_per_s\": 1", "\"lines_per_s\": 2");
        assert_ne!(faster, text);
        std::fs::write(path, faster).expect("writable");
        access.reload().expect("as it is written");
        assert!(admitted(), "other rates begin with full buckets");
    }
}
