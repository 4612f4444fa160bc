//! What has waited too long: requests, connections in the making, and whoever is idle.

use crate::core::Core;
use crate::error::Cause;
use crate::id::ConnId;
use crate::limits::{DATABASE_IDLE_US, RETIRED_PER_SERVER, SPARE_IDLE_US};
use crate::output::Closing;
use crate::pinned::{Pin, Purpose};
use crate::request::Target;
use crate::server_conn::{InFlight, Phase};
use crate::slab::NONE;
use stats::{Event, Latency, PoolMetric, ServerMetric};

impl Core {
    /// Deals with all whose time is up.
    #[inline]
    pub fn expire(&mut self) {
        self.watch_memory();
        if !self.lane_waiters.is_empty() {
            self.expire_waiters();
        }
        if self.next_us() <= self.now.mono_us {
            self.expire_due();
        }
    }

    fn expire_due(&mut self) {
        let now = self.now.mono_us;
        self.send_pieces();
        while let Some(id) = self.replies.flows.pop() {
            self.resume_flow(id);
        }
        while let Some(id) = self.replies.torn.pop() {
            if let Some(c) = self.replies.clients.live(id) {
                self.drop_client(c, Closing::Lost);
            }
        }
        self.retry_feeds();
        self.retry_broadcasts();
        self.wake_unheard();
        self.end_pauses();
        self.work_on_divisions();
        self.admit_waiters();
        while let Some(c) = self.replies.overflowed.pop() {
            self.drop_overflowed(c);
        }
        while let Some(id) = self.connects.due(now) {
            if let Some(s) = self.conns.live(id).filter(|s| self.conns[*s].phase != Phase::Ready) {
                self.lose_conn(s, Cause::TimedOut);
            }
        }
        while let Some(id) = self.reconnects.due(now) {
            if let Some(s) = self.conns.live(id).filter(|s| self.conns[*s].phase == Phase::Waiting) {
                self.connect(s);
            }
        }
        while let Some(id) = self.idle_conns.due(now) {
            if let Some(s) = self.conns.live(id) {
                self.conns[s].idle_armed = None;
                self.close_if_idle(s);
            }
        }
        while let Some(id) = self.idle_clients.due(now) {
            if let Some(c) = self.replies.clients.live(id) {
                self.drop_if_idle(c);
            }
        }
        while let (at, Some(id)) = (self.deadlines.next(), self.deadlines.due(now)) {
            if let Some(s) = self.conns.live(id) {
                self.hurry_flow(s);
            }
            if let Some(s) = self.conns.live(id).filter(|s| self.conns[*s].armed == Some(at)) {
                self.conns[s].armed = None;
                self.expire_conn(s, id);
            }
        }
    }

    /// Closes a client that does not read, with all that is held for it.
    fn drop_overflowed(&mut self, c: u32) {
        let Some(client) = self.replies.clients.get(c).filter(|client| client.overflowed) else { return };
        let unread_bytes = client.held() as u64;
        let event = Event::ClientOverflow { pool: client.pool, client: client.peer, unread_bytes };
        self.process.events.push(event);
        self.count_client(c, PoolMetric::ClientOverflows);
        self.drop_client(c, Closing::Lost);
    }

    /// Has [`Core::close_if_idle`] called, unless it will be earlier.
    pub(crate) fn arm_idle(&mut self, s: u32, at_us: u64) {
        if self.conns[s].idle_armed.is_none_or(|armed| armed > at_us) {
            self.conns[s].idle_armed = Some(at_us);
            self.idle_conns.arm(self.conns.id(s), at_us);
        }
    }

