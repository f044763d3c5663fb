//! The base: a network that was fitted over many hosts, from which a host's own begins.
//!
//! Its embedding has a row for each series that it learned from, by host and metric, and one for any other. As a file
//! it is safetensors, with the sizes and the rows' names in the metadata.

use std::collections::{BTreeMap, HashMap};

use safetensors::SafeTensors;

use super::{Device, Network, Shape, WeightsError, weights};
use crate::model_kind::EncoderKind;

/// What `headroom-forecaster pretrain` made of public and synthetic series; `forecaster/base/README.md` tells of it.
const SHIPPED: &[u8] = include_bytes!("../../base/base.safetensors");

const SHAPE: &str = "shape";
const ROWS: &str = "rows";

/// Why a file is no base.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// The weights are not a network's.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The metadata is missing or means nothing.
    #[error(
        "the base's metadata {entry:?} cannot be read: {reason}; make the base with `pretrain`"
    )]
    MetadataInvalid {
        /// The entry.
        entry: &'static str,
        /// Why.
        reason: String,
    },
}

/// A series' name among all hosts: host and metric.
pub(crate) type SeriesName = (String, String);

/// A base network, as plain data that threads share.
#[derive(Debug, Clone, PartialEq)]
pub struct Base {
    shape: Shape,
    /// Safetensors.
    weights: Vec<u8>,
    /// Where networks that begin from it compute.
    device: Device,
    /// Whether the weights were fitted to anything.
    is_taught: bool,
    /// The rows of the embedding; row 0 is any other series.
    rows: BTreeMap<SeriesName, usize>,
}

impl Base {
    /// Returns the base that is part of the program.
    ///
    /// # Errors
    ///
    /// When the program was built with a file that is no base, which a test rules out.
    pub fn shipped() -> Result<Self, BaseError> {
        Self::from_bytes(SHIPPED)
    }

    /// Makes a base that learned nothing: its weights follow from the seed.
    ///
    /// # Errors
    ///
    /// When libtorch refuses.
    pub fn untaught(shape: Shape, seed: u64) -> Result<Self, WeightsError> {
        let shape = Shape { series: 0, ..shape };
        let network = Network::new(shape, seed, Device::Cpu.into())?;
        Ok(Self {
            is_taught: false,
            ..Self::new(&network, BTreeMap::new())?
        })
    }

    pub(crate) fn new(
        network: &Network,
        rows: BTreeMap<SeriesName, usize>,
    ) -> Result<Self, WeightsError> {
        Ok(Self {
            shape: network.shape(),
            weights: weights::to_bytes(network)?,
            device: Device::Cpu,
            is_taught: true,
            rows,
        })
    }

    /// Forgets the series that it learned from, and keeps what holds for any.
    ///
    /// # Errors
    ///
    /// When libtorch refuses.
    pub fn without_rows(&self) -> Result<Self, WeightsError> {
        Ok(Self::new(&self.network(&[])?, BTreeMap::new())?.on(self.device))
    }

