//! Guests among the other clients of a world: their turns, and what comes to them over several connections at once.

use crate::check::shown;
use crate::faults::{FaultLog, Why};
use crate::guest::{Guest, Leaves};
use crate::guest_ask::Pen;
use crate::ledger::Ledger;
use crate::rng::Rng;
use crate::server::Stage;
use crate::setup::{Plan, PoolPlan};
use crate::shelf::{Topic, fits};
use crate::world::World;
use config::Protocol;
use engine::Input;
use engine::id::{ClientId, ConnId};
use stats::PoolMetric;

/// Guests, and what is known of them. Their chance is their own, so that a world without them is the same as ever.
#[derive(Debug)]
pub(crate) struct Hall {
    pub(crate) rng: Rng,
    pub(crate) guests: Vec<Guest>,
    pub(crate) ledger: Ledger,
    /// Connections that broke or were given up, by server.
    pub(crate) breaks: FaultLog,
    /// When a pool last had as many pinned connections as it may have.
    pub(crate) full_at: Vec<u64>,
    /// Of a guest's turns, in a thousand: it goes in the middle of what it does.
    leaves: u32,
    /// Guests keep what they read, and kill each other.
    pub(crate) tracks: bool,
}

impl Hall {
    /// Draws which pools have guests, and what those may have to themselves.
    pub(crate) fn draw(seed: u64, plan: &mut Plan) -> (Hall, Vec<usize>) {
        let mut rng = Rng::new(seed ^ 0x5eed_6e57);
        let here = |pool: &PoolPlan| pool.protocol == Protocol::Redis && pool.distribution != "random";
        let pools: Vec<usize> = (0..plan.pools.len()).filter(|pool| here(&plan.pools[*pool])).collect();
        let mut of = Vec::new();
        if rng.chance(400) && !pools.is_empty() {
            of = (0..rng.range(2, 6)).map(|_| *rng.pick(&pools)).collect();
            for pool in &mut plan.pools {
                pool.pinned = if rng.chance(300) { rng.range(1, 3) as usize } else { 1024 };
            }
        }
        let leaves = if rng.chance(400) { rng.range(1, 40) as u32 } else { 0 };
        let full_at = vec![0; plan.pools.len()];
        let ledger = Ledger::default();
        let tracks = !of.is_empty() && Rng::new(seed ^ 0xcac4e).chance(400);
        (Hall { rng, tracks, guests: Vec::new(), ledger, breaks: FaultLog::default(), full_at, leaves }, of)
    }
}

impl World {
    pub(crate) fn open_guest(&mut self, pool: usize) {
        let id = self.core.open_client(pool as u32, None);
        let number = (self.clients.len() + self.hall.guests.len() + 1) as u64;
        let mut guest = Guest::new(id, number, pool, self.now);
        let rng = &mut self.hall.rng;
        guest.wishes = rng.range(3, 25) as usize;
        guest.leaves = *rng.pick(&[Leaves::Quits, Leaves::Quits, Leaves::Ends, Leaves::Vanishes]);
        self.hall.guests.push(guest);
        self.with_pen(self.hall.guests.len() - 1, |pen| pen.begin());
    }

