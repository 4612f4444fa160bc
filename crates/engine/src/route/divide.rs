//! Requests of very many keys: split so many keys a tick, so that other clients are served in between; and the replies to
//! them, put together likewise.
//!
//! ```text
//!   request whole ── its parts are filled, some keys a tick ── all that its client asked before is answered ── sent
//!   last part's reply ── the client's reply is written, some keys a tick ── answered
//! ```
//! Nothing of a request leaves before all of it can, as if it had been split at once: in one tick and by one view of the
//! pool. Where the view changes meanwhile its keys are placed anew. Its client is not read until it is sent. Of all that
//! is under way one piece is worked on in a tick, in turn.

use super::split::{Placed, Share, Units};
use crate::client::Reading;
use crate::core::Core;
use crate::error::Cause;
use crate::id::ClientId;
use crate::limits::{KEY_BYTES_AT_ONCE, KEYS_AT_ONCE};
use crate::merge::{How, Keys, Part};
use crate::request::{State, Target};
use crate::slab::NONE;
use config::Protocol;
use stats::PoolMetric;
use std::collections::VecDeque;
use wire::args::{ArgView, Args};
use wire::memcache::{self, Request};

/// All requests and replies that are worked on a few keys at a time.
#[derive(Debug)]
pub(crate) struct Divisions {
    /// So many keys at a time.
    pub(crate) at_once: usize,
    /// How often the pools' view has changed.
    pub(crate) views: u64,
    /// Requests whose parts are being filled, or wait to be sent.
    #[expect(clippy::vec_box, reason = "each is taken out for every piece of work")]
    filling: Vec<Box<Division>>,
    /// The one that is being sent.
    ready: Option<Box<Division>>,
    /// What is to be worked on, in turn.
    work: VecDeque<Work>,
}

impl Default for Divisions {
    fn default() -> Self {
        let at_once = KEYS_AT_ONCE;
        Divisions { at_once, views: 0, filling: Vec::new(), ready: None, work: VecDeque::new() }
    }
}

/// What is worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    /// This client's request.
    Split(ClientId),
    /// The reply that this merge makes.
    Merge(u32),
}

/// A request whose parts are being filled.
#[derive(Debug)]
pub(crate) struct Division {
    client: ClientId,
    /// What it is, if it is memcached's.
    request: Option<Request>,
    units: Units,
    /// Its arguments; its bytes are the first that are kept for the client.
    args: Args,
    /// How many.
    len: usize,
    /// By which view its keys are placed.
    views: u64,
    /// What each server gets, in the order of their first units.
    heaps: Vec<Heap>,
    /// For each server, where in `heaps` it is, or [`NONE`]; the last is for units that no server takes.
    heap_of: Vec<u32>,
    /// For each unit that is placed, which heap has it.
    order: Vec<u32>,
    /// The keys, where the reply names them.
    keys: Keys,
}

/// What one server gets.
#[derive(Debug)]
struct Heap {
    /// Index of the server, or [`NONE`].
    server: u32,
    units: u32,
    /// The units as the server will read them, behind [`HEAD_ROOM`].
    bytes: Vec<u8>,
}

/// So many bytes are free before the units, for what its connection still holds then and the words before the first
/// unit: so the units need not be copied once more.
const HEAD_ROOM: usize = 16 << 10;

impl Division {
    fn is_filled(&self) -> bool {
        self.order.len() >= self.units.count
    }

    fn begin(&mut self, views: u64) {
        self.views = views;
        self.heaps.clear();
        self.heap_of.clear();
        self.order.clear();
        self.keys = Keys::default();
    }

    /// Its bytes among those that are kept for its client.
    fn bytes<'b>(args: &'b Args, len: usize, rest: &'b [u8]) -> &'b [u8] {
        if args.canonical().is_empty() { rest.get(..len).unwrap_or(&[]) } else { args.canonical() }
    }

    fn room(&self) -> usize {
        let heaps = self.heaps.iter().map(|heap| heap.bytes.capacity()).sum::<usize>();
        heaps + self.keys.room() + self.args.room() + self.order.capacity() * size_of::<u32>()
    }
}

impl Divisions {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.filling.len() + self.work.iter().filter(|work| matches!(work, Work::Merge(_))).count()
    }

    /// Bytes that they hold, beside those of clients and merges.
    pub(crate) fn room(&self) -> usize {
        self.filling.iter().map(|division| division.room()).sum()
    }
}

impl Core {
    /// Sets of how many keys a request is split in several ticks, which is some thousands unless told otherwise.
    pub fn divide_from(&mut self, keys: usize) {
        self.divisions.at_once = keys.max(1);
    }

    /// Whether a request takes too long to split for one tick.
    #[inline(always)]
    pub(super) fn is_bulky(&self, units: &Units, bytes: &[u8]) -> bool {
        units.count > self.divisions.at_once || bytes.len() > KEY_BYTES_AT_ONCE
    }

