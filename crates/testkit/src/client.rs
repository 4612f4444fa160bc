//! A blocking client that shows bytes as they are: nothing is parsed beyond finding where a reply ends.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt;

use crate::framing::{self, Framed};
use crate::wait::DEADLINE;

/// One connection to a server or a proxy. Every read fails at a deadline, [`DEADLINE`] from its start.
///
/// Methods named after what they do panic with a clear text, as tests want it; their `try_` twins answer an
/// error.
#[derive(Debug)]
pub struct Client {
    stream: Stream,
    /// Received but not handed out yet.
    rest: Vec<u8>,
    deadline: Duration,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Client {
    /// Connects to a TCP address, with Nagle's algorithm off: bytes leave as they are sent.
    ///
    /// # Errors
    /// When nobody accepts there.
    pub fn connect(addr: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect_timeout(&addr, DEADLINE)
            .map_err(|e| io::Error::new(e.kind(), format!("connecting to {addr}: {e}")))?;
        stream.set_nodelay(true)?;
        Ok(Client::over(Stream::Tcp(stream)))
    }

    /// Connects to a port of 127.0.0.1.
    ///
    /// # Errors
    /// When nobody accepts there.
    pub fn connect_port(port: u16) -> io::Result<Client> {
        Client::connect(SocketAddr::from(([127, 0, 0, 1], port)))
    }

    /// Connects to a unix socket.
    ///
    /// # Errors
    /// When nobody accepts there.
    pub fn connect_unix(path: &Path) -> io::Result<Client> {
        let stream = UnixStream::connect(path)
            .map_err(|e| io::Error::new(e.kind(), format!("connecting to {}: {e}", path.display())))?;
        Ok(Client::over(Stream::Unix(stream)))
    }

    fn over(stream: Stream) -> Client {
        Client { stream, rest: Vec::new(), deadline: DEADLINE }
    }

    /// Changes how long a read may take, for tests that expect silence.
    pub fn set_deadline(&mut self, deadline: Duration) {
        self.deadline = deadline;
    }

    /// The client's own address, if it is a TCP one.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match &self.stream {
            Stream::Tcp(s) => s.local_addr().ok(),
            Stream::Unix(_) => None,
        }
    }

    /// Sends all of `bytes`.
    ///
    /// # Panics
    /// When the connection is gone.
    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        if let Err(e) = self.try_send(bytes) {
            panic!("sending {}: {e}", Shown(bytes));
        }
    }

    /// Sends all of `bytes`.
    ///
    /// # Errors
    /// When the connection is gone, or the other side has not read for the deadline.
    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Tcp(s) => s.set_write_timeout(Some(self.deadline)).and_then(|()| s.write_all(bytes)),
            Stream::Unix(s) => s.set_write_timeout(Some(self.deadline)).and_then(|()| s.write_all(bytes)),
        }
    }

    /// Sends piece after piece, each in a segment of its own, pausing so that the other side likely reads it
    /// alone.
    ///
    /// # Panics
    /// When the connection is gone.
    #[track_caller]
    pub fn send_pieces<P: AsRef<[u8]>>(&mut self, pieces: impl IntoIterator<Item = P>) {
        for piece in pieces {
            self.send(piece.as_ref());
            thread::park_timeout(BETWEEN_PIECES);
        }
    }

    /// Sends one byte at a time, see [`Client::send_pieces`].
    ///
    /// # Panics
    /// When the connection is gone.
    #[track_caller]
    pub fn send_bytewise(&mut self, bytes: &[u8]) {
        self.send_pieces(bytes.chunks(1));
    }

    /// Tells the other side that nothing more will be sent; replies can still be read.
    ///
    /// # Panics
    /// When the connection is gone.
    #[track_caller]
    pub fn finish_sending(&mut self) {
        let done = match &self.stream {
            Stream::Tcp(s) => s.shutdown(std::net::Shutdown::Write),
            Stream::Unix(s) => s.shutdown(std::net::Shutdown::Write),
        };
        done.expect("the connection is open");
    }

    /// Ends the connection with a reset in place of an orderly close (TCP only; a unix socket is just
    /// closed).
    pub fn reset(self) {
        if let Stream::Tcp(s) = &self.stream {
            let _ = sockopt::set_socket_linger(s, Some(Duration::ZERO));
        }
    }

    /// Sends a redis command and reads its reply.
    ///
    /// # Panics
    /// When no whole reply comes.
    #[track_caller]
    pub fn ask<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Vec<u8> {
        self.send(&resp(args));
        self.resp_reply()
    }

    /// Sends a memcached request as it is and reads its reply.
    ///
    /// # Panics
    /// When no whole reply comes.
    #[track_caller]
    pub fn ask_memcache(&mut self, request: &[u8]) -> Vec<u8> {
        self.send(request);
        self.memcache_reply()
    }

    /// Reads one RESP value of any type and hands it out byte for byte.
    ///
    /// # Panics
    /// When no whole value comes.
    #[track_caller]
    pub fn resp_reply(&mut self) -> Vec<u8> {
        or_panic(self.try_resp_reply())
    }

    /// As [`Client::resp_reply`].
    ///
    /// # Errors
    /// `InvalidData` for what is not RESP, `UnexpectedEof` or `TimedOut` when no whole value comes.
    pub fn try_resp_reply(&mut self) -> io::Result<Vec<u8>> {
        self.message("a RESP reply", framing::resp)
    }

    /// Reads one memcached reply (see [`framing::memcache_reply`]) and hands it out byte for byte.
    ///
    /// # Panics
    /// When no whole reply comes.
    #[track_caller]
    pub fn memcache_reply(&mut self) -> Vec<u8> {
        or_panic(self.try_memcache_reply())
    }

    /// As [`Client::memcache_reply`].
    ///
    /// # Errors
    /// As [`Client::try_resp_reply`].
    pub fn try_memcache_reply(&mut self) -> io::Result<Vec<u8>> {
        self.message("a memcached reply", framing::memcache_reply)
    }

    /// Reads exactly `count` bytes.
    ///
    /// # Panics
    /// When fewer come.
    #[track_caller]
    pub fn exactly(&mut self, count: usize) -> Vec<u8> {
        or_panic(self.message(&format!("{count} bytes"), |bytes| Ok((bytes.len() >= count).then_some(count))))
    }

    /// Reads as many bytes as `wanted` has and compares.
    ///
    /// # Panics
    /// When others or fewer come.
    #[track_caller]
    pub fn expect(&mut self, wanted: &[u8]) {
        let got = self.exactly(wanted.len());
        assert!(got == wanted, "expected {}\n     got {}", Shown(wanted), Shown(&got));
    }

    /// Reads until the other side closes.
    ///
    /// # Panics
    /// When it does not, or resets.
    #[track_caller]
    pub fn to_end(&mut self) -> Vec<u8> {
        or_panic(self.try_to_end())
    }

    /// Reads until the other side closes.
    ///
    /// # Errors
    /// `TimedOut` when it stays open, `ConnectionReset` when it resets.
    pub fn try_to_end(&mut self) -> io::Result<Vec<u8>> {
        let until = Instant::now() + self.deadline;
        while self.more(until, "the end of the connection")? {}
        Ok(std::mem::take(&mut self.rest))
    }

    /// Waits until the other side has closed or reset the connection without sending anything more.
    ///
    /// # Panics
    /// When it sends something or stays open.
    #[track_caller]
    pub fn expect_closed(&mut self) {
        match self.try_to_end() {
            Ok(rest) => assert!(rest.is_empty(), "expected the end, got {}", Shown(&rest)),
            Err(e) => assert!(e.kind() == io::ErrorKind::ConnectionReset, "{e}"),
        }
    }

    /// Whether nothing arrives for `time`, neither bytes nor the end. Costs that time; keep it short.
    pub fn silent_for(&mut self, time: Duration) -> bool {
        let until = Instant::now() + time;
        self.rest.is_empty()
            && self.more(until, "silence").is_err_and(|e| e.kind() == io::ErrorKind::TimedOut)
    }

    fn message(&mut self, what: &str, frame: impl Fn(&[u8]) -> Framed) -> io::Result<Vec<u8>> {
        let until = Instant::now() + self.deadline;
        loop {
            match frame(&self.rest) {
                Ok(Some(length)) => return Ok(self.rest.drain(..length).collect()),
                Ok(None) => {}
                Err(why) => {
                    let text = format!("expected {what}, but {why}: {}", Shown(&self.rest));
                    return Err(io::Error::new(io::ErrorKind::InvalidData, text));
                }
            }
            if !self.more(until, what)? {
                let text = format!("closed before {what} was complete; got {}", Shown(&self.rest));
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
            }
        }
    }

    /// Reads some bytes into `rest`; false at the end.
    fn more(&mut self, until: Instant, what: &str) -> io::Result<bool> {
        let mut chunk = [0; 65536];
        // A timeout of zero would mean none at all.
        let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let read = match &mut self.stream {
            Stream::Tcp(s) => s.set_read_timeout(Some(left)).and_then(|()| s.read(&mut chunk)),
            Stream::Unix(s) => s.set_read_timeout(Some(left)).and_then(|()| s.read(&mut chunk)),
        };
        match read {
            Ok(count) => {
                self.rest.extend_from_slice(chunk.get(..count).unwrap_or_default());
                Ok(count > 0)
            }
            // A process that was stopped and goes on, as a suspended machine's do; nothing is lost.
            Err(e) if e.kind() == io::ErrorKind::Interrupted => self.more(until, what),
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                let text = format!("waited in vain for {what}; got only {}", Shown(&self.rest));
                Err(io::Error::new(io::ErrorKind::TimedOut, text))
            }
            Err(e) => Err(io::Error::new(
                e.kind(),
                format!("waiting for {what}: {e}; got only {}", Shown(&self.rest)),
            )),
        }
    }
}

/// A redis request in RESP: an array of bulk strings.
pub fn resp<A: AsRef<[u8]>>(args: &[A]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        let arg = arg.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        bytes.extend_from_slice(arg);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

#[track_caller]
fn or_panic(result: io::Result<Vec<u8>>) -> Vec<u8> {
    match result {
        Ok(bytes) => bytes,
        Err(e) => panic!("{e}"),
    }
}

/// Bytes for a message: escaped, and shortened when there are many.
pub(crate) struct Shown<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.get(..SHOWN_MAX).unwrap_or(self.0);
        write!(f, "\"{}\"", shown.escape_ascii())?;
        if shown.len() < self.0.len() {
            write!(f, "... ({} bytes)", self.0.len())?;
        }
        Ok(())
    }
}

/// Longest part of a message that a failure shows.
const SHOWN_MAX: usize = 400;

/// Long enough for a reader on loopback to be woken, short enough for messages of some hundred bytes.
const BETWEEN_PIECES: Duration = Duration::from_micros(200);
