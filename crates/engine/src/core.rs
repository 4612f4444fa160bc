//! One worker's state, and the hand-over of each input to the part that deals with it.

use crate::away::Absences;
use crate::client::{Client, Reading, Scan, Transfer};
use crate::deadline::{Deadlines, NEVER};
use crate::id::{ClientId, ConnId};
use crate::input::{Input, Now};
use crate::large_keys::LargeKeys;
use crate::limits::{BUFFER_BYTES, BUFFER_GROWTH_KEPT, EXPECTED_PER_HELD, MERGES_KEPT};
use crate::memory::Memory;
use crate::merge::{How, Merge, write_cause};
use crate::output::{Closing, Output};
use crate::pool::PoolState;
use crate::pubsub::Pubsub;
use crate::replies::Replies;
use crate::request::State;
use crate::route::Share;
use crate::route::divide::Divisions;
use crate::server_conn::ServerConn;
use crate::slab::{NONE, Slab};
use crate::survey::Survey;
use crate::topology::{PoolView, Topology};
use crate::tracking::Tracking;
use config::Protocol;
use stats::{EventRing, PoolMetric, Registry, Shard, WorkerMetric};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use wire::args::Args;

/// What is the same for all workers of the process.
#[derive(Debug)]
pub struct Process {
    /// The product's version, as INFO tells it.
    pub version: &'static str,
    /// When the process started, in microseconds on the clock of [`Now::mono_us`].
    pub started_us: u64,
    /// The process id, as INFO tells it.
    pub pid: u32,
    /// Gives every client its number.
    pub next_client: AtomicU64,
    /// All workers' counters, for INFO.
    pub registry: Arc<Registry>,
    /// Where workers leave what the log should tell.
    pub events: Arc<EventRing>,
}

impl Process {
    /// A process that starts now, at 0 of its clock; `events` may wait for the log.
    pub fn new(version: &'static str, pid: u32, registry: Arc<Registry>, events: usize) -> Process {
        let events = Arc::new(EventRing::new(events));
        Process { version, started_us: 0, pid, next_client: AtomicU64::new(1), registry, events }
    }
}

/// The proxy as one worker runs it, without I/O.
#[derive(Debug)]
pub struct Core {
    pub(crate) process: Arc<Process>,
    pub(crate) topology: Arc<Topology>,
    pub(crate) shard: Arc<Shard>,
    pub(crate) now: Now,
    pub(crate) replies: Replies,
    pub(crate) merges: Slab<Merge>,
    pub(crate) spare_merges: Vec<Merge>,
    pub(crate) conns: Slab<ServerConn>,
    pub(crate) pools: Vec<PoolState>,
    /// How many servers have failed and not answered since.
    pub(crate) failing: u32,
    /// What clients are subscribed to.
    pub(crate) pubsub: Pubsub,
    /// What clients that keep what they read are to be told of.
    pub(crate) tracking: Tracking,
    /// What was written elsewhere while servers are away.
    pub(crate) absences: Absences,
    /// Keys of large requests under way to a standby server, by connection.
    pub(crate) to_bound: Vec<(ConnId, Box<[u8]>)>,
    /// When requests expire.
    pub(crate) deadlines: Deadlines<ServerConn>,
    /// When connections in the making are given up.
    pub(crate) connects: Deadlines<ServerConn>,
    /// When connections that wait for their turn are made.
    pub(crate) reconnects: Deadlines<ServerConn>,
    /// When connections to servers may have been idle for too long.
    pub(crate) idle_conns: Deadlines<ServerConn>,
    /// When clients may have been idle for too long.
    pub(crate) idle_clients: Deadlines<Client>,
    /// Lent to whoever looks at a request.
    pub(crate) args: Option<Box<Args>>,
    pub(crate) scratch: Scratch,
    pub(crate) memory: Memory,
    /// Pieces of large replies that wait for more, and until when at most.
    pub(crate) pieces: VecDeque<(ConnId, u64)>,
    /// Keys that had large values.
    pub(crate) large_keys: LargeKeys,
    /// Lanes that large requests have now.
    pub(crate) lanes: usize,
    /// Clients whose large request waits for a lane.
    pub(crate) lane_waiters: VecDeque<(ClientId, u64)>,
    /// When the first pause of a pool ends.
    pub(crate) pauses_end_us: u64,
    /// Requests and replies of very many keys that are worked on a few keys at a time.
    pub(crate) divisions: Divisions,
    /// When the first pause ends; at once while there are such requests.
    pub(crate) stir_us: u64,
    /// Questions to all workers that are under way.
    pub(crate) surveys: Slab<Survey>,
    /// Whether the proxy has refused the request that it is at; kept only while clients are monitored.
    pub(crate) refused: bool,
    /// Whether what waits for servers is in the kernel's hands: see [`Core::hold_still`].
    pub(crate) held_still: bool,
    random: u64,
}