    /// Where the units of a bulky request go, if that is known; else it will be, and the request comes again.
    #[cold]
    pub(super) fn take_division(
        &mut self,
        c: u32,
        request: Option<Request>,
        units: &Units,
    ) -> Option<Placed> {
        let client = self.replies.clients.id(c);
        let Some(division) = self.divisions.ready.take_if(|ready| ready.client == client) else {
            self.replies.clients[c].dividing = true;
            self.divisions.filling.push(Box::new(Division {
                client,
                request,
                units: *units,
                args: Args::default(),
                len: 0,
                views: self.divisions.views,
                heaps: Vec::new(),
                heap_of: Vec::new(),
                order: Vec::new(),
                keys: Keys::default(),
            }));
            return None;
        };
        let mut servers = std::mem::take(&mut self.scratch.servers);
        servers.clear();
        if self.view(c).detour {
            // For what follows a write.
            servers.extend(division.order.iter().map(|heap| division.heaps[*heap as usize].server));
        }
        self.scratch.servers = servers;
        Some(match division.heaps.as_slice() {
            [only] if only.server == NONE => Placed::One(None),
            _ => Placed::Divided(division),
        })
    }

    /// The request of `len` bytes that its client waits with is divided from now on, if that is why it waits.
    pub(super) fn begin_division(&mut self, c: u32, len: usize, args: &mut Args) {
        let id = self.replies.clients.id(c);
        if let Some(division) = self.divisions.filling.last_mut()
            && division.client == id
        {
            std::mem::swap(&mut division.args, args);
            division.len = len;
            self.divisions.work.push_back(Work::Split(id));
            self.stir();
        }
    }

    /// The client's divided request may be ready to be sent: all that it waits for may be answered.
    pub(crate) fn hurry_division(&mut self, c: u32) {
        let client = &self.replies.clients[c];
        if client.dividing && client.is_done() {
            let work = Work::Split(self.replies.clients.id(c));
            if !self.divisions.work.contains(&work) {
                self.divisions.work.push_back(work);
                self.stir();
            }
        }
    }

    /// A client is gone.
    pub(crate) fn drop_division(&mut self, c: u32) {
        if std::mem::take(&mut self.replies.clients[c].dividing) {
            let id = self.replies.clients.id(c);
            self.divisions.filling.retain(|division| division.client != id);
        }
    }

    /// A merge of very many keys has all its parts.
    #[cold]
    pub(crate) fn merge_later(&mut self, merge: u32) {
        self.divisions.work.push_back(Work::Merge(merge));
        self.stir();
    }

    /// Says when there is something to do.
    pub(crate) fn stir(&mut self) {
        self.stir_us = if self.divisions.work.is_empty() { self.pauses_end_us } else { self.now.mono_us };
    }

    /// Works on what is next.
    pub(crate) fn work_on_divisions(&mut self) {
        let Some(work) = self.divisions.work.pop_front() else { return };
        let goes_on = match work {
            Work::Split(id) => self.go_on_splitting(id),
            Work::Merge(merge) => self.go_on_merging(merge),
        };
        if goes_on {
            self.divisions.work.push_back(work);
        }
        self.stir();
    }

    /// Goes on with a client's request; whether there is more to do now.
    fn go_on_splitting(&mut self, id: ClientId) -> bool {
        let Some(c) = self.replies.clients.live(id) else { return false };
        let Some(at) = self.divisions.filling.iter().position(|division| division.client == id) else {
            return false;
        };
        let mut division = self.divisions.filling.swap_remove(at);
        let client = &mut self.replies.clients[c];
        if matches!(client.reading, Reading::Quit(_)) {
            (client.dividing, client.in_order) = (false, false);
            self.resume(c);
            self.settle(c);
            return false;
        }
        if division.views != self.divisions.views {
            division.begin(self.divisions.views);
        }
        if !division.is_filled() {
            let (pool, rest) = (client.pool, std::mem::take(&mut client.rest));
            self.fill(pool, &mut division, &rest);
            self.replies.clients[c].rest = rest;
        } else if client.is_done() {
            self.carry_out(c, division);
            return false;
        }
        // A filled one with earlier requests before it is looked at again when they are answered.
        let goes_on = !division.is_filled() || self.replies.clients[c].is_done();
        self.divisions.filling.push(division);
        goes_on
    }

