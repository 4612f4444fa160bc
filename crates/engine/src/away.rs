//! Servers that are away: what was written elsewhere meanwhile, and making one ready to take its keys again.
//!
//! ```text
//!            In ──────────► Out ─────────────► Returning ─────────────► In
//!   a write:  to the server  elsewhere, its     elsewhere, its key       to the server
//!                            key is recorded    recorded, and deleted
//!                                               on the server
//! ```
//! While a server is Returning the control plane collects the records ([`Core::collect`]) and deletes their keys on it.
//! What is written meanwhile is deleted by the worker itself, on the connection that the client's requests to the
//! server will take once it is in, so that no request of that client overtakes it. A delete that fails is told with
//! the next collecting, and its key is in the record: the server does not return then.
//!
//! Nothing here is reached while all servers of a pool are in.

use crate::client::Transfer;
use crate::core::Core;
use crate::databases::Mode;
use crate::error::Cause;
use crate::id::ConnId;
use crate::limits::{RECORDED_BYTES, RECORDED_KEYS};
use crate::request::{Errand, Target};
use crate::server_conn::Care;
use crate::slab::NONE;
use crate::topology::Topology;
use config::{OnReturn, Protocol};
use stats::{Event, ServerMetric, Text};
use std::collections::BTreeSet;
use std::sync::Arc;
use wire::memcache;
use wire::resp::encode;

/// What one worker knows of the absence of each server, by pool and server.
pub(crate) type Absences = Vec<Vec<Absence>>;

/// A key and the number of its database.
pub type RecordedKey = (u32, Box<[u8]>);

/// What one worker knows of a server's absence.
#[derive(Debug, Default)]
pub(crate) struct Absence {
    /// The keys written elsewhere whose server it is.
    keys: BTreeSet<RecordedKey>,
    bytes: usize,
    /// Databases that were emptied.
    emptied: BTreeSet<u32>,
    /// There were more than are remembered, or all were emptied.
    overflowed: bool,
    /// Deletes under way on it: those sent since the records were last collected ...
    since: u32,
    /// ... and those sent before.
    before: u32,
    /// Which of the two a delete is counted in.
    epoch: u32,
    /// A delete failed since the records were last collected.
    failed: bool,
}

/// What a worker has recorded of a server, and how its own deletes on it go.
#[derive(Debug, Default)]
pub struct Record {
    /// Keys of the server that were written elsewhere since the last time.
    pub keys: Vec<RecordedKey>,
    /// Databases that were emptied.
    pub emptied: Vec<u32>,
    /// All databases that clients have ever selected, beside the pool's own.
    pub used: Vec<u32>,
    /// There were more than are remembered.
    pub overflowed: bool,
    /// All deletes that were sent before the last time are answered.
    pub settled: bool,
    /// A delete failed since the last time; its key is among `keys`, or was among those of an earlier time.
    pub failed: bool,
}

impl Core {
    /// Nothing recorded yet.
    pub(crate) fn absences(topology: &Topology) -> Absences {
        let pools = topology.pools.iter();
        pools.map(|pool| pool.servers.iter().map(|_| Absence::default()).collect()).collect()
    }

    /// Routes by `topology` from now on.
    pub(crate) fn take_up(&mut self, topology: Arc<Topology>) {
        let old = std::mem::replace(&mut self.topology, topology.clone());
        self.divisions.views += 1;
        for &(pool, server) in old.marked.iter().chain(&topology.marked) {
            let view = &topology.pools[pool as usize].servers[server as usize];
            self.pools[pool as usize].servers[server as usize].drained = view.drained;
        }
        for &(pool, server) in &topology.marked {
            let is = topology.pools[pool as usize].servers[server as usize].returning;
            if is && !old.pools[pool as usize].servers[server as usize].returning {
                self.part_from(pool, server);
            }
        }
        self.move_topics();
        if self.tracking.is_used() {
            self.move_readers(&old.pools);
        }
    }

    /// Gives up all connections to a server that is about to return: what still waits on them must not be carried out
    /// behind what is deleted there.
    fn part_from(&mut self, pool: u32, server: u32) {
        let conns = self.conns.iter().filter(|(_, conn)| (conn.pool, conn.server) == (pool, server));
        let conns: Vec<ConnId> = conns.map(|(s, _)| self.conns.id(s)).collect();
        let protocol = self.topology.pools[pool as usize].protocol;
        let mut feeders = Vec::new();
        for id in conns {
            // A client that goes on, or goes, may have closed another one.
            let Some(s) = self.conns.live(id) else { continue };
            let mut conn = self.detach_conn(s);
            if let Some(flow) = conn.flow.take() {
                self.tear_flow(flow, pool, Cause::TimedOut);
            }
            for entry in conn.queue.drain(..).skip(conn.expired) {
                self.fail(protocol, entry.target, Cause::TimedOut.text());
            }
            conn.stream.release(&mut self.replies.buffers);
            self.replies.buffers.give(conn.rest);
            feeders.extend((conn.feeder != NONE).then_some(conn.feeder));
        }
        for c in feeders {
            if self.replies.clients.get(c).is_some() {
                self.resume(c);
            }
        }
    }

