//! A host's model: the manifest and, once trained, the network's weights.

use crate::manifest::Manifest;

/// A model that serves one host.
#[derive(Debug)]
pub struct HostModel {
    manifest: Manifest,
}

impl HostModel {
    pub(crate) fn new(manifest: Manifest) -> Self {
        Self { manifest }
    }

    /// Returns what is known about the model.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }
}
