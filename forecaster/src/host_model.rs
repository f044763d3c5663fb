//! What serves one host: the manifest and its networks.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    manifest::Manifest,
    model::{
        self, Base, Device, ModelRefusal, Network, NetworkEntry, Series, SeriesName, WeightsError,
    },
    model_kind::{EncoderKind, ModelKind},
    quantile::QuantilePath,
    widening::Widening,
};

/// The weights of a host's networks, in the safetensors form.
pub type HostWeights = BTreeMap<EncoderKind, Vec<u8>>;

/// Why a manifest and weights do not make a model.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The weights are not those of the manifest.
    #[error(
        "the weights have the SHA-256 {found}, the manifest names {named}: the file was damaged or exchanged"
    )]
    DigestUnlike {
        /// The hash that the manifest names.
        named: String,
        /// The hash of the bytes.
        found: String,
    },
    /// The manifest is there without the weights.
    #[error(
        "the manifest names a network of the kind {kind}, and the file of its weights is missing"
    )]
    WeightsMissing {
        /// The kind.
        kind: EncoderKind,
    },
    /// Nobody asked for them.
    #[error("there are weights of the kind {kind}, and the manifest names no such network")]
    WeightsUnasked {
        /// The kind.
        kind: EncoderKind,
    },
    /// The weights do not fit.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}

/// A model that serves one host.
#[derive(Debug)]
pub struct HostModel {
    manifest: Arc<Manifest>,
    /// libtorch's tensors belong to one thread at a time.
    networks: BTreeMap<EncoderKind, Mutex<Network>>,
}

impl HostModel {
    pub(crate) fn new(
        manifest: impl Into<Arc<Manifest>>,
        networks: impl IntoIterator<Item = Network>,
    ) -> Self {
        let by_kind = |network: Network| (network.shape().encoder, Mutex::new(network));
        Self {
            manifest: manifest.into(),
            networks: networks.into_iter().map(by_kind).collect(),
        }
    }

    /// Makes a model whose networks cannot be asked, since their weights cannot be read: the naive forecasts answer.
    pub(crate) fn without_networks(manifest: Arc<Manifest>) -> Self {
        Self::new(manifest, Vec::new())
    }

    /// Makes a model of a host that was never trained: the base answers, with the rows of other hosts' series.
    pub(crate) fn of_newcomer(mut manifest: Manifest, base: &Base, rows: &[SeriesName]) -> Self {
        let network = base.network(rows).ok();
        manifest.network = network.as_ref().map(|network| NetworkEntry {
            shape: network.shape(),
            parameters: network.parameters(),
            weights_sha256: String::new(),
            epoch: 0,
            validation_loss: 0.0,
            widening: Widening::default(),
        });
        Self::new(manifest, network)
    }

    /// Lets one kind serve every target that has it; the others keep theirs.
    pub(crate) fn serving_only(mut self, kind: ModelKind) -> Self {
        let is_there = kind
            .encoder()
            .is_none_or(|encoder| self.networks.contains_key(&encoder));
        for target in &mut Arc::make_mut(&mut self.manifest).targets {
            if is_there && target.has(kind) {
                target.serves = kind;
                target.fallback_reason = None;
            }
        }
        self
    }

    /// Puts a model together from what was published, on the device that computes.
    ///
    /// # Errors
    ///
    /// When the weights are not those that the manifest names.
    pub fn from_parts(
        manifest: impl Into<Arc<Manifest>>,
        weights: &HostWeights,
        device: Device,
    ) -> Result<Self, ModelError> {
        let manifest = manifest.into();
        if let Some(kind) = weights.keys().find(|kind| manifest.entry(**kind).is_none()) {
            return Err(ModelError::WeightsUnasked { kind: *kind });
        }
        let network = |entry: &NetworkEntry| {
            let kind = entry.shape.encoder;
            let bytes = weights
                .get(&kind)
                .ok_or(ModelError::WeightsMissing { kind })?;
            let found = model::digest(bytes);
            if found != entry.weights_sha256 {
                return Err(ModelError::DigestUnlike {
                    named: entry.weights_sha256.clone(),
                    found,
                });
            }
            Ok(model::from_bytes(entry.shape, bytes, device)?)
        };
        let networks: Result<Vec<Network>, ModelError> = manifest.networks().map(network).collect();
        Ok(Self::new(manifest, networks?))
    }

    /// Returns what is known about the model.
    #[must_use]
    pub fn manifest(&self) -> &Arc<Manifest> {
        &self.manifest
    }

    /// Returns the weights of each network; none when no target has one.
    ///
    /// # Errors
    ///
    /// When libtorch refuses to hand them over.
    pub fn weights(&self) -> Result<HostWeights, WeightsError> {
        let bytes = |(kind, network): (&EncoderKind, &Mutex<Network>)| {
            let network = network.lock().unwrap_or_else(PoisonError::into_inner);
            Ok((*kind, model::to_bytes(&network)?))
        };
        self.networks.iter().map(bytes).collect()
    }

    /// Lets the network of a kind answer for series at their origins, in one batch. `None` stands where it cannot be
    /// asked: where there is no such network, or too little was observed before the origin.
    pub(crate) fn answer(
        &self,
        kind: EncoderKind,
        asked: &[(&Series, usize)],
    ) -> Result<Vec<Option<QuantilePath>>, ModelRefusal> {
        let (network, entry) = match (self.networks.get(&kind), self.manifest.entry(kind)) {
            (Some(network), Some(entry)) => (network, entry),
            (None, Some(_)) => {
                return Err(ModelRefusal::FileFormat(
                    "its weights cannot be read".to_owned(),
                ));
            }
            (_, None) => return Ok(vec![None; asked.len()]),
        };
        model::use_one_thread();
        let network = network.lock().unwrap_or_else(PoisonError::into_inner);
        model::answer(&network, &entry.widening, asked)
    }
}
