//! Servers and the connections to them: choosing one, queueing on it, reading its replies, losing it.

use crate::core::Core;
use crate::error::Cause;
use crate::id::ConnId;
use crate::limits::{RETIRED_PER_SERVER, SERVER_QUEUE_BYTES};
use crate::merge::write_cause;
use crate::output::Output;
use crate::request::{Step, Target};
use crate::server_conn::{InFlight, Phase, Scan, ServerConn};
use crate::slab::NONE;
use crate::topology::PoolView;
use config::Protocol;
use stats::{Counter, Event, PoolMetric, ServerMetric, Text, WorkerMetric};
use std::collections::VecDeque;
use wire::resp::encode;
use wire::{memcache, resp};

/// A worker's side of a pool.
#[derive(Debug)]
pub struct PoolState {
    pub(crate) servers: Vec<ServerState>,
}

/// A worker's side of a server.
#[derive(Debug)]
pub struct ServerState {
    /// The shared connections by place; `NONE` where there is none now.
    pub(crate) conns: Vec<u32>,
    /// Connections that timed out and still owe replies, the oldest first.
    pub(crate) retired: VecDeque<u32>,
    /// Whether a failure was reported and no reply since.
    pub(crate) failing: bool,
}

impl PoolState {
    /// No connection yet.
    pub fn new(view: &PoolView) -> PoolState {
        let server = || ServerState {
            conns: vec![NONE; view.server_connections],
            retired: VecDeque::new(),
            failing: false,
        };
        PoolState { servers: view.servers.iter().map(|_| server()).collect() }
    }
}

impl Core {
    /// The server that owns `key` now.
    pub(crate) fn place(&mut self, pool: u32, key: &[u8]) -> Option<u32> {
        let view = &self.topology.pools[pool as usize];
        if view.random {
            let draw = self.draw();
            return self.topology.pools[pool as usize].placement.server(key, || draw);
        }
        view.placement.server(key, || 0)
    }

    /// The connection to `server` that carries requests of `lane`; a new one where there is none.
    ///
    /// All requests of one client use the same lane, so that they reach a server in order.
    pub(crate) fn conn_for(&mut self, pool: u32, server: u32, lane: u32) -> u32 {
        let state = &mut self.pools[pool as usize].servers[server as usize];
        let slot = lane % state.conns.len() as u32;
        let conn = state.conns[slot as usize];
        if conn != NONE { conn } else { self.open_conn(pool, server, slot) }
    }

    /// Whether so much waits to be written that no more may be added.
    pub(crate) fn is_full(&self, s: u32) -> bool {
        self.conns[s].outbox.len() >= SERVER_QUEUE_BYTES
    }

    fn open_conn(&mut self, pool: u32, server: u32, slot: u32) -> u32 {
        let view = &self.topology.pools[pool as usize];
        let scan = match view.protocol {
            Protocol::Redis => Scan::Resp(Default::default()),
            Protocol::Memcache => Scan::Memcache(Default::default()),
        };
        let s = self.conns.insert(ServerConn::new(pool, server, slot, scan));
        self.pools[pool as usize].servers[server as usize].conns[slot as usize] = s;
        self.shard.worker(WorkerMetric::CurrConnections).add(1);
        self.shard.worker(WorkerMetric::TotalConnections).add(1);
        if self.topology.pools[pool as usize].protocol == Protocol::Redis {
            self.queue_handshake(s);
        }
        self.replies.outputs.push_back(Output::Connect { conn: self.conns.id(s), pool, server });
        s
    }

    /// AUTH comes before SELECT, and both before any request.
    fn queue_handshake(&mut self, s: u32) {
        let view = &self.topology.pools[self.conns[s].pool as usize];
        let db = view.redis_db;
        if let Some(password) = view.redis_auth.clone() {
            self.append(s, |out| encode::request([b"AUTH".as_slice(), &password], out));
            self.queued(s, Target::Handshake(Step::Auth));
        }
        if db > 0 {
            self.append(s, |out| encode::request([b"SELECT".as_slice(), db.to_string().as_bytes()], out));
            self.queued(s, Target::Handshake(Step::Select));
        }
    }

