//! `pretrain`: makes a base, of synthetic series and of the training parts of real ones.

use std::{collections::HashMap, fs, path::PathBuf, sync::Arc, time::Instant};

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use super::progress::Shown;
use crate::{
    evaluation::{self, Files},
    model::{Base, Shape},
    target::{Target, TargetRule},
    training::{
        Budget, Event, Progress, Recipe, TrainRequest,
        fleet::{self, Effort},
        synthetic,
    },
};

/// The sizes of the network: what a request for ten targets affords within its few milliseconds.
const SHAPE: Shape = Shape {
    series: 0,
    hidden: 64,
    decoder: 128,
};

/// A base that is to be made.
#[derive(Debug, Clone)]
pub struct Pretraining {
    /// How many synthetic series are drawn.
    pub synthetic: usize,
    /// Folders of real series, of an evaluation's form.
    pub folders: Vec<PathBuf>,
    /// The data sets of the folders that are learned from; all where none is named.
    pub datasets: Vec<String>,
    /// The windows that are drawn.
    pub windows: usize,
    /// The seed of everything random.
    pub seed: u64,
    /// Where the base goes.
    pub out: PathBuf,
}

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
    let untaught = Arc::new(Base::untaught(SHAPE, pretraining.seed)?);
    let mut requests = synthetic_hosts(pretraining, &untaught);
    for folder in &pretraining.folders {
        let hosts = evaluation::read(&Files::of_folder(folder), evaluation::SCOPE_OF_ALL)?;
        let chosen = |host: &str| {
            let dataset = host.split('|').next().unwrap_or_default();
            pretraining.datasets.is_empty() || pretraining.datasets.iter().any(|d| d == dataset)
        };
        let plan = evaluation::Plan {
            served: evaluation::Served::Best,
            seed: pretraining.seed,
            base: Arc::clone(&untaught),
            recipe: Recipe::default(),
            budget: Budget::default(),
            effort: Effort::default(),
        };
        let hosts = hosts.iter().filter(|host| chosen(&host.host));
        requests.extend(hosts.map(|host| host.train_request(&plan, &untaught)));
    }
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
        ("datasets".to_owned(), pretraining.datasets.join(",")),
        (
            "code_version".to_owned(),
            env!("CARGO_PKG_VERSION").to_owned(),
        ),
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

/// Draws synthetic series, each a host of its own: they have nothing in common but their nature.
fn synthetic_hosts(pretraining: &Pretraining, base: &Arc<Base>) -> Vec<TrainRequest> {
    let draw = |number: usize| {
        let seed = pretraining
            .seed
            .wrapping_mul(1_000_003)
            .wrapping_add(number as u64);
        let (kind, grid) = synthetic::series(seed);
        let rule = TargetRule::new("synthetic", "synthetic", "value", kind);
        let target: Target = Arc::new(rule).target(&[].into());
        TrainRequest {
            host: format!("synthetic-{number}"),
            targets: vec![(target, grid)],
            seed: pretraining.seed,
            trained_at_s: 0,
            budget: Budget::default(),
            base: Arc::clone(base),
            recipe: Recipe::default(),
        }
    };
    (0..pretraining.synthetic).map(draw).collect()
}
