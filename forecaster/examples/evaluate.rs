//! Trains every host of an evaluation folder, and writes forecasts for its windows, for a scoring program to
//! judge.
//!
//! `cargo run --release -p headroom-forecaster --example evaluate -- FOLDER OUT.csv [SCOPE] [HOSTS]`, where
//! HOSTS is a part of a host's name. Uses every core; the answers do not depend on how many there are.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use anyhow::{Context, Result};
use headroom_forecaster::{
    backtest::Scores,
    evaluation::{self, EvaluatedHost},
    manifest::{Manifest, ModelKind},
    model::HostModel,
    training::{Budget, train_host},
};
use tokio_util::sync::CancellationToken;

const SEED: u64 = 1;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, folder, out, more @ ..] = arguments.as_slice() else {
        anyhow::bail!("usage: evaluate FOLDER OUT.csv [SCOPE] [HOSTS]");
    };
    let scope = more.first().map_or("core", String::as_str);
    let named = more.get(1).map_or("", String::as_str);
    let mut hosts = evaluation::read(Path::new(folder), scope)?;
    hosts.retain(|host| host.host.contains(named));

    let file = File::create(out).with_context(|| format!("cannot write {out}"))?;
    let mut writer = BufWriter::new(file);
    evaluation::write_head(&mut writer)?;
    let writer = Mutex::new(writer);
    let next = AtomicUsize::new(0);
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..cores)
            .map(|_| {
                scope.spawn(|| {
                    while let Some(host) = hosts.get(next.fetch_add(1, Ordering::Relaxed)) {
                        evaluate(host, &writer)?;
                    }
                    Ok(())
                })
            })
            .collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().expect("a worker returns its errors"))
    })
}

fn evaluate(host: &EvaluatedHost, writer: &Mutex<BufWriter<File>>) -> Result<()> {
    let begun = Instant::now();
    let request = host.train_request(SEED, Budget::default());
    let model = train_host(&request, &(), &CancellationToken::new())?;
    let seconds = begun.elapsed().as_secs_f64();
    write(host, &model, writer)?;
    eprintln!(
        "{}: {}, {seconds:.1} s",
        host.host,
        summary(model.manifest())
    );
    Ok(())
}

fn write(host: &EvaluatedHost, model: &HostModel, writer: &Mutex<BufWriter<File>>) -> Result<()> {
    let mut writer = writer.lock().expect("no writer panicked");
    for forecast in host.forecasts(model) {
        forecast.write(&mut *writer)?;
    }
    Ok(writer.flush()?)
}

fn summary(manifest: &Manifest) -> String {
    let ratio = |kind: ModelKind, error: fn(&Scores) -> f64| {
        let logs: Vec<f64> = manifest
            .targets
            .iter()
            .filter_map(|target| {
                let naive = error(target.scores.get(&ModelKind::SeasonalNaiveDay)?);
                let own = error(target.scores.get(&kind)?);
                (naive > 0.0 && own > 0.0).then(|| (own / naive).ln())
            })
            .collect();
        (logs.iter().sum::<f64>() / logs.len().max(1) as f64).exp()
    };
    let served = manifest
        .targets
        .iter()
        .filter(|target| target.serves == ModelKind::Lstm)
        .count();
    format!(
        "lstm serves {served} of {} targets; in the backtest its MAE is {:.3} and its RMSE {:.3} of seasonal naive's",
        manifest.targets.len(),
        ratio(ModelKind::Lstm, |scores| scores.mae),
        ratio(ModelKind::Lstm, |scores| scores.rmse)
    )
}
