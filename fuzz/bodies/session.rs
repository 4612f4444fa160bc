//! What the fuzz target `session` does with its bytes: three clients, two of them in RESP3, and servers that answer anything.
//! `crates/engine/tests/seeds.rs` does the same with the seeds and with what random changes make of them.
//!
//! A stream is made of steps, each a letter and what follows it up to a byte 255:
//! - `A` to `C`: these bytes come from that client; `a` to `d`: from that one of the open connections to servers;
//! - `t`: so many times 10 ms go by; `x`: that connection breaks; `q`: that client is gone, and another one comes; `e`: it
//!   ends its side. They take one byte.

use config::Protocol;
use engine::error::Cause;
use engine::id::{ClientId, ConnId};
use engine::topology::{Standing, Topology};
use engine::{Core, Input, Now, Output, Process};
use stats::{PoolMetric, Registry, Shard};
use std::sync::Arc;
use wire::Limits;
use wire::resp::{ReplyParse, ReplyScan};

const POOL: &str = "pool:\n  listen: 127.0.0.1:1\n  redis: true\n  hash: fnv1a_32\n  distribution: modula\n  \
    timeout: 400\n  pinned_connections: 3\n  servers:\n  - 127.0.0.1:2:1 a\n  - 127.0.0.1:3:1 b\n";

/// What a server says to HELLO 3.
const GREETING: &[u8] = b"%1\r\n$5\r\nproto\r\n:3\r\n";

/// Runs a stream, with values passed on from 100 bytes, and from the usual size.
pub(crate) fn run(data: &[u8]) {
    for stream_from in [100, 512 << 10] {
        let mut session = Session::new(stream_from);
        session.steps(data);
        session.end();
    }
}

struct Session {
    core: Core,
    shard: Arc<Shard>,
    now_us: u64,
    clients: Vec<Client>,
    /// Those that are open, and whether they have greeted.
    conns: Vec<(ConnId, bool)>,
}

struct Client {
    id: ClientId,
    open: bool,
    /// What it has read and is no whole reply yet.
    read: Vec<u8>,
    scan: ReplyScan,
}

impl Session {
    fn new(stream_from: usize) -> Session {
        let settings = config::load(POOL, &|_, _| unreachable!("no names")).expect("the text is a good one");
        let mut view = Topology::new(&settings, |_, _| Standing::In).pools.remove(0);
        view.stream_from = stream_from;
        assert_eq!(view.protocol, Protocol::Redis);
        let topology = Arc::new(Topology::of(vec![view]));
        let registry = Arc::new(Registry::new(topology.layout(), 1));
        let shard = registry.shards()[0].clone();
        let process = Process::new("0.0.0", 1, registry, 16);
        let core = Core::new(Arc::new(process), topology, shard.clone(), 1);
        let mut session = Session { core, shard, now_us: 0, clients: Vec::new(), conns: Vec::new() };
        session.later(1_000_000);
        for place in 0..3 {
            session.connect(place);
        }
        session
    }

