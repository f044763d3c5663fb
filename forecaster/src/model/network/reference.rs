//! Holds each kind of network against PyTorch: `tests/reference/networks.py` builds the same network of PyTorch's own
//! layers, after the papers.

use std::collections::BTreeMap;

use serde::Deserialize;
use tch::{Device, Tensor};

use super::{Batch, Network, PATCHES, Shape, assign};
use crate::{
    model::{
        SEGMENT_STEPS, SEGMENTS,
        weights::values,
        window::{CANDIDATES, PATCH_FEATURES, SEGMENT_FEATURES},
    },
    model_kind::EncoderKind,
};

#[derive(Deserialize)]
struct Reference {
    variables: Vec<String>,
    shape: Vec<i64>,
    every_97th: Vec<f32>,
}

/// The numbers of the script.
fn numbers(seed: usize, count: usize) -> Vec<f32> {
    let number = |place: usize| 0.4 * (1.3 * place as f64 + seed as f64).sin();
    (0..count).map(|place| number(place) as f32).collect()
}

fn tensor(seed: usize, dims: &[usize]) -> Tensor {
    let dims_of_tensor: Vec<i64> = dims.iter().map(|size| *size as i64).collect();
    Tensor::from_slice(&numbers(seed, dims.iter().product())).view(&dims_of_tensor[..])
}

/// A network and a batch of the script's numbers.
fn of_numbers(encoder: EncoderKind) -> (Network, Batch) {
    let shape = Shape {
        encoder,
        series: 2,
        hidden: 8,
        decoder: 7,
    };
    let network = Network::new(shape, 0, Device::Cpu).expect("a network");
    let variables = network.variables();
    for (seed, (_, variable)) in variables.iter().enumerate() {
        assign(variable, &numbers(seed, variable.numel())).expect("as many numbers");
    }
    let first = variables.len();
    let batch = Batch {
        patches: tensor(first, &[3, PATCHES, PATCH_FEATURES]),
        statics: tensor(first + 1, &[3, 2]),
        candidates: tensor(first + 2, &[3, SEGMENTS, SEGMENT_STEPS * CANDIDATES]),
        segments: tensor(first + 3, &[3, SEGMENTS, SEGMENT_FEATURES]),
        kinds: Tensor::from_slice(&[0_i64, 1, 2]),
        series: Tensor::from_slice(&[2_i64, 1, 0]),
    };
    (network, batch)
}

#[test]
fn forward_agrees_with_pytorch() {
    let references: BTreeMap<String, Reference> =
        serde_json::from_str(include_str!("../../../tests/reference/networks.json"))
            .expect("the script's output");
    for kind in EncoderKind::ALL {
        let reference = &references[kind.name()];
        let (network, batch) = of_numbers(kind);
        let names: Vec<String> = network
            .variables()
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names, reference.variables);
        let quantiles = network.forward(&batch).expect("an answer");
        assert_eq!(quantiles.size(), reference.shape, "{kind}");
        let quantiles = values(&quantiles).expect("numbers");
        let every_97th: Vec<f32> = quantiles.into_iter().step_by(97).collect();
        assert_eq!(every_97th.len(), reference.every_97th.len(), "{kind}");
        for (ours, theirs) in every_97th.iter().zip(&reference.every_97th) {
            // The same operations in single precision, maybe summed in another order.
            assert!(
                (ours - theirs).abs() < 5e-6,
                "{kind}: {ours} against {theirs}"
            );
        }
    }
}

#[test]
fn a_gpu_agrees_with_the_processor_within_the_tolerance() {
    let Ok(gpu) = "cuda".parse::<crate::model::Device>() else {
        eprintln!("skipped: libtorch finds no GPU on this machine");
        return;
    };
    for kind in EncoderKind::ALL {
        let (network, batch) = of_numbers(kind);
        let bytes = crate::model::to_bytes(&network).expect("bytes");
        let carried = crate::model::weights::from_bytes(network.shape(), &bytes, gpu);
        let carried = carried.expect("the same network there");
        let there = |part: &Tensor| part.to(gpu.into());
        let batch_there = Batch {
            patches: there(&batch.patches),
            statics: there(&batch.statics),
            candidates: there(&batch.candidates),
            segments: there(&batch.segments),
            kinds: there(&batch.kinds),
            series: there(&batch.series),
        };
        let here = values(&network.forward(&batch).expect("an answer")).expect("numbers");
        let there = carried.forward(&batch_there).expect("an answer");
        for (one, other) in here.iter().zip(values(&there).expect("numbers")) {
            let apart = (one - other).abs();
            assert!(
                apart <= crate::model::TOLERANCE,
                "{kind}: {one} and {other}"
            );
        }
    }
}
