//! A client that has nothing to do with what happens: it sets and gets small values on all servers, a request at a time,
//! verifies each reply and remembers the slowest.

use serde::{Deserialize, Serialize};
use std::io::{ErrorKind, Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What it saw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// Requests that got the right reply.
    pub(crate) requests: u64,
    /// Requests that got an error reply.
    pub(crate) errors: u64,
    /// The first of these errors.
    pub(crate) first_error: Option<String>,
    /// The slowest, whatever came of it.
    pub(crate) slowest_us: u64,
    /// Why it stopped before it was asked to: a wrong reply, none, or a closed connection.
    pub(crate) failure: Option<String>,
}

/// The client, at work in a thread of its own until it is ended.
#[derive(Debug)]
pub(crate) struct Neighbour {
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<Seen>>,
}

impl Neighbour {
    /// Connects and begins.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(crate) fn start(target: SocketAddr) -> std::io::Result<Self> {
        let end = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&end);
        let thread =
            std::thread::Builder::new().name("neighbour".to_owned()).spawn(move || visit(target, &ended))?;
        Ok(Self { end, thread: Some(thread) })
    }

    /// Ends it after the request that is under way.
    pub(crate) fn end(mut self) -> Seen {
        self.finish()
    }

    fn finish(&mut self) -> Seen {
        self.end.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else { return Seen::default() };
        let broken = |_| Seen { failure: Some("the bench's own client broke".to_owned()), ..Seen::default() };
        thread.join().unwrap_or_else(broken)
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        self.finish();
    }
}

fn visit(target: SocketAddr, end: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    if let Err(failure) = stay(target, end, &mut seen) {
        seen.failure = Some(failure);
    }
    seen
}

fn stay(target: SocketAddr, end: &AtomicBool, seen: &mut Seen) -> Result<(), String> {
    let mut socket = open(target).map_err(|error| format!("connecting: {error}"))?;
    for round in 0_u64.. {
        let key = format!("{:02}:neighbour", round % KEYS);
        let value = round.to_string();
        let set = format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${}\r\n{value}\r\n", key.len(), value.len());
        let get = format!("*2\r\n$3\r\nGET\r\n${}\r\n{key}\r\n", key.len());
        let mut stored = false;
        for (request, right) in
            [(set, "+OK\r\n".to_owned()), (get, format!("${}\r\n{value}\r\n", value.len()))]
        {
            let start = Instant::now();
            let reply = ask(&mut socket, request.as_bytes());
            seen.slowest_us = seen.slowest_us.max(start.elapsed().as_micros() as u64);
            let reply = reply.map_err(|error| match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => format!("no reply for {PATIENCE:?}"),
                _ => format!("its connection was closed: {error}"),
            })?;
            if reply.starts_with(b"-") {
                let text = String::from_utf8_lossy(&reply).trim_end().to_owned();
                seen.errors += 1;
                seen.first_error.get_or_insert(text);
            } else if reply == right.as_bytes() {
                seen.requests += 1;
                stored = true;
            } else if stored || right.starts_with('+') {
                // Where the SET failed, the value may be an older one.
                return Err(format!("wrong reply: {}", String::from_utf8_lossy(&reply)));
            }
        }
        if end.load(Ordering::Relaxed) {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

fn open(target: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpStream::connect(target)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// Sends a request and reads its reply, whatever it is.
fn ask(socket: &mut TcpStream, request: &[u8]) -> std::io::Result<Vec<u8>> {
    socket.write_all(request)?;
    read(socket)
}

/// Reads a line and, where it announces one, a value.
fn read(from: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let mut reply = Vec::new();
    while !reply.ends_with(b"\r\n") && reply.len() < REPLY_BYTES_MAX {
        let mut next = [0];
        from.read_exact(&mut next)?;
        reply.push(next[0]);
    }
    let line = String::from_utf8_lossy(&reply);
    let value = line.strip_prefix('$').and_then(|length| length.trim_end().parse::<usize>().ok());
    if let Some(length) = value {
        let begun = reply.len();
        reply.resize(begun + length.min(REPLY_BYTES_MAX) + 2, 0);
        from.read_exact(&mut reply[begun..])?;
    }
    Ok(reply)
}

/// Names of keys, enough for four servers to have some each. They differ at their beginning: with FNV hashes those that
/// differ in their last letter are on the same server.
const KEYS: u64 = 64;
/// Longer than any right reply, and than any error.
const REPLY_BYTES_MAX: usize = 1 << 10;
/// After this long without a reply it leaves.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two pairs of requests: it is there to look, not to load.
const PAUSE: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// A client that asked a server which answered so many requests with one text.
    fn visit_one(replies: &'static [&'static str]) -> Seen {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let mut socket = listener.accept().unwrap().0;
            let mut buffer = [0; 1024];
            for reply in replies {
                assert!(socket.read(&mut buffer).unwrap() > 0);
                socket.write_all(reply.as_bytes()).unwrap();
            }
        });
        let seen = visit(target, &AtomicBool::new(false));
        server.join().unwrap();
        seen
    }

    #[test]
    fn right_wrong_and_error_replies_are_told_apart() {
        let seen = visit_one(&["+OK\r\n", "$1\r\n0\r\n", "-ERR no\r\n", "$1\r\n0\r\n"]);
        assert_eq!((seen.requests, seen.errors, seen.first_error.as_deref()), (2, 1, Some("-ERR no")));
        assert!(seen.failure.unwrap().contains("closed"));
        let seen = visit_one(&["-ERR no\r\n", "$-1\r\n"]);
        assert!(seen.failure.unwrap().contains("closed"), "what was not stored is not there");
        let seen = visit_one(&["+OK\r\n", "$1\r\n7\r\n"]);
        assert!(seen.failure.unwrap().contains("wrong reply: $1"));
    }

    #[test]
    fn nobody_there() {
        let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let seen = Neighbour::start(gone).unwrap().end();
        assert!(seen.failure.unwrap().contains("connecting"));
    }
}