/// Lists that are filled anew for each request and keep their room.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Argument indices of a command's keys.
    pub keys: Vec<u32>,
    /// For each key its server.
    pub servers: Vec<u32>,
    /// For each of them that a split request goes to, what it gets.
    pub(crate) shares: Vec<Share>,
    /// For each server of a pool, where in `shares` it is; `NONE` for all between two requests.
    pub share_of: Vec<u32>,
    /// Servers that are away and would have a key.
    pub passed: Vec<u32>,
}

impl Core {
    /// A worker's engine. `seed` feeds the `random` distribution and nothing else.
    pub fn new(process: Arc<Process>, topology: Arc<Topology>, shard: Arc<Shard>, seed: u64) -> Core {
        let pools = topology.pools.iter().map(PoolState::new).collect();
        let absences = Core::absences(&topology);
        Core {
            process,
            pubsub: Pubsub::new(&topology),
            tracking: Tracking::new(&topology),
            topology,
            shard,
            now: Now::default(),
            replies: Replies::default(),
            merges: Slab::default(),
            spare_merges: Vec::new(),
            conns: Slab::default(),
            pools,
            failing: 0,
            absences,
            to_bound: Vec::new(),
            deadlines: Deadlines::default(),
            connects: Deadlines::default(),
            reconnects: Deadlines::default(),
            idle_conns: Deadlines::default(),
            idle_clients: Deadlines::default(),
            args: None,
            scratch: Scratch::default(),
            memory: Memory::unbounded(),
            pieces: VecDeque::new(),
            large_keys: LargeKeys::default(),
            lanes: 0,
            lane_waiters: VecDeque::new(),
            pauses_end_us: NEVER,
            divisions: Divisions::default(),
            stir_us: NEVER,
            surveys: Slab::default(),
            refused: false,
            held_still: false,
            random: seed | 1,
        }
    }

    /// Begins a tick: all that follows happens at `now`.
    pub fn tick(&mut self, now: Now) {
        self.now = now;
    }

    /// Takes one thing that happened. What is to be done about it comes out of [`Core::next_output`].
    #[inline] // callers know which thing it is
    pub fn handle(&mut self, input: Input<'_>) {
        match input {
            Input::ClientData(id, bytes) => self.client_data(id, bytes),
            Input::ClientEnd(id) => self.with_client(id, Core::client_end),
            Input::ClientLost(id) => self.with_client(id, |core, c| core.drop_client(c, Closing::Lost)),
            Input::ClientWritten(id, count) => self.client_written(id, count),
            Input::ConnUp(id) => self.with_conn(id, Core::conn_up),
            Input::ConnData(id, bytes) => self.conn_data(id, bytes),
            Input::ConnWritten(id, count) => self.conn_written(id, count),
            Input::ConnLost(id, cause) => self.with_conn(id, |core, s| core.lose_conn(s, cause)),
            Input::Preconnect => self.preconnect(),
            Input::Server { pool, server, down } => self.mark_server(pool, server, down),
            Input::Timeout { pool, server, micros } => self.set_timeout(pool, server, micros),
            Input::Topology(topology) => self.take_up(topology),
        }
    }

