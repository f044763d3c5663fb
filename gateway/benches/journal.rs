//! The journal's form: checksummed segment files beside a SQLite table, with the same batches and the same promise.
//!
//! `cargo bench -p headroom-gateway --bench journal [-- FOLDER]` appends to both, in turns, from eight writers that each wait
//! for their batch to be durable. Both commit in groups: whatever waits goes into one sync (`fdatasync`) or one transaction (WAL,
//! `synchronous=FULL`). Then it deletes what was read, as a sender does, and opens what a killed process would leave behind.
//! Bytes written are the kernel's count for this process (`/proc/self/io`), checkpoints of the log included.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use headroom_gateway::{
    body::Encoding,
    journal::{Batch, Journal, JournalOptions, Provenance, SEGMENT_MAX_BYTES},
    lines::Precision,
};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use rusqlite::{Connection, params};
use tokio::{
    runtime::Runtime,
    sync::{mpsc, oneshot},
};

const WRITERS: usize = 8;
const ROUNDS: usize = 3;
/// One commit takes at most so many bytes, in both forms.
const GROUP_MAX_BYTES: usize = 4 << 20;

/// What a run took.
#[derive(Debug, Clone, Copy)]
struct Figures {
    seconds: f64,
    cpu_s: f64,
    /// Per byte that was accepted.
    written: f64,
    recovery_ms: f64,
}

/// A form of the journal: opens in a folder and takes batches until the list is empty.
trait Form {
    const NAME: &str;
    fn append_all(dir: &Path, bodies: &[Bytes], runtime: &Runtime);
    /// Opens what is left behind; answers how many batches are in it.
    fn recover(dir: &Path, runtime: &Runtime) -> u64;
}

struct Segments;

struct Sqlite;

fn batch(body: &Bytes) -> Batch {
    Batch {
        database: "telegraf".to_owned(),
        retention_policy: None,
        precision: Precision::Nanoseconds,
        received_ns: 1_735_689_600_000_000_000,
        provenance: Provenance {
            client: "web-fleet".to_owned(),
            peer: "10.0.0.7".to_owned(),
            request_id: "4bf92f3577b34da6a3ce929d0e0e4736".to_owned(),
        },
        encoding: Encoding::Identity,
        body: body.clone(),
        refused: Vec::new(),
        verbatim_lines: Some(1000),
        series: (0..100).collect(),
    }
}

fn options() -> JournalOptions {
    JournalOptions {
        max_bytes: u64::MAX,
        max_age: Duration::MAX,
        segment_max_bytes: SEGMENT_MAX_BYTES,
        start_after: 0,
        read_through: 0,
    }
}

impl Form for Segments {
    const NAME: &str = "segments";

    fn append_all(dir: &Path, bodies: &[Bytes], runtime: &Runtime) {
        let journal = Journal::open(dir, options()).expect("opens");
        let place = Arc::new(journal.place(0, false));
        runtime.block_on(write(bodies, |body| {
            let (journal, place) = (journal.clone(), Arc::clone(&place));
            async move {
                let sequence = journal.append(batch(&body)).await.expect("appended");
                // What came long before was delivered by now.
                place.read_through(sequence / 2);
            }
        }));
        // Not closed: the files stay as they are, as after a kill.
        std::mem::forget(journal);
    }

    fn recover(dir: &Path, runtime: &Runtime) -> u64 {
        // The lock is this process's own, so a copy of the files is what is opened.
        let copy = dir.join("copy");
        copy_files(dir, &copy);
        let journal = Journal::open(&copy, options()).expect("opens");
        let last = journal.last_sequence();
        runtime.block_on(journal.close());
        last
    }
}

impl Form for Sqlite {
    const NAME: &str = "SQLite";

    fn append_all(dir: &Path, bodies: &[Bytes], runtime: &Runtime) {
        let (queue, waiting) = mpsc::channel(1024);
        let file = dir.join("journal.sqlite");
        let writer = thread::spawn(move || commit_in_groups(&file, waiting));
        runtime.block_on(write(bodies, |body| {
            let queue = queue.clone();
            async move {
                let (done, answer) = oneshot::channel();
                let sent = queue.send((batch(&body), done)).await;
                assert!(sent.is_ok(), "the writer lives");
                answer.await.expect("committed");
            }
        }));
        drop(queue);
        writer.join().expect("no panic");
    }

    fn recover(dir: &Path, _: &Runtime) -> u64 {
        let copy = dir.join("copy");
        copy_files(dir, &copy);
        let store = open(&copy.join("journal.sqlite"));
        let last: i64 = store
            .query_row("SELECT max(sequence) FROM batches", [], |row| row.get(0))
            .expect("a row");
        last as u64
    }
}

fn open(file: &Path) -> Connection {
    let store = Connection::open(file).expect("opens");
    store
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             CREATE TABLE IF NOT EXISTS batches (sequence INTEGER PRIMARY KEY, meta BLOB, body BLOB)",
        )
        .expect("a table");
    store
}

type Waiting = (Batch, oneshot::Sender<()>);

