//! The engine on a bench: whoever holds the other ends types bytes and looks at bytes. Servers connect at once and
//! take all bytes, unless told otherwise.

use config::Protocol;
use engine::error::Cause;
use engine::id::{ClientId, ConnId};
use engine::topology::{PoolView, Standing, Topology};
use engine::{Closing, Core, Input, Now, Output, Process};
use stats::{Event, PoolMetric, Registry, ServerMetric, WorkerMetric};
use std::sync::Arc;

pub(crate) struct Rig {
    pub(crate) core: Core,
    pub(crate) topology: Arc<Topology>,
    pub(crate) registry: Arc<Registry>,
    /// What was not dealt with by the rig itself: failures, answers, pauses.
    pub(crate) said: Vec<Output>,
    pub(crate) now_us: u64,
    clients: Vec<Client>,
    conns: Vec<Conn>,
    /// Connections stay in the making.
    pub(crate) slow_connect: bool,
    /// New connections' servers take no bytes.
    pub(crate) takes_nothing: bool,
    /// How many connections were closed with something on them.
    pub(crate) aborted: usize,
    process: Arc<Process>,
    /// Another worker, whose outputs nobody minds.
    pub(crate) other: Option<Core>,
}

struct Client {
    id: ClientId,
    read: Vec<u8>,
    /// So many bytes it reads before it stops.
    appetite: usize,
    closed: Option<Closing>,
}

struct Conn {
    id: ConnId,
    server: usize,
    got: Vec<u8>,
    /// So many bytes the server takes before it stops.
    appetite: usize,
    up: bool,
    open: bool,
}

/// A pool of `servers` servers, called s0, s1 ..., as the configuration file makes it but without retries.
pub(crate) fn pool(protocol: Protocol, servers: usize) -> PoolView {
    pool_with(protocol, servers, "", |_| Standing::In)
}

/// The same with more lines of the file, and with servers that are where `standing` says.
pub(crate) fn pool_with(
    protocol: Protocol,
    servers: usize,
    lines: &str,
    standing: impl Fn(usize) -> Standing,
) -> PoolView {
    let redis = protocol == Protocol::Redis;
    let mut text =
        format!("pool:\n  listen: 127.0.0.1:1\n  hash: fnv1a_32\n  distribution: modula\n  redis: {redis}\n");
    lines.lines().for_each(|line| text += &format!("  {line}\n"));
    text += "  hash_tag: '{}'\n  servers:\n";
    (0..servers).for_each(|server| text += &format!("  - 127.0.0.1:{}:1 s{server}\n", 2000 + server));
    let settings = config::load(&text, &|_, _| unreachable!("no names")).expect("the text is a good one");
    let mut view = Topology::new(&settings, |_, server| standing(server)).pools.remove(0);
    (view.fail_fast, view.retry_reads, view.partial_is_miss) = (false, false, false);
    view
}

/// A redis pool.
pub(crate) fn redis(servers: usize) -> Rig {
    Rig::new(pool(Protocol::Redis, servers))
}

/// A memcached pool.
pub(crate) fn memcache(servers: usize) -> Rig {
    Rig::new(pool(Protocol::Memcache, servers))
}

/// A redis request from words.
pub(crate) fn request(words: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let words: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
    wire::resp::encode::request(words, &mut bytes);
    bytes
}

/// Requests one after another.
pub(crate) fn requests(lines: &[&str]) -> Vec<u8> {
    lines.iter().flat_map(|line| request(line)).collect()
}

impl Rig {
    pub(crate) fn new(view: PoolView) -> Rig {
        let topology = Arc::new(Topology::of(vec![view]));
        let registry = Arc::new(Registry::new(topology.layout(), 1));
        let shard = registry.shards()[0].clone();
        let process = Process::new("0.0.0", 1, registry.clone(), 16);
        let process = Arc::new(process);
        let core = Core::new(process.clone(), topology.clone(), shard, 1);
        let (said, clients, conns) = (Vec::new(), Vec::new(), Vec::new());
        let mut rig = Rig {
            core,
            topology,
            registry,
            said,
            now_us: 0,
            clients,
            conns,
            slow_connect: false,
            takes_nothing: false,
            aborted: 0,
            process,
            other: None,
        };
        rig.later(1_000);
        rig
    }

    /// Routes by `view` from now on.
    pub(crate) fn take_up(&mut self, view: PoolView) {
        self.topology = Arc::new(Topology::of(vec![view]));
        self.core.handle(Input::Topology(self.topology.clone()));
        self.act();
    }

    /// A key of `server`; different for every `number`.
    pub(crate) fn key(&self, server: u32, number: usize) -> String {
        let placement = &self.topology.pools[0].placement;
        let keys = (0..)
            .map(|n| format!("k{n}"))
            .filter(|key| placement.server(key.as_bytes(), || 0) == Some(server));
        keys.into_iter().nth(number).expect("every server has keys")
    }