    /// A client at `peer` has connected to `pool`.
    pub fn open_client(&mut self, pool: u32, peer: stats::Peer) -> ClientId {
        let view = &self.topology.pools[pool as usize];
        let scan = match view.protocol {
            Protocol::Redis => Scan::Resp(Default::default()),
            Protocol::Memcache => Scan::Memcache(Default::default()),
        };
        let number = self.process.next_client.fetch_add(1, Ordering::Relaxed);
        let client = Client::new(pool, peer, scan, number, view.redis_auth.is_none());
        self.count_pool(pool, PoolMetric::ClientConnections).add(1);
        self.shard.worker(WorkerMetric::CurrConnections).add(1);
        self.shard.worker(WorkerMetric::TotalConnections).add(1);
        let (idle, output_max) = (view.client_idle_us, view.client_output_max);
        let index = self.replies.clients.insert(client);
        self.replies.clients[index].since_us = self.now.mono_us;
        self.replies.clients[index].heard_us = self.now.mono_us;
        self.replies.clients[index].output_max = output_max;
        self.give_slot(index);
        self.join_pause(index);
        self.join_monitored(index);
        let id = self.replies.clients.id(index);
        if let Some(idle) = idle {
            self.idle_clients.arm(id, self.now.mono_us.saturating_add(idle));
            let clients = &self.replies.clients;
            self.idle_clients.tidy(clients.len(), |id| clients.live(id).is_some());
        }
        id
    }

    /// Whether a connection is still wanted: it may be given up while its server's name is being resolved.
    pub fn wants_conn(&self, id: ConnId) -> bool {
        self.conns.live(id).is_some()
    }

    /// When [`Core::expire`] is next to be called, in microseconds.
    #[inline]
    pub fn next_deadline(&self) -> Option<u64> {
        Some(self.next_us()).filter(|at| *at < NEVER)
    }

    /// The same, or [`NEVER`].
    pub(crate) fn next_us(&self) -> u64 {
        if self.replies.are_due() || self.can_admit() {
            return self.now.mono_us;
        }
        let conns = self.deadlines.next().min(self.connects.next()).min(self.reconnects.next());
        let idle = self.idle_conns.next().min(self.idle_clients.next());
        let large = self.next_waiter().min(self.next_piece());
        let pubsub = self.pubsub.next_retry().min(self.tracking.retry_at_us);
        conns.min(idle).min(large).min(self.memory.next_look()).min(pubsub).min(self.stir_us)
    }

    /// How many clients there are.
    pub fn client_count(&self) -> usize {
        self.replies.clients.len()
    }

    /// Whether no client waits for anything and nothing waits to be written: used when stopping.
    pub fn is_idle(&self) -> bool {
        self.replies.clients.iter().all(|(_, client)| client.is_settled() && !client.dividing)
            && self.conns.iter().all(|(_, conn)| conn.unsent == 0)
    }

    fn with_client(&mut self, id: ClientId, act: impl FnOnce(&mut Core, u32)) {
        if let Some(c) = self.replies.clients.live(id) {
            act(self, c);
        }
    }

    fn with_conn(&mut self, id: ConnId, act: impl FnOnce(&mut Core, u32)) {
        if let Some(s) = self.conns.live(id) {
            act(self, s);
        }
    }

    // ---- a client's bytes in

