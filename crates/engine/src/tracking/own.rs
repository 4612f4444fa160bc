//! NOLOOP: clients that are not told of what they change themselves.
//!
//! ```text
//!   shared connection:   SET k, of a client that said NOLOOP ─► server
//!                        OK, and right behind it "k has changed" ◄─┘   not told to that client, but to others who have read k
//! ```
//! Redis says what a request has changed right behind its reply, and forgets the key with that. So where the reply proves
//! that the key was changed (proof.rs) and nothing has read it since, no message about anybody else's change of it can come
//! before the next reply. Wherever that is not certain the client is told, which costs it one read more: of its
//! transaction that reads what it has written, of scripts, over another connection than that of its reads.

use super::Tracker;
use super::proof::Proof;
use crate::command::{self, Command, Flags};
use crate::core::Core;
use crate::id::ClientId;
use crate::limits::{OWN_WRITE_BYTES, OWN_WRITE_KEYS, OWN_WRITES};
use crate::request::Target;
use crate::session::Transaction;
use crate::slab::NONE;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use wire::args::{ArgView, Args};
use wire::resp::reply as inside;
use wire::resp::request::{RequestScan, Scan};

type Key = Box<[u8]>;

/// What clients that said NOLOOP write over a connection on which servers say what changes.
#[derive(Debug, Default)]
pub(crate) struct OwnWrites {
    /// Those that are under way, in the order of their replies.
    asked: VecDeque<OwnWrite>,
    /// The one that was answered last.
    answered: Option<Answered>,
}

#[derive(Debug)]
struct OwnWrite {
    /// How many replies will have come on the connection with its own.
    place: u64,
    client: ClientId,
    /// What it does: one step, or those of a transaction.
    steps: Vec<Step>,
    transaction: bool,
}

#[derive(Debug)]
struct Step {
    keys: Vec<Key>,
    proof: Option<Proof>,
    /// Whether its server notes that the keys were read.
    reads: bool,
}

#[derive(Debug)]
struct Answered {
    /// Its place, as it was asked.
    place: u64,
    at_us: u64,
    client: ClientId,
    changed: BTreeSet<Key>,
}

/// Who has changed a key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Writer {
    pub(super) client: ClientId,
    /// Whether the reply came just now, so that the client cannot have asked anything in its light.
    pub(super) just_now: bool,
}

impl OwnWrite {
    /// The keys that it has changed for certain and that nothing in it has read since.
    fn changed(self, reply: &[u8]) -> BTreeSet<Key> {
        let mut changed = BTreeSet::new();
        let mut take = |step: Step, reply: &[u8]| {
            if step.proof.is_some_and(|proof| proof.holds(reply, step.keys.len())) {
                changed.extend(step.keys);
            } else if step.reads {
                step.keys.iter().for_each(|key| _ = changed.remove(key));
            }
        };
        if !self.transaction {
            self.steps.into_iter().for_each(|step| take(step, reply));
        } else if let Some((count, replies)) = inside::elements(reply)
            && count == self.steps.len()
        {
            self.steps.into_iter().zip(replies).for_each(|(step, reply)| take(step, reply));
        }
        changed
    }
}

impl Step {
    fn of(command: &Command, args: ArgView<'_>, places: &mut Vec<u32>) -> Step {
        let found = command::keys(command, args, places).is_ok();
        let keys = places.iter().take_while(|_| found).map(|key| args.get(*key as usize).into()).collect();
        let reads = command.flags.has(Flags::READONLY) || command.script().is_some();
        Step { keys, proof: Proof::of(command.name, args).filter(|_| found), reads }
    }
}

fn fits<'a>(keys: impl Iterator<Item = &'a Key>) -> bool {
    let (mut count, mut bytes) = (0, 0);
    keys.for_each(|key| (count, bytes) = (count + 1, bytes + key.len()));
    count > 0 && count <= OWN_WRITE_KEYS && bytes <= OWN_WRITE_BYTES
}

impl Core {
    fn is_noloop(&self, c: u32) -> bool {
        self.replies.clients[c].resp3
            && self.tracker(c).is_some_and(|tracker: &Tracker| tracker.noloop)
            && self.is_reader(c)
    }

