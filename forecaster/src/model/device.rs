//! The device that networks compute on.
//!
//! Weights are kept and carried as plain numbers, so that what one device fitted another serves. On a GPU sums are
//! taken in another order: one forward pass differs from the CPU's by [`TOLERANCE`] at most, and a fit, which takes
//! thousands of steps on such sums, ends at other weights of the same worth.

use std::{fmt, str::FromStr};

/// How far two devices' answers to the same window may lie apart, in spreads of the window.
pub const TOLERANCE: f32 = 1e-3;

/// What a device is called in settings.
const NAMES: &str = "cpu, cuda, cuda:N or auto";

/// A device that is there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// A GPU of NVIDIA's, by its number.
    Cuda(usize),
}

/// Why a device cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// Nobody knows it.
    #[error("there is no device {name:?}; write one of {NAMES}")]
    Unknown {
        /// What was written.
        name: String,
    },
    /// There is no GPU for libtorch.
    #[error(
        "this libtorch finds no CUDA: it was built for the CPU, or the machine has no GPU with a driver; point LIBTORCH at \
         a build with CUDA and build again, or write cpu or auto"
    )]
    NoCuda,
    /// There are fewer GPUs.
    #[error("there is no cuda:{asked}; libtorch finds {found}, counted from 0")]
    NoSuchGpu {
        /// The number that was asked for.
        asked: usize,
        /// How many there are.
        found: usize,
    },
}

impl FromStr for Device {
    type Err = DeviceError;

    /// Finds a device by its name; `auto` is the first GPU where there is one, else the processor.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::among(name, gpus())
    }
}

impl Device {
    fn among(name: &str, found: usize) -> Result<Self, DeviceError> {
        let gpu = match name.split_once(':') {
            None if name == "cpu" => return Ok(Self::Cpu),
            None if name == "auto" && found == 0 => return Ok(Self::Cpu),
            None if name == "auto" || name == "cuda" => Some(0),
            Some(("cuda", number)) => number.parse().ok(),
            _ => None,
        };
        let asked = gpu.ok_or_else(|| DeviceError::Unknown {
            name: name.to_owned(),
        })?;
        match found {
            0 => Err(DeviceError::NoCuda),
            _ if asked >= found => Err(DeviceError::NoSuchGpu { asked, found }),
            _ => Ok(Self::Cuda(asked)),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => out.write_str("cpu"),
            Self::Cuda(number) => write!(out, "cuda:{number}"),
        }
    }
}

impl From<Device> for tch::Device {
    fn from(device: Device) -> Self {
        match device {
            Device::Cpu => Self::Cpu,
            Device::Cuda(number) => Self::Cuda(number),
        }
    }
}

/// Returns how many GPUs libtorch can compute on.
fn gpus() -> usize {
    if tch::Cuda::is_available() {
        usize::try_from(tch::Cuda::device_count()).unwrap_or(0)
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_known_by_their_names() {
        let known = [
            ("cpu", Device::Cpu),
            ("cuda", Device::Cuda(0)),
            ("cuda:1", Device::Cuda(1)),
            ("auto", Device::Cuda(0)),
        ];
        for (name, device) in known {
            assert_eq!(Device::among(name, 2), Ok(device));
        }
        assert_eq!(Device::among("auto", 0), Ok(Device::Cpu));
        for name in ["", "gpu", "cuda:", "cuda:-1", "cuda:x", "cpu:0"] {
            let error = Device::among(name, 2).expect_err("no device");
            assert!(error.to_string().contains(NAMES), "{error}");
        }
    }

    #[test]
    fn a_gpu_that_is_not_there_is_refused() {
        assert_eq!(Device::among("cuda", 0), Err(DeviceError::NoCuda));
        let error = Device::among("cuda:2", 2).expect_err("no such GPU");
        assert!(error.to_string().contains("finds 2"), "{error}");
    }
}
