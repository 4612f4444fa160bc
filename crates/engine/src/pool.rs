//! Servers and the connections to them: choosing one, opening it, queueing on it, writing.

use crate::core::Core;
use crate::databases::{self, Databases, Mode};
use crate::docs::Docs;
use crate::error::Cause;
use crate::functions::Functions;
use crate::gather::Form;
use crate::id::ConnId;
use crate::limits::reconnect_wait_us;
use crate::monitor::Monitored;
use crate::output::Output;
use crate::request::{Step, Target};
use crate::route::halt::Pause;
use crate::scripts::Scripts;
use crate::server_conn::{Care, InFlight, Phase, Scan, ServerConn};
use crate::slab::NONE;
use crate::topology::{PoolView, ServerView};
use config::Protocol;
use stats::{Counter, ServerMetric, WorkerMetric};
use std::collections::VecDeque;
use wire::resp::encode;

/// A worker's side of a pool.
#[derive(Debug)]
pub struct PoolState {
    pub(crate) servers: Vec<ServerState>,
    /// Connections that clients have to themselves.
    pub(crate) pinned: usize,
    /// Scripts that its clients have sent.
    pub(crate) scripts: Scripts,
    /// Libraries of functions that its clients have loaded.
    pub(crate) functions: Functions,
    /// Whether its clients' requests wait.
    pub(crate) pause: Option<Pause>,
    /// Who monitors its clients.
    pub(crate) monitored: Option<Box<Monitored>>,
    /// What one of its servers says of its commands, in RESP2 and in RESP3.
    pub(crate) docs: [Docs; 2],
    /// How its servers write scores, as far as they have told.
    pub(crate) score_form: Option<Form>,
    /// Which databases its clients have selected.
    pub(crate) databases: Databases,
    /// Until when nobody is told of commands that are not known, in microseconds.
    pub(crate) unknown_from_us: u64,
}

/// A worker's side of a server.
#[derive(Debug)]
pub struct ServerState {
    /// The shared connections by place, for each database those of RESP2 first, then those of RESP3, then those on which
    /// servers say what changes of that which was read; `NONE` where there is none now. There are as many databases as
    /// have been needed.
    pub(crate) conns: Vec<u32>,
    /// Connections that timed out and still owe replies, the oldest first.
    pub(crate) retired: VecDeque<u32>,
    /// Connections that carried a large transfer and wait for another use.
    pub(crate) spare: Vec<u32>,
    /// Whether a failure was reported and no reply since.
    pub(crate) failing: bool,
    /// How long its requests may take, in microseconds; none: as long as the pool says.
    pub(crate) timeout_us: Option<u64>,
    /// Connections in a row that could not be made.
    pub(crate) refused: u32,
    /// Until when no further one is tried, in microseconds.
    pub(crate) connect_from_us: u64,
    /// Why it is known to refuse or to hang; with `fail_fast` nothing is sent to it then.
    pub(crate) down: Option<Cause>,
    /// Whether it is not to be asked, as the topology says.
    pub(crate) drained: bool,
}

impl ServerState {
    /// Why it is not to be asked anything now, if so.
    #[inline]
    pub(crate) fn check(&self) -> Result<(), Cause> {
        match self.down {
            None if !self.drained => Ok(()),
            Some(cause) if !self.drained => Err(cause),
            _ => Err(Cause::Drained),
        }
    }
}

impl PoolState {
    /// No connection yet.
    pub fn new(view: &PoolView) -> PoolState {
        let server = |server: &ServerView| ServerState {
            conns: vec![NONE; view.server_connections * databases::KINDS as usize],
            retired: VecDeque::new(),
            spare: Vec::new(),
            failing: false,
            timeout_us: None,
            refused: 0,
            connect_from_us: 0,
            down: None,
            drained: server.drained,
        };
        PoolState {
            servers: view.servers.iter().map(server).collect(),
            pinned: 0,
            scripts: Scripts::default(),
            functions: Functions::default(),
            pause: None,
            monitored: None,
            docs: Default::default(),
            score_form: None,
            databases: Databases::default(),
            unknown_from_us: 0,
        }
    }
}