    /// Fills the parts of a request with some more units.
    fn fill(&mut self, pool: u32, division: &mut Division, rest: &[u8]) {
        let Division { units, args, len, heaps, heap_of, order, keys, .. } = division;
        let bytes = Division::bytes(args, *len, rest);
        let view = args.view(bytes);
        let redis = self.topology.pools[pool as usize].protocol == Protocol::Redis;
        let servers = self.topology.pools[pool as usize].servers.len();
        if order.is_empty() {
            heap_of.resize(servers + 1, NONE);
            order.reserve_exact(units.count);
        }
        let until = order.len().saturating_add(self.divisions.at_once).min(units.count);
        let mut taken = 0;
        while order.len() < until && taken < KEY_BYTES_AT_ONCE {
            let from = units.first + order.len() * units.step;
            let key = view.get(from);
            let server = self.place(pool, key).unwrap_or(NONE);
            let place = &mut heap_of[(server as usize).min(servers)];
            if *place == NONE {
                *place = heaps.len() as u32;
                heaps.push(Heap { server, units: 0, bytes: vec![0; HEAD_ROOM] });
            }
            let heap = &mut heaps[*place as usize];
            heap.units += 1;
            let before = heap.bytes.len();
            if redis {
                heap.bytes.extend_from_slice(view.encoded(from..from + units.step));
            } else {
                memcache::encode::multiget_key(key, &mut heap.bytes);
                keys.push(key);
            }
            taken += heap.bytes.len() - before;
            order.push(*place);
        }
        self.memory.note(taken);
    }

    /// Acts on a request whose parts are filled as on any other: [`Core::take_division`] is asked for them.
    fn carry_out(&mut self, c: u32, mut division: Box<Division>) {
        let id: ClientId = self.replies.clients.id(c);
        let client = &mut self.replies.clients[c];
        (client.dividing, client.in_order) = (false, false);
        let rest = std::mem::take(&mut client.rest);
        let (mut args, len, request) = (std::mem::take(&mut division.args), division.len, division.request);
        self.divisions.ready = Some(division);
        let bytes = Division::bytes(&args, len, &rest);
        let taken = match &request {
            Some(request) => self.memcache_request(c, request, &args, bytes),
            None => self.redis_request(c, args.view(bytes)),
        };
        // Whatever became of the request, its parts are nobody else's.
        self.divisions.ready = None;
        if self.replies.clients.live(id).is_none() {
            return self.replies.buffers.give(rest);
        }
        if !taken {
            // It waits for something else by now, and begins anew then.
            self.replies.clients[c].rest = rest;
            self.read_again(c, len, &mut args);
        } else {
            if let Some(behind @ [_, ..]) = rest.get(len..) {
                self.keep_rest(c, behind);
            }
            self.replies.buffers.give(rest);
        }
        self.resume(c);
        self.settle(c);
    }

    /// Sends a request whose parts are filled.
    pub(super) fn send_division(
        &mut self,
        c: u32,
        args: ArgView<'_>,
        units: &Units,
        how: How,
        read: bool,
        division: Division,
    ) {
        let (pool, slot) = (self.replies.clients[c].pool, self.slot(c));
        let redis = self.protocol(c) == Protocol::Redis;
        let request = self.replies.ask(c, args.bytes().len());
        let Division { heaps, order, keys, .. } = division;
        let mut shares = Vec::with_capacity(heaps.len());
        for heap in heaps {
            let known = heap.server != NONE;
            let conn = if known { self.usable_conn(pool, heap.server, slot) } else { Err(Cause::Refused) };
            if let Ok(conn) = conn {
                self.begin_part(conn, args, units, heap.units as usize, redis);
                self.conns[conn].stream.adopt(heap.bytes, HEAD_ROOM, &mut self.replies.buffers);
            }
            shares.push(Share { server: heap.server, units: heap.units, conn });
        }
        if let [share] = shares.as_slice() {
            // Its reply is the client's as it is.
            return self.end_part(pool, share, Target::Request(request), args, units, read);
        }
        let mut merge = self.fresh_merge(pool, request, how);
        (merge.order, merge.keys) = (order, keys);
        merge.parts.extend(shares.iter().map(|share| Part::new(share.server)));
        self.count_pool(pool, PoolMetric::Fragments).add(merge.parts.len() as u64);
        self.end_parts(pool, merge, &shares, args, units, read);
    }

    /// Goes on with a reply; whether there is more to do.
    fn go_on_merging(&mut self, merge: u32) -> bool {
        let (keys, bytes) = (self.divisions.at_once, KEY_BYTES_AT_ONCE);
        let Some(state) = self.merges.get_mut(merge) else { return false };
        let protocol = self.topology.pools[state.pool as usize].protocol;
        let is_wanted = matches!(self.replies.requests[state.request].state, State::Waiting);
        if !is_wanted {
            state.forget_written();
        } else {
            let before = state.room();
            if !state.write_some(protocol, keys, bytes) {
                let grown = state.room().saturating_sub(before);
                self.memory.note(grown);
                return true;
            }
        }
        self.finish_merge(merge);
        false
    }
}
