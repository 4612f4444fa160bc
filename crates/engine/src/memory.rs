//! The bound on what a worker's buffers take (`max_memory`).
//!
//! Nothing is counted per request. Buffers grow by what is received, so all of them are weighed only after so much was
//! received, or is still to come in reply to what was asked, that the bound could be near: seldom while there is room,
//! often when it gets tight. At the bound the clients that hold most are no longer read until enough has drained.

use crate::client::{Reading, Scan, Transfer};
use crate::core::Core;
use crate::deadline::NEVER;
use crate::limits::{
    BUFFER_BYTES, FEW_REQUESTS, FIRST_REPLY_MEAN, LOOKS_PER_LIMIT, MEMORY_LOOK_US, MEMORY_LOOKS,
    UNFINISHED_BYTES,
};
use crate::merge::write_cause;
use stats::{Event, PoolMetric, ServerMetric, WorkerMetric};

/// What a client reads whose unfinished request takes memory that there is not.
const NO_MEMORY: &str = "the proxy has no memory left for a request of this size (max_memory)";

/// A worker's share of `max_memory`, and when to look at it.
#[derive(Debug)]
pub(crate) struct Memory {
    /// Bytes that buffers may take.
    limit: usize,
    /// Bytes that they took when they were last weighed.
    held: usize,
    /// Bytes that came of sockets that were not to be read any more; the worker keeps them.
    kept: usize,
    /// Bytes received since.
    received: usize,
    /// After so many of them it is asked whether they are to be weighed.
    ask_after: usize,
    /// With so many requests under way likewise.
    ask_at_requests: usize,
    /// Replies that had come by then, and their bytes; and how large one of them was on average of late.
    replies: (u64, u64),
    reply_bytes: usize,
    /// While clients wait for memory: when to look next, in microseconds.
    look_at_us: Option<u64>,
    /// The least that was held at a look while clients wait, and at how many looks since it was no less.
    lowest: (usize, u32),
}

impl Memory {
    /// No bound.
    pub(crate) fn unbounded() -> Memory {
        Memory { ask_after: usize::MAX, ask_at_requests: usize::MAX, ..Memory::bounded(usize::MAX) }
    }

    fn bounded(limit: usize) -> Memory {
        Memory {
            limit,
            held: 0,
            kept: 0,
            received: 0,
            ask_after: limit / LOOKS_PER_LIMIT,
            ask_at_requests: FEW_REQUESTS,
            replies: (0, 0),
            reply_bytes: 0,
            look_at_us: None,
            lowest: (usize::MAX, 0),
        }
    }

    /// So many bytes came in.
    #[inline]
    pub(crate) fn note(&mut self, bytes: usize) {
        self.received = self.received.saturating_add(bytes);
    }

    /// When to look even if nothing comes in, or [`NEVER`].
    pub(crate) fn next_look(&self) -> u64 {
        self.look_at_us.unwrap_or(NEVER)
    }

    #[inline]
    fn is_due(&self, requests: usize, now_us: u64) -> bool {
        self.received >= self.ask_after
            || requests >= self.ask_at_requests
            || self.look_at_us.is_some_and(|at| at <= now_us)
    }

    /// Whether the bound could be near, with so many bytes still to come. Never so seldom that it could be passed unseen, nor
    /// so often that looking is work.
    fn is_near(&self, expected: usize, now_us: u64) -> bool {
        let room = (self.limit.saturating_sub(self.held) / 2).max(self.limit / LOOKS_PER_LIMIT);
        self.received.saturating_add(expected) >= room || self.look_at_us.is_some_and(|at| at <= now_us)
    }
}

impl Core {
    /// Sets the bound on the bytes that this worker's buffers take.
    pub fn limit_memory(&mut self, bytes: usize) {
        self.memory = Memory::bounded(bytes);
    }

    /// So many bytes does the worker keep that came of sockets which were not to be read any more.
    #[inline]
    pub fn keep(&mut self, bytes: usize) {
        self.memory.note(bytes.saturating_sub(self.memory.kept));
        self.memory.kept = bytes;
    }

