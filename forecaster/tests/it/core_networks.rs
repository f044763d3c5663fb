//! Models of other kinds beside the LSTM: fitted and judged where they are asked for, and kept like it.

use std::sync::Arc;

use headroom_forecaster::{
    forecast::predict,
    host_model::{HostModel, ModelError},
    manifest::Manifest,
    model::{Base, Device},
    model_kind::{EncoderKind, ModelKind},
    quantile::QuantilePath,
    registry::Registry,
    statistical::{Fit, Past, Predict, Season},
    target::Kind,
    training::{Budget, ByNetwork, ExtraNetwork, Recipe, TrainRequest, train_host},
};
use tokio_util::sync::CancellationToken;

use crate::support::histories::{DAY, START_S, host, recent, wave};

fn request() -> TrainRequest {
    let untaught = |kind| {
        let base = ExtraNetwork::untaught(kind).base(7, Device::Cpu);
        base.expect("random weights")
    };
    TrainRequest {
        extra: EncoderKind::EXTRA.map(untaught).to_vec(),
        ..host(6)
    }
}

fn trained(request: &TrainRequest) -> HostModel {
    train_host(request, &(), &CancellationToken::new()).expect("a model")
}

#[test]
fn kinds_that_are_asked_for_are_judged_at_the_same_origins() {
    let model = trained(&request());
    let manifest = model.manifest();
    let kinds: Vec<EncoderKind> = manifest
        .networks()
        .map(|entry| entry.shape.encoder)
        .collect();
    assert_eq!(kinds, EncoderKind::ALL);
    assert!(manifest.networks().all(|entry| entry.parameters < 300_000));
    for target in &manifest.targets {
        let origins = target.scores[&ModelKind::SeasonalNaiveDay].n_origins;
        for kind in [ModelKind::Lstm, ModelKind::Tcn, ModelKind::Attention] {
            let scores = &target.scores[&kind];
            assert_eq!(scores.n_origins, origins);
            assert!(scores.crps > 0.0 && scores.crps.is_finite());
        }
    }
}

#[test]
fn every_kind_of_network_fits_and_predicts_behind_the_trait_of_the_statistical_models() {
    let request = request();
    let (known, came) = (8 * DAY, 96);
    let values = wave(known + came, 20.0, 3);
    let past = Past {
        start_s: START_S,
        step_s: 300,
        values: &values[..known],
    };
    let error = |path: &QuantilePath| {
        let pairs = path.median().iter().zip(&values[known..]);
        pairs
            .map(|(one, came)| (one - f64::from(*came)).abs())
            .sum::<f64>()
            / came as f64
    };
    let naive = Season(1).fit(past).expect("values");
    let naive = Predict::predict(&naive, past, came, Kind::Percent).expect("a path");
    for base in [&request.base].into_iter().chain(&request.extra) {
        let fit = ByNetwork {
            base: Arc::clone(base),
            kind: Kind::Percent,
            seed: 1,
            budget: Budget::tiny(),
        };
        let fitted = fit.fit(past).expect("a history of eight days");
        let path = fitted.predict(past, came, Kind::Percent).expect("a path");
        assert_eq!(path.steps(), came);
        // Even a few steps from random weights know more of a daily wave than that the newest value goes on.
        let (network, persistence) = (error(&path), error(&naive));
        assert!(
            network < persistence,
            "{}: {network} and {persistence}",
            base.encoder()
        );
        assert!(fit.fit(Past { step_s: 60, ..past }).is_none());
        assert!(
            fit.fit(Past {
                values: &values[..100],
                ..past
            })
            .is_none()
        );
    }
}