    /// Closes a server connection that was not used for `server_idle_timeout`, or looks again later.
    fn close_if_idle(&mut self, s: u32) {
        let conn = &self.conns[s];
        if conn.is_feed() {
            return self.look_after_feed(s);
        }
        if (conn.tracked.is_some() || conn.is_broadcast()) && self.look_after_tracked(s) {
            return;
        }
        let conn = &self.conns[s];
        if conn.feeder != NONE {
            return self.cut_if_stalled(s);
        }
        let idle = self.topology.pools[conn.pool as usize].server_idle_us;
        if conn.pin.is_some_and(|pin| pin.purpose == Purpose::Over) {
            return self.discard_conn(s);
        }
        if conn.pin.is_some() {
            return; // its client's affair
        }
        let is_spare = conn.lane && conn.queue.is_empty() && conn.flow.is_none();
        let spare = is_spare.then_some(SPARE_IDLE_US);
        let deserted = self.is_in_deserted(s).then_some(DATABASE_IDLE_US);
        let Some(idle) = idle.into_iter().chain(spare).chain(deserted).min() else { return };
        let now = self.now.mono_us;
        let since = if conn.queue.is_empty() && conn.flow.is_none() { conn.heard_us } else { now };
        if since.saturating_add(idle) > now {
            self.arm_idle(s, since.saturating_add(idle));
        } else {
            self.discard_conn(s);
        }
    }

    /// Closes a client that sent nothing for `client_idle_timeout` and waits for nothing, or looks again later.
    fn drop_if_idle(&mut self, c: u32) {
        let client = &self.replies.clients[c];
        let Some(idle) = self.topology.pools[client.pool as usize].client_idle_us else { return };
        let now = self.now.mono_us;
        let idle_since =
            client.is_settled() && !client.paused && !self.is_subscribed(c) && !self.is_monitor(c);
        let since = if idle_since { client.heard_us } else { now };
        if since.saturating_add(idle) > now {
            self.idle_clients.arm(self.replies.clients.id(c), since.saturating_add(idle));
        } else {
            self.drop_client(c, Closing::Clean);
        }
    }

    /// How long the requests on a connection may take. Asked for each request where there is no limit.
    pub(crate) fn timeout_us(&self, s: u32) -> Option<u64> {
        let (pool, server) = (self.conns[s].pool as usize, self.conns[s].server as usize);
        let of_pool = self.topology.pools[pool].timeout_us?;
        let usual = self.pools[pool].servers[server].timeout_us.unwrap_or(of_pool);
        match self.conns[s].pin {
            // Until the connection stands it is the server that is waited for.
            Some(Pin { purpose: Purpose::Wait(extra) | Purpose::Copies(extra), .. })
                if self.conns[s].phase == Phase::Ready =>
            {
                extra.map(|extra| usual.saturating_add(extra))
            }
            _ => Some(usual),
        }
    }

    /// Requests to a server may take so long from now on. A longer time is seen when the shorter one is over.
    pub(crate) fn set_timeout(&mut self, pool: u32, server: u32, micros: u64) {
        self.pools[pool as usize].servers[server as usize].timeout_us = Some(micros);
        let all = self.conns.iter().filter(|(_, conn)| (conn.pool, conn.server) == (pool, server));
        for s in all.map(|(s, _)| s).collect::<Vec<u32>>() {
            self.hurry_later(s);
            let from = self.waits_since(s);
            let Some(at) = self.conns[s].armed else { continue };
            if from.unwrap_or(self.now.mono_us).saturating_add(micros) < at {
                self.conns[s].armed = None;
                from.into_iter().for_each(|from| self.arm(s, from));
            }
        }
    }

    /// Since when the server owes something on a connection.
    fn waits_since(&self, s: u32) -> Option<u64> {
        let conn = &self.conns[s];
        let next = conn.queue.get(conn.expired).map(|entry| entry.at_us);
        next.into_iter().chain(conn.flow.map(|flow| flow.at_us)).min()
    }

    fn expire_conn(&mut self, s: u32, id: ConnId) {
        if self.conns[s].is_feed() {
            return self.expire_feed(s);
        }
        let (pool, server) = (self.conns[s].pool as usize, self.conns[s].server as usize);
        let Some(timeout) = self.timeout_us(s) else { return };
        let protocol = self.topology.pools[pool].protocol;
        let now = self.now.mono_us;
        let due = now.saturating_sub(timeout);
        if self.awaits_client(s)
            && let Some(entry) = self.last_queued(s)
        {
            entry.at_us = now;
        }
        let mut flows_since = None;
        if let Some(flow) = &mut self.conns[s].flow {
            if flow.held {
                flow.at_us = now;
            } else if flow.at_us <= due {
                return self.lose_conn(s, Cause::TimedOut);
            }
            flows_since = Some(flow.at_us);
        }
        let before = self.conns[s].expired;
        let is_due = |entry: &InFlight| entry.at_us <= due;
        if flows_since.is_none() {
            // Counted now, at what they have waited: of many the reply never comes, and the tail would look short.
            // What waits behind a large reply waits for its client as well, which says nothing of the server.
            let due = self.conns[s].queue.iter().skip(before).take_while(|entry| is_due(entry));
            for late in due.filter(|entry| !entry.is_answered()) {
                let waited = Latency::of_us(now.saturating_sub(late.at_us));
                self.shard.server_shard(pool, server).latency.record(waited);
            }
        }
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
        if self.conns[s].expired > before && flows_since.is_none() {
            self.retire(s);
        }
        if let Some(s) = self.conns.live(id)
            && let Some(since) = self.waits_since(s)
        {
            self.arm(s, since);
        }
    }

