//! A server that plays a script: the same few steps on every connection, or others per connection.
//!
//! ```text
//! Peer ── listener thread ── a thread per connection: step, step, ... close
//!   └──── what each connection received, and which steps did not go as written
//! ```
//! It never talks on its own; whatever is not a step does not happen. After the last step the connection is
//! closed.

mod player;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::wait;
use player::Player;

/// One thing a scripted connection does.
#[derive(Debug, Clone)]
pub enum Step {
    /// Reads exactly these bytes; others are a failure and end the connection.
    Expect(Vec<u8>),
    /// Reads this many whole requests, redis or memcached, whatever they ask (see
    /// [`crate::framing::request`]).
    Requests(usize),
    /// Sends these bytes in one write.
    Send(Vec<u8>),
    /// Sends these bytes in pieces of `size`, pausing before each.
    SendSlowly {
        /// What to send.
        bytes: Vec<u8>,
        /// Bytes per write, at least 1.
        size: usize,
        /// Before each piece.
        pause: Duration,
    },
    /// Reads and records at most `size` bytes at a time, pausing before each, until the client closes.
    ReadSlowly {
        /// Bytes per read, at least 1.
        size: usize,
        /// Before each read.
        pause: Duration,
    },
    /// Reads and records until the client closes.
    ReadToEnd,
    /// Does nothing, not even read, until the gate opens.
    Stall(Gate),
    /// Goes back to the first step.
    Again,
    /// Closes in order.
    Close,
    /// Closes with a reset (`SO_LINGER` of 0).
    Reset,
}

impl Step {
    /// [`Step::Expect`] of anything that is bytes.
    pub fn expect(bytes: impl AsRef<[u8]>) -> Step {
        Step::Expect(bytes.as_ref().to_vec())
    }

    /// [`Step::Send`] of anything that is bytes.
    pub fn send(bytes: impl AsRef<[u8]>) -> Step {
        Step::Send(bytes.as_ref().to_vec())
    }
}

/// Holds scripted connections back until it is opened; it stays open.
#[derive(Debug, Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    /// A closed gate.
    pub fn new() -> Gate {
        Gate::default()
    }

    /// Lets everybody through, now and later.
    pub fn open(&self) {
        *lock(&self.0.0) = true;
        self.0.1.notify_all();
    }

    /// Whether it has been opened.
    pub fn is_open(&self) -> bool {
        *lock(&self.0.0)
    }

    /// Waits a moment for the gate to open, and says whether it is.
    fn wait_a_moment(&self) -> bool {
        let open = lock(&self.0.0);
        *self.0.1.wait_timeout_while(open, LOOK_UP, |open| !*open).unwrap_or_else(PoisonError::into_inner).0
    }
}

/// The scripted server. Stops on drop; a connection in the middle of its script is closed.
#[derive(Debug)]
pub struct Peer {
    addr: SocketAddr,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    connections: Mutex<Vec<Connection>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Connection {
    received: Vec<u8>,
    failure: Option<String>,
    over: bool,
}

impl Peer {
    /// Plays `steps` on every connection, on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When no port can be bound.
    pub fn start(steps: Vec<Step>) -> io::Result<Peer> {
        Peer::start_each(vec![steps])
    }

    /// Plays the first script on the first connection and so on; the last one also on all further
    /// connections.
    ///
    /// # Errors
    /// When no port can be bound.
    pub fn start_each(scripts: Vec<Vec<Step>>) -> io::Result<Peer> {
        Peer::start_on(0, scripts)
    }

    /// As [`Peer::start_each`], on a port of 127.0.0.1 that is known beforehand.
    ///
    /// # Errors
    /// When the port cannot be bound.
    pub fn start_on(port: u16, scripts: Vec<Vec<Step>>) -> io::Result<Peer> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let listener = thread::spawn(move || accept(&listener, &scripts, &of_thread));
        Ok(Peer { addr, shared, listener: Some(listener) })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    /// How many connections it has accepted so far.
    pub fn connections(&self) -> usize {
        lock(&self.shared.connections).len()
    }

    /// How many of them are still playing.
    pub fn open_connections(&self) -> usize {
        lock(&self.shared.connections).iter().filter(|c| !c.over).count()
    }

    /// What a connection, counted from 0 in order of arrival, has received so far.
    pub fn received(&self, connection: usize) -> Vec<u8> {
        lock(&self.shared.connections).get(connection).map(|c| c.received.clone()).unwrap_or_default()
    }

    /// What all connections have received so far, in order of arrival of the connections.
    pub fn received_in_all(&self) -> Vec<u8> {
        lock(&self.shared.connections).iter().flat_map(|c| c.received.iter().copied()).collect()
    }

