//! `backtest`: judges the forecasts on history, by the same code that serves.
//!
//! With files it forecasts the windows of a fixed evaluation, for a scoring program; with a host it reads that
//! host's history from a running gateway, and shows the scores and the newest horizon beside what came.

use std::{collections::BTreeMap, fs, fs::File, sync::Arc, time::Instant};

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use super::{plot, progress::Shown};
use crate::{
    backtest::Scores,
    clock::{Clock, SystemClock},
    config::{Evaluation, Served, Settings, TrainingSettings},
    evaluation::{self, Evaluated, Files, Form, Outcome, Plan, Watch, WithoutModel},
    fleet::Fleet,
    forecast::predict,
    gateway::Gateway,
    grid::{Grid, STEP_S},
    history::{self, Span},
    manifest::TargetModel,
    model::{Base, Shape},
    model_kind::{EncoderKind, ModelKind},
    progress::{Event, Progress},
    quantile::HORIZON_STEPS,
    target::Target,
    training::{
        Budget, ExtraModel, Recipe, TrainRequest,
        fleet::{self, Effort},
        read_base, train_host,
    },
};

/// Shows the passes over the fleet, then the hosts.
struct Steps {
    fleet: Shown,
    hosts: Shown,
}

impl Progress for Steps {
    fn report(&self, event: Event) {
        if let Event::Fitted { training_loss, .. } = event {
            self.fleet.done(&format!("loss {training_loss:.4}"));
        }
    }
}

impl Watch for Steps {
    fn host_done(&self, host: &str) {
        self.hosts.done(host);
    }
}

/// Forecasts the windows of an evaluation, and writes them.
///
/// # Errors
///
/// When the files cannot be read or written. A training that breaks off concerns its host alone.
pub fn of_files(evaluation: &Evaluation) -> anyhow::Result<()> {
    let begun = Instant::now();
    let files = Files {
        series: evaluation.series.clone(),
        windows: evaluation.windows.clone(),
    };
    let hosts = evaluation::read(&files, &evaluation.scope)?;
    let hosts = evaluation::sample(hosts, evaluation.every);
    let out = File::create(&evaluation.out)
        .with_context(|| format!("cannot write {}", evaluation.out.display()))?;
    let asked = hosts.iter().filter(|host| host.is_asked()).count();
    let plan = plan(evaluation)?;
    let passes = fleet::PASSES * (1 + plan.extra.len());
    let steps = Steps {
        fleet: Shown::new("pass over the fleet", passes as u64),
        hosts: Shown::new("host", asked as u64),
    };
    let evaluated = evaluation::run(&hosts, &plan, &steps)?;
    let outcomes = &evaluated.outcomes;
    let broken = told(&evaluated);
    let forecasts: Vec<_> = outcomes
        .iter()
        .flat_map(|outcome| outcome.forecasts.iter().cloned())
        .collect();
    Form::of(&evaluation.out).write(out, &forecasts)?;
    println!(
        "{} windows of {asked} hosts in {}: {}",
        forecasts.len(),
        evaluation.out.display(),
        shares(outcomes)
    );
    if !broken.is_empty() {
        println!(
            "answered by a base, since their training broke off: {}",
            broken.join(", ")
        );
    }
    println!(
        "{:.1} s, peak memory {}",
        begun.elapsed().as_secs_f64(),
        peak_memory().map_or_else(|| "unknown".to_owned(), |mb| format!("{mb:.0} MB"))
    );
    Ok(())
}

/// Says on stderr what could not be trained, and returns the hosts whose training broke off.
fn told(evaluated: &Evaluated) -> Vec<&str> {
    for reason in &evaluated.untaught {
        eprintln!("the fleet's base could not be fitted, and what it begins from serves: {reason}");
    }
    let mut broken = Vec::new();
    for outcome in &evaluated.outcomes {
        let host = outcome.host.as_str();
        match &outcome.without_model {
            Some(WithoutModel::Refused(reason)) => eprintln!("{host} has no model: {reason}"),
            Some(WithoutModel::BrokeOff(reason)) => {
                eprintln!("{host} has no model, and the base answers for it: {reason}");
                broken.push(host);
            }
            None => {}
        }
    }
    broken
}

/// Returns the kind of network that is fitted first: the one that is to answer, else the LSTM.
fn network(evaluation: &Evaluation) -> EncoderKind {
    match evaluation.served {
        Served::Only(kind) => kind.encoder().unwrap_or_default(),
        Served::Best => EncoderKind::default(),
    }
}

fn plan(evaluation: &Evaluation) -> anyhow::Result<Plan> {
    let own = network(evaluation);
    let base = match &evaluation.base {
        Some(path) => read_base(path, own)?,
        None if own == EncoderKind::Lstm => Base::shipped()?,
        None => Base::untaught(Shape::of(own), evaluation.seed)?,
    };
    let (networks, statistical) = ExtraModel::apart(&evaluation.extra);
    let beside = networks.iter().filter(|network| network.kind != own);
    let extra = beside.map(|network| network.base(evaluation.seed, evaluation.device));
    let served = match evaluation.served {
        Served::Only(kind) if ModelKind::STATISTICAL_EXTRA.contains(&kind) => Some(kind),
        _ => None,
    };
    Ok(Plan {
        served: evaluation.served,
        seed: evaluation.seed,
        base: Arc::new(base.on(evaluation.device)),
        extra: extra.collect::<Result<_, _>>()?,
        recipe: Recipe::without(&evaluation.without).with(statistical.into_iter().chain(served)),
        budget: Budget::default(),
        effort: Effort::default(),
        train: train_host,
    })
}