    /// Whether the server has said nothing on a connection for so long that it hangs rather than being slow.
    pub(crate) fn is_silent(&self, s: u32) -> bool {
        let conn = &self.conns[s];
        if matches!(conn.phase, Phase::Handshaking(_)) {
            return true; // it took the connection and does not even answer the proxy's first words
        }
        let timeout = self.timeout_us(s).unwrap_or(u64::MAX);
        self.now.mono_us.saturating_sub(conn.heard_us) >= timeout / 2
    }

    /// Takes back what has not begun to leave a retired connection: its clients read an error and may ask again, and
    /// nothing of it is carried out behind their backs. Sent over a fresh connection, younger requests could
    /// overtake older ones of the same client that this connection still carries.
    fn take_back_unsent(&mut self, s: u32) {
        let conn = &mut self.conns[s];
        let protocol = self.topology.pools[conn.pool as usize].protocol;
        let begun = conn.queue.partition_point(|entry| entry.start < conn.stream.written());
        let first = conn.end_of_joined(begun); // half a line is no request
        let Some(cut) = conn.queue.get(first).map(|entry| entry.start) else { return };
        let end = std::mem::replace(&mut conn.whole, cut);
        conn.stream.truncate(cut);
        conn.joining.close();
        // With nothing left to write the worker makes no call that would clear it.
        conn.dirty &= !conn.writable().is_empty();
        let taken = conn.queue.split_off(first);
        conn.joining.forget(&taken);
        let overdue = conn.expired.saturating_sub(first);
        conn.expired -= overdue;
        conn.unsent -= taken.len();
        self.count_server(s, ServerMetric::InQueue).sub(taken.len() as u64);
        self.count_server(s, ServerMetric::InQueueBytes).sub(end - cut);
        for entry in taken.into_iter().skip(overdue) {
            self.fail(protocol, entry.target, Cause::TimedOut.text());
        }
    }

    /// Clients that are still owed replies on a connection which takes no more requests ask nothing further
    /// until they have them: over another connection it could be carried out first. `from`: the first of its queue's
    /// places that counts.
    pub(crate) fn keep_order(&mut self, s: u32, from: usize) {
        for index in self.conns[s].expired.max(from)..self.conns[s].queue.len() {
            let target = self.conns[s].queue[index].target;
            let Some(c) = self.client_of(target) else { continue };
            self.replies.clients[c].in_order = true;
            if let Target::Noreply(_) = target {
                self.replies.clients[c].noreplies -= 1;
                // It is waited for like any other, though it is answered with nothing.
                let request = self.replies.ask(c, 0);
                self.conns[s].queue[index].target = Target::Quiet(request);
            }
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
        let silent = self.is_silent(s);
        self.report_failure(pool, server, Cause::TimedOut, silent);
        self.count_server(s, ServerMetric::ServerTimedout).add(1);
        let state = &mut self.pools[pool as usize].servers[server as usize];
        state.conns[slot as usize] = NONE;
        state.retired.push_back(s);
        self.take_back_unsent(s);
        self.keep_order(s, 0);
        if self.conns[s].expired == self.conns[s].queue.len() {
            return self.discard_conn(s);
        }
        let state = &mut self.pools[pool as usize].servers[server as usize];
        if state.retired.len() > RETIRED_PER_SERVER
            && let Some(oldest) = state.retired.pop_front()
        {
            self.lose_conn(oldest, Cause::TimedOut);
        }
    }
}