    /// Hands out what was recorded of a server since the last time.
    pub fn collect(&mut self, pool: u32, server: u32) -> Record {
        let absence = &mut self.absences[pool as usize][server as usize];
        let settled = absence.before == 0;
        if settled {
            absence.before = std::mem::take(&mut absence.since);
            absence.epoch = absence.epoch.wrapping_add(1);
        }
        absence.bytes = 0;
        let keys = std::mem::take(&mut absence.keys);
        self.shard.server(pool as usize, server as usize, ServerMetric::KeysRecorded).set(0);
        Record {
            keys: keys.into_iter().collect(),
            emptied: std::mem::take(&mut absence.emptied).into_iter().collect(),
            used: self.pools[pool as usize].databases.used().collect(),
            overflowed: std::mem::take(&mut absence.overflowed),
            settled,
            failed: std::mem::take(&mut absence.failed),
        }
    }

    /// A key was written on `server` while other servers are away: notes it for those that would have it if they
    /// came back, and bounds its life where `server` only stands by. `lane` is where the client's requests go.
    pub(crate) fn follow_write(&mut self, pool: u32, lane: u32, key: &[u8], server: Option<u32>) {
        self.note_write(pool, lane, key);
        if let Some((server, ttl)) = self.bounds(pool, server)
            // Where the write could not be sent either there is nothing to bound.
            && let Ok(conn) = self.usable_conn(pool, server, lane)
        {
            self.bound_life(conn, key, ttl);
        }
    }

    /// The same for a large request, which has only begun.
    pub(crate) fn follow_large(&mut self, c: u32, key: &[u8], server: Option<u32>) {
        let (pool, lane) = (self.replies.clients[c].pool, self.slot(c));
        self.note_write(pool, lane, key);
        if let (Some(_), Transfer::To(id)) = (self.bounds(pool, server), self.replies.clients[c].transfer) {
            let conns = &self.conns;
            self.to_bound.retain(|(other, _)| conns.live(*other).is_some());
            self.to_bound.push((id, key.into()));
        }
    }

    /// The last byte of a large request is on its way.
    pub(crate) fn follow_large_end(&mut self, s: u32) {
        let id = self.conns.id(s);
        if let Some(place) = self.to_bound.iter().position(|(other, _)| *other == id) {
            let (_, key) = self.to_bound.swap_remove(place);
            let (pool, server) = (self.conns[s].pool, self.conns[s].server);
            if let Some((_, ttl)) = self.bounds(pool, Some(server)) {
                self.bound_life(s, &key, ttl);
            }
        }
    }

    /// Whether deletes are under way on a server, which no request may overtake.
    pub(crate) fn owes_deletes(&self, pool: u32, server: u32) -> bool {
        let absence = &self.absences[pool as usize][server as usize];
        absence.since + absence.before > 0
    }

    /// What a client asks next goes over other connections: it is to wait until what the proxy deletes for it on a
    /// server that has just returned is deleted. That is on the connections it leaves, so a request there that is
    /// answered behind it says so; the client's order does the rest.
    pub(crate) fn await_deletes(&mut self, c: u32) {
        let pool = self.replies.clients[c].pool;
        for server in 0..self.absences[pool as usize].len() as u32 {
            self.await_deletes_on(c, server);
        }
    }

    /// The same for one server. Whether there is something to wait for.
    pub(crate) fn await_deletes_on(&mut self, c: u32, server: u32) -> bool {
        let (pool, slot) = (self.replies.clients[c].pool, self.slot(c));
        if self.owes_deletes(pool, server)
            && let Ok(conn) = self.usable_conn(pool, server, slot)
        {
            let target = Target::Quiet(self.replies.ask(c, 0));
            self.send(conn, target, Care::default(), |out| encode::request([b"PING".as_slice()], out));
            return true;
        }
        false
    }

    fn note_write(&mut self, pool: u32, lane: u32, key: &[u8]) {
        let view = &self.topology.pools[pool as usize];
        if view.on_return == OnReturn::Invalidate {
            let mut passed = std::mem::take(&mut self.scratch.passed);
            passed.clear();
            let home = view.placement.server(key, || 0);
            view.elsewhere(key, home, 0, |away| {
                if !passed.contains(&away) {
                    passed.push(away);
                }
            });
            let lanes = self.topology.pools[pool as usize].server_connections;
            let database = self.database(pool, Mode::of_slot(lane, lanes).db);
            for away in passed.iter().copied() {
                self.record(pool, away, (database, key.into()));
                if self.topology.pools[pool as usize].servers[away as usize].returning {
                    self.forget(pool, away, lane, key);
                }
            }
            self.scratch.passed = passed;
        }
    }

    /// A redis that only stands by, and how long it may keep a key in milliseconds.
    fn bounds(&self, pool: u32, server: Option<u32>) -> Option<(u32, u64)> {
        let view = &self.topology.pools[pool as usize];
        let server = server.filter(|server| view.is_standby(*server))?;
        let standby = view.standby.as_ref().filter(|_| view.protocol == Protocol::Redis)?;
        Some((server, standby.ttl_ms))
    }