    /// A client connects, in the place of another one if there was one there.
    fn connect(&mut self, place: usize) {
        let id = self.core.open_client(0, None);
        let client = Client { id, open: true, read: Vec::new(), scan: ReplyScan::default() };
        match self.clients.get_mut(place) {
            Some(there) => *there = client,
            None => self.clients.push(client),
        }
        if place < 2 {
            self.core.handle(Input::ClientData(id, b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n"));
            self.act();
        }
    }

    fn steps(&mut self, mut data: &[u8]) {
        while let Some((step, rest)) = data.split_first() {
            let end = rest.iter().position(|byte| *byte == u8::MAX).unwrap_or(rest.len());
            let number = usize::from(rest.first().copied().unwrap_or(0));
            data = rest.get(end + 1..).unwrap_or(&[]);
            match step {
                b'A'..=b'C' => {
                    let id = self.clients[usize::from(step - b'A')].id;
                    self.core.handle(Input::ClientData(id, &rest[..end]));
                }
                b'a'..=b'd' => {
                    if let Some((id, true)) = self.conns.get(usize::from(step - b'a')).copied() {
                        self.core.handle(Input::ConnData(id, &rest[..end]));
                    }
                }
                b't' => self.later(number as u64 * 10_000),
                b'x' if !self.conns.is_empty() => {
                    let (id, _) = self.conns[number % self.conns.len()];
                    self.core.handle(Input::ConnLost(id, [Cause::Reset, Cause::Closed][number % 2]));
                }
                b'q' => {
                    let place = number % self.clients.len();
                    if self.clients[place].open {
                        self.core.handle(Input::ClientLost(self.clients[place].id));
                    }
                    self.act();
                    self.connect(place);
                }
                b'e' => {
                    let id = self.clients[number % self.clients.len()].id;
                    self.core.handle(Input::ClientEnd(id));
                }
                _ => {}
            }
            self.act();
        }
    }

    fn later(&mut self, us: u64) {
        self.now_us += us;
        self.core.tick(Now { mono_us: self.now_us, unix_us: self.now_us });
        self.act();
    }

    /// Does what the worker would do.
    fn act(&mut self) {
        self.core.expire();
        while let Some(output) = self.core.next_output() {
            match output {
                Output::WriteClient(id) => self.write_client(id),
                Output::WriteConn(id) => self.write_conn(id),
                Output::Connect { conn, .. } => {
                    self.conns.push((conn, false));
                    self.core.handle(Input::ConnUp(conn));
                }
                Output::CloseConn(id) | Output::AbortConn(id) => self.conns.retain(|(other, _)| *other != id),
                Output::CloseClient(id, _) => {
                    self.clients
                        .iter_mut()
                        .filter(|client| client.id == id)
                        .for_each(|client| client.open = false);
                }
                Output::AskWorkers(survey) => _ = self.core.begin_survey(survey, 0),
                Output::TellMonitors { pool } => self.core.tell_monitors(pool),
                _ => {}
            }
        }
    }

    /// What a client reads are replies, whatever servers say.
    fn write_client(&mut self, id: ClientId) {
        let Some(client) = self.clients.iter_mut().find(|client| client.id == id) else { return };
        let bytes = self.core.client_output(id);
        let count = bytes.len();
        client.read.extend_from_slice(bytes);
        let mut used = 0;
        while used < client.read.len() {
            match client.scan.scan(&client.read[used..], &Limits::NONE) {
                ReplyParse::Complete { len, .. } => used += len,
                ReplyParse::Partial => break,
                ReplyParse::Invalid(error) => panic!("{error:?}: {}", client.read.escape_ascii()),
            }
        }
        client.read.drain(..used);
        if count > 0 {
            self.core.handle(Input::ClientWritten(id, count));
        }
    }

    /// A server takes all, and answers the handshake.
    fn write_conn(&mut self, id: ConnId) {
        let bytes = self.core.conn_output(id);
        let count = bytes.len();
        let greets = bytes.starts_with(b"*2\r\n$5\r\nHELLO\r\n");
        if count > 0 {
            self.core.handle(Input::ConnWritten(id, count));
        }
        if let Some((_, greeted)) = self.conns.iter_mut().find(|(other, _)| *other == id)
            && !std::mem::replace(greeted, true)
            && greets
        {
            self.core.handle(Input::ConnData(id, GREETING));
        }
    }

    /// All clients leave: nothing is held for them, and nothing is their own.
    fn end(&mut self) {
        for place in 0..self.clients.len() {
            if self.clients[place].open {
                self.core.handle(Input::ClientLost(self.clients[place].id));
            }
        }
        self.act();
        while let Some((id, _)) = self.conns.first().copied() {
            self.core.handle(Input::ConnLost(id, Cause::Closed));
            self.act();
        }
        let usage = self.core.usage();
        let held = (usage.clients, usage.requests, usage.merges, usage.in_flight);
        assert_eq!(held, (0, 0, 0, 0), "all is over and still held");
        for metric in [PoolMetric::PinnedConnections, PoolMetric::BlockedClients, PoolMetric::Subscriptions] {
            assert_eq!(self.shard.pool(0, metric).get(), 0, "{}", metric.row().name);
        }
    }
}
