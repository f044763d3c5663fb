//! Opens journal and sink, and brings the store up to the journal's end.

use std::{
    fs::{self, File},
    io::ErrorKind,
    path::Path,
    sync::Arc,
    time::Duration,
};

use actix_web::web::Data;
use tokio_util::sync::CancellationToken;

use super::{StartError, known, replay::Replay};
use crate::{
    config::Settings,
    guard::Guard,
    influxql::QueryLimits,
    ingest::Ingest,
    journal::{self, Journal, JournalError, JournalOptions, SEGMENT_MAX_BYTES},
    rejects::Rejects,
    sink::{Embedded, Sink},
    state::{Core, State},
    store::{self, Store, StoreOptions},
    upstream::Upstream,
};

/// A small journal gets small segments, so that trimming frees a good part of it.
const SEGMENTS_AT_LEAST: u64 = 8;
/// A file in the data folder that is made and removed at the start.
const PROBE_NAME: &str = "probe";

/// Opens everything; the disk's work is done off the runtime's threads.
pub(super) async fn open(
    settings: &mut Settings,
    state: &Data<State>,
    stop: &CancellationToken,
) -> Result<Core, StartError> {
    let data_dir = settings.data_dir.clone();
    let journal = JournalOptions {
        max_bytes: settings.journal_max_bytes,
        max_age: settings.journal_max_age,
        segment_max_bytes: SEGMENT_MAX_BYTES.min(settings.journal_max_bytes / SEGMENTS_AT_LEAST),
        start_after: 0,
        read_through: 0,
    };
    let (influx, others) = (settings.influx.clone(), settings.destinations.clone());
    let query_limits = settings.query_limits;
    let options = StoreOptions {
        max_bytes: settings.store_max_bytes,
        memory_max_bytes: settings.store_memory_max_bytes,
        ..StoreOptions::default()
    };
    let stop = stop.clone();
    let (guards, now_ns) = (std::mem::take(&mut settings.guards), state.now_ns());
    let (kept, metrics, clock) = (settings.rejects, Arc::clone(&state.metrics), state.clock());
    let opened = tokio::task::spawn_blocking(move || {
        create_dir(&data_dir)?;
        check_writable(&data_dir)?;
        let guard = Guard::open(&data_dir, guards)?;
        let open = |settings| Upstream::open(settings, &data_dir);
        let others = others.into_iter().map(open).collect::<Result<_, _>>()?;
        let (journal, sink, destinations) = match influx {
            None => {
                let replay = Replay {
                    now_ns,
                    stop: &stop,
                };
                open_embedded(&data_dir, journal, options, query_limits, others, &replay)
            }
            Some(influx) => open_influx(&data_dir, journal, open(influx)?, others),
        }?;
        if let Sink::Embedded(embedded) = &sink {
            known::preload_series(&guard, embedded.store(), now_ns);
        }
        let rejects = Rejects::open(&data_dir, kept, metrics, clock)?;
        Ok::<_, StartError>((journal, sink, destinations, rejects, Arc::new(guard)))
    });
    let (journal, sink, destinations, rejects, guard) = opened
        .await
        .map_err(|error| StartError::Server(error.to_string()))??;
    let ingest = Ingest::new(
        journal.clone(),
        sink.clone(),
        guard,
        rejects.clone(),
        !destinations.is_empty(),
        Arc::clone(&state.metrics),
    );
    Ok(Core {
        journal,
        sink,
        rejects,
        destinations,
        ingest,
    })
}

/// What the journal's readers and writers are made of.
type Opened = (Journal, Sink, Vec<Upstream>);

fn create_dir(path: &Path) -> Result<(), StartError> {
    fs::create_dir_all(path).map_err(|source| StartError::DataDir {
        path: path.to_owned(),
        source,
    })
}

/// Says of a folder in which nothing can be created that it is so, before the first of many files fails in it. What a full
/// disk refuses is another matter: a gateway starts on it.
fn check_writable(path: &Path) -> Result<(), StartError> {
    let probe = path.join(PROBE_NAME);
    match File::create(&probe).and_then(|_| fs::remove_file(&probe)) {
        Err(source)
            if matches!(
                source.kind(),
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem
            ) =>
        {
            Err(StartError::DataDirReadOnly {
                path: path.to_owned(),
                source,
            })
        }
        _ => Ok(()),
    }
}

