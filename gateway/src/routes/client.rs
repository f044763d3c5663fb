//! Whether a client still waits for its answer.
//!
//! A client that goes away closes its socket, of which the server sees no more than that nothing further will come: it
//! goes on answering, since a client may close its side alone and still read. InfluxDB takes it for the end of a query,
//! and so does this. The kernel's list of connections says it for every kind of connection, TLS too; elsewhere than on
//! Linux there is none, and a query that nobody waits for runs until its time is over.

use std::{
    future::pending,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use actix_web::HttpRequest;

/// How often it is looked whether the client of a query is there: queries mostly end before the first time.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The kernel's number of the state in which the other side has closed, and this one has not.
const CLOSE_WAIT: &str = "08";

/// Waits until a request's client has closed its side of the connection.
pub(super) fn gone(request: &HttpRequest) -> impl Future<Output = ()> + 'static {
    let port = request.app_config().local_addr().port();
    let peer = request.peer_addr();
    async move {
        let Some(peer) = peer else {
            return pending().await;
        };
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if has_closed(port, peer).await {
                return;
            }
        }
    }
}

/// Says whether the peer of a connection to a local port has closed its side.
async fn has_closed(port: u16, peer: SocketAddr) -> bool {
    let list = match peer {
        SocketAddr::V4(_) => "/proc/self/net/tcp",
        SocketAddr::V6(_) => "/proc/self/net/tcp6",
    };
    let connections = tokio::fs::read_to_string(list).await;
    let (port, peer) = (format!(":{port:04X}"), written(peer));
    connections.unwrap_or_default().lines().any(|line| {
        let mut columns = line.split_ascii_whitespace().skip(1);
        let mut is = |fits: &dyn Fn(&str) -> bool| columns.next().is_some_and(fits);
        is(&|local| local.ends_with(&port))
            && is(&|remote| remote == peer)
            && is(&|state| state == CLOSE_WAIT)
    })
}

/// Writes an address as the kernel does: words of the address in the machine's own order of bytes, in hexadecimal.
fn written(address: SocketAddr) -> String {
    let octets = match address.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let words = octets.chunks_exact(4).map(|word| {
        let word = u32::from_ne_bytes([word[0], word[1], word[2], word[3]]);
        format!("{word:08X}")
    });
    format!("{}:{:04X}", words.collect::<String>(), address.port())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::{Shutdown, TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn a_client_that_closes_its_side_is_gone_and_others_are_not() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else {
                eprintln!("skipped: {address} is not there");
                continue;
            };
            let port = listener.local_addr().expect("an address").port();
            let connected = || {
                let client = TcpStream::connect(listener.local_addr().expect("an address"));
                let (server, peer) = listener.accept().expect("a connection");
                (client.expect("a connection"), server, peer)
            };
            let (leaving, _kept, leaving_peer) = connected();
            let (_staying, _kept_too, staying_peer) = connected();
            assert!(!has_closed(port, leaving_peer).await);
            leaving
                .shutdown(Shutdown::Write)
                .expect("half a connection");
            while !has_closed(port, leaving_peer).await {
                tokio::task::yield_now().await;
            }
            assert!(!has_closed(port, staying_peer).await);
        }
    }
}