    /// There are two workers from now on, and the other has this client.
    pub(crate) fn client_elsewhere(&mut self) -> ClientId {
        let shard = self.registry.shards()[0].clone();
        let (process, topology) = (self.process.clone(), self.topology.clone());
        let other = self.other.get_or_insert_with(|| Core::new(process, topology, shard, 2));
        other.tick(Now { mono_us: self.now_us, unix_us: self.now_us });
        other.open_client(0, None)
    }

    /// A client of the other worker sends something; what its worker asks this one is answered.
    pub(crate) fn send_elsewhere(&mut self, client: ClientId, bytes: impl AsRef<[u8]>) {
        let other = self.other.as_mut().expect("there is another worker");
        other.tick(Now { mono_us: self.now_us, unix_us: self.now_us });
        other.handle(Input::ClientData(client, bytes.as_ref()));
        while let Some(output) = other.next_output() {
            match output {
                Output::AskWorkers(survey) => {
                    if let Some(question) = other.begin_survey(survey, 1)
                        && question.is_for(0)
                    {
                        let found = self.core.look_into(&question, Some(1));
                        other.take_findings(survey, found);
                    }
                }
                Output::TellMonitors { pool } => other.tell_monitors(pool),
                _ => {}
            }
        }
        self.act();
    }

    /// What waits for a client of the other worker.
    pub(crate) fn waits_elsewhere(&self, client: ClientId) -> String {
        let other = self.other.as_ref().expect("there is another worker");
        String::from_utf8_lossy(other.client_output(client)).into_owned()
    }

    pub(crate) fn client(&mut self) -> usize {
        let id = self.core.open_client(0, None);
        self.clients.push(Client { id, read: Vec::new(), appetite: usize::MAX, closed: None });
        self.clients.len() - 1
    }

    /// The time, in microseconds.
    pub(crate) fn now_us(&self) -> u64 {
        self.now_us
    }

    /// Time passes, in milliseconds.
    pub(crate) fn later(&mut self, ms: u64) {
        self.now_us += ms * 1000;
        self.core.tick(Now { mono_us: self.now_us, unix_us: self.now_us });
        self.core.expire();
        self.act();
    }

    pub(crate) fn send(&mut self, client: usize, bytes: impl AsRef<[u8]>) {
        self.core.handle(Input::ClientData(self.clients[client].id, bytes.as_ref()));
        self.act();
    }

    pub(crate) fn end(&mut self, client: usize) {
        self.core.handle(Input::ClientEnd(self.clients[client].id));
        self.act();
    }

    pub(crate) fn vanish(&mut self, client: usize) {
        self.core.handle(Input::ClientLost(self.clients[client].id));
        self.act();
    }

    /// What the client has read since last asked.
    pub(crate) fn read(&mut self, client: usize) -> String {
        String::from_utf8(std::mem::take(&mut self.clients[client].read)).unwrap()
    }

    pub(crate) fn closed(&self, client: usize) -> Option<Closing> {
        self.clients[client].closed
    }

    /// The client reads so many more bytes.
    pub(crate) fn reads_at_most(&mut self, client: usize, bytes: usize) {
        self.clients[client].appetite = bytes;
        self.write_client(self.clients[client].id);
        self.act();
    }

    /// One of a server's counters.
    pub(crate) fn server_counter(&self, server: usize, metric: ServerMetric) -> u64 {
        self.process.registry.shards()[0].server(0, server, metric).get()
    }

    /// One of the pool's counters.
    pub(crate) fn pool_counter(&self, metric: PoolMetric) -> u64 {
        self.process.registry.shards()[0].pool(0, metric).get()
    }

    /// One of the worker's counters.
    pub(crate) fn worker_counter(&self, metric: WorkerMetric) -> u64 {
        self.process.registry.shards()[0].worker(metric).get()
    }

    /// The oldest event that the log has not seen.
    pub(crate) fn event(&self) -> Option<Event> {
        self.process.events.pop()
    }

    /// How many connections to a server are open.
    pub(crate) fn open_conns(&self, server: usize) -> usize {
        self.conns.iter().filter(|conn| conn.open && conn.server == server).count()
    }

    fn conn(&mut self, server: usize) -> &mut Conn {
        let conn = self.conns.iter_mut().rfind(|conn| conn.open && conn.server == server);
        conn.expect("there is a connection to the server")
    }

    /// What the server has been sent since last asked, on all its connections.
    pub(crate) fn sent(&mut self, server: usize) -> String {
        let conns = self.conns.iter_mut().filter(|conn| conn.server == server);
        let bytes = conns.flat_map(|conn| std::mem::take(&mut conn.got)).collect();
        String::from_utf8(bytes).unwrap()
    }

