//! The databases that a pool's clients have selected, each of which has connections of its own to every server.
//!
//! ```text
//!   places:  0: the pool's own (redis_db)   1: the first other one   2: ...
//!   unknown ──SELECT: a server is asked──► asked ──it has it──► known ──needed for another, and nobody uses it──► unknown
//!                                            └──it refuses──► unknown; its words go to whoever asked
//! ```
//! A client's database is a part of its [`crate::client::Client::slot`], so that a request needs no look at anything here.

use crate::core::Core;
use crate::limits::{DATABASE_IDLE_US, DATABASES};
use crate::slab::NONE;
use std::collections::BTreeSet;

/// What a connection to a server is set to. It serves clients that are set alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mode {
    /// Which database, as its place in the pool's list: 0 is the pool's own.
    pub db: u32,
    /// Whether it speaks RESP3.
    pub resp3: bool,
}

impl Mode {
    /// That of a place among a server's connections, where each mode has `lanes` of them.
    pub(crate) fn of_slot(slot: u32, lanes: usize) -> Mode {
        let index = slot / lanes as u32;
        Mode { db: index / KINDS, resp3: !index.is_multiple_of(KINDS) }
    }

    /// The first place of this mode; `tracked`: of those on which servers say what changes of that which was read, which
    /// they do in RESP3 alone.
    pub(crate) fn first_slot(self, tracked: bool, lanes: usize) -> u32 {
        (self.db * KINDS + u32::from(self.resp3) + u32::from(tracked)) * lanes as u32
    }
}

/// Kinds of shared connections to a server per database: of RESP2, of RESP3, and of RESP3 with tracking.
pub(crate) const KINDS: u32 = 3;

/// Whether servers say on the connections of this place what changes of that which was read.
pub(crate) fn is_tracked(slot: u32, lanes: usize) -> bool {
    slot / lanes as u32 % KINDS == KINDS - 1
}

/// The databases that one worker's clients of a pool have selected.
#[derive(Debug, Default)]
pub(crate) struct Databases {
    /// Those other than the pool's own; the first has place 1.
    others: Vec<Database>,
    /// All that have ever been selected, at most as many as the servers have: what one that returns has to be emptied of.
    used: BTreeSet<u32>,
}

/// One of them.
#[derive(Debug)]
struct Database {
    number: u32,
    /// The requests that wait until a server has said whether there is such a database; nothing once it has said so.
    asked: Option<Vec<u32>>,
    /// Clients that have selected it.
    clients: u32,
}

impl Databases {
    /// The number of the database at a place, other than the pool's own.
    pub(crate) fn number(&self, place: u32) -> Option<u32> {
        Some(self.others.get((place as usize).checked_sub(1)?)?.number)
    }

    fn get_mut(&mut self, place: u32) -> Option<&mut Database> {
        self.others.get_mut((place as usize).checked_sub(1)?)
    }

    fn place_of(&self, number: u32) -> Option<u32> {
        self.others.iter().zip(1..).find(|(database, _)| database.number == number).map(|(_, place)| place)
    }

    /// Whether no client has selected it, or has asked to.
    pub(crate) fn is_deserted(&self, place: u32) -> bool {
        let index = (place as usize).checked_sub(1);
        index
            .and_then(|index| self.others.get(index))
            .is_some_and(|one| one.clients == 0 && one.asked.is_none())
    }

    /// All that were ever selected beside the pool's own.
    pub(crate) fn used(&self) -> impl Iterator<Item = u32> {
        self.used.iter().copied()
    }
}

/// The number of a place that is free; those of databases end at 2^31.
const NOBODYS: u32 = u32::MAX;

/// What a client that wants a database is told, or waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// It is known to be there, at this place.
    Known(u32),
    /// A server has been asked about it already.
    Asked(u32),
    /// A server is to be asked about it.
    New(u32),
    /// There are too many already.
    TooMany,
}

impl Core {
    /// What a client's connections are set to.
    pub(crate) fn mode(&self, c: u32) -> Mode {
        let client = &self.replies.clients[c];
        Mode::of_slot(client.slot, self.topology.pools[client.pool as usize].server_connections)
    }

    /// The number of a pool's database, by its place.
    pub(crate) fn database(&self, pool: u32, place: u32) -> u32 {
        let own = self.topology.pools[pool as usize].redis_db;
        self.pools[pool as usize].databases.number(place).unwrap_or(own)
    }

    /// The number of the database that a client has selected.
    pub(crate) fn database_of(&self, c: u32) -> u32 {
        self.database(self.replies.clients[c].pool, self.mode(c).db)
    }

    /// The place of a database, which gets one if it has none.
    pub(crate) fn want_database(&mut self, pool: u32, number: u32) -> Wanted {
        if number == self.topology.pools[pool as usize].redis_db {
            return Wanted::Known(0);
        }
        let databases = &mut self.pools[pool as usize].databases;
        if let Some(place) = databases.place_of(number) {
            let asked = databases.get_mut(place).is_some_and(|one| one.asked.is_some());
            return if asked { Wanted::Asked(place) } else { Wanted::Known(place) };
        }
        let fresh = Database { number, asked: Some(Vec::new()), clients: 0 };
        // The pool's own is one of them.
        let place = match databases.place_of(NOBODYS) {
            None if databases.others.len() + 1 < DATABASES => {
                databases.others.push(fresh);
                return Wanted::New(databases.others.len() as u32);
            }
            None => self.deserted_place(pool),
            free => free,
        };
        let Some(place) = place else { return Wanted::TooMany };
        if let Some(one) = self.pools[pool as usize].databases.get_mut(place) {
            *one = fresh;
        }
        Wanted::New(place)
    }

