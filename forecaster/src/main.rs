//! The forecaster's command line.

use std::{io::IsTerminal, process::ExitCode};

use anyhow::Context;
use clap::Parser;
use headroom_forecaster::{
    commands,
    config::{Backtest, Cli, Command, Judged, LogFormat, Settings},
    openapi,
    service::{self, Parts},
};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("headroom-forecaster: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("another TLS provider is installed already"))?;
    match cli.command {
        Some(Command::Openapi) => print!("{}", openapi::rendered()?),
        Some(Command::Backtest(flags)) => backtest(*flags).await?,
        Some(Command::Pretrain(flags)) => {
            let pretraining = (*flags).into();
            tokio::task::spawn_blocking(move || commands::pretrain::pretrain(&pretraining))
                .await??;
        }
        _ => serve(cli.settings()?).await?,
    }
    Ok(())
}

async fn backtest(flags: Backtest) -> anyhow::Result<()> {
    match flags.judged()? {
        Judged::Files(evaluation) => {
            tokio::task::spawn_blocking(move || commands::backtest::of_files(&evaluation)).await?
        }
        Judged::Host {
            settings,
            host,
            metric,
        } => commands::backtest::of_host(&settings, &host, &metric).await,
    }
}

async fn serve(settings: Settings) -> anyhow::Result<()> {
    log(settings.log_format);
    let mut terminated = signal(SignalKind::terminate()).context("SIGTERM cannot be heard")?;
    let running = service::start(settings, Parts::real())?;
    tokio::select! {
        _ = terminated.recv() => {}
        outcome = tokio::signal::ctrl_c() => outcome.context("Ctrl-C cannot be heard")?,
    }
    tracing::info!("stopping: requests under way are finished first");
    running.stop().await;
    Ok(())
}

/// Logs to stderr: `RUST_LOG` says what, the setting how.
fn log(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("info,tracing_actix_web=warn"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
}