impl Core {
    /// The server that owns `key` now.
    #[inline]
    pub(crate) fn place(&mut self, pool: u32, key: &[u8]) -> Option<u32> {
        let view = &self.topology.pools[pool as usize];
        if view.random { self.place_at_random(pool, key) } else { view.place(key, 0) }
    }

    #[cold]
    fn place_at_random(&mut self, pool: u32, key: &[u8]) -> Option<u32> {
        let draw = self.draw();
        self.topology.pools[pool as usize].place(key, draw)
    }

    /// The place of the connections that carry a client's requests: always the same, so that they reach a server in
    /// order, and one of the client's own database and protocol, so that nothing needs to be switched or converted.
    #[inline]
    pub(crate) fn slot(&self, c: u32) -> u32 {
        self.replies.clients[c].slot
    }

    /// Says which place that is, for a new client. [`Core::change_mode`] does for others.
    pub(crate) fn give_slot(&mut self, c: u32) {
        self.replies.clients[c].slot = self.place_of(c, Mode::default());
    }

    /// The place of a client that is set to `mode`.
    pub(crate) fn place_of(&self, c: u32, mode: Mode) -> u32 {
        let lanes = self.topology.pools[self.replies.clients[c].pool as usize].server_connections;
        mode.first_slot(mode.resp3 && self.is_reader(c), lanes) + c % lanes as u32
    }

    /// The connection to `server` in a place; a new one where there is none.
    #[inline]
    pub(crate) fn conn_for(&mut self, pool: u32, server: u32, slot: u32) -> u32 {
        let conn = self.pools[pool as usize].servers[server as usize].conns[slot as usize];
        if conn != NONE { conn } else { self.new_conn(pool, server, slot) }
    }

    /// A connection for an empty place: one that is spare, or a new one.
    #[cold]
    fn new_conn(&mut self, pool: u32, server: u32, slot: u32) -> u32 {
        let lanes = self.topology.pools[pool as usize].server_connections;
        let mode = Mode::of_slot(slot, lanes);
        let s = if let Some(spare) = self.take_spare(pool, server, mode) {
            (self.conns[spare].slot, self.conns[spare].lane) = (Some(slot), false);
            self.pools[pool as usize].servers[server as usize].conns[slot as usize] = spare;
            spare
        } else {
            self.open_conn(pool, server, Some(slot), mode)
        };
        if databases::is_tracked(slot, lanes) {
            self.track_conn(s);
        }
        s
    }

    /// Why a server is not to be asked anything now, if so.
    pub(crate) fn check_server(&self, pool: u32, server: u32) -> Result<(), Cause> {
        self.pools[pool as usize].servers[server as usize].check()
    }

    /// The connection to `server` in a place, unless the server is known to be down or has too much waiting already.
    #[inline(always)] // into what every request passes
    pub(crate) fn usable_conn(&mut self, pool: u32, server: u32, slot: u32) -> Result<u32, Cause> {
        let state = &self.pools[pool as usize].servers[server as usize];
        state.check()?;
        let s = state.conns[slot as usize];
        let s = if s != NONE { s } else { self.new_conn(pool, server, slot) };
        if self.conns[s].is_full() { Err(Cause::QueueFull) } else { Ok(s) }
    }

    /// A server is known to be down, here or at another worker; or it answers again.
    pub(crate) fn mark_server(&mut self, pool: u32, server: u32, down: Option<Cause>) {
        let fail_fast = self.topology.pools[pool as usize].fail_fast;
        let state = &mut self.pools[pool as usize].servers[server as usize];
        state.down = down.filter(|_| fail_fast);
        if down.is_none() {
            // A probe was answered: there is no need to wait any longer.
            (state.refused, state.connect_from_us) = (0, 0);
            for slot in 0..state.conns.len() {
                let s = self.pools[pool as usize].servers[server as usize].conns[slot];
                if s != NONE && self.conns[s].phase == Phase::Waiting {
                    self.connect(s);
                }
            }
            self.hurry_feed(pool, server);
            self.hurry_broadcast(pool, server);
        }
    }