    /// The server takes so many more bytes on its newest connection.
    pub(crate) fn takes_at_most(&mut self, server: usize, bytes: usize) {
        let conn = self.conn(server);
        conn.appetite = bytes;
        let id = conn.id;
        self.write_conn(id);
        self.act();
    }

    /// The server says something on its newest connection.
    pub(crate) fn reply(&mut self, server: usize, bytes: impl AsRef<[u8]>) {
        let id = self.conn(server).id;
        self.core.handle(Input::ConnData(id, bytes.as_ref()));
        self.act();
    }

    /// The server says something on its oldest connection that is open.
    pub(crate) fn reply_first(&mut self, server: usize, bytes: impl AsRef<[u8]>) {
        let conn = self.conns.iter().find(|conn| conn.open && conn.server == server);
        let id = conn.expect("there is a connection to the server").id;
        self.core.handle(Input::ConnData(id, bytes.as_ref()));
        self.act();
    }

    /// The server says the same on all of its connections.
    pub(crate) fn reply_everywhere(&mut self, server: usize, bytes: impl AsRef<[u8]>) {
        let open = self.conns.iter().filter(|conn| conn.open && conn.server == server);
        let ids: Vec<ConnId> = open.map(|conn| conn.id).collect();
        ids.into_iter().for_each(|id| self.core.handle(Input::ConnData(id, bytes.as_ref())));
        self.act();
    }

    /// The newest connection to the server stands.
    pub(crate) fn connects(&mut self, server: usize) {
        let conn = self.conn(server);
        conn.up = true;
        let id = conn.id;
        self.core.handle(Input::ConnUp(id));
        self.act();
    }

    /// The newest connection to the server breaks.
    pub(crate) fn lose(&mut self, server: usize, cause: Cause) {
        let id = self.conn(server).id;
        self.core.handle(Input::ConnLost(id, cause));
        self.act();
    }

    /// Hands something in without dealing with what comes of it: more happens in the same tick.
    pub(crate) fn send_and_wait(&mut self, client: usize, bytes: impl AsRef<[u8]>) {
        self.core.handle(Input::ClientData(self.clients[client].id, bytes.as_ref()));
    }

    fn act(&mut self) {
        while let Some(output) = self.core.next_output() {
            match output {
                Output::WriteClient(id) => self.write_client(id),
                Output::WriteConn(id) => self.write_conn(id),
                Output::Connect { conn, server, .. } => {
                    let up = !self.slow_connect;
                    let server = server as usize;
                    let appetite = if self.takes_nothing { 0 } else { usize::MAX };
                    let conn = Conn { id: conn, server, got: Vec::new(), appetite, up, open: true };
                    if up {
                        self.core.handle(Input::ConnUp(conn.id));
                    }
                    self.conns.push(conn);
                }
                Output::CloseConn(id) | Output::AbortConn(id) => {
                    self.aborted += usize::from(matches!(output, Output::AbortConn(_)));
                    let conn = self.conns.iter_mut().find(|conn| conn.id == id);
                    conn.expect("what is closed was there").open = false;
                }
                Output::CloseClient(id, closing) => {
                    let client = self.clients.iter_mut().find(|client| client.id == id);
                    client.expect("who is closed was there").closed = Some(closing);
                }
                Output::AskWorkers(survey) => {
                    let question = self.core.begin_survey(survey, usize::from(self.other.is_some()));
                    if let (Some(question), Some(other)) = (question, &mut self.other)
                        && question.is_for(1)
                    {
                        let found = other.look_into(&question, Some(0));
                        self.core.take_findings(survey, found);
                    }
                }
                Output::TellMonitors { pool } => self.core.tell_monitors(pool),
                other => self.said.push(other),
            }
        }
    }

    fn write_client(&mut self, id: ClientId) {
        let client =
            self.clients.iter_mut().find(|client| client.id == id).expect("who is written to is there");
        let bytes = self.core.client_output(id);
        let count = bytes.len().min(client.appetite);
        client.read.extend_from_slice(&bytes[..count]);
        client.appetite -= count;
        if count > 0 {
            self.core.handle(Input::ClientWritten(id, count));
        }
    }

    fn write_conn(&mut self, id: ConnId) {
        let conn = self.conns.iter_mut().find(|conn| conn.id == id).expect("what is written to is there");
        let bytes = self.core.conn_output(id);
        assert!(conn.up || bytes.is_empty(), "nothing is written before the connection stands");
        let count = bytes.len().min(conn.appetite);
        conn.got.extend_from_slice(&bytes[..count]);
        conn.appetite -= count;
        if count > 0 {
            self.core.handle(Input::ConnWritten(id, count));
        }
    }
}
