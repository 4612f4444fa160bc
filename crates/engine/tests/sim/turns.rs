//! What clients, servers and the network do in their turns, faults included.

use crate::ask::Reply;
use crate::check::{SLACK_US, shown};
use crate::faults::Why;
use crate::server::{Desk, Peer, Stage};
use crate::shapes::PUSH;
use crate::world::{Tamper, World};
use engine::Input;
use engine::error::Cause;
use engine::id::{ClientId, ConnId};
use engine::limits::SLOWEST_RECONNECT_US;

impl World {
    // ---- clients

    pub(crate) fn client_turn(&mut self, index: usize) -> Result<(), String> {
        let now = self.now;
        let client = &mut self.clients[index];
        if !client.is_open() || client.lost {
            return Ok(());
        }
        let id = client.id;
        if client.vanishes_at.is_some_and(|at| client.sent >= at) {
            client.lost = true;
            self.trace(|| format!("client {id:?} is gone"));
            self.core.handle(Input::ClientLost(id));
            return Ok(());
        }
        if self.rng.chance(self.plan.faults.slow_reader) {
            client.deaf_until = now + self.rng.range(10, 500_000);
            client.slow = true;
        }
        if client.reading && !client.ended {
            if client.has_more() && client.thinks_until <= now {
                // Where servers leave, what is asked before, meanwhile and after is to differ.
                let leaves = self.plan.faults.leave > 0;
                let bytes = client.send(&mut self.rng, now, if leaves { 150 } else { usize::MAX });
                if leaves && self.rng.chance(600) {
                    client.thinks_until = now + self.rng.range(1, 100);
                } else if self.rng.chance(30) {
                    client.thinks_until = now + self.rng.range(1, 300_000);
                }
                self.trace(|| format!("client {id:?} sends {}", shown(&bytes)));
                if !bytes.is_empty() {
                    self.core.handle(Input::ClientData(id, &bytes));
                }
            } else if client.sent == client.stream.len() && client.half_closes {
                client.ended = true;
                self.trace(|| format!("client {id:?} ends its side"));
                self.core.handle(Input::ClientEnd(id));
            }
        }
        if self.clients[index].blocked && self.clients[index].deaf_until <= now {
            self.write_client(index)?;
        }
        Ok(())
    }

    pub(crate) fn write_client(&mut self, index: usize) -> Result<(), String> {
        let id = self.clients[index].id;
        loop {
            let bytes = self.core.client_output(id);
            if bytes.is_empty() {
                self.clients[index].blocked = false;
                return Ok(());
            }
            let length = bytes.len();
            let deaf = self.clients[index].deaf_until > self.now;
            let count = if deaf { 0 } else { self.rng.portion(length) };
            let bytes = bytes[..count].to_vec();
            self.trace(|| format!("client {id:?} reads {}", shown(&bytes)));
            self.clients[index].blocked = count < length;
            self.read_replies(index, &bytes)?;
            if count > 0 {
                let tells = self.clients[index].is_exact() && self.lies(Tamper::Recount);
                let told = if tells { count - 1 } else { count };
                self.core.handle(Input::ClientWritten(id, told));
            }
            if count < length {
                return Ok(());
            }
        }
    }

    // ---- servers

    pub(crate) fn peer(&self, id: ConnId) -> Option<usize> {
        self.peers.iter().position(|peer| peer.id == id)
    }

    pub(crate) fn client(&self, id: ClientId) -> Option<usize> {
        self.clients.iter().position(|client| client.id == id && client.is_open())
    }

