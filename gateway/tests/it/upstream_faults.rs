//! A server behind the gateway that breaks off, never ends, sends elsewhere or is no InfluxDB: nothing is lost, and what waits
//! is delivered once it answers rightly.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use headroom_gateway::config::Flags;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::support::{TestApp, init};

const PING: &str =
    "HTTP/1.1 204 No Content\r\nX-Influxdb-Version: 1.8.10\r\nConnection: close\r\n\r\n";
const QUERY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 34\r\nConnection: close\r\n\r\n{\"results\":[{\"statement_id\":0}]}\r\n";
const TAKEN: &str = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";

/// What a request is answered in the place of what an InfluxDB says.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// The text, then the connection's end.
    Text(&'static str),
    /// The text, then a reset of the connection.
    Reset(&'static str),
    /// The first text, then the second until the client has enough of it.
    Endless(&'static str, &'static str),
    /// Nothing, until the client gives up.
    Silence,
}

/// A server that speaks HTTP by hand: an InfluxDB 1, but for its faults. It takes one request a connection.
#[derive(Clone)]
struct Server {
    address: SocketAddr,
    /// Those to come, the first one first, each for a request that begins with the text.
    faults: Arc<Mutex<Vec<(&'static str, Fault)>>>,
    /// Connections that the client ended before an answer's end.
    given_up: Arc<AtomicUsize>,
    /// The first line of every request that was no ping and no query, and its body.
    writes: Arc<Mutex<Vec<(String, String)>>>,
    /// The text of every write that was answered 204.
    taken: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(faults: &[(&'static str, Fault)]) -> Self {
        init();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let server = Self {
            address: listener.local_addr().expect("an address"),
            faults: Arc::new(Mutex::new(faults.to_vec())),
            given_up: Arc::default(),
            writes: Arc::default(),
            taken: Arc::default(),
        };
        let accepting = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(accepting.clone().answer(stream));
            }
        });
        server
    }

    async fn answer(self, mut stream: TcpStream) {
        let Some((head, body)) = request(&mut stream).await else {
            return;
        };
        let write = !head.starts_with("GET /ping") && !head.contains(" /query");
        if write {
            let first = head.lines().next().unwrap_or_default().to_owned();
            self.writes
                .lock()
                .expect("lock")
                .push((first, body.clone()));
        }
        match self.fault(&head) {
            None => {
                let text = match write {
                    true => TAKEN,
                    false if head.starts_with("GET /ping") => PING,
                    false => QUERY,
                };
                if write {
                    self.taken.lock().expect("lock").push(body);
                }
                let _ = stream.write_all(text.as_bytes()).await;
            }
            Some(Fault::Text(text)) => {
                let _ = stream.write_all(text.as_bytes()).await;
            }
            Some(Fault::Reset(text)) => {
                let _ = stream.write_all(text.as_bytes()).await;
                stream.set_zero_linger().expect("a socket");
            }
            Some(Fault::Endless(first, more)) => {
                let _ = stream.write_all(first.as_bytes()).await;
                while stream.write_all(more.as_bytes()).await.is_ok() {}
                self.given_up.fetch_add(1, Ordering::SeqCst);
            }
            Some(Fault::Silence) => {
                while matches!(stream.read(&mut [0]).await, Ok(1..)) {}
                self.given_up.fetch_add(1, Ordering::SeqCst);
            }
        }
    }

    /// The next fault of a request, which is over with that.
    fn fault(&self, head: &str) -> Option<Fault> {
        let mut faults = self.faults.lock().expect("lock");
        let place = faults.iter().position(|(start, _)| head.starts_with(start));
        place.map(|place| faults.remove(place).1)
    }

    /// Answers rightly from now on.
    fn mend(&self) {
        self.faults.lock().expect("lock").clear();
    }

    fn writes(&self) -> Vec<(String, String)> {
        self.writes.lock().expect("lock").clone()
    }

    fn taken(&self) -> Vec<String> {
        self.taken.lock().expect("lock").clone()
    }

    fn given_up(&self) -> usize {
        self.given_up.load(Ordering::SeqCst)
    }

    fn flags(&self) -> Flags {
        Flags {
            influx_url: Some(format!("http://{}", self.address)),
            ..Flags::default()
        }
    }
}

/// Reads a request's head and body; `None` where the client is gone before its end.
async fn request(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.trim().parse().expect("a length"))
            });
            if body.len() >= length.unwrap_or(0) {
                return Some((head.to_owned(), body.to_owned()));
            }
        }
        if stream.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    }
}

async fn push(app: &TestApp) {
    assert_eq!(app.push("/write?db=telegraf", "m f=1 1\n").await.0, 204);
}

/// Pushes one line before a server that answers the first write with the fault, and expects it to be sent once more.
async fn delivered_behind(fault: Fault) -> Server {
    let server = Server::start(&[("POST /write", fault)]).await;
    let app = TestApp::start_with(server.flags()).await;
    push(&app).await;
    app.until(&format!("it is delivered behind {fault:?}"), async |_| {
        !server.taken().is_empty()
    })
    .await;
    assert_eq!(server.taken(), ["m f=1 1\n"], "{fault:?}");
    assert_eq!(server.writes().len(), 2, "{fault:?}");
    app.until_metric("headroom_upstream_lines_total{destination=\"influxdb\"}", 1)
        .await;
    let refused = "headroom_upstream_lines_rejected_total{destination=\"influxdb\"}";
    assert_eq!(app.metric(refused).await, 0, "{fault:?}");
    server
}

