//! Models on disk: what survives, what is passed over, and what is never left half done.

use std::{fs, path::PathBuf};

use headroom_forecaster::{
    forecast::predict,
    host_model::HostModel,
    registry::{Alias, Registry, RegistryError, VERSIONS_KEPT},
    training::{TrainRequest, train_host},
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::support::histories::{host, recent};

struct Bench {
    folder: TempDir,
    registry: Registry,
    request: TrainRequest,
    model: HostModel,
}

impl Bench {
    fn new(host_name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut request = host(6);
        host_name.clone_into(&mut request.host);
        let model = train_host(&request, &(), &CancellationToken::new()).expect("a model");
        Self {
            registry: Registry::open(&folder.path().join("registry")).expect("a registry"),
            folder,
            request,
            model,
        }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join("registry/web-1").join(below)
    }
}

#[test]
fn a_published_model_answers_the_same_after_a_restart() {
    let bench = Bench::new("web-1");
    let version = bench
        .registry
        .publish(&bench.model)
        .expect("room on the disk");
    let reopened = Registry::open(&bench.folder.path().join("registry")).expect("a registry");
    let loaded = reopened.load("web-1").expect("readable").expect("a model");
    assert_eq!(loaded.version, version);
    assert!(loaded.passed_over.is_empty());
    assert_eq!(
        loaded.model.weights().expect("readable"),
        bench.model.weights().expect("readable")
    );
    let recent = recent(&bench.request);
    for (loaded, published) in
        predict(&loaded.model, &recent, 96)
            .iter()
            .zip(predict(&bench.model, &recent, 96))
    {
        let (loaded, published) = (
            loaded.as_ref().expect("a forecast"),
            published.expect("one"),
        );
        assert_eq!(loaded.model, published.model);
        for (one, other) in loaded
            .path
            .levels()
            .iter()
            .flatten()
            .zip(published.path.levels().iter().flatten())
        {
            // JSON parses a double to within its last digit.
            assert!(
                (one - other).abs() <= 1e-12 * other.abs(),
                "{one} against {other}"
            );
        }
    }
    assert_eq!(reopened.hosts().expect("readable"), ["web-1"]);
    assert!(reopened.load("web-2").expect("readable").is_none());
}

#[test]
fn a_damaged_version_is_passed_over_and_the_one_before_serves() {
    let bench = Bench::new("web-1");
    let first = bench.registry.publish(&bench.model).expect("published");
    let second = bench.registry.publish(&bench.model).expect("published");
    let third = bench.registry.publish(&bench.model).expect("published");
    let weights = bench.path(&third).join("weights.safetensors");
    let mut bytes = fs::read(&weights).expect("weights");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&weights, bytes).expect("written");
    fs::write(bench.path(&second).join("manifest.json"), "{\"format\": 1").expect("written");

    let loaded = bench
        .registry
        .load("web-1")
        .expect("readable")
        .expect("a model");
    assert_eq!(loaded.version, first);
    let reasons: Vec<String> = loaded
        .passed_over
        .iter()
        .map(|(version, error)| format!("{version}: {error}"))
        .collect();
    assert!(
        reasons[0].contains("SHA-256") && reasons[0].starts_with(&third),
        "{reasons:?}"
    );
    assert!(reasons[1].contains("does not parse"), "{reasons:?}");
    assert_eq!(bench.registry.list("web-1").expect("readable").len(), 2);
}

#[test]
fn a_host_without_any_readable_version_says_why() {
    let bench = Bench::new("web-1");
    let version = bench.registry.publish(&bench.model).expect("published");
    fs::remove_file(bench.path(&version).join("weights.safetensors")).expect("removed");
    let error = bench.registry.load("web-1").expect_err("nothing to read");
    assert!(matches!(
        error,
        RegistryError::NothingReadable { versions: 1, .. }
    ));
    assert!(error.to_string().contains("retrain the host"), "{error}");
}

#[test]
fn a_publication_that_was_cut_off_leaves_the_champion() {
    let bench = Bench::new("web-1");
    let version = bench.registry.publish(&bench.model).expect("published");
    let unfinished = bench.path(".new-000002");
    fs::create_dir(&unfinished).expect("made");
    fs::write(unfinished.join("manifest.json"), "{").expect("written");
    let loaded = bench
        .registry
        .load("web-1")
        .expect("readable")
        .expect("a model");
    assert_eq!(loaded.version, version);
    let next = bench.registry.publish(&bench.model).expect("published");
    assert_eq!(next, "000002");
    assert!(!unfinished.exists());
}

