//! Large replies: passed on to their client as they come.
//!
//! ```text
//!   server bytes --> flow --> client's outbox --> client      read no further while the client has enough
//! ```
//! The connection becomes a lane when the reply's size is known. Requests from then on go elsewhere; reads already
//! behind it are made again elsewhere, since they would have to wait for a client that may be slow.

use crate::core::Core;
use crate::deadline::NEVER;
use crate::error::Cause;
use crate::id::{ClientId, ConnId};
use crate::limits::{
    COLLECTED_BYTES, DEAF_US, DOCS_BYTES, FLOWS_PER_WORKER, PATIENCE_US, PIECE_BYTES, PIECE_WAIT_US,
    TRANSFER_BYTES,
};
use crate::merge::Merge;
use crate::output::Output;
use crate::request::{Page, State, Target};
use crate::server_conn::{Flow, InFlight, Scan};
use crate::slab::NONE;
use stats::ServerMetric;
use std::collections::HashSet;
use wire::Args;
use wire::resp::RequestScan;
use wire::resp::reply::ReplyKind;

impl Core {
    /// The reply at the start of `bytes` is unfinished. Passes on what is here of it if it is large; answers how many
    /// bytes are done with, or nothing when the connection is gone.
    pub(crate) fn unfinished_reply(&mut self, s: u32, bytes: &[u8]) -> Option<usize> {
        if self.conns[s].flow.is_none() {
            let conn = &self.conns[s];
            let announced = match &conn.scan {
                Scan::Resp(scan) if scan.kind().is_some_and(|kind| kind != ReplyKind::Push) => {
                    scan.announced()
                }
                Scan::Resp(_) | Scan::Feed(_) => 0,
                Scan::Memcache(scan) => scan.announced(),
            };
            let view = &self.topology.pools[conn.pool as usize];
            let (large, gather) = (view.stream_from, view.gather);
            let here = announced.max(bytes.len());
            if announced == 0 {
                return Some(0);
            }
            let too_much =
                gather.is_some_and(|limit| here >= limit.min(large)) && self.gathers_too_much(s, here);
            if here < large && !too_much {
                return Some(0);
            }
            self.begin_flow(s, here, bytes)?;
        }
        if self.conns[s].flow.is_some() { Some(self.pass_on(s, bytes)) } else { Some(0) }
    }

    /// A large reply begins, of which so many bytes are `here` or known of. Nothing when the connection is gone.
    fn begin_flow(&mut self, s: u32, here: usize, bytes: &[u8]) -> Option<()> {
        let conn = &self.conns[s];
        let owner = match conn.joining.is_open() {
            true => conn.joined_owner(bytes),
            false => Some((0, true)),
        };
        let Some((place, all)) = owner else { return self.lose_nonsense(s) };
        if !all {
            // It is collected for whom it is for.
            self.make_way(s, place);
            return Some(());
        }
        let Some(entry) = conn.queue.get(place).copied().filter(|entry| entry.start < conn.stream.written())
        else {
            return self.lose_nonsense(s);
        };
        let request = match entry.target {
            // Of the replies before a transaction's own none is passed on.
            _ if entry.care.skip > 0 => return Some(()),
            Target::Part { merge, part } if self.merges.get(merge).is_some_and(Merge::is_over) => {
                // The client reads an error whatever comes.
                self.conns[s].queue[place].target = Target::Nobody;
                self.take_part(merge, part, 0, |_| {});
                None
            }
            // Parts are put together first, and an answer in the proxy's words needs nothing of this.
            Target::Part { .. } | Target::Instead(..) | Target::Scan(_) => {
                self.make_way(s, place);
                return Some(());
            }
            Target::Handshake(_) => return Some(()),
            Target::Docs { pool, resp3 } if here > DOCS_BYTES => {
                self.conns[s].queue[place].target = Target::Nobody;
                self.docs_told(pool, resp3, None);
                None
            }
            Target::Docs { .. } => return Some(()),
            _ if conn.feeder != NONE => return Some(()), // an answer before the request's end; take_reply sees to it
            Target::Nobody => None,
            Target::Request(request)
            | Target::Exec(request)
            | Target::Awaited(request)
            | Target::Script(request) => Some(request),
            // The answers to storage commands and to what the proxy asks for itself are never large.
            Target::Quiet(_)
            | Target::Copies(_)
            | Target::Noreply(_)
            | Target::Errand(_)
            | Target::Topic(_)
            | Target::Database { .. }
            | Target::Cover(_) => return Some(()),
        };
        self.learn_key(s, place);
        self.make_way(s, place);
        if self.waits_before(s, place) {
            return Some(()); // it is collected: passed on it would wait for what comes behind it
        }
        self.limit_flows();
        // From here on it is the reply's, and no request waits for it.
        self.leave_lane(s);
        let Some((answered, latency)) = self.take_answered(s, place) else { return Some(()) };
        let conn = &self.conns[s];
        let (pool, server) = (conn.pool as usize, conn.server as usize);
        if let Target::Exec(_) = entry.target {
            // Its client watches nothing any more, however long the reply takes.
            self.unpin(s);
        }
        if answered.late {
            self.shard.server(pool, server, ServerMetric::LateReplies).add(1);
        }
        let mut request = request;
        if let Some(slot) = request {
            self.shard.pool_shard(pool).latency.record(latency);
            let state = &mut self.replies.requests[slot].state;
            if matches!(state, State::Orphan) {
                self.replies.requests.remove(slot);
                request = None;
            } else if matches!(state, State::Unheard) {
                self.replies.answer(slot, |_| {});
                request = None;
            } else {
                *state = State::Flowing(self.conns.id(s));
            }
        }
        let at_us = self.now.mono_us;
        self.conns[s].flow =
            Some(Flow { request, at_us, held: false, held_us: 0, given: false, waits: false });
        if self.conns[s].armed.is_none() {
            self.arm(s, at_us);
        }
        Some(())
    }