/// Says how many windows each kind of model answered.
fn shares(outcomes: &[Outcome]) -> String {
    let mut windows: BTreeMap<ModelKind, usize> = BTreeMap::new();
    for forecast in outcomes.iter().flat_map(|outcome| &outcome.forecasts) {
        *windows.entry(forecast.model).or_default() += 1;
    }
    let shares: Vec<String> = windows
        .iter()
        .map(|(kind, windows)| format!("{} {windows}", kind.name()))
        .collect();
    shares.join(", ")
}

/// Returns the most memory that the process held, in megabytes; `None` where the system does not tell.
fn peak_memory() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes / 1024.0)
}

/// Judges one target of a host on what the gateway holds: a table of scores on rolling origins, and a plot of the
/// newest horizon, which the model that is plotted never saw.
///
/// # Errors
///
/// When the gateway cannot be read, knows no such host or target, or the history is too short to train on.
pub async fn of_host(settings: &Settings, host: &str, metric: &str) -> anyhow::Result<()> {
    let (target, grid) = read(settings, host, metric).await?;
    let (host, training) = (host.to_owned(), settings.training.clone());
    let shown =
        tokio::task::spawn_blocking(move || judged(host, &target, &grid, &training)).await??;
    print!("{shown}");
    Ok(())
}

async fn read(settings: &Settings, host: &str, metric: &str) -> anyhow::Result<(Target, Grid)> {
    let gateway = Arc::new(Gateway::new(settings.gateway.clone())?);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let rules = settings.forecasting.rules.clone();
    let fleet = Fleet::new(rules, Arc::clone(&gateway), Arc::clone(&clock));
    let hosts = fleet.refresh().await?;
    let known = hosts.get(host).with_context(|| {
        let names: Vec<&str> = hosts.keys().map(String::as_str).collect();
        format!(
            "no host {host:?} has sent anything lately; there are {}",
            names.join(", ")
        )
    })?;
    let target = known.target(metric).cloned().with_context(|| {
        let names: Vec<&str> = known
            .targets
            .iter()
            .map(|target| target.metric.as_str())
            .collect();
        format!(
            "host {host:?} has no target {metric:?}; it has {}",
            names.join(", ")
        )
    })?;
    let steps = settings.training.history_days as usize * 86_400 / STEP_S as usize;
    let span = Span::before(clock.now_s(), steps);
    let mut grids = history::read(&gateway, host, &[target], span).await?;
    grids
        .pop()
        .context("the gateway answered without a history")
}

fn judged(
    host: String,
    target: &Target,
    grid: &Grid,
    settings: &TrainingSettings,
) -> anyhow::Result<String> {
    let extra = settings.extra.iter();
    let extra = extra.map(|extra| extra.base(settings.seed, settings.device));
    let grid = grid.trimmed();
    let known = grid.values.len().saturating_sub(HORIZON_STEPS);
    let (before, came) = grid.values.split_at(known);
    let before = Grid {
        values: before.to_vec(),
        ..grid
    };
    let request = TrainRequest {
        host,
        targets: vec![(target.clone(), before.clone())],
        seed: settings.seed,
        trained_at_s: before.end_s(),
        budget: Budget::default(),
        base: Arc::new(Base::shipped()?.on(settings.device)),
        extra: extra.collect::<Result<_, _>>()?,
        recipe: Recipe::default().with(settings.statistical.iter().copied()),
        champion: None,
    };
    let model = train_host(&request, &(), &CancellationToken::new())?;
    let forecast = predict(&model, &[(target.clone(), before.clone())], HORIZON_STEPS)
        .pop()
        .context("the model knows no target")??;
    let known = model
        .manifest()
        .target(&target.metric)
        .context("the target was refused")?;
    let plot = plot::of_forecast(&before.values, came, &forecast.path);
    Ok(format!(
        "{}\nthe newest eight hours of {}, forecast by {} from what lay before them:\n\n{plot}",
        table(known),
        target.metric,
        forecast.model.name(),
    ))
}

fn table(target: &TargetModel) -> String {
    let mut table = format!(
        "{:<24} {:>10} {:>10} {:>7} {:>10} {:>6} {:>6} {:>7} {:>8}\n",
        "model", "MAE", "RMSE", "MASE", "CRPS", "80 %", "95 %", "skill", "origins"
    );
    for (kind, scores) in &target.scores {
        let serves = if *kind == target.serves { " *" } else { "" };
        table.push_str(&row(&format!("{}{serves}", kind.name()), scores));
    }
    table.push_str("* serves\n");
    table
}

fn row(name: &str, scores: &Scores) -> String {
    let or_dash = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |v| format!("{v:.3}"));
    format!(
        "{name:<24} {:>10.4} {:>10.4} {:>7} {:>10.4} {:>6.1} {:>6.1} {:>7} {:>8}\n",
        scores.mae,
        scores.rmse,
        or_dash(scores.mase),
        scores.crps,
        100.0 * scores.coverage80,
        100.0 * scores.coverage95,
        or_dash(scores.skill),
        scores.n_origins
    )
}