    fn with_pen(&mut self, index: usize, write: impl FnOnce(&mut Pen<'_>)) {
        let loose = self.loosened();
        let hall = &mut self.hall;
        let first = self.clients.len() as u64 + 1;
        let numbers = (first, first + hall.guests.len() as u64);
        let tracks = hall.tracks;
        let guest = &mut hall.guests[index];
        let pool = guest.pool;
        let view = &self.topology.pools[pool];
        let (pool, rng) = (&self.plan.pools[pool], &mut hall.rng);
        write(&mut Pen { rng, guest, ledger: &mut hall.ledger, pool, view, loose, numbers, tracks });
    }

    /// Whether a key's server may change.
    pub(crate) fn loosened(&self) -> bool {
        self.plan.faults.flip > 0 || self.plan.faults.leave > 0
    }

    /// The place of a guest that the engine still has.
    pub(crate) fn guest(&self, id: ClientId) -> Option<usize> {
        self.hall.guests.iter().position(|guest| guest.id == id && guest.is_open())
    }

    pub(crate) fn guest_turn(&mut self, index: usize) -> Result<(), String> {
        let now = self.now;
        let guest = &mut self.hall.guests[index];
        if !guest.is_open() || guest.lost {
            return Ok(());
        }
        let id = guest.id;
        let over =
            guest.refused || (guest.wishes == 0 && guest.asks.is_empty() && !guest.cache.is_unchecked());
        let gone = self.hall.rng.chance(self.hall.leaves);
        if self.rng.chance(self.plan.faults.slow_reader) {
            self.hall.guests[index].deaf_until = now + self.rng.range(10, 500_000);
        }
        let guest = &mut self.hall.guests[index];
        match guest.leaves {
            Leaves::Vanishes if over || gone => {
                (guest.lost, guest.lost_at) = (true, now);
                self.trace(|| format!("guest {id:?} is gone"));
                self.core.handle(Input::ClientLost(id));
                return Ok(());
            }
            Leaves::Ends if (over || (gone && guest.stream.is_empty())) && guest.reading && !guest.ended => {
                (guest.ended, guest.lost_at) = (true, now);
                guest.topics.values_mut().for_each(|heard| heard.leaving = true);
                self.trace(|| format!("guest {id:?} ends its side"));
                self.core.handle(Input::ClientEnd(id));
            }
            Leaves::Quits if guest.refused && !guest.lost => {
                (guest.lost, guest.lost_at) = (true, now);
                self.core.handle(Input::ClientLost(id));
                return Ok(());
            }
            _ => {}
        }
        let guest = &mut self.hall.guests[index];
        if guest.reading && !guest.ended && guest.thinks_until <= now {
            if guest.stream.is_empty() && !guest.quits && (guest.asks.is_empty() || self.hall.rng.chance(150))
            {
                if guest.wishes > 0 {
                    guest.wishes -= 1;
                    self.with_pen(index, |pen| pen.write());
                } else if over && guest.leaves == Leaves::Quits {
                    self.with_pen(index, |pen| pen.quit());
                }
            }
            let hall = &mut self.hall;
            let bytes = hall.guests[index].send(&mut hall.rng, now);
            if hall.rng.chance(150) {
                let most = if hall.rng.chance(100) { 300_000 } else { 2_000 };
                hall.guests[index].thinks_until = now + hall.rng.range(1, most);
            }
            if !bytes.is_empty() {
                self.trace(|| format!("guest {id:?} sends {}", shown(&bytes)));
                self.note_full();
                self.core.handle(Input::ClientData(id, &bytes));
                self.note_full();
            }
        }
        if self.hall.guests[index].blocked && self.hall.guests[index].deaf_until <= now {
            self.write_guest(index)?;
        }
        Ok(())
    }

    /// Notes where there are as many pinned connections as there may be.
    pub(crate) fn note_full(&mut self) {
        if self.hall.guests.is_empty() {
            return;
        }
        for (pool, plan) in self.plan.pools.iter().enumerate() {
            if self.shard.pool(pool, PoolMetric::PinnedConnections).get() >= plan.pinned as u64 {
                self.hall.full_at[pool] = self.now;
            }
        }
    }

    pub(crate) fn write_guest(&mut self, index: usize) -> Result<(), String> {
        let id = self.hall.guests[index].id;
        loop {
            let bytes = self.core.client_output(id);
            if bytes.is_empty() {
                self.hall.guests[index].blocked = false;
                return Ok(());
            }
            let length = bytes.len();
            let deaf = self.hall.guests[index].deaf_until > self.now;
            let count = if deaf { 0 } else { self.hall.rng.portion(length) };
            let bytes = bytes[..count].to_vec();
            self.trace(|| format!("guest {id:?} reads {}", shown(&bytes)));
            self.hall.guests[index].blocked = count < length;
            self.read_guest(index, &bytes)?;
            if count > 0 {
                self.note_full();
                self.core.handle(Input::ClientWritten(id, count));
            }
            if count < length {
                return Ok(());
            }
        }
    }

    // ---- servers

    /// Hands out what a server's work has brought to its other connections, and looks whether everybody will hear it.
    pub(crate) fn deliver(&mut self, pool: usize, server: usize) -> Result<(), String> {
        let mail = std::mem::take(&mut self.keyspaces[pool][server].shelf.mail);
        for mail in mail {
            if let Some(peer) = self.peers.iter_mut().find(|peer| peer.id == mail.to) {
                peer.take_mail(mail);
            }
        }
        Ok(())
    }

    /// Whoever has read that it is subscribed hears what is published, unless the proxy's connection to the server broke since.
    pub(crate) fn check_heard(&self, pool: usize, server: usize, since: usize) -> Result<(), String> {
        if self.loosened() {
            return Ok(());
        }
        let shelf = &self.keyspaces[pool][server].shelf;
        for message in self.hall.ledger.latest(since) {
            for guest in self
                .hall
                .guests
                .iter()
                .filter(|guest| guest.pool == pool && guest.is_open() && guest.is_judged())
            {
                for (topic, heard) in guest
                    .topics
                    .iter()
                    .filter(|(topic, heard)| !heard.leaving && fits(topic, &message.channel))
                {
                    let there = shelf.subscribed.iter().any(|(_, other)| other == topic);
                    let broke = || self.hall.breaks.any(pool, &[server], (heard.since, self.now), |_| true);
                    if !there && !broke() {
                        return Err(format!(
                            "guest {:?} is subscribed to {topic:?}, and the server does not know",
                            guest.id
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    /// A server's bytes are at the proxy: whose messages are whole, and who must get them.
    pub(crate) fn note_messages(&mut self, pool: usize, conn: ConnId, messages: Vec<(u32, Topic)>) {
        for (id, topic) in messages {
            for guest in self.hall.guests.iter_mut().filter(|guest| guest.pool == pool && guest.is_open()) {
                let hears = guest.topics.get(&topic).is_some_and(|heard| !heard.leaving);
                if hears && guest.is_judged() {
                    guest.owed.push((topic.clone(), id, conn, self.now));
                }
            }
        }
    }

    /// A connection is gone, by the proxy's own doing or not: what it was in the middle of is over.
    pub(crate) fn part(&mut self, index: usize, given_up: bool) {
        let peer = &self.peers[index];
        let (pool, server, conn, now) = (peer.pool, peer.server, peer.id, self.now);
        self.keyspaces[pool][server].shelf.part(conn);
        if self.hall.guests.is_empty() {
            return;
        }
        if !(given_up && self.plan.exact) {
            self.hall.breaks.add(pool, server, Why::Wrong, (now, now));
        }
        // What came in the same moment may have come after its end.
        for guest in &mut self.hall.guests {
            guest.owed.retain(|(_, _, from, at)| (*from, *at) != (conn, now));
        }
    }

    // ---- bounds, and the end

    /// Those that are still there at the end go: those who wait for as long as it takes.
    pub(crate) fn close_guests(&mut self) {
        for guest in self.hall.guests.iter_mut().filter(|guest| guest.is_open()) {
            (guest.lost, guest.lost_at) = (true, self.now);
            self.core.handle(Input::ClientLost(guest.id));
        }
    }

    pub(crate) fn check_hall(&self) -> Result<(), String> {
        if self.hall.guests.is_empty() {
            return Ok(());
        }
        for (pool, plan) in self.plan.pools.iter().enumerate() {
            let gauge = |metric| self.shard.pool(pool, metric).get() as i64;
            let (pinned, waiting) = (gauge(PoolMetric::PinnedConnections), gauge(PoolMetric::BlockedClients));
            if pinned < waiting || waiting < 0 || pinned > plan.pinned as i64 {
                return Err(format!(
                    "{pinned} pinned connections of {}, {waiting} clients wait",
                    plan.pinned
                ));
            }
            if gauge(PoolMetric::Subscriptions) < 0 {
                return Err(format!("{} subscriptions", gauge(PoolMetric::Subscriptions)));
            }
        }
        for guest in self.hall.guests.iter().filter(|guest| guest.is_open() && !guest.blocked) {
            let held = self.core.client_output(guest.id).len();
            if held > 0 && self.core.usage().pieces == 0 {
                return Err(format!("guest {:?} has {held} bytes that nobody writes", guest.id));
            }
        }
        Ok(())
    }

    /// The world is at rest: guests have what they are owed.
    pub(crate) fn check_guests(&self) -> Result<(), String> {
        for guest in &self.hall.guests {
            guest.check_takings(&self.hall.ledger)?;
            if !guest.is_open() || !guest.is_judged() {
                continue;
            }
            if let Some(ask) = guest.asks.front().filter(|_| !guest.waits_forever()) {
                return Err(format!("guest {:?} has no answer to {}", guest.id, shown(&ask.bytes)));
            }
            if !guest.is_between_replies() {
                return Err(format!("guest {:?} has read half a reply", guest.id));
            }
            if !guest.stream.is_empty() && !guest.waits_forever() {
                return Err(format!("guest {:?} is not read any more", guest.id));
            }
            if let Some(owed) = guest.owed.first() {
                return Err(format!("guest {:?} never got {owed:?}", guest.id));
            }
        }
        Ok(())
    }

    /// Nobody is left: nothing is pinned, nobody waits, and servers know of no subscription.
    pub(crate) fn check_empty_hall(&self) -> Result<(), String> {
        for (pool, _) in self.plan.pools.iter().enumerate() {
            for metric in
                [PoolMetric::PinnedConnections, PoolMetric::BlockedClients, PoolMetric::Subscriptions]
            {
                let left = self.shard.pool(pool, metric).get() as i64;
                if left != 0 {
                    return Err(format!("all is over and {} is {left}", metric.row().name));
                }
            }
        }
        for peer in self.peers.iter().filter(|peer| peer.stage == Stage::Up) {
            let left = self.keyspaces[peer.pool][peer.server].shelf.left_of(peer.id);
            if let Some(left) = left.filter(|_| peer.inbox.is_empty()) {
                return Err(format!("all is over and a server still has {left}"));
            }
            if peer.side.multi.is_some() {
                return Err(format!("all is over and {:?} is in a transaction", peer.id));
            }
        }
        Ok(())
    }
}