/// Opens the journal behind what its readers already have. One that is optional is passed over before it makes the journal
/// too old, but no batch gets a sequence that it has.
fn open_journal(
    data_dir: &Path,
    options: JournalOptions,
    sealed_through: Option<u64>,
    destinations: &[Upstream],
) -> Result<Journal, StartError> {
    let sent = destinations
        .iter()
        .map(|destination| (destination.sent_through(), destination.is_optional()));
    let places = sealed_through.map(|sequence| (sequence, false));
    let places = places.into_iter().chain(sent);
    let needed = places.clone().filter(|(_, is_optional)| !is_optional);
    let options = JournalOptions {
        start_after: places.map(|(sequence, _)| sequence).max().unwrap_or(0),
        read_through: needed.map(|(sequence, _)| sequence).min().unwrap_or(0),
        ..options
    };
    Ok(Journal::open(&data_dir.join(journal::DIR_NAME), options)?)
}

fn open_influx(
    data_dir: &Path,
    journal: JournalOptions,
    upstream: Upstream,
    others: Vec<Upstream>,
) -> Result<Opened, StartError> {
    let sink = Sink::Influx(upstream.clone());
    let mut destinations = vec![upstream];
    destinations.extend(others);
    let journal = open_journal(data_dir, journal, None, &destinations)?;
    Ok((journal, sink, destinations))
}

fn open_embedded(
    data_dir: &Path,
    journal: JournalOptions,
    options: StoreOptions,
    query_limits: QueryLimits,
    destinations: Vec<Upstream>,
    replay: &Replay<'_>,
) -> Result<Opened, StartError> {
    let dir = data_dir.join(store::DIR_NAME);
    create_dir(&dir)?;
    let store = Store::open(&dir, options)?;
    let journal_options = journal;
    let sealed_through = Some(store.sealed_through());
    let journal = open_journal(data_dir, journal, sealed_through, &destinations)?;
    replay.run(&journal, &store)?;
    let embedded = Embedded::new(store, query_limits, &journal, &journal_options);
    Ok((journal, Sink::Embedded(embedded), destinations))
}

/// Opens a data folder whose points are to be read, as a gateway would that starts when the last batch came: of a backup
/// that is old, its retention takes nothing more. Where the journal holds more than memory may, it is sealed on the way.
///
/// # Errors
///
/// When a gateway runs on it, there is no store in it, or something is damaged.
pub fn open_data(data_dir: &Path, options: StoreOptions) -> Result<(Journal, Store), StartError> {
    let dir = data_dir.join(store::DIR_NAME);
    if !dir.join(store::FILE_NAME).exists() {
        return Err(StartError::DataDir {
            path: data_dir.to_owned(),
            source: std::io::Error::new(std::io::ErrorKind::NotFound, "it holds no embedded store"),
        });
    }
    // The journal's lock first: a store whose gateway runs is not to be opened at all.
    let unbounded = JournalOptions {
        max_bytes: u64::MAX,
        max_age: Duration::MAX,
        segment_max_bytes: SEGMENT_MAX_BYTES,
        start_after: 0,
        read_through: 0,
    };
    let journal = open_journal(data_dir, unbounded, None, &[])?;
    let store = Store::open(&dir, options)?;
    let replay = Replay {
        now_ns: last_received_ns(&journal, store.sealed_through())?,
        stop: &CancellationToken::new(),
    };
    replay.run(&journal, &store)?;
    Ok((journal, store))
}

/// When the last batch came of those that are not sealed; the earliest time there is where none is left.
fn last_received_ns(journal: &Journal, sealed_through: u64) -> Result<i64, JournalError> {
    let mut reader = journal.reader(sealed_through + 1);
    let mut received_ns = i64::MIN;
    while let Some((_, batch)) = reader.next_committed()? {
        received_ns = batch.received_ns;
    }
    Ok(received_ns)
}
