//! The tokens that are accepted, from both files.

use std::{collections::HashMap, path::Path, sync::Arc, time::SystemTime};

use headroom_openapi::access::{Tokens, fingerprint};
use parking_lot::RwLock;
use sha2::{Digest, Sha256};

use super::{
    Bounds, Client, Grant, Issued, IssuedError, IssuedFile, NewToken, Pace, issued::Secret,
};

/// The tokens that are accepted now. It is replaced as a whole; requests that were let in go on.
#[derive(Default)]
pub struct Keyring {
    listed: Option<Arc<Tokens>>,
    issued: HashMap<[u8; 32], Arc<Grant>>,
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
            pace: Pace::default(),
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

    /// Puts other tokens in the place of those that are listed.
    ///
    /// # Errors
    ///
    /// When the other file cannot be read; the tokens in use stay.
    pub fn replace_listed(&self, tokens: Tokens) -> Result<(), IssuedError> {
        *self.listed.write() = Some(Arc::new(tokens));
        self.reload()
    }

    /// Reads the data folder's file anew. Where it has gone, the tokens in use stay: a gateway that asks for tokens is not
    /// opened by a file that is missing.
    ///
    /// # Errors
    ///
    /// When it cannot be read; the tokens in use stay.
    pub fn reload(&self) -> Result<(), IssuedError> {
        let issued = self.file.read()?;
        let listed = self.listed.read().clone();
        let mut keyring = self.keyring.write();
        if issued.is_none() && listed.is_none() {
            if keyring.is_some() {
                tracing::error!(path = %self.file.path().display(), "the tokens are gone; those in use stay");
            }
            return Ok(());
        }
        let issued = issued.unwrap_or_default();
        let issued = issued.iter().filter_map(entry).collect();
        *keyring = Some(Arc::new(Keyring { listed, issued }));
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

fn entry(token: &Issued) -> Option<([u8; 32], Arc<Grant>)> {
    // The file was judged when it was read.
    let grant = Grant {
        client: Some(Client(token.name.as_str().into())),
        scopes: token.scopes().ok()?,
        bounds: token.bounds.clone(),
        pace: Pace::new(token.rates),
    };
    Some((token.digest().ok()?, Arc::new(grant)))
}