    /// Appends bytes of a request to a connection. [`Core::queued`] follows when it is whole.
    #[inline]
    pub(crate) fn append(&mut self, s: u32, write: impl FnOnce(&mut Vec<u8>)) {
        write(self.conns[s].outbox.buffer(&mut self.replies.buffers));
    }

    /// What was appended is a request: its reply is for `target`.
    #[inline]
    pub(crate) fn queued(&mut self, s: u32, target: Target) {
        let now = self.now.mono_us;
        let conn = &mut self.conns[s];
        let start = conn.appended;
        conn.appended = conn.written + conn.outbox.len() as u64;
        conn.queue.push_back(InFlight { target, start, at_us: now, fragile: false });
        conn.unsent += 1;
        let bytes = conn.appended - start;
        let (pool, server) = (conn.pool as usize, conn.server as usize);
        if !matches!(target, Target::Handshake(_)) {
            self.shard.server(pool, server, ServerMetric::Requests).add(1);
            self.shard.server(pool, server, ServerMetric::RequestBytes).add(bytes);
        }
        self.shard.server(pool, server, ServerMetric::InQueue).add(1);
        self.shard.server(pool, server, ServerMetric::InQueueBytes).add(bytes);
        if !conn.dirty && conn.phase == Phase::Ready {
            conn.dirty = true;
            self.replies.outputs.push_back(Output::WriteConn(self.conns.id(s)));
        }
        if !self.conns[s].armed {
            self.arm(s, now);
        }
    }

    /// Says of the request queued last whether the server may lose its place over it.
    pub(crate) fn mark_fragile(&mut self, s: u32, fragile: bool) {
        if let Some(last) = self.conns[s].queue.back_mut() {
            last.fragile = fragile;
        }
    }

    fn arm(&mut self, s: u32, from_us: u64) {
        if let Some(timeout) = self.topology.pools[self.conns[s].pool as usize].timeout_us {
            self.conns[s].armed = true;
            self.deadlines.arm(self.conns.id(s), from_us.saturating_add(timeout));
        }
    }

    pub(crate) fn preconnect(&mut self) {
        for pool in 0..self.pools.len() as u32 {
            for server in 0..self.pools[pool as usize].servers.len() as u32 {
                self.conn_for(pool, server, 0);
            }
        }
    }

    pub(crate) fn conn_up(&mut self, s: u32) {
        let conn = &mut self.conns[s];
        let handshake = conn.queue.iter().take_while(|entry| matches!(entry.target, Target::Handshake(_)));
        conn.phase = match handshake.count() {
            0 => Phase::Ready,
            n => Phase::Handshaking(conn.queue.get(n).map_or(conn.appended, |next| next.start)),
        };
        self.count_server(s, ServerMetric::ServerConnections).add(1);
        self.wake_conn(s);
    }

    fn wake_conn(&mut self, s: u32) {
        let conn = &mut self.conns[s];
        if !conn.dirty && !conn.writable().is_empty() {
            conn.dirty = true;
            self.replies.outputs.push_back(Output::WriteConn(self.conns.id(s)));
        }
    }

    pub(crate) fn conn_written(&mut self, s: u32, count: usize) {
        let conn = &mut self.conns[s];
        conn.outbox.advance(count, &mut self.replies.buffers);
        let left = conn.wrote(count);
        // Until the rest is taken the worker waits for the socket and needs no further call.
        conn.dirty = !conn.writable().is_empty();
        self.count_server(s, ServerMetric::InQueue).sub(left.requests as u64);
        self.count_server(s, ServerMetric::InQueueBytes).sub(left.bytes);
        self.count_server(s, ServerMetric::OutQueue).add(left.requests as u64);
        self.count_server(s, ServerMetric::OutQueueBytes).add(left.bytes);
    }

    // ---- replies