    fn client_data(&mut self, id: ClientId, bytes: &[u8]) {
        self.memory.note(bytes.len());
        let Some(client) = self.replies.clients.live_mut(id) else { return };
        if client.reading != Reading::Open {
            return;
        }
        let c = id.index() as u32;
        client.heard_us = self.now.mono_us;
        let had_rest = !client.rest.is_empty();
        let bytes = if had_rest { self.finish_request(c, bytes) } else { bytes };
        if !bytes.is_empty() {
            let used = self.take_requests(c, bytes);
            if used < bytes.len() {
                self.keep_rest(c, &bytes[used..]);
            }
        }
        if had_rest && self.replies.clients.get(c).is_some() {
            self.heard_while_blocked(c);
        }
        self.settle(c);
    }

    /// Finishes the request whose beginning was kept: only what it lacks is copied. Answers what is left of `bytes`, if the
    /// client is still there and nothing is kept for it.
    fn finish_request<'b>(&mut self, c: u32, mut bytes: &'b [u8]) -> &'b [u8] {
        let mut rest = std::mem::take(&mut self.replies.clients[c].rest);
        let mut step = FEW_BYTES;
        loop {
            let announced = match &self.replies.clients[c].scan {
                Scan::Resp(scan) => scan.announced(),
                Scan::Memcache(scan) => scan.announced(),
            };
            let count = lacking(announced, rest.len()).max(step).min(bytes.len());
            rest.extend_from_slice(&bytes[..count]);
            let used = self.take_requests(c, &rest);
            let left = rest.len() - used;
            let Some(client) = self.replies.clients.get_mut(c) else { return &[] };
            if left <= count {
                self.replies.buffers.give(rest);
                return &bytes[count - left..];
            }
            rest.drain(..used);
            bytes = &bytes[count..];
            if bytes.is_empty() {
                client.rest = rest;
                return &[];
            }
            // It lacks more than was known, or the client has to wait.
            step = step.saturating_mul(4);
        }
    }

    /// Takes the requests out of `rest` and keeps what is left of it.
    fn take_rest(&mut self, c: u32, mut rest: Vec<u8>) {
        let used = self.take_requests(c, &rest);
        if used >= rest.len() {
            self.replies.buffers.give(rest);
        } else if let Some(client) = self.replies.clients.get_mut(c) {
            rest.drain(..used);
            client.rest = rest;
        }
    }

    #[cold]
    pub(crate) fn keep_rest(&mut self, c: u32, rest: &[u8]) {
        if let Some(client) = self.replies.clients.get_mut(c) {
            client.rest = self.replies.buffers.take();
            client.rest.extend_from_slice(rest);
        }
    }

    /// Acts on every complete request at the start of `bytes`; answers how many bytes are done with.
    fn take_requests(&mut self, c: u32, bytes: &[u8]) -> usize {
        let client = &self.replies.clients[c];
        let is_redis = matches!(client.scan, Scan::Resp(_));
        let mut done = 0;
        if client.swallow > 0 || client.transfer != Transfer::None {
            done = self.go_on(c, bytes);
            let client = &self.replies.clients[c];
            if client.transfer != Transfer::None || matches!(client.reading, Reading::Quit(_)) {
                return done;
            }
        }
        let mut args = self.args.take().unwrap_or_default();
        let used = match is_redis {
            true => self.take_resp(c, &bytes[done..], &mut args),
            false => self.take_memcache(c, &bytes[done..], &mut args),
        };
        self.args = Some(args);
        done + used
    }

    /// Goes on with a request that was refused, whose bytes are dropped, or is large, whose bytes are passed on; answers
    /// how many bytes are done with.
    #[cold]
    fn go_on(&mut self, c: u32, bytes: &[u8]) -> usize {
        let client = &mut self.replies.clients[c];
        let refused = client.swallow.min(bytes.len() as u64);
        client.swallow -= refused;
        let mut done = refused as usize;
        if client.transfer != Transfer::None {
            done += self.feed(c, &bytes[done..]);
            let client = &self.replies.clients[c];
            if client.transfer == Transfer::None && matches!(client.reading, Reading::Quit(_)) {
                return bytes.len();
            }
        }
        done
    }

    /// Whether the client has so much outstanding or unread that it must wait, which it is told then.
    #[cold]
    pub(crate) fn must_pause(&mut self, c: u32) -> bool {
        let client = &mut self.replies.clients[c];
        let view = &self.topology.pools[client.pool as usize];
        let full = client.is_full(view);
        client.in_order &= !client.is_done() || client.dividing;
        let wait = full || client.in_order || client.pressed || client.is_halted();
        if wait && !client.paused {
            client.paused = true;
            if self.is_blocked(c) {
                return wait;
            }
            let id = self.replies.clients.id(c);
            self.replies.outputs.push(Output::PauseClient(id));
            if full {
                self.count_client(c, PoolMetric::ClientPaused);
            }
        }
        wait
    }

    /// Reads on once half of what made it wait is gone.
    #[inline]
    pub(crate) fn resume(&mut self, c: u32) {
        if self.replies.clients[c].paused {
            self.resume_paused(c);
        }
    }

    #[cold]
    fn resume_paused(&mut self, c: u32) {
        if self.is_held_up(c) {
            return self.hurry_division(c);
        }
        let client = &mut self.replies.clients[c];
        let view = &self.topology.pools[client.pool as usize];
        // In the middle of a large request nothing but that is outstanding, and it will not be answered before its end.
        let roomy = client.transfer != Transfer::None
            || client.queued <= view.client_max_pipeline / 2
                && client.asked <= view.client_request_limit / 2
                && client.held() <= view.client_output_limit / 2
                && client.expected() / EXPECTED_PER_HELD <= view.client_output_limit / 2
                && (!client.in_order || client.is_done());
        if !roomy {
            return;
        }
        client.paused = false;
        client.heard_us = self.now.mono_us; // it could not be heard
        let rest = std::mem::take(&mut client.rest);
        self.take_rest(c, rest);
        if let Some(client) = self.replies.clients.get(c)
            && !client.paused
        {
            self.replies.outputs.push(Output::ResumeClient(self.replies.clients.id(c)));
        }
    }

    fn client_end(&mut self, c: u32) {
        let client = &mut self.replies.clients[c];
        if client.reading == Reading::Open {
            client.reading = Reading::Ended;
        }
        if self.is_blocked(c) {
            // As redis does: what would come could be lost with a client that is gone.
            return self.drop_client(c, Closing::Clean);
        }
        let client = &mut self.replies.clients[c];
        if client.transfer != Transfer::None {
            self.cut_transfer(c);
        }
        self.settle(c);
    }

    /// Nothing more is read from the client; it goes when all it asked is answered.
    pub(crate) fn quit_client(&mut self, c: u32, unread: bool) {
        self.replies.clients[c].reading = Reading::Quit(unread);
    }

    // ---- a client's bytes out

    fn client_written(&mut self, id: ClientId, count: usize) {
        let Some(client) = self.replies.clients.live_mut(id) else { return };
        let c = id.index() as u32;
        client.outbox.advance(count, &mut self.replies.buffers);
        // Until the rest is taken the worker waits for the socket and needs no further call.
        client.dirty = !client.outbox.is_empty();
        let (waits, paused) = (client.head != NONE, client.paused);
        if waits {
            self.flow_written(c);
        }
        if waits || paused {
            self.resume(c);
        }
        self.settle(c);
    }

    /// Answers with an error of the proxy's own and counts it.
    pub(crate) fn answer_error(&mut self, request: u32, protocol: Protocol, text: &str) {
        if let State::Waiting | State::Unheard | State::Flowing(_) = self.replies.requests[request].state {
            let c = self.replies.requests[request].client;
            self.count_client(c, PoolMetric::ForwardError);
        }
        self.replies.answer(request, |out| write_cause(protocol, text, out));
    }

    // ---- a client's end

    /// Closes the client when it sends no more and all is answered.
    #[inline]
    pub(crate) fn settle(&mut self, c: u32) {
        if self.replies.clients.get(c).is_some_and(|client| client.reading != Reading::Open) {
            self.settle_silent(c);
        }
    }

    #[cold]
    fn settle_silent(&mut self, c: u32) {
        let client = &self.replies.clients[c];
        if client.paused || !client.is_settled() {
            return;
        }
        let closing = match client.reading {
            Reading::Quit(true) => Closing::Linger,
            _ => Closing::Clean,
        };
        self.drop_client(c, closing);
    }

    pub(crate) fn drop_client(&mut self, c: u32, closing: Closing) {
        let metric = if closing == Closing::Clean { PoolMetric::ClientEof } else { PoolMetric::ClientErr };
        self.count_client(c, metric);
        self.cut_transfer(c);
        self.end_session(c);
        self.leave_database(c);
        self.drop_division(c);
        // Behind what may yet be said to it meanwhile.
        self.replies.outputs.push(Output::CloseClient(self.replies.clients.id(c), closing));
        let Some(mut client) = self.replies.clients.remove(c) else { return };
        self.count_pool(client.pool, PoolMetric::ClientConnections).sub(1);
        self.shard.worker(WorkerMetric::CurrConnections).sub(1);
        while client.head != NONE {
            let slot = &mut self.replies.requests[client.head];
            let next = slot.next;
            match std::mem::replace(&mut slot.state, State::Orphan) {
                State::Parked(reply) => {
                    self.replies.small.give(reply);
                    self.replies.requests.remove(client.head);
                }
                State::Flowing(conn) => {
                    self.replies.requests.remove(client.head);
                    self.drop_flow(conn);
                }
                State::Waiting | State::Unheard | State::Orphan => {}
            }
            client.head = next;
        }
        client.outbox.release(&mut self.replies.buffers);
        self.replies.buffers.give(client.rest);
    }

    // ---- small things that all parts use

    /// The pool of a client.
    pub(crate) fn view(&self, c: u32) -> &PoolView {
        &self.topology.pools[self.replies.clients[c].pool as usize]
    }

    pub(crate) fn count_pool(&self, pool: u32, metric: PoolMetric) -> &stats::Counter {
        self.shard.pool(pool as usize, metric)
    }

    pub(crate) fn count_client(&self, c: u32, metric: PoolMetric) {
        self.count_pool(self.replies.clients[c].pool, metric).add(1);
    }

    /// The next pseudo-random number (xorshift), for the `random` distribution.
    pub(crate) fn draw(&mut self) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 32) as u32
    }

    /// Answers a request at once, in its turn.
    pub(crate) fn answer_now(&mut self, c: u32, write: impl FnOnce(&mut Vec<u8>)) {
        self.replies.answer_now(c, write);
    }

    pub(crate) fn fresh_merge(&mut self, pool: u32, request: u32, how: How) -> Merge {
        let mut merge = self.spare_merges.pop().unwrap_or_default();
        merge.reset(pool, request, self.now.mono_us, how);
        merge.resp3 = self.replies.clients[self.replies.requests[request].client].resp3;
        merge
    }

    pub(crate) fn spare_merge(&mut self, mut merge: Merge) {
        for part in merge.parts.drain(..) {
            self.replies.small.give(part.reply);
        }
        let large =
            merge.keys.room() > BUFFER_BYTES * BUFFER_GROWTH_KEPT || merge.order.capacity() > BUFFER_BYTES;
        if !large && self.spare_merges.len() < MERGES_KEPT {
            self.spare_merges.push(merge);
        }
    }
}

/// How many bytes an unfinished request or reply lacks of which `here` are here, as far as is known: to the end of the value
/// that is being read, and its line end.
pub(crate) fn lacking(announced: usize, here: usize) -> usize {
    announced.saturating_add(2).saturating_sub(here)
}

/// So many are copied in any case: more than most requests and replies have.
pub(crate) const FEW_BYTES: usize = 128;
