//! Models on disk: versions that are published whole or not at all, and survive a restart.
//!
//! ```text
//! registry/
//!   base.safetensors                what the fleet's networks begin from; absent before the first retrain of all hosts
//!   base-tcn.safetensors             the same for another kind of network, where one is asked for
//!   <host, escaped>/
//!     000001/manifest.json         what is known about the model, with the weights' SHA-256
//!     000001/weights.safetensors   absent when no target has a network
//!     000001/weights-tcn.safetensors  those of another kind of network, where one was asked for
//!     000002/…
//!     champion                     the version that serves: six digits and a line feed
//!     challenger                   the version that waits to serve, where there is one
//!     trial.json                   how it does beside the champion, or how the last one did
//!     trainings.json               the errors of every training, also of versions that are gone
//! ```
//!
//! - A version is written into `.new-000003`, each file and the folder flushed, and renamed; then `champion` is
//!   replaced the same way. A crash in between leaves the old champion serving, and the next publication clears
//!   the remains.
//! - Version numbers only grow, whatever the clock says.
//! - A version that cannot be read whole (its hash differs, its manifest does not parse) is passed over with
//!   its reason, and the newest one that can be serves.
//! - One process writes a registry; any number may read it.

mod alias;
mod error;
pub(crate) mod files;
mod name;
mod trainings;
mod trial;

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    host_model::{HostModel, HostWeights},
    manifest::{FORMAT, Manifest},
    model::{Base, Device},
    model_kind::EncoderKind,
};

use alias::{alias_of, point, pointed};
use error::disk;

pub use alias::Alias;
pub use error::RegistryError;
pub use trainings::{TargetScores, Training};
pub use trial::Trial;

/// How many versions of a host are kept: the champion, the challenger, and enough before it to go back to.
pub const VERSIONS_KEPT: usize = 5;

const MANIFEST: &str = "manifest.json";
const WEIGHTS: &str = "weights";
const BASE: &str = "base";

const UNFINISHED: &str = ".new-";

/// A model with its version.
#[derive(Debug)]
pub struct Loaded {
    /// The version, six digits.
    pub version: String,
    /// The model.
    pub model: HostModel,
    /// The newer or preferred versions that could not be read, and why; worth a warning each.
    pub passed_over: Vec<(String, RegistryError)>,
}

/// A version as `list` tells of it.
#[derive(Debug)]
pub struct Entry {
    /// The version, six digits.
    pub version: String,
    /// What it is called by, if by anything.
    pub alias: Option<Alias>,
    /// What is known about it.
    pub manifest: Manifest,
}

/// The folder of models.
#[derive(Debug, Clone)]
pub struct Registry {
    root: PathBuf,
    device: Device,
}

impl Registry {
    /// Opens a registry, and makes its folder where there is none.
    ///
    /// # Errors
    ///
    /// When the folder cannot be made or written to.
    pub fn open(root: &Path) -> Result<Self, RegistryError> {
        fs::create_dir_all(root).map_err(disk("create", root))?;
        let probe = root.join(".probe");
        fs::write(&probe, b"").map_err(disk("write to", root))?;
        fs::remove_file(&probe).map_err(disk("write to", root))?;
        Ok(Self {
            root: root.to_owned(),
            device: Device::default(),
        })
    }

    /// Lets the models that it loads compute on a device.
    #[must_use]
    pub fn on(self, device: Device) -> Self {
        Self { device, ..self }
    }

    /// Publishes a model as its host's next version and champion, prunes old versions, and returns the version.
    ///
    /// # Errors
    ///
    /// When the disk refuses; the old champion then goes on serving.
    pub fn publish(&self, model: &HostModel) -> Result<String, RegistryError> {
        self.publish_as(model, Alias::Champion)
    }