    /// Looks after the bound, if it is time.
    #[inline]
    pub(crate) fn watch_memory(&mut self) {
        if self.memory.is_due(self.replies.requests.len(), self.now.mono_us) {
            self.ask_memory();
        }
    }

    #[cold]
    fn ask_memory(&mut self) {
        self.note_replies();
        let requests = self.replies.requests.len();
        let expected = requests.saturating_mul(self.memory.reply_bytes);
        if self.memory.is_near(expected, self.now.mono_us) {
            self.weigh(expected);
        }
        let memory = &mut self.memory;
        let part = memory.limit / LOOKS_PER_LIMIT;
        memory.ask_after = memory.received.saturating_add(part);
        memory.ask_at_requests = requests + (part / memory.reply_bytes.max(1)).max(FEW_REQUESTS);
    }

    /// How large replies were since this was last called.
    fn note_replies(&mut self) {
        let (mut count, mut bytes) = (0, 0);
        for (p, pool) in self.topology.pools.iter().enumerate() {
            for s in 0..pool.servers.len() {
                let counters = self.shard.server_shard(p, s);
                count += counters.counter(ServerMetric::Responses).get();
                bytes += counters.counter(ServerMetric::ResponseBytes).get();
            }
        }
        let (count_before, bytes_before) = std::mem::replace(&mut self.memory.replies, (count, bytes));
        let (count, bytes) = (count.wrapping_sub(count_before), bytes.wrapping_sub(bytes_before));
        if let Some(mean) = bytes.checked_div(count) {
            self.memory.reply_bytes = usize::try_from(mean).unwrap_or(usize::MAX);
        }
    }

    /// Weighs all buffers, and acts on it; `expected` bytes are still to come.
    fn weigh(&mut self, expected: usize) {
        let limit = self.memory.limit;
        let mut held = self.buffered();
        let pressed = self.memory.look_at_us.is_some();
        if pressed || held > limit {
            self.replies.buffers.clear();
            self.replies.small.clear();
            held = self.buffered();
        }
        self.shard.worker(WorkerMetric::BufferBytes).set(held as u64);
        let soon = held.saturating_add(expected);
        if soon > limit {
            self.shed_listeners();
            self.press(soon);
        } else if pressed && soon <= limit / 4 * 3 {
            self.release();
        }
        if !pressed {
            self.memory.lowest = (usize::MAX, 0);
        }
        let (lowest, looks) = self.memory.lowest;
        self.memory.lowest = if held < lowest { (held, 0) } else { (lowest, looks + 1) };
        if pressed && looks >= MEMORY_LOOKS {
            self.break_deadlock();
            self.memory.lowest = (usize::MAX, 0);
        }
        let pressed = self.replies.clients.iter().any(|(_, client)| client.pressed);
        self.memory.look_at_us = pressed.then(|| self.now.mono_us.saturating_add(MEMORY_LOOK_US));
        (self.memory.held, self.memory.received) = (held, 0);
    }

    /// Bytes that buffers take now.
    fn buffered(&self) -> usize {
        let clients = self.replies.clients.iter();
        let clients = clients.map(|(_, c)| {
            let session = c.session.as_ref().map_or(0, |session| session.room());
            c.unfinished() + c.outbox.room() + c.parked + session
        });
        let conns = self.conns.iter().map(|(_, conn)| conn.rest.capacity() + conn.stream.room());
        let parts = self.merges.iter().map(|(_, merge)| merge.room()).chain([self.divisions.room()]);
        let overheard =
            self.pools.iter().filter_map(|pool| pool.monitored.as_ref()).map(|lines| lines.room());
        let docs = self.pools.iter().flat_map(|pool| &pool.docs).map(|docs| docs.room());
        let spare = overheard.sum::<usize>()
            + docs.sum::<usize>()
            + self.replies.buffers.room()
            + self.replies.small.room();
        clients.sum::<usize>() + conns.sum::<usize>() + parts.sum::<usize>() + spare + self.memory.kept
    }