    pub(crate) fn conn_data(&mut self, s: u32, bytes: &[u8]) {
        let conn = &mut self.conns[s];
        if conn.rest.is_empty() {
            let Some(used) = self.take_replies(s, bytes) else { return };
            if used < bytes.len() {
                let conn = &mut self.conns[s];
                conn.rest = self.replies.buffers.take();
                conn.rest.extend_from_slice(&bytes[used..]);
            }
            return;
        }
        let mut rest = std::mem::take(&mut conn.rest);
        rest.extend_from_slice(bytes);
        let Some(used) = self.take_replies(s, &rest) else { return };
        if used == rest.len() {
            self.replies.buffers.give(rest);
        } else {
            rest.drain(..used);
            self.conns[s].rest = rest;
        }
    }

    /// Acts on every complete reply at the start of `bytes`; answers how many bytes are done with, or
    /// nothing when the connection is gone.
    fn take_replies(&mut self, s: u32, bytes: &[u8]) -> Option<usize> {
        let limits = self.topology.pools[self.conns[s].pool as usize].limits;
        let mut used = 0;
        while used < bytes.len() {
            let found = match &mut self.conns[s].scan {
                Scan::Resp(scan) => match scan.scan(&bytes[used..], &limits) {
                    resp::reply::ReplyParse::Complete { len, .. } => Some(Some(len)),
                    resp::reply::ReplyParse::Partial => Some(None),
                    resp::reply::ReplyParse::Invalid(_) => None,
                },
                Scan::Memcache(scan) => match scan.scan(&bytes[used..], &limits) {
                    memcache::reply::ReplyParse::Complete { len, .. } => Some(Some(len)),
                    memcache::reply::ReplyParse::Partial => Some(None),
                    memcache::reply::ReplyParse::Invalid(_) => None,
                },
            };
            match found {
                Some(Some(len)) => {
                    self.take_reply(s, &bytes[used..used + len])?;
                    used += len;
                }
                Some(None) => break,
                None => {
                    self.lose_conn(s, Cause::InvalidReply);
                    return None;
                }
            }
        }
        if used > 0 && self.conns[s].slot.is_none() && self.conns[s].expired == self.conns[s].queue.len() {
            // A retired connection owes nothing any more.
            self.discard_conn(s);
            return None;
        }
        Some(used)
    }

    /// A whole reply: gives it to whom it answers. Nothing when the connection is gone.
    fn take_reply(&mut self, s: u32, reply: &[u8]) -> Option<()> {
        let conn = &mut self.conns[s];
        // A server may refuse a request before its last byte is out, but not before its first.
        let Some(entry) = conn.queue.front().copied().filter(|entry| entry.start < conn.written) else {
            self.lose_conn(s, Cause::InvalidReply);
            return None;
        };
        conn.queue.pop_front();
        conn.replies += 1;
        let late = conn.expired > 0;
        conn.expired -= usize::from(late);
        let (pool, server) = (conn.pool as usize, conn.server as usize);
        self.leave_queue(s, &entry);
        let waited = self.now.mono_us.saturating_sub(entry.at_us);
        self.shard.server_shard(pool, server).latency.record(waited);
        let state = &mut self.pools[pool].servers[server];
        if state.failing && !late {
            state.failing = false;
            self.replies.outputs.push_back(Output::ServerAnswered { pool: pool as u32, server: server as u32 });
        }
        match entry.target {
            Target::Nobody if late => self.shard.server(pool, server, ServerMetric::LateReplies).add(1),
            Target::Nobody => {}
            Target::Request(request) => {
                self.shard.pool_shard(pool).latency.record(waited);
                self.shard.server(pool, server, ServerMetric::Responses).add(1);
                self.shard.server(pool, server, ServerMetric::ResponseBytes).add(reply.len() as u64);
                self.replies.answer(request, |out| out.extend_from_slice(reply));
            }
            Target::Instead(request, text) => self.replies.answer(request, |out| {
                out.extend_from_slice(text);
                out.extend_from_slice(b"\r\n");
            }),
            Target::Part { merge, part } => {
                self.shard.server(pool, server, ServerMetric::Responses).add(1);
                self.shard.server(pool, server, ServerMetric::ResponseBytes).add(reply.len() as u64);
                self.take_part(merge, part, |out| out.extend_from_slice(reply));
            }
            Target::Handshake(step) => return self.take_handshake(s, step, reply),
        }
        if entry.fragile && reply.starts_with(b"CLIENT_ERROR") {
            self.lose_conn(s, Cause::InvalidReply);
            return None;
        }
        Some(())
    }