    /// Waits for this many connections.
    ///
    /// # Panics
    /// At the deadline.
    #[track_caller]
    pub fn wait_connections(&self, count: usize) {
        wait::until(&format!("{count} connections to the scripted peer"), || self.connections() >= count);
    }

    /// Waits until all connections together have received this many bytes.
    ///
    /// # Panics
    /// At the deadline.
    #[track_caller]
    pub fn wait_received(&self, bytes: usize) {
        wait::until(&format!("{bytes} bytes to the scripted peer"), || self.received_in_all().len() >= bytes);
    }

    /// Which connections saw something else than their script expected, in words.
    pub fn failures(&self) -> Vec<String> {
        lock(&self.shared.connections).iter().filter_map(|c| c.failure.clone()).collect()
    }

    /// Fails the test if a connection saw something else than its script expected.
    ///
    /// # Panics
    /// Then.
    #[track_caller]
    pub fn check(&self) {
        let failures = self.failures();
        assert!(failures.is_empty(), "the scripted peer was surprised: {}", failures.join("; "));
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        // Wakes the listener out of accept.
        let _ = TcpStream::connect(self.addr);
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
        for thread in std::mem::take(&mut *lock(&self.shared.threads)) {
            let _ = thread.join();
        }
    }
}

fn accept(listener: &TcpListener, scripts: &[Vec<Step>], shared: &Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept() {
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        let index = {
            let mut all = lock(&shared.connections);
            all.push(Connection::default());
            all.len() - 1
        };
        let steps = scripts.get(index).or(scripts.last()).cloned().unwrap_or_default();
        let player = Player { stream, index, unread: Vec::new(), shared: Arc::clone(shared) };
        lock(&shared.threads).push(thread::spawn(move || player.run(&steps)));
    }
}

/// A test that failed while holding the lock has failed already; its data is still good for the others.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How often a blocked connection looks whether the peer is being dropped.
const LOOK_UP: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Client;

    fn client(peer: &Peer) -> Client {
        Client::connect(peer.addr()).expect("accepted")
    }

    #[test]
    fn plays_its_steps_and_records() {
        let steps = vec![
            Step::expect("ping\r\n"),
            Step::send("pong\r\n"),
            Step::Requests(2),
            Step::send("2"),
            Step::Close,
        ];
        let peer = Peer::start(steps).expect("listens");
        let mut c = client(&peer);
        c.send_bytewise(b"ping\r\n");
        c.expect(b"pong\r\n");
        c.send(b"*1\r\n$1\r\na\r\nset a 0 0 1\r\nx\r\n");
        assert_eq!(c.to_end(), b"2");
        assert_eq!(peer.received(0), b"ping\r\n*1\r\n$1\r\na\r\nset a 0 0 1\r\nx\r\n");
        wait::until("the script to end", || peer.open_connections() == 0);
        peer.check();
    }

    #[test]
    fn notes_a_surprise() {
        let peer = Peer::start(vec![Step::expect("ping"), Step::send("pong")]).expect("listens");
        let mut c = client(&peer);
        c.send(b"poke");
        assert!(c.try_to_end().map_or(true, |rest| rest.is_empty()), "nothing is sent after a surprise");
        wait::until("the failure", || !peer.failures().is_empty());
        assert_eq!(peer.failures(), ["expected \"ping\", got \"poke\""]);
    }

    #[test]
    fn each_connection_has_its_script_and_the_last_one_repeats() {
        let scripts = vec![vec![Step::send("a")], vec![Step::send("b")]];
        let peer = Peer::start_each(scripts).expect("listens");
        let got: Vec<_> = (0..3).map(|_| client(&peer).to_end()).collect();
        assert_eq!(got, [b"a", b"b", b"b"]);
        assert_eq!(peer.connections(), 3);
    }

    #[test]
    fn stalls_until_told() {
        let gate = Gate::new();
        let peer = Peer::start(vec![Step::Stall(gate.clone()), Step::send("now")]).expect("listens");
        let mut c = client(&peer);
        assert!(c.silent_for(Duration::from_millis(20)));
        assert!(!gate.is_open());
        gate.open();
        assert_eq!(c.to_end(), b"now");
    }

    #[test]
    fn again_starts_over() {
        let peer = Peer::start(vec![Step::Requests(1), Step::send("+OK\r\n"), Step::Again]).expect("listens");
        let mut c = client(&peer);
        for _ in 0..5 {
            assert_eq!(c.ask(&["x"]), b"+OK\r\n");
        }
    }

    #[test]
    fn drop_ends_connections_in_any_step() {
        let gate = Gate::new();
        for step in [Step::ReadToEnd, Step::Stall(gate), Step::Requests(1), Step::send(vec![0; 64 << 20])] {
            let peer = Peer::start(vec![step]).expect("listens");
            let mut c = client(&peer);
            peer.wait_connections(1);
            drop(peer);
            let _ = c.try_to_end();
        }
    }
}