    /// Whether the client of the request at a place waits for an earlier one, too: of several gets that went as one.
    fn waits_before(&self, s: u32, place: usize) -> bool {
        let queue = &self.conns[s].queue;
        let client = queue.get(place).and_then(|entry| self.client_of(entry.target));
        client.is_some() && queue.iter().take(place).any(|entry| self.client_of(entry.target) == client)
    }

    /// Each large reply has a connection of its own: where there are many, the client that has not read for longest is cut.
    fn limit_flows(&mut self) {
        let flows: Vec<Flow> = self.conns.iter().filter_map(|(_, conn)| conn.flow).collect();
        if flows.len() < FLOWS_PER_WORKER {
            return;
        }
        let oldest = flows.iter().filter(|flow| flow.held).min_by_key(|flow| flow.held_us);
        if let Some(request) = oldest.and_then(|flow| flow.request) {
            let c = self.replies.requests[request].client;
            self.replies.torn.push(self.replies.clients.id(c));
        }
    }

    /// Remembers the key that the request at a place of the queue asks for: its value is large.
    fn learn_key(&mut self, s: u32, place: usize) {
        let conn = &self.conns[s];
        let Some(entry) = conn.queue.get(place) else { return };
        let end = conn.queue.get(place + 1).map_or(conn.whole, |next| next.start);
        let asked = conn.asked(entry, end);
        if let Some(key) = first_key(&conn.scan, &asked, self.args.get_or_insert_default()) {
            self.large_keys.learn(conn.pool, key);
        }
    }

    /// A lane was asked for a large value and answers a small one.
    pub(crate) fn forget_key(&mut self, s: u32, entry: InFlight) {
        let conn = &self.conns[s];
        let end = conn.queue.front().map_or(conn.whole, |next| next.start);
        if let Some(key) =
            first_key(&conn.scan, conn.stream.between(entry.start, end), self.args.get_or_insert_default())
        {
            self.large_keys.forget(conn.pool, key);
        }
    }