#[test]
fn only_the_newest_versions_are_kept() {
    let bench = Bench::new("web-1");
    for _ in 0..VERSIONS_KEPT + 2 {
        bench.registry.publish(&bench.model).expect("published");
    }
    let entries = bench.registry.list("web-1").expect("readable");
    let versions: Vec<_> = entries.iter().map(|entry| entry.version.as_str()).collect();
    assert_eq!(versions, ["000007", "000006", "000005", "000004", "000003"]);
    assert_eq!(
        (entries[0].alias, entries[1].alias),
        (Some(Alias::Champion), None)
    );
}

#[test]
fn a_host_is_stored_inside_the_registry_whatever_its_name() {
    let bench = Bench::new("../../étoile/\0");
    bench.registry.publish(&bench.model).expect("published");
    let root = bench.folder.path().join("registry");
    let names: Vec<_> = fs::read_dir(&root)
        .expect("readable")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("plain text")
        })
        .collect();
    assert_eq!(names, ["%2e.%2f..%2f%c3%a9toile%2f%00"]);
    assert_eq!(
        bench.registry.hosts().expect("readable"),
        ["../../étoile/\0"]
    );
    assert!(
        bench
            .registry
            .load("../../étoile/\0")
            .expect("readable")
            .is_some()
    );
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("registry");
    fs::write(&file, "not a folder").expect("written");
    let message = Registry::open(&file).expect_err("not a folder").to_string();
    assert!(
        message.contains("registry") && message.contains("must exist"),
        "{message}"
    );
}

#[test]
fn an_earlier_version_serves_again_and_outlives_the_pruning() {
    let bench = Bench::new("web-1");
    let publish = |alias| {
        bench
            .registry
            .publish_as(&bench.model, alias)
            .expect("room on the disk")
    };
    let first = publish(Alias::Champion);
    let second = publish(Alias::Champion);
    bench.registry.promote("web-1", &first).expect("a rollback");
    let served = bench
        .registry
        .load("web-1")
        .expect("readable")
        .expect("a model")
        .version;
    assert_eq!(served, first);
    let challenger = publish(Alias::Challenger);
    let served = bench
        .registry
        .load("web-1")
        .expect("readable")
        .expect("a model")
        .version;
    assert_eq!(served, first, "a challenger does not serve");
    for version in [&first, &challenger] {
        let refused = bench.registry.remove("web-1", version).expect_err("in use");
        assert!(
            matches!(refused, RegistryError::VersionInUse { .. }),
            "{refused}"
        );
    }
    bench
        .registry
        .remove("web-1", &second)
        .expect("nobody needs it");
    let unknown = bench.registry.promote("web-1", &second).expect_err("gone");
    assert!(unknown.to_string().contains("000001, 000003"), "{unknown}");
    for _ in 0..VERSIONS_KEPT + 2 {
        publish(Alias::Challenger);
    }
    let entries = bench.registry.list("web-1").expect("readable");
    assert_eq!(
        (entries[0].alias, entries.last().expect("versions").alias),
        (Some(Alias::Challenger), Some(Alias::Champion))
    );
    bench
        .registry
        .promote("web-1", &entries[0].version)
        .expect("a promotion");
    let aliases: Vec<_> = bench
        .registry
        .list("web-1")
        .expect("readable")
        .iter()
        .filter_map(|entry| entry.alias)
        .collect();
    assert_eq!(aliases, [Alias::Champion]);
}

#[test]
fn the_errors_of_a_training_outlive_its_version() {
    let bench = Bench::new("web-1");
    for _ in 0..VERSIONS_KEPT + 2 {
        bench
            .registry
            .publish(&bench.model)
            .expect("room on the disk");
    }
    let trainings = bench.registry.trainings("web-1").expect("readable");
    assert_eq!(trainings.len(), VERSIONS_KEPT + 2);
    let cpu = trainings[0].of("cpu.usage").expect("a backtest");
    let scores = bench.model.manifest().targets[0]
        .served_scores()
        .expect("a backtest")
        .clone();
    assert_eq!(cpu.version, "000001");
    // JSON is read back to the last digit but one.
    assert!((cpu.mae - scores.mae).abs() < 1e-12);
    assert!((cpu.rmse - scores.rmse).abs() < 1e-12);
    fs::write(bench.path("trainings.json"), "{").expect("written");
    assert_eq!(bench.registry.trainings("web-1").expect("readable"), []);
}
