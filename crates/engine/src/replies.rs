//! From a reply to the client's output, in the order of the client's requests.

use crate::client::{Client, Reading};
use crate::id::{ClientId, ConnId};
use crate::limits::{BUFFER_BYTES, SMALL_BUFFER_BYTES};
use crate::outbox::Buffers;
use crate::output::{Output, Outputs};
use crate::request::{Request, State};
use crate::slab::{NONE, Slab};

/// Clients, their requests, and what goes out to them.
#[derive(Debug)]
pub struct Replies {
    pub(crate) clients: Slab<Client>,
    pub(crate) requests: Slab<Request>,
    /// For outboxes: a tick's worth of bytes.
    pub(crate) buffers: Buffers,
    /// For parked replies and parts: mostly one small reply each.
    pub(crate) small: Buffers,
    /// Connections whose large reply is now its client's next.
    pub(crate) flows: Vec<ConnId>,
    /// Clients that have read half of a reply whose rest is lost.
    pub(crate) torn: Vec<ClientId>,
    /// Clients that hold more unread replies than they may.
    pub(crate) overflowed: Vec<u32>,
    /// Clients that wait for nothing to be said.
    pub(crate) unheard: Vec<ClientId>,
    /// What the worker is to do.
    pub(crate) outputs: Outputs,
}

impl Default for Replies {
    fn default() -> Self {
        Replies {
            clients: Slab::default(),
            requests: Slab::default(),
            buffers: Buffers::new(BUFFER_BYTES),
            small: Buffers::new(SMALL_BUFFER_BYTES),
            flows: Vec::new(),
            torn: Vec::new(),
            overflowed: Vec::new(),
            unheard: Vec::new(),
            outputs: Outputs::default(),
        }
    }
}

impl Replies {
    /// Answers a request at once, in its turn.
    pub(crate) fn answer_now(&mut self, c: u32, write: impl FnOnce(&mut Vec<u8>)) {
        if self.clients[c].head == NONE {
            write(self.clients[c].outbox.buffer(&mut self.buffers));
            self.wake_client(c);
        } else {
            let request = self.ask(c, 0);
            self.answer(request, write);
        }
    }

    /// A new slot at the end of the client's queue, for a request of so many bytes.
    #[inline(always)] // into what every request passes
    pub(crate) fn ask(&mut self, c: u32, bytes: usize) -> u32 {
        let waiting = Request::waiting(c, bytes);
        let bytes = waiting.bytes;
        let request = self.requests.insert(waiting);
        let client = &mut self.clients[c];
        client.queued += 1;
        client.asked += u64::from(bytes);
        let last = std::mem::replace(&mut client.tail, request);
        if last == NONE {
            client.head = request;
        } else {
            self.requests[last].next = request;
        }
        request
    }

    /// The reply of a request is here: out with it if it is the client's next, else it waits.
    #[inline(never)] // lest every kind of reply brings it all along
    pub(crate) fn answer(&mut self, request: u32, write: impl FnOnce(&mut Vec<u8>)) {
        self.answer_with(request, 0, write);
    }

    /// The same with a reply of about so many bytes.
    #[inline(always)] // into what nearly every reply passes
    pub(crate) fn answer_with(&mut self, request: u32, bytes: usize, write: impl FnOnce(&mut Vec<u8>)) {
        let slot = &mut self.requests[request];
        if matches!(slot.state, State::Orphan | State::Unheard) {
            return self.drop_reply(request);
        }
        let c = slot.client;
        let client = &mut self.clients[c];
        if client.held() >= client.output_max && !client.overflowed {
            // It is closed at the end of the tick: whoever called may still be at work on it.
            client.overflowed = true;
            self.overflowed.push(c);
        }
        if client.head != request {
            let mut parked = self.small.take_for(bytes);
            write(&mut parked);
            client.note_reply(parked.len());
            client.parked += parked.len();
            slot.state = State::Parked(parked);
            return;
        }
        let out = client.outbox.buffer(&mut self.buffers);
        let before = out.len();
        write(out);
        let bytes = out.len() - before;
        client.note_reply(bytes);
        let next = client.drop_head(slot);
        self.requests.discard(request);
        if !client.dirty {
            client.dirty = true;
            self.outputs.push(Output::WriteClient(self.clients.id(c)));
        }
        if next != NONE && !matches!(self.requests[next].state, State::Waiting) {
            self.catch_up(c);
        }
    }

    /// Whether something waits for the end of the tick.
    #[inline]
    pub(crate) fn are_due(&self) -> bool {
        !self.flows.is_empty()
            || !self.torn.is_empty()
            || !self.overflowed.is_empty()
            || !self.unheard.is_empty()
    }

    /// A reply that nobody reads.
    #[cold]
    fn drop_reply(&mut self, request: u32) {
        let slot = &self.requests[request];
        if matches!(slot.state, State::Orphan) {
            return self.requests.discard(request);
        }
        let c = slot.client;
        self.answer_quietly(request);
        let client = &self.clients[c];
        if client.paused || client.reading != Reading::Open {
            self.unheard.push(self.clients.id(c));
        }
    }

    /// What waited only for its turn goes out now.
    fn catch_up(&mut self, c: u32) {
        let client = &mut self.clients[c];
        while client.head != NONE {
            let slot = &mut self.requests[client.head];
            let reply = match &mut slot.state {
                State::Parked(reply) => std::mem::take(reply),
                State::Flowing(conn) => return self.flows.push(*conn),
                State::Waiting | State::Unheard | State::Orphan => return,
            };
            client.parked -= reply.len();
            client.outbox.buffer(&mut self.buffers).extend_from_slice(&reply);
            self.small.give(reply);
            let done = client.head;
            client.drop_head(slot);
            self.requests.discard(done);
        }
    }

    /// A request without a reply is done.
    pub(crate) fn answer_quietly(&mut self, request: u32) {
        let slot = &mut self.requests[request];
        let c = slot.client;
        if matches!(slot.state, State::Orphan) {
            self.requests.discard(request);
        } else if self.clients[c].head != request {
            slot.state = State::Parked(Vec::new());
        } else {
            self.clients[c].drop_head(slot);
            self.requests.discard(request);
            self.catch_up(c);
            if !self.clients[c].outbox.is_empty() {
                self.wake_client(c);
            }
        }
    }

    #[inline]
    pub(crate) fn wake_client(&mut self, c: u32) {
        let client = &mut self.clients[c];
        if !client.dirty {
            client.dirty = true;
            self.outputs.push(Output::WriteClient(self.clients.id(c)));
        }
    }
}
