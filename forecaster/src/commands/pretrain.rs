//! `pretrain`: makes a base, of synthetic series and of the training parts of real ones.

use std::{collections::HashMap, fs, path::Path, sync::Arc, time::Instant};

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use super::progress::Shown;
use crate::{
    config::Pretraining,
    corpus,
    evaluation::{self, Files},
    grid::Grid,
    model::{Base, Shape},
    progress::{Event, Progress},
    target::{Target, TargetRule},
    training::{
        Budget, Recipe, TrainRequest,
        fleet::{self, Effort},
        synthetic,
    },
    version::CODE_VERSION,
};

impl Progress for Shown {
    fn report(&self, event: Event) {
        if let Event::Fitted {
            training_loss,
            validation_loss,
            ..
        } = event
        {
            self.done(&format!(
                "loss {training_loss:.4}, on what comes later {validation_loss:.4}"
            ));
        }
    }
}

/// Makes a base and writes it.
///
/// # Errors
///
/// When a folder cannot be read, there is nothing to learn from, or the base cannot be written.
pub fn pretrain(pretraining: &Pretraining) -> anyhow::Result<()> {
    let begun = Instant::now();
    let untaught = Base::untaught(Shape::of(pretraining.encoder), pretraining.seed)?;
    let untaught = Arc::new(untaught.on(pretraining.device));
    let mut hosts = synthetic_hosts(pretraining);
    for folder in &pretraining.folders {
        hosts.extend(real_hosts(folder, pretraining)?);
    }
    let requests: Vec<TrainRequest> = hosts
        .into_iter()
        .map(|(host, targets)| TrainRequest {
            host,
            targets,
            seed: pretraining.seed,
            trained_at_s: 0,
            budget: Budget::default(),
            base: Arc::clone(&untaught),
            extra: Vec::new(),
            recipe: Recipe::default(),
            champion: None,
        })
        .collect();
    let series: usize = requests.iter().map(|request| request.targets.len()).sum();
    let effort = Effort {
        windows_per_series: pretraining.windows.div_ceil(series.max(1)),
        windows_max: pretraining.windows,
        ..Effort::default()
    };
    let shown = Shown::new("pass", fleet::PASSES as u64);
    let cancelled = CancellationToken::new();
    let base = fleet::fit_base(
        &untaught,
        &requests,
        effort,
        pretraining.seed,
        &shown,
        &cancelled,
    )?
    .context("there is no series to learn from; name a folder, or ask for synthetic ones")?
    .without_rows()?;
    let bytes = base.to_bytes(HashMap::from([
        ("seed".to_owned(), pretraining.seed.to_string()),
        ("windows".to_owned(), pretraining.windows.to_string()),
        (
            "synthetic_series".to_owned(),
            pretraining.synthetic.to_string(),
        ),
        ("model".to_owned(), pretraining.encoder.name().to_owned()),
        ("datasets".to_owned(), pretraining.datasets.join(",")),
        ("code_version".to_owned(), CODE_VERSION.to_owned()),
    ]))?;
    fs::write(&pretraining.out, &bytes)
        .with_context(|| format!("cannot write {}", pretraining.out.display()))?;
    println!(
        "{}: {} parameters, {} bytes, of {series} series ({} synthetic), in {:.1} s",
        pretraining.out.display(),
        base.parameters(),
        bytes.len(),
        pretraining.synthetic,
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}

/// A host's name, and its series.
type Series = (String, Vec<(Target, Grid)>);

/// Reads the series of a folder: of an evaluation their training parts, of anything else all that there is.
fn real_hosts(folder: &Path, pretraining: &Pretraining) -> anyhow::Result<Vec<Series>> {
    let files = Files::of_folder(folder);
    let mut hosts: Vec<Series> = if files.are_there() {
        let hosts = evaluation::read(&files, evaluation::SCOPE_OF_ALL)?;
        let parts = hosts
            .iter()
            .map(|host| (host.host.clone(), host.training_parts()));
        parts.collect()
    } else {
        let corpus = corpus::read(folder)?;
        for path in &corpus.passed_over {
            eprintln!("passed over: {}", path.display());
        }
        let hosts = corpus.hosts.into_iter();
        hosts.map(|host| (host.host, host.targets)).collect()
    };
    let names = &pretraining.datasets;
    hosts.retain(|(host, _)| {
        let dataset = host.split('|').next().unwrap_or_default();
        names.is_empty() || names.iter().any(|name| name == dataset)
    });
    let series: usize = hosts.iter().map(|(_, targets)| targets.len()).sum();
    eprintln!(
        "{}: {series} series of {} hosts",
        folder.display(),
        hosts.len()
    );
    Ok(hosts)
}

/// Draws synthetic series, each a host of its own: they have nothing in common but their nature.
fn synthetic_hosts(pretraining: &Pretraining) -> Vec<Series> {
    let draw = |number: usize| {
        let seed = pretraining
            .seed
            .wrapping_mul(1_000_003)
            .wrapping_add(number as u64);
        let (kind, grid) = synthetic::series(seed);
        let rule = TargetRule::new("synthetic", "synthetic", "value", kind);
        let target: Target = Arc::new(rule).target(&[].into());
        (format!("synthetic-{number}"), vec![(target, grid)])
    };
    (0..pretraining.synthetic).map(draw).collect()
}
