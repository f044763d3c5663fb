//! A server that records the lines it is sent, in the order of their coming, and does not always behave.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use flate2::read::MultiGzDecoder;
use influxdb_line_protocol::split_lines;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// As long as a server hesitates, at most.
const DELAY_MOST_US: u64 = 30_000;
/// How often it is asked whether it still has something in hand.
const POLL: Duration = Duration::from_millis(2);
/// What is asked besides writes: the version, and fields, of which there are none.
const ANSWER: &str = "{\"results\":[{\"statement_id\":0}]}";

/// An InfluxDB as far as a forwarder can tell; clones share it.
#[derive(Clone)]
pub(crate) struct Recorder {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// The writes of every client, the one in hand last.
    recorded: Mutex<Vec<Vec<Write>>>,
    connections: AtomicUsize,
    misbehaves: AtomicBool,
}

/// A write that was recorded.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    /// Its lines as they were written, without comments.
    pub(crate) lines: Vec<String>,
    /// Whether the client was told so.
    pub(crate) answered: bool,
}

/// What becomes of a write.
#[derive(Debug, Clone, Copy)]
enum Conduct {
    Take,
    /// It is not looked at: its connection is broken off.
    BreakOff,
    /// It is answered 503, perhaps with a time at which to come again, whether it was recorded or not.
    Refuse {
        records: bool,
        retry_after_s: Option<u8>,
    },
    /// It is recorded, and its connection broken off instead of an answer.
    TakeAndBreakOff,
}

impl Conduct {
    fn random() -> Self {
        let records = rand::random();
        match rand::random_range(0..24) {
            0 => Self::BreakOff,
            1 => Self::TakeAndBreakOff,
            2 => Self::Refuse {
                records,
                retry_after_s: None,
            },
            3 => Self::Refuse {
                records,
                retry_after_s: Some(rand::random_range(0..2)),
            },
            _ => Self::Take,
        }
    }

    fn records(self) -> bool {
        match self {
            Self::Take | Self::TakeAndBreakOff => true,
            Self::Refuse { records, .. } => records,
            Self::BreakOff => false,
        }
    }

    /// What is answered; `None` where the connection is broken off.
    fn answer(self) -> Option<String> {
        match self {
            Self::Take => Some("HTTP/1.1 204 No Content\r\n\r\n".to_owned()),
            Self::Refuse { retry_after_s, .. } => {
                let retry_after =
                    retry_after_s.map(|seconds| format!("Retry-After: {seconds}\r\n"));
                let retry_after = retry_after.unwrap_or_default();
                Some(format!(
                    "HTTP/1.1 503 Service Unavailable\r\n{retry_after}Content-Length: 0\r\n\r\n"
                ))
            }
            Self::BreakOff | Self::TakeAndBreakOff => None,
        }
    }
}

impl Recorder {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let recorder = Self {
            address: listener.local_addr().expect("an address"),
            state: Arc::default(),
        };
        let state = Arc::clone(&recorder.state);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                // Counted here, so that who connects later finds it counted.
                state.connections.fetch_add(1, Ordering::SeqCst);
                let state = Arc::clone(&state);
                tokio::spawn(async move {
                    // A client that is gone is no fault of the server.
                    let _ = state.serve(stream).await;
                    state.connections.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        recorder
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Has it misbehave from now on, or behave.
    pub(crate) fn misbehave(&self, misbehaves: bool) {
        self.state.misbehaves.store(misbehaves, Ordering::SeqCst);
    }

    /// Every write so far, those of each client by themselves.
    pub(crate) fn recorded(&self) -> Vec<Vec<Write>> {
        self.state.recorded.lock().expect("no panic").clone()
    }

    /// Forgets what it has recorded.
    pub(crate) fn clear(&self) {
        self.state.recorded.lock().expect("no panic").clear();
    }

    /// Waits until it has dealt with all that a client has sent that is gone.
    pub(crate) async fn client_is_gone(&self) {
        // Connections are accepted in turn: when this one is served, those before it are counted.
        let probe = reqwest::get(format!("{}/ping", self.url())).await;
        drop(probe.expect("an answer"));
        let wait = async {
            while self.state.connections.load(Ordering::SeqCst) > 0 {
                tokio::time::sleep(POLL).await;
            }
        };
        let idle = tokio::time::timeout(Duration::from_mins(1), wait).await;
        idle.expect("it comes to an end with every connection");
        self.state
            .recorded
            .lock()
            .expect("no panic")
            .push(Vec::new());
    }
}

impl State {
    /// Answers the requests of a connection, one after the other.
    async fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        while let Some(head) = head_of(&mut stream).await? {
            let length = header(&head, "content-length").map_or(Ok(0), str::parse);
            let is_write = head.starts_with("POST ") && head.contains("/write");
            let conduct = if is_write && self.misbehaves.load(Ordering::SeqCst) {
                Conduct::random()
            } else {
                Conduct::Take
            };
            if is_write && matches!(conduct, Conduct::BreakOff) {
                return Ok(());
            }
            let mut body = vec![0; length.expect("a length")];
            stream.read_exact(&mut body).await?;
            let answer = if is_write {
                self.write(conduct, &head, &body).await
            } else {
                Some(format!(
                    "HTTP/1.1 200 OK\r\nX-Influxdb-Version: 1.8.10\r\nContent-Length: {}\r\n\r\n{ANSWER}",
                    ANSWER.len()
                ))
            };
            let Some(answer) = answer else {
                return Ok(());
            };
            stream.write_all(answer.as_bytes()).await?;
        }
        Ok(())
    }

    /// Records a write, if it does; answers what its client is told.
    async fn write(&self, conduct: Conduct, head: &str, body: &[u8]) -> Option<String> {
        let hesitates = self.misbehaves.load(Ordering::SeqCst);
        self.hesitate(hesitates).await;
        if conduct.records() {
            let text = text_of(head, body);
            // As InfluxDB finds them: a comment with a quote in it may take the next line along.
            let lines = split_lines(&text).map(str::trim_start);
            let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
            let write = Write {
                lines: lines.map(str::to_owned).collect(),
                answered: matches!(conduct, Conduct::Take),
            };
            let mut recorded = self.recorded.lock().expect("no panic");
            match recorded.last_mut() {
                Some(client) => client.push(write),
                None => recorded.push(vec![write]),
            }
        }
        self.hesitate(hesitates).await;
        conduct.answer()
    }

    async fn hesitate(&self, hesitates: bool) {
        if hesitates && rand::random() {
            let delay = rand::random_range(0..DELAY_MOST_US);
            tokio::time::sleep(Duration::from_micros(delay)).await;
        }
    }
}

/// Reads a request's head; `None` where the client has closed the connection.
async fn head_of(stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<String>> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await? == 0 {
            return Ok(None);
        }
    }
    Ok(Some(head))
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

#[expect(
    clippy::disallowed_types,
    reason = "version 3 takes a body's first member for all of it"
)]
fn text_of(head: &str, body: &[u8]) -> String {
    let text = match header(head, "content-encoding") {
        Some(_) if head.contains("/api/v3/") => {
            std::io::read_to_string(flate2::read::GzDecoder::new(body))
        }
        Some(_) => std::io::read_to_string(MultiGzDecoder::new(body)),
        None => std::io::read_to_string(body),
    };
    text.expect("UTF-8, or gzip of it")
}