#[test]
fn statistical_models_that_are_asked_for_are_judged_with_the_others_and_can_serve() {
    let asked = ModelKind::STATISTICAL_EXTRA;
    let request = TrainRequest {
        targets: host(12).targets[..1].to_vec(),
        recipe: Recipe::default().with(asked),
        ..host(12)
    };
    let model = trained(&request);
    let target = &model.manifest().targets[0];
    let origins = target.scores[&ModelKind::SeasonalNaiveDay].n_origins;
    let kept = serde_json::to_string(model.manifest()).expect("JSON");
    let kept: Manifest = serde_json::from_str(&kept).expect("a manifest");
    for kind in asked {
        let scores = &target.scores[&kind];
        assert_eq!(scores.n_origins, origins, "{}", kind.name());
        assert!(
            scores.crps > 0.0 && scores.crps.is_finite(),
            "{}",
            kind.name()
        );
        assert!(kept.targets[0].statistical.has(kind), "{}", kind.name());
    }
    let ensemble = target.ensemble.as_ref().expect("an ensemble");
    assert!(
        asked
            .iter()
            .all(|kind| !ensemble.weights.contains_key(kind)),
        "they are no members"
    );
}

#[test]
fn nobody_asks_for_them_by_default() {
    let model = trained(&host(6));
    assert!(model.manifest().extra_networks.is_empty());
    assert_eq!(model.weights().expect("readable").len(), 1);
    let scores = &model.manifest().targets[0].scores;
    assert!(!scores.contains_key(&ModelKind::Tcn) && !scores.contains_key(&ModelKind::Attention));
    let asked = ModelKind::STATISTICAL_EXTRA;
    assert!(asked.iter().all(|kind| !scores.contains_key(kind)));
}

#[test]
fn the_registry_keeps_every_network_and_the_same_answers_come_back() {
    let request = request();
    let model = trained(&request);
    let folder = tempfile::tempdir().expect("a folder");
    let registry = Registry::open(folder.path()).expect("a registry");
    let version = registry.publish(&model).expect("room on the disk");
    let loaded = registry.load("web-1").expect("readable").expect("a model");
    assert!(loaded.passed_over.is_empty());
    let kinds = |model: &HostModel| -> Vec<(EncoderKind, usize)> {
        let networks = model.manifest().networks();
        networks
            .map(|entry| (entry.shape.encoder, entry.parameters))
            .collect()
    };
    assert_eq!(kinds(&loaded.model), kinds(&model));
    assert_eq!(
        loaded.model.weights().expect("readable"),
        model.weights().expect("readable")
    );
    let recent = recent(&request);
    for (loaded, published) in predict(&loaded.model, &recent, 96)
        .iter()
        .zip(predict(&model, &recent, 96))
    {
        let loaded = loaded.as_ref().expect("a forecast");
        let published = published.expect("a forecast");
        assert_eq!(loaded.model, published.model);
        let pairs = loaded.path.median().iter().zip(published.path.median());
        for (one, other) in pairs {
            // JSON parses a double to within its last digit.
            assert!(
                (one - other).abs() <= 1e-12 * other.abs(),
                "{one} and {other}"
            );
        }
    }

    let file = folder.path().join("web-1").join(version);
    std::fs::remove_file(file.join("weights-tcn.safetensors")).expect("it is there");
    let error = registry.load("web-1").expect_err("a network is missing");
    assert!(error.to_string().contains("tcn"), "{error}");
}

#[test]
fn weights_of_a_kind_that_the_manifest_does_not_name_are_refused() {
    let model = trained(&host(6));
    let mut weights = model.weights().expect("readable");
    weights.insert(EncoderKind::Tcn, Vec::new());
    let error = HostModel::from_parts(model.manifest().clone(), &weights, Device::Cpu);
    assert!(matches!(
        error,
        Err(ModelError::WeightsUnasked {
            kind: EncoderKind::Tcn
        })
    ));
}

#[test]
fn a_base_of_a_kind_survives_its_file() {
    let request = request();
    let folder = tempfile::tempdir().expect("a folder");
    let registry = Registry::open(folder.path()).expect("a registry");
    for base in [&request.base].into_iter().chain(&request.extra) {
        assert_eq!(registry.load_base(base.encoder()).expect("readable"), None);
        registry.publish_base(base).expect("room on the disk");
        let kept: Arc<Base> = Arc::new(
            registry
                .load_base(base.encoder())
                .expect("readable")
                .expect("a base"),
        );
        assert!(kept.is_like(base) && kept.is_taught());
        assert_eq!(kept.parameters(), base.parameters());
    }
}