    fn take_handshake(&mut self, s: u32, step: Step, reply: &[u8]) -> Option<()> {
        if reply.starts_with(b"-") {
            self.refuse_handshake(s, step, reply);
            return None;
        }
        let conn = &mut self.conns[s];
        if !matches!(conn.queue.front().map(|entry| entry.target), Some(Target::Handshake(_))) {
            conn.phase = Phase::Ready;
            self.wake_conn(s);
        }
        Some(())
    }

    /// The server does not take the proxy's AUTH or SELECT: nothing may run on this connection.
    fn refuse_handshake(&mut self, s: u32, step: Step, reply: &[u8]) {
        let (pool, server) = (self.conns[s].pool, self.conns[s].server);
        let said = String::from_utf8_lossy(&reply[1..]);
        let said: String = said.trim_end().chars().take(crate::limits::QUOTED_BYTES).collect();
        let command = if step == Step::Auth { "AUTH" } else { "SELECT" };
        let name = &self.topology.pools[pool as usize].servers[server as usize].name;
        let text = format!("server '{name}' refused the proxy's {command}: {said}");
        self.count_server(s, ServerMetric::HandshakeErrors).add(1);
        self.process.events.push(Event::HandshakeRefused { pool, server, command, reply: Text::format(format_args!("{said}")) });
        while let Some(entry) = self.conns[s].queue.pop_front() {
            self.leave_queue(s, &entry);
            self.fail(Protocol::Redis, entry.target, &text);
        }
        self.lose_conn(s, Cause::HandshakeRefused);
    }

    pub(crate) fn take_part(&mut self, merge: u32, part: u32, write: impl FnOnce(&mut Vec<u8>)) {
        let mut reply = self.replies.small.take();
        write(&mut reply);
        let state = &mut self.merges[merge];
        state.parts[part as usize].reply = reply;
        state.outstanding -= 1;
        if state.outstanding == 0 {
            self.finish_merge(merge);
        }
    }

    pub(crate) fn finish_merge(&mut self, merge: u32) {
        let Some(done) = self.merges.remove(merge) else { return };
        let view = &self.topology.pools[done.pool as usize];
        let name = |server: u32| view.servers[server as usize].name.as_str();
        let waited = self.now.mono_us.saturating_sub(done.at_us);
        self.shard.pool_shard(done.pool as usize).latency.record(waited);
        self.replies.answer(done.request, |out| done.write(view.protocol, name, out));
        self.spare_merge(done);
    }

    // ---- failures

    /// Answers `target` with an error.
    pub(crate) fn fail(&mut self, protocol: Protocol, target: Target, text: &str) {
        match target {
            Target::Request(request) | Target::Instead(request, _) => self.answer_error(request, protocol, text),
            Target::Part { merge, part } => {
                let request = self.merges[merge].request;
                if let crate::request::State::Waiting = self.replies.requests[request].state {
                    let c = self.replies.requests[request].client;
                    self.count_client(c, PoolMetric::ForwardError);
                }
                self.take_part(merge, part, |out| write_cause(protocol, text, out));
            }
            Target::Nobody | Target::Handshake(_) => {}
        }
    }

