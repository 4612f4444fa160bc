//! Connections that belong to one client while it needs them: for keys that it watches, and while it waits.
//!
//! ```text
//!   none, or spare ──pin──► pinned ──what it was for is over──► spare
//!                             └──its client leaves, or it breaks──► closed
//! ```

use crate::core::Core;
use crate::error::Cause;
use crate::request::Target;
use crate::server_conn::{Care, Phase};
use crate::session::{Session, Watch};
use stats::PoolMetric;
use wire::resp::encode;

/// Whose a connection is, and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The client.
    pub client: u32,
    /// What it is for.
    pub purpose: Purpose,
}

/// What a client needs a connection of its own for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It watches keys.
    Watch,
    /// It waits for an element, for so many microseconds on top of the usual timeout; none: for as long as it likes.
    Wait(Option<u64>),
    /// It waits for copies of what it wrote, for so many microseconds; none: for as long as it takes.
    Copies(Option<u64>),
    /// What it was for is over, and it is closed at the end of the tick.
    Over,
    /// It asks something that must not wait behind others' requests.
    Aside,
    /// It is no client's: the messages come on it that clients are subscribed to.
    Listen,
    /// It is no client's: its server tells on it which keys have changed.
    Broadcast,
}

/// What a client reads when all connections that clients may have to themselves are in use.
pub(crate) const ALL_PINNED: &str =
    "ERR all connections for WATCH and for blocking commands are in use (pinned_connections)";

impl Core {
    /// A connection to `server` for a client alone; nothing when there are too many already.
    pub(crate) fn pin(&mut self, c: u32, server: u32, purpose: Purpose) -> Result<Option<u32>, Cause> {
        let (pool, mut mode) = (self.replies.clients[c].pool, self.mode(c));
        if matches!(purpose, Purpose::Aside | Purpose::Copies(_)) {
            mode.db = 0; // what is asked there concerns the server as a whole
        }
        self.check_server(pool, server)?;
        let state = &mut self.pools[pool as usize];
        if state.pinned >= self.topology.pools[pool as usize].pinned_connections {
            return Ok(None);
        }
        state.pinned += 1;
        self.count_pool(pool, PoolMetric::PinnedConnections).add(1);
        if let Purpose::Wait(_) = purpose {
            self.count_pool(pool, PoolMetric::BlockedClients).add(1);
        }
        let spare = self.take_spare(pool, server, mode);
        let s = spare.unwrap_or_else(|| self.open_conn(pool, server, None, mode));
        (self.conns[s].lane, self.conns[s].pin) = (true, Some(Pin { client: c, purpose }));
        Ok(Some(s))
    }

    /// A connection is nobody's any more. It is kept for another use once it owes nothing.
    pub(crate) fn unpin(&mut self, s: u32) {
        let id = self.conns.id(s);
        let conn = &mut self.conns[s];
        let is_client = |pin: &Pin| !matches!(pin.purpose, Purpose::Listen | Purpose::Broadcast);
        let Some(pin) = conn.pin.take().filter(is_client) else { return };
        let pool = conn.pool;
        self.pools[pool as usize].pinned -= 1;
        self.count_pool(pool, PoolMetric::PinnedConnections).sub(1);
        if let Purpose::Wait(_) = pin.purpose {
            self.count_pool(pool, PoolMetric::BlockedClients).sub(1);
        }
        let Some(client) = self.replies.clients.get_mut(pin.client) else { return };
        let Some(session) = &mut client.session else { return };
        match pin.purpose {
            Purpose::Watch => session.watch = Watch::Nothing,
            Purpose::Wait(_) => session.blocked = None,
            Purpose::Copies(_) => {
                if let Some(copies) = &mut session.copies {
                    copies.conns.retain(|conn| *conn != id);
                }
            }
            Purpose::Aside | Purpose::Over => {}
            Purpose::Listen | Purpose::Broadcast => {}
        }
        self.drop_session_if_empty(pin.client);
    }

    /// A client's own connection is gone.
    pub(crate) fn lose_pin(&mut self, s: u32) {
        let Some(pin) = self.conns[s].pin else { return };
        self.unpin(s);
        if pin.purpose == Purpose::Listen {
            self.lose_feed(s);
        }
        if pin.purpose == Purpose::Broadcast {
            self.lose_broadcast(s);
        }
        if pin.purpose == Purpose::Watch {
            self.session(pin.client).watch = Watch::Lost;
        }
    }

    /// A client no longer watches anything.
    pub(crate) fn unwatch(&mut self, c: u32) {
        let Some(session) = &mut self.replies.clients[c].session else { return };
        let watch = std::mem::take(&mut session.watch);
        if let Watch::On { conn, .. } = watch
            && let Some(s) = self.conns.live(conn)
        {
            self.unpin(s);
            if self.conns[s].phase == Phase::Ready {
                self.send(s, Target::Nobody, Care::default(), |out| {
                    encode::request([b"UNWATCH".as_slice()], out);
                });
            } else {
                self.discard_conn(s);
            }
        }
        self.drop_session_if_empty(c);
    }

    /// A client speaks another protocol than the connection on which it watches keys: its EXEC answers nil, as if they had
    /// changed.
    pub(crate) fn lose_watch(&mut self, c: u32) {
        let watches = |session: &Session| matches!(session.watch, Watch::On { .. });
        if self.replies.clients[c].session.as_deref().is_some_and(watches) {
            self.unwatch(c);
            self.session(c).watch = Watch::Lost;
        }
    }

    /// A client is leaving: what it has to itself is closed at once, lest a server gives it something that nobody reads.
    pub(crate) fn end_session(&mut self, c: u32) {
        let Some(session) = self.replies.clients[c].session.take() else { return };
        // First: whose connections are closed below is told nothing of it.
        if let Some(tracker) = session.tracking {
            self.leave_tracking(c, &tracker);
        }
        let watched = if let Watch::On { conn, .. } = session.watch { Some(conn) } else { None };
        for id in watched.into_iter().chain(session.blocked) {
            if let Some(s) = self.conns.live(id) {
                self.unpin(s);
                let owed = self.conns[s].queue.iter().filter_map(|entry| match entry.target {
                    Target::Request(request) | Target::Exec(request) | Target::Awaited(request) => {
                        Some(request)
                    }
                    _ => None,
                });
                let owed: Vec<u32> = owed.collect();
                self.discard_conn(s);
                // Nobody will answer them any more.
                owed.into_iter().for_each(|request| self.replies.answer_quietly(request));
            }
        }
        if let Some(copies) = session.copies {
            self.drop_copies(c, &copies);
        }
        if session.monitor {
            self.leave_monitors(c);
        }
        if let Some(own) = session.subscriptions {
            self.drop_subscriptions(*own);
        }
    }

    /// A client's session; an empty one if there is none.
    pub(crate) fn session(&mut self, c: u32) -> &mut Session {
        self.replies.clients[c].session.get_or_insert_default()
    }

    pub(crate) fn drop_session_if_empty(&mut self, c: u32) {
        if let Some(client) = self.replies.clients.get_mut(c)
            && client.session.as_ref().is_some_and(|session| session.is_empty())
        {
            client.session = None;
        }
    }
}
