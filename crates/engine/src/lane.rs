//! Connections for large transfers, beside the shared ones: got, counted, kept for the next and let go.
//!
//! ```text
//!   shared (in a slot) --a large reply begins--> lane --done--> spare --a slot is empty----> shared
//!                       a large request: new or spare ^           \--a large request------> lane
//!                                                                  \--not needed for long--> closed
//! ```

use crate::core::Core;
use crate::databases::Mode;
use crate::deadline::NEVER;
use crate::error::Cause;
use crate::id::ClientId;
use crate::limits::{LANE_WAIT_US, LANES_PER_WORKER, SPARE_IDLE_US, SPARES_PER_SERVER, SPARES_PER_WORKER};
use crate::output::Output;
use crate::request::Target;
use crate::server_conn::{Care, Phase};
use crate::slab::NONE;

/// What became of a read that should go over a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnLane {
    /// It is under way.
    Sent,
    /// There is none now: the request is to be read again when there is.
    Later,
    /// It goes the usual way.
    No,
}

impl Core {
    /// A connection to `server` for one large transfer; nothing while all that there may be are in use.
    pub(crate) fn lane(&mut self, pool: u32, server: u32, mode: Mode) -> Result<Option<u32>, Cause> {
        self.check_server(pool, server)?;
        if self.lanes >= LANES_PER_WORKER {
            return Ok(None);
        }
        self.lanes += 1;
        let spare = self.take_spare(pool, server, mode);
        let lane = spare.unwrap_or_else(|| self.open_conn(pool, server, None, mode));
        (self.conns[lane].lane, self.conns[lane].counted) = (true, true);
        Ok(Some(lane))
    }

    /// Sends a read of a key that is known to be large over a lane, unless the client has something under way that it could
    /// overtake. What the client asks next waits for it. Over a connection that others use it would have to be moved away
    /// again, so it rather waits for a lane, for a while.
    pub(crate) fn read_on_lane(
        &mut self,
        c: u32,
        server: Option<u32>,
        bytes: usize,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> OnLane {
        let client = &self.replies.clients[c];
        let (pool, busy) = (client.pool, client.head != NONE || client.noreplies > 0);
        let may = |server: &u32| !busy && !self.owes_deletes(pool, *server);
        let Some(server) = server.filter(may) else { return OnLane::No };
        let refused = std::mem::take(&mut self.replies.clients[c].lane_refused);
        let lane = match self.lane(pool, server, self.mode(c)) {
            Ok(Some(lane)) => lane,
            Ok(None) if !refused => {
                self.await_lane(c);
                return OnLane::Later;
            }
            _ => return OnLane::No,
        };
        let request = self.replies.ask(c, bytes);
        self.send(lane, Target::Request(request), Care::of_read(true), write);
        self.replies.clients[c].in_order = true;
        OnLane::Sent
    }

    /// A connection of this mode that was kept after another use.
    pub(crate) fn take_spare(&mut self, pool: u32, server: u32, mode: Mode) -> Option<u32> {
        let spare = &mut self.pools[pool as usize].servers[server as usize].spare;
        let place = spare.iter().rposition(|s| self.conns[*s].mode == mode)?;
        Some(spare.remove(place))
    }

    /// A lane owes nothing any more: it is kept for a while, or closed.
    pub(crate) fn spare_lane(&mut self, s: u32) {
        self.unpin(s);
        let conn = &self.conns[s];
        let (pool, server) = (conn.pool as usize, conn.server as usize);
        let answered = conn.queue.is_empty() && !conn.joining.is_open() && conn.rest.is_empty();
        let empty = answered && conn.stream.waiting().is_empty();
        let fit = conn.lane && empty && conn.phase == Phase::Ready;
        let state = &mut self.pools[pool].servers[server];
        state.retired.retain(|other| *other != s);
        state.spare.retain(|other| *other != s);
        let enough = state.spare.len() >= SPARES_PER_SERVER;
        if !fit || enough || self.spares() >= SPARES_PER_WORKER {
            return self.discard_conn(s);
        }
        self.pools[pool].servers[server].spare.push(s);
        self.leave_lane(s);
        self.conns[s].heard_us = self.now.mono_us;
        self.conns[s].dirty = false;
        self.arm_idle(s, self.now.mono_us.saturating_add(SPARE_IDLE_US));
    }

    fn spares(&self) -> usize {
        self.pools.iter().flat_map(|pool| &pool.servers).map(|server| server.spare.len()).sum()
    }

    /// The large request that had this lane is done with it.
    pub(crate) fn leave_lane(&mut self, s: u32) {
        if std::mem::take(&mut self.conns[s].counted) {
            self.lanes -= 1;
        }
    }

    /// A client's large request waits until there is a lane.
    pub(crate) fn await_lane(&mut self, c: u32) {
        self.replies.clients[c].awaits_lane = true;
        let id = self.replies.clients.id(c);
        self.lane_waiters.push_back((id, self.now.mono_us.saturating_add(LANE_WAIT_US)));
        self.pause(c);
    }

    /// Fails those who have waited too long for a lane, and forgets those who are gone.
    pub(crate) fn expire_waiters(&mut self) {
        let now = self.now.mono_us;
        let mut over = Vec::new();
        let mut waiters = std::mem::take(&mut self.lane_waiters);
        waiters.retain(|(id, until)| {
            let waits = self.waiter(*id);
            over.extend(waits.filter(|_| *until <= now));
            waits.is_some() && *until > now
        });
        self.lane_waiters = waiters;
        for c in over {
            let client = &mut self.replies.clients[c];
            (client.awaits_lane, client.lane_refused) = (false, true);
            self.resume(c);
        }
    }

    /// When to look at those who wait for a lane, or [`NEVER`].
    #[inline]
    pub(crate) fn next_waiter(&self) -> u64 {
        if self.lane_waiters.is_empty() { NEVER } else { self.first_waiter() }
    }

    #[cold]
    fn first_waiter(&self) -> u64 {
        self.lane_waiters.iter().map(|(_, until)| *until).min().unwrap_or(NEVER)
    }

    /// Whether somebody who waits for a lane may have one.
    pub(crate) fn can_admit(&self) -> bool {
        self.lanes < LANES_PER_WORKER && !self.lane_waiters.is_empty()
    }

    /// Lets those who wait for a lane try again, the first one first.
    pub(crate) fn admit_waiters(&mut self) {
        while self.can_admit() {
            let Some((id, _)) = self.lane_waiters.pop_front() else { return };
            if let Some(c) = self.waiter(id) {
                self.replies.clients[c].awaits_lane = false;
                self.resume(c);
            }
        }
    }

    fn waiter(&self, id: ClientId) -> Option<u32> {
        self.replies.clients.live(id).filter(|c| self.replies.clients[*c].awaits_lane)
    }

    /// Has the worker not read from a client, until [`Core::resume`].
    pub(crate) fn pause(&mut self, c: u32) {
        let client = &mut self.replies.clients[c];
        if !client.paused {
            client.paused = true;
            self.replies.outputs.push(Output::PauseClient(self.replies.clients.id(c)));
        }
    }
}