    /// A connection is gone: what waits on it is answered with an error, but for requests that
    /// provably never left, which go to a fresh connection.
    pub(crate) fn lose_conn(&mut self, s: u32, cause: Cause) {
        let (pool, server) = (self.conns[s].pool, self.conns[s].server);
        let conn = &self.conns[s];
        let idle = conn.queue.len() == conn.expired && conn.phase == Phase::Ready;
        let ended = matches!(cause, Cause::Closed | Cause::Reset | Cause::BrokenPipe);
        let worked = ended && conn.replies > 0 && conn.phase == Phase::Ready;
        let connecting = conn.phase == Phase::Connecting;
        if !(idle && ended) && cause != Cause::HandshakeRefused {
            self.report_failure(pool, server, cause);
        }
        let metric = match cause {
            Cause::Closed => ServerMetric::ServerEof,
            Cause::TimedOut => ServerMetric::ServerTimedout,
            _ if connecting => ServerMetric::ConnectErrors,
            _ => ServerMetric::ServerErr,
        };
        self.count_server(s, metric).add(1);
        if metric == ServerMetric::ConnectErrors {
            self.count_server(s, ServerMetric::ServerErr).add(1);
        }
        let lane = conn_lane(&self.conns[s]);
        let mut conn = self.detach_conn(s);
        let protocol = self.topology.pools[pool as usize].protocol;
        let first_unsent = conn.queue.partition_point(|entry| entry.start < conn.written);
        let again = if worked { conn.queue.split_off(first_unsent) } else { VecDeque::new() };
        for entry in conn.queue.drain(..) {
            self.fail(protocol, entry.target, cause.text());
        }
        if let Some(first) = again.front() {
            let fresh = self.conn_for(pool, server, lane);
            let skip = (first.start - conn.written) as usize;
            self.send_again(fresh, &conn.outbox.bytes()[skip..], &again, conn.appended);
        }
        conn.outbox.release(&mut self.replies.buffers);
        self.replies.buffers.give(conn.rest);
    }

    fn send_again(&mut self, s: u32, bytes: &[u8], entries: &VecDeque<InFlight>, end: u64) {
        let base = entries.front().map_or(end, |first| first.start);
        for (index, entry) in entries.iter().enumerate() {
            let until = entries.get(index + 1).map_or(end, |next| next.start);
            let part = &bytes[(entry.start - base) as usize..(until - base) as usize];
            self.append(s, |out| out.extend_from_slice(part));
            self.queued(s, entry.target);
            self.mark_fragile(s, entry.fragile);
        }
    }

    /// Closes a connection that owes nothing.
    fn discard_conn(&mut self, s: u32) {
        let mut conn = self.detach_conn(s);
        conn.outbox.release(&mut self.replies.buffers);
        self.replies.buffers.give(conn.rest);
    }

    /// Takes the connection out of all lists and gauges and has it closed.
    fn detach_conn(&mut self, s: u32) -> ServerConn {
        self.replies.outputs.push_back(Output::CloseConn(self.conns.id(s)));
        let conn = &self.conns[s];
        let unsent_from = conn.queue.len() - conn.unsent;
        let sent_bytes = conn.queue.get(unsent_from).map_or(conn.appended, |entry| entry.start)
            - conn.queue.front().map_or(conn.appended, |entry| entry.start);
        let all_bytes = conn.appended - conn.queue.front().map_or(conn.appended, |entry| entry.start);
        self.count_server(s, ServerMetric::InQueue).sub(conn.unsent as u64);
        self.count_server(s, ServerMetric::InQueueBytes).sub(all_bytes - sent_bytes);
        self.count_server(s, ServerMetric::OutQueue).sub(unsent_from as u64);
        self.count_server(s, ServerMetric::OutQueueBytes).sub(sent_bytes);
        if conn.phase != Phase::Connecting {
            self.count_server(s, ServerMetric::ServerConnections).sub(1);
        }
        self.shard.worker(WorkerMetric::CurrConnections).sub(1);
        let conn = self.conns.remove(s).expect("callers hold a living connection");
        let state = &mut self.pools[conn.pool as usize].servers[conn.server as usize];
        match conn.slot {
            Some(slot) => state.conns[slot as usize] = NONE,
            None => state.retired.retain(|other| *other != s),
        }
        conn
    }

    /// The gauges' side of an entry that has left the queue's front.
    fn leave_queue(&mut self, s: u32, entry: &InFlight) {
        let conn = &mut self.conns[s];
        let next = conn.queue.front().map_or(conn.appended, |next| next.start);
        let bytes = next - entry.start;
        let was_unsent = conn.unsent > conn.queue.len();
        if was_unsent {
            conn.unsent -= 1;
            self.count_server(s, ServerMetric::InQueue).sub(1);
            self.count_server(s, ServerMetric::InQueueBytes).sub(bytes);
        } else {
            self.count_server(s, ServerMetric::OutQueue).sub(1);
            self.count_server(s, ServerMetric::OutQueueBytes).sub(bytes);
        }
    }

