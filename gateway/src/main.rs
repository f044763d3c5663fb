//! The gateway's command line.

use std::{
    fs::File,
    io::{self, BufWriter, Read},
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Context;
use clap::Parser;
use headroom_gateway::{
    app::{App, Reloader},
    commands,
    config::{Cli, Command, ExportArgs, Flags, ImportArgs, LogFormat, Settings, TokenCommand},
    guard::Contract,
    lines::Precision,
    openapi, telemetry,
    validate::{self, ReportFormat, Rules},
};
use tokio::{
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

/// How long threads may go on when everything else has ended.
const LEFT_OVER_TIMEOUT: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => serve(&cli.flags),
        Command::Openapi => print_openapi(),
        Command::Validate {
            precision,
            format,
            file,
        } => validate_file(&cli.flags, &file, precision, format),
        Command::Check => check(&cli.flags),
        Command::Backup { to } => backup(&cli.flags, &to),
        Command::Export(args) => export(&cli.flags, &args),
        Command::Import(args) => import(&args),
        Command::Token(command) => token(&cli.flags, command),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("headroom-gateway: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn print_openapi() -> anyhow::Result<ExitCode> {
    print!("{}", openapi::print()?);
    Ok(ExitCode::SUCCESS)
}

fn validate_file(
    flags: &Flags,
    path: &Path,
    precision: Precision,
    format: ReportFormat,
) -> anyhow::Result<ExitCode> {
    let name = path.display().to_string();
    let mut text = Vec::new();
    if name == "-" {
        io::stdin().lock().read_to_end(&mut text)
    } else {
        File::open(path).and_then(|mut file| file.read_to_end(&mut text))
    }
    .with_context(|| format!("cannot read {name}"))?;
    let contract_file = flags.guard.contract_file.as_deref();
    let rules = Rules {
        precision,
        contract: contract_file.map(Contract::read).transpose()?.map(Arc::new),
        now_ns: now_ns(),
    };
    let out = BufWriter::new(io::stdout().lock());
    let tally = validate::write_report(&name, &text, &rules, format, out)?;
    if format == ReportFormat::Text {
        eprintln!("{} lines, {} refused", tally.lines, tally.rejected);
    }
    Ok(ExitCode::from(u8::from(tally.rejected > 0)))
}

#[tokio::main]
async fn check(flags: &Flags) -> anyhow::Result<ExitCode> {
    println!(
        "{}",
        commands::check(&Settings::load(flags)?.data_dir).await?
    );
    Ok(ExitCode::SUCCESS)
}

fn backup(flags: &Flags, to: &Path) -> anyhow::Result<ExitCode> {
    let size_bytes = commands::backup(&Settings::load(flags)?.data_dir, to)?;
    println!("{} has the backup, {size_bytes} bytes", to.display());
    Ok(ExitCode::SUCCESS)
}

#[tokio::main]
async fn export(flags: &Flags, args: &ExportArgs) -> anyhow::Result<ExitCode> {
    let values = commands::export(&Settings::load(flags)?.data_dir, args).await?;
    eprintln!("{values} values");
    Ok(ExitCode::SUCCESS)
}

#[tokio::main]
async fn import(args: &ImportArgs) -> anyhow::Result<ExitCode> {
    telemetry::start(LogFormat::Text, None)?;
    start_tls()?;
    let report = commands::import(args).await?;
    println!(
        "{} batches were taken whole, {} with lines refused, {} bytes",
        report.batches, report.batches_with_refusals, report.sent_bytes
    );
    Ok(ExitCode::SUCCESS)
}

fn token(flags: &Flags, command: TokenCommand) -> anyhow::Result<ExitCode> {
    let data_dir = Settings::data_dir(flags)?;
    match command {
        TokenCommand::Create(args) => {
            let name = args.name.clone();
            let secret = commands::create_token(&data_dir, args)?;
            println!("{}", secret.expose());
            eprintln!("this is the token {name}; it is stored nowhere, and shown only now");
        }
        TokenCommand::List => print!("{}", commands::list_tokens(&data_dir)?),
        TokenCommand::Revoke { name } => {
            commands::revoke_token(&data_dir, &name)?;
            eprintln!("the token {name} is revoked");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn start_tls() -> anyhow::Result<()> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("a TLS provider is already installed"))
}

fn serve(flags: &Flags) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(flags)?;
    let runtime = Runtime::new().context("cannot start the runtime")?;
    let served = runtime.block_on(run(settings, flags));
    // Work on the disk that did not end in time is left: whatever is half done, the next start does over.
    runtime.shutdown_timeout(LEFT_OVER_TIMEOUT);
    served.map(|()| ExitCode::SUCCESS)
}

async fn run(settings: Settings, flags: &Flags) -> anyhow::Result<()> {
    start_tls()?;
    let telemetry = telemetry::start(settings.log_format, settings.traces.as_ref())?;
    let stop = stop_on_signal()?;
    let scheme = settings.tls.as_ref().map_or("http", |_| "https");
    let app = App::bind(settings, Arc::new(now_ns))?;
    reload_on_hangup(flags.clone(), app.reloader())?;
    tracing::info!(address = %app.address()?, scheme, version = env!("CARGO_PKG_VERSION"), "listening");
    if !app.asks_for_tokens() {
        tracing::warn!(
            "there are no tokens: anyone on this machine may write, read and delete; `headroom-gateway token create` makes the \
             first one, from which on every request needs one"
        );
    }
    app.serve(stop).await?;
    tokio::task::spawn_blocking(|| telemetry.finish()).await?;
    Ok(())
}

fn now_ns() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_nanos() as i64)
}

/// Reads the settings anew at every SIGHUP; wrong ones are logged and change nothing.
fn reload_on_hangup(flags: Flags, reloader: Reloader) -> anyhow::Result<()> {
    let mut hangup = signal(SignalKind::hangup()).context("cannot wait for SIGHUP")?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            match Settings::load(&flags) {
                Ok(settings) => match reloader.reload(settings) {
                    Ok(()) => tracing::info!("tokens, contract and certificate are read anew"),
                    Err(error) => {
                        tracing::error!(%error, "nothing is read anew: tokens, contract and certificate in use stay");
                    }
                },
                Err(error) => tracing::error!(%error, "the settings are wrong; those in use stay"),
            }
        }
    });
    Ok(())
}

/// Cancels the token at the first SIGTERM or SIGINT; a second one ends the process at once.
fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if token.is_cancelled() {
                std::process::exit(130);
            }
            token.cancel();
        }
    });
    Ok(stop)
}