    pub(crate) fn peer_turn(&mut self, id: ConnId) -> Result<(), String> {
        let now = self.now;
        let Some(index) = self.peer(id) else { return Ok(()) };
        let peer = &mut self.peers[index];
        match peer.stage {
            Stage::Gone => return Ok(()),
            Stage::Connecting(at, _) if at > now => return Ok(()),
            Stage::Connecting(_, Ok(())) => {
                peer.stage = Stage::Up;
                self.trace(|| format!("connection {id:?} stands"));
                self.core.handle(Input::ConnUp(id));
                return Ok(());
            }
            Stage::Connecting(_, Err(cause)) => {
                self.lose(index, cause, true);
                return Ok(());
            }
            Stage::Up => {}
        }
        if self.rng.chance(self.plan.faults.reset) {
            if self.rng.chance(500) {
                self.work(index, 3)?;
            }
            let cause = *self.rng.pick(&[Cause::Reset, Cause::Closed, Cause::TimedOut]);
            self.lose(index, cause, true);
            return Ok(());
        }
        let peer = &mut self.peers[index];
        if peer.stalled_until <= now && self.rng.chance(self.plan.faults.stall) {
            let timeout = self.topology.pools[peer.pool].timeout_us.unwrap_or(100_000);
            peer.stalled_until = now + self.rng.range(1, 3 * timeout);
            // What was asked meanwhile has little of its time left then.
            let lasts = (now, peer.stalled_until + timeout);
            self.log.add(peer.pool, peer.server, Why::Cause(Cause::TimedOut), lasts);
            let until = peer.stalled_until;
            self.trace(|| format!("connection {id:?} stalls until {until}"));
        }
        let peer = &mut self.peers[index];
        if peer.stalled_until > now {
            return Ok(());
        }
        if peer.is_idle(&self.topology.pools[peer.pool]) {
            if self.rng.chance(self.plan.faults.idle_close) {
                let cause = *self.rng.pick(&[Cause::Closed, Cause::Closed, Cause::Reset]);
                self.lose(index, cause, false);
                return Ok(());
            }
            if peer.resp3 && self.rng.chance(self.plan.faults.push / 4) {
                peer.outbox.extend_from_slice(PUSH);
            }
        }
        let peer = &mut self.peers[index];
        if peer.is_idle(&self.topology.pools[peer.pool]) {
            // What is queued in this tick is not at the server yet, and must not get this for its answer.
            if self.rng.chance(self.plan.faults.surplus) {
                let why = Why::Cause(Cause::InvalidReply);
                let number = self.log.add(peer.pool, peer.server, why, (now, u64::MAX));
                peer.faults.push(number);
                peer.broken = true;
                self.trace(|| format!("connection {id:?} answers what nobody asked"));
                self.core.handle(Input::ConnData(id, b"$7\r\nsurplus\r\n"));
                return Ok(());
            }
        }
        let peer = &mut self.peers[index];
        if !peer.outbox.is_empty() && !peer.held {
            let count = self.rng.portion(peer.outbox.len());
            let pool = peer.pool;
            let (bytes, messages) = peer.hand_out(count);
            self.trace(|| format!("connection {id:?} answers {}", shown(&bytes)));
            self.note_messages(pool, id, messages);
            self.note_full();
            self.core.handle(Input::ConnData(id, &bytes));
            self.note_full();
        }
        if self.peers[index].blocked {
            self.write_conn(index)?;
        }
        let count = self.rng.below(4);
        self.journal.overtaken.clear();
        self.work(index, count)?;
        self.check_overtaken()
    }

    /// An older store may be carried out after a newer one only when its client was told that it failed.
    fn check_overtaken(&self) -> Result<(), String> {
        for token in &self.journal.overtaken {
            let asks = self.clients.iter().filter(|client| client.is_open() && !client.slow);
            let asks = asks.flat_map(|client| client.asks.iter().map(move |ask| (client, ask)));
            for (client, ask) in asks.filter(|(_, ask)| ask.tokens.contains(token)) {
                if ask.answered.is_none() && !matches!(ask.reply, Reply::None) {
                    return Err(format!("client {:?}: carried out after a newer one: {token}", client.id));
                }
            }
        }
        Ok(())
    }

    /// The connection is gone; whether that is to be noted as a fault.
    fn lose(&mut self, index: usize, cause: Cause, fault: bool) {
        let now = self.now;
        self.note_backing_off(index);
        let peer = &mut self.peers[index];
        peer.stage = Stage::Gone;
        peer.side.waits_until = None;
        if fault {
            self.log.add(peer.pool, peer.server, Why::Cause(cause), (now, now));
        }
        let id = peer.id;
        self.part(index, false);
        self.trace(|| format!("connection {id:?} is lost: {cause:?}"));
        self.core.handle(Input::ConnLost(id, cause));
    }

    /// After a connection that could not be made the next attempt waits, and requests wait with it.
    pub(crate) fn note_backing_off(&mut self, index: usize) {
        let peer = &self.peers[index];
        if let (Stage::Connecting(..), Some(timeout)) = (peer.stage, self.times.longest_us(peer.pool)) {
            let lasts = (self.now, self.now + SLOWEST_RECONNECT_US * 5 / 4 + timeout);
            self.log.add(peer.pool, peer.server, Why::Cause(Cause::TimedOut), lasts);
        }
    }