    /// Publishes a model as its host's next version, under an alias or none, prunes old versions, and returns the version.
    ///
    /// # Errors
    ///
    /// When the disk refuses; whoever had the alias then keeps it.
    pub fn publish_as(
        &self,
        model: &HostModel,
        alias: impl Into<Option<Alias>>,
    ) -> Result<String, RegistryError> {
        let folder = self.folder(&model.manifest().host);
        fs::create_dir_all(&folder).map_err(disk("create", &folder))?;
        files::sync_folder(&self.root)?;
        files::clear_unfinished(&folder)?;
        let newest = versions(&folder)?.pop();
        let number = newest
            .and_then(|version| version.parse().ok())
            .unwrap_or(0_u32)
            + 1;
        let version = format!("{number:06}");

        let weights = model
            .weights()
            .map_err(|source| RegistryError::WeightsUnreadable {
                host: model.manifest().host.clone(),
                source,
            })?;
        let unfinished = folder.join(format!("{UNFINISHED}{version}"));
        fs::create_dir(&unfinished).map_err(disk("create", &unfinished))?;
        let path = unfinished.join(MANIFEST);
        let manifest = serde_json::to_vec_pretty(model.manifest())
            .map_err(|source| disk("write", &path)(source.into()))?;
        files::write(&path, &manifest)?;
        for (kind, weights) in weights {
            files::write(&unfinished.join(file_of(WEIGHTS, kind)), &weights)?;
        }
        files::sync_folder(&unfinished)?;
        let finished = folder.join(&version);
        fs::rename(&unfinished, &finished).map_err(disk("rename", &unfinished))?;
        files::sync_folder(&folder)?;
        trainings::add(&folder, &version, model.manifest())?;
        if let Some(alias) = alias.into() {
            point(&folder, alias, &version)?;
        }
        prune(&folder)?;
        Ok(version)
    }

    /// Makes a kept version the champion, as a rollback or a promotion, and returns its model. A challenger that becomes
    /// champion is no longer challenger.
    ///
    /// # Errors
    ///
    /// When the host has no such version, it cannot be read, or the disk refuses; the old champion then goes on serving.
    pub fn promote(&self, host: &str, version: &str) -> Result<HostModel, RegistryError> {
        let folder = self.kept(host, version)?;
        let model = read(&folder.join(version), self.device)?;
        point(&folder, Alias::Champion, version)?;
        if pointed(&folder, Alias::Challenger).as_deref() == Some(version) {
            self.release(host, Alias::Challenger)?;
        }
        Ok(model)
    }

    /// Reads a kept version.
    ///
    /// # Errors
    ///
    /// When the host has no such version, or it cannot be read.
    pub fn read(&self, host: &str, version: &str) -> Result<HostModel, RegistryError> {
        read(&self.kept(host, version)?.join(version), self.device)
    }

    /// Reads the weights of a version whose manifest is known.
    ///
    /// # Errors
    ///
    /// When they are gone, or are not those that the manifest names.
    pub fn read_again(
        &self,
        manifest: &Arc<Manifest>,
        version: &str,
    ) -> Result<HostModel, RegistryError> {
        let version = self.folder(&manifest.host).join(version);
        read_with(Arc::clone(manifest), &version, self.device)
    }