    /// Begins a new connection, for a place among the shared ones or for a large request.
    pub(crate) fn open_conn(&mut self, pool: u32, server: u32, slot: Option<u32>, mode: Mode) -> u32 {
        let view = &self.topology.pools[pool as usize];
        let scan = match view.protocol {
            Protocol::Redis => Scan::Resp(Default::default()),
            Protocol::Memcache => Scan::Memcache(Default::default()),
        };
        let s = self.conns.insert(ServerConn::new(pool, server, slot, mode, scan));
        if let Some(slot) = slot {
            self.pools[pool as usize].servers[server as usize].conns[slot as usize] = s;
        }
        if self.topology.pools[pool as usize].protocol == Protocol::Redis {
            self.queue_handshake(s);
        }
        let from = self.pools[pool as usize].servers[server as usize].connect_from_us;
        if from > self.now.mono_us {
            self.conns[s].phase = Phase::Waiting;
            self.reconnects.arm(self.conns.id(s), from);
        } else {
            self.connect(s);
        }
        s
    }

    /// Has the worker connect.
    pub(crate) fn connect(&mut self, s: u32) {
        let (pool, server) = (self.conns[s].pool, self.conns[s].server);
        self.conns[s].phase = Phase::Connecting;
        self.shard.worker(WorkerMetric::CurrConnections).add(1);
        self.shard.worker(WorkerMetric::TotalConnections).add(1);
        if let Some(connect) = self.topology.pools[pool as usize].connect_us {
            self.connects.arm(self.conns.id(s), self.now.mono_us.saturating_add(connect));
        }
        self.replies.outputs.push(Output::Connect { conn: self.conns.id(s), pool, server });
    }

    /// A connection could not be made: the next attempt waits, by chance up to a quarter longer.
    pub(crate) fn back_off(&mut self, pool: u32, server: u32) {
        let chance = u64::from(self.draw());
        let state = &mut self.pools[pool as usize].servers[server as usize];
        let wait = reconnect_wait_us(state.refused);
        state.refused = state.refused.saturating_add(1);
        let later = wait / 4 * chance / u64::from(u32::MAX);
        state.connect_from_us = self.now.mono_us.saturating_add(wait + later);
    }

    /// AUTH (in RESP3 within HELLO) comes before SELECT, and both before any request.
    fn queue_handshake(&mut self, s: u32) {
        let view = &self.topology.pools[self.conns[s].pool as usize];
        let Mode { db, resp3 } = self.conns[s].mode;
        let password = view.redis_auth.clone();
        let db = self.database(self.conns[s].pool, db);
        if resp3 {
            self.append(s, |out| match &password {
                Some(password) => {
                    encode::request([b"HELLO".as_slice(), b"3", b"AUTH", b"default", password], out)
                }
                None => encode::request([b"HELLO".as_slice(), b"3"], out),
            });
            self.queued(s, Target::Handshake(Step::Hello), Care::default());
        } else if let Some(password) = password {
            self.append(s, |out| encode::request([b"AUTH".as_slice(), &password], out));
            self.queued(s, Target::Handshake(Step::Auth), Care::default());
        }
        if db > 0 {
            self.append(s, |out| encode::request([b"SELECT".as_slice(), db.to_string().as_bytes()], out));
            self.queued(s, Target::Handshake(Step::Select), Care::default());
        }
    }

    /// Appends bytes of a request to a connection. [`Core::queued`] follows when it is whole.
    #[inline]
    pub(crate) fn append(&mut self, s: u32, write: impl FnOnce(&mut Vec<u8>)) {
        write(self.conns[s].stream.buffer(&mut self.replies.buffers));
    }

    /// What was appended is a request: its reply is for `target`.
    #[inline]
    pub(crate) fn queued(&mut self, s: u32, target: Target, care: Care) {
        self.send(s, target, care, |_| {});
    }

    /// Appends a request, or the end of one, to a connection: its reply is for `target`.
    #[inline]
    pub(crate) fn send(&mut self, s: u32, target: Target, care: Care, write: impl FnOnce(&mut Vec<u8>)) {
        self.send_inline(s, target, care, write);
    }

    /// The same, for where that is done again and again.
    #[inline(always)]
    pub(crate) fn send_inline(
        &mut self,
        s: u32,
        target: Target,
        care: Care,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let now = self.now.mono_us;
        let conn = &mut self.conns[s];
        write(conn.stream.buffer(&mut self.replies.buffers));
        let bytes = conn.queue_up(target, care, now);
        self.queued_up(s, target, bytes);
    }

