//! Bytes waiting to be written, and the store of spare buffers they live in.
//!
//! ```text
//!   buf:  | already sent | waiting |        sent <= buf.len()
//!         0            sent       len
//! ```
//! A buffer is taken from the store at the first byte and given back when the last one has left, so
//! a connection at rest owns none.

use crate::limits::{
    BUFFER_GROWTH_KEPT, BUFFERS_KEPT, COMPACT_BYTES, DOUBLED_BYTES, LARGE_BUFFERS_KEPT_BYTES,
};

/// Spare buffers of one worker.
#[derive(Debug)]
pub struct Buffers {
    spare: Vec<Vec<u8>>,
    /// Those that grew beyond what most connections need, for the few that need as much in each tick.
    large: Vec<Vec<u8>>,
    /// Bytes of room of the large ones.
    large_room: usize,
    fresh: usize,
}

impl Buffers {
    /// A store whose new buffers have room for `fresh` bytes. It keeps buffers up to 16 times that, and a few larger ones.
    pub fn new(fresh: usize) -> Buffers {
        Buffers { spare: Vec::new(), large: Vec::new(), large_room: 0, fresh }
    }

    /// An empty buffer.
    #[inline]
    pub fn take(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_else(|| Vec::with_capacity(self.fresh))
    }

    /// An empty buffer for so many bytes.
    #[inline]
    pub fn take_for(&mut self, bytes: usize) -> Vec<u8> {
        if bytes > self.fresh * BUFFER_GROWTH_KEPT { self.take_roomy() } else { self.take() }
    }

    /// An empty buffer, a large one if there is one.
    #[cold]
    fn take_roomy(&mut self) -> Vec<u8> {
        self.take_large().unwrap_or_else(|| self.take())
    }

    fn take_large(&mut self) -> Option<Vec<u8>> {
        let large = self.large.pop()?;
        self.large_room -= large.capacity();
        Some(large)
    }

    /// Bytes of room of the spare buffers.
    pub fn room(&self) -> usize {
        self.spare.iter().map(Vec::capacity).sum::<usize>() + self.large_room
    }

    /// Gives all spare buffers back to the system.
    pub fn clear(&mut self) {
        self.spare.clear();
        self.large.clear();
        self.large_room = 0;
    }

    /// Gives a buffer back; a large one goes to the system where there are many, so that memory falls after a burst.
    #[inline]
    pub fn give(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() > self.fresh * BUFFER_GROWTH_KEPT {
            return self.give_large(buffer);
        }
        if buffer.capacity() >= self.fresh && self.spare.len() < BUFFERS_KEPT {
            buffer.clear();
            self.spare.push(buffer);
        }
    }

    #[cold]
    fn give_large(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= LARGE_BUFFERS_KEPT_BYTES - self.large_room {
            buffer.clear();
            self.large_room += buffer.capacity();
            self.large.push(buffer);
        }
    }

    /// Before more is appended to a long buffer: what it holds goes into a larger one where one is spare.
    #[cold]
    fn widen(&mut self, buffer: &mut Vec<u8>) {
        if buffer.len() >= DOUBLED_BYTES {
            return grow_little(buffer);
        }
        let kept = self.fresh * BUFFER_GROWTH_KEPT;
        if buffer.capacity() <= kept
            && buffer.len() > kept / 2
            && let Some(mut large) = self.take_large()
        {
            large.extend_from_slice(buffer);
            self.give(std::mem::replace(buffer, large));
        }
    }
}

/// A buffer in use, or none; and how much one was lately needed for.
#[derive(Debug, Default)]
pub(crate) struct Lent {
    pub(crate) buf: Vec<u8>,
    /// The most bytes that were in it, old figures fading; 0 where that is not much.
    usual: usize,
}

impl Lent {
    /// The buffer, to append to.
    #[inline(always)]
    pub(crate) fn buffer(&mut self, buffers: &mut Buffers) -> &mut Vec<u8> {
        if self.buf.capacity() == 0 {
            self.buf = if self.usual == 0 { buffers.take() } else { buffers.take_roomy() };
        } else if self.buf.len() >= WIDENED_BYTES {
            buffers.widen(&mut self.buf);
        }
        &mut self.buf
    }

    /// Gives it back.
    #[inline]
    pub(crate) fn release(&mut self, buffers: &mut Buffers) {
        if self.buf.len() | self.usual >= WIDENED_BYTES {
            self.note_usual();
        }
        buffers.give(std::mem::take(&mut self.buf));
    }
}

impl Lent {
    #[cold]
    fn note_usual(&mut self) {
        let usual = self.buf.len().max(self.usual - self.usual / 16);
        self.usual = if usual < WIDENED_BYTES { 0 } else { usual };
    }
}

/// A buffer is looked at for being too small from so many bytes on.
const WIDENED_BYTES: usize = crate::limits::BUFFER_BYTES * BUFFER_GROWTH_KEPT / 2;

/// Bytes waiting to be written to one connection.
#[derive(Debug, Default)]
pub struct Outbox {
    lent: Lent,
    sent: usize,
}

