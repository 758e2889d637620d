//! GET /metrics, for Prometheus: as much of HTTP/1.1 as that takes.
//!
//! One thread serves one request after the other, and none of them for long: a stranger who says nothing, or says it
//! slowly, is sent away when his time is over.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use quorate::Node;

use super::store::Store;

/// A request is read within this time, and its answer taken within as much again.
const REQUEST_WITHIN: Duration = Duration::from_secs(1);
const HEAD_BYTES_MAX: usize = 8 << 10;
/// How long a full table of file descriptors is given before the next attempt.
const FULL_FOR: Duration = Duration::from_millis(100);

/// The port that serves metrics, until it is closed.
pub(crate) struct Exporter {
    desk: Arc<Desk>,
    address: SocketAddr,
    thread: JoinHandle<()>,
}

/// What the serving thread shares with the one that closes.
#[derive(Default)]
struct Desk {
    state: Mutex<State>,
    closed: Condvar,
}

#[derive(Default)]
struct State {
    closing: bool,
    /// Who is being served.
    client: Option<Arc<TcpStream>>,
}

impl Exporter {
    /// Serves from now on, on a thread of its own.
    pub(crate) fn open(listener: TcpListener, node: Node<Store>) -> io::Result<Self> {
        let desk = Arc::new(Desk::default());
        let address = listener.local_addr()?;
        let serving = Arc::clone(&desk);
        let thread = thread::Builder::new().name("kv-metrics".into());
        let thread = thread.spawn(move || serving.serve(&listener, &node))?;
        Ok(Self { desk, address, thread })
    }

    /// Ends the thread, whatever it waits for.
    pub(crate) fn close(self) {
        let mut state = self.desk.lock();
        state.closing = true;
        if let Some(client) = &state.client {
            let _ = client.shutdown(Shutdown::Both);
        }
        drop(state);
        self.desk.closed.notify_one();
        // Accepting has no end of its own: it is given somebody to accept.
        if TcpStream::connect_timeout(&self.address, REQUEST_WITHIN).is_ok() {
            let _ = self.thread.join();
        }
    }
}

impl Desk {
    fn serve(&self, listener: &TcpListener, node: &Node<Store>) {
        for client in listener.incoming() {
            match client {
                Ok(client) => {
                    let client = Arc::new(client);
                    if !self.admit(Some(Arc::clone(&client))) {
                        return;
                    }
                    if let Err(error) = answer(&client, || node.metrics().to_prometheus()) {
                        log::debug!("a request for metrics was not answered: {error}");
                    }
                    self.admit(None);
                }
                Err(error) => {
                    log::warn!("a request for metrics could not be taken in: {error}");
                    let waits = |state: &mut State| !state.closing;
                    drop(self.closed.wait_timeout_while(self.lock(), FULL_FOR, waits));
                }
            }
        }
    }

    /// The next client, or none; `false` if the port is closed.
    fn admit(&self, client: Option<Arc<TcpStream>>) -> bool {
        let mut state = self.lock();
        state.client = client;
        !state.closing
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn answer(mut client: &TcpStream, metrics: impl FnOnce() -> String) -> io::Result<()> {
    client.set_write_timeout(Some(REQUEST_WITHIN))?;
    let (status, body) = match judge(&read_head(client)?) {
        Ok(()) => ("200 OK", metrics()),
        Err(status) => (status, format!("{status}\n")),
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
         Content-Length: {length}\r\nAllow: GET\r\nConnection: close\r\n\r\n"
    );
    client.write_all((head + &body).as_bytes())
}

/// All up to the empty line, or as much as is read of a head.
#[expect(clippy::disallowed_methods, reason = "a deadline for somebody outside")]
fn read_head(mut client: &TcpStream) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + REQUEST_WITHIN;
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !ends(&head) && head.len() < HEAD_BYTES_MAX {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        client.set_read_timeout(Some(left))?;
        match client.read(&mut piece) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => head.extend_from_slice(&piece[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(head)
}

fn ends(head: &[u8]) -> bool {
    head.windows(4).any(|window| window == b"\r\n\r\n")
}

/// Whether it asks for the metrics; if not, with what status it is refused.
fn judge(head: &[u8]) -> Result<(), &'static str> {
    if !ends(head) {
        return Err("431 Request Header Fields Too Large");
    }
    let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let words: Vec<_> = line.split(|&byte| byte == b' ').collect();
    let [method, target, version] = words[..] else { return Err("400 Bad Request") };
    let path = target.split(|&byte| byte == b'?').next().unwrap_or_default();
    match (method, path) {
        _ if !version.starts_with(b"HTTP/1.") => Err("400 Bad Request"),
        (b"GET", b"/metrics") => Ok(()),
        (_, b"/metrics") => Err("405 Method Not Allowed"),
        _ => Err("404 Not Found"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_get_of_metrics_is_served() {
        for (line, expected) in [
            ("GET /metrics HTTP/1.1", Ok(())),
            ("GET /metrics?name=x HTTP/1.0", Ok(())),
            ("POST /metrics HTTP/1.1", Err("405 Method Not Allowed")),
            ("GET / HTTP/1.1", Err("404 Not Found")),
            ("GET /metrics/more HTTP/1.1", Err("404 Not Found")),
            ("GET /metrics", Err("400 Bad Request")),
            ("GET /metrics HTTP/2", Err("400 Bad Request")),
            ("", Err("400 Bad Request")),
        ] {
            assert_eq!(judge(format!("{line}\r\nHost: a\r\n\r\n").as_bytes()), expected, "{line}");
        }
        assert!(judge(&[b'x'; HEAD_BYTES_MAX]).unwrap_err().starts_with("431"));
    }
}
