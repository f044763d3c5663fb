//! TLS: certificate and key from PEM files, put into place anew while connections go on.

use std::{path::PathBuf, sync::Arc};

use parking_lot::RwLock;
use rustls::{
    ServerConfig,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use crate::config::TlsFiles;

/// Why a certificate cannot be used. No message holds a key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate's file is not one.
    #[error("{} (HEADROOM_TLS_CERT_FILE) holds no certificate chain as PEM: {reason}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The key's file is not one.
    #[error("{} (HEADROOM_TLS_KEY_FILE) holds no private key as PEM: {reason}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// They cannot be used together.
    #[error(
        "certificate and key cannot be used together: {0}; HEADROOM_TLS_KEY_FILE must be the key of the first certificate in HEADROOM_TLS_CERT_FILE"
    )]
    Pair(rustls::Error),
    /// No provider was installed.
    #[error("no TLS provider is installed")]
    NoProvider,
}

/// The certificate that new connections get. Clones share it.
#[derive(Debug, Clone)]
pub struct Certificate {
    files: TlsFiles,
    current: Arc<Current>,
}

/// A certificate that was read and is not in use yet.
#[derive(Debug)]
pub struct Fresh(Arc<CertifiedKey>);

#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read()))
    }
}

impl Certificate {
    /// Reads certificate and key.
    ///
    /// # Errors
    ///
    /// Names the file that is wrong.
    pub fn read(files: TlsFiles) -> Result<Self, TlsError> {
        let current = Current(RwLock::new(Arc::new(pair(&files)?)));
        Ok(Self {
            files,
            current: Arc::new(current),
        })
    }

    /// Reads both files anew; connections that stand keep what they have.
    ///
    /// # Errors
    ///
    /// Names the file that is wrong; the certificate in use stays.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.put(self.read_anew()?);
        Ok(())
    }

    /// Reads both files anew, and changes nothing.
    ///
    /// # Errors
    ///
    /// Names the file that is wrong.
    pub fn read_anew(&self) -> Result<Fresh, TlsError> {
        Ok(Fresh(Arc::new(pair(&self.files)?)))
    }

    /// Puts what was read into the place of the certificate in use; connections that stand keep what they have.
    pub fn put(&self, fresh: Fresh) {
        *self.current.0.write() = fresh.0;
    }

    /// The files.
    #[must_use]
    pub fn files(&self) -> &TlsFiles {
        &self.files
    }

    /// The server's side of TLS 1.2 and 1.3 with this certificate.
    #[must_use]
    pub fn server_config(&self) -> ServerConfig {
        ServerConfig::builder()
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&self.current) as _)
    }
}

fn pair(files: &TlsFiles) -> Result<CertifiedKey, TlsError> {
    let wrong = |reason: String| TlsError::Certificate {
        path: files.certificate.clone(),
        reason,
    };
    let chain: Vec<_> = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect)
        .map_err(|error| wrong(error.to_string()))?;
    if chain.is_empty() {
        return Err(wrong("there is none in it".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| TlsError::Key {
        path: files.key.clone(),
        reason: error.to_string(),
    })?;
    let provider = CryptoProvider::get_default().ok_or(TlsError::NoProvider)?;
    CertifiedKey::from_der(chain, key, provider).map_err(TlsError::Pair)
}