    /// Nothing more is queued on a connection, and what can be asked elsewhere is: all but the request at the place `owner`,
    /// whose reply is there.
    fn make_way(&mut self, s: u32, owner: usize) {
        let Some(slot) = self.conns[s].slot.take() else {
            let (pool, server) = (self.conns[s].pool as usize, self.conns[s].server as usize);
            self.pools[pool].servers[server].retired.retain(|other| *other != s);
            self.conns[s].lane = true;
            return;
        };
        let (pool, server) = (self.conns[s].pool, self.conns[s].server);
        self.conns[s].lane = true;
        // What its server says from now on may have to wait for a client that is slow.
        self.lose_tracked(s);
        self.pools[pool as usize].servers[server as usize].conns[slot as usize] = NONE;
        if self.topology.pools[pool as usize].retry_reads {
            self.ask_elsewhere(s, slot, owner);
        }
        // What is left behind the large reply stays before what its clients ask next.
        self.keep_order(s, usize::from(owner == 0));
    }

    /// Makes reads that wait for a reply to the request at the place `owner` again over another connection; unless their client
    /// has something there that has to stay, which they must neither overtake nor fall behind.
    fn ask_elsewhere(&mut self, s: u32, slot: u32, owner: usize) {
        let (pool, server) = (self.conns[s].pool, self.conns[s].server);
        if self.check_server(pool, server).is_err() {
            return;
        }
        let conn = &self.conns[s];
        let others = (conn.expired..conn.queue.len()).filter(move |index| *index != owner);
        let stays = others.clone().map(|index| &conn.queue[index]).filter(|entry| !entry.care.again);
        let stays: HashSet<u32> = stays.filter_map(|entry| self.client_of(entry.target)).collect();
        for index in others {
            let entry = self.conns[s].queue[index];
            if !self.client_of(entry.target).is_some_and(|c| entry.care.again && !stays.contains(&c)) {
                continue;
            }
            let conn = &mut self.conns[s];
            let end = conn.queue.get(index + 1).map_or(conn.whole, |next| next.start);
            let bytes = conn.asked(&entry, end).into_owned();
            conn.queue[index].target = Target::Nobody;
            let fresh = self.lane_for_key(s, &bytes).unwrap_or_else(|| self.conn_for(pool, server, slot));
            if self.conns[fresh].lane
                && let Some(c) = self.client_of(entry.target)
            {
                self.replies.clients[c].in_order = true;
            }
            self.send_again(fresh, &bytes, InFlight { ..entry });
        }
    }

    /// A lane for a request that waits on `s`, if its key is known to be large.
    fn lane_for_key(&mut self, s: u32, request: &[u8]) -> Option<u32> {
        let conn = &self.conns[s];
        let (pool, server, mode) = (conn.pool, conn.server, conn.mode);
        let key = first_key(&conn.scan, request, self.args.get_or_insert_default())?;
        if !self.large_keys.has(pool, key) {
            return None;
        }
        self.lane(pool, server, mode).ok()?
    }

    /// Passes on what is here of a large reply; answers how many bytes are done with.
    fn pass_on(&mut self, s: u32, bytes: &[u8]) -> usize {
        let Some(flow) = &self.conns[s].flow else { return 0 };
        if let Some(request) = flow.request {
            let c = self.replies.requests[request].client;
            if self.replies.clients[c].head != request {
                self.hold(s, c, bytes.len());
                if let Some(flow) = &mut self.conns[s].flow {
                    flow.at_us = self.now.mono_us;
                }
                return 0;
            }
            let count = self.scan_pass(s, bytes.len());
            if count == 0 {
                return 0; // half of a line end: nothing to wake anybody for
            }
            let client = &mut self.replies.clients[c];
            client.outbox.buffer(&mut self.replies.buffers).extend_from_slice(&bytes[..count]);
            let waiting = client.outbox.len();
            let full = waiting >= self.room_of(c);
            if let Some(flow) = &mut self.conns[s].flow {
                flow.given = true;
                flow.at_us = self.now.mono_us;
            }
            if full || waiting >= PIECE_BYTES {
                self.replies.wake_client(c);
            } else {
                self.wait_for_more(s);
            }
            self.count_server(s, ServerMetric::ResponseBytes).add(count as u64);
            if full {
                self.hold(s, c, 0);
            }
            return count;
        }
        if let Some(flow) = &mut self.conns[s].flow {
            flow.at_us = self.now.mono_us;
        }
        self.scan_pass(s, bytes.len())
    }