    /// Returns whether another has the same sizes but for the series that it knows.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        let series = other.shape.series;
        Shape {
            series,
            ..self.shape
        } == other.shape
    }

    /// Lets networks that begin from it compute on a device.
    #[must_use]
    pub fn on(self, device: Device) -> Self {
        Self { device, ..self }
    }

    /// Returns whether it was fitted to anything.
    #[must_use]
    pub fn is_taught(&self) -> bool {
        self.is_taught
    }

    /// Returns where networks that begin from it compute.
    #[must_use]
    pub fn device(&self) -> Device {
        self.device
    }

    /// Returns what reads the patches.
    #[must_use]
    pub fn encoder(&self) -> EncoderKind {
        self.shape.encoder
    }

    /// Returns its sizes.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Returns the SHA-256 of its weights' bytes, by which a model names the base that it began from.
    #[must_use]
    pub fn sha256(&self) -> String {
        weights::digest(&self.weights)
    }

    /// Returns the number of its parameters.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.weights_in_bytes() / size_of::<f32>()
    }

    fn weights_in_bytes(&self) -> usize {
        SafeTensors::deserialize(&self.weights).map_or(0, |tensors| {
            tensors
                .tensors()
                .iter()
                .map(|(_, view)| view.data().len())
                .sum()
        })
    }

    /// Makes a network for series, in their order, from the weights of the base.
    pub(crate) fn network(&self, series: &[SeriesName]) -> Result<Network, WeightsError> {
        let base = weights::from_bytes(self.shape, &self.weights, self.device)?;
        let row = |name| self.rows.get(name).copied().unwrap_or(0);
        let rows: Vec<usize> = series.iter().map(row).collect();
        Ok(base.for_series(&rows)?)
    }

    /// Reads a base.
    ///
    /// # Errors
    ///
    /// When the bytes are not one.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BaseError> {
        let (_, head) = SafeTensors::read_metadata(bytes).map_err(WeightsError::from)?;
        let metadata = head.metadata().clone().unwrap_or_default();
        let read = |entry| {
            metadata
                .get(entry)
                .ok_or_else(|| BaseError::MetadataInvalid {
                    entry,
                    reason: "it is missing".to_owned(),
                })
        };
        let invalid = |entry| {
            move |error: serde_json::Error| BaseError::MetadataInvalid {
                entry,
                reason: error.to_string(),
            }
        };
        let shape = serde_json::from_str(read(SHAPE)?).map_err(invalid(SHAPE))?;
        let rows: Vec<SeriesName> = serde_json::from_str(read(ROWS)?).map_err(invalid(ROWS))?;
        let base = Self {
            shape,
            weights: bytes.to_vec(),
            device: Device::Cpu,
            is_taught: true,
            rows: rows.into_iter().zip(1..).collect(),
        };
        base.network(&[])?;
        Ok(base)
    }

    /// Returns the base as a file's content, with more metadata beside its own.
    ///
    /// # Errors
    ///
    /// When libtorch refuses.
    pub fn to_bytes(&self, more: HashMap<String, String>) -> Result<Vec<u8>, BaseError> {
        let mut named: Vec<(&SeriesName, usize)> =
            self.rows.iter().map(|(name, row)| (name, *row)).collect();
        named.sort_by_key(|(_, row)| *row);
        let in_order: Vec<&SeriesName> = named.into_iter().map(|(name, _)| name).collect();
        let text = |entry, value: serde_json::Result<String>| {
            value.map_err(|error| BaseError::MetadataInvalid {
                entry,
                reason: error.to_string(),
            })
        };
        let mut metadata = more;
        metadata.insert(
            SHAPE.to_owned(),
            text(SHAPE, serde_json::to_string(&self.shape))?,
        );
        metadata.insert(
            ROWS.to_owned(),
            text(ROWS, serde_json::to_string(&in_order))?,
        );
        let network = weights::from_bytes(self.shape, &self.weights, Device::Cpu)?;
        Ok(weights::to_bytes_with(&network, Some(metadata))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_base_is_one_and_small() {
        let base = Base::shipped().expect("a base");
        assert!(base.rows.is_empty());
        assert!(base.parameters() < 300_000, "{}", base.parameters());
        assert!(SHIPPED.len() < 1_000_000, "{}", SHIPPED.len());
    }

    #[test]
    fn a_base_survives_its_file_with_the_names_of_its_series() {
        let shape = Shape {
            encoder: EncoderKind::Lstm,
            series: 2,
            hidden: 4,
            decoder: 5,
        };
        let network = Network::new(shape, 1, Device::Cpu.into()).expect("a network");
        let names = [("b", "cpu"), ("a", "mem")].map(|(h, m)| (h.to_owned(), m.to_owned()));
        let rows = names.iter().cloned().zip(1..).collect();
        let base = Base::new(&network, rows).expect("a base");
        let bytes = base.to_bytes(HashMap::new()).expect("bytes");
        let read = Base::from_bytes(&bytes).expect("a base");
        assert_eq!(read.rows, base.rows);
        for _ in 0..20 {
            let again = read.to_bytes(HashMap::new()).expect("bytes");
            assert!(again == bytes, "the same base is the same bytes");
        }
        let weights = |base: &Base| {
            weights::to_bytes(&base.network(&names).expect("a network")).expect("bytes")
        };
        assert_eq!(weights(&read), weights(&base));
    }

    #[test]
    fn a_series_never_seen_begins_from_the_common_row() {
        let shape = Shape {
            encoder: EncoderKind::Lstm,
            series: 0,
            hidden: 4,
            decoder: 5,
        };
        let base = Base::untaught(shape, 1).expect("a base");
        let name = ("new".to_owned(), "cpu".to_owned());
        let network = base.network(&[name.clone(), name]).expect("a network");
        let rows = network
            .variables()
            .into_iter()
            .find(|(name, _)| name == "series");
        let rows = weights::values(&rows.expect("an embedding").1).expect("numbers");
        assert_eq!(rows[..8], rows[8..16]);
        assert_eq!(rows[..8], rows[16..]);
    }

    #[test]
    fn what_is_no_base_is_refused() {
        let error = Base::from_bytes(b"nothing").expect_err("no base");
        assert!(error.to_string().contains("safetensors"), "{error}");
        let network = Network::new(
            Shape {
                encoder: EncoderKind::Lstm,
                series: 0,
                hidden: 4,
                decoder: 5,
            },
            1,
            Device::Cpu.into(),
        );
        let bytes = weights::to_bytes(&network.expect("a network")).expect("bytes");
        let error = Base::from_bytes(&bytes).expect_err("no base");
        assert!(error.to_string().contains("\"shape\""), "{error}");
    }
}