    /// Lets no version have an alias any more.
    ///
    /// # Errors
    ///
    /// When the disk refuses.
    pub fn release(&self, host: &str, alias: Alias) -> Result<(), RegistryError> {
        let path = self.folder(host).join(alias.name());
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(disk("remove", &path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Returns a host's newest trial; `None` where there was none.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn trial(&self, host: &str) -> Result<Option<Trial>, RegistryError> {
        trial::read(&self.folder(host))
    }

    /// Keeps a host's trial in the place of the one before.
    ///
    /// # Errors
    ///
    /// When the disk refuses.
    pub fn keep_trial(&self, host: &str, trial: &Trial) -> Result<(), RegistryError> {
        trial::keep(&self.folder(host), trial)
    }

    /// Removes a version that has no alias.
    ///
    /// # Errors
    ///
    /// When the host has no such version, it has an alias, or the disk refuses.
    pub fn remove(&self, host: &str, version: &str) -> Result<(), RegistryError> {
        let folder = self.kept(host, version)?;
        if let Some(alias) = alias_of(&folder, version) {
            return Err(RegistryError::VersionInUse {
                host: host.to_owned(),
                version: version.to_owned(),
                alias: alias.name(),
            });
        }
        let path = folder.join(version);
        fs::remove_dir_all(&path).map_err(disk("remove", &path))?;
        files::sync_folder(&folder)
    }

    /// Removes all that is kept of a host; says whether that was anything.
    ///
    /// # Errors
    ///
    /// When the disk refuses; a part of it may be gone then.
    pub fn forget(&self, host: &str) -> Result<bool, RegistryError> {
        let folder = self.folder(host);
        match fs::remove_dir_all(&folder) {
            Ok(()) => files::sync_folder(&self.root).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(disk("remove", &folder)(error)),
        }
    }

    /// Returns the errors of a host's trainings, oldest first, also of those whose version is gone.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn trainings(&self, host: &str) -> Result<Vec<Training>, RegistryError> {
        trainings::read(&self.folder(host))
    }

    /// Returns the host's folder when it holds the version.
    fn kept(&self, host: &str, version: &str) -> Result<PathBuf, RegistryError> {
        let folder = self.folder(host);
        let versions = versions(&folder)?;
        if versions.iter().any(|kept| kept == version) {
            return Ok(folder);
        }
        Err(RegistryError::VersionUnknown {
            host: host.to_owned(),
            version: version.to_owned(),
            kept: versions,
        })
    }

    /// Loads the champion of a host, or the newest version that can be read; `None` when the host has no model.
    ///
    /// # Errors
    ///
    /// When there are versions and none can be read.
    pub fn load(&self, host: &str) -> Result<Option<Loaded>, RegistryError> {
        let folder = self.folder(host);
        let mut candidates = versions(&folder)?;
        let count = candidates.len();
        let champion = pointed(&folder, Alias::Champion);
        let challenger = pointed(&folder, Alias::Challenger);
        // A challenger serves only where nothing else can be read.
        candidates.sort_by_key(|version| Some(version) != challenger.as_ref());
        candidates.sort_by_key(|version| Some(version) == champion.as_ref());
        let mut passed_over = Vec::new();
        for version in candidates.into_iter().rev() {
            match read(&folder.join(&version), self.device) {
                Ok(model) => {
                    return Ok(Some(Loaded {
                        version,
                        model,
                        passed_over,
                    }));
                }
                Err(error) => passed_over.push((version, error)),
            }
        }
        match passed_over.first() {
            None => Ok(None),
            Some((_, error)) => Err(RegistryError::NothingReadable {
                host: host.to_owned(),
                versions: count,
                reason: error.to_string(),
            }),
        }
    }

    /// Returns the hosts that have a model that can be read, in order of their names.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read.
    pub fn hosts(&self) -> Result<Vec<String>, RegistryError> {
        let mut hosts: Vec<String> = files::folders(&self.root)?
            .iter()
            .filter_map(|folder| host_of(&self.root.join(folder)))
            .collect();
        hosts.sort();
        Ok(hosts)
    }

    /// Returns the versions of a host, newest first; those whose manifest cannot be read are left out.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read.
    pub fn list(&self, host: &str) -> Result<Vec<Entry>, RegistryError> {
        let folder = self.folder(host);
        let entries = versions(&folder)?.into_iter().rev().filter_map(|version| {
            let manifest = read_manifest(&folder.join(&version)).ok()?;
            Some(Entry {
                alias: alias_of(&folder, &version),
                version,
                manifest,
            })
        });
        Ok(entries.collect())
    }

    /// Keeps the fleet's base in the place of the one before of its kind.
    ///
    /// # Errors
    ///
    /// When the disk refuses; the old base stays.
    pub fn publish_base(&self, base: &Base) -> Result<(), RegistryError> {
        let path = self.root.join(file_of(BASE, base.encoder()));
        let invalid = |source| RegistryError::BaseInvalid {
            path: path.clone(),
            source,
        };
        let bytes = base.to_bytes(HashMap::new()).map_err(invalid)?;
        files::replace(&path, &bytes)
    }

    /// Loads the fleet's base of a kind; `None` before the first one.
    ///
    /// # Errors
    ///
    /// When there is one that cannot be read.
    pub fn load_base(&self, kind: EncoderKind) -> Result<Option<Base>, RegistryError> {
        let path = self.root.join(file_of(BASE, kind));
        let Some(bytes) = present(&path)? else {
            return Ok(None);
        };
        let base = Base::from_bytes(&bytes)
            .map_err(|source| RegistryError::BaseInvalid { path, source })?;
        Ok(Some(base.on(self.device)))
    }

    fn folder(&self, host: &str) -> PathBuf {
        self.root.join(name::of_host(host))
    }
}

/// Returns a folder's finished versions, oldest first.
fn versions(folder: &Path) -> Result<Vec<String>, RegistryError> {
    let mut versions = files::folders(folder)?;
    versions.retain(|name| name.parse::<u32>().is_ok());
    versions.sort_by_key(|name| name.parse::<u32>().ok());
    Ok(versions)
}

fn host_of(folder: &Path) -> Option<String> {
    let versions = versions(folder).ok()?;
    let manifest = |version: &String| read_manifest(&folder.join(version)).ok();
    Some(versions.iter().rev().find_map(manifest)?.host)
}

/// Returns the name of a kind's file: the LSTM's is the plain one.
fn file_of(what: &str, kind: EncoderKind) -> String {
    match kind {
        EncoderKind::Lstm => format!("{what}.safetensors"),
        kind => format!("{what}-{kind}.safetensors"),
    }
}

/// Reads a file that may be absent.
fn present(path: &Path) -> Result<Option<Vec<u8>>, RegistryError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(disk("read", path)(error)),
    }
}