    /// What is here of a large reply leaves when more has come, or soon: many small writes cost more than few large ones.
    fn wait_for_more(&mut self, s: u32) {
        let id = self.conns.id(s);
        if let Some(flow) = self.conns[s].flow.as_mut().filter(|flow| !flow.waits) {
            flow.waits = true;
            self.pieces.push_back((id, self.now.mono_us.saturating_add(PIECE_WAIT_US)));
        }
    }

    /// When the next piece of a large reply leaves though it is small, or [`NEVER`].
    pub(crate) fn next_piece(&self) -> u64 {
        self.pieces.front().map_or(NEVER, |(_, at)| *at)
    }

    /// Small pieces of large replies that have waited long enough leave.
    pub(crate) fn send_pieces(&mut self) {
        while self.next_piece() <= self.now.mono_us {
            let Some((id, _)) = self.pieces.pop_front() else { return };
            let Some(s) = self.conns.live(id) else { continue };
            let Some(flow) = &mut self.conns[s].flow else { continue };
            flow.waits = false;
            if let Some(request) = flow.request {
                let c = self.replies.requests[request].client;
                if self.replies.clients.get(c).is_some_and(|client| !client.outbox.is_empty()) {
                    self.replies.wake_client(c);
                }
            }
        }
    }

    fn scan_pass(&mut self, s: u32, len: usize) -> usize {
        match &mut self.conns[s].scan {
            Scan::Resp(scan) | Scan::Feed(scan) => scan.pass(len),
            Scan::Memcache(scan) => scan.pass(len),
        }
    }

    /// How many bytes of a large reply may wait for a client.
    fn room_of(&self, c: u32) -> usize {
        self.view(c).client_output_limit.min(TRANSFER_BYTES)
    }

    /// The end of a large reply.
    #[cold]
    pub(crate) fn end_flow(&mut self, s: u32, last: &[u8]) {
        let Some(flow) = self.conns[s].flow.take() else { return };
        if flow.held {
            self.replies.outputs.push(Output::ResumeConn(self.conns.id(s)));
        }
        let Some(request) = flow.request else { return };
        self.count_server(s, ServerMetric::Responses).add(1);
        self.count_server(s, ServerMetric::ResponseBytes).add(last.len() as u64);
        let c = self.replies.requests[request].client;
        self.replies.answer(request, |out| out.extend_from_slice(last));
        self.flush_held(c);
    }

    /// Reads no more of a large reply until its client is ready for it; unless others have waited behind it for long: for
    /// their sake as much of it is collected as the client may leave unread at most. `here`: bytes of it that are kept.
    fn hold(&mut self, s: u32, c: u32, here: usize) {
        let client = &self.replies.clients[c];
        let room = client.held().saturating_add(here) < client.output_max.min(COLLECTED_BYTES);
        let urgent_from = self.urgent_from(s);
        if room && urgent_from.is_some_and(|at| at <= self.now.mono_us) {
            return;
        }
        if let Some(flow) = self.conns[s].flow.as_mut().filter(|flow| !flow.held) {
            (flow.held, flow.held_us) = (true, self.now.mono_us);
            self.replies.outputs.push(Output::PauseConn(self.conns.id(s)));
            if let Some(at) = urgent_from {
                let deaf = self.now.mono_us.saturating_add(DEAF_US);
                self.deadlines.arm(self.conns.id(s), if room { at } else { deaf });
            }
        }
    }

    /// When those who wait behind a large reply can wait no longer.
    fn urgent_from(&self, s: u32) -> Option<u64> {
        let conn = &self.conns[s];
        let waits = |entry: &&InFlight| !matches!(entry.target, Target::Nobody);
        let oldest = conn.queue.iter().skip(conn.expired).find(waits)?;
        Some(oldest.at_us.saturating_add(self.timeout_us(s).map_or(PATIENCE_US, |timeout| timeout / 2)))
    }

    /// Others can wait for longer or not so long any more: looks at a large reply that waits for its client when they
    /// cannot.
    pub(crate) fn hurry_later(&mut self, s: u32) {
        let held = self.conns[s].flow.is_some_and(|flow| flow.held);
        if let Some(at) = self.urgent_from(s).filter(|_| held) {
            self.deadlines.arm(self.conns.id(s), at);
        }
    }

