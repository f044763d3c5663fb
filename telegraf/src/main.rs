//! The simulator's command line; `headroom-simulator --help` says the rest.

use std::{process::ExitCode, sync::Arc, time::Instant};

use anyhow::Context;
use clap::Parser;
use headroom_simulator::{
    backfill::{self, Span},
    cli::{Cli, Command, FleetArgs, ReplayArgs},
    fleet,
    host::Host,
    lines::Agent,
    live,
    push::{Gateway, Summary},
    replay::{self, Precision, Recording},
};
use tokio_util::sync::CancellationToken;

/// Bad lines of a recording that are shown.
const BAD_LINES_SHOWN: usize = 5;

#[tokio::main]
async fn main() -> ExitCode {
    // The only failure is a provider that was installed before, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cli = Cli::parse();
    let cancelled = CancellationToken::new();
    tokio::spawn(cancel_on_signal(cancelled.clone()));
    let outcome = match cli.command {
        Command::Fleet(args) => run_fleet(args, &cancelled).await,
        Command::Replay(args) => run_replay(args, &cancelled).await,
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("headroom-simulator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run_fleet(args: FleetArgs, cancelled: &CancellationToken) -> anyhow::Result<ExitCode> {
    let hosts = match &args.fleet_file {
        Some(path) => fleet::read(path)?,
        None => fleet::numbered(args.hosts.min(fleet::HOSTS_MAX + 1), &args.profiles),
    };
    let hosts = fleet::assemble(hosts, &args.scenarios)?;
    let now_s = args.now.map_or_else(live::now_s, |now| now.timestamp());
    for host in hosts.iter().filter(|host| !host.scenarios.is_empty()) {
        let scenarios: Vec<String> = host.scenarios.iter().map(ToString::to_string).collect();
        eprintln!("{}: {}", host.name, scenarios.join("; "));
    }
    let mut agents: Vec<Agent> = hosts
        .iter()
        .map(|spec| Agent::new(Host::new(spec, args.seed, now_s)))
        .collect();
    let gateway = Gateway::new(args.gateway.destination(Precision::Ns))?;
    let batch_lines = args.gateway.batch_lines() as u64;
    let mut code = ExitCode::SUCCESS;
    if args.days > 0.0 {
        let span = Span {
            from_s: now_s - (args.days * 86400.0) as i64,
            through_s: now_s,
            step_s: args.step,
        };
        let began = Instant::now();
        let (after, summary) =
            backfill::run(agents, span, batch_lines, &gateway, cancelled).await?;
        agents = after;
        code = report("backfill", &summary, began);
    }
    if !args.no_live && !cancelled.is_cancelled() {
        let pushed =
            live::run(agents, args.live_interval, batch_lines, &gateway, cancelled).await?;
        println!("live: {pushed} lines");
    }
    Ok(code)
}

async fn run_replay(args: ReplayArgs, cancelled: &CancellationToken) -> anyhow::Result<ExitCode> {
    let per_second = args.precision.per_second();
    let now = args.now.map_or_else(live::now_s, |now| now.timestamp());
    let now = now
        .checked_mul(per_second)
        .context("--now is out of range; an instant between 1678 and 2261 is right")?;
    let began = Instant::now();
    let mut recording = Recording::parse(replay::read(&args.file)?)?;
    recording.move_to(now, args.align_hosts)?;
    if args.speed != replay::Speed::Max {
        recording.sort();
    }
    for bad in recording.bad.iter().take(BAD_LINES_SHOWN) {
        eprintln!("replay: left out {bad}");
    }
    eprintln!(
        "replay: {} lines of {} hosts, {} left out",
        recording.len(),
        recording.hosts(),
        recording.bad.len()
    );
    let some_bad = !recording.bad.is_empty();
    let gateway = Gateway::new(args.gateway.destination(args.precision))?;
    let summary = replay::run(
        Arc::new(recording),
        args.speed,
        per_second,
        args.gateway.batch_lines(),
        &gateway,
        cancelled,
    )
    .await?;
    let code = report("replay", &summary, began);
    Ok(if some_bad { ExitCode::FAILURE } else { code })
}

/// Says on stdout what was pushed, and answers the exit code.
fn report(what: &str, summary: &Summary, began: Instant) -> ExitCode {
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{what}: {} lines in {} requests, {:.1} MB, {seconds:.1} s, {:.0} lines/s",
        summary.lines,
        summary.batches,
        summary.bytes as f64 / 1e6,
        summary.lines as f64 / seconds.max(1e-3),
    );
    if summary.refused_batches == 0 {
        return ExitCode::SUCCESS;
    }
    eprintln!(
        "{what}: the gateway refused lines of {} requests:",
        summary.refused_batches
    );
    for refusal in &summary.refusals {
        eprintln!("  {refusal}");
    }
    ExitCode::FAILURE
}

/// Cancels on Ctrl-C or SIGTERM; the second one ends the process at once.
async fn cancel_on_signal(cancelled: CancellationToken) {
    let Ok(mut terminate) =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
    else {
        return;
    };
    for _ in 0..2 {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        if cancelled.is_cancelled() {
            std::process::exit(130);
        }
        cancelled.cancel();
    }
}