    fn report_failure(&mut self, pool: u32, server: u32, cause: Cause) {
        self.tell_failure(pool, server, cause);
        if self.topology.pools[pool as usize].reports_failures {
            self.pools[pool as usize].servers[server as usize].failing = true;
            self.replies.outputs.push_back(Output::ServerFailed { pool, server, cause });
        }
    }

    fn tell_failure(&self, pool: u32, server: u32, cause: Cause) {
        let text = Text::format(format_args!("{}", cause.text()));
        let waiting = self.shard.server(pool as usize, server as usize, ServerMetric::OutQueue).get() as u32;
        self.process.events.push(match cause {
            Cause::TimedOut => Event::ServerTimedOut { pool, server, requests: waiting },
            Cause::Closed | Cause::Reset | Cause::BrokenPipe => {
                Event::ServerClosed { pool, server, requests: waiting, reason: text }
            }
            Cause::InvalidReply => Event::ServerProtocolError { pool, server, reason: text },
            _ => Event::ServerConnectFailed { pool, server, error: text },
        });
    }

    pub(crate) fn count_server(&self, s: u32, metric: ServerMetric) -> &Counter {
        let conn = &self.conns[s];
        self.shard.server(conn.pool as usize, conn.server as usize, metric)
    }

    // ---- time

    /// Fails the requests whose time is up.
    pub fn expire(&mut self) {
        while let Some(id) = self.deadlines.due(self.now.mono_us) {
            if let Some(s) = self.conns.live(id) {
                self.conns[s].armed = false;
                self.expire_conn(s, id);
            }
        }
    }

    fn expire_conn(&mut self, s: u32, id: ConnId) {
        let pool = self.conns[s].pool;
        let view = &self.topology.pools[pool as usize];
        let (Some(timeout), protocol) = (view.timeout_us, view.protocol) else { return };
        let due = self.now.mono_us.saturating_sub(timeout);
        let before = self.conns[s].expired;
        let is_due = |entry: &InFlight| entry.at_us <= due;
        if self.conns[s].phase != Phase::Ready && self.conns[s].queue.front().is_some_and(is_due) {
            return self.lose_conn(s, Cause::TimedOut);
        }
        loop {
            let conn = &mut self.conns[s];
            let Some(entry) = conn.queue.get_mut(conn.expired).filter(|entry| is_due(entry)) else { break };
            let target = std::mem::replace(&mut entry.target, Target::Nobody);
            conn.expired += 1;
            self.fail(protocol, target, Cause::TimedOut.text());
        }
        if self.conns[s].expired > before {
            self.retire(s);
        }
        if let Some(s) = self.conns.live(id)
            && let Some(next) = self.conns[s].queue.get(self.conns[s].expired)
        {
            self.arm(s, next.at_us);
        }
    }

    /// A reply is overdue: new requests go to another connection. This one stays for what younger
    /// requests are still owed, and closes when there is nothing left to wait for.
    fn retire(&mut self, s: u32) {
        let (pool, server) = (self.conns[s].pool, self.conns[s].server);
        if self.conns[s].expired == self.conns[s].queue.len() {
            return self.lose_conn(s, Cause::TimedOut);
        }
        let Some(slot) = self.conns[s].slot.take() else { return };
        self.report_failure(pool, server, Cause::TimedOut);
        self.count_server(s, ServerMetric::ServerTimedout).add(1);
        let state = &mut self.pools[pool as usize].servers[server as usize];
        state.conns[slot as usize] = NONE;
        state.retired.push_back(s);
        if state.retired.len() > RETIRED_PER_SERVER
            && let Some(oldest) = state.retired.pop_front()
        {
            self.lose_conn(oldest, Cause::TimedOut);
        }
    }
}

fn conn_lane(conn: &ServerConn) -> u32 {
    conn.slot.unwrap_or(0)
}