    /// Goes on with a large reply that waits for its client when others can wait no longer.
    pub(crate) fn hurry_flow(&mut self, s: u32) {
        let now = self.now.mono_us;
        let Some(flow) = self.conns[s].flow.filter(|flow| flow.held) else { return };
        if self.urgent_from(s).is_none_or(|at| at > now) {
            return;
        }
        if flow.held_us.saturating_add(DEAF_US) <= now
            && let Some(request) = flow.request
        {
            let c = self.replies.requests[request].client;
            self.replies.torn.push(self.replies.clients.id(c));
        } else {
            self.resume_flow(self.conns.id(s));
        }
    }

    /// Goes on with a large reply that waited for its client.
    pub(crate) fn resume_flow(&mut self, id: ConnId) {
        let Some(s) = self.conns.live(id) else { return };
        let Some(flow) = self.conns[s].flow.as_mut().filter(|flow| flow.held) else { return };
        flow.held = false;
        flow.at_us = self.now.mono_us;
        self.replies.outputs.push(Output::ResumeConn(id));
        self.work_off(s);
    }

    /// A client has read: a large reply that waited for that goes on.
    pub(crate) fn flow_written(&mut self, c: u32) {
        let client = &self.replies.clients[c];
        if client.head != NONE
            && let State::Flowing(id) = self.replies.requests[client.head].state
            && client.outbox.len() <= self.room_of(c) / 2
        {
            self.resume_flow(id);
        }
    }

    /// The client of a large reply is gone: what is left of it is dropped, or its connection closed if nobody waits there.
    pub(crate) fn drop_flow(&mut self, id: ConnId) {
        let Some(s) = self.conns.live(id) else { return };
        if let Some(flow) = &mut self.conns[s].flow {
            flow.request = None;
        }
        if self.conns[s].queue.is_empty() { self.discard_conn(s) } else { self.resume_flow(id) }
    }

    /// The connection of a large reply is gone. A client that has read some of it can be told nothing any more.
    pub(crate) fn tear_flow(&mut self, flow: Flow, pool: u32, cause: Cause) {
        let Some(request) = flow.request else { return };
        if flow.given {
            let c = self.replies.requests[request].client;
            self.replies.torn.push(self.replies.clients.id(c));
        } else {
            let protocol = self.topology.pools[pool as usize].protocol;
            let c = self.replies.requests[request].client;
            self.fail(protocol, Target::Request(request), cause.text());
            self.flush_held(c);
        }
    }

    /// A `noreply` request is done; its client may have waited for that.
    pub(crate) fn heard(&mut self, id: ClientId) {
        let Some(c) = self.replies.clients.live(id) else { return };
        let client = &mut self.replies.clients[c];
        client.noreplies = client.noreplies.saturating_sub(1);
        if client.noreplies == 0 && client.paused {
            self.resume(c);
            self.settle(c);
        }
    }

    /// The client that waits for a reply.
    pub(crate) fn client_of(&self, target: Target) -> Option<u32> {
        let request = match target {
            Target::Request(request)
            | Target::Exec(request)
            | Target::Awaited(request)
            | Target::Script(request)
            | Target::Scan(Page { request, .. })
            | Target::Instead(request, _)
            | Target::Copies(request)
            | Target::Quiet(request) => request,
            Target::Part { merge, .. } => self.merges[merge].request,
            Target::Noreply(id) => return self.replies.clients.live(id),
            Target::Nobody
            | Target::Handshake(_)
            | Target::Errand(_)
            | Target::Topic(_)
            | Target::Docs { .. }
            | Target::Database { .. }
            | Target::Cover(_) => return None,
        };
        let slot = &self.replies.requests[request];
        if matches!(slot.state, State::Orphan) { None } else { Some(slot.client) }
    }
}

/// The first key of a request as servers see it.
fn first_key<'b>(scan: &Scan, bytes: &'b [u8], args: &mut Args) -> Option<&'b [u8]> {
    if matches!(scan, Scan::Memcache(_)) {
        return bytes.split(|byte| matches!(byte, b' ' | b'\r')).nth(1);
    }
    RequestScan::begun(bytes, 2, args)?;
    (args.len() == 2).then(|| args.get(1, bytes))
}