    /// The server works on up to `count` requests it has.
    pub(crate) fn work(&mut self, index: usize, count: usize) -> Result<(), String> {
        let loose = self.is_loose(self.peers[index].pool);
        let peer = &mut self.peers[index];
        let (pool, server) = (peer.pool, peer.server);
        let published = self.hall.ledger.published();
        let mut desk = Desk {
            rng: &mut self.rng,
            faults: &self.plan.faults,
            log: &mut self.log,
            journal: &mut self.journal,
            ledger: &mut self.hall.ledger,
            keyspace: &mut self.keyspaces[pool][peer.server],
            view: &self.topology.pools[pool],
            now: self.now,
            loose,
            twice: self.tamper == Some(Tamper::Twice),
            lied: false,
            pushed: false,
            selects: self.plan.pools[pool].selects,
        };
        peer.end_wait(&mut desk)?;
        let works = (0..count).try_for_each(|_| match peer.work(&mut desk) {
            Ok(true) => Ok(()),
            Ok(false) => Err(None),
            Err(why) => Err(Some(why)),
        });
        self.tampered |= desk.lied;
        if std::mem::take(&mut desk.keyspace.asked_joined) {
            self.seen.insert("gets of several requests as one".to_string());
        }
        if desk.pushed {
            self.seen.insert("news between replies".to_string());
        }
        works.or_else(|why| why.map_or(Ok(()), Err))?;
        let waits = peer.side.waits_until.filter(|_| !self.plan.exact);
        if let Some(until) = waits.filter(|until| *until < u64::MAX) {
            // What came late to it waits from now on, and has been waited for since it was asked.
            self.log.add(pool, server, Why::Cause(Cause::TimedOut), (self.now, until + SLACK_US));
        }
        self.deliver(pool, server)?;
        self.check_heard(pool, server, published)
    }

    pub(crate) fn write_conn(&mut self, index: usize) -> Result<(), String> {
        let id = self.peers[index].id;
        loop {
            let bytes = self.core.conn_output(id);
            if bytes.is_empty() {
                self.peers[index].blocked = false;
                return Ok(());
            }
            if self.rng.chance(self.plan.faults.broken_pipe) {
                self.lose(index, Cause::BrokenPipe, true);
                return Ok(());
            }
            let length = bytes.len();
            let full = self.peers[index].stalled_until > self.now && length > 64;
            let count = match self.rng.chance(600) {
                _ if full => 0,
                true => length,
                false => self.rng.portion(length),
            };
            let bytes = bytes[..count].to_vec();
            self.trace(|| format!("connection {id:?} is sent {}", shown(&bytes)));
            self.peers[index].blocked = count < length;
            if count > 0 {
                self.peers[index].receive(&bytes);
                self.core.handle(Input::ConnWritten(id, count));
            }
            if count < length {
                return Ok(());
            }
        }
    }

    /// How a connect goes: whether at once, and when otherwise.
    pub(crate) fn connect(&mut self, id: ConnId, pool: usize, server: usize) {
        let later = self.now + self.rng.range(1, 300);
        let refusals = [Cause::Refused, Cause::HostDown, Cause::Unreachable, Cause::TimedOut];
        let stage = if self.rng.chance(self.plan.faults.no_connect) {
            Stage::Connecting(later, Err(*self.rng.pick(&refusals)))
        } else if self.rng.chance(self.plan.faults.hang) {
            let at = self.now + self.rng.range(1, 700_000);
            self.log.add(pool, server, Why::Cause(Cause::TimedOut), (self.now, at + SLACK_US));
            Stage::Connecting(at, if self.rng.chance(500) { Ok(()) } else { Err(Cause::TimedOut) })
        } else {
            Stage::Connecting(later, Ok(()))
        };
        let mut peer = Peer::new(id, pool, server, stage);
        let now = self.rng.chance(300);
        match stage {
            Stage::Connecting(at, Ok(())) if now && at == later => {
                peer.stage = Stage::Up;
                self.peers.push(peer);
                self.core.handle(Input::ConnUp(id));
            }
            Stage::Connecting(at, Err(cause)) if now && at == later => {
                self.peers.push(peer);
                self.lose(self.peers.len() - 1, cause, true);
            }
            _ => self.peers.push(peer),
        }
    }
}