    /// A request waits for what a server says of the database at `place`.
    pub(crate) fn await_database(&mut self, pool: u32, place: u32, request: u32) {
        if let Some(one) = self.pools[pool as usize].databases.get_mut(place) {
            one.asked.get_or_insert_default().push(request);
        }
    }

    /// It is known whether there is such a database: who waited for that? Where there is none its place is free.
    pub(crate) fn database_told(&mut self, pool: u32, place: u32, there: bool) -> Vec<u32> {
        let databases = &mut self.pools[pool as usize].databases;
        let Some(one) = databases.get_mut(place) else { return Vec::new() };
        let waiting = one.asked.take().unwrap_or_default();
        let number = one.number;
        if there {
            databases.used.insert(number);
        } else {
            one.number = NOBODYS;
        }
        waiting
    }

    /// Has a client's requests go over connections of another mode. What it asks next must not overtake what it has asked.
    pub(crate) fn change_mode(&mut self, c: u32, mode: Mode) {
        let old = self.mode(c);
        if old == mode {
            return;
        }
        self.await_deletes(c);
        self.leave_database(c);
        let pool = self.replies.clients[c].pool;
        let lanes = self.topology.pools[pool as usize].server_connections;
        let state = &mut self.pools[pool as usize];
        if let Some(one) = state.databases.get_mut(mode.db) {
            one.clients += 1;
        }
        let slots = ((mode.db + 1) * KINDS) as usize * lanes;
        for server in &mut state.servers {
            if server.conns.len() < slots {
                server.conns.resize(slots, NONE);
            }
        }
        let slot = self.place_of(c, mode);
        let client = &mut self.replies.clients[c];
        (client.slot, client.resp3, client.in_order) = (slot, mode.resp3, true);
    }

    /// A client leaves its database.
    pub(crate) fn leave_database(&mut self, c: u32) {
        let (pool, place) = (self.replies.clients[c].pool, self.mode(c).db);
        let Some(one) = self.pools[pool as usize].databases.get_mut(place) else { return };
        one.clients = one.clients.saturating_sub(1);
        if one.clients == 0 {
            let conns = self.conns.iter().filter(|(_, conn)| (conn.pool, conn.mode.db) == (pool, place));
            let conns: Vec<u32> = conns.map(|(s, _)| s).collect();
            conns.into_iter().for_each(|s| self.arm_deserted(s));
        }
    }

    /// Whether a connection is in a database that no client has selected any more.
    pub(crate) fn is_in_deserted(&self, s: u32) -> bool {
        let conn = &self.conns[s];
        self.pools[conn.pool as usize].databases.is_deserted(conn.mode.db)
    }

    /// Has a connection to a database that nobody has selected closed once it has been idle for long.
    pub(crate) fn arm_deserted(&mut self, s: u32) {
        if self.conns[s].mode.db > 0 && self.is_in_deserted(s) {
            self.arm_idle(s, self.now.mono_us.saturating_add(DATABASE_IDLE_US));
        }
    }

    /// A place of the list that nobody needs, once idle connections to its database are closed.
    fn deserted_place(&mut self, pool: u32) -> Option<u32> {
        let databases = &self.pools[pool as usize].databases;
        let deserted = (1..=databases.others.len() as u32).filter(|place| databases.is_deserted(*place));
        for place in deserted.collect::<Vec<_>>() {
            let conns = self.conns.iter().filter(|(_, conn)| (conn.pool, conn.mode.db) == (pool, place));
            let conns: Vec<(u32, bool)> = conns.map(|(s, conn)| (s, conn.is_idle())).collect();
            if conns.iter().all(|(_, idle)| *idle) {
                conns.iter().for_each(|(s, _)| self.discard_conn(*s));
                return Some(place);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_tells_its_mode() {
        for lanes in [1, 3] {
            for db in [0, 1, 63] {
                for resp3 in [false, true] {
                    let mode = Mode { db, resp3 };
                    for lane in 0..lanes as u32 {
                        let slot = mode.first_slot(false, lanes) + lane;
                        assert_eq!((Mode::of_slot(slot, lanes), is_tracked(slot, lanes)), (mode, false));
                        if resp3 {
                            let slot = mode.first_slot(true, lanes) + lane;
                            assert_eq!((Mode::of_slot(slot, lanes), is_tracked(slot, lanes)), (mode, true));
                        }
                    }
                }
            }
        }
        assert_eq!(Mode::default().first_slot(false, 4), 0);
        assert_eq!(Mode { db: 0, resp3: true }.first_slot(false, 4), 4);
        assert_eq!(Mode { db: 0, resp3: true }.first_slot(true, 4), 8);
        assert_eq!(Mode { db: 1, resp3: false }.first_slot(false, 4), 12);
    }
}
