//! Requests whose time is up.

use crate::core::Core;
use crate::error::Cause;
use crate::id::ConnId;
use crate::limits::RETIRED_PER_SERVER;
use crate::request::Target;
use crate::server_conn::{InFlight, Phase};
use crate::slab::NONE;
use stats::ServerMetric;

impl Core {
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

    /// Whether the server has said nothing on a connection for so long that it hangs rather than being slow.
    pub(crate) fn is_silent(&self, s: u32) -> bool {
        let conn = &self.conns[s];
        let timeout = self.topology.pools[conn.pool as usize].timeout_us.unwrap_or(u64::MAX);
        self.now.mono_us.saturating_sub(conn.heard_us) >= timeout / 2
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
        if state.retired.len() > RETIRED_PER_SERVER
            && let Some(oldest) = state.retired.pop_front()
        {
            self.lose_conn(oldest, Cause::TimedOut);
        }
    }
}