    /// A request of so many bytes is in a connection's queue.
    #[inline(always)]
    pub(crate) fn queued_up(&mut self, s: u32, target: Target, bytes: u64) {
        let now = self.now.mono_us;
        let conn = &mut self.conns[s];
        let counters = self.shard.server_shard(conn.pool as usize, conn.server as usize);
        if !matches!(target, Target::Handshake(_)) {
            counters.counter(ServerMetric::Requests).add(1);
            counters.counter(ServerMetric::RequestBytes).add(bytes);
        }
        counters.counter(ServerMetric::InQueue).add(1);
        counters.counter(ServerMetric::InQueueBytes).add(bytes);
        let unarmed = conn.armed.is_none();
        if !conn.dirty && conn.phase == Phase::Ready {
            conn.dirty = true;
            self.replies.outputs.push(Output::WriteConn(self.conns.id(s)));
        }
        if unarmed {
            self.arm(s, now);
        }
    }

    /// The request queued last on a connection, to say more about it.
    #[inline]
    pub(crate) fn last_queued(&mut self, s: u32) -> Option<&mut InFlight> {
        self.conns[s].queue.back_mut()
    }

    pub(crate) fn arm(&mut self, s: u32, from_us: u64) {
        if let Some(timeout) = self.timeout_us(s) {
            let at = from_us.saturating_add(timeout);
            self.conns[s].armed = Some(at);
            self.deadlines.arm(self.conns.id(s), at);
        }
    }

    pub(crate) fn preconnect(&mut self) {
        for pool in 0..self.pools.len() as u32 {
            for server in 0..self.topology.pools[pool as usize].own as u32 {
                self.conn_for(pool, server, 0);
            }
        }
    }

    pub(crate) fn conn_up(&mut self, s: u32) {
        let conn = &mut self.conns[s];
        conn.heard_us = self.now.mono_us;
        let handshake = conn.queue.iter().take_while(|entry| matches!(entry.target, Target::Handshake(_)));
        conn.phase = match handshake.count() {
            0 => Phase::Ready,
            n => Phase::Handshaking(conn.queue.get(n).map_or(conn.whole, |next| next.start)),
        };
        let (pool, server) = (conn.pool as usize, conn.server as usize);
        let state = &mut self.pools[pool].servers[server];
        (state.refused, state.connect_from_us) = (0, 0);
        self.count_server(s, ServerMetric::ServerConnections).add(1);
        if let Some(idle) = self.topology.pools[self.conns[s].pool as usize].server_idle_us {
            self.arm_idle(s, self.now.mono_us.saturating_add(idle));
        }
        self.arm_deserted(s);
        self.wake_conn(s);
    }

    pub(crate) fn wake_conn(&mut self, s: u32) {
        let conn = &mut self.conns[s];
        if !conn.dirty && !conn.writable().is_empty() {
            conn.dirty = true;
            self.replies.outputs.push(Output::WriteConn(self.conns.id(s)));
        }
    }

    pub(crate) fn conn_written(&mut self, id: ConnId, count: usize) {
        let Some(conn) = self.conns.live_mut(id) else { return };
        let s = id.index() as u32;
        let left = conn.wrote(count);
        // Until the rest is taken the worker waits for the socket and needs no further call.
        conn.dirty = !conn.writable().is_empty();
        let counters = self.shard.server_shard(conn.pool as usize, conn.server as usize);
        counters.counter(ServerMetric::InQueue).sub(left.requests as u64);
        counters.counter(ServerMetric::InQueueBytes).sub(left.bytes);
        counters.counter(ServerMetric::OutQueue).add(left.requests as u64);
        counters.counter(ServerMetric::OutQueueBytes).add(left.bytes);
        if conn.lane {
            self.transfer_written(s);
        }
    }

    pub(crate) fn count_server(&self, s: u32, metric: ServerMetric) -> &Counter {
        let conn = &self.conns[s];
        self.shard.server(conn.pool as usize, conn.server as usize, metric)
    }
}