    /// Closes subscribers, and clients that are told of changes, that hold most, until all of them hold no more than half of the bound: not reading from them makes
    /// nobody publish less.
    fn shed_listeners(&mut self) {
        let clients = self.replies.clients.iter();
        let clients = clients.filter(|(c, client)| !client.overflowed && self.is_told(*c));
        let mut clients: Vec<(usize, u32)> = clients.map(|(c, client)| (client.held(), c)).collect();
        let mut held: usize = clients.iter().map(|(bytes, _)| bytes).sum();
        clients.sort_unstable_by(|a, b| b.cmp(a));
        for (bytes, c) in clients {
            if held <= self.memory.limit / 2 {
                return;
            }
            held -= bytes;
            self.replies.clients[c].overflowed = true;
            self.replies.overflowed.push(c);
        }
    }

    /// Reads no more from the clients that hold most or will, until those that are read hold less than half of the bound.
    fn press(&mut self, held: usize) {
        let reply_bytes = self.memory.reply_bytes;
        let weight = |c: &crate::client::Client| {
            let is_new = c.reply_mean == FIRST_REPLY_MEAN;
            let expected = if is_new { reply_bytes.min(c.expected()) } else { c.expected() };
            c.unfinished() + c.held() + c.asked as usize + expected
        };
        let clients = self.replies.clients.iter().filter(|(_, client)| client.reading == Reading::Open);
        let clients = clients.map(|(index, client)| (weight(client), index));
        let mut clients: Vec<(usize, u32)> = clients.filter(|(weight, _)| *weight > BUFFER_BYTES).collect();
        clients.sort_unstable_by(|a, b| b.cmp(a));
        let mut free = held;
        for (weight, c) in clients {
            if free <= self.memory.limit / 2 {
                return;
            }
            free = free.saturating_sub(weight);
            let client = &mut self.replies.clients[c];
            if !client.pressed {
                self.shard.worker(WorkerMetric::MemoryPauses).add(1);
                (client.pressed, client.half) = (true, !client.paused);
                self.pause(c);
            }
            let client = &self.replies.clients[c];
            if client.half && client.unfinished() > (weight / 2).max(UNFINISHED_BYTES) {
                // Waiting does not make it smaller.
                self.refuse_unfinished(c);
            }
        }
    }

    /// Nothing drains: the client with the largest half of a request has to give way; or, where those that wait have whole
    /// requests to be carried out, they are.
    fn break_deadlock(&mut self) {
        let halves = self.replies.clients.iter().filter(|(_, c)| c.pressed && c.half && !c.rest.is_empty());
        if let Some((c, _)) = halves.max_by_key(|(_, client)| client.unfinished()) {
            self.refuse_unfinished(c);
        } else {
            self.release();
        }
    }

    fn refuse_unfinished(&mut self, c: u32) {
        let protocol = self.protocol(c);
        let client = &mut self.replies.clients[c];
        let event =
            Event::ClientTooBig { pool: client.pool, client: client.peer, bytes: client.unfinished() as u64 };
        self.process.events.push(event);
        client.rest = Vec::new();
        if let Scan::Resp(scan) = &mut client.scan {
            scan.forget();
        }
        // It waits for nothing any more but to have read why.
        (client.pressed, client.paused) = (false, false);
        self.count_client(c, PoolMetric::ForwardError);
        if self.replies.clients[c].transfer == Transfer::None {
            self.answer_now(c, |out| write_cause(protocol, NO_MEMORY, out));
        } else {
            let mut text = Vec::new();
            write_cause(protocol, NO_MEMORY, &mut text);
            let lane = self.lane_of(c);
            self.end_transfer(c);
            self.refuse_transfer(lane, &text);
        }
        self.quit_client(c, true);
        self.settle(c);
    }

    fn release(&mut self) {
        let pressed: Vec<u32> = self
            .replies
            .clients
            .iter()
            .filter(|(_, client)| client.pressed)
            .map(|(index, _)| index)
            .collect();
        for c in pressed {
            if let Some(client) = self.replies.clients.get_mut(c) {
                client.pressed = false;
                self.resume(c);
                self.settle(c);
            }
        }
    }
}
