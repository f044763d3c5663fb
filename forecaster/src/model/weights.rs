//! Weights as bytes: the safetensors form, which other tools read too.

use std::collections::{BTreeMap, HashMap};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use sha2::{Digest, Sha256};
use tch::{TchError, Tensor};

use super::{
    Device,
    network::{Network, Shape, assign},
};

/// Why weights do not make a network.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The bytes are not in the safetensors form.
    #[error("the weights are not in the safetensors form: {0}")]
    FormInvalid(#[from] safetensors::SafeTensorError),
    /// A variable is missing or has other dimensions.
    #[error("the weights lack the variable {name:?} of {size} numbers")]
    VariableLacking {
        /// The variable.
        name: String,
        /// How many numbers it has.
        size: usize,
    },
    /// libtorch refused.
    #[error("libtorch refused: {0}")]
    Torch(#[from] TchError),
}

/// Returns a network's weights in the safetensors form.
pub(crate) fn to_bytes(network: &Network) -> Result<Vec<u8>, WeightsError> {
    to_bytes_with(network, None)
}

/// Returns a network's weights in the safetensors form, with metadata.
pub(super) fn to_bytes_with(
    network: &Network,
    metadata: Option<HashMap<String, String>>,
) -> Result<Vec<u8>, WeightsError> {
    let mut tensors = Vec::new();
    for (name, variable) in network.variables() {
        let bytes: Vec<u8> = values(&variable)?
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        let shape: Vec<usize> = variable.size().iter().map(|size| *size as usize).collect();
        tensors.push((name, shape, bytes));
    }
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| Ok((name, TensorView::new(Dtype::F32, shape.clone(), bytes)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
    Ok(with_sorted_header(&safetensors::serialize(
        views, metadata,
    )?))
}

/// Sorts the header of a safetensors file: its metadata come in an order of chance, and the same weights are to be the same
/// bytes. A header is its length (u64, little-endian) and JSON, which blanks fill up to a multiple of eight.
fn with_sorted_header(bytes: &[u8]) -> Vec<u8> {
    type Header = BTreeMap<String, BTreeMap<String, serde_json::Value>>;
    let sorted = bytes.split_first_chunk().and_then(|(length, rest)| {
        let (header, tensors) = rest.split_at_checked(u64::from_le_bytes(*length) as usize)?;
        let header: Header = serde_json::from_slice(header).ok()?;
        let mut header = serde_json::to_vec(&header).ok()?;
        header.resize(header.len().next_multiple_of(8), b' ');
        let length = (header.len() as u64).to_le_bytes();
        Some([&length[..], &header, tensors].concat())
    });
    sorted.unwrap_or_else(|| bytes.to_vec())
}

/// Makes a network of a shape with the weights that `bytes` hold, whatever device they were fitted on.
pub(crate) fn from_bytes(
    shape: Shape,
    bytes: &[u8],
    device: Device,
) -> Result<Network, WeightsError> {
    let network = Network::blank(shape, device.into())?;
    let tensors = SafeTensors::deserialize(bytes)?;
    for (name, variable) in network.variables() {
        let size = variable.numel();
        let view = tensors.tensor(&name).ok();
        let values: Vec<f32> = view
            .filter(|view| view.dtype() == Dtype::F32 && view.data().len() == 4 * size)
            .ok_or(WeightsError::VariableLacking { name, size })?
            .data()
            .chunks_exact(4)
            .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
            .collect();
        assign(&variable, &values)?;
    }
    Ok(network)
}

/// Returns the SHA-256 of weights, in hexadecimal digits.
pub(crate) fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Returns a tensor's numbers in row-major order.
pub(super) fn values(tensor: &Tensor) -> Result<Vec<f32>, TchError> {
    let mut values = vec![0.0; tensor.numel()];
    let count = values.len();
    tensor
        .f_detach()?
        .f_contiguous()?
        .f_copy_data(&mut values, count)?;
    Ok(values)
}
