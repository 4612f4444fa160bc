//! The bound on what a worker's buffers take (`max_memory`).
//!
//! Nothing is counted per request. Buffers grow by what is received, so all of them are weighed only after so much was
//! received that the bound could be near: seldom while there is room, often when it gets tight. At the bound the
//! clients that hold most are no longer read until enough has drained.

use crate::client::{Reading, Transfer};
use crate::core::Core;
use crate::limits::{BUFFER_BYTES, MEMORY_LOOK_US, MEMORY_LOOKS, UNFINISHED_BYTES};
use crate::merge::write_cause;
use stats::{Event, PoolMetric, WorkerMetric};

/// What a client reads whose unfinished request takes memory that there is not.
const NO_MEMORY: &str = "the proxy has no memory left for a request of this size (max_memory)";

/// A worker's share of `max_memory`, and when to look at it.
#[derive(Debug)]
pub(crate) struct Memory {
    /// Bytes that buffers may take.
    limit: usize,
    /// Bytes received since the last look.
    received: usize,
    /// After so many of them the next look is due.
    look_after: usize,
    /// While clients wait for memory: when to look next, in microseconds.
    look_at_us: Option<u64>,
    /// The least that was held at a look while clients wait, and at how many looks since it was no less.
    lowest: (usize, u32),
}

impl Memory {
    /// No bound.
    pub(crate) fn unbounded() -> Memory {
        Memory { look_after: usize::MAX, ..Memory::bounded(usize::MAX) }
    }

    fn bounded(limit: usize) -> Memory {
        Memory { limit, received: 0, look_after: limit / 2, look_at_us: None, lowest: (usize::MAX, 0) }
    }

    /// So many bytes came in.
    #[inline]
    pub(crate) fn note(&mut self, bytes: usize) {
        self.received = self.received.saturating_add(bytes);
    }

    /// When to look even if nothing comes in.
    pub(crate) fn next_look(&self) -> Option<u64> {
        self.look_at_us
    }

    #[inline]
    fn is_due(&self, now_us: u64) -> bool {
        self.received >= self.look_after || self.look_at_us.is_some_and(|at| at <= now_us)
    }
}

impl Core {
    /// Sets the bound on the bytes that this worker's buffers take.
    pub fn limit_memory(&mut self, bytes: usize) {
        self.memory = Memory::bounded(bytes);
    }

    /// Looks after the bound, if it is time.
    #[inline]
    pub(crate) fn watch_memory(&mut self) {
        if self.memory.is_due(self.now.mono_us) {
            self.weigh();
        }
    }

    fn weigh(&mut self) {
        let limit = self.memory.limit;
        let mut held = self.buffered();
        let pressed = self.memory.look_at_us.is_some();
        if pressed || held > limit {
            self.replies.buffers.clear();
            self.replies.small.clear();
            held = self.buffered();
        }
        self.shard.worker(WorkerMetric::BufferBytes).set(held as u64);
        if held > limit {
            self.press(held);
        } else if pressed && held <= limit / 4 * 3 {
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
        self.memory.received = 0;
        // Never so seldom that the bound could be passed unseen, nor so often that looking is work.
        self.memory.look_after = (limit.saturating_sub(held) / 2).max(limit / 64);
    }

    /// Bytes that buffers take now.
    fn buffered(&self) -> usize {
        let clients = self.replies.clients.iter();
        let clients = clients.map(|(_, c)| c.rest.capacity() + c.outbox.room() + c.parked);
        let conns = self.conns.iter().map(|(_, conn)| conn.rest.capacity() + conn.stream.room());
        let parts = self.merges.iter().flat_map(|(_, merge)| &merge.parts).map(|part| part.reply.capacity());
        let spare = self.replies.buffers.room() + self.replies.small.room();
        clients.sum::<usize>() + conns.sum::<usize>() + parts.sum::<usize>() + spare
    }

    /// Reads no more from the clients that hold most, until those that are read hold less than half of the bound.
    fn press(&mut self, held: usize) {
        let weight = |c: &crate::client::Client| c.rest.capacity() + c.held() + c.asked as usize;
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
            if client.half && client.rest.capacity() > (weight / 2).max(UNFINISHED_BYTES) {
                // Waiting does not make it smaller.
                self.refuse_unfinished(c);
            }
        }
    }

    /// Nothing drains: the client with the largest half of a request has to give way; or, where those that wait have whole
    /// requests to be carried out, they are.
    fn break_deadlock(&mut self) {
        let halves = self.replies.clients.iter().filter(|(_, c)| c.pressed && c.half && !c.rest.is_empty());
        if let Some((c, _)) = halves.max_by_key(|(_, client)| client.rest.capacity()) {
            self.refuse_unfinished(c);
        } else {
            self.release();
        }
    }

    fn refuse_unfinished(&mut self, c: u32) {
        let protocol = self.protocol(c);
        let client = &mut self.replies.clients[c];
        let event = Event::ClientTooBig {
            pool: client.pool,
            client: client.peer,
            bytes: client.rest.capacity() as u64,
        };
        self.process.events.push(event);
        client.rest = Vec::new();
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