    /// All keys of the pool change, or of one database: what is away must be emptied before it serves again.
    pub(crate) fn follow_flush(&mut self, pool: u32, database: Option<u32>) {
        let view = &self.topology.pools[pool as usize];
        if view.on_return == OnReturn::Invalidate {
            let away: Vec<u32> =
                (0..view.own as u32).filter(|server| !view.servers[*server as usize].live).collect();
            for server in away {
                match database {
                    Some(database) => self.empty(pool, server, database),
                    None => self.overflow(pool, server),
                }
            }
        }
    }

    fn record(&mut self, pool: u32, server: u32, key: RecordedKey) {
        let absence = &mut self.absences[pool as usize][server as usize];
        if absence.overflowed || absence.emptied.contains(&key.0) || absence.keys.contains(&key) {
            return;
        }
        let bytes = key.1.len();
        if absence.keys.len() >= RECORDED_KEYS || absence.bytes.saturating_add(bytes) > RECORDED_BYTES {
            let event = Event::RecordOverflowed { pool, server };
            self.process.events.push(event);
            return self.overflow(pool, server);
        }
        absence.bytes += bytes;
        absence.keys.insert(key);
        self.shard.server(pool as usize, server as usize, ServerMetric::KeysRecorded).add(1);
    }

    /// A database changes as a whole.
    fn empty(&mut self, pool: u32, server: u32, database: u32) {
        let absence = &mut self.absences[pool as usize][server as usize];
        if absence.overflowed || !absence.emptied.insert(database) {
            return;
        }
        absence.keys.retain(|(other, _)| *other != database);
        absence.bytes = absence.keys.iter().map(|(_, key)| key.len()).sum();
        let left = absence.keys.len() as u64;
        self.shard.server(pool as usize, server as usize, ServerMetric::KeysRecorded).set(left);
    }

    fn overflow(&mut self, pool: u32, server: u32) {
        let absence = &mut self.absences[pool as usize][server as usize];
        (absence.overflowed, absence.bytes) = (true, 0);
        absence.keys.clear();
        absence.emptied.clear();
        self.shard.server(pool as usize, server as usize, ServerMetric::KeysRecorded).set(0);
    }

    /// Deletes a key on a server that is about to return.
    fn forget(&mut self, pool: u32, server: u32, lane: u32, key: &[u8]) {
        let absence = &mut self.absences[pool as usize][server as usize];
        absence.since += 1;
        let errand = Errand::Forget { pool, server, epoch: absence.epoch };
        let Ok(conn) = self.usable_conn(pool, server, lane) else { return self.errand_failed(errand) };
        let protocol = self.topology.pools[pool as usize].protocol;
        self.send(conn, Target::Errand(errand), Care::default(), |out| match protocol {
            Protocol::Redis => encode::request([b"UNLINK".as_slice(), key], out),
            Protocol::Memcache => memcache::encode::delete(key, out),
        });
    }

    /// Bounds how long a redis keeps a key, behind the request that wrote it.
    fn bound_life(&mut self, conn: u32, key: &[u8], ttl_ms: u64) {
        let (pool, server) = (self.conns[conn].pool, self.conns[conn].server);
        let (target, ttl) = (Target::Errand(Errand::BoundLife { pool, server }), ttl_ms.to_string());
        // LT: only what would live longer; what lives for ever does.
        self.send(conn, target, Care::default(), |out| {
            encode::request([b"PEXPIRE".as_slice(), key, ttl.as_bytes(), b"LT"], out)
        });
    }

    /// A server has answered what the proxy asked of it for itself.
    pub(crate) fn errand_done(&mut self, errand: Errand, reply: &[u8]) {
        match errand {
            Errand::Forget { pool, server, epoch } => {
                let fine = matches!(reply.first(), Some(b':'))
                    || reply.starts_with(b"DELETED")
                    || reply.starts_with(b"NOT_FOUND");
                self.forgot(pool, server, epoch, fine);
            }
            Errand::BoundLife { pool, server } => {
                if !reply.starts_with(b":") {
                    let said = String::from_utf8_lossy(reply);
                    let reply = Text::format(format_args!("{}", said.trim_end()));
                    self.process.events.push(Event::StandbyTtlRefused { pool, server, reply });
                    self.errand_failed(errand);
                }
            }
        }
    }

    /// It is not known whether a server did what the proxy asked of it for itself.
    pub(crate) fn errand_failed(&mut self, errand: Errand) {
        match errand {
            Errand::Forget { pool, server, epoch } => self.forgot(pool, server, epoch, false),
            Errand::BoundLife { pool, server } => {
                self.shard.server(pool as usize, server as usize, ServerMetric::StandbyTtlErrors).add(1);
            }
        }
    }

    fn forgot(&mut self, pool: u32, server: u32, epoch: u32, fine: bool) {
        let absence = &mut self.absences[pool as usize][server as usize];
        let count = if epoch == absence.epoch { &mut absence.since } else { &mut absence.before };
        *count = count.saturating_sub(1);
        absence.failed |= !fine;
    }
}