#[tokio::test]
async fn a_connection_that_breaks_within_the_answer_is_no_answer() {
    for fault in [
        Fault::Text(""),
        Fault::Reset(""),
        Fault::Reset("HTTP/1.1 204 No Con"),
        Fault::Reset("HTTP/1.1 204 No Content\r\nDate:"),
        Fault::Reset(
            "HTTP/1.1 400 Bad Request\r\nContent-Length: 500\r\n\r\n{\"error\":\"unable to",
        ),
        Fault::Text("SSH-2.0-OpenSSH_9.2\r\n"),
    ] {
        delivered_behind(fault).await;
    }
}

#[tokio::test]
async fn an_answer_that_never_ends_is_given_up() {
    for fault in [
        Fault::Endless("HTTP/1.1 204 No Content\r\nX-More: ", "and more "),
        Fault::Endless("HTTP/1.1 204 No Content\r\n", "X-More: and more\r\n"),
        Fault::Endless("HTTP/1.1 400 Bad Request\r\n\r\n", "and more "),
        Fault::Endless(
            "HTTP/1.1 503 Service Unavailable\r\nTransfer-Encoding: chunked\r\n\r\n",
            "9\r\nand more \r\n",
        ),
    ] {
        let server = delivered_behind(fault).await;
        assert_eq!(server.given_up(), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    for fault in [
        // What it names answers 204, as to a write.
        Fault::Text(
            "HTTP/1.1 301 Moved Permanently\r\nLocation: /ping\r\nContent-Length: 0\r\n\r\n",
        ),
        Fault::Text("HTTP/1.1 302 Found\r\nLocation: /ping\r\nContent-Length: 0\r\n\r\n"),
        Fault::Text("HTTP/1.1 303 See Other\r\nLocation: /ping\r\nContent-Length: 0\r\n\r\n"),
        Fault::Text(
            "HTTP/1.1 307 Temporary Redirect\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n",
        ),
        Fault::Text(
            "HTTP/1.1 308 Permanent Redirect\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n",
        ),
    ] {
        delivered_behind(fault).await;
    }
}

#[tokio::test]
async fn a_redirected_query_says_which_address_to_set() {
    let moved = "HTTP/1.1 302 Found\r\nLocation: /ping\r\nContent-Length: 0\r\n\r\n";
    let server = Server::start(&[("GET /query?db=telegraf&epoch", Fault::Text(moved))]).await;
    let app = TestApp::start_with(server.flags()).await;
    let asked = app.get("/query?db=telegraf&epoch=ns&q=SHOW+MEASUREMENTS");
    let answer = asked.await;
    assert_eq!(answer.status(), 502);
    let text = answer.text().await.expect("text");
    assert!(
        text.contains("302 Found") && text.contains("HEADROOM_INFLUX_URL"),
        "{text}"
    );
}

#[tokio::test]
async fn a_ping_that_hangs_holds_up_no_push() {
    let server = Server::start(&[("GET /ping", Fault::Silence); 20]).await;
    let app = TestApp::start_with(server.flags()).await;
    push(&app).await;
    app.until("the trouble shows", async |app| {
        app.get("/ready")
            .await
            .text()
            .await
            .expect("text")
            .contains("no answer in time")
    })
    .await;
    server.mend();
    app.until("it is delivered", async |_| server.taken() == ["m f=1 1\n"])
        .await;
}

#[tokio::test]
async fn a_ping_without_a_version_that_is_not_204_is_asked_again() {
    let page = Fault::Text("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    let server = Server::start(&[("GET /ping", page); 20]).await;
    let app = TestApp::start_with(server.flags()).await;
    push(&app).await;
    app.until("the trouble shows", async |app| {
        let text = app.get("/ready").await.text().await.expect("text");
        text.contains("200 OK without a version") && text.contains("HEADROOM_INFLUX_VERSION")
    })
    .await;
    server.mend();
    app.until("it is delivered", async |_| !server.taken().is_empty())
        .await;
    let (line, _) = &server.writes()[0];
    assert!(
        line.starts_with("POST /write?db=telegraf"),
        "as to version 1: {line}"
    );
}

#[tokio::test]
async fn a_ping_of_204_without_a_version_is_written_to_as_version_2() {
    let ping = Fault::Text("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
    let server = Server::start(&[("GET /ping", ping)]).await;
    let app = TestApp::start_with(server.flags()).await;
    push(&app).await;
    app.until("it is written", async |_| !server.writes().is_empty())
        .await;
    app.until("it is delivered", async |_| {
        server.taken().contains(&"m f=1 1\n".to_owned())
    })
    .await;
    let writes = server.writes();
    assert!(
        writes
            .iter()
            .any(|(line, _)| line.starts_with("POST /api/v2/write?bucket=telegraf")),
        "{writes:?}"
    );
}