fn commit_in_groups(file: &Path, mut waiting: mpsc::Receiver<Waiting>) {
    let mut store = open(file);
    let mut sequence = 0_i64;
    while let Some(first) = waiting.blocking_recv() {
        let mut group = vec![first];
        let mut size_bytes = 0;
        while size_bytes < GROUP_MAX_BYTES
            && let Ok(next) = waiting.try_recv()
        {
            size_bytes += next.0.body.len();
            group.push(next);
        }
        let transaction = store.transaction().expect("begins");
        for (batch, _) in &group {
            sequence += 1;
            let series = batch.series.iter().flat_map(|series| series.to_le_bytes());
            let meta: Vec<u8> = batch.database.bytes().chain(series).collect();
            transaction
                .prepare_cached("INSERT INTO batches VALUES (?1, ?2, ?3)")
                .and_then(|mut insert| insert.execute(params![sequence, meta, &batch.body[..]]))
                .expect("inserted");
        }
        transaction
            .prepare_cached("DELETE FROM batches WHERE sequence < ?1")
            .and_then(|mut delete| delete.execute([sequence / 2]))
            .expect("deleted");
        transaction.commit().expect("committed");
        for (_, done) in group {
            let _ = done.send(());
        }
    }
    // Closed, SQLite would move its log into the file; killed, it does not.
    std::mem::forget(store);
}

/// Appends every body once, from several writers.
async fn write<F: Future<Output = ()> + Send + 'static>(
    bodies: &[Bytes],
    append: impl Fn(Bytes) -> F,
) {
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let mine: Vec<F> = bodies
            .iter()
            .skip(writer)
            .step_by(WRITERS)
            .map(|body| append(body.clone()))
            .collect();
        writers.spawn(async move {
            for append in mine {
                append.await;
            }
        });
    }
    writers.join_all().await;
}

fn copy_files(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            let name = path.file_name().expect("a name");
            fs::copy(&path, to.join(name)).expect("copied");
        }
    }
}

fn written_bytes() -> f64 {
    let io = fs::read_to_string("/proc/self/io").expect("Linux");
    let line = io
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|number| number.parse().ok())
        .expect("a number")
}

/// User and system time of this process, in seconds.
fn cpu_s() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("Linux");
    let behind_name = stat.rsplit_once(')').expect("a name").1;
    let ticks: f64 = behind_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<f64>().expect("a number"))
        .sum();
    ticks / 100.0
}

fn measure<F: Form>(base: &Path, bodies: &[Bytes], runtime: &Runtime) -> Figures {
    let dir = tempfile::tempdir_in(base).expect("a folder");
    let size_bytes: usize = bodies.iter().map(Bytes::len).sum();
    let (written_before, cpu_before, begun) = (written_bytes(), cpu_s(), Instant::now());
    F::append_all(dir.path(), bodies, runtime);
    let seconds = begun.elapsed().as_secs_f64();
    let (cpu_s, written) = (cpu_s() - cpu_before, written_bytes() - written_before);
    let begun = Instant::now();
    assert_eq!(
        F::recover(dir.path(), runtime),
        bodies.len() as u64,
        "nothing is lost"
    );
    let recovery_ms = begun.elapsed().as_secs_f64() * 1e3;
    // A copy's time is in both; it is taken out again.
    let begun = Instant::now();
    copy_files(dir.path(), &dir.path().join("again"));
    Figures {
        seconds,
        cpu_s,
        written: written / size_bytes as f64,
        recovery_ms: recovery_ms - begun.elapsed().as_secs_f64() * 1e3,
    }
}

fn compare(base: &Path, what: &str, batches: usize, batch_bytes: usize, runtime: &Runtime) {
    let mut random = SmallRng::seed_from_u64(7);
    let mut all = vec![0; batch_bytes * batches];
    random.fill_bytes(&mut all);
    let all = Bytes::from(all);
    let bodies: Vec<Bytes> = (0..batches)
        .map(|n| all.slice(n * batch_bytes..(n + 1) * batch_bytes))
        .collect();
    let best = |one: Option<Figures>, other: Figures| match one {
        Some(one) if one.seconds < other.seconds => Some(one),
        _ => Some(other),
    };
    let (mut ours, mut theirs) = (None, None);
    for _ in 0..ROUNDS {
        ours = best(ours, measure::<Segments>(base, &bodies, runtime));
        theirs = best(theirs, measure::<Sqlite>(base, &bodies, runtime));
    }
    let (ours, theirs) = (ours.expect("a round"), theirs.expect("a round"));
    println!("{what}: {batches} batches of {batch_bytes} bytes");
    for (name, figures) in [(Segments::NAME, ours), (Sqlite::NAME, theirs)] {
        println!(
            "  {name:<9} {:6.0} MB/s  {:6.0} batches/s  {:5.2} CPU-ms a batch  {:4.2} bytes written a byte  opened in {:6.1} ms",
            all.len() as f64 / 1e6 / figures.seconds,
            batches as f64 / figures.seconds,
            figures.cpu_s * 1e3 / batches as f64,
            figures.written,
            figures.recovery_ms.max(0.0),
        );
    }
    println!(
        "  segments: {:.1} × as fast, {:.1} × less CPU, {:.1} × fewer bytes written",
        theirs.seconds / ours.seconds,
        theirs.cpu_s / ours.cpu_s,
        theirs.written / ours.written
    );
}

fn main() {
    let folder = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with("--"));
    let base = folder.map_or_else(std::env::temp_dir, PathBuf::from);
    let runtime = Runtime::new().expect("a runtime");
    compare(&base, "plain, 1,000 lines each", 1000, 250_000, &runtime);
    compare(&base, "gzip, 1,000 lines each", 4000, 30_000, &runtime);
    compare(
        &base,
        "small pushes, a dozen lines each",
        8000,
        3_000,
        &runtime,
    );
}
