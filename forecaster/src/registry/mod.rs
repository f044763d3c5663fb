//! Models on disk: versions that are published whole or not at all, and survive a restart.
//!
//! ```text
//! registry/
//!   base.safetensors                what the fleet's networks begin from; absent before the first retrain of many hosts
//!   <host, escaped>/
//!     000001/manifest.json         what is known about the model, with the weights' SHA-256
//!     000001/weights.safetensors   absent when no target has a network
//!     000002/…
//!     champion                     the version that serves: six digits and a line feed
//! ```
//!
//! - A version is written into `.new-000003`, each file and the folder flushed, and renamed; then `champion` is
//!   replaced the same way. A crash in between leaves the old champion serving, and the next publication clears
//!   the remains.
//! - Version numbers only grow, whatever the clock says.
//! - A version that cannot be read whole (its hash differs, its manifest does not parse) is passed over with
//!   its reason, and the newest one that can be serves.
//! - One process writes a registry; any number may read it.

mod files;
mod name;

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    manifest::{FORMAT, Manifest},
    model::{Base, BaseError, HostModel, ModelError, WeightsError},
};

/// How many versions of a host are kept: the champion, and enough before it to go back to.
pub const VERSIONS_KEPT: usize = 5;

const MANIFEST: &str = "manifest.json";
const WEIGHTS: &str = "weights.safetensors";
const CHAMPION: &str = "champion";
const BASE: &str = "base.safetensors";
const UNFINISHED: &str = ".new-";

/// Why models could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The disk refused.
    #[error(
        "cannot {action} {path}: {source}; the folder must exist on a disk with room and be writable"
    )]
    Disk {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system answered.
        #[source]
        source: io::Error,
    },
    /// The manifest is not one.
    #[error(
        "manifest {path} does not parse: {source}; the version is passed over, retrain the host to replace it"
    )]
    ManifestInvalid {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// The manifest has another form.
    #[error(
        "manifest {path} has the format {found}; this program reads {FORMAT}, retrain the host to replace it"
    )]
    FormatUnknown {
        /// The file.
        path: PathBuf,
        /// The format found.
        found: u32,
    },
    /// The weights do not belong to the manifest.
    #[error(
        "version {path} cannot serve: {source}; it is passed over, retrain the host to replace it"
    )]
    ModelInvalid {
        /// The version's folder.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: ModelError,
    },
    /// The fleet's base is not one.
    #[error("the base {path} cannot be used: {source}; retrain all hosts to replace it")]
    BaseInvalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: BaseError,
    },
    /// The network would not hand over its weights.
    #[error("the weights of host {host:?} cannot be written: {source}")]
    WeightsUnreadable {
        /// The host.
        host: String,
        /// Why.
        #[source]
        source: WeightsError,
    },
    /// The host has models, and none can be read.
    #[error(
        "none of the {versions} versions of host {host:?} can be read, the newest because: {reason}; retrain the host"
    )]
    NothingReadable {
        /// The host.
        host: String,
        /// How many versions there are.
        versions: usize,
        /// What was wrong with the newest.
        reason: String,
    },
}

fn disk(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RegistryError {
    let path = path.to_owned();
    move |source| RegistryError::Disk {
        action,
        path,
        source,
    }
}

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
    /// Whether it is the one that serves.
    pub champion: bool,
    /// What is known about it.
    pub manifest: Manifest,
}

/// The folder of models.
#[derive(Debug, Clone)]
pub struct Registry {
    root: PathBuf,
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
        })
    }

    /// Publishes a model as its host's next version and champion, prunes old versions, and returns the version.
    ///
    /// # Errors
    ///
    /// When the disk refuses; the old champion then goes on serving.
    pub fn publish(&self, model: &HostModel) -> Result<String, RegistryError> {
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
        if let Some(weights) = weights {
            files::write(&unfinished.join(WEIGHTS), &weights)?;
        }
        files::sync_folder(&unfinished)?;
        let finished = folder.join(&version);
        fs::rename(&unfinished, &finished).map_err(disk("rename", &unfinished))?;
        files::sync_folder(&folder)?;
        files::replace(&folder.join(CHAMPION), format!("{version}\n").as_bytes())?;
        prune(&folder, &version)?;
        Ok(version)
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
        let champion = champion(&folder);
        candidates.sort_by_key(|version| Some(version) == champion.as_ref());
        let mut passed_over = Vec::new();
        for version in candidates.into_iter().rev() {
            match read(&folder.join(&version)) {
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
        let champion = champion(&folder);
        let entries = versions(&folder)?.into_iter().rev().filter_map(|version| {
            let manifest = read_manifest(&folder.join(&version)).ok()?;
            Some(Entry {
                champion: champion.as_ref() == Some(&version),
                version,
                manifest,
            })
        });
        Ok(entries.collect())
    }

    /// Keeps the fleet's base in the place of the one before.
    ///
    /// # Errors
    ///
    /// When the disk refuses; the old base stays.
    pub fn publish_base(&self, base: &Base) -> Result<(), RegistryError> {
        let path = self.root.join(BASE);
        let invalid = |source| RegistryError::BaseInvalid {
            path: path.clone(),
            source,
        };
        let bytes = base.to_bytes(HashMap::new()).map_err(invalid)?;
        files::replace(&path, &bytes)
    }

    /// Loads the fleet's base; `None` before the first one.
    ///
    /// # Errors
    ///
    /// When there is one that cannot be read.
    pub fn load_base(&self) -> Result<Option<Base>, RegistryError> {
        let path = self.root.join(BASE);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(disk("read", &path)(error)),
        };
        let base = Base::from_bytes(&bytes)
            .map_err(|source| RegistryError::BaseInvalid { path, source })?;
        Ok(Some(base))
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

fn champion(folder: &Path) -> Option<String> {
    let text = fs::read_to_string(folder.join(CHAMPION)).ok()?;
    Some(text.trim().to_owned())
}

fn host_of(folder: &Path) -> Option<String> {
    let versions = versions(folder).ok()?;
    let manifest = |version: &String| read_manifest(&folder.join(version)).ok();
    Some(versions.iter().rev().find_map(manifest)?.host)
}

fn read(version: &Path) -> Result<HostModel, RegistryError> {
    let manifest = read_manifest(version)?;
    let path = version.join(WEIGHTS);
    let weights = match fs::read(&path) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(disk("read", &path)(error)),
    };
    HostModel::from_parts(manifest, weights.as_deref()).map_err(|source| {
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

/// Removes the oldest versions but [`VERSIONS_KEPT`], never the champion.
fn prune(folder: &Path, champion: &str) -> Result<(), RegistryError> {
    let versions = versions(folder)?;
    let surplus = versions.len().saturating_sub(VERSIONS_KEPT);
    for version in versions
        .iter()
        .take(surplus)
        .filter(|name| *name != champion)
    {
        let path = folder.join(version);
        fs::remove_dir_all(&path).map_err(disk("remove", &path))?;
    }
    Ok(())
}