fn read(version: &Path, device: Device) -> Result<HostModel, RegistryError> {
    read_with(Arc::new(read_manifest(version)?), version, device)
}

fn read_with(
    manifest: Arc<Manifest>,
    version: &Path,
    device: Device,
) -> Result<HostModel, RegistryError> {
    let mut weights = HostWeights::new();
    for kind in EncoderKind::ALL {
        let bytes = present(&version.join(file_of(WEIGHTS, kind)))?;
        weights.extend(bytes.map(|bytes| (kind, bytes)));
    }
    HostModel::from_parts(manifest, &weights, device).map_err(|source| {
        RegistryError::ModelInvalid {
            path: version.to_owned(),
            source,
        }
    })
}

fn read_manifest(version: &Path) -> Result<Manifest, RegistryError> {
    #[derive(serde::Deserialize)]
    struct Form {
        format: u32,
    }
    let path = version.join(MANIFEST);
    let text = fs::read(&path).map_err(disk("read", &path))?;
    let invalid = |source| RegistryError::ManifestInvalid {
        path: path.clone(),
        source,
    };
    let form: Form = serde_json::from_slice(&text).map_err(invalid)?;
    if form.format != FORMAT {
        return Err(RegistryError::FormatUnknown {
            path,
            found: form.format,
        });
    }
    serde_json::from_slice(&text).map_err(invalid)
}

/// Removes the oldest versions but [`VERSIONS_KEPT`], never one with an alias.
fn prune(folder: &Path) -> Result<(), RegistryError> {
    let versions = versions(folder)?;
    let surplus = versions.len().saturating_sub(VERSIONS_KEPT);
    for version in versions
        .iter()
        .take(surplus)
        .filter(|name| alias_of(folder, name).is_none())
    {
        let path = folder.join(version);
        fs::remove_dir_all(&path).map_err(disk("remove", &path))?;
    }
    Ok(())
}
