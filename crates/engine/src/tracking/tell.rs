//! What clients are told on their way to them: never within a reply, nor before one with the old value.

use crate::limits::SMALL_BUFFER_BYTES;
use crate::replies::Replies;
use crate::request::{Request, State};
use crate::slab::NONE;
use wire::resp::encode;

/// "All that you have read may have changed."
pub(super) const FORGET_ALL: &[u8] = b">2\r\n$10\r\ninvalidate\r\n_\r\n";

/// "These keys have changed."
pub(super) fn changed<'a>(keys: impl ExactSizeIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut news = Vec::with_capacity(64);
    encode::push_header(2, true, &mut news);
    encode::bulk(b"invalidate", &mut news);
    encode::array_header(keys.len(), &mut news);
    keys.for_each(|key| encode::bulk(key, &mut news));
    news
}

impl Replies {
    /// Tells a client something as soon as can be.
    pub(crate) fn tell_now(&mut self, c: u32, news: &[u8]) {
        let head = self.clients[c].head;
        if head != NONE && matches!(self.requests[head].state, State::Flowing(_)) {
            return self.tell_behind(head, news);
        }
        if self.has_room(c) {
            // Thousands may be told at once: what is small takes a small buffer.
            let size = news.len().max(SMALL_BUFFER_BYTES);
            self.clients[c].outbox.buffer_for(size, &mut self.buffers).extend_from_slice(news);
            self.wake_client(c);
        }
    }

    /// Tells a client something behind all that it has asked.
    pub(super) fn tell_last(&mut self, c: u32, news: &[u8]) {
        match self.clients[c].tail {
            NONE => self.tell_now(c, news),
            tail => self.tell_behind(tail, news),
        }
    }

    /// Tells a client something behind the reply to a request that is under way.
    pub(super) fn tell_behind(&mut self, request: u32, news: &[u8]) {
        let c = self.requests[request].client;
        if !self.has_room(c) {
            return;
        }
        let mut parked = self.small.take_for(news.len());
        parked.extend_from_slice(news);
        let mut slot = Request::waiting(c, 0);
        slot.state = State::Parked(parked);
        slot.next = self.requests[request].next;
        let place = self.requests.insert(slot);
        self.requests[request].next = place;
        let client = &mut self.clients[c];
        if client.tail == request {
            client.tail = place;
        }
        client.queued += 1;
        client.parked += news.len();
    }

    /// Whether a client may be given more; one that does not read is closed at the end of the tick.
    fn has_room(&mut self, c: u32) -> bool {
        let client = &mut self.clients[c];
        if !client.overflowed && client.held() >= client.output_max {
            client.overflowed = true;
            self.overflowed.push(c);
        }
        !client.overflowed
    }
}