impl Outbox {
    /// How many bytes wait.
    pub fn len(&self) -> usize {
        self.lent.buf.len() - self.sent
    }

    /// Bytes of room that its buffer has.
    pub fn room(&self) -> usize {
        self.lent.buf.capacity()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The waiting bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.lent.buf[self.sent..]
    }

    /// The buffer, to append to.
    #[inline]
    pub fn buffer(&mut self, buffers: &mut Buffers) -> &mut Vec<u8> {
        self.lent.buffer(buffers)
    }

    /// The same; where there is no buffer yet it takes one of so many bytes, which is not kept.
    pub fn buffer_for(&mut self, bytes: usize, buffers: &mut Buffers) -> &mut Vec<u8> {
        if self.lent.buf.capacity() == 0 {
            self.lent.buf.reserve_exact(bytes);
        }
        self.lent.buffer(buffers)
    }

    /// Marks `count` more bytes as sent.
    #[inline]
    pub fn advance(&mut self, count: usize, buffers: &mut Buffers) {
        self.sent = (self.sent + count).min(self.lent.buf.len());
        if self.sent == self.lent.buf.len() {
            self.release(buffers);
        } else if self.sent > COMPACT_BYTES && self.sent > self.lent.buf.len() / 2 {
            self.lent.buf.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// Drops all but the first so many bytes of what waits.
    pub(crate) fn shorten(&mut self, len: usize, buffers: &mut Buffers) {
        self.lent.buf.truncate(self.sent.saturating_add(len));
        if self.is_empty() {
            self.release(buffers);
        }
    }

    /// Drops what waits.
    #[inline]
    pub fn release(&mut self, buffers: &mut Buffers) {
        self.sent = 0;
        self.lent.release(buffers);
    }
}

/// A large buffer that doubles takes up to twice what it holds. One that grows by a quarter is moved more often, which the
/// system does without copying.
#[cold]
fn grow_little(buffer: &mut Vec<u8>) {
    if buffer.capacity() - buffer.len() < buffer.len() / 16 {
        buffer.reserve_exact(buffer.len() / 4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_writes_leave_the_rest_in_order() {
        let mut buffers = Buffers::new(4096);
        let mut outbox = Outbox::default();
        let all: Vec<u8> = (0..400_000u32).map(|i| i as u8).collect();
        outbox.buffer(&mut buffers).extend_from_slice(&all);
        let mut seen = Vec::new();
        while !outbox.is_empty() {
            let count = outbox.len().min(7_001);
            seen.extend_from_slice(&outbox.bytes()[..count]);
            outbox.advance(count, &mut buffers);
        }
        assert_eq!(seen, all);
        assert_eq!(outbox.lent.buf.capacity(), 0, "a drained outbox owns no memory");
    }

    #[test]
    fn the_store_keeps_ordinary_buffers_and_few_large_ones() {
        let mut buffers = Buffers::new(4096);
        buffers.give(Vec::with_capacity(16));
        assert_eq!(buffers.room(), 0, "a tiny one is not worth it");
        buffers.give(Vec::with_capacity(LARGE_BUFFERS_KEPT_BYTES + 1));
        assert_eq!(buffers.room(), 0);
        buffers.give(Vec::with_capacity(4096));
        assert_eq!(buffers.spare.len(), 1);
        (0..100).for_each(|_| buffers.give(Vec::with_capacity(1 << 20)));
        assert!((LARGE_BUFFERS_KEPT_BYTES / 2..=LARGE_BUFFERS_KEPT_BYTES).contains(&buffers.large_room));
        buffers.clear();
        assert_eq!(buffers.room(), 0);
    }

    #[test]
    fn large_buffers_are_for_those_who_need_them() {
        let mut buffers = Buffers::new(4096);
        let mut busy = Outbox::default();
        busy.buffer(&mut buffers).extend_from_slice(&[b'x'; 200 << 10]);
        busy.release(&mut buffers);
        let large = buffers.large_room;
        assert!(large >= 200 << 10);
        let mut other = Outbox::default();
        other.buffer(&mut buffers).extend_from_slice(b"x");
        assert_eq!(other.room(), 4096);
        busy.buffer(&mut buffers).extend_from_slice(b"x");
        assert_eq!((busy.room(), buffers.large_room), (large, 0), "it is likely to need as much again");
        busy.release(&mut buffers);
        // Who did not need it before does not have its buffer grow either.
        other.buffer(&mut buffers).extend_from_slice(&[b'y'; 40 << 10]);
        other.buffer(&mut buffers).extend_from_slice(&[b'z'; 100 << 10]);
        assert_eq!((other.room(), buffers.large_room), (large, 0));
        assert_eq!(&other.bytes()[..3], b"xyy");
        assert_eq!(other.len(), (140 << 10) + 1);
        other.release(&mut buffers);
        for _ in 0..100 {
            busy.buffer(&mut buffers).extend_from_slice(b"x");
            busy.release(&mut buffers);
        }
        busy.buffer(&mut buffers).extend_from_slice(b"x");
        assert!(busy.room() <= 64 << 10, "it has not needed it for long");
    }
}