    /// A client that tracks has asked something, which is the last of what it has under way.
    pub(super) fn note_own_request(&mut self, c: u32, command: &'static Command, args: ArgView<'_>) {
        if !self.is_noloop(c) || Proof::of(command.name, args).is_none() {
            return;
        }
        let mut places = std::mem::take(&mut self.scratch.keys);
        let step = Step::of(command, args, &mut places);
        self.scratch.keys = places;
        let (request, pool) = (self.replies.clients[c].tail, self.replies.clients[c].pool);
        // Where keys have no place of their own nobody knows where they went.
        if !fits(step.keys.iter()) || self.topology.pools[pool as usize].random {
            return;
        }
        let mut parts: BTreeMap<u32, Vec<Key>> = BTreeMap::new();
        for key in step.keys {
            if let Some(server) = self.place(pool, &key) {
                parts.entry(server).or_default().push(key);
            }
        }
        for (server, keys) in parts {
            self.note_own(c, request, server, vec![Step { keys, ..step }], false);
        }
    }

    /// A client's transaction is under way.
    pub(crate) fn note_own_transaction(
        &mut self,
        c: u32,
        request: u32,
        queued: &Transaction,
        server: Option<u32>,
    ) {
        let Some(server) = server.filter(|_| self.is_noloop(c)) else { return };
        if queued.count as usize > OWN_WRITE_KEYS {
            return;
        }
        let limits = self.view(c).limits;
        let (mut rest, mut args, mut places) = (&queued.bytes[..], Args::default(), Vec::new());
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let Scan::Complete { len, .. } = RequestScan::default().scan(rest, &limits, &mut args) else {
                return;
            };
            let view = args.view(&rest[..len]);
            let Ok(command) = command::find(view) else { return };
            places.clear();
            steps.push(Step::of(command, view, &mut places));
            rest = &rest[len..];
        }
        if fits(steps.iter().flat_map(|step| &step.keys)) && steps.iter().any(|step| step.proof.is_some()) {
            self.note_own(c, request, server, steps, true);
        }
    }

    /// The reply to what was just queued for a request is to be looked at, if it is on a connection on which its server
    /// says what changes.
    fn note_own(&mut self, c: u32, request: u32, server: u32, steps: Vec<Step>, transaction: bool) {
        let (pool, slot) = (self.replies.clients[c].pool, self.slot(c));
        let s = self.pools[pool as usize].servers[server as usize].conns[slot as usize];
        if s == NONE {
            return;
        }
        let conn = &mut self.conns[s];
        let place = conn.replies + conn.queue.len() as u64;
        let (Some(own), Some(entry)) = (&mut conn.tracked, conn.queue.back_mut()) else { return };
        let meant = match entry.target {
            Target::Request(other) | Target::Exec(other) => other == request,
            Target::Part { merge, .. } => {
                self.merges.get(merge).is_some_and(|merge| merge.request == request)
            }
            _ => false,
        };
        if meant && own.asked.len() < OWN_WRITES {
            entry.care.heeded = true;
            let client = self.replies.clients.id(c);
            own.asked.push_back(OwnWrite { place, client, steps, transaction });
        }
    }

    /// A reply that was to be looked at has come.
    pub(crate) fn own_answered(&mut self, s: u32, reply: &[u8]) {
        let Some(conn) = self.conns.get_mut(s) else { return };
        let Some(own) = &mut conn.tracked else { return };
        own.answered = None;
        // Others may have gone without a reply.
        while own.asked.front().is_some_and(|write| write.place <= conn.replies)
            && let Some(write) = own.asked.pop_front()
        {
            // Once one took too long a client may have been told so, and does not know that it was done.
            if write.place == conn.replies && conn.slot.is_some() {
                let (place, client, at_us) = (write.place, write.client, self.now.mono_us);
                own.answered = Some(Answered { place, at_us, client, changed: write.changed(reply) });
            }
        }
    }

    /// Who has changed a key that a connection's server says has changed, where that is certain.
    pub(super) fn writer_of(&self, s: u32, key: &[u8]) -> Option<Writer> {
        let conn = self.conns.get(s)?;
        let last = conn.tracked.as_ref()?.answered.as_ref()?;
        let own = last.place == conn.replies && last.changed.contains(key);
        own.then_some(Writer { client: last.client, just_now: last.at_us == self.now.mono_us })
    }
}
